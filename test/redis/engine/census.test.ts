/* What is extra at the target is found, also where numbers alone could tell that there is nothing. */
import { expect, onTestFinished, test } from 'vitest';
import { compareAll, type CompareOptions } from '../../../src/redis/compare.js';
import { copyAll } from '../../../src/redis/copy.js';
import { startTracking } from '../../../src/redis/tracker.js';
import { fillWithEverything } from './data.js';
import { server } from './servers.js';

async function copied() {
  const [source, target] = await Promise.all([server('r70'), server('r80')]);
  await fillWithEverything(source.client());
  await source.client().mset(...Array.from({ length: 3_000 }, (_, i) => [`k${i}`, `v${i}`]).flat());
  const tracker = await startTracking({ address: source.address, match: '*' });
  onTestFinished(() => tracker.close());
  const options: CompareOptions = {
    source: source.address,
    target: target.address,
    databases: [[0, 0]],
    match: '*',
    ifTargetHasKeys: 'refuse',
    repair: false,
    rate: () => 'full',
    bigKey: 8_000_000,
    tracker,
    signal: new AbortController().signal,
  };
  await copyAll({ ...options, checkpoint: undefined, onProgress: undefined });
  const scansOfTarget = async (): Promise<number> =>
    Number(/cmdstat_scan:calls=(\d+)/.exec(await target.client().info('commandstats'))?.[1] ?? 0);
  const weighed = async (): Promise<number> =>
    Number(/cmdstat_memory\S*:calls=(\d+)/.exec(await source.client().info('commandstats'))?.[1] ?? 0);
  return { source, target, options, tracker, scansOfTarget, weighed };
}

const EQUAL = { done: true, missing: 0, extra: 0, type: 0, value: 0, ttl: 0, moving: 0 };

test('equal numbers spare the look from the other side', async () => {
  const { options, scansOfTarget } = await copied();
  expect(await compareAll(options)).toMatchObject({ ...EQUAL, checkpoint: { cursor: 'end' } });
  expect(await scansOfTarget()).toBe(0);
});

test('keys that were light when they were copied are not weighed again, those that changed are', async () => {
  const { source, options, weighed } = await copied();
  const before = await weighed();
  expect(await compareAll(options)).toMatchObject(EQUAL);
  expect((await weighed()) - before).toBeLessThan(100);

  const grown = 'x'.repeat(9_000_000);
  await source.client().set('k7', grown);
  await source.client().set('new', grown);
  await options.tracker?.barrier();
  const between = await weighed();
  // Both are above `bigKey` now, and neither is at the target yet: followed in pieces, then equal.
  expect(await compareAll(options)).toMatchObject(EQUAL);
  expect((await weighed()) - between).toBeGreaterThanOrEqual(2);

  // Another worker's tracker knows no weights.
  const tracker = await startTracking({ address: source.address, match: '*' });
  onTestFinished(() => tracker.close());
  const last = await weighed();
  expect(await compareAll({ ...options, tracker })).toMatchObject(EQUAL);
  expect((await weighed()) - last).toBeGreaterThan(3_000);
});

test('a key that only the target has', async () => {
  const { target, options } = await copied();
  await target.client().set('extra', 'x');
  expect(await compareAll(options)).toMatchObject({ ...EQUAL, extra: 1 });
});

test('as many missing as extra', async () => {
  const { target, options } = await copied();
  await target.client().rename('k7', 'extra');
  expect(await compareAll(options)).toMatchObject({ ...EQUAL, missing: 1, extra: 1 });
});

test('one that expires at both sides, and another one in its place at the target', async () => {
  const { source, target, options, scansOfTarget } = await copied();
  const soon = Date.now() + 50;
  await source.client().pexpireat('k7', soon);
  await target.client().pexpireat('k7', soon);
  await target.client().set('extra', 'x');
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await compareAll(options)).toMatchObject({ ...EQUAL, extra: 1 });
  expect(await scansOfTarget()).toBeGreaterThan(0);
});

test('while the source is written to, numbers prove nothing', async () => {
  const { source, options, scansOfTarget } = await copied();
  await source.client().set('k7', 'changed');
  // Behind the tracker the change is carried over before it counts.
  expect(await compareAll({ ...options, repair: true })).toMatchObject(EQUAL);
  expect(await scansOfTarget()).toBeGreaterThan(0);
});

test.each(['source', 'target'] as const)(
  'a key of the canary at the %s alone is no difference, is not copied, and counts nowhere',
  async (side) => {
    const on = await copied();
    const plain = await compareAll(on.options);
    const key = 'ferry:canary:0123456789abcdef01234567';
    await on[side].client().rpush(key, 1, 2, 3);
    await on.tracker.barrier();
    expect(on.tracker.pending()).toBe(0);
    const again = await compareAll(on.options);
    expect(again).toMatchObject(EQUAL);
    expect(again.keysCompared).toBe(plain.keysCompared);
    expect(again.checkpoint.perDatabase.map(({ digest }) => digest)).toEqual(
      plain.checkpoint.perDatabase.map(({ digest }) => digest),
    );
    await copyAll({ ...on.options, checkpoint: undefined, onProgress: undefined });
    expect(await on[side === 'source' ? 'target' : 'source'].client().exists(key)).toBe(0);
    // What only looks like one is somebody's key.
    await on[side].client().set('ferry:canary:mine', 'x');
    await on.tracker.barrier();
    const last = await compareAll(on.options);
    expect([last.extra, last.keysCompared - plain.keysCompared]).toEqual(side === 'target' ? [1, 0] : [0, 1]);
  },
);
