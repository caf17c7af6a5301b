/** The product's own comparison, in both directions, without Temporal. */
import { compareAll } from '../../src/redis/compare.js';
import { startTracking, type Tracker } from '../../src/redis/tracker.js';
import type { Ports } from './index.js';

const BIG_KEY = 8 * 1024 * 1024;

export async function run(ports: Ports) {
  const tracker = await startTracking({ address: { host: '127.0.0.1', port: ports.from }, match: '*' });
  try {
    return await compareWith({ ...ports, tracker });
  } finally {
    tracker.close();
  }
}

export async function compareWith({ from, to, tracker }: Ports & { tracker: Tracker }) {
  const { done, keysCompared, missing, extra, type, value, ttl } = await compareAll({
    source: { host: '127.0.0.1', port: from },
    target: { host: '127.0.0.1', port: to },
    databases: [[0, 0]],
    match: '*',
    ifTargetHasKeys: 'refuse',
    repair: false,
    rate: () => 'full',
    bigKey: BIG_KEY,
    tracker,
    signal: new AbortController().signal,
  });
  return { done, keys: keysCompared, missing, extra, type, value, ttl };
}
