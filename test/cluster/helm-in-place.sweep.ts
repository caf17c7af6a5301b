/* helmInPlace under faults, on a real cluster: wholly new or wholly old in the end, nothing acknowledged is lost unless that was said before. */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { CLUSTER, clusterWorld, R60, R70, R80, type ClusterWorld, type Writers } from '../support/cluster.js';
import type { Upgrade } from '../support/world.js';
import {
  away,
  ended,
  endPending,
  killedInEveryStep,
  lackingOf,
  leftPending,
  OWN_NODE,
  PATIENCE,
  restartKubelet,
  smallVolume,
  workerBehindLink,
} from './faults.js';

const AOF = 'bind 0.0.0.0\nprotected-mode no\ndir /data\nappendonly yes\n';
const AUTO = { gates: { start: 'auto' } } as const;

async function begun(values: Record<string, unknown> = {}, from: string = R70) {
  const w = await clusterWorld();
  await Promise.all([w.install({ image: { tag: from }, ...values }), w.startWorker()]);
  return { w, saves: await savesOf(w), writers: await w.writers({ clients: 2 }) };
}

async function savesOf(w: ClusterWorld): Promise<string> {
  return String(await (await w.redis({ service: 'redis' })).config('GET', 'save'));
}

async function expectWhole(on: {
  w: ClusterWorld;
  writers: Writers;
  version: string;
  lost?: true;
  /** Of before, where it is the old version again. */
  saves?: string;
}): Promise<void> {
  const { w, writers, version, lost, saves } = on;
  const { redis, missing } = await lackingOf(w, writers);
  const info = await redis.info();
  expect(info).toContain(`redis_version:${version}`);
  expect(info).toContain('role:master');
  if (!lost) expect(missing).toEqual([]);
  const { spec, status } = await w.json<{ spec: { replicas: number }; status: { readyReplicas: number } }>(
    'statefulset',
    'redis',
  );
  expect([spec.replicas, status.readyReplicas]).toEqual([1, 1]);
  const [last] = JSON.parse(await w.helm(['list', '-o', 'json'])) as { status: string }[];
  expect(last?.status).toBe('deployed');
  // It saves as it did: nothing that was changed for the way back is left.
  if (saves !== undefined) expect(await savesOf(w)).toBe(saves);
}

async function held(upgrade: Upgrade) {
  const { decision } = await upgrade.until('NeedsDecision', PATIENCE);
  return decision;
}

describe.skipIf(!CLUSTER)('helmInPlace under faults', { timeout: 900_000 }, () => {
  for (const [from, to, config] of [
    [R60, R70, undefined],
    [R70, R80, undefined],
    [R70, R80, AOF],
  ] as const)
    test(`${from} → ${to}${config ? ' with AOF' : ''}: the worker is killed in every step`, async () => {
      const { w, writers } = await begun(config ? { redis: { config } } : {}, from);
      const upgrade = await w.start('helmInPlace', { ...AUTO, targetVersion: to });
      const killed = await killedInEveryStep(w, upgrade);
      expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', left: [], blemishes: [] });
      expect(killed.size).toBeGreaterThan(6);
      await expectWhole({ w, writers, version: to });
    });

  for (const [from, to] of [
    [R60, R70],
    [R70, R80],
  ] as const)
    for (const step of [
      'Keep the evidence',
      'Back up the old server',
      'Save to disk',
      'Upgrade the release',
      'Wait until it has loaded',
    ])
      test(`${from} → ${to}: rollback asked in "${step}"`, async () => {
        const { w, writers, saves } = await begun({}, from);
        const upgrade = await w.start('helmInPlace', { ...AUTO, targetVersion: to });
        await upgrade.until((state) => state.step === step, PATIENCE);
        await upgrade.signal('rollback', { by: 'ada' });
        const state = await upgrade.until(
          ({ phase }) => ['RolledBack', 'RollbackFailed', 'NeedsDecision'].includes(phase),
          PATIENCE,
        );
        const asked = state.phase === 'NeedsDecision';
        if (asked) {
          // The new version took writes already: nobody loses them without having said so.
          expect(state.decision?.problem).toMatch(/going back loses the \d+ commands/);
          await upgrade.say('decide', { choice: 'retry', by: 'ada' });
        }
        expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
        await expectWhole({ w, writers, version: from, saves, ...(asked ? { lost: true as const } : {}) });
      });

  for (const step of ['Validate', 'Back up the new server'])
    test(`rollback asked in "${step}": it is asked whether what was written since may be lost`, async () => {
      const { w, writers, saves } = await begun();
      const upgrade = await w.start('helmInPlace', { ...AUTO, targetVersion: R80 });
      await upgrade.until((state) => state.step === step, PATIENCE);
      await upgrade.signal('rollback', { by: 'ada' });
      const decision = await held(upgrade);
      expect(decision?.problem).toContain('every write since the backup of');
      await upgrade.say('decide', { choice: 'rollbackLosingWrites', by: 'ada' });
      const receipt = await ended(upgrade);
      expect(receipt.outcome).toBe('RolledBack');
      expect(receipt.left.join()).toContain('ferry-aside-');
      await expectWhole({ w, writers, version: R70, saves, lost: true });
    });

  test.each([
    ['no node has room for it', { resources: { requests: { cpu: '900' } } }],
    ['its probe fails', { readinessProbe: { exec: { command: ['false'] }, periodSeconds: 1 } }],
    ['its image can not be had', { image: { tag: '8.0.2-none' } }],
    ['it refuses its configuration', { redis: { config: 'dir /data\nno-such-directive yes\n' } }],
  ])('%s: said so, and going back loses nothing', async (says, values) => {
    const { w, writers, saves } = await begun();
    const upgrade = await w.start('helmInPlace', { ...AUTO, targetVersion: R80, values, readyWithin: '45s' });
    const decision = await held(upgrade);
    expect(decision?.problem).toContain(says);
    expect(decision?.problem).toContain('redis-0');
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
    await expectWhole({ w, writers, saves, version: R70 });
  });

  test('with AOF a 6.0 does not see what a 7.0 has begun: where its probe fails, going back asks first, and is whole', async () => {
    const { w, writers, saves } = await begun({ redis: { config: AOF } }, R60);
    const upgrade = await w.start('helmInPlace', {
      ...AUTO,
      targetVersion: R70,
      values: { readinessProbe: { exec: { command: ['false'] }, periodSeconds: 1 } },
      readyWithin: '30s',
    });
    expect((await held(upgrade))?.problem).toContain('its probe fails');
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    const asked = await upgrade.until(
      ({ decision }) => decision?.about.startsWith('Undo of') === true,
      PATIENCE,
    );
    expect(asked.decision?.problem).toContain('every write since the backup of');
    await upgrade.say('decide', { choice: 'retry', by: 'ada' });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack' });
    await expectWhole({ w, writers, version: R60, saves, lost: true });
    expect(await (await w.redis({ service: 'redis' })).dbsize()).toBeGreaterThan(100);
  });

  for (const step of ['Save to disk', 'Upgrade the release', 'Wait until it has loaded'])
    test(`the API server is away for 30 s in "${step}"`, async () => {
      const w = await clusterWorld();
      await w.install();
      const way = await workerBehindLink(w);
      const writers = await w.writers({ clients: 2 });
      const upgrade = await w.start('helmInPlace', { ...AUTO, targetVersion: R80 });
      await upgrade.until((state) => state.step === step, PATIENCE);
      await away(way);
      expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', left: [] });
      await expectWhole({ w, writers, version: R80 });
    });

  for (const step of ['Back up the old server', 'Wait until it has loaded', 'Back up the new server'])
    test.runIf(OWN_NODE)(`the node's agent is restarted in "${step}"`, async () => {
      const { w, writers } = await begun();
      const upgrade = await w.start('helmInPlace', { ...AUTO, targetVersion: R80 });
      await upgrade.until((state) => state.step === step, PATIENCE);
      await restartKubelet();
      expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', left: [] });
      await expectWhole({ w, writers, version: R80 });
    });

  test('a helm of somebody else was killed in the middle: nothing is begun, and it says how that is ended', async () => {
    const { w, writers } = await begun();
    await leftPending(w);
    const refused = await w.start('helmInPlace', { ...AUTO, targetVersion: R80 });
    const { type, message } = await refused.failure();
    expect(type).toBe('Locked');
    expect(message).toContain('pending-upgrade');
    expect(message).toContain(`helm rollback redis`);
    await expectWholeBut(w);
    await endPending(w, 1);
    w.name = `${w.name}-again`;
    const upgrade = await w.start('helmInPlace', { ...AUTO, targetVersion: R80 });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
    await expectWhole({ w, writers, version: R80 });
  });

  for (const choice of ['retry', 'rollback'] as const)
    test(`a helm of somebody else is in the middle when ours begins: it is left alone, and then "${choice}"`, async () => {
      const { w, writers } = await begun();
      const upgrade = await w.start('helmInPlace', { targetVersion: R80 });
      await upgrade.until('AwaitingApproval', PATIENCE);
      await upgrade.approve('start');
      await upgrade.until((state) => state.step === 'Save to disk', PATIENCE);
      await leftPending(w);
      const decision = await held(upgrade);
      expect(decision?.problem).toContain('another helm operation');
      expect(decision?.problem).toContain('helm rollback redis');
      if (choice === 'rollback') {
        await upgrade.say('decide', { choice, by: 'ada' });
        const again = await upgrade.until(
          (state) => state.decision?.about.startsWith('Undo of') === true,
          PATIENCE,
        );
        expect(again.decision?.problem).toContain('another helm operation');
        expect(await w.helm(['list', '--pending', '-q'])).toContain('redis');
      }
      await endPending(w, 1);
      await upgrade.say('decide', { choice: 'retry', by: 'ada' });
      expect(await ended(upgrade)).toMatchObject({
        outcome: choice === 'retry' ? 'Completed' : 'RolledBack',
        left: [],
      });
      await expectWhole({ w, writers, version: choice === 'retry' ? R80 : R70 });
    });

  test('somebody gives the release a revision meanwhile: it is not taken back unseen', async () => {
    const { w, writers } = await begun();
    const upgrade = await w.start('helmInPlace', { targetVersion: R80 });
    await upgrade.until('AwaitingApproval', PATIENCE);
    await upgrade.approve('start');
    await upgrade.until((state) => state.step === 'Save to disk', PATIENCE);
    await w.helm([
      'upgrade',
      'redis',
      'test/cluster/charts/redis',
      '--reuse-values',
      '--set',
      'service.port=6380',
    ]);
    expect((await held(upgrade))?.problem).toContain('somebody gave');
    await w.helm(['rollback', 'redis', '1']);
    await upgrade.say('decide', { choice: 'retry', by: 'ada' });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
    await expectWhole({ w, writers, version: R80 });
  });

  test('a claim of another size is refused before anything is changed', async () => {
    const { w, writers, saves } = await begun();
    const upgrade = await w.start('helmInPlace', {
      ...AUTO,
      targetVersion: R80,
      values: { persistence: { size: '1Mi' } },
    });
    const { type, message } = await upgrade.failure();
    expect(type).toBe('PreflightFailed');
    expect(message).toContain('What the upgrade changes');
    await expectWhole({ w, writers, saves, version: R70 });
  });

  test('a volume that is full: it says so before the pod is made anew, and goes on once there is room', async () => {
    const w = await clusterWorld();
    const volume = await smallVolume(w, { megabytes: 4 });
    await Promise.all([w.install({ persistence: { storageClass: volume.storageClass } }), w.startWorker()]);
    const redis = await w.redis({ service: 'redis' });
    for (let n = 0; n < 6; n += 1) await redis.set(`big:${n}`, randomBytes(1_000_000));
    const writers = await w.writers({ clients: 2 });
    const upgrade = await w.start('helmInPlace', { ...AUTO, targetVersion: R80, backup: false });
    const decision = await held(upgrade);
    expect(decision?.about).toBe('Save to disk');
    expect(decision?.problem).toContain('could not save to its disk');
    expect(decision?.problem).toContain('make room on its volume');
    await volume.enlarge();
    await upgrade.say('decide', { choice: 'retry', by: 'ada' });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', left: [] });
    await expectWhole({ w, writers, version: R80 });
  });
});

/** Nothing of ours is there: one revision that was deployed, and the pending one. */
async function expectWholeBut(w: ClusterWorld): Promise<void> {
  const history = JSON.parse(await w.helm(['history', 'redis', '-o', 'json'])) as { status: string }[];
  expect(history.map(({ status }) => status)).toEqual(['deployed', 'pending-upgrade']);
}
