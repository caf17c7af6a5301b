/** Deletes keys by SCAN and UNLINK. */
import type { ServerAddress } from './address.js';
import { UNHURRIED } from './rate.js';
import { asNumber } from './resp.js';
import { ahead, scanKeys } from './scan.js';
import { endingGently, openSession } from './session.js';

export interface ClearCheckpoint {
  runId: string;
  database: number;
  /** SCAN's cursor; "end" after the last database. */
  cursor: string;
  deleted: number;
}

export interface ClearOptions {
  address: ServerAddress;
  databases: readonly number[];
  match: string;
  checkpoint?: ClearCheckpoint | undefined;
  name?: string | undefined;
  /** Asked once connected, before anything is written; throws when this attempt has no right to write any more. */
  confirm?: (() => Promise<void>) | undefined;
  signal: AbortSignal;
  onProgress?: ((deleted: number, checkpoint: ClearCheckpoint) => void) | undefined;
}

export interface ClearResult {
  done: boolean;
  checkpoint: ClearCheckpoint;
  deleted: number;
}

/** Aborting returns `{done: false}`. */
export async function deleteKeys(options: ClearOptions): Promise<ClearResult> {
  const { address, databases, match, name = 'ferry', signal, onProgress } = options;
  let checkpoint: ClearCheckpoint = options.checkpoint ?? {
    runId: '',
    database: databases[0] ?? 0,
    cursor: databases.length > 0 ? '0' : 'end',
    deleted: 0,
  };
  const result = (done: boolean): ClearResult => ({ done, checkpoint, deleted: checkpoint.deleted });
  if (checkpoint.cursor === 'end') return result(true);

  async function work(hard: AbortSignal): Promise<ClearResult> {
    const session = await openSession({ server: address, name, signal: hard });
    try {
      await options.confirm?.();
      const sameLife = checkpoint.runId === session.runId && session.runId !== '';
      checkpoint = { ...checkpoint, runId: session.runId, cursor: sameLife ? checkpoint.cursor : '0' };
      const first = Math.max(0, databases.indexOf(checkpoint.database));
      for (const [i, database] of databases.entries()) {
        if (i < first) continue;
        await session.select(database);
        const { cursor } = checkpoint;
        for await (const { keys, next } of ahead(scanKeys({ session, match, cursor, pace: UNHURRIED }))) {
          if (signal.aborted) return result(false);
          const deleted = keys.length > 0 ? asNumber((await session.all([['UNLINK', ...keys]]))[0]) : 0;
          const following = databases[i + 1];
          checkpoint = {
            ...checkpoint,
            database: next === '0' && following !== undefined ? following : database,
            cursor: next !== '0' ? next : following === undefined ? 'end' : '0',
            deleted: checkpoint.deleted + deleted,
          };
          onProgress?.(checkpoint.deleted, checkpoint);
        }
      }
      return result(true);
    } finally {
      session.close();
    }
  }

  return endingGently({ signal, work, stopped: () => result(false) });
}
