import { describe, expect, test } from 'vitest';
import type { DatabaseMap } from '../../../src/redis/address.js';
import { compareAll } from '../../../src/redis/compare.js';
import { copyAll, type CopyOptions } from '../../../src/redis/copy.js';
import { forgetOwnKeys } from '../../../src/redis/ledger.js';
import { fillWithEverything, readEverything } from './data.js';
import { pairsHere, server, type TestServer } from './servers.js';

const never = new AbortController().signal;

function settings(source: TestServer, target: TestServer, more: Partial<CopyOptions> = {}): CopyOptions {
  return {
    source: source.address,
    target: target.address,
    databases: [[0, 0]],
    match: '*',
    ifTargetHasKeys: 'refuse',
    rate: () => 'full',
    bigKey: 8_000_000,
    signal: never,
    ...more,
  };
}

const compareSettings = (options: CopyOptions) => ({
  ...options,
  repair: false,
  checkpoint: undefined,
  onProgress: undefined,
});

const NONE_LOST = { skipped: 0, gone: 0, expired: 0 };
const EQUAL = { done: true, missing: 0, extra: 0, type: 0, value: 0, ttl: 0, moving: 0, samples: [] };

async function move({ from, to, bigKey }: { from: string; to: string; bigKey: number }) {
  const [source, target] = await Promise.all([server(from), server(to)]);
  await fillWithEverything(source.client());
  const options = settings(source, target, { bigKey });
  const result = await copyAll(options);
  // Counters of streams exist from 7.0 on.
  const reading = { streamCounters: !/r6/.test(from + to) };
  return {
    result,
    expected: await readEverything(source.client(), reading),
    actual: await readEverything(target.client(), reading),
    compared: await compareAll(compareSettings(options)),
    comparedInPieces: await compareAll({ ...compareSettings(options), bigKey: 0 }),
    /** What we made for ourselves. */
    left: await target.client().keys('ferry:*'),
  };
}

describe('every type arrives exactly', () => {
  const upwards = pairsHere([
    ['r60', 'r62'],
    ['r60', 'r80'],
    ['r62', 'r70'],
    ['r70', 'r80'],
    ['r72', 'v81'],
    ['r74', 'r82'],
    ['r80', 'r74'],
    ['v81', 'v9'],
    ['v9', 'v9'],
  ]);
  test.for(upwards)('as the server serializes it: %s → %s', async ([from, to]) => {
    const { result, expected, actual, compared, comparedInPieces, left } = await move({
      from,
      to,
      bigKey: 8_000_000,
    });
    expect(actual).toEqual(expected);
    expect(result).toMatchObject({
      done: true,
      counts: { copied: Object.keys(expected).length, ...NONE_LOST },
    });
    expect(compared).toMatchObject({ ...EQUAL, keysCompared: result.counts.copied });
    expect(comparedInPieces).toMatchObject(EQUAL);
    expect(left).toEqual([]);
  });

  // By value even where the target takes none of the source's formats.
  const anyway = pairsHere([
    ['r60', 'r60'],
    ['r62', 'r80'],
    ['r70', 'r62'],
    ['r80', 'v9'],
    ['v9', 'r74'],
    ['r72', 'r70'],
    ['v81', 'r80'],
    ['r70', 'r60'],
  ]);
  test.for(anyway)('in pieces: %s → %s', async ([from, to]) => {
    const { result, expected, actual, compared, comparedInPieces, left } = await move({
      from,
      to,
      bigKey: 0,
    });
    expect(actual).toEqual(expected);
    const copied = Object.keys(expected).length;
    expect(result).toMatchObject({ done: true, counts: { copied, inPieces: copied, ...NONE_LOST } });
    expect(compared).toMatchObject({ ...EQUAL, keysCompared: copied });
    expect(comparedInPieces).toMatchObject(EQUAL);
    expect(left).toEqual([]);
  });
});

describe('databases', () => {
  test('are mapped, each to its own', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    for (const db of [0, 3, 7]) await source.client({ db }).mset('same', `in ${db}`, `only:${db}`, 'v');
    const databases: DatabaseMap = [
      [0, 5],
      [7, 0],
    ];
    const result = await copyAll(settings(source, target, { databases }));
    expect(result.counts.copied).toBe(4);
    expect(await target.client({ db: 5 }).get('same')).toBe('in 0');
    expect(await target.client({ db: 0 }).get('same')).toBe('in 7');
    expect(await target.client().info('keyspace')).not.toMatch(/db3|db7/);
    expect(await compareAll(compareSettings(settings(source, target, { databases })))).toMatchObject({
      missing: 0,
      extra: 0,
      keysCompared: 4,
    });
  });

  test('of one server, from one to another', async () => {
    const one = await server('r70');
    await fillWithEverything(one.client());
    await copyAll(settings(one, one, { databases: [[0, 9]] }));
    expect(await readEverything(one.client({ db: 9 }))).toEqual(await readEverything(one.client()));
  });

  test('only keys that match', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    await source.client().mset('a:1', '1', 'a:2', '2', 'b:1', '3');
    await target.client().set('z', 'own');
    const result = await copyAll(settings(source, target, { match: 'a:*' }));
    expect(result.counts.copied).toBe(2);
    expect(await target.client().keys('*')).toHaveLength(3);
    expect(await compareAll(compareSettings(settings(source, target, { match: 'a:*' })))).toMatchObject({
      missing: 0,
      extra: 0,
      keysCompared: 2,
    });
  });
});

async function bothHave() {
  const [source, target] = await Promise.all([server('r70'), server('r80')]);
  await source.client().mset('both', 'source', 'only source', 's');
  await target.client().mset('both', 'target', 'only target', 't');
  return { source, target };
}

describe('keys that the target has', () => {
  test('replace: those of the same name become the source’s, others stay', async () => {
    const { source, target } = await bothHave();
    const options = settings(source, target, { ifTargetHasKeys: 'replace' });
    expect((await copyAll(options)).counts).toMatchObject({ copied: 2, skipped: 0 });
    expect(await compareAll(compareSettings(options))).toMatchObject({
      missing: 0,
      value: 0,
      extra: 0,
      own: 1,
    });
    await forgetOwnKeys({ address: target.address, databases: [0] });
    expect(await readEverything(target.client())).toMatchObject({
      both: { value: 'source' },
      'only source': { value: 's' },
      'only target': { value: 't' },
    });
    expect(await target.client().dbsize()).toBe(3);
  });

  test.for([8_000_000, 0])('skip: those of the same name stay (bigKey %d)', async (bigKey) => {
    const { source, target } = await bothHave();
    const options = settings(source, target, { ifTargetHasKeys: 'skip', bigKey });
    const first = await copyAll(options);
    expect(first.counts).toMatchObject({ copied: 1, skipped: 1 });
    expect(await target.client().get('both')).toBe('target');
    // A second time over, what is there is known to be ours or theirs.
    const checkpoint = { ...first.checkpoint, cursor: '0', counts: first.checkpoint.countsBefore };
    expect((await copyAll({ ...options, checkpoint })).counts).toMatchObject({ copied: 1, skipped: 1 });
    expect(await compareAll(compareSettings(options))).toMatchObject({
      missing: 0,
      value: 0,
      extra: 0,
      own: 2,
    });
  });
});

describe('expiry', () => {
  test('that passes on the way, or is past when it is restored', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    const client = source.client();
    const pipe = client.pipeline();
    for (let i = 0; i < 20_000; i += 1) pipe.set(`k${i}`, 'v', 'PX', 30 + (i % 300));
    for (let i = 0; i < 1_000; i += 1) pipe.set(`stay${i}`, 'v');
    await pipe.exec();
    const result = await copyAll(settings(source, target));
    expect(result.done).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await target.client().keys('k*')).toEqual([]);
    expect(await target.client().keys('stay*')).toHaveLength(1_000);
  });
});

describe('pace', () => {
  test('so many keys a second', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    const pipe = source.client().pipeline();
    for (let i = 0; i < 1_500; i += 1) pipe.set(`k${i}`, 'v');
    await pipe.exec();
    const start = performance.now();
    await copyAll(settings(source, target, { rate: () => 1_500 }));
    expect(performance.now() - start).toBeGreaterThan(700);
    expect(performance.now() - start).toBeLessThan(2_500);
  });

  test('yielding still gets there', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    const pipe = source.client().pipeline();
    for (let i = 0; i < 5_000; i += 1) pipe.set(`k${i}`, 'v');
    await pipe.exec();
    expect((await copyAll(settings(source, target, { rate: () => 'yield' }))).counts.copied).toBe(5_000);
  });
});

describe('strings', () => {
  const dumps = async (source: TestServer): Promise<number> =>
    Number(/cmdstat_dump:calls=(\d+)/.exec(await source.client().info('commandstats'))?.[1] ?? 0);

  test('go as they are', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    await source.client().mset('a', '1', 'b', '\r\n\0', 'c', '');
    await source.client().set('d', 'v', 'PXAT', 4_102_444_800_777);
    await source.client().hset('hash', 'f', 'v');
    await copyAll(settings(source, target));
    expect(await readEverything(target.client())).toEqual(await readEverything(source.client()));
    expect(await dumps(source)).toBe(1);
  });

  test.for([
    ['source', '-mget'],
    ['target', '-mset'],
    ['target', '-set'],
  ] as const)('are serialized where that is not permitted: %s %s', async ([side, rule]) => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    await source.client().mset('a', '1', 'b', '2');
    await { source, target }[side].client().call('ACL', 'SETUSER', 'default', rule);
    const options = settings(source, target);
    expect((await copyAll(options)).counts.copied).toBe(2);
    expect(await dumps(source)).toBe(2);
    expect(await compareAll(compareSettings(options))).toMatchObject({ ...EQUAL, keysCompared: 2 });
  });
});
