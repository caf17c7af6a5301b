/** What the source holds that the target has no place for: found beforehand where there is a reason to look. */
import { describe, expect, test } from 'vitest';
import { compareAll } from '../../../src/redis/compare.js';
import { lookAtContents, type ContentsOptions } from '../../../src/redis/contents.js';
import { copyAll } from '../../../src/redis/copy.js';
import { carryFunctions, readLibraries, removeFunctions } from '../../../src/redis/functions.js';
import { openConnection } from '../../../src/redis/resp.js';
import { pairsHere, server, type TestServer } from './servers.js';

const looking = (
  source: TestServer,
  target: TestServer,
  more: Partial<ContentsOptions> = {},
): ContentsOptions => ({
  source: source.address,
  target: target.address,
  databases: [
    [0, 0],
    [3, 3],
  ],
  match: '*',
  way: 'value',
  modules: { source: [], target: [] },
  rate: () => 'full',
  limitMs: 30_000,
  name: 'test',
  signal: new AbortController().signal,
  ...more,
});

describe('hash fields that expire', () => {
  test.for(
    pairsHere([
      ['r74', 'r72'],
      ['r80', 'v81'],
      ['v9', 'v81'],
    ]),
  )('%s → %s', async ([from, to]) => {
    const [source, target] = await Promise.all([server(from), server(to)]);
    const client = source.client();
    await client.hset('plain', 'f', 'v');
    expect((await lookAtContents(looking(source, target))).looked).toBeNull();

    const third = source.client({ db: 3 });
    for (let i = 0; i < 30; i += 1) {
      await third.hset(`session:${i}`, 'token', 't', 'user', 'u');
      await third.call('HPEXPIRE', `session:${i}`, 600_000, 'FIELDS', 1, 'token');
    }
    // In a table, where it isn't the first field that one comes across.
    await client.hset('large', ...Array.from({ length: 3_000 }, (_, i) => [`f${i}`, i]).flat());
    await client.call('HPEXPIRE', 'large', 600_000, 'FIELDS', 1, 'f2999');
    const found = await lookAtContents(looking(source, target));
    expect(found.expiringFields?.count).toBeGreaterThanOrEqual(20);
    expect(found.expiringFields?.sample).toHaveLength(20);
    expect(found.looked).toEqual({ keys: 32, of: 32 });
    expect((await lookAtContents(looking(source, target, { match: 'large' }))).expiringFields).toEqual({
      count: 1,
      sample: ['large'],
    });
    expect((await lookAtContents(looking(source, target, { match: 'plain' }))).expiringFields).toEqual({
      count: 0,
      sample: [],
    });
    // A target that has them is no reason to look.
    expect((await lookAtContents(looking(source, source))).expiringFields).toBeNull();
    // Taken away again, though some servers go on counting them.
    await third.flushdb();
    await client.call('HPERSIST', 'large', 'FIELDS', 1, 'f2999');
    expect((await lookAtContents(looking(source, target))).expiringFields ?? { count: 0 }).toMatchObject({
      count: 0,
    });
  });
});

describe('types of modules', () => {
  const modules = { source: ['vectorset'], target: [] as string[] };
  const fill = async (source: TestServer): Promise<void> => {
    const client = source.client();
    for (let i = 0; i < 100; i += 1)
      await client.call('VADD', 'vectors', 'VALUES', 3, Math.sin(i), i, 1, `e${i}`, 'SETATTR', `{"i":${i}}`);
    for (let i = 0; i < 100; i += 1)
      await client.call('VADD', 'exact', 'VALUES', 2, Math.cos(i), i, `e${i}`, 'NOQUANT');
    await client.mset('a', 1, 'b', 2);
  };

  test('which the target refuses, are found and named', async () => {
    const [source, target] = await Promise.all([server('r80'), server('r70')]);
    await fill(source);
    expect(await lookAtContents(looking(source, target, { modules }))).toMatchObject({
      looked: { keys: 4, of: 4 },
      opaque: {
        vectorset: { count: 2, sample: expect.arrayContaining(['vectors', 'exact']), accepted: false },
      },
    });
    expect((await lookAtContents(looking(source, target, { modules, match: 'a' }))).opaque).toEqual({});
    // Without a module there is nothing to look for.
    expect((await lookAtContents(looking(source, target))).looked).toBeNull();
  });

  test.for(
    pairsHere([
      ['r80', 'r80'],
      ['r80', 'r82'],
    ]),
  )('which the target takes, are carried and compared: %s → %s', async ([from, to]) => {
    const [source, target] = await Promise.all([server(from), server(to)]);
    await fill(source);
    const contents = await lookAtContents(looking(source, target, { modules, way: 'dump' }));
    expect(contents.opaque).toMatchObject({ vectorset: { count: 2, accepted: true } });
    // To try leaves nothing.
    expect(await target.client().dbsize()).toBe(0);
    for (const way of ['dump', 'value'] as const) {
      const options = {
        ...looking(source, target),
        way,
        ifTargetHasKeys: 'refuse' as const,
        bigKey: 8_000_000,
      };
      expect((await copyAll(options)).counts.copied).toBe(4);
      expect(await compareAll({ ...options, repair: false })).toMatchObject({
        keysCompared: 4,
        value: 0,
        missing: 0,
      });
    }
    expect(await target.client().call('VSIM', 'exact', 'ELE', 'e5', 'COUNT', 3)).toEqual(
      await source.client().call('VSIM', 'exact', 'ELE', 'e5', 'COUNT', 3),
    );
    const client = target.client();
    const different = async (): Promise<number> =>
      (
        await compareAll({
          ...looking(source, target),
          ifTargetHasKeys: 'refuse',
          bigKey: 8_000_000,
          repair: false,
        })
      ).value;
    await client.call('VSETATTR', 'vectors', 'e7', '{"i":8}');
    expect(await different()).toBe(1);
    await client.call('VADD', 'exact', 'VALUES', 2, 0.5, 0.25, 'e9', 'NOQUANT');
    expect(await different()).toBe(2);
  });
});

test('looking ends when its time is up, and says how far it came', async () => {
  const [source, target] = await Promise.all([server('r80'), server('r70')]);
  const pipe = source.client().pipeline();
  for (let i = 0; i < 5_000; i += 1) pipe.set(`k${i}`, i);
  await pipe.exec();
  const { looked } = await lookAtContents(
    looking(source, target, { modules: { source: ['vectorset'], target: [] }, limitMs: 0 }),
  );
  expect(looked?.of).toBe(5_000);
  expect(looked?.keys).toBeGreaterThan(0);
  expect(looked?.keys).toBeLessThan(5_000);
});

describe('function libraries', () => {
  const library = (name: string, value: number) =>
    `#!lua name=${name}\nredis.register_function('${name}_f', function() return ${value} end)`;

  test('are loaded, replaced and removed; what the target has of its own stays', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    const [from, to] = [source.client(), target.client()];
    for (const [name, value] of [
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ] as const)
      await from.call('FUNCTION', 'LOAD', library(name, value));
    for (const [name, value] of [
      ['b', 20],
      ['c', 3],
      ['own', 4],
    ] as const)
      await to.call('FUNCTION', 'LOAD', library(name, value));
    const both = { source: source.address, target: target.address, name: 'test' };
    const { libraries } = await lookAtContents(looking(source, target));
    expect(libraries).toMatchObject({ different: ['b'] });

    expect(await carryFunctions({ ...both, leave: ['b', 'c', 'own'] })).toEqual({
      carried: ['a'],
      loaded: ['a'],
    });
    expect(await to.call('FCALL', 'b_f', 0)).toBe(20);
    expect(await carryFunctions({ ...both, leave: [] })).toEqual({ carried: ['a', 'b', 'c'], loaded: ['b'] });
    expect(await to.call('FCALL', 'b_f', 0)).toBe(2);
    expect(await carryFunctions({ ...both, leave: [] })).toMatchObject({ loaded: [] });
    expect(await removeFunctions({ ...both, own: ['b', 'c', 'own'] })).toEqual(['a']);
    const connection = await openConnection({ address: target.address, name: 'test' });
    expect([...((await readLibraries(connection)) ?? new Map()).keys()].toSorted()).toEqual([
      'b',
      'c',
      'own',
    ]);
    connection.close();
  });

  test('one that the target refuses is named; a server without functions has none', async () => {
    const [source, target, old] = await Promise.all([server('r70'), server('r80'), server('r62')]);
    await source.client().call('FUNCTION', 'LOAD', library('mine', 1));
    // A function's name belongs to one library only.
    await target.client().call('FUNCTION', 'LOAD', library('theirs', 1).replace('theirs_f', 'mine_f'));
    const both = { source: source.address, target: target.address, leave: [], name: 'test' };
    await expect(carryFunctions(both)).rejects.toMatchObject({
      type: 'FormatRefused',
      message: expect.stringMatching(/refuses the function library mine/),
    });
    expect((await lookAtContents(looking(source, old))).libraries).toEqual({
      source: ['mine'],
      target: null,
      different: [],
    });
    expect(await carryFunctions({ ...both, target: old.address })).toEqual({ carried: [], loaded: [] });
  });
});
