/**
 * Copies every key of the mapped databases with its absolute expiry: by DUMP and RESTORE, or by value; big keys in pieces.
 *
 * Four things go on at once (listing, weighing, reading, writing), each a few batches ahead of the next, so both servers
 * are kept busy and what is in flight is a few groups of at most 4 MB, whatever the data.
 */
import type { DatabaseMap } from './address.js';
import { lookAt, writeKeys, type Look } from './keys.js';
import { noteOwnKeys } from './ledger.js';
import { ahead, groupBySize, keySizes, overlapped, scanForeignKeys } from './scan.js';
import { countKeys } from './session.js';
import type { Tracker } from './tracker.js';
import {
  add,
  NOTHING,
  onBothSides,
  type CopyCounts,
  type Pass,
  type TargetKeys,
  type Transfer,
  type Way,
} from './transfer.js';

export type { CopyCounts };

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

export interface CopyOptions extends Pass {
  databases: DatabaseMap;
  match: string;
  ifTargetHasKeys: TargetKeys;
  /** Default "dump". */
  way?: Way | undefined;
  /** Bytes of memory at the source above which a key goes in pieces. */
  bigKey: number;
  checkpoint?: CopyCheckpoint | undefined;
  /** Told of the streams it must watch. */
  tracker?: Tracker | undefined;
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
 * checkpoint it copies at most the last few batches a second time.
 */
export async function copyAll(options: CopyOptions): Promise<CopyResult> {
  const {
    databases,
    match,
    ifTargetHasKeys: mode,
    way = 'dump',
    bigKey,
    tracker,
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

  async function work({ pair, pace }: Pick<Transfer, 'pair' | 'pace'>): Promise<CopyResult> {
    if (!options.checkpoint) tracker?.weights.begin();
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
    const transfer: Transfer = { pair, way, mode, tracker, pace, signal };

    const first = Math.max(
      0,
      databases.findIndex(([from]) => from === checkpoint.database),
    );
    for (const [i, [from, to]] of databases.entries()) {
      if (i < first) continue;
      await source.select(from);
      await target.select(to);
      let inBatch = NOTHING;
      const written = overlapped({
        items: ahead(readGroups({ transfer, match, bigKey, cursor: checkpoint.cursor })),
        atOnce: () => pace.atOnce(),
        work: async ({ look, big, next }) => ({
          counts: signal.aborted ? null : await writeKeys({ transfer, look, big, again }),
          next,
        }),
      });
      for await (const { counts, next } of written) {
        if (counts === null) return result(false);
        inBatch = add(inBatch, counts);
        const soFar = add(checkpoint.counts, inBatch);
        if (next !== null) {
          const place = placeAfter({ databases, index: i, next });
          const countsBefore = place.database === from ? checkpoint.countsBefore : soFar;
          checkpoint = { ...checkpoint, ...place, counts: soFar, countsBefore };
          inBatch = NOTHING;
        }
        onProgress?.({ ...soFar, database: from, keysInSource }, checkpoint);
      }
      if (signal.aborted) return result(false);
    }
    tracker?.weights.complete();
    return result(true);
  }

  return onBothSides(options, { work, stopped: () => result(false) });
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
}): AsyncGenerator<{ look: Look; big: Buffer[]; next: string | null }> {
  const { transfer, match, bigKey, cursor } = options;
  const { pace, pair, tracker } = transfer;
  const session = pair.source;
  const batches = ahead(scanForeignKeys({ session, match, cursor, pace }));
  async function weigh(keys: readonly Buffer[]): Promise<number[]> {
    const sizes = await pace.run({ keys: 0, work: () => keySizes({ session, keys }) });
    tracker?.weights.note({ keys, sizes });
    return sizes;
  }
  const items = ahead(groupBySize({ batches, bigKey, weigh }));
  yield* overlapped({
    items,
    atOnce: () => pace.atOnce(),
    work: async ({ keys, big, next }) => ({
      look: await pace.run({ keys: keys.length, work: () => lookAt({ transfer, keys }) }),
      big,
      next,
    }),
  });
}
