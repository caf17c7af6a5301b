/* Going back, asked in every step in turn and in every way there is: everything is as it was before, and nothing is lost. */
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { application, sleep, world, type Upgrade, type World, type WorldOptions } from '../support/world.js';
import {
  addressIn,
  at,
  approveAll,
  expectWhole,
  fenceStands,
  quickly,
  seed,
  slowRepoint,
  until,
  type Application,
} from './support.js';
import { cases } from '../support/slow.js';

type Way = 'signal' | 'update' | 'cancel' | 'reject';

async function askBack(upgrade: Upgrade, way: Way): Promise<void> {
  if (way === 'signal') await upgrade.signal('rollback', { by: 'ada' });
  if (way === 'update') await upgrade.say('rollback', { by: 'ada' });
  if (way === 'cancel') await upgrade.handle.cancel();
  if (way === 'reject') await upgrade.say('reject', { gate: 'start', by: 'ada' });
}

interface Case {
  way: Way;
  keys?: number;
  input?: (w: World) => Partial<RedisCopyInput>;
  /** What the address file held before. */
  file?: (w: World) => string;
  options?: WorldOptions;
  /** Brings the upgrade to the moment. */
  reach: (upgrade: Upgrade, w: World, app: Application) => Promise<unknown>;
}

async function expectGoesBack({ way, keys = 3_000, input, file, options, reach }: Case): Promise<void> {
  const w = await world({ target: 'r70', ...options });
  try {
    if (file) await writeFile(w.addressFile, file(w));
    await w.startWorker();
    await seed(w.redis('source'), keys);
    const before = await addressIn(w);
    const app = application({ world: w });
    const upgrade = await w.start({ rate: 'full', ...input?.(w) });
    await reach(upgrade, w, app);
    await askBack(upgrade, way);
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', clean: false, left: [] });
    expect((await upgrade.failure()).type).toBe('RolledBack');
    expect(await addressIn(w)).toBe(before);
    await sleep(300);
    await expectWhole({ w, app, serving: 'source' });
    expect(await w.redis('target').dbsize(), 'keys left on the target').toBe(0);
  } finally {
    await w.close();
  }
}

const cutoverOpen = (upgrade: Upgrade) =>
  upgrade.until(
    (state) => state.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
    60_000,
  );

describe.concurrent('rollback', { timeout: 120_000 }, () => {
  test('at the first gate, by rejecting it', () =>
    expectGoesBack({ way: 'reject', reach: (upgrade) => upgrade.until('AwaitingApproval') }));

  test('at the first gate, by a Cancel', () =>
    expectGoesBack({ way: 'cancel', reach: (upgrade) => upgrade.until('AwaitingApproval') }));

  for (const way of cases<'signal' | 'cancel'>(['signal'], ['cancel'])) {
    test(`in the middle of the copy, by ${way}`, () =>
      expectGoesBack({
        way,
        keys: 40_000,
        input: () => ({ rate: 10_000 }),
        async reach(upgrade, w) {
          await upgrade.approve('start');
          const reader = w.redis('target');
          await until('a part of the copy', async () => (await reader.dbsize()) > 8_000);
        },
      }));
  }

  test('in the comparison, by Update', () =>
    expectGoesBack({
      way: 'update',
      keys: 20_000,
      input: () => ({ rate: 10_000 }),
      async reach(upgrade) {
        await upgrade.approve('start');
        await quickly(upgrade, at('Compare both sides'));
        await sleep(500);
      },
    }));

  test('at the second gate, by Update; a file that was there is as it was', () =>
    expectGoesBack({
      way: 'update',
      file: (w) => `${w.sourceUrl}\n`,
      async reach(upgrade) {
        await upgrade.approve('start');
        await cutoverOpen(upgrade);
      },
    }));

  test('while the applications are told, by a Cancel', () =>
    expectGoesBack({
      way: 'cancel',
      input: (w) => ({ repoint: slowRepoint(w, { before: 2 }) }),
      file: (w) => `${w.sourceUrl}/0\n`,
      async reach(upgrade, w) {
        await approveAll(upgrade);
        await fenceStands(w.redis('source'));
        await sleep(300);
      },
    }));

  test('while the applications are told, when they have moved already', () =>
    expectGoesBack({
      way: 'update',
      input: (w) => ({ repoint: slowRepoint(w, { after: 3 }) }),
      file: (w) => `${w.sourceUrl}/0\n`,
      async reach(upgrade, w, app) {
        await approveAll(upgrade);
        await until('the application to move', async () => app.url.includes(`:${w.target.port}`));
        await sleep(500);
      },
    }));

  for (const delay of cases([20], [0])) {
    test(`${delay} ms after the switch began, by Update`, () =>
      expectGoesBack({
        way: 'update',
        file: (w) => `${w.sourceUrl}\n`,
        async reach(upgrade) {
          await approveAll(upgrade);
          await quickly(
            upgrade,
            (state) => state.step === 'Switch the applications over' || state.step === 'Watch for stragglers',
            60_000,
          );
          await sleep(delay);
        },
        input: () => ({ watch: '20s' }),
      }));
  }

  for (const [way, file, options] of cases<
    readonly ['signal' | 'cancel' | 'update', boolean, { source?: string; target?: string }]
  >(
    [
      ['cancel', true, {}],
      // What this writes the old one does not read.
      ['update', false, { source: 'r62', target: 'r70' }],
    ],
    [
      ['signal', false, {}],
      ['cancel', true, { source: 'r70', target: 'v9' }],
    ],
  )) {
    const { source = 'r70', target = 'r70' } = { ...options } as WorldOptions;
    test(`after the switch ${source} → ${target}, by ${way}: with every write made since`, () =>
      expectGoesBack({
        way,
        options,
        ...(file ? { file: (w: World) => `${w.sourceUrl}\n` } : {}),
        input: () => ({ watch: '60s' }),
        async reach(upgrade, w, app) {
          await approveAll(upgrade);
          await quickly(upgrade, at('Watch for stragglers'), 60_000);
          await until('writes on the target', async () => app.url.includes(`:${w.target.port}`));
          await sleep(1_500);
        },
      }));
  }
});
