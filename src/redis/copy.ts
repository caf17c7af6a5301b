/** Copies every key of the mapped databases: SCAN, DUMP, RESTORE with absolute expiry; big keys in pieces. */
import type { Rate } from '../inputs/redis-copy.js';
import type { DatabaseMap, ServerAddress } from './address.js';
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
  cursor: string;
  counts: CopyCounts;
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
  signal: AbortSignal;
  onProgress?: ((progress: CopyProgress, checkpoint: CopyCheckpoint) => void) | undefined;
}

export interface CopyResult {
  /** False when `signal` ended it: the checkpoint says from where to go on. */
  done: boolean;
  checkpoint: CopyCheckpoint;
  counts: CopyCounts;
}

/** Aborting returns `{done: false}`; it never throws for it. Throws FerryError for everything else. */
export async function copyAll(options: CopyOptions): Promise<CopyResult> {
  throw new Error(`not yet ${options.match}`);
}
