/*
 * Every ordered pair of versions: copied while it is written to, by the way that the two servers allow, and read back by readers
 * that share nothing with the engine (an ioredis of its own, and the servers' own digests). Where both ways are possible, by value
 * too. `npm run sweep -- test/redis/engine/pairs.sweep.ts` writes the result down.
 */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareAll } from '../../../src/redis/compare.js';
import { copyAll } from '../../../src/redis/copy.js';
import { copyChanged } from '../../../src/redis/delta.js';
import { highestFormat } from '../../../src/redis/format.js';
import { carryFunctions } from '../../../src/redis/functions.js';
import { openConnection } from '../../../src/redis/resp.js';
import { startTracking } from '../../../src/redis/tracker.js';
import type { Way } from '../../../src/redis/transfer.js';
import { chooseWay } from '../../../src/redis/ways.js';
import { fillWithEverything, fillWithExpiringFields, readEverything, supports } from './data.js';
import { server, versionsHere, type TestServer } from './servers.js';

const VERSIONS = ['r60', 'r62', 'r70', 'r72', 'r74', 'r80', 'r82', 'v81', 'v9'];
const BIG = ['big hash', 'big string', 'big list', 'big zset'];
const LIBRARY = "#!lua name=swept\nredis.register_function('swept', function() return 'swept' end)";
const DEBUG = (name: string) => (name.startsWith('r6') ? [] : ['--enable-debug-command', 'yes']);

/** A hash of a million fields, a string of 100 MB, and collections above `bigKey`; made by the server itself. */
async function fillWithBig(client: Redis): Promise<void> {
  await client.eval(
    "for i = 1, 1000000 do redis.call('HSET', KEYS[1], 'field:' .. i, 'value ' .. i) end",
    1,
    'big hash',
  );
  await client.setrange('big string', 100 * 1024 * 1024 - 5, 'end');
  await client.setrange('big string', 50 * 1024 * 1024, 'middle');
  await client.eval(
    "for i = 1, 200000 do redis.call('RPUSH', KEYS[1], 'element ' .. i) redis.call('ZADD', KEYS[2], i / 3, 'm' .. i) end",
    2,
    'big list',
    'big zset',
  );
  await client.pexpireat('big hash', 4_102_444_800_123);
}

/** Renews and takes away expiries, lets keys run out, deletes, and changes every type, until stopped. */
function disturb(client: Redis): () => Promise<void> {
  let stopped = false;
  const running = (async () => {
    for (let round = 0; !stopped; round += 1) {
      const pipe = client.pipeline();
      const i = round % 500;
      pipe.set(`live:runs out:${i}`, 'v', 'PX', 20 + (round % 300));
      pipe.set(`live:renewed:${i}`, 'v', 'PX', 300).pexpire(`live:renewed:${i}`, 3_600_000 + round);
      pipe.set(`live:kept:${i}`, 'v', 'PX', 500).persist(`live:kept:${i}`);
      pipe.del(`live:deleted:${(i * 7) % 500}`).unlink(`live:renewed:${(i * 3) % 500}`);
      pipe.set(`live:deleted:${i}`, String(round)).rename(`live:kept:${i}`, `live:renamed:${i}`);
      pipe
        .hset(`live:hash:${i % 50}`, `f${round % 90}`, round)
        .hdel(`live:hash:${i % 50}`, `f${(round * 7) % 90}`);
      pipe.rpush(`live:list:${i % 50}`, round).lpop(`live:list:${(i + 25) % 50}`);
      pipe.zincrby(`live:zset:${i % 50}`, 0.1, `m${round % 9}`).sadd(`live:set:${i % 50}`, round);
      pipe.xadd(`live:stream:${i % 20}`, 'MAXLEN', '40', '*', 'f', String(round));
      pipe.xgroup('CREATE', `live:stream:${i % 20}`, 'g', '0', 'MKSTREAM');
      pipe.xreadgroup('GROUP', 'g', 'c', 'COUNT', 3, 'STREAMS', `live:stream:${i % 20}`, '>');
      pipe
        .set(`live:type:${i % 50}`, 'string')
        .del(`live:type:${i % 50}`)
        .sadd(`live:type:${i % 50}`, 'set');
      await pipe.exec();
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })();
  return async () => {
    stopped = true;
    await running;
  };
}

/** The servers' own digests, of the contents and not of their encoding; but of scores as each version writes them. */
async function digests(client: Redis): Promise<string[]> {
  const replies: string[] = [];
  for (const key of BIG.filter((name) => name !== 'big zset'))
    replies.push(String(await client.call('DEBUG', 'DIGEST-VALUE', key)));
  return replies;
}

async function endOf({ address, name }: TestServer) {
  const connection = await openConnection({ address, name: 'test' });
  const formats = await highestFormat(connection);
  connection.close();
  return { product: name, formats, can: { dump: true, restore: true } };
}

async function move(on: { source: TestServer; target: TestServer; way: Way; match: string }) {
  const { source, target, way, match } = on;
  const [from, to] = [source.client(), target.client()];
  const common = {
    source: source.address,
    target: target.address,
    databases: [[0, 0]] as const,
    match,
    ifTargetHasKeys: 'refuse' as const,
    way,
    rate: () => 'full' as const,
    bigKey: 2_000_000,
    signal: new AbortController().signal,
  };
  const tracker = await startTracking({ address: source.address, match });
  const stop = disturb(from);
  const copied = await copyAll({ ...common, tracker });
  expect(copied.done).toBe(true);
  for (let pass = 0; pass < 3; pass += 1) {
    let batches = 0;
    await copyChanged({
      ...common,
      tracker,
      watched: false,
      verify: false,
      until: () => (batches += 1) >= 3,
    });
  }
  await stop();
  await tracker.barrier();
  const last = await copyChanged({ ...common, tracker, watched: true, verify: true });
  expect(last).toMatchObject({ done: true, pending: 0, lost: null, different: 0, samples: [] });
  tracker.close();
  // What is about to run out does so: the two servers don't do it in the same instant.
  for (const client of [from, to])
    await expect.poll(async () => (await client.keys('live:runs out:*')).length, { timeout: 10_000 }).toBe(0);
  expect(await compareAll({ ...common, rate: () => 'full', repair: false })).toMatchObject({
    done: true,
    missing: 0,
    extra: 0,
    type: 0,
    value: 0,
    ttl: 0,
    samples: [],
  });
  return copied.counts;
}

describe.for(versionsHere(VERSIONS))('from %s', (from) => {
  let source: TestServer;
  beforeAll(async () => {
    source = await server(from, { args: DEBUG(from) });
    const client = source.client();
    await fillWithEverything(client);
    await fillWithBig(client);
    if (await supports(client, 'FUNCTION')) await client.call('FUNCTION', 'LOAD', LIBRARY);
  });
  afterAll(() => source.kill9());

  test.for(versionsHere(VERSIONS).filter((to) => to !== from))('to %s', async (to) => {
    const target = await server(to, { args: DEBUG(to) });
    const [client, other] = [source.client(), target.client()];
    await client.unlink('hash expiring', 'hash expiring table');
    if ((await supports(client, 'HPEXPIREAT')) && (await supports(other, 'HPEXPIREAT')))
      await fillWithExpiringFields(client);
    const { chosen, because } = chooseWay({
      from: await endOf(source),
      to: await endOf(target),
      wish: 'auto',
    });

    const equal = async (): Promise<number> => {
      const reading = { streamCounters: !/r6/.test(from + to), ignore: /^big (hash|string|list)$/ };
      const expected = await readEverything(client, reading);
      expect(await readEverything(other, reading)).toEqual(expected);
      return Object.keys(expected).length;
    };
    const counts = await move({ source, target, way: chosen, match: '*' });
    const keys = await equal();
    expect(keys).toBeGreaterThan(500);
    expect(await digests(other)).toEqual(await digests(client));
    expect(counts.inPieces).toBeGreaterThanOrEqual(4);

    const addresses = { source: source.address, target: target.address };
    const { carried } = await carryFunctions({ ...addresses, leave: [], name: 'test' });
    if (carried.length > 0) expect(await other.call('FCALL', 'swept', 0)).toBe('swept');
    expect(carried.length > 0).toBe(!/r6/.test(from + to));

    if (chosen === 'dump') {
      // Again by value, but for the big ones, which go in pieces either way.
      await other.flushall();
      await move({ source, target, way: 'value', match: '[^b]*' });
      expect(await other.exists(...BIG)).toBe(0);
      const small = { streamCounters: !/r6/.test(from + to), ignore: /^b|^$/ };
      expect(await readEverything(other, small)).toEqual(await readEverything(client, small));
    }
    console.log(
      `${from} → ${to}: ${keys + 3} keys, ${chosen}${because ? ` (${because})` : ', and by value'}`,
    );
    await target.kill9();
  });
});
