/** Fills a server: strings, hashes, a few big collections, one key in ten with an expiry. The same data each time. */
import { openConnection, type Command, type Connection } from '../../src/redis/resp.js';

const BATCH = 5_000;
const HOUR = 3_600_000;

/** `strings` of `bytes` bytes; with `others`, 2 hashes for every 100 strings and six big collections too. */
export async function run(input: { port: number; strings: number; bytes: number; others: boolean }) {
  const { port, strings, bytes, others } = input;
  const connection = await openConnection({ address: { host: '127.0.0.1', port }, name: 'bench:seed' });
  const random = randomFrom(20_260_301);
  // Text that doesn't compress, as tokens and session data don't.
  const pool = Buffer.from(Array.from({ length: 1 << 20 }, () => 33 + Math.floor(random() * 90)));
  const text = (length: number): Buffer => {
    const at = Math.floor(random() * (pool.length - length));
    return pool.subarray(at, at + length);
  };
  const expiry = (): string => String(Date.now() + HOUR + Math.floor(random() * 24 * HOUR));
  try {
    let batch: Command[] = [];
    const send = async (command: Command, last = false): Promise<void> => {
      batch.push(command);
      if (batch.length < BATCH && !last) return;
      await all(connection, batch);
      batch = [];
    };
    for (let i = 0; i < strings; i += 1) {
      const set = ['SET', `session:${i.toString(36).padStart(8, '0')}`, text(bytes)];
      await send(i % 10 === 0 ? [...set, 'PXAT', expiry()] : set);
    }
    const hashes = others ? Math.round(strings / 50) : 0;
    for (let i = 0; i < hashes; i += 1) {
      const key = `user:${i}`;
      await send(['HSET', key, 'name', text(12), 'mail', text(24), 'seen', i, 'token', text(40)]);
      if (i % 10 === 0) await send(['PEXPIREAT', key, expiry()]);
    }
    await send(['PING'], true);
    if (others) await fillCollections({ connection, text });
    return { keys: Number(await connection.call(['DBSIZE'])) };
  } finally {
    connection.close();
  }
}

/** Two of them are above the size from which keys go in pieces (8 MiB of memory): the index and the blob. */
async function fillCollections(on: {
  connection: Connection;
  text: (length: number) => Buffer;
}): Promise<void> {
  const { connection, text } = on;
  for (let from = 0; from < 100_000; from += 1_000) {
    const numbers = Array.from({ length: 1_000 }, (_, i) => from + i);
    await all(connection, [
      ['HSET', 'index', ...numbers.flatMap((n) => [`field:${n}`, text(40)])],
      ['APPEND', 'blob', text(100_000)],
    ]);
    if (from >= 50_000) continue;
    await all(connection, [
      ['RPUSH', 'queue', ...numbers.map(() => text(50))],
      ['SADD', 'members', ...numbers.map((n) => `member:${n}`)],
      ['ZADD', 'scores', ...numbers.flatMap((n) => [String(Math.sqrt(n)), `player:${n}`])],
      ...numbers.slice(0, 200).map((n): Command => ['XADD', 'events', `${n + 1}-0`, 'what', text(30)]),
    ]);
  }
}

async function all(connection: Connection, commands: readonly Command[]): Promise<void> {
  for (const reply of await connection.pipeline(commands)) if (reply instanceof Error) throw reply;
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4_294_967_296;
  };
}
