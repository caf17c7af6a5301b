/** Compares the mapped databases key by key, in both directions. */
import type { Rate } from '../inputs/redis-copy.js';
import type { DatabaseMap, ServerAddress } from './address.js';
import type { TargetKeys } from './copy.js';
import type { Tracker } from './tracker.js';

export type DifferenceKind = 'missing' | 'extra' | 'type' | 'value' | 'ttl';

export interface Difference {
  /** The source database. */
  database: number;
  /** The key's name, unprintable bytes as \xNN. */
  key: string;
  what: DifferenceKind;
}

export interface CompareCounts {
  keysCompared: number;
  /** At the source, not at the target. */
  missing: number;
  /** At the target, not at the source. With "replace" and "skip" they may be the target's own, and no difference. */
  extra: number;
  type: number;
  value: number;
  ttl: number;
  /** Written to at the source each time they were looked at: neither equal nor different; the last pass decides. */
  moving: number;
  /** Of the differences, those made good (`repair`). */
  repaired: number;
}

export interface DatabaseCounts extends CompareCounts {
  source: number;
  target: number;
}

export interface CompareCheckpoint {
  database: number;
  /** Which side is being scanned: the source for what is missing or differs, then the target for what is extra. */
  side: 'source' | 'target';
  /** run_id of that side. */
  runId: string;
  cursor: string;
  perDatabase: DatabaseCounts[];
  samples: Difference[];
  digest: string;
}

export interface CompareOptions {
  source: ServerAddress;
  target: ServerAddress;
  databases: DatabaseMap;
  match: string;
  ifTargetHasKeys: TargetKeys;
  /** Reconcile: copy again what differs; delete what is extra (only with "refuse", where the target has no keys of its own). */
  repair: boolean;
  rate: () => Rate;
  bigKey: number;
  checkpoint?: CompareCheckpoint | undefined;
  /** With it, keys being written to meanwhile are copied again before they are judged. */
  tracker?: Tracker | undefined;
  name?: string | undefined;
  signal: AbortSignal;
  onProgress?: ((progress: CompareProgress, checkpoint: CompareCheckpoint) => void) | undefined;
}

export interface CompareProgress extends CompareCounts {
  database: number;
  keysInSource: number;
}

export interface CompareResult extends CompareCounts {
  done: boolean;
  checkpoint: CompareCheckpoint;
  perDatabase: DatabaseCounts[];
  /** At most 20, never values. */
  samples: Difference[];
  /** Fingerprint of the source's keys as they were compared, whatever their order: names, expiry and the server's own checksum of each value. */
  digest: string;
}

export async function compareAll(options: CompareOptions): Promise<CompareResult> {
  throw new Error(`not yet ${options.match}`);
}
