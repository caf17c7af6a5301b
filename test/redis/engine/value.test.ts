/** Keys by value: what a target that doesn't read the source's format gets, read back by a reader of its own. */
import { describe, expect, test } from 'vitest';
import { compareAll } from '../../../src/redis/compare.js';
import { copyAll, type CopyOptions } from '../../../src/redis/copy.js';
import { forgetOwnKeys } from '../../../src/redis/ledger.js';
import { UNHURRIED } from '../../../src/redis/rate.js';
import { openPair } from '../../../src/redis/session.js';
import { writeValues } from '../../../src/redis/values.js';
import { fillWithEverything, readEverything } from './data.js';
import { pairsHere, server, type TestServer } from './servers.js';

function settings(source: TestServer, target: TestServer, more: Partial<CopyOptions> = {}): CopyOptions {
  return {
    source: source.address,
    target: target.address,
    databases: [[0, 0]],
    match: '*',
    ifTargetHasKeys: 'refuse',
    way: 'value',
    rate: () => 'full',
    bigKey: 8_000_000,
    signal: new AbortController().signal,
    ...more,
  };
}

const comparing = (options: CopyOptions) => ({
  ...options,
  repair: false,
  checkpoint: undefined,
  onProgress: undefined,
});

const EQUAL = { done: true, missing: 0, extra: 0, type: 0, value: 0, ttl: 0, moving: 0, samples: [] };

/** Both ways of each; the rest of the matrix is swept. */
const pairs = [
  ['r60', 'r80'],
  ['r62', 'r70'],
  ['r70', 'r80'],
  ['r74', 'v81'],
  ['r72', 'v9'],
  ['r80', 'v9'],
] as const;

describe('every type arrives exactly', () => {
  test.for(pairsHere(pairs.flatMap(([a, b]) => [[a, b] as const, [b, a] as const])))(
    '%s → %s',
    async ([from, to]) => {
      const [source, target] = await Promise.all([server(from), server(to)]);
      await fillWithEverything(source.client(), target.client());
      const options = settings(source, target);
      const { counts, done } = await copyAll(options);
      const reading = { streamCounters: !/r6/.test(from + to) };
      const expected = await readEverything(source.client(), reading);
      const actual = await readEverything(target.client(), reading);
      expect(actual).toEqual(expected);
      expect({ done, counts }).toMatchObject({
        done: true,
        counts: { copied: Object.keys(expected).length, inPieces: 0, skipped: 0, gone: 0, expired: 0 },
      });
      expect(await compareAll(comparing(options))).toMatchObject({ ...EQUAL, keysCompared: counts.copied });
      expect(await compareAll({ ...comparing(options), bigKey: 0 })).toMatchObject(EQUAL);
      expect(await target.client().keys('ferry:*')).toEqual([]);
    },
  );
});

describe('keys that the target has', () => {
  const both = async () => {
    const [source, target] = await Promise.all([server('r80'), server('r70')]);
    await source.client().mset('both', 'source', 'only source', 's');
    await source.client().hset('both hash', 'f', 'source');
    await source.client().set('both expiring', 'source', 'PX', 600_000);
    await target.client().mset('both', 'target', 'only target', 't', 'both expiring', 'target');
    await target.client().rpush('both hash', 'target');
    return { source, target };
  };

  test('replace: those of the same name become the source’s, others stay', async () => {
    const { source, target } = await both();
    const options = settings(source, target, { ifTargetHasKeys: 'replace' });
    expect((await copyAll(options)).counts).toMatchObject({ copied: 4, skipped: 0 });
    expect(await compareAll(comparing(options))).toMatchObject({ missing: 0, value: 0, extra: 0, own: 1 });
    await forgetOwnKeys({ address: target.address, databases: [0] });
    expect(await readEverything(target.client())).toEqual({
      ...(await readEverything(source.client())),
      'only target': { type: 'string', value: 't', expireAt: -1 },
    });
  });

  test('skip: those of the same name stay, a second time too', async () => {
    const { source, target } = await both();
    const options = settings(source, target, { ifTargetHasKeys: 'skip' });
    const first = await copyAll(options);
    expect(first.counts).toMatchObject({ copied: 1, skipped: 3 });
    expect(await target.client().get('both')).toBe('target');
    expect(await target.client().lrange('both hash', 0, -1)).toEqual(['target']);
    const checkpoint = { ...first.checkpoint, cursor: '0', counts: first.checkpoint.countsBefore };
    expect((await copyAll({ ...options, checkpoint })).counts).toMatchObject({ copied: 1, skipped: 3 });
    expect(await compareAll(comparing(options))).toMatchObject({ missing: 0, value: 0, own: 4 });
  });

  test('skip: a name that is taken meanwhile is not ours', async () => {
    const [source, target] = await Promise.all([server('r80'), server('r70')]);
    const options = settings(source, target, { ifTargetHasKeys: 'skip', rate: () => 200 });
    const pipe = source.client().pipeline();
    for (let i = 0; i < 100; i += 1) pipe.hset(`h${i}`, 'f', i).set(`s${i}`, i);
    await pipe.exec();
    const running = copyAll(options);
    const client = target.client();
    await expect.poll(() => client.dbsize(), { interval: 1 }).toBeGreaterThan(1);
    const taken = client.pipeline();
    for (let i = 0; i < 100; i += 1) taken.setnx(`h${i}`, 'theirs').setnx(`s${i}`, 'theirs');
    await taken.exec();
    const { counts } = await running;
    expect(counts.skipped).toBeGreaterThan(0);
    expect(counts.copied + counts.skipped).toBe(200);
    const theirs = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => (await client.type(`h${i}`)) === 'string'),
    );
    const strings = await client.mget(Array.from({ length: 100 }, (_, i) => `s${i}`));
    expect([...theirs, ...strings.map((value) => value === 'theirs')].filter(Boolean)).toHaveLength(
      counts.skipped,
    );
    expect(await client.keys('ferry:part:*')).toEqual([]);
  });
});

describe('what can not be carried', () => {
  test('fields that expire, into a server without: refused by name, and the name is not taken', async () => {
    const [source, target] = await Promise.all([server('r80'), server('r70')]);
    await source.client().hset('session:1', 'token', 't', 'user', 'u');
    await source.client().call('HPEXPIRE', 'session:1', 600_000, 'FIELDS', 1, 'token');
    await expect(copyAll(settings(source, target))).rejects.toMatchObject({
      type: 'FormatRefused',
      message: expect.stringMatching(/Redis 7\.0.*no hash fields that expire.*session:1/s),
    });
    await expect(copyAll(settings(source, target, { bigKey: 0 }))).rejects.toMatchObject({
      message: expect.stringContaining('session:1'),
    });
    expect(await target.client().dbsize()).toBe(0);
  });

  test('a key that the target has no memory for is not there in part', async () => {
    const [source, target] = await Promise.all([
      server('r80'),
      server('r70', { args: ['--maxmemory', '3mb', '--maxmemory-policy', 'noeviction'] }),
    ]);
    const client = source.client();
    for (let i = 0; i < 40; i += 1)
      await client.hset(`h${i}`, { a: 'x'.repeat(50_000), b: 'y'.repeat(50_000) });
    await expect(copyAll(settings(source, target))).rejects.toMatchObject({ type: 'TargetOutOfMemory' });
    const there = await target.client().keys('*');
    expect(there.length).toBeLessThan(40);
    for (const key of there) expect(await target.client().hlen(key)).toBe(2);
  });
});

test('a value of which the target refuses a part is taken away again, and told', async () => {
  const [source, target] = await Promise.all([server('r80'), server('r70')]);
  const pair = await openPair({ source: source.address, target: target.address, name: 'test' });
  const transfer = {
    pair,
    way: 'value' as const,
    mode: 'refuse' as const,
    tracker: undefined,
    pace: UNHURRIED,
    signal: new AbortController().signal,
  };
  const member = Buffer.from('m');
  const values = ['1', 'no number'].map((score) => ({
    key: Buffer.from(`z ${score}`),
    type: 'zset',
    expireAt: -1,
    pieces: [
      { type: 'zset' as const, members: [{ member, score: Buffer.from('1') }] },
      { type: 'zset' as const, members: [{ member, score: Buffer.from(score) }] },
    ],
  }));
  for (const replace of [true, false]) {
    const { tally, refused } = await writeValues({ transfer, values, replace });
    expect(tally).toMatchObject(replace ? { copied: 1 } : { copied: 0, skipped: 1 });
    expect(refused.map(String)).toEqual(['z no number']);
    expect(await target.client().keys('*')).toEqual(['z 1']);
  }
  pair.close();
});

describe('expiry', () => {
  test('that passes on the way; and to the millisecond', async () => {
    const [source, target] = await Promise.all([server('r80'), server('r60')]);
    const pipe = source.client().pipeline();
    const now = Date.now();
    for (let i = 0; i < 5_000; i += 1)
      pipe
        .set(`k${i}`, 'v', 'PX', 30 + (i % 300))
        .hset(`kh${i}`, 'f', 'v')
        .pexpire(`kh${i}`, 30 + (i % 300));
    for (let i = 0; i < 500; i += 1) pipe.call('SET', `stay${i}`, 'v', 'PXAT', now + 3_600_000 + i);
    await pipe.exec();
    expect((await copyAll(settings(source, target))).done).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await target.client().keys('k*')).toEqual([]);
    const there = await readEverything(target.client());
    for (let i = 0; i < 500; i += 1) expect(there[`stay${i}`]?.expireAt).toBe(now + 3_600_000 + i);
  });
});
