import { expect, test } from 'vitest';
import { compareAll } from '../../../src/redis/compare.js';
import { copyAll, type CopyOptions } from '../../../src/redis/copy.js';
import { server, type TestServer } from './servers.js';

const MB = 1024 * 1024;

function settings(source: TestServer, target: TestServer): CopyOptions {
  return {
    source: source.address,
    target: target.address,
    databases: [[0, 0]],
    match: '*',
    ifTargetHasKeys: 'refuse',
    rate: () => 'full',
    bigKey: 2 * MB,
    signal: new AbortController().signal,
  };
}

test('a hash of a million fields and a string of 100 MB, in flat memory, while the source answers', async () => {
  const [source, target] = await Promise.all([server('r70'), server('r80')]);
  const client = source.client();
  // Made by the server itself: our own memory is what is measured.
  await client.eval(
    "for i = 1, 1000000 do redis.call('HSET', KEYS[1], 'field:' .. i, 'value ' .. i) end",
    1,
    'big hash',
  );
  await client.setrange('big string', 100 * MB - 5, 'end');
  await client.setrange('big string', 50 * MB, 'middle');
  await client.eval(
    "for i = 1, 200000 do redis.call('RPUSH', KEYS[1], 'element ' .. i) redis.call('ZADD', KEYS[2], i / 3, 'm' .. i) end",
    2,
    'big list',
    'big zset',
  );
  await client.pexpireat('big hash', 4_102_444_800_123);

  const waits: number[] = [];
  let most = 0;
  const probe = source.client();
  const watching = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
    const start = performance.now();
    void probe.ping().then(
      () => waits.push(performance.now() - start),
      () => {},
    );
  }, 5);
  global.gc?.();
  const before = process.memoryUsage().rss;
  const options = settings(source, target);
  const result = await copyAll(options);
  const compared = await compareAll({
    ...options,
    repair: false,
    checkpoint: undefined,
    onProgress: undefined,
  });
  clearInterval(watching);

  expect(result.counts).toMatchObject({ copied: 4, inPieces: 4 });
  expect(compared).toMatchObject({ keysCompared: 4, missing: 0, extra: 0, value: 0, ttl: 0 });
  expect(most - before).toBeLessThan(120 * MB);
  // A DUMP of that hash alone stalls the source for most of a second. Measured from within this busy process, on a shared machine.
  waits.sort((a, b) => a - b);
  expect(waits[Math.floor(waits.length / 2)]).toBeLessThan(100);
  expect(waits.at(-1)).toBeLessThan(700);

  const other = target.client();
  expect(await other.hlen('big hash')).toBe(1_000_000);
  expect(await other.hmget('big hash', 'field:1', 'field:500000', 'field:1000000')).toEqual([
    'value 1',
    'value 500000',
    'value 1000000',
  ]);
  expect(Number(await other.call('PEXPIRETIME', 'big hash'))).toBe(4_102_444_800_123);
  expect(await other.strlen('big string')).toBe(100 * MB - 2);
  expect(await other.getrange('big string', 50 * MB, 50 * MB + 5)).toBe('middle');
  const sum = "local s = '' for _, k in ipairs(redis.call('KEYS', 'ferry:*')) do s = s .. k end return s";
  expect(await other.eval(sum, 0)).toBe('');
  const digest = (key: string) => other.eval("return redis.sha1hex(redis.call('GET', KEYS[1]))", 1, key);
  expect(await digest('big string')).toBe(
    await client.eval("return redis.sha1hex(redis.call('GET', KEYS[1]))", 1, 'big string'),
  );
  expect(await other.lrange('big list', 199_998, -1)).toEqual(['element 199999', 'element 200000']);
  // Each version writes a number in its own way.
  expect(Number(await other.zscore('big zset', 'm100001'))).toBe(100_001 / 3);

  // One member of many.
  await other.zincrby('big zset', 1e-10, 'm77');
  const part = { ...options, match: 'big zset', checkpoint: undefined, onProgress: undefined };
  expect(await compareAll({ ...part, repair: true })).toMatchObject({ value: 1, repaired: 1 });
  expect(Number(await other.zscore('big zset', 'm77'))).toBe(77 / 3);
}, 120_000);

test('an abort leaves no half key behind', async () => {
  const [source, target] = await Promise.all([server('r70'), server('r80')]);
  await source
    .client()
    .eval("for i = 1, 300000 do redis.call('HSET', KEYS[1], 'field:' .. i, 'value ' .. i) end", 1, 'big');
  const stop = new AbortController();
  const running = copyAll({ ...settings(source, target), bigKey: MB, signal: stop.signal });
  const client = target.client();
  await expect.poll(() => client.keys('*'), { interval: 2 }).toHaveLength(1);
  // Until it is whole it has another name, and would vanish by itself if we did.
  const [part = ''] = await client.keys('*');
  expect(part).toMatch(/^ferry:part:/);
  expect(await client.ttl(part)).toBeGreaterThan(60);
  stop.abort();
  expect(await running).toMatchObject({ done: false });
  expect(await client.keys('*')).toEqual([]);
});
