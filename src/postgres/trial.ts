/** Restoring a dump into a database that is there for nothing else: the proof that it can be restored. */
import { FerryError } from '../errors.js';
import { ident, literal, type At, type Session } from './connect.js';
import { checkDump } from './dump.js';
import { restoreDump } from './restore.js';
import { compareDatabases, type Compared } from './same.js';
import type { PostgresTools } from './tools.js';

export interface Trial {
  at: At;
  /** Of `at`, and the only hand on it. */
  session: Session;
  /** The throwaway database, on the same server. */
  database: string;
}

/**
 * The dump in the folder is restored beside the database that it was taken of, and compared with that, which still holds it.
 * Null: the user may make no database. @throws FerryError ComparisonDiffers, RestoreFailed; the signal's reason when aborted
 */
export async function tryDump(
  on: Trial & {
    folder: string;
    tools: PostgresTools;
    jobs: number;
    major: number;
    onProgress: (done: number, total: number) => void;
  },
): Promise<Compared | null> {
  const { at, session, database, folder, tools, jobs, major, onProgress } = on;
  await checkDump(folder);
  await dropTrial(on);
  if (!(await made(session, database))) return null;
  const beside: At = { ...at, address: { ...at.address, database } };
  try {
    await restoreDump({ ...beside, tools, folder, jobs, whole: false, onProgress });
    const compared = await compareDatabases({
      source: at,
      target: beside,
      majors: { source: major, target: major },
      jobs,
      utf8: false,
    });
    if (compared.differences > 0)
      throw new FerryError(
        'ComparisonDiffers',
        `the dump of ${session.shown} (source), restored beside it (target), is not what is there: ${compared.samples.join('; ')}. Nothing was destroyed`,
      );
    return compared;
  } finally {
    // Cut off, it stays for the next attempt, or for the undo, to be dropped.
    if (at.signal?.aborted !== true) await dropTrial(on);
  }
}

/** Alike in what a dump does not bring: encoding and collation. False: the user may not. */
async function made(session: Session, database: string): Promise<boolean> {
  const [like] = await session.ask<{ encoding: string; collate: string; ctype: string }>(
    `SELECT pg_encoding_to_char(encoding)::text AS encoding, datcollate::text AS collate, datctype::text AS ctype
     FROM pg_database WHERE datname = current_database()`,
  );
  try {
    await session.ask(
      `CREATE DATABASE ${ident(database)} TEMPLATE template0 ENCODING ${literal(like?.encoding ?? 'UTF8')}
       LC_COLLATE ${literal(like?.collate ?? 'C')} LC_CTYPE ${literal(like?.ctype ?? 'C')}`,
    );
    return true;
  } catch (error) {
    if (error instanceof FerryError && error.type === 'NotPermitted') return false;
    throw error;
  }
}

/** Harmless when it is gone. */
export async function dropTrial({ session, database }: Trial): Promise<void> {
  await session.ask('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [database]);
  await session.ask(`DROP DATABASE IF EXISTS ${ident(database)}`);
}
