/** The product's own comparison, in both directions, without Temporal. */
import { compareAll } from '../../src/redis/compare.js';
import { startTracking } from '../../src/redis/tracker.js';
import type { Ports } from './index.js';

const BIG_KEY = 8 * 1024 * 1024;

export async function run({ from, to }: Ports) {
  const source = { host: '127.0.0.1', port: from };
  const tracker = await startTracking({ address: source, match: '*' });
  try {
    const { done, keysCompared, missing, extra, type, value, ttl } = await compareAll({
      source,
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
  } finally {
    tracker.close();
  }
}
