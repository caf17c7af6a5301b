/* helmRolling with a surge replica under faults: nothing of it is left in the end, nothing of others is removed, no pod was missing meanwhile. */
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CHART, CLUSTER, R70, R80, type ClusterWorld } from '../support/cluster.js';
import { sleep } from '../support/world.js';
import { away, ended, killedInEveryStep, PATIENCE, recovered, workerBehindLink } from './faults.js';
import { ALL, begun, expectWhole, readyPods, SHORT } from './rolling.js';

const SURGE = { ...SHORT, surge: true, gates: ALL } as const;
const CLAIM = 'persistentvolumeclaim/data-redis-3';

const AOF = 'bind 0.0.0.0\nprotected-mode no\ndir /data\nappendonly yes\n';

/** A chart that differs in one line of its StatefulSet. */
async function otherChart(w: ClusterWorld, from: RegExp, to: string): Promise<string> {
  const chart = join(w.folder, 'chart');
  await cp(CHART, chart, { recursive: true });
  const file = join(chart, 'templates/statefulset.yaml');
  const text = await readFile(file, 'utf8');
  expect(text).toMatch(from);
  await writeFile(file, text.replace(from, to));
  return chart;
}

async function scaled(w: ClusterWorld, replicas: number): Promise<void> {
  await w.helm(['upgrade', 'redis', CHART, '--reuse-values', '--set', `replication.replicas=${replicas}`]);
  await w.kubectl(['rollout', 'status', 'statefulset/redis', '--timeout', '180s']);
}

describe.skipIf(!CLUSTER)('helmRolling with a surge replica', () => {
  test('the worker is killed in every step', async () => {
    const { w, before, writers } = await begun();
    const ready = await readyPods(w);
    const upgrade = await w.start('helmRolling', SURGE);
    const killed = await killedInEveryStep(w, upgrade);
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', left: [] });
    expect([...killed]).toEqual(
      expect.arrayContaining(['Upgrade the replicas', 'Take the surge replica away']),
    );
    expect(ready.fewest()).toBe(3);
    await expectWhole({ w, before, writers, version: R80 });
  }, 900_000);

  for (const step of [
    'Make a claim for the surge replica',
    'Upgrade the release',
    'Upgrade the replicas',
    'Keep more changes',
    'Switch the applications over',
    'Let the other replicas follow',
    'Soak',
  ])
    test(`rollback asked in "${step}"`, async () => {
      const { w, before, writers } = await begun();
      const ready = await readyPods(w);
      const upgrade = await w.start('helmRolling', { ...SURGE, soak: '30m' });
      await upgrade.until((state) => state.step === step, PATIENCE);
      await upgrade.signal('rollback', { by: 'ada' });
      expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(ready.fewest()).toBe(3);
      await expectWhole({ w, before, writers });
    }, 900_000);

  test('rollback asked while the first old replica is made anew, and the worker is killed on the way back again and again', async () => {
    const { w, before, writers } = await begun();
    const ready = await readyPods(w);
    const upgrade = await w.start('helmRolling', { ...SURGE, soak: '30m' });
    await upgrade.until((state) => state.step === 'Upgrade the replicas', PATIENCE);
    const image = () => w.kubectl(['get', 'pod', 'redis-2', '-o', 'jsonpath={.spec.containers[0].image}']);
    await expect.poll(() => image().catch(() => ''), { timeout: PATIENCE }).toContain(R80);
    await upgrade.signal('rollback', { by: 'ada' });
    // One undo is tried five times before a person is asked.
    for (let n = 0; n < 4; n += 1) {
      await sleep(3_000 + Math.random() * 12_000);
      w.worker?.kill('SIGKILL');
      await w.startWorker();
    }
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(ready.fewest()).toBe(3);
    await expectWhole({ w, before, writers });
  }, 900_000);

  for (const [what, values, password] of [
    ['with a password', { redis: { password: 's3cret-pw' } }, 's3cret-pw'],
    ['with AOF', { redis: { config: AOF } }, undefined],
  ] as const)
    for (const way of ['to its end', 'and back in the soak'])
      test(`${what}, ${way}`, async () => {
        const { w, before, writers } = await begun({ image: { tag: R70 }, ...values }, password);
        const back = way !== 'to its end';
        const upgrade = await w.start('helmRolling', { ...SURGE, soak: back ? '30m' : '2s' });
        if (back) {
          await upgrade.until((state) => state.step === 'Soak', PATIENCE);
          await writers.more(200, 60_000);
          await upgrade.say('rollback', { by: 'ada' });
        }
        expect(await ended(upgrade)).toMatchObject({ outcome: back ? 'RolledBack' : 'Completed', left: [] });
        await expectWhole({ w, before, writers, password, ...(back ? {} : { version: R80 }) });
      }, 900_000);

  for (const step of ['Upgrade the replicas', 'Soak'])
    test(`terminated in "${step}", it is recovered to what it was`, async () => {
      const { w, before, writers } = await begun();
      const upgrade = await w.start('helmRolling', { ...SURGE, soak: '30m' });
      await upgrade.until((state) => state.step === step, PATIENCE);
      await sleep(3_000);
      await recovered(w, upgrade);
      await expectWhole({ w, before, writers });
    }, 900_000);

  for (const step of [
    'Upgrade the old primary',
    'Put the roles back',
    'Take the surge replica away',
    'Let go of the pods',
    'Validate',
    'Remove the claim of the surge replica',
  ])
    test(`terminated in "${step}", it is recovered to its end`, async () => {
      const { w, before, writers } = await begun();
      const upgrade = await w.start('helmRolling', SURGE);
      await upgrade.until((state) => state.step === step, PATIENCE);
      expect(await recovered(w, upgrade)).toMatchObject({ undone: [{ title: 'Still to do' }] });
      await expectWhole({ w, before, writers, version: R80 });
    }, 900_000);

  for (const step of [
    'Make a claim for the surge replica',
    'Upgrade the release',
    'Take the surge replica away',
    'Remove the claim of the surge replica',
  ])
    test(`the API server is away for 30 s in "${step}"`, async () => {
      const { w, before, writers } = await begun();
      w.worker?.kill('SIGKILL');
      const way = await workerBehindLink(w);
      const upgrade = await w.start('helmRolling', SURGE);
      await upgrade.until((state) => state.step === step, PATIENCE);
      await away(way);
      expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', left: [] });
      await expectWhole({ w, before, writers, version: R80 });
    }, 900_000);

  for (const pods of [['redis-3'], ['redis-2', 'redis-3']])
    for (const way of ['on to the end', 'back'])
      test(`${pods.join(' and ')} ended in the soak: every write is there, and it goes ${way}`, async () => {
        const { w, before, writers } = await begun();
        const upgrade = await w.start('helmRolling', { ...SURGE, soak: way === 'back' ? '30m' : '45s' });
        await upgrade.until((state) => state.step === 'Soak', PATIENCE);
        await sleep(3_000);
        await w.kubectl(['delete', 'pod', ...pods, '--wait=false']);
        if (pods.includes('redis-2'))
          await upgrade.until(
            ({ warnings }) => warnings.some((each) => each.includes('made anew')),
            PATIENCE,
          );
        await expect
          .poll(
            async () => {
              const redis = await w.redis({ pod: 'redis-3' }).catch(() => null);
              return redis?.info('replication').catch(() => '');
            },
            { timeout: PATIENCE },
          )
          .toMatch(/role:slave[^]*master_link_status:up/);
        await writers.more(200, 60_000);
        if (way === 'back') await upgrade.say('rollback', { by: 'ada' });
        expect(await ended(upgrade)).toMatchObject({
          outcome: way === 'back' ? 'RolledBack' : 'Completed',
          left: [],
        });
        await expectWhole({
          w,
          before,
          writers,
          readOnlyForAWhile: true,
          ...(way === 'back' ? {} : { version: R80 }),
        });
      }, 900_000);

  test('an image that does not exist: no old pod is ended, and going back leaves nothing', async () => {
    const { w, before, writers } = await begun();
    const ready = await readyPods(w);
    const upgrade = await w.start('helmRolling', { ...SURGE, targetVersion: '8.0.99' });
    const { decision } = await upgrade.until('NeedsDecision', PATIENCE);
    expect(decision?.problem).toMatch(/redis-3.*its image can not be had.*8\.0\.99/s);
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect([ready.fewest(), ready.most()]).toEqual([3, 3]);
    await expectWhole({ w, before, writers });
  }, 900_000);

  test('a claim that an earlier scale-down left is refused, and one that comes meanwhile stops it: neither is touched', async () => {
    const { w, before, writers } = await begun({ redis: { config: AOF } });
    await scaled(w, 3);
    await scaled(w, 2);
    const uid = () => w.kubectl(['get', CLAIM, '-o', 'jsonpath={.metadata.uid}']);
    const left = await uid();
    const refused = await w.start('helmRolling', SURGE);
    expect(await refused.failure()).toMatchObject({
      type: 'PreflightFailed',
      message: expect.stringMatching(/begins empty: data-redis-3 is there.*kubectl delete pvc/s) as unknown,
    });
    expect(await uid()).toBe(left);
    await w.kubectl(['delete', CLAIM]);
    w.name = `${w.name}-again`;
    const upgrade = await w.start('helmRolling', { ...SURGE, gates: { ...ALL, start: { approvers: 1 } } });
    await upgrade.until((state) => state.phase === 'AwaitingApproval', PATIENCE);
    await w.kubectl(
      ['create', '-f', '-'],
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'data-redis-3' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '64Mi' } } },
      }),
    );
    const theirs = await uid();
    await upgrade.approve('start');
    const { decision } = await upgrade.until('NeedsDecision', PATIENCE);
    expect(decision?.problem).toContain('which was not made here');
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack' });
    expect(await uid()).toBe(theirs);
    await w.kubectl(['delete', CLAIM]);
    await expectWhole({ w, before, writers });
  }, 900_000);

  test.each([
    ['does not take the number', /^ {2}replicas: .*$/m, '  replicas: 3', /replication\.replicas: 3 makes 3/],
    [
      'writes the number into every pod',
      /checksum\/config: .*$/m,
      'checksum/config: {{ printf "%v %s" .Values.replication.replicas .Values.redis.config | sha256sum }}',
      /would make every pod anew at the end: spec\.template/,
    ],
  ])(
    'a chart that %s is refused',
    async (_, from, to, says) => {
      const { w, before, writers } = await begun();
      const upgrade = await w.start('helmRolling', { ...SURGE, chart: await otherChart(w, from, to) });
      expect(await upgrade.failure()).toMatchObject({
        type: 'PreflightFailed',
        message: expect.stringMatching(says) as unknown,
      });
      await expectWhole({ w, before, writers });
    },
    900_000,
  );

  test('a chart that counts the primary too, or was given the number: the plan has the value that brings one pod more', async () => {
    const { w, before, writers } = await begun();
    const chart = await otherChart(w, /^ {2}replicas: .*$/m, '  replicas: {{ .Values.count | default 3 }}');
    const planned = async (more: Record<string, unknown>) => {
      w.name = `${w.name}-again`;
      const upgrade = await w.start('helmRolling', { ...SURGE, dryRun: true, ...more });
      return JSON.stringify(await upgrade.ended(PATIENCE)).replaceAll(String.raw`\"`, '"');
    };
    expect(await planned({})).toContain('value replication: not given → {"replicas":3}');
    expect(await planned({ chart, paths: { replicas: 'count' } })).toContain('value count: not given → 4');
    await w.helm(['upgrade', 'redis', CHART, '--reuse-values', '--set', 'replication.replicas=2']);
    expect(await planned({})).toContain('value replication.replicas: 2 → 3');
    await expectWhole({ w, before, writers });
  }, 900_000);

  test('an autoscaler and a quota are refused; a disruption budget is said in the plan', async () => {
    const { w, before, writers } = await begun({ podDisruptionBudget: { enabled: true, minAvailable: 2 } });
    await w.kubectl(['create', 'quota', 'few', '--hard=persistentvolumeclaims=3']);
    await w.kubectl(['autoscale', 'statefulset', 'redis', '--min=3', '--max=3']);
    const upgrade = await w.start('helmRolling', SURGE);
    const { message } = (await upgrade.failure()) as { message: string };
    expect(message).toMatch(/Nobody else sets the number of pods: redis/);
    expect(message).toMatch(/Quota of the namespace: few: persistentvolumeclaims 3 of 3 are used/);
    await w.kubectl(['delete', 'hpa/redis', 'quota/few']);
    w.name = `${w.name}-again`;
    const planned = await w.start('helmRolling', { ...SURGE, dryRun: true });
    const receipt = await planned.ended(PATIENCE);
    expect(JSON.stringify(receipt)).toContain('it counts redis-3 too');
    await expectWhole({ w, before, writers });
  }, 900_000);

  for (const way of ['on', 'back'])
    test(`the partition is the chart's own: ${way}, and its value is as it was`, async () => {
      const { w, before, writers } = await begun({ hold: 0 });
      const chart = await otherChart(
        w,
        /^spec:$/m,
        'spec:\n  updateStrategy: { type: RollingUpdate, rollingUpdate: { partition: {{ .Values.hold | default 0 }} } }',
      );
      await w.helm(['upgrade', 'redis', chart, '--reuse-values']);
      const upgrade = await w.start('helmRolling', {
        ...SURGE,
        chart,
        paths: { partition: 'hold' },
        soak: way === 'on' ? '2s' : '30m',
      });
      if (way === 'back') {
        await upgrade.until((state) => state.step === 'Soak', PATIENCE);
        await upgrade.say('rollback', { by: 'ada' });
      }
      expect(await ended(upgrade)).toMatchObject({
        outcome: way === 'back' ? 'RolledBack' : 'Completed',
        left: [],
      });
      expect(JSON.parse(await w.helm(['get', 'values', 'redis', '-o', 'json']))).toMatchObject({ hold: 0 });
      await expectWhole({ w, before, writers, ...(way === 'on' ? { version: R80 } : {}) });
    }, 900_000);
});
