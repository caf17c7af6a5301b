/** Two databases side by side. */
import type { Session } from '../connect.js';
import type { Content, Kind } from './content.js';
import { plain, structureOf } from './structure.js';

export interface Difference {
  kind: Kind;
  /** Of the table, index, function … Never a value. */
  name: string;
  what: 'missing at the target' | 'only at the target' | 'different';
  /** Of rows, sequences and large objects: the numbers of both sides. */
  says?: string;
}

/** Kinds of which the numbers may be said. */
const NUMBERS: readonly Kind[] = ['rows', 'large objects', 'sequence value'];

/** Extensions that only the target has: a provider puts its own there, and nothing of the source needs them. */
export function extensionsAdded(source: Content, target: Content): string[] {
  const here = source.get('extension');
  return [...(target.get('extension')?.keys() ?? [])].filter((name) => here?.has(name) !== true).toSorted();
}

export function differencesOf(source: Content, target: Content): Difference[] {
  const found: Difference[] = [];
  for (const [kind, here] of source) {
    const there = target.get(kind) ?? new Map<string, string>();
    for (const [name, says] of here) {
      const other = there.get(name);
      if (other === undefined) found.push({ kind, name, what: 'missing at the target' });
      else if (other !== says)
        found.push({
          kind,
          name,
          what: 'different',
          ...(NUMBERS.includes(kind) ? { says: numbers(kind, says, other) } : {}),
        });
    }
    for (const name of kind === 'extension' ? [] : there.keys())
      if (!here.has(name)) found.push({ kind, name, what: 'only at the target' });
  }
  return found;
}

function numbers(kind: Kind, source: string, target: string): string {
  const [here = '', there = ''] = [source.split(' ')[0], target.split(' ')[0]];
  if (here !== there) return `${here} at the source, ${there} at the target`;
  return kind === 'sequence value' ? 'whether it was used' : `${here}, with other content`;
}

/**
 * Versions write the same view differently. What the source's own words would be at the target is asked there, and nothing stays of it.
 */
export async function viewsDiffer(on: {
  source: Session;
  target: Session;
  majors: { source: number; target: number };
  names: readonly string[];
}): Promise<Set<string>> {
  const { source, target, majors, names } = on;
  const differ = new Set<string>();
  const at = { kind: 'view' as const };
  const [here, there] = await Promise.all([
    structureOf(source, { ...at, major: majors.source }),
    structureOf(target, { ...at, major: majors.target }),
  ]);
  const says = (views: typeof here, name: string): string =>
    views.find((view) => view.name === name)?.says ?? '';
  for (const name of names) {
    const again = await asWrittenThere(target, says(here, name));
    if (again === null || plain(again) !== plain(says(there, name))) differ.add(name);
  }
  return differ;
}

async function asWrittenThere(target: Session, definition: string): Promise<string | null> {
  await target.ask('BEGIN READ WRITE');
  try {
    await target.ask(`CREATE TEMP VIEW ferry_view AS ${definition.replace(/;\s*$/, '')}`);
    const [row] = await target.ask<{ says: string }>(
      `SELECT pg_get_viewdef('pg_temp.ferry_view'::regclass) AS says`,
    );
    return row?.says ?? null;
  } catch {
    return null;
  } finally {
    await target.ask('ROLLBACK');
  }
}

/** In a sentence each. */
export function sayDifference({ kind, name, what, says }: Difference): string {
  const shownKind = kind === 'rows' ? 'rows of' : kind === 'sequence value' ? 'value of' : kind;
  return `${kind === name ? name : `${shownKind} ${name}`}: ${says ?? what}`;
}
