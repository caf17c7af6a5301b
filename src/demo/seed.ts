/** What the old server holds before the move: every type of Redis, with and without expiry, in two databases. */
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';

type Command = (string | number | Buffer)[];

const HOUR = 3_600_000;
const between = (low: number, high: number): number => Math.round(low + Math.random() * (high - low));
const some = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

function* shop(): Generator<Command> {
  for (let id = 0; id < 12_000; id += 1)
    yield ['SET', `session:${id}`, `user ${id * 7}, basket of ${id % 12}`, 'PX', between(HOUR, 24 * HOUR)];
  for (let id = 0; id < 6_000; id += 1)
    yield [
      'HSET',
      `user:${id}`,
      'name',
      `Customer ${id}`,
      'city',
      ['Paris', 'Lima', 'Oslo', '東京'][id % 4] ?? '',
      'points',
      id * 3,
    ];
  for (let id = 0; id < 6_000; id += 1)
    yield [
      'SET',
      `product:${id}`,
      JSON.stringify({ id, title: `Product ${id}`, price: (id * 37) % 900, about: 'x'.repeat(id % 200) }),
    ];
  for (let id = 0; id < 1_000; id += 1) yield ['SET', `stock:${id}`, id * 11];
  // These expire while the move is under way, on both sides at the same moment.
  for (let id = 0; id < 200; id += 1)
    yield ['SET', `one-time-code:${id}`, between(0, 999_999), 'PX', between(8_000, 90_000)];
  // Neither keys nor values need to be text.
  for (let id = 0; id < 200; id += 1)
    yield ['SET', Buffer.concat([Buffer.from('blob:\0\xff\r\n', 'latin1'), randomBytes(8)]), randomBytes(64)];
  for (let id = 0; id < 400; id += 1)
    yield ['RPUSH', `basket:${id}`, ...some(1 + (id % 20), (at) => `product:${(id * at) % 6_000}`)];
  for (let id = 0; id < 400; id += 1)
    yield ['SADD', `tags:${id}`, ...some(1 + (id % 15), (at) => `tag ${(id * at) % 50}`)];
  for (let id = 0; id < 300; id += 1) yield ['SADD', `seen:${id}`, ...some(40, (at) => (id * at) % 6_000)];
  for (let id = 0; id < 200; id += 1)
    yield ['ZADD', `ranking:${id}`, ...some(30, (at) => [(id * at) % 997, `user:${at}`]).flat()];
  for (let id = 0; id < 10; id += 1)
    yield ['ZADD', `ranking:all:${id}`, ...some(3_000, (at) => [at / 7, `user:${at}`]).flat()];
  for (let id = 0; id < 20; id += 1)
    yield [
      'GEOADD',
      `shops:${id}`,
      ...some(25, (at) => [(id * 7 + at) % 170, (id + at) % 80, `shop ${at}`]).flat(),
    ];
  for (let id = 0; id < 40; id += 1)
    yield ['PFADD', `visitors:${id}`, ...some(500, (at) => `visitor ${id * at}`)];
  for (let id = 0; id < 20; id += 1)
    for (const day of [3, 70, 366, 9_000]) yield ['SETBIT', `present:${id}`, day + id, 1];
  for (let id = 0; id < 12; id += 1) yield* stream(`shipments:${id}`);
  // Larger than what is moved in one piece.
  for (let part = 0; part < 12; part += 1) yield ['RPUSH', 'archive', ...some(10, () => randomBytes(96_000))];
}

const entryId = (at: number): string => `${1_700_000_000_000 + at}-0`;

/** A consumer group has read most of it, and not confirmed all that it read. */
function* stream(key: string): Generator<Command> {
  for (let at = 0; at < 60; at += 1) yield ['XADD', key, entryId(at), 'order', at, 'to', `user:${at}`];
  yield ['XGROUP', 'CREATE', key, 'packers', '0'];
  yield ['XREADGROUP', 'GROUP', 'packers', 'anna', 'COUNT', 40, 'STREAMS', key, '>'];
  yield ['XACK', key, 'packers', ...some(25, entryId)];
}

function* cache(): Generator<Command> {
  for (let id = 0; id < 4_000; id += 1)
    yield [
      'SET',
      `page:${id}`,
      `<html>${'rendered '.repeat(id % 30)}</html>`,
      'PX',
      between(HOUR / 4, 2 * HOUR),
    ];
}

const BATCH = 500;

/** Empties the server and fills it. Gives the number of keys. */
export async function seed(url: string): Promise<number> {
  const client = new Redis(url, { maxRetriesPerRequest: 0, retryStrategy: () => null, lazyConnect: true });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // Whatever a start that was killed has left.
    await client.flushall();
    let keys = 0;
    for (const [database, commands] of [shop(), cache()].entries()) {
      await client.select(database);
      let batch = client.pipeline();
      for (const [name = '', ...words] of commands) {
        batch.call(String(name), ...words);
        if (batch.length >= BATCH) {
          await send(batch);
          batch = client.pipeline();
        }
      }
      await send(batch);
      keys += await client.dbsize();
    }
    return keys;
  } finally {
    client.disconnect();
  }
}

async function send(batch: ReturnType<Redis['pipeline']>): Promise<void> {
  for (const [error] of (await batch.exec()) ?? []) if (error) throw error;
}
