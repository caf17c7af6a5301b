/* helmDumpRestore on a real cluster, under applications that write through the Service. */
import { describe, expect, test } from 'vitest';
import type { Receipt, State } from '../../src/contract.js';
import { clusterWorld, CLUSTER, R60, R70, R80, type ClusterWorld } from '../support/cluster.js';
import { slow } from '../support/slow.js';
import type { Upgrade } from '../support/world.js';

const PATIENCE = 240_000;

interface Selected {
  spec: { selector: Record<string, string> };
}

async function selectorOf(w: ClusterWorld): Promise<Record<string, string>> {
  return (await w.json<Selected>('service', 'redis')).spec.selector;
}

/** Pods, claims and releases, by name. */
async function standing(w: ClusterWorld): Promise<{ pods: string[]; claims: string[]; releases: string[] }> {
  const names = async (kind: string) =>
    (await w.kubectl(['get', kind, '-o', 'jsonpath={.items[*].metadata.name}'])).split(' ').filter(Boolean);
  return {
    pods: await names('pod'),
    claims: await names('pvc'),
    releases: (await w.helm(['list', '-q', '--all'])).split('\n').filter(Boolean),
  };
}

const AOF = 'bind 0.0.0.0\nprotected-mode no\ndir /data\nappendonly yes\nappendfsync always\n';
const BEFORE = { pods: ['redis-0'], claims: ['data-redis-0'], releases: ['redis'] };
const AFTER = {
  pods: ['redis-green-0'],
  claims: ['data-redis-0', 'data-redis-green-0'],
  releases: ['redis', 'redis-green'],
};
const GREEN = { 'statefulset.kubernetes.io/pod-name': 'redis-green-0' };
const input = (more: Record<string, unknown> = {}) => ({
  targetVersion: R80,
  soak: '2s',
  gates: { start: 'auto', cutover: 'auto' },
  ...more,
});

async function begun(values: Record<string, unknown> = {}): Promise<ClusterWorld> {
  const w = await clusterWorld();
  await Promise.all([w.install({ image: { tag: R70 }, ...values }), w.startWorker()]);
  return w;
}

function shown(receipt: Receipt): void {
  if (process.env['SHOW']) console.log(JSON.stringify(receipt, null, 1));
}

function asksToDecommission({ gates }: State): boolean {
  return gates.some(({ name, status }) => name === 'decommission' && status === 'open');
}

/** Nobody is there to decide, so a question ends the wait. */
async function until(upgrade: Upgrade, reached: (state: State) => boolean): Promise<State> {
  const state = await upgrade.until((now) => now.decision !== null || reached(now), PATIENCE);
  expect(state.decision).toBe(null);
  return state;
}

/** Of the receipt, in milliseconds. */
function pauseOf({ facts }: Receipt): number {
  const { writePauseMs } = facts['switch'] as { writePauseMs: number };
  return writePauseMs;
}

async function soaking(w: ClusterWorld, more: Record<string, unknown> = {}): Promise<Upgrade> {
  const upgrade = await w.start('helmDumpRestore', input({ soak: '1h', ...more }));
  await until(upgrade, ({ step }) => step === 'Soak');
  return upgrade;
}

describe.skipIf(CLUSTER === null)('helmDumpRestore', () => {
  test('from 7.0 to 8.0 under writers, to the end of the old release', { timeout: 400_000 }, async () => {
    const w = await begun();
    const writers = await w.writers();
    const upgrade = await w.start('helmDumpRestore', input({ gates: { cutover: 'auto' } }));
    await upgrade.until('AwaitingApproval', PATIENCE);
    await upgrade.approve('start');
    await until(upgrade, asksToDecommission);
    await writers.stop();
    await upgrade.approve('decommission');
    const receipt = await upgrade.ended(PATIENCE);
    shown(receipt);
    console.log('pause', pauseOf(receipt), 'gap', writers.longestGap(), writers.acknowledged.size, writers.errors);
    expect(receipt.outcome).toBe('Completed');
    expect(await selectorOf(w)).toEqual(GREEN);
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    // What the receipt says is what the applications saw.
    expect(pauseOf(receipt)).toBeLessThan(600_000);
    expect(Math.abs(pauseOf(receipt) - writers.longestGap())).toBeLessThan(5_000);
    expect(await standing(w)).toEqual(AFTER);
  });

  test('back during the soak: with every write, and nothing is left', { timeout: 400_000 }, async () => {
    const w = await begun();
    const before = await selectorOf(w);
    const writers = await w.writers();
    const upgrade = await soaking(w);
    const then = writers.acknowledged.size;
    await expect.poll(() => writers.acknowledged.size, { timeout: 30_000 }).toBeGreaterThan(then + 200);
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended(PATIENCE);
    await writers.stop();
    shown(receipt);
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(await selectorOf(w)).toEqual(before);
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
  });
});
