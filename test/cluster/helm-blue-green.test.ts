/* helmBlueGreen on a real cluster, under applications that write through the Service. */
import { describe, expect, test } from 'vitest';
import type { State } from '../../src/contract.js';
import { clusterWorld, CLUSTER, R70, R80, type ClusterWorld } from '../support/cluster.js';
import { slow } from '../support/slow.js';
import type { Upgrade } from '../support/world.js';
import { away, workerBehindLink } from './faults.js';
import {
  AFTER,
  AOF,
  asksToDecommission,
  BEFORE,
  begun,
  GREEN,
  selectorOf,
  shown,
  standing,
} from './second.js';

const PATIENCE = 240_000;

const input = (more: Record<string, unknown> = {}) => ({
  targetVersion: R80,
  soak: '2s',
  measureFor: '1s',
  rate: 'full',
  gates: { start: 'auto', cutover: 'auto' },
  ...more,
});

function inSoak({ step }: State): boolean {
  return step === 'Soak';
}

async function soaking(w: ClusterWorld, more: Record<string, unknown> = {}): Promise<Upgrade> {
  const upgrade = await w.start('helmBlueGreen', input({ soak: '1h', ...more }));
  await upgrade.until(inSoak, PATIENCE);
  return upgrade;
}

describe.skipIf(CLUSTER === null)('helmBlueGreen', () => {
  test('from 7.0 to 8.0 under writers, to the end of the old release', { timeout: 400_000 }, async () => {
    const w = await begun();
    const writers = await w.writers();
    const upgrade = await w.start(
      'helmBlueGreen',
      input({ applicationPod: { pod: 'redis-0' }, gates: { cutover: 'auto' } }),
    );
    await upgrade.until('AwaitingApproval', PATIENCE);
    await upgrade.approve('start');
    await upgrade.until(asksToDecommission, PATIENCE);
    await writers.stop();
    await upgrade.approve('decommission');
    const receipt = await upgrade.ended(PATIENCE);
    shown(receipt);
    console.log('gap', writers.longestGap(), 'acknowledged', writers.acknowledged.size, writers.errors);
    expect(receipt.outcome).toBe('Completed');
    expect(await selectorOf(w)).toEqual(GREEN);
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    expect(await standing(w)).toEqual(AFTER);
  });

  test('back during the soak: with every write, and nothing is left', { timeout: 400_000 }, async () => {
    const w = await begun();
    const before = await selectorOf(w);
    const writers = await w.writers();
    const upgrade = await soaking(w);
    await writers.more(200);
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended(PATIENCE);
    await writers.stop();
    shown(receipt);
    console.log('gap', writers.longestGap(), 'acknowledged', writers.acknowledged.size, writers.errors);
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(await selectorOf(w)).toEqual(before);
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
  });

  const HELD: [string, Record<string, unknown>, { waive?: string; says: string }][] = [
    ['an image that does not exist', { targetVersion: '8.0.9' }, { says: 'its image can not be had' }],
    [
      'a pod that no node has room for',
      { values: { resources: { requests: { memory: '900Gi' } } } },
      { waive: 'Room for the pods of green', says: 'no node has room for it' },
    ],
    [
      'a claim that can not be bound',
      { values: { persistence: { storageClass: 'none-such' } } },
      { waive: 'Storage class', says: 'its volume can not be had' },
    ],
    [
      'a readiness probe that fails',
      { values: { readinessProbe: { exec: { command: ['false'] } } }, readyWithin: '15s' },
      { says: 'its probe fails' },
    ],
  ];
  for (const [what, more, { waive, says }] of HELD)
    slow(`${what}: it says so, and goes back with nothing left`, { timeout: 300_000 }, async () => {
      const w = await begun();
      const upgrade = await w.start('helmBlueGreen', input({ backup: false, ...more }));
      if (waive !== undefined) {
        await upgrade.until('NeedsDecision', PATIENCE);
        await upgrade.say('waive', { check: waive, by: 'ada' });
      }
      const { decision } = await upgrade.until(
        (state) => state.phase === 'NeedsDecision' && state.step === 'Wait until it is ready',
        PATIENCE,
      );
      expect(decision?.problem).toContain(says);
      await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
      expect(await upgrade.ended(PATIENCE)).toMatchObject({ outcome: 'RolledBack', left: [] });
      await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
    });

  slow(
    'what would send writes to green, or lock the applications out, is refused',
    { timeout: 300_000 },
    async () => {
      const w = await begun({ redis: { password: 'secret-one' } });
      await w.kubectl(['label', 'pod', 'redis-0', 'app=redis']);
      await w.kubectl(['create', 'service', 'clusterip', 'redis-green', '--tcp=6379']);
      await w.kubectl(
        ['apply', '-f', '-'],
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'everybody' },
          spec: { selector: { 'app.kubernetes.io/name': 'redis' }, ports: [{ port: 6379 }] },
        }),
      );
      const upgrade = await w.start(
        'helmBlueGreen',
        input({ values: { redis: { password: 'another' } }, green: 'redis-next' }),
      );
      const { type, message } = await upgrade.failure();
      expect(type).toBe('PreflightFailed');
      expect(message).toContain('everybody (app.kubernetes.io/name=redis)');
      expect(message).toContain('Green has the same password: it has another one');
      expect((await standing(w)).releases).toEqual(['redis']);
    },
  );

  const RESTARTED: [string, string][] = [
    ['blue', 'redis-0'],
    ['green', 'redis-green-0'],
  ];
  for (const [side, pod] of RESTARTED)
    slow(
      `the pod of ${side} is deleted before the cutover: green follows again`,
      { timeout: 400_000 },
      async () => {
        const w = await begun({ redis: { config: AOF } });
        const writers = await w.writers({ clients: 1 });
        const upgrade = await w.start('helmBlueGreen', input({ gates: { start: 'auto' }, backup: false }));
        await upgrade.until('AwaitingApproval', PATIENCE);
        await w.kubectl(['delete', 'pod', pod, '--wait=true']);
        await w.kubectl(['rollout', 'status', `statefulset/${pod.slice(0, -2)}`, '--timeout', '60s']);
        await writers.more(100, 60_000);
        await upgrade.approve('cutover');
        const state = await upgrade.until(
          (now) => now.phase === 'NeedsDecision' || asksToDecommission(now),
          PATIENCE,
        );
        await writers.stop();
        expect(state.decision).toBe(null);
        expect(state.warnings.join(' ')).toContain('was made to follow again');
        expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
        expect(await writers.missing(await w.redis({ pod: 'redis-0' }))).toEqual([]);
      },
    );

  slow(
    "blue's pod is deleted in the soak, with AOF: nothing leads there, it takes no writes, and it says that the way back is closed",
    { timeout: 400_000 },
    async () => {
      const w = await begun({ redis: { config: AOF } });
      const writers = await w.writers({ clients: 1 });
      const upgrade = await soaking(w, { backup: false });
      await w.kubectl(['delete', 'pod', 'redis-0', '--wait=true']);
      const { decision, wayBack } = await upgrade.until('NeedsDecision', PATIENCE);
      expect(decision?.problem).toContain('can not go on from where it was');
      expect(await (await w.redis({ pod: 'redis-0' })).info('replication')).toContain('role:slave');
      expect(wayBack).toMatchObject({ possible: true, keepsWrites: false });
      expect(await selectorOf(w)).toEqual(GREEN);
      await writers.more(100);
      await upgrade.say('waive', { check: 'The way back is open', by: 'ada' });
      await upgrade.approve('decommission');
      await upgrade.ended(PATIENCE);
      await writers.stop();
      expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    },
  );

  const KILLED = [
    'Install green',
    'Wait until it is ready',
    'Replicate',
    'Switch the applications over',
    'Soak',
    'Take the old release out of service',
  ];
  for (const title of KILLED)
    slow(`the worker is killed in "${title}": another one goes on`, { timeout: 500_000 }, async () => {
      const w = await begun();
      const writers = await w.writers({ clients: 1 });
      const upgrade = await w.start(
        'helmBlueGreen',
        input({ backup: false, gates: { start: 'auto', cutover: 'auto', decommission: 'auto' } }),
      );
      await upgrade.until(({ step }) => step === title, PATIENCE);
      w.worker?.kill('SIGKILL');
      await w.startWorker();
      const receipt = await upgrade.ended(PATIENCE);
      await writers.stop();
      expect(receipt.outcome).toBe('Completed');
      expect(await selectorOf(w)).toEqual(GREEN);
      expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    });

  for (const title of [
    'Install green',
    'Replicate',
    'Compare both sides',
    'Switch the applications over',
    'Validate',
  ])
    slow(
      `rollback is asked in "${title}": with every write, and nothing is left`,
      { timeout: 400_000 },
      async () => {
        const w = await begun();
        const selector = await selectorOf(w);
        const writers = await w.writers({ clients: 1 });
        const upgrade = await w.start('helmBlueGreen', input({ backup: false }));
        await upgrade.until(({ step }) => step === title, PATIENCE);
        await upgrade.signal('rollback', { by: 'ada' });
        expect(await upgrade.ended(PATIENCE)).toMatchObject({ outcome: 'RolledBack', left: [] });
        await writers.stop();
        expect(await selectorOf(w)).toEqual(selector);
        expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
        await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
      },
    );

  slow('a primary with replicas, and a password', { timeout: 400_000 }, async () => {
    const password = 'secret-one';
    const w = await begun({ mode: 'replica', replication: { replicas: 1 }, redis: { password } });
    const writers = await w.writers({ clients: 1, password });
    const upgrade = await w.start(
      'helmBlueGreen',
      input({ backup: false, gates: { start: 'auto', cutover: 'auto', decommission: 'auto' } }),
    );
    const receipt = await upgrade.ended(PATIENCE);
    await writers.stop();
    shown(receipt);
    expect(receipt.outcome).toBe('Completed');
    for (const service of ['redis', 'redis-master']) expect(await selectorOf(w, service)).toEqual(GREEN);
    expect(await writers.missing(await w.redis({ service: 'redis' }, { password }))).toEqual([]);
    await expect
      .poll(async () => writers.missing(await w.redis({ pod: 'redis-green-1' }, { password })), {
        timeout: 30_000,
      })
      .toEqual([]);
  });

  for (const title of ['Install green', 'Replicate', 'Soak'])
    slow(`the API server does not answer for half a minute in "${title}"`, { timeout: 500_000 }, async () => {
      const w = await clusterWorld();
      await w.install({ image: { tag: R70 } });
      const way = await workerBehindLink(w);
      const writers = await w.writers({ clients: 1 });
      const upgrade = await w.start(
        'helmBlueGreen',
        input({
          backup: false,
          soak: '5s',
          gates: { start: 'auto', cutover: 'auto', decommission: 'auto' },
        }),
      );
      await upgrade.until(({ step }) => step === title, PATIENCE);
      await away(way);
      const receipt = await upgrade.ended(PATIENCE);
      await writers.stop();
      expect(receipt.outcome).toBe('Completed');
      expect(await selectorOf(w)).toEqual(GREEN);
      expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    });
});
