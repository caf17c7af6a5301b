/* helmRolling under faults, on a real cluster: wholly new or wholly old in the end, and no acknowledged write is missing. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Receipt } from '../../src/contract.js';
import { CLUSTER, clusterWorld, R80, type ClusterWorld, type Writers } from '../support/cluster.js';
import { link } from '../support/link.js';
import { sleep, type Upgrade } from '../support/world.js';
import { ALL, settled, SHORT, type Standing } from './rolling.js';

async function begun(values: Record<string, unknown> = {}, env: Record<string, string> = {}) {
  const w = await clusterWorld();
  await w.startWorker(env);
  await w.install({ mode: 'replica', ...values });
  const before = await settled(w, 3);
  return { w, before, writers: await w.writers({ clients: 2 }) };
}

/** Where it waits for somebody, that is what it should say. */
async function ended(upgrade: Upgrade): Promise<Receipt> {
  return upgrade.ended(300_000).catch(async (error: unknown) => {
    const { phase, step, decision } = await upgrade.state();
    throw new Error(`${phase} at ${step}: ${decision?.problem ?? ''}`, { cause: error });
  });
}

async function expectWhole(on: {
  w: ClusterWorld;
  writers: Writers;
  before: Standing;
  version?: string;
}): Promise<void> {
  const { w, writers, before, version } = on;
  await writers.stop();
  const after = await settled(w, 3);
  expect(after).toEqual(
    version === undefined ? before : { ...before, versions: [version, version, version] },
  );
  expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
  expect([...writers.errors.keys()].filter((error) => /READONLY/.test(error))).toEqual([]);
}

describe.skipIf(!CLUSTER)('helmRolling under faults', () => {
  test('the worker is killed in every step', async () => {
    const { w, before, writers } = await begun();
    const upgrade = await w.start('helmRolling', { ...SHORT, gates: ALL });
    const killed = new Set<string>();
    for (;;) {
      const state = await upgrade.state().catch(() => null);
      if (state && ['Completed', 'NeedsDecision'].includes(state.phase)) break;
      const step = state?.step;
      if (step && !killed.has(step)) {
        killed.add(step);
        await sleep(Math.random() * 1_500);
        w.worker?.kill('SIGKILL');
        await w.startWorker();
      }
      await sleep(50);
    }
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', left: [] });
    expect(killed.size).toBeGreaterThan(10);
    await expectWhole({ w, before, writers, version: R80 });
  }, 900_000);

  for (const step of [
    'Hold the pods',
    'Upgrade the release',
    'Upgrade the replicas',
    'Keep more changes',
    'Switch the applications over',
    'Let the other replicas follow',
    'Validate the switch',
  ])
    test(`rollback asked in "${step}"`, async () => {
      const { w, before, writers } = await begun();
      const upgrade = await w.start('helmRolling', { ...SHORT, soak: '30m', gates: ALL });
      await upgrade.until((state) => state.step === step, 240_000);
      await upgrade.signal('rollback', { by: 'ada' });
      expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
      await expectWhole({ w, before, writers });
    }, 900_000);

  test("the primary's pod is ended by hand while the replicas are upgraded: it serves again, and nobody took over", async () => {
    const { w, before, writers } = await begun();
    const upgrade = await w.start('helmRolling', { ...SHORT, gates: { ...ALL, cutover: { approvers: 1 } } });
    await upgrade.until((state) => state.step === 'Upgrade the replicas', 240_000);
    await w.kubectl(['delete', 'pod', 'redis-0', '--wait=false']);
    await upgrade.until(
      (state) => state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
      240_000,
    );
    const now = await settled(w, 3);
    expect(now.versions).toEqual([before.versions[0], R80, R80]);
    expect(now.roles).toEqual(before.roles);
    await upgrade.approve('cutover');
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
    await expectWhole({ w, before, writers, version: R80 });
  }, 900_000);

  test.each([
    ['no node has room for it', { resources: { requests: { cpu: '900' } } }],
    ['its probe fails', { readinessProbe: { exec: { command: ['false'] }, periodSeconds: 1 } }],
  ])(
    '%s: said so, and going back leaves nothing',
    async (says, values) => {
      const { w, before, writers } = await begun();
      const upgrade = await w.start('helmRolling', { ...SHORT, gates: ALL, values, readyWithin: '45s' });
      const { decision } = await upgrade.until('NeedsDecision', 240_000);
      expect(decision?.problem).toContain(says);
      expect(decision?.problem).toContain('redis-2');
      await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
      expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
      await expectWhole({ w, before, writers });
    },
    900_000,
  );

  test('the API server is away for 30 s', async () => {
    const w = await clusterWorld();
    const given = JSON.parse(await readFile(w.env['KUBECONFIG'] ?? '', 'utf8')) as {
      clusters: { cluster: { server: string } }[];
    };
    const [cluster] = given.clusters;
    if (!cluster) throw new Error('a kubeconfig without a cluster');
    const way = await link(Number(new URL(cluster.cluster.server).port), onTestFinished);
    cluster.cluster.server = `https://${way.at}`;
    const kubeconfig = join(w.folder, 'kubeconfig.json');
    await writeFile(kubeconfig, JSON.stringify(given));
    await w.startWorker({ KUBECONFIG: kubeconfig });
    await w.install({ mode: 'replica' });
    const before = await settled(w, 3);
    const writers = await w.writers({ clients: 2 });
    const upgrade = await w.start('helmRolling', { ...SHORT, gates: ALL });
    await upgrade.until((state) => state.step === 'Upgrade the replicas', 240_000);
    way.sever();
    await sleep(30_000);
    way.mend();
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', left: [] });
    await expectWhole({ w, before, writers, version: R80 });
  }, 900_000);

  test('terminated behind the point of no return, it is recovered to its end', async () => {
    const { w, before, writers } = await begun();
    const upgrade = await w.start('helmRolling', { ...SHORT, gates: ALL });
    await upgrade.until((state) => state.step === 'Upgrade the old primary', 240_000);
    await sleep(2_000);
    await upgrade.handle.terminate('a test');
    const recovery = await w.client.workflow.start('recover', {
      taskQueue: w.taskQueue,
      workflowId: `recover/${upgrade.id}`,
      args: [{ workflowId: upgrade.id, by: 'ada' }],
    });
    expect(await recovery.result()).toMatchObject({ undone: [{ title: 'Still to do' }] });
    await expectWhole({ w, before, writers, version: R80 });
  }, 900_000);
});
