/* What the attacks on an upgrade at Heroku share: how one is begun, and what must hold afterwards whatever happened. */
import { expect } from 'vitest';
import { z } from 'zod';
import type { Receipt, State } from '../../src/contract.js';
import { ask, customer } from '../heroku/support.js';
import type { Snapshot } from '../support/heroku/snapshot.js';
import { herokuWorld, type HerokuWorld, type HerokuWorldOptions } from '../support/heroku-world.js';
import { sleep, type Upgrade } from '../support/world.js';

export const OLD = 'redis-curly-1';
export type Mode = 'maintenance' | 'degraded';

export const FORK = {
  app: 'shop',
  addon: OLD,
  targetVersion: '7.2',
  apps: ['shop-canary', 'shop'],
  stuckAfter: '3s',
  forkWithin: '2m',
  keepOldFor: '1s',
};

export interface On {
  w: HerokuWorld;
  before: Record<string, Snapshot>;
  upgrade: Upgrade;
}

/** A fork that can be made over TLS, of a store with some keys and settings that a fork doesn't bring along. */
export async function beginFork(
  mode: Mode,
  { input = {}, ...options }: HerokuWorldOptions & { input?: Record<string, unknown> } = {},
): Promise<On> {
  const w = await herokuWorld({ trustsSelfSigned: true, ...options });
  const redis = customer(w.heroku.redis(OLD).url);
  for (let n = 0; n < 200; n += 1) await redis.set(`seed:${n}`, `value ${n}`, 'PX', 6_000_000 + n);
  redis.disconnect();
  const before = w.apps();
  const gates = { start: 'auto', promote: 'auto' };
  return { w, before, upgrade: await w.start('herokuFork', { ...FORK, mode, gates, ...input }) };
}

export async function reached(
  upgrade: Upgrade,
  holds: (state: State) => boolean,
  ms = 90_000,
): Promise<State> {
  for (const limit = Date.now() + ms; ; await sleep(5)) {
    const state = await upgrade.state().catch(() => null);
    if (state && holds(state)) return state;
    if (Date.now() > limit) throw new Error(`not within ${ms} ms; it is ${JSON.stringify(state, null, 1)}`);
  }
}

export function expectAsBefore({ w, before }: On): void {
  expect(w.apps()).toEqual(before);
  expect(w.heroku.billing().existing).toEqual([OLD]);
}

/** All that names the old one names the fork now, and nothing else is different. */
export async function expectUpgraded(
  { w, before }: On,
  { destroyed }: { destroyed: boolean },
): Promise<string> {
  const { existing } = w.heroku.billing();
  const [fork = '', ...more] = existing.filter((name) => name !== OLD);
  expect(more).toEqual([]);
  expect(existing.includes(OLD)).toBe(!destroyed);
  const left = destroyed ? [] : [`OLD_REDIS → ${OLD}`];
  for (const [app, was] of Object.entries(before))
    expect(w.apps()[app]).toMatchObject({
      maintenance: was.maintenance,
      formation: was.formation,
      dynos: was.dynos,
      attachments: [...was.attachments.map((each) => each.replace(OLD, fork)), ...left].toSorted(),
    });
  expect(w.heroku.redis(fork).version).toBe('7.2');
  return fork;
}

/** Goes back, also where that has to be said in so many words. */
export async function goBack(upgrade: Upgrade): Promise<Receipt> {
  await upgrade.signal('rollback', { by: 'ada' });
  const state = await reached(
    upgrade,
    ({ phase, receipt }) => ['NeedsDecision', 'RollingBack'].includes(phase) || receipt !== undefined,
  );
  if (state.phase === 'NeedsDecision') {
    expect(state.decision?.problem).toContain('ferry start redisCopy');
    await upgrade.say('decide', { choice: 'rollbackLosingWrites', by: 'ada' });
  }
  return upgrade.ended(120_000);
}

/** With nobody to be asked. */
export async function beginInPlace(options: HerokuWorldOptions = {}): Promise<On> {
  const w = await herokuWorld(options);
  const before = w.apps();
  const upgrade = await w.start('herokuInPlace', {
    app: 'shop',
    addon: OLD,
    targetVersion: '7.2',
    confirmed: ['schedulerOff', 'writersPaused', 'clientsSpeakTls'],
    snapshot: false,
    gates: { start: 'auto', run: 'auto' },
  });
  return { w, before, upgrade };
}

/** Another version, and all else as it was; by one maintenance at most. */
export async function expectUpgradedInPlace({ w, before }: On): Promise<void> {
  expect(w.apps()).toEqual(before);
  expect(w.heroku.billing().created).toEqual([OLD]);
  expect(w.heroku.redis(OLD)).toMatchObject({ version: '7.2', status: 'available' });
  w.heroku.faults.clear();
  const { body } = await ask(w.heroku, `GET /data/maintenances/v1/${OLD}/history`);
  const { maintenances } = z.object({ maintenances: z.array(z.unknown()) }).parse(body);
  expect(maintenances.length).toBeLessThanOrEqual(1);
}
