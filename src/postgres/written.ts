/**
 * Proof that nothing was written. A number of transaction that has not moved says so at once, for the whole server. Where it has (vacuum,
 * other databases) the server's counts of rows written say it, table by table, once all sessions that wrote have ended; servers before 15
 * may lose such counts, and there everything is read once more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf, outlineOf } from './verify/content.js';
import type { Session } from './connect.js';
import { MARK, OWN_SCHEMAS, notOfExtension } from './catalogs.js';

/** At one moment. Small: it goes through histories. */
export interface Moment {
  /** The next transaction's. Reading takes none. */
  xid: string;
  /** Of the counts of rows written and of the outline. */
  counts: string;
}

export async function momentOf(session: Session, major: number): Promise<Moment> {
  const xid = await nextXid(session);
  return { xid, counts: digestOf(new Map([['rows', await countsOf(session, major)]])) };
}

export async function nextXid(session: Session): Promise<string> {
  const [row] = await session.ask<{ xid: string }>(
    'SELECT txid_snapshot_xmax(txid_current_snapshot())::text AS xid',
  );
  return row?.xid ?? '';
}

export type Proof = 'no transaction' | 'no row' | 'unknown';

/** "unknown": look at everything, if that has to be known. Sessions that may have written must have ended. */
export async function unwrittenSince(session: Session, since: Moment, major: number): Promise<Proof> {
  if ((await nextXid(session)) === since.xid) return 'no transaction';
  if (major < 15) return 'unknown';
  return (await momentOf(session, major)).counts === since.counts ? 'no row' : 'unknown';
}

/** Milliseconds. */
const LATE = 1_500;

/** By table: where its rows are, and how many were written ever. By its name, everything else. */
async function countsOf(session: Session, major: number): Promise<Map<string, string>> {
  await session.ask('SELECT pg_stat_clear_snapshot()');
  const rows = await session.ask<{ name: string; says: string }>(
    `SELECT ${TABLE} AS name, concat_ws(' ', c.relfilenode, ${['inserted', 'updated', 'deleted'].map((what) => `pg_stat_get_tuples_${what}(c.oid)`).join(', ')}) AS says
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE (c.relkind = 'r' AND ${OWN_SCHEMAS} AND ${notOfExtension('pg_class', 'c.oid')}) OR c.oid = 'pg_largeobject'::regclass`,
  );
  const outline = await outlineOf(session, major);
  return new Map([...rows.map(({ name, says }) => [name, says] as const), [OUTLINE, digestOf(outline)]]);
}

const TABLE = `n.nspname || '.' || c.relname`;
const OUTLINE = 'structure or sequences';

/** Keeps the counts of now in the database itself, beside the mark: whoever goes back looks there, wherever the worker was. */
export async function rememberCounts(session: Session, major: number): Promise<void> {
  const counts = [...(await countsOf(session, major))];
  const table = `${MARK}.written`;
  await session.ask(
    `DROP TABLE IF EXISTS ${table}, ${table}_new; CREATE TABLE ${table}_new (name text PRIMARY KEY, says text NOT NULL)`,
  );
  await session.ask(`INSERT INTO ${table}_new SELECT * FROM unnest($1::text[], $2::text[])`, [
    counts.map(([name]) => name),
    counts.map(([, says]) => says),
  ]);
  // There with all of them, or not at all.
  await session.ask(`ALTER TABLE ${table}_new RENAME TO written`);
}

/** They are kept: the applications were told to come here, or are about to be. */
export async function hasCounts(session: Session): Promise<boolean> {
  const [row] = await session.ask<{ there: boolean }>(
    `SELECT to_regclass('${MARK}.written') IS NOT NULL AS there`,
  );
  return row?.there ?? false;
}

export async function forgetCounts(session: Session): Promise<void> {
  await session.ask(`BEGIN READ WRITE; DROP TABLE IF EXISTS ${MARK}.written; COMMIT`);
}

export interface Written {
  /** Null: the counts of then are gone, so nobody knows. */
  rows: number | null;
  /** Names of tables and of what else has changed, at most 20. */
  names: string[];
}

/** What was written since the counts were kept. Sessions that may have written must have ended. */
export async function writtenSinceThen(session: Session, major: number): Promise<Written> {
  if (!(await hasCounts(session))) return { rows: null, names: [] };
  // Older servers tell of what an ended session has written a moment later.
  if (major < 15) await sleep(LATE);
  const kept = await session.ask<{ name: string; says: string }>(`SELECT name, says FROM ${MARK}.written`);
  const now = await countsOf(session, major);
  const then = new Map(kept.map(({ name, says }) => [name, says]));
  const names = [...new Set([...now.keys(), ...then.keys()])].filter(
    (name) => now.get(name) !== then.get(name),
  );
  let rows: number | null = 0;
  for (const name of names) {
    if (name === OUTLINE) continue;
    const [before, after] = [then.get(name), now.get(name)].map((says) => totalOf(says ?? '0 0 0 0'));
    rows = rows === null || (after ?? 0) < (before ?? 0) ? null : rows + (after ?? 0) - (before ?? 0);
  }
  return { rows, names: names.slice(0, 20) };
}

/** Of "relfilenode inserted updated deleted". */
function totalOf(says: string): number {
  return says
    .split(' ')
    .slice(1)
    .reduce((sum, each) => sum + Number(each), 0);
}
