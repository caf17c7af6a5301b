/* What the sweeps of helmDumpRestore have in common: how it is begun, what may befall it, and what is whole afterwards. */
import { join } from 'node:path';
import { expect } from 'vitest';
import type { State } from '../../src/contract.js';
import { fenceStanding, type Standing } from '../../src/redis/fence.js';
import { clusterWorld, R80, type ClusterWorld, type Writers } from '../support/cluster.js';
import type { Upgrade } from '../support/world.js';
import { ended, lackingOf, PATIENCE, workerBehindLink } from './faults.js';
import { AFTER, BEFORE, begun as installed, GREEN, selectorOf, standing } from './second.js';

export const ALL = { start: 'auto', cutover: 'auto', decommission: 'auto' } as const;
export const PASSWORD = 'secret-one';
export const input = (more: Record<string, unknown> = {}) => ({
  targetVersion: R80,
  soak: '2s',
  backup: false,
  gates: ALL,
  ...more,
});

export async function begun(values: Record<string, unknown> = {}, password?: string) {
  const w = await installed(values);
  return { w, writers: await w.writers({ clients: 2, password }) };
}

/** A worker whose way to the API server can be cut. */
export async function begunBehindLink(tag: string) {
  const w = await clusterWorld();
  await w.install({ image: { tag } });
  const way = await workerBehindLink(w);
  return { w, way, writers: await w.writers({ clients: 2 }) };
}

/** Wholly new: the applications are there. Wholly old: nothing is left of green, and the old one takes writes. */
export async function expectWhole(on: {
  w: ClusterWorld;
  writers: Writers;
  is: 'new' | 'old';
  version: string;
  password?: string | undefined;
}): Promise<void> {
  const { w, writers, is, version, password } = on;
  const { redis, missing } = await lackingOf(w, writers, { password });
  expect(missing).toEqual([]);
  expect(await redis.info()).toContain(`redis_version:${version}`);
  expect(await fenceStanding({ client: redis })).toBe('none');
  if (is === 'new') expect(await selectorOf(w)).toEqual(GREEN);
  else expect(await selectorOf(w)).not.toEqual(GREEN);
  await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(is === 'new' ? AFTER : BEFORE);
  const { items } = await w.json<{ items: unknown[] }>('pod', '-l', 'redis-ferry/restore');
  expect(items).toEqual([]);
}

export async function reaches(upgrade: Upgrade, title: string): Promise<State> {
  return upgrade.until(({ step, decision }) => step === title || decision !== null, PATIENCE);
}

/** One whose soak doesn't end, with writes made since the switch. */
export async function soaking(w: ClusterWorld, writers: Writers): Promise<Upgrade> {
  const upgrade = await w.start('helmDumpRestore', input({ soak: '1h' }));
  await reaches(upgrade, 'Soak');
  await writers.more(200, 60_000);
  return upgrade;
}

export async function goesBack(upgrade: Upgrade): Promise<void> {
  await upgrade.signal('rollback', { by: 'ada' });
  expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
}

/** Returns as the server says so of itself. */
export async function fenceSays(w: ClusterWorld, pod: string, what: Standing): Promise<void> {
  const client = await w.redis({ pod });
  // An ordinary client is sent away by the switch.
  await client.client('SETNAME', 'ferry:of-the-test');
  await expect.poll(() => fenceStanding({ client }), { timeout: PATIENCE, interval: 10 }).toBe(what);
  client.disconnect();
}

/** Tells the Service by a command, which takes its time. `fails`: the first time that it goes forward. */
export function byCommand(
  w: ClusterWorld,
  { fails = '', takes = 0 }: { fails?: string; takes?: number } = {},
) {
  const set = (selector: string) => `kubectl -n ${w.namespace} set selector service redis '${selector}'`;
  const once = join(w.folder, 'told-once');
  return {
    kind: 'command',
    command: [
      `if [ "$FERRY_DIRECTION" = back ]; then ${set('app.kubernetes.io/name=redis,app.kubernetes.io/instance=redis')}; exit; fi`,
      ...(fails === '' ? [] : [`if [ ! -e '${once}' ]; then touch '${once}'; ${fails}; exit 1; fi`]),
      `sleep ${takes}`,
      set('statefulset.kubernetes.io/pod-name=redis-green-0'),
    ].join('\n'),
  };
}

/** Enough for a copy that takes its time. */
export async function many(w: ClusterWorld): Promise<void> {
  const redis = await w.redis({ service: 'redis' });
  const pipeline = redis.pipeline();
  for (let n = 0; n < 100_000; n += 1) pipeline.set(`many:${n}`, `value ${n}`);
  await pipeline.exec();
}
