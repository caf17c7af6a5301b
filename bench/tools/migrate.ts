/** MIGRATE … COPY: the source itself sends the keys, 500 a call. */
import { Redis } from 'ioredis';
import type { Ports } from './index.js';

const A_CALL = 500;

export async function run({ from, to }: Ports) {
  const source = new Redis(from, '127.0.0.1');
  try {
    let cursor = '0';
    do {
      const [next, keys] = await source.scanBuffer(cursor, 'COUNT', A_CALL);
      cursor = next.toString();
      // SCAN may give a few more than it was asked for.
      for (let at = 0; at < keys.length; at += A_CALL)
        await source.call(
          'MIGRATE',
          '127.0.0.1',
          to,
          '',
          0,
          60_000,
          'COPY',
          'REPLACE',
          'KEYS',
          ...keys.slice(at, at + A_CALL),
        );
    } while (cursor !== '0');
    return {};
  } finally {
    source.disconnect();
  }
}
