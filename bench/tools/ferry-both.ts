/** The product's own copy and comparison one after the other, with one change tracking, as in an upgrade. Without Temporal. */
import { startTracking } from '../../src/redis/tracker.js';
import { compareWith } from './ferry-compare.js';
import { copyWith } from './ferry-copy.js';
import type { Ports } from './index.js';

export async function run(ports: Ports) {
  const tracker = await startTracking({ address: { host: '127.0.0.1', port: ports.from }, match: '*' });
  try {
    const began = performance.now();
    const copied = await copyWith({ ...ports, rate: 'full', tracker });
    const half = performance.now();
    const compared = await compareWith({ ...ports, tracker });
    return { copied, copyMs: half - began, compared, compareMs: performance.now() - half };
  } finally {
    tracker.close();
  }
}
