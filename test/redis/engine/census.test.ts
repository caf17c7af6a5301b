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
  return { source, target, options, tracker, scansOfTarget };
}

const EQUAL = { done: true, missing: 0, extra: 0, type: 0, value: 0, ttl: 0, moving: 0 };

test('equal numbers spare the look from the other side', async () => {
  const { options, scansOfTarget } = await copied();
  expect(await compareAll(options)).toMatchObject({ ...EQUAL, checkpoint: { cursor: 'end' } });
  expect(await scansOfTarget()).toBe(0);
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
