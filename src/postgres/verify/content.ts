/** What a database holds, as names and short texts: the same on every server that holds the same. No value is in it. */
import { createHash } from 'node:crypto';
import { openSession, type At, type Session } from '../connect.js';
import {
  largeObjects,
  plain,
  sequenceValues,
  structureOf,
  STRUCTURE_KINDS,
  type StructureKind,
} from './structure.js';
import { sumOf, tablesToSum } from './rows.js';

export type Kind = StructureKind | 'sequence value' | 'rows' | 'large objects';

/** Name → what it is, by kind. */
export type Content = Map<Kind, Map<string, string>>;

export interface Counted {
  tables: number;
  rows: number;
  bytes: number;
}

/** Everything but rows and large objects. */
export async function outlineOf(session: Session, major: number): Promise<Content> {
  const content: Content = new Map();
  for (const kind of STRUCTURE_KINDS) {
    const defined = await structureOf(session, { kind, major });
    // A definition may be long: what is kept of it is only to be compared.
    content.set(kind, new Map(defined.map(({ name, says }) => [name, short(plain(says))])));
  }
  const values = await sequenceValues(session);
  content.set('sequence value', new Map(values.map(({ name, says }) => [name, says])));
  return content;
}

/** Everything. Tables are read by several sessions at once. @throws FerryError; the signal's reason when aborted */
export async function contentOf(on: {
  at: At;
  major: number;
  /** Sessions. */
  jobs: number;
  /** See sumOf. */
  utf8: boolean;
  onProgress?: (counted: Counted) => void;
}): Promise<{ content: Content; counted: Counted }> {
  const { at, major, jobs, utf8, onProgress = () => {} } = on;
  const counted: Counted = { tables: 0, rows: 0, bytes: 0 };
  const first = await openSession(at);
  const sessions = [first];
  try {
    const content = await outlineOf(first, major);
    const rows = new Map<string, string>();
    const queue = await tablesToSum(first);
    while (sessions.length < Math.min(jobs, queue.length)) sessions.push(await openSession(at));
    const take = async (session: Session): Promise<void> => {
      for (let table = queue.shift(); table; table = queue.shift()) {
        const found = await sumOf(session, table, utf8);
        rows.set(`${table.schema}.${table.table}`, `${found.rows} ${found.sum}`);
        counted.tables += 1;
        counted.rows += found.rows;
        counted.bytes += table.bytes;
        onProgress(counted);
      }
    };
    await settled(sessions.map(take));
    content.set('rows', rows);
    const { count, sum } = await largeObjects(first);
    content.set('large objects', new Map([['large objects', `${count} ${sum}`]]));
    return { content, counted };
  } finally {
    for (const session of sessions) await session.end();
  }
}

/** All have ended, then the first failure. */
async function settled(work: Promise<void>[]): Promise<void> {
  const ends = await Promise.allSettled(work);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** One text for all of it. */
export function digestOf(content: Content): string {
  const hash = createHash('sha256');
  for (const [kind, entries] of [...content].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    for (const [name, says] of [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      hash.update(`${kind}\0${name}\0${says}\0`);
  return hash.digest('hex').slice(0, 32);
}

function short(text: string): string {
  return text.length <= 24 ? text : createHash('sha256').update(text).digest('base64').slice(0, 24);
}
