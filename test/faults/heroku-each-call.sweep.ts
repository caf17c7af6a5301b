/*
 * Each request to Heroku fails once: all of them in one run, and those that change something one by one, before their effect and after it.
 * Nobody is asked, and everything is exactly upgraded: one fork at most, nothing billed twice, nothing asked for twice.
 */
import { describe, expect, test } from 'vitest';
import type { Receipt } from '../../src/contract.js';
import { changesSomething, type Effect } from '../support/heroku/faults.js';
import type { Seen } from '../support/heroku/server.js';
import { CLI } from '../support/heroku-world.js';
import {
  beginFork,
  beginInPlace,
  expectAsBefore,
  expectUpgraded,
  expectUpgradedInPlace,
  goBack,
  OLD,
  reached,
  type On,
} from './heroku.js';

interface Run {
  title: string;
  begin: () => Promise<On>;
  holds: (on: On) => Promise<unknown>;
  /** What changes something, in its order. */
  writes: string[];
}

const SETTINGS = { maxmemory_policy: 'volatile-ttl', timeout: 600, notify_keyspace_events: 'KEA' };
const gates = { start: 'auto', run: 'auto', promote: 'auto', destroy: 'auto' };
const { run: _, ...ofFork } = gates;
const forked = (mode: 'maintenance' | 'degraded') => ({
  title: `herokuFork, ${mode}`,
  begin: async () => {
    const on = await beginFork(mode, { worker: false, input: { gates: ofFork } });
    // Three commands of the CLI.
    Object.assign(on.w.heroku.redis(OLD).settings, SETTINGS);
    return on;
  },
  holds: async (on: On) => {
    const fork = await expectUpgraded(on, { destroyed: true });
    expect(on.w.heroku.billing().created).toHaveLength(2);
    expect(on.w.heroku.redis(fork).settings).toEqual(SETTINGS);
  },
});
const inPlace = (plan: string) => ({
  title: `herokuInPlace, ${plan}`,
  begin: () => beginInPlace({ plan, worker: false }),
  holds: expectUpgradedInPlace,
});

const attach = 'POST /addon-attachments';
const detach = 'DELETE /addon-attachments/:id';
const [shop, canary] = ['PATCH /apps/shop', 'PATCH /apps/shop-canary'];
const scaled = [`${shop}/formation`, `${canary}/formation`];
const setting = 'PATCH /redis/v0/databases/:id/config (CLI)';
const made = ['POST /apps/shop/addons', setting, setting, setting];
const destroyed = [detach, 'DELETE /apps/:id/addons/:id'];
const asked = 'POST /redis/v0/databases/:id/upgrade (CLI)';

const RUNS: Run[] = [
  {
    ...forked('maintenance'),
    writes: [
      shop,
      canary,
      ...scaled,
      attach,
      attach,
      ...made,
      attach,
      attach,
      detach,
      ...scaled,
      shop,
      canary,
      ...destroyed,
    ],
  },
  {
    ...forked('degraded'),
    writes: [attach, attach, detach, detach, ...made, attach, attach, detach, ...destroyed],
  },
  {
    ...inPlace('premium-0'),
    writes: [
      asked,
      shop,
      canary,
      ...scaled,
      'POST /data/maintenances/v1/:id/run (CLI)',
      ...scaled,
      shop,
      canary,
    ],
  },
  {
    ...inPlace('mini'),
    writes: [shop, canary, ...scaled, asked, ...scaled, shop, canary],
  },
];

/** Without what is another one each time. */
function told({ method, path, client }: Seen): string {
  const shown = path.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|redis-ferry-[0-9a-f]+-a/g, ':id');
  return `${method} ${shown}${client === 'cli' ? ' (CLI)' : ''}`;
}

const written = ({ w }: On) => w.heroku.requests.filter(changesSomething).map(told);

const hit = ({ w }: On) => w.heroku.requests.filter(({ fault }) => fault !== null).length;

/** To its end, and nobody was asked on the way. */
async function through({ w, upgrade }: On): Promise<Receipt> {
  await w.startWorker();
  const state = await reached(
    upgrade,
    ({ phase, receipt }) => phase === 'NeedsDecision' || receipt !== undefined,
    400_000,
  );
  expect(state.decision?.problem).toBeUndefined();
  const receipt = await upgrade.ended();
  expect(receipt).toMatchObject({ outcome: 'Completed', left: [] });
  return receipt;
}

const BEFORE: Effect[] = [{ does: 'error', status: 500 }, { does: 'drop' }];
const AFTER: Effect[] = [
  { does: 'drop', after: true },
  { does: 'error', status: 503, after: true },
];

for (const { title, begin, holds, writes } of RUNS)
  describe.skipIf(CLI === null)(`${title}, each request`, { timeout: 500_000 }, () => {
    test('what it changes', async () => {
      const on = await begin();
      await through(on);
      await holds(on);
      expect(written(on)).toEqual(writes);
    });

    test('every request fails once, before its effect', async () => {
      const on = await begin();
      on.w.heroku.faults.hitEach(BEFORE);
      await through(on);
      expect(hit(on)).toBeGreaterThan(40);
      await holds(on);
    });

    test('the reply to every request that changes something is lost once', async () => {
      const on = await begin();
      on.w.heroku.faults.hitEach(AFTER, { writes: true });
      await through(on);
      expect(hit(on)).toBeGreaterThanOrEqual(writes.length);
      await holds(on);
    });

    // Its first try does nothing, the second one does it and nobody hears of it.
    for (const [index, write] of writes.entries())
      test(`write ${index + 1}, ${write}`, async () => {
        const on = await begin();
        const turn = index % 2;
        for (const [effect, nth] of [
          [BEFORE[turn], index + 1],
          [AFTER[turn], index + 2],
        ] as const)
          if (effect) on.w.heroku.faults.add({ ...effect, path: /./, writes: true, nth });
        await through(on);
        const tries = on.w.heroku.requests.filter(changesSomething).slice(index, index + 2);
        expect(tries.map(({ fault }) => fault)).toEqual([BEFORE[turn]?.does, AFTER[turn]?.does]);
        expect(new Set(tries.map(told))).toEqual(new Set([write]));
        await holds(on);
      });
  });

/* All that was done to the apps is undone meanwhile. */
describe.skipIf(CLI === null)('each request on the way back', { timeout: 500_000 }, () => {
  for (const [how, effects, only] of [
    ['fails once, before its effect', BEFORE, undefined],
    ['that changes something loses its reply once', AFTER, { writes: true }],
  ] as const) {
    for (const mode of ['maintenance', 'degraded'] as const)
      test(`herokuFork, ${mode}: ${how}`, async () => {
        const on = await beginFork(mode, { input: { gates: { start: 'auto' } } });
        await reached(
          on.upgrade,
          ({ gates }) => gates.some(({ name, status }) => name === 'promote' && status === 'open'),
          200_000,
        );
        on.w.heroku.faults.hitEach(effects, only);
        expect(await goBack(on.upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
        expect(hit(on)).toBeGreaterThanOrEqual(4);
        expectAsBefore(on);
      });

    test(`herokuInPlace, premium-0: ${how}`, async () => {
      const on = await beginInPlace({ worker: false });
      const { w, upgrade, before } = on;
      w.heroku.faults.fail('maintenance');
      await w.startWorker();
      await upgrade.until('NeedsDecision', 300_000);
      w.heroku.faults.hitEach(effects, only);
      await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
      const receipt = await upgrade.ended(300_000);
      expect(receipt.outcome).toBe('RolledBack');
      expect(receipt.left.join()).toContain('can not be withdrawn');
      expect(hit(on)).toBeGreaterThanOrEqual(4);
      expect(w.apps()).toEqual(before);
      expect(w.heroku.redis(OLD).version).toBe('7.0');
    });
  }
});
