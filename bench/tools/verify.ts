/**
 * Whether both servers hold the same, found out without the product's comparison: the servers' own digest of each value
 * (DEBUG DIGEST-VALUE) and the expiry of each key, read on both sides.
 */
import { Redis } from 'ioredis';
import type { Ports } from './index.js';

const A_BATCH = 1_000;

export async function run({ from, to }: Ports) {
  // With protocol 3 scores would come as numbers of the client's making.
  const [source, target] = [new Redis(from, { protocol: 2 }), new Redis(to, { protocol: 2 })];
  try {
    const [here, there] = await Promise.all([source.dbsize(), target.dbsize()]);
    let otherValues = 0;
    let otherTtls = 0;
    /** The largest difference, milliseconds. */
    let ttlDrift = 0;
    let cursor = '0';
    do {
      const [next, keys] = await source.scanBuffer(cursor, 'COUNT', A_BATCH);
      cursor = next.toString();
      if (keys.length === 0) continue;
      const [[digests, times], [theirDigests, theirTimes]] = await Promise.all([
        look(source, keys),
        look(target, keys),
      ]);
      for (const [i, key] of keys.entries()) {
        if (digests[i] !== theirDigests[i] && !(await sameScores({ source, target, key }))) otherValues += 1;
        const [time = 0, theirTime = 0] = [times[i], theirTimes[i]];
        if (time === theirTime) continue;
        otherTtls += 1;
        if (time >= 0 && theirTime >= 0) ttlDrift = Math.max(ttlDrift, Math.abs(time - theirTime));
      }
    } while (cursor !== '0');
    return { sameSize: here === there, otherValues, otherTtls, ttlDrift };
  } finally {
    source.disconnect();
    target.disconnect();
  }
}

async function look(redis: Redis, keys: readonly Buffer[]): Promise<[string[], number[]]> {
  const pipe = redis.pipeline();
  pipe.call('DEBUG', 'DIGEST-VALUE', ...keys);
  for (const key of keys) pipe.call('PEXPIRETIME', key);
  const replies = ((await pipe.exec()) ?? []).map(([error, reply]) => {
    if (error) throw error;
    return reply;
  });
  return [(replies[0] as string[]).map(String), replies.slice(1).map(Number)];
}

/** Versions write one score in different ways, and digest what they write: so these are compared as numbers. */
async function sameScores(on: { source: Redis; target: Redis; key: Buffer }): Promise<boolean> {
  const { source, target, key } = on;
  if ((await source.type(key)) !== 'zset' || (await target.type(key)) !== 'zset') return false;
  const [a, b] = await Promise.all(
    [source, target].map(
      (redis) => redis.callBuffer('ZRANGE', key, 0, -1, 'WITHSCORES') as Promise<Buffer[]>,
    ),
  );
  if (!a || !b || a.length !== b.length) return false;
  return a.every((part, i) => {
    const other = b[i] ?? Buffer.alloc(0);
    return i % 2 === 0 ? part.equals(other) : Object.is(Number(part.toString()), Number(other.toString()));
  });
}
