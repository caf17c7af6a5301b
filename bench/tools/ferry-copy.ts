/** The product's own copy, behind change tracking as in an upgrade, without Temporal. */
import type { Rate } from '../../src/inputs/redis-copy.js';
import { copyAll } from '../../src/redis/copy.js';
import { startTracking, type Tracker } from '../../src/redis/tracker.js';
import type { Ports } from './index.js';

const BIG_KEY = 8 * 1024 * 1024;

/** With `forMs` it stops after so many milliseconds, if it isn't done by then. */
export async function run({ from, to, rate, forMs }: Ports & { rate: Rate; forMs?: number }) {
  const tracker = await startTracking({ address: { host: '127.0.0.1', port: from }, match: '*' });
  const stop = new AbortController();
  const timer = forMs === undefined ? undefined : setTimeout(() => stop.abort(), forMs);
  try {
    return await copyWith({ from, to, rate, tracker, signal: stop.signal });
  } finally {
    clearTimeout(timer);
    tracker.close();
  }
}

export async function copyWith(options: Ports & { rate: Rate; tracker: Tracker; signal?: AbortSignal }) {
  const { from, to, rate, tracker, signal = new AbortController().signal } = options;
  const { done, counts } = await copyAll({
    source: { host: '127.0.0.1', port: from },
    target: { host: '127.0.0.1', port: to },
    databases: [[0, 0]],
    match: '*',
    ifTargetHasKeys: 'refuse',
    rate: () => rate,
    bigKey: BIG_KEY,
    tracker,
    signal,
  });
  return { done, keys: counts.copied };
}
