/** Comparing two databases, and relying later on what the comparison found. */
import { FerryError } from '../errors.js';
import { openSession, type At } from './connect.js';
import {
  differencesOf,
  extensionsAdded,
  sayDifference,
  viewsDiffer,
  type Difference,
} from './verify/compare.js';
import { contentOf, digestOf, type Content, type Counted } from './verify/content.js';
import { momentOf, unwrittenSince, type Moment, type Proof } from './written.js';

export interface Compared {
  differences: number;
  /** At most 20, each with a name. */
  samples: string[];
  /** Extensions that only the target has, which is no difference. */
  extensionsAdded?: string[];
  counted: Counted;
  largeObjects: number;
  objects: number;
  seconds: number;
  /** What each side held, and when that was: it is looked at again before the cutover. */
  source: { digest: string; moment: Moment };
  target: { digest: string; moment: Moment };
}

export interface Both {
  source: At;
  target: At;
  majors: { source: number; target: number };
  jobs: number;
  utf8: boolean;
}

const SAMPLES = 20;

/** All of both. @throws FerryError; the signal's reason when aborted */
export async function compareDatabases(
  on: Both & { onProgress?: (counted: Counted) => void },
): Promise<Compared> {
  const { majors, onProgress = () => {} } = on;
  const began = performance.now();
  const [one, other] = [await openSession(on.source), await openSession(on.target)];
  try {
    // Before anything is read: what is written from here on counts as later.
    const moments = {
      source: await momentOf(one, majors.source),
      target: await momentOf(other, majors.target),
    };
    const { source, target, counted } = await contents({ ...on, onProgress });
    const found = differencesOf(source, target);
    const added = extensionsAdded(source, target);
    const views = found.filter(({ kind, what }) => kind === 'view' && what === 'different');
    const real =
      views.length === 0
        ? new Set<string>()
        : await viewsDiffer({ source: one, target: other, majors, names: views.map(({ name }) => name) });
    const differences = found.filter((each) => !views.includes(each) || real.has(each.name));
    return {
      differences: differences.length,
      samples: sampled(differences),
      ...(added.length > 0 ? { extensionsAdded: added } : {}),
      counted,
      largeObjects: Number(target.get('large objects')?.get('large objects')?.split(' ')[0] ?? 0),
      objects: target.get('object')?.size ?? 0,
      seconds: Math.round((performance.now() - began) / 100) / 10,
      source: { digest: digestOf(source), moment: moments.source },
      target: { digest: digestOf(target), moment: moments.target },
    };
  } finally {
    await one.end();
    await other.end();
  }
}

async function contents(
  on: Both & { onProgress: (counted: Counted) => void },
): Promise<{ source: Content; target: Content; counted: Counted }> {
  const { majors, jobs, utf8, onProgress } = on;
  const [source, target] = await Promise.allSettled([
    contentOf({ at: on.source, major: majors.source, jobs, utf8, onProgress }),
    contentOf({ at: on.target, major: majors.target, jobs, utf8 }),
  ]);
  if (source.status === 'rejected') throw source.reason;
  if (target.status === 'rejected') throw target.reason;
  return { source: source.value.content, target: target.value.content, counted: source.value.counted };
}

function sampled(differences: readonly Difference[]): string[] {
  return differences.slice(0, SAMPLES).map(sayDifference);
}

/** By what it is proven that a side is as it was compared. */
export type Proven = Exclude<Proof, 'unknown'> | 'everything read again';

/**
 * Sessions that may have written must have ended.
 * @throws FerryError SourceChanged, with the names of what differs between both sides now
 */
export async function proveUnchanged(
  on: Both & { side: 'source' | 'target'; compared: Compared },
): Promise<Proven> {
  const { side, compared, majors, jobs, utf8 } = on;
  const at = on[side];
  const session = await openSession(at);
  try {
    const proof = await unwrittenSince(session, compared[side].moment, majors[side]);
    if (proof !== 'unknown') return proof;
    const { content } = await contentOf({ at, major: majors[side], jobs, utf8 });
    if (digestOf(content) === compared[side].digest) return 'everything read again';
    const now = await compareDatabases(on);
    throw new FerryError(
      'SourceChanged',
      `${session.shown} (the ${side}) was written to since both sides were compared: ${now.samples.join('; ') || 'what was written is the same on both sides by now'}. Nobody was sent to the target`,
    );
  } finally {
    await session.end();
  }
}
