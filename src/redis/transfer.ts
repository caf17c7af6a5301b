/** What every copying of keys is made of: two sides, how values go over, what is there already, and the counts. */
import type { Rate } from '../inputs/redis-copy.js';
import type { ServerAddress } from './address.js';
import { startPace, type Pace } from './rate.js';
import { endingGently, openPair, type Pair } from './session.js';
import type { Tracker } from './tracker.js';

/** What is done where the target has a key of that name. With "refuse" the target was empty, so what is there is ours. */
export type TargetKeys = 'refuse' | 'replace' | 'skip';

/**
 * How values go over. "dump": as the source serializes them (DUMP, RESTORE). "value": by the commands of each type, where the
 * target doesn't read the source's format.
 */
export type Way = 'dump' | 'value';

export interface Transfer {
  pair: Pair;
  way: Way;
  mode: TargetKeys;
  /** Told of streams. */
  tracker: Tracker | undefined;
  pace: Pace;
  signal: AbortSignal;
}

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

export const NOTHING: CopyCounts = { copied: 0, inPieces: 0, bytes: 0, skipped: 0, gone: 0, expired: 0 };

export function add(a: CopyCounts, b: CopyCounts): CopyCounts {
  return {
    copied: a.copied + b.copied,
    inPieces: a.inPieces + b.inPieces,
    bytes: a.bytes + b.bytes,
    skipped: a.skipped + b.skipped,
    gone: a.gone + b.gone,
    expired: a.expired + b.expired,
  };
}

/** What a long pass over both sides needs, whatever it does there. */
export interface Pass {
  source: ServerAddress;
  target: ServerAddress;
  /** Asked again and again, so that it may change under way. */
  rate: () => Rate;
  /** Name of the connections in CLIENT LIST. */
  name?: string | undefined;
  /** Asked once connected, before anything is written; throws when this attempt has no right to write any more. */
  confirm?: (() => Promise<void>) | undefined;
  signal: AbortSignal;
}

/** Runs a pass on connections of its own, at its pace. Aborted, it answers `stopped()`. */
export function onBothSides<T>(
  { source, target, rate, name = 'ferry', confirm, signal }: Pass,
  run: { work: (on: { pair: Pair; pace: Pace }) => Promise<T>; stopped: () => T },
): Promise<T> {
  return endingGently({
    signal,
    stopped: run.stopped,
    async work(hard) {
      const pair = await openPair({ source, target, name, signal: hard, confirm });
      const pace = startPace({ rate, source, name: `${name}:ping`, signal });
      try {
        return await run.work({ pair, pace });
      } finally {
        pace.stop();
        pair.close();
      }
    },
  });
}
