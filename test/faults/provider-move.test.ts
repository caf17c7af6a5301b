/* The whole window: a fork at Heroku, a Redis to a Valkey and a PostgreSQL, under writers, with workers that die and a store that fails. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CLI } from '../support/heroku-world.js';
import { NO_POSTGRES, startServers, type Servers } from '../support/postgres.js';
import { slow } from '../support/slow.js';
import { open, windowWorld, type WindowWorld } from '../support/window-world.js';
import type { Upgrade } from '../support/world.js';
import { kill9 } from './support.js';

const STORES = ['queue', 'sessions', 'orders'];
const TICK = ['The commands are ready'];

describe.skipIf(NO_POSTGRES || CLI === null)('a whole window', { timeout: 420_000 }, () => {
  let postgres: Servers;
  beforeAll(async () => {
    postgres = await startServers();
  });
  afterAll(() => postgres.stop());

  /** The worker dies, and another one goes on. */
  async function another(w: WindowWorld): Promise<void> {
    await kill9(w.worker);
    await w.startWorker();
  }

  async function until(upgrade: Upgrade, gate: string): Promise<void> {
    for (const each of ['start', 'checklist', 'cutover', 'close']) {
      if (each === gate) break;
      if (each === 'checklist') {
        await open(upgrade, 'checklist', 180_000);
        for (const item of TICK) await upgrade.say('tick', { item, by: 'ada' });
      }
      await open(upgrade, each, 180_000);
      await upgrade.approve(each, 'ada');
      if (each === 'cutover') await upgrade.approve(each, 'grace');
    }
    await open(upgrade, gate, 180_000);
  }

  test('workers killed, a store that fails once: all over, and no acknowledged write is lost', async () => {
    const w = await windowWorld(STORES, { postgres });
    await w.startWorker();
    const upgrade = await w.start({ checklist: TICK });
    await upgrade.approve('start');
    await upgrade.until(({ step }) => step === 'Prepare the stores');
    await another(w);
    await open(upgrade, 'checklist', 180_000);
    for (const item of TICK) await upgrade.say('tick', { item, by: 'ada' });
    // One goes back by itself, and is begun anew.
    const [, sessions] = w.upgrades();
    await sessions?.say('rollback', { by: 'grace' });
    await sessions?.ended();
    await upgrade.approve('checklist');
    const { decision } = await upgrade.until('NeedsDecision', 120_000);
    expect(decision?.about).toContain('sessions');
    await upgrade.say('decide', { choice: 'retry', by: 'ada' });
    const asked = await open(upgrade, 'cutover', 180_000);
    expect(asked.impact.map(({ what }) => what).join()).toContain('maintenance page');
    await upgrade.approve('cutover', 'ada');
    await upgrade.approve('cutover', 'grace');
    await upgrade.until(({ step }) => step === 'Switch the stores over');
    await another(w);
    await open(upgrade, 'close', 180_000);
    await upgrade.approve('close');
    const receipt = await upgrade.ended(120_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', left: [] });
    expect(receipt.facts['timeline']).toContainEqual(
      expect.objectContaining({ step: 'Promote the fork', store: w.stores['queue']?.name }),
    );
    await w.expectAll('new');
  });

  async function back(gate: string): Promise<void> {
    const w = await windowWorld(STORES, { postgres });
    await w.startWorker();
    const upgrade = await w.start({ checklist: TICK });
    await until(upgrade, gate);
    if (gate === 'close') await w.stores['orders']?.stop();
    await upgrade.say('rollback', { by: 'ada', acceptLoss: true });
    await upgrade.until('RollingBack');
    await another(w);
    if (gate === 'close') await w.answer('orders', { choice: 'retry' });
    expect(await upgrade.ended(180_000)).toMatchObject({ outcome: 'RolledBack', left: [] });
    if (gate !== 'close') return w.expectAll('old');
    for (const each of ['queue', 'sessions']) {
      const store = w.stores[each];
      expect([each, await store?.serves(), await store?.missing('old')]).toEqual([each, 'old', 0]);
      await store?.expectUntouched();
    }
    expect(await w.stores['orders']?.serves()).toBe('old');
  }

  slow('goes back at the barrier, and the worker dies on the way', () => back('checklist'));
  slow('goes back before the switch, and the worker dies on the way', () => back('cutover'));
  slow('goes back after it was verified, and the worker dies on the way', () => back('close'));
});
