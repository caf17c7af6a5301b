/* kill -9 of the worker in every step in turn, under an application that writes: another worker completes the upgrade, and nothing is lost. */
import { describe, expect, test } from 'vitest';
import { application, sleep, world, type World } from '../support/world.js';
import {
  approveAll,
  at,
  expectWhole,
  fenceStands,
  kill9,
  quickly,
  replaceWorker,
  seed,
  slowRepoint,
  writesPaused,
  until,
} from './support.js';
import { cases } from '../support/slow.js';

async function inWorld(use: (w: World) => Promise<void>): Promise<void> {
  const w = await world();
  try {
    await w.startWorker();
    await use(w);
  } finally {
    await w.close();
  }
}

describe.concurrent('the worker is killed', { timeout: 120_000 }, () => {
  test('while it gathers information, at pre-flight and at the first gate', () =>
    inWorld(async (w) => {
      await seed(w.redis('source'), 1_000);
      const app = application({ world: w });
      // A server that hangs holds the step where it is.
      process.kill(w.target.pid, 'SIGSTOP');
      const upgrade = await w.start({ rate: 'full' });
      await quickly(upgrade, at('Gather information'));
      await kill9(w.worker);
      process.kill(w.target.pid, 'SIGCONT');
      await w.startWorker();
      await quickly(
        upgrade,
        (state) => state.step === 'Pre-flight' || state.phase === 'AwaitingApproval',
        60_000,
      );
      await replaceWorker(w);
      await upgrade.until('AwaitingApproval', 60_000);
      await replaceWorker(w);
      await approveAll(upgrade);
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await expectWhole({ w, app, serving: 'target' });
    }));

  test('twice in the copy and once in the comparison: each goes on from its checkpoint', () =>
    inWorld(async (w) => {
      const keys = 60_000;
      await seed(w.redis('source'), keys);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 20_000 });
      await upgrade.approve('start');
      const copied = () => w.redis('target').dbsize();
      const reader = w.redis('target');
      for (const share of [0.4, 0.7]) {
        await until('a part of the copy', async () => (await reader.dbsize()) > keys * share);
        await replaceWorker(w);
        const before = await copied();
        expect(before).toBeLessThan(keys);
      }
      await quickly(upgrade, at('Compare both sides'), 60_000);
      await sleep(2_000);
      await replaceWorker(w);
      await upgrade.approve('cutover');
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      const { resumedFrom, copied: all } = receipt.facts['copied'] as { resumedFrom: number; copied: number };
      expect(resumedFrom).toBeGreaterThan(keys * 0.3);
      // At most what lies between two heartbeats was copied a second time.
      expect(all).toBeGreaterThan(keys - 1);
      expect(all).toBeLessThan(keys * 1.1 + app.acknowledged.size);
      expect((receipt.facts['comparison'] as { resumedFrom: number }).resumedFrom).toBeGreaterThan(0);
      await expectWhole({ w, app, serving: 'target' });
    }));

  test('at the second gate, in the watch and while the way back is closed', () =>
    inWorld(async (w) => {
      await seed(w.redis('source'), 5_000);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 'full', watch: '2s' });
      await upgrade.approve('start');
      await upgrade.until(
        (state) => state.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
        60_000,
      );
      await replaceWorker(w);
      await upgrade.approve('cutover');
      await quickly(upgrade, at('Watch for stragglers'), 60_000);
      await replaceWorker(w);
      await quickly(
        upgrade,
        (state) => state.step === 'Close the way back' || state.phase === 'Completed',
        60_000,
      );
      await replaceWorker(w);
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await expectWhole({ w, app, serving: 'target' });
    }));

  test('behind the seal, while the applications are told', () =>
    inWorld(async (w) => {
      await seed(w.redis('source'), 5_000);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 'full', repoint: slowRepoint(w, { before: 1, after: 1 }) });
      await approveAll(upgrade);
      await fenceStands(w.redis('source'));
      await replaceWorker(w);
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({
        outcome: 'Completed',
        blemishes: [],
        facts: { switch: { finishedLater: true } },
      });
      await expectWhole({ w, app, serving: 'target' });
    }));

  for (const moment of cases<number | 'fenced'>([10, 'fenced'], [0, 20])) {
    test(`the worker is killed ${moment === 'fenced' ? 'as the fence stands' : `${moment} ms after the pause began`}`, () =>
      inWorld(async (w) => {
        await seed(w.redis('source'), 5_000);
        const app = application({ world: w });
        const reader = w.redis('source');
        const upgrade = await w.start({ rate: 'full', gates: { start: 'auto', cutover: 'auto' } });
        // It lasts milliseconds, and polling may miss it: then the worker is killed behind the switch, and all must be well too.
        const seen = moment === 'fenced' ? fenceStands(reader, 'fenced') : writesPaused(reader);
        const past = upgrade.until(
          ({ steps }) =>
            steps.some(({ title, status }) => title === 'Switch the applications over' && status === 'done'),
          60_000,
        );
        for (const loser of [seen, past]) loser.catch(() => {});
        await Promise.race([seen, past]);
        if (typeof moment === 'number') await sleep(moment);
        await replaceWorker(w);
        const receipt = await upgrade.ended();
        expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
        await expectWhole({ w, app, serving: 'target' });
      }));
  }
});
