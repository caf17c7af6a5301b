/**
 * Closing a database to writes, and opening it again. `default_transaction_read_only` is for sessions that begin from then on; those that are
 * there are ended. A session may set it back: so who relies on it proves that nothing was written (written.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import { ident, literal, type Session } from './connect.js';

/** How it is set for the database itself; null: not at all. */
export type ReadOnlySetting = string | null;

const SETTING = 'default_transaction_read_only';

export async function readOnlySetting(session: Session): Promise<ReadOnlySetting> {
  const [row] = await session.ask<{ value: string }>(
    `SELECT split_part(s, '=', 2) AS value FROM pg_db_role_setting r, unnest(r.setconfig) s
     WHERE r.setrole = 0 AND r.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s LIKE '${SETTING}=%'`,
  );
  return row?.value ?? null;
}

/** Roles that it is set to off for, who would write all the same. */
export async function rolesThatWrite(session: Session): Promise<string[]> {
  const rows = await session.ask<{ name: string }>(
    `SELECT DISTINCT r.setrole::regrole::text AS name FROM pg_db_role_setting r, unnest(r.setconfig) s
     WHERE r.setrole <> 0 AND r.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
       AND s IN ('${SETTING}=off', '${SETTING}=false', '${SETTING}=no', '${SETTING}=0')`,
  );
  return rows.map(({ name }) => name);
}

export interface Ended {
  /** Sessions that were ended. */
  ended: number;
  /** Those that may not be, by application or user: a superuser's. */
  stay: string[];
}

/** New sessions can't write from here on, and no others are left. Harmless when it is so. */
export async function closeToWrites(session: Session, own: string): Promise<Ended> {
  await setReadOnly(session, 'on');
  return endOthers(session, own);
}

/** As it was before, exactly. Sessions that can't write are ended, so that applications connect anew. */
export async function openToWrites(session: Session, before: ReadOnlySetting, own: string): Promise<Ended> {
  await setReadOnly(session, before);
  return endOthers(session, own);
}

async function setReadOnly(session: Session, to: ReadOnlySetting): Promise<void> {
  if ((await readOnlySetting(session)) === to) return;
  const [row] = await session.ask<{ name: string }>('SELECT current_database() AS name');
  const change = to === null ? `RESET ${SETTING}` : `SET ${SETTING} = ${literal(to)}`;
  // This session may itself have begun as one that can't write.
  await session.ask(`BEGIN READ WRITE; ALTER DATABASE ${ident(row?.name ?? '')} ${change}; COMMIT`);
}

/** How long they may take to end, in milliseconds. */
const ENDS_WITHIN = 30_000;
/** A session reads its settings a moment before it can be seen. */
const UNSEEN = 250;

/**
 * Every session of others in this database that began before now is ended; applications that connect again meanwhile find it as it is set.
 * `own`: what ours are called by begins so.
 */
export async function endOthers(session: Session, own: string): Promise<Ended> {
  const [clock] = await session.ask<{ now: string }>('SELECT clock_timestamp()::text AS now');
  const before = clock?.now ?? null;
  const ended = new Set<number>();
  let looks = 0;
  for (const until = Date.now() + ENDS_WITHIN; ; await sleep(looks > 0 ? UNSEEN : 50)) {
    const there = await othersIn(session, own, before);
    const mine = there.filter(({ may }) => may);
    looks = mine.length === 0 ? looks + 1 : 0;
    if (looks === 2) return { ended: ended.size, stay: namesOf(there) };
    if (Date.now() > until)
      throw new FerryError(
        'Unclear',
        `${session.shown}: ${mine.length} sessions (${namesOf(mine).join(', ')}) do not end`,
      );
    await session.ask('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid', [
      mine.map(({ pid }) => pid),
    ]);
    for (const { pid } of mine) ended.add(pid);
  }
}

interface Other {
  pid: number;
  shown: string;
  /** This user may end it. */
  may: boolean;
}

function namesOf(others: readonly Other[]): string[] {
  return [...new Set(others.map((other) => other.shown))].slice(0, 20);
}

async function othersIn(session: Session, own: string, before: string | null): Promise<Other[]> {
  return session.ask<{ pid: number; shown: string; may: boolean }>(
    `SELECT a.pid, coalesce(nullif(a.application_name, ''), a.usename::text, 'unknown') AS shown,
       me.rolsuper OR (NOT coalesce(r.rolsuper, true) AND (pg_has_role(a.usesysid, 'MEMBER') OR pg_has_role('pg_signal_backend', 'MEMBER'))) AS may
     FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid, pg_roles me
     WHERE me.rolname = current_user AND a.datname = current_database() AND a.backend_type = 'client backend'
       AND a.pid <> pg_backend_pid() AND coalesce(a.application_name, '') NOT LIKE $1 || ':%'
       AND ($2::timestamptz IS NULL OR a.backend_start IS NULL OR a.backend_start < $2::timestamptz)`,
    [own, before],
  );
}

/** Who is connected, by application or user, without ours. */
export async function connectedTo(
  session: Session,
  own: string,
): Promise<{ sessions: number; names: string[] }> {
  const there = await othersIn(session, own, null);
  return { sessions: there.length, names: namesOf(there) };
}
