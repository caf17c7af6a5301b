/**
 * Copies every key of the mapped databases: SCAN, DUMP, RESTORE with absolute expiry; big keys in pieces.
 *
 * Four things go on at once (listing, weighing, reading, writing), each one batch ahead of the next, so both servers
 * are kept busy and what is in flight is a few groups of at most 4 MB, whatever the data.
 */
import type { Rate } from '../inputs/redis-copy.js';
import type { DatabaseMap, ServerAddress } from './address.js';
import { add, NOTHING, writeKeys, type Transfer } from './keys.js';
import { noteOwnKeys } from './ledger.js';
import { startPace } from './rate.js';
import { dumpKeys, type DumpedKey } from './restore.js';
import { ahead, groupBySize, scanKeys } from './scan.js';
import { countKeys, endingGently, openPair } from './session.js';
import type { Tracker } from './tracker.js';

/** What is done where the target has a key of that name. With "refuse" the target was empty, so what is there is ours. */
export type TargetKeys = 'refuse' | 'replace' | 'skip';

export interface CopyCounts {
  /** Keys written to the target. */
  copied: number;
  /** Of those, the ones above `bigKey`, which went in pieces. */
  inPieces: number;
  /** Bytes of the values as they went over the wire. */
  bytes: number;
  /** Left as the target had them (mode "skip"). */
  skipped: number;
  /** Deleted at the source, or expired, between being listed and being read. */
  gone: number;
  /** Whose expiry passed on the way. */
  expired: number;
}

/** From where a copy resumes. Holds only what the target has acknowledged. */
export interface CopyCheckpoint {
  /** The source's run_id: after its restart the cursor means nothing, and the database is scanned anew. */
  runId: string;
  /** The source database being copied. Those before it in the map are done. */
  database: number;
  /** SCAN's cursor; "end" after the last database. */
  cursor: string;
  counts: CopyCounts;
  /** The counts when this database was begun: what they are put back to when it is scanned anew. */
  countsBefore: CopyCounts;
}

export interface CopyProgress extends CopyCounts {
  database: number;
  /** Keys in the mapped databases of the source when this run began (whatever `match` says). */
  keysInSource: number;
}

export interface CopyOptions {
  source: ServerAddress;
  target: ServerAddress;
  databases: DatabaseMap;
  match: string;
  ifTargetHasKeys: TargetKeys;
  /** Asked again and again, so that it may change under way. */
  rate: () => Rate;
  /** Bytes of memory at the source above which a key goes in pieces. */
  bigKey: number;
  checkpoint?: CopyCheckpoint | undefined;
  /** Told of the streams it must watch. */
  tracker?: Tracker | undefined;
  /** Name of the connections in CLIENT LIST. */
  name?: string | undefined;
  /** Asked once connected, before anything is written; throws when this attempt has no right to write any more. */
  confirm?: (() => Promise<void>) | undefined;
  signal: AbortSignal;
  onProgress?: ((progress: CopyProgress, checkpoint: CopyCheckpoint) => void) | undefined;
}

export interface CopyResult {
  /** False when `signal` ended it: the checkpoint says from where to go on. */
  done: boolean;
  checkpoint: CopyCheckpoint;
  counts: CopyCounts;
}

/** Cursor of a checkpoint after which nothing is left to do. */
export const END = 'end';

/**
 * Aborting returns `{done: false}`; it never throws for it. Throws FerryError for everything else. Run again with the
 * checkpoint it copies at most the last batch a second time.
 */
export async function copyAll(options: CopyOptions): Promise<CopyResult> {
  const {
    databases,
    match,
    ifTargetHasKeys: mode,
    bigKey,
    tracker,
    name = 'ferry',
    signal,
    onProgress,
  } = options;
  let checkpoint: CopyCheckpoint = options.checkpoint ?? {
    runId: '',
    database: databases[0]?.[0] ?? 0,
    cursor: databases.length > 0 ? '0' : END,
    counts: NOTHING,
    countsBefore: NOTHING,
  };
  const result = (done: boolean): CopyResult => ({ done, checkpoint, counts: checkpoint.counts });
  if (checkpoint.cursor === END) return result(true);

  async function work(hard: AbortSignal): Promise<CopyResult> {
    const pair = await openPair({
      source: options.source,
      target: options.target,
      name,
      signal: hard,
      confirm: options.confirm,
    });
    const pace = startPace({ rate: options.rate, source: options.source, name: `${name}:ping`, signal });
    try {
      const { source, target } = pair;
      const again = options.checkpoint !== undefined;
      if (mode !== 'refuse' && !again)
        await noteOwnKeys({ target, databases: databases.map(([, to]) => to), match, signal });
      const sizes = await countKeys({ session: source, databases: databases.map(([from]) => from) });
      const keysInSource = sizes.reduce((sum, size) => sum + size, 0);
      // Where the server doesn't tell its run_id nothing is known of restarts, so no cursor is trusted.
      const sameLife = checkpoint.runId === source.runId && source.runId !== '';
      if (!sameLife)
        checkpoint = { ...checkpoint, runId: source.runId, cursor: '0', counts: checkpoint.countsBefore };
      const transfer: Transfer = { pair, mode, tracker, pace, signal };

      const first = Math.max(
        0,
        databases.findIndex(([from]) => from === checkpoint.database),
      );
      for (const [i, [from, to]] of databases.entries()) {
        if (i < first) continue;
        await source.select(from);
        await target.select(to);
        let inBatch = NOTHING;
        for await (const group of ahead(readGroups({ transfer, match, bigKey, cursor: checkpoint.cursor }))) {
          if (signal.aborted) return result(false);
          const counts = await writeKeys({ transfer, dumped: group.dumped, big: group.big, again });
          if (counts === null) return result(false);
          inBatch = add(inBatch, counts);
          const soFar = add(checkpoint.counts, inBatch);
          if (group.next !== null) {
            const place = placeAfter({ databases, index: i, next: group.next });
            const countsBefore = place.database === from ? checkpoint.countsBefore : soFar;
            checkpoint = { ...checkpoint, ...place, counts: soFar, countsBefore };
            inBatch = NOTHING;
          }
          onProgress?.({ ...soFar, database: from, keysInSource }, checkpoint);
        }
        if (signal.aborted) return result(false);
      }
      return result(true);
    } finally {
      pace.stop();
      pair.close();
    }
  }

  return endingGently({ signal, work, stopped: () => result(false) });
}

/** Where the copy stands when a batch of one database is done. */
function placeAfter(options: { databases: DatabaseMap; index: number; next: string }): {
  database: number;
  cursor: string;
} {
  const { databases, index, next } = options;
  const database = databases[index]?.[0] ?? 0;
  if (next !== '0') return { database, cursor: next };
  const following = databases[index + 1];
  return following ? { database: following[0], cursor: '0' } : { database, cursor: END };
}

async function* readGroups(options: {
  transfer: Transfer;
  match: string;
  bigKey: number;
  cursor: string;
}): AsyncGenerator<{ dumped: DumpedKey[]; big: Buffer[]; next: string | null }> {
  const { transfer, match, bigKey, cursor } = options;
  const { pace, pair } = transfer;
  const session = pair.source;
  const batches = ahead(scanKeys({ session, match, cursor, pace }));
  for await (const { keys, big, next } of ahead(groupBySize({ session, batches, bigKey, pace }))) {
    const dumped = await pace.run({ keys: keys.length, work: () => dumpKeys({ session, keys }) });
    yield { dumped, big, next };
  }
}
