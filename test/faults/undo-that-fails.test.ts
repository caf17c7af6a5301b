/* An undo that can not be done holds: the next one could take down what still serves. */
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { application, sleep, world, type Upgrade, type World } from '../support/world.js';
import {
  addressIn,
  approveAll,
  at,
  expectWhole,
  quickly,
  restart,
  seed,
  until,
  type Application,
} from './support.js';

const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];

async function switched(
  use: (on: { w: World; upgrade: Upgrade; app: Application }) => Promise<void>,
): Promise<void> {
  const w = await world({ target: 'r70', sourceArgs: DURABLE, targetArgs: DURABLE });
  try {
    await w.startWorker();
    await writeFile(w.addressFile, `${w.sourceUrl}\n`);
    await seed(w.redis('source'), 2_000);
    const app = application({ world: w });
    const upgrade = await w.start({ rate: 'full', watch: '60s' });
    await approveAll(upgrade);
    await quickly(upgrade, at('Watch for stragglers'), 60_000);
    await until('writes on the target', async () => app.url.includes(`:${w.target.port}`));
    await use({ w, upgrade, app });
  } finally {
    await w.close();
  }
}

describe.concurrent('while it goes back', { timeout: 120_000 }, () => {
  test('the source hangs: it holds, the target goes on serving, and once the source answers it goes back with every write', () =>
    switched(async ({ w, upgrade, app }) => {
      process.kill(w.source.pid, 'SIGSTOP');
      await upgrade.say('rollback', { by: 'ada' });
      const asked = await upgrade.until('NeedsDecision', 90_000);
      expect(asked.decision?.about).toBe('Undo of: Switch the applications over');
      expect(Object.keys(asked.decision?.choices ?? {})).toEqual(expect.arrayContaining(['retry', 'stop']));
      // The copy must not be cleared while it may be what serves.
      expect(asked.decision?.choices.continue ?? '').not.toContain('Copy every key');
      const before = app.acknowledged.size;
      await until('writes on the target', async () => app.acknowledged.size > before + 50);
      process.kill(w.source.pid, 'SIGCONT');
      await upgrade.say('retry', { by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(await addressIn(w)).toBe(`${w.sourceUrl}\n`);
      await expectWhole({ w, app, serving: 'source' });
      expect(await w.redis('target').dbsize()).toBe(0);
    }));

  test('the source is down and comes back without its fence: it is not guessed where the applications are', () =>
    switched(async ({ w, upgrade, app }) => {
      await w.source.kill9();
      await upgrade.say('rollback', { by: 'ada' });
      await upgrade.until('NeedsDecision', 90_000);
      await restart(w, 'source', { version: 'r70', args: DURABLE });
      await upgrade.say('retry', { by: 'ada' });
      const asked = await upgrade.until(
        (state) => state.phase === 'NeedsDecision' && /can't be told/.test(state.decision?.problem ?? ''),
        60_000,
      );
      expect(asked.breakGlass.length).toBeGreaterThan(0);
      await upgrade.say('decide', { choice: 'stop', by: 'ada' });
      const receipt = await upgrade.ended();
      expect(receipt.outcome).toBe('RollbackFailed');
      expect(receipt.left.join('\n')).toMatch(
        /Switch the applications over: not undone[\s\S]*Copy every key: not undone/,
      );
      await expectWhole({ w, app, serving: 'target' });
      expect(await w.redis('target').dbsize()).toBeGreaterThan(2_000);
    }));

  test('the target is killed in the middle: it holds until it is there again, then every write is on the source', () =>
    switched(async ({ w, upgrade, app }) => {
      process.kill(w.target.pid, 'SIGSTOP');
      await upgrade.say('rollback', { by: 'ada' });
      await upgrade.until('NeedsDecision', 90_000);
      process.kill(w.target.pid, 'SIGCONT');
      await sleep(200);
      await upgrade.say('retry', { by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
      await expectWhole({ w, app, serving: 'source' });
    }));
});
