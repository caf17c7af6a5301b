/** What one writes in an afternoon: SCAN, a pipeline of DUMP and PTTL, a pipeline of RESTORE. */
import { Redis } from 'ioredis';
import type { Ports } from './index.js';

const A_BATCH = 1_000;

export async function run({ from, to }: Ports) {
  const source = new Redis(from, '127.0.0.1');
  const target = new Redis(to, '127.0.0.1');
  try {
    let cursor = '0';
    do {
      const [next, keys] = await source.scanBuffer(cursor, 'COUNT', A_BATCH);
      cursor = next.toString();
      const reading = source.pipeline();
      for (const key of keys) reading.dumpBuffer(key).pttl(key);
      const replies = (await reading.exec()) ?? [];
      const writing = target.pipeline();
      keys.forEach((key, i) => {
        const payload = replies[2 * i]?.[1];
        const left = Number(replies[2 * i + 1]?.[1]);
        if (Buffer.isBuffer(payload)) writing.restore(key, Math.max(0, left), payload, 'REPLACE');
      });
      for (const [error] of (await writing.exec()) ?? []) if (error) throw error;
    } while (cursor !== '0');
    return {};
  } finally {
    source.disconnect();
    target.disconnect();
  }
}
