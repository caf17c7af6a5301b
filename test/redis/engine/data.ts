/** Keys of every kind, and a reader of them that shares nothing with the engine. */
import type { Redis } from 'ioredis';

export const ODD_KEYS = [
  Buffer.from('with\r\nline'),
  Buffer.from([0, 1, 2, 255, 254, 13, 10]),
  Buffer.from(''),
  Buffer.from('ключ'),
];
export const ODD_SCORES = [
  'inf',
  '-inf',
  '-0',
  '0',
  '1e-320',
  '0.30000000000000004',
  '1.7976931348623157e+308',
  '5e-324',
  '-1.5',
  '9007199254740993',
  '3.0000000000000004',
  '123456789.12345679',
];

export async function supports(redis: Redis, command: string): Promise<boolean> {
  const [info] = (await redis.call('COMMAND', 'INFO', command)) as unknown[];
  return info !== null && info !== undefined;
}

/** Fills the selected database with every type, encoding and oddity that the server knows; and `other` too, if it is given. */
export async function fillWithEverything(redis: Redis, other = redis): Promise<void> {
  const pipe = redis.pipeline();
  const soon = Date.now() + 3_600_000;
  for (const key of ODD_KEYS) pipe.set(key, Buffer.concat([Buffer.from([0, 13, 10]), key]));
  pipe
    .set('empty', '')
    .set('int', '12345')
    .set('negative', '-9223372036854775808')
    .set('embedded', 'short')
    .set('raw', 'r'.repeat(500));
  pipe.set('compressible', 'a'.repeat(50_000)).set('float', '3.14').set('leading zero', '007');
  pipe
    .set('expiring', 'v')
    .pexpireat('expiring', soon + 123)
    .set('expiring later', 'v')
    .pexpireat('expiring later', 4_102_444_800_777);
  for (let i = 0; i < 60; i += 1) pipe.set(`ttl:${i}`, 'v').pexpireat(`ttl:${i}`, soon + i * 977);
  pipe
    .rpush('list small', 'a', '', '1', '\r\n')
    .rpush('list quick', ...Array.from({ length: 3_000 }, (_, i) => `element ${i}`));
  pipe.rpush('list plain', 'x'.repeat(70_000), 'y').pexpireat('list small', soon);
  pipe.sadd('set int', ...Array.from({ length: 100 }, (_, i) => i - 50)).sadd('set list', 'a', 'b', '\0');
  pipe.sadd('set table', ...Array.from({ length: 2_000 }, (_, i) => `member ${i}`));
  pipe.zadd('zset small', ...ODD_SCORES.flatMap((score, i) => [score, `m${i}`]));
  pipe.zadd(
    'zset skip',
    ...Array.from({ length: 1_000 }, (_, i) => [Math.sin(i) * 10 ** (i % 300), `m${i}`]).flat(),
  );
  for (const [i, score] of ODD_SCORES.entries()) pipe.zadd('zset skip', score, `odd ${i}`);
  pipe
    .hset('hash small', 'f', 'v', '', '', '\r\n', '\0')
    .hset('hash table', ...Array.from({ length: 2_000 }, (_, i) => [`f${i}`, `v${i}`]).flat());
  pipe
    .hset('hash long', 'f', 'z'.repeat(5_000))
    .pfadd('hll', ...Array.from({ length: 500 }, (_, i) => `e${i}`))
    .geoadd('geo', 13.36, 38.11, 'Palermo');
  pipe.setbit('bits', 5_000, 1);
  const results = (await pipe.exec()) ?? [];
  for (const [error] of results) if (error) throw error;

  const modern = await supports(redis, 'XAUTOCLAIM');
  for (let i = 1; i <= 500; i += 1)
    await redis.xadd('stream', `${i}-${i % 3}`, 'field', `value ${i}`, 'i', String(i));
  await redis.xgroup('CREATE', 'stream', 'g1', '0');
  await redis.xgroup('CREATE', 'stream', 'g2', '250-0');
  await redis.xgroup('CREATE', 'stream', 'untouched', '$');
  await redis.xreadgroup('GROUP', 'g1', 'alice', 'COUNT', 50, 'STREAMS', 'stream', '>');
  await redis.xreadgroup('GROUP', 'g1', 'bob', 'COUNT', 30, 'STREAMS', 'stream', '>');
  await redis.xreadgroup('GROUP', 'g2', 'carol', 'COUNT', 5, 'STREAMS', 'stream', '>');
  if (modern) await redis.call('XGROUP', 'CREATECONSUMER', 'stream', 'g2', 'idle');
  await redis.xack('stream', 'g1', '2-2', '3-0');
  await redis.xclaim('stream', 'g1', 'bob', 0, '4-1', 'RETRYCOUNT', 7);
  // Deleted, some of them while pending: first, in between, and last.
  await redis.xdel('stream', '1-1', '5-2', '6-0', '300-0', '500-2');
  await redis.xadd('stream trimmed', '1-1', 'a', 'b');
  await redis.xadd('stream trimmed', '2-1', 'a', 'b');
  await redis.xgroup('CREATE', 'stream trimmed', 'g', '0');
  await redis.xreadgroup('GROUP', 'g', 'c', 'STREAMS', 'stream trimmed', '>');
  await redis.xtrim('stream trimmed', 'MAXLEN', 1);
  await redis.xgroup('CREATE', 'stream empty', 'g', '0', 'MKSTREAM');
  await redis.xadd('stream emptied', '7-7', 'a', 'b');
  await redis.xdel('stream emptied', '7-7');
  if ((await supports(redis, 'HPEXPIREAT')) && (await supports(other, 'HPEXPIREAT')))
    await fillWithExpiringFields(redis, soon);
}

/** Hashes with fields that expire, small and large. */
export async function fillWithExpiringFields(redis: Redis, soon = Date.now() + 3_600_000): Promise<void> {
  await redis.hset('hash expiring', 'f', 'v', 'g', 'w', 'stays', 'x');
  await redis.call('HPEXPIREAT', 'hash expiring', soon + 11, 'FIELDS', 1, 'f');
  await redis.call('HPEXPIREAT', 'hash expiring', soon + 22, 'FIELDS', 1, 'g');
  await redis.hset(
    'hash expiring table',
    ...Array.from({ length: 1_000 }, (_, i) => [`f${i}`, `v${i}`]).flat(),
  );
  for (let i = 0; i < 40; i += 1)
    await redis.call('HPEXPIREAT', 'hash expiring table', soon + i, 'FIELDS', 1, `f${i}`);
}

export interface Seen {
  type: string;
  value: unknown;
  /** Milliseconds since 1970, -1 for none. */
  expireAt: number;
}

const hex = (value: unknown): string => (Buffer.isBuffer(value) ? value.toString('latin1') : String(value));

function numberBits(text: string): string {
  const bytes = Buffer.alloc(8);
  const value = text === 'inf' ? Infinity : text === '-inf' ? -Infinity : Number(text);
  bytes.writeDoubleBE(value);
  return bytes.toString('hex');
}

function flat(reply: unknown): Map<string, unknown> {
  const map = new Map<string, unknown>();
  const list = (reply as unknown[]).flat();
  for (let i = 0; i < list.length; i += 2) map.set(hex(list[i]), list[i + 1]);
  return map;
}

export interface Reading {
  /** Only servers from 7.0 have them. */
  streamCounters?: boolean;
  ignore?: RegExp;
}

/** Everything in the selected database, by value. */
export async function readEverything(redis: Redis, options: Reading = {}): Promise<Record<string, Seen>> {
  const { streamCounters = true } = options;
  const exact = await supports(redis, 'PEXPIRETIME');
  const fieldTimes = await supports(redis, 'HPEXPIRETIME');
  const seen: Record<string, Seen> = {};
  const keys = (await redis.callBuffer('KEYS', '*')) as Buffer[];
  await Promise.all(
    keys.map(async (key) => {
      const name = hex(key);
      if (options.ignore?.test(name)) return;
      const type = await redis.type(key);
      const value = await readValue(redis, { key, type, fieldTimes, streamCounters });
      const expireAt = exact
        ? Number(await redis.call('PEXPIRETIME', key))
        : await expiryBetweenClocks(redis, key);
      if (expireAt !== -2) seen[name] = { type, value, expireAt };
    }),
  );
  return seen;
}

function clock([seconds, micros]: [string | number, string | number]): number {
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

/** Exact where the server's clock shows the same millisecond before and after; which it does sooner or later. */
async function expiryBetweenClocks(redis: Redis, key: Buffer): Promise<number> {
  for (;;) {
    const replies = await redis.multi().time().pttl(key).time().exec();
    const [from, left, to] = (replies ?? []).map(([, reply]) => reply) as [
      [string, string],
      number,
      [string, string],
    ];
    if (left < 0) return left;
    if (clock(from) === clock(to)) return clock(from) + left;
  }
}

async function readValue(
  redis: Redis,
  options: { key: Buffer; type: string; fieldTimes: boolean; streamCounters: boolean },
): Promise<unknown> {
  const { key, type, fieldTimes, streamCounters } = options;
  switch (type) {
    case 'string':
      return hex(await redis.getBuffer(key));
    case 'list':
      return (await redis.lrangeBuffer(key, 0, -1)).map(hex);
    case 'set':
      return (await redis.smembersBuffer(key)).map(hex).sort();
    case 'zset': {
      const list = (await redis.callBuffer('ZRANGE', key, 0, -1, 'WITHSCORES')) as Buffer[];
      return [...flat(list)].map(([member, score]) => `${member}=${numberBits(hex(score))}`).sort();
    }
    case 'hash': {
      const fields = [...flat(await redis.callBuffer('HGETALL', key))];
      const times =
        fieldTimes && fields.length > 0
          ? ((await redis.call(
              'HPEXPIRETIME',
              key,
              'FIELDS',
              fields.length,
              ...fields.map(([field]) => Buffer.from(field, 'latin1')),
            )) as number[])
          : [];
      return fields.map(([field, value], i) => `${field}=${hex(value)}@${times[i] ?? -1}`).sort();
    }
    case 'stream': {
      const entries = JSON.stringify(await redis.call('XRANGE', key, '-', '+'));
      const info = flat(await redis.call('XINFO', 'STREAM', key));
      const groups = [];
      for (const group of (await redis.call('XINFO', 'GROUPS', key)) as unknown[]) {
        const about = flat(group);
        const name = hex(about.get('name'));
        const consumers = ((await redis.call('XINFO', 'CONSUMERS', key, name)) as unknown[]).map(
          (one) => `${hex(flat(one).get('name'))}:${hex(flat(one).get('pending'))}`,
        );
        const pending = ((await redis.call('XPENDING', key, name, '-', '+', 10_000)) as unknown[][]).map(
          ([id, consumer, , times]) => `${String(id)} ${String(consumer)} ${String(times)}`,
        );
        groups.push({
          name,
          last: about.get('last-delivered-id'),
          read: streamCounters ? about.get('entries-read') : null,
          consumers: consumers.sort(),
          pending,
        });
      }
      return {
        entries,
        last: info.get('last-generated-id'),
        added: streamCounters ? info.get('entries-added') : null,
        deleted: streamCounters ? info.get('max-deleted-entry-id') : null,
        groups,
      };
    }
    default:
      throw new Error(`no reader for ${type}`);
  }
}
