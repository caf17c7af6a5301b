/* helmDumpRestore under faults, on a real cluster, beside the `slow` ones of helm-dump-restore.test.ts: no acknowledged write is missing. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { State } from '../../src/contract.js';
import { fenceStanding, type Standing } from '../../src/redis/fence.js';
import { CLUSTER, clusterWorld, R60, R70, R80, type ClusterWorld, type Writers } from '../support/cluster.js';
import { sleep, type Upgrade } from '../support/world.js';
import {
  away,
  ended,
  endPending,
  killedInEveryStep,
  lackingOf,
  leftPending,
  OWN_NODE,
  PATIENCE,
  recovered,
  restartKubelet,
  smallVolume,
  workerBehindLink,
} from './faults.js';
import { AFTER, AOF, BEFORE, begun as installed, GREEN, selectorOf, standing } from './second.js';

const ALL = { start: 'auto', cutover: 'auto', decommission: 'auto' } as const;
const PASSWORD = 'secret-one';
const input = (more: Record<string, unknown> = {}) => ({
  targetVersion: R80,
  soak: '2s',
  backup: false,
  gates: ALL,
  ...more,
});

async function begun(values: Record<string, unknown> = {}, password?: string) {
  const w = await installed(values);
  return {
    w,
    writers: await w.writers({ clients: 2, ...(password === undefined ? {} : { password }) }),
  };
}

/** A worker whose way to the API server can be cut. */
async function begunBehindLink(tag: string) {
  const w = await clusterWorld();
  await w.install({ image: { tag } });
  const way = await workerBehindLink(w);
  return { w, way, writers: await w.writers({ clients: 2 }) };
}

/** Wholly new: the applications are there. Wholly old: nothing is left of green, and the old one takes writes. */
async function expectWhole(on: {
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

async function reaches(upgrade: Upgrade, title: string): Promise<State> {
  return upgrade.until(({ step, decision }) => step === title || decision !== null, PATIENCE);
}

async function goesBack(upgrade: Upgrade): Promise<void> {
  await upgrade.signal('rollback', { by: 'ada' });
  expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
}

async function replaceWorker(w: ClusterWorld): Promise<void> {
  w.worker?.kill('SIGKILL');
  await w.startWorker();
}

/** Once in every step, or in those named, as it begins. Which steps these were. */
async function inEveryStep(
  upgrade: Upgrade,
  befalls: () => Promise<void>,
  only?: readonly string[],
): Promise<Set<string>> {
  const steps = new Set<string>();
  for (;;) {
    const state = await upgrade.state().catch(() => null);
    if (state && ['Completed', 'NeedsDecision'].includes(state.phase)) return steps;
    const step = state?.step;
    if (step && !steps.has(step) && (only ?? [step]).includes(step)) {
      steps.add(step);
      await befalls();
    }
    await sleep(20);
  }
}

/** Once in every undo, at any moment of it. Which steps were undone then. */
async function killedInEveryUndo(w: ClusterWorld, upgrade: Upgrade): Promise<Set<string>> {
  const killed = new Set<string>();
  for (;;) {
    const state = await upgrade.state().catch(() => null);
    if (state && ['RolledBack', 'NeedsDecision'].includes(state.phase)) return killed;
    const title = state?.steps.find(({ status }) => status === 'undoing')?.title;
    if (title !== undefined && !killed.has(title)) {
      killed.add(title);
      await sleep(Math.random() * 1_500);
      await replaceWorker(w);
    }
    await sleep(20);
  }
}

/** Returns as the server says so of itself. */
async function fenceSays(w: ClusterWorld, pod: string, what: Standing): Promise<void> {
  const client = await w.redis({ pod });
  // An ordinary client is sent away by the switch.
  await client.client('SETNAME', 'ferry:of-the-test');
  await expect.poll(() => fenceStanding({ client }), { timeout: PATIENCE, interval: 10 }).toBe(what);
  client.disconnect();
}

/** Tells the Service by a command, which takes its time. `fails`: the first time that it goes forward. */
function byCommand(w: ClusterWorld, { fails = '', takes = 0 }: { fails?: string; takes?: number } = {}) {
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

describe.skipIf(!CLUSTER)('helmDumpRestore under faults', { timeout: 900_000 }, () => {
  for (const [from, to, config, password] of [
    [R60, R70, AOF, PASSWORD],
    [R70, R80, AOF, undefined],
    [R80, R70, undefined, undefined],
  ] as const)
    test(`${from} → ${to}${config ? ' with AOF' : ''}${password ? ' and a password' : ''}: the worker is killed in every step`, async () => {
      const { w, writers } = await begun(
        { image: { tag: from }, redis: { ...(config ? { config } : {}), ...(password ? { password } : {}) } },
        password,
      );
      const upgrade = await w.start('helmDumpRestore', input({ targetVersion: to, backup: true }));
      const killed = await killedInEveryStep(w, upgrade);
      expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', left: [] });
      expect(killed.size).toBeGreaterThan(12);
      await expectWhole({ w, writers, is: 'new', version: to, password });
    });

  test('the worker is killed as writes are being stopped', async () => {
    const { w, writers } = await begun();
    const upgrade = await w.start('helmDumpRestore', input());
    await reaches(upgrade, 'Stop the writes');
    await fenceSays(w, 'redis-0', 'fenced');
    await replaceWorker(w);
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
    await expectWhole({ w, writers, is: 'new', version: R80 });
  });

  for (const way of ['on to the end', 'back'] as const)
    test(`the worker is killed behind the seal, while the applications are told; it goes ${way}`, async () => {
      const { w, writers } = await begun();
      const upgrade = await w.start('helmDumpRestore', input({ repoint: byCommand(w, { takes: 4 }) }));
      await reaches(upgrade, 'Compare both sides');
      await fenceSays(w, 'redis-0', 'sealed');
      if (way === 'back') await upgrade.signal('rollback', { by: 'ada' });
      await replaceWorker(w);
      expect(await ended(upgrade)).toMatchObject({
        outcome: way === 'back' ? 'RolledBack' : 'Completed',
        left: [],
      });
      await expectWhole({
        w,
        writers,
        is: way === 'back' ? 'old' : 'new',
        version: way === 'back' ? R70 : R80,
      });
    });

  for (const [step, undone] of [
    ['Soak', 4],
    ['Compare both sides', 2],
  ] as const)
    test(`rollback asked in "${step}", and the worker is killed in every step of the way back`, async () => {
      const { w, writers } = await begun();
      const upgrade = await w.start('helmDumpRestore', input({ soak: '1h' }));
      await reaches(upgrade, step);
      if (step === 'Soak') await writers.more(200, 60_000);
      await upgrade.signal('rollback', { by: 'ada' });
      const killed = await killedInEveryUndo(w, upgrade);
      expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(killed.size).toBeGreaterThanOrEqual(undone - 1);
      await expectWhole({ w, writers, is: 'old', version: R70 });
    });

  for (const [when, pod, says] of [
    ['as the old release is opened for what comes back', 'redis-0', 'returning'],
    ['behind the seal of green', 'redis-green-0', 'sealed'],
  ] as const)
    test(`on the way back the worker is killed ${when}`, async () => {
      const { w, writers } = await begun();
      const upgrade = await w.start('helmDumpRestore', input({ soak: '1h' }));
      await reaches(upgrade, 'Soak');
      await writers.more(200, 60_000);
      await upgrade.signal('rollback', { by: 'ada' });
      await fenceSays(w, pod, says);
      await replaceWorker(w);
      expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
      await expectWhole({ w, writers, is: 'old', version: R70 });
    });

  for (const step of [
    'Keep the evidence',
    'Back up the old server',
    'Ask both servers',
    'Check both servers',
  ])
    test(`rollback asked in "${step}"`, async () => {
      const { w, writers } = await begun();
      const upgrade = await w.start('helmDumpRestore', input({ soak: '1h', backup: true }));
      await reaches(upgrade, step);
      await goesBack(upgrade);
      expect([...writers.errors.keys()]).toEqual([]);
      await expectWhole({ w, writers, is: 'old', version: R70 });
    });

  for (const gate of ['start', 'cutover'])
    test(`rollback asked at the gate "${gate}", and ${gate === 'start' ? 'nothing was changed' : 'writes go on'}`, async () => {
      const { w, writers } = await begun();
      const gates = { ...ALL, [gate]: undefined };
      const upgrade = await w.start('helmDumpRestore', input({ gates }));
      await upgrade.until('AwaitingApproval', PATIENCE);
      await goesBack(upgrade);
      await expectWhole({ w, writers, is: 'old', version: R70 });
    });

  test('rollback asked while it waits for its window: nobody was stopped', async () => {
    const { w, writers } = await begun();
    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    const window = { opensAt: at(3_600_000), closesAt: at(7_200_000) };
    const upgrade = await w.start('helmDumpRestore', input({ window }));
    await upgrade.until('AwaitingWindow', PATIENCE);
    await goesBack(upgrade);
    expect([...writers.errors.keys()]).toEqual([]);
    await expectWhole({ w, writers, is: 'old', version: R70 });
  });

  test('8.0 → 7.0: rollback asked in "Copy every key"', async () => {
    const { w, writers } = await begun({ image: { tag: R80 } });
    await many(w);
    const upgrade = await w.start('helmDumpRestore', input({ targetVersion: R70 }));
    await reaches(upgrade, 'Copy every key');
    await goesBack(upgrade);
    await expectWhole({ w, writers, is: 'old', version: R80 });
  });

  for (const step of [
    'Restore into green',
    'Wait until it has loaded',
    'Switch the applications over',
    'Soak',
  ])
    test(`6.0 → 7.0 with AOF and a password: rollback asked in "${step}"`, async () => {
      const { w, writers } = await begun(
        { image: { tag: R60 }, redis: { config: AOF, password: PASSWORD } },
        PASSWORD,
      );
      const upgrade = await w.start('helmDumpRestore', input({ targetVersion: R70, soak: '1h' }));
      await reaches(upgrade, step);
      if (step === 'Soak') await writers.more(200, 60_000);
      await goesBack(upgrade);
      await expectWhole({ w, writers, is: 'old', version: R60, password: PASSWORD });
    });

  test('the API server is away for 30 s in every step', { timeout: 1_800_000 }, async () => {
    const { w, way, writers } = await begunBehindLink(R70);
    const upgrade = await w.start('helmDumpRestore', input());
    const steps = await inEveryStep(upgrade, () => away(way));
    const receipt = await ended(upgrade);
    expect(receipt.outcome, receipt.reason).toBe('Completed');
    expect(steps.size).toBeGreaterThan(12);
    await expectWhole({ w, writers, is: 'new', version: R80 });
  });

  test('8.0 → 7.0: the API server is away for 30 s in "Copy every key"', async () => {
    const { w, way, writers } = await begunBehindLink(R80);
    await many(w);
    const upgrade = await w.start('helmDumpRestore', input({ targetVersion: R70 }));
    await reaches(upgrade, 'Copy every key');
    await away(way);
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
    await expectWhole({ w, writers, is: 'new', version: R70 });
  });

  test('the API server is away for 30 s on the way back', async () => {
    const { w, way, writers } = await begunBehindLink(R70);
    const upgrade = await w.start('helmDumpRestore', input({ soak: '1h' }));
    await reaches(upgrade, 'Soak');
    await writers.more(200, 60_000);
    await upgrade.signal('rollback', { by: 'ada' });
    await upgrade.until('RollingBack', PATIENCE);
    await away(way);
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
    await expectWhole({ w, writers, is: 'old', version: R70 });
  });

  test('the API server is away for 30 s while it is recovered, terminated in the soak', async () => {
    const { w, way, writers } = await begunBehindLink(R70);
    const upgrade = await w.start('helmDumpRestore', input({ soak: '1h' }));
    await reaches(upgrade, 'Soak');
    await writers.more(200, 60_000);
    const gone = away(way);
    expect(await recovered(w, upgrade)).toMatchObject({ kept: [] });
    await gone;
    await expectWhole({ w, writers, is: 'old', version: R70 });
  });

  test.runIf(OWN_NODE)("the node's agent is restarted in every step that goes through it", async () => {
    const { w, writers } = await begun();
    const upgrade = await w.start('helmDumpRestore', input());
    const steps = await inEveryStep(upgrade, restartKubelet, [
      'Wait until it is ready',
      'Stop the writes',
      'Take the snapshot',
      'Restore into green',
      'Wait until it has loaded',
      'Compare both sides',
      'Switch the applications over',
      'Validate',
    ]);
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
    expect(steps.size).toBeGreaterThan(5);
    await expectWhole({ w, writers, is: 'new', version: R80 });
  });

  test.each([
    ['no node has room for it', { resources: { requests: { cpu: '900' } } }, 'Room for the pods of green'],
    ['its probe fails', { readinessProbe: { exec: { command: ['false'] }, periodSeconds: 1 } }, ''],
    ['it refuses its configuration', { redis: { config: 'dir /data\nno-such-directive yes\n' } }, ''],
  ])('%s: said so, and nobody was stopped', async (says, values, check) => {
    const { w, writers } = await begun();
    const upgrade = await w.start('helmDumpRestore', input({ values, readyWithin: '45s' }));
    if (check !== '') {
      await upgrade.until('NeedsDecision', PATIENCE);
      await upgrade.say('waive', { check, by: 'ada' });
    }
    const { decision } = await upgrade.until(
      (state) => state.decision?.about === 'Wait until it is ready',
      PATIENCE,
    );
    expect(decision?.problem).toContain(says);
    expect(decision?.problem).toContain('redis-green-0');
    expect([...writers.errors.keys()]).toEqual([]);
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
    await expectWhole({ w, writers, is: 'old', version: R70 });
  });

  for (const choice of ['retry', 'rollback'] as const)
    test(`the volume of green is full: it is seen while writes are stopped, and then "${choice}"`, async () => {
      const { w, writers } = await begun();
      const volume = await smallVolume(w, { megabytes: 4 });
      const blue = await w.redis({ service: 'redis' });
      // Far more than fits: kubectl still sends as it is refused.
      for (let n = 0; n < 24; n += 1) await blue.set(`big:${n}`, randomBytes(1_000_000));
      const upgrade = await w.start(
        'helmDumpRestore',
        input({ values: { persistence: { storageClass: volume.storageClass } } }),
      );
      const first = await upgrade.until('NeedsDecision', PATIENCE);
      if (first.step === 'Pre-flight') await upgrade.say('waive', { check: 'Storage class', by: 'ada' });
      const { decision, impact } = await upgrade.until(
        (state) => state.phase === 'NeedsDecision' && state.step === 'Restore into green',
        PATIENCE,
      );
      expect(decision?.problem).toContain('No space left on device');
      expect(impact).toHaveLength(1);
      if (choice === 'retry') await volume.enlarge();
      await upgrade.say('decide', { choice, by: 'ada' });
      expect(await ended(upgrade)).toMatchObject({
        outcome: choice === 'retry' ? 'Completed' : 'RolledBack',
        left: [],
      });
      const is = choice === 'retry' ? 'new' : 'old';
      await expectWhole({ w, writers, is, version: is === 'new' ? R80 : R70 });
    });

  test('a helm of somebody else was killed in the middle: nothing is begun, and it says how that is ended', async () => {
    const { w, writers } = await begun();
    await leftPending(w);
    const refused = await w.start('helmDumpRestore', input());
    expect(await refused.failure()).toMatchObject({
      type: 'Locked',
      message: expect.stringContaining('helm rollback redis') as unknown,
    });
    await endPending(w, 1);
    await expectWhole({ w, writers, is: 'old', version: R70 });
  });

  for (const fails of ['nobody was told', 'some were told'] as const)
    for (const choice of ['retry', 'rollback', 'nobody answers'] as const)
      test(`the applications can not be told (${fails}): writes stay stopped, and then "${choice}"`, async () => {
        const { w, writers } = await begun();
        const moved = `kubectl -n ${w.namespace} set selector service redis 'statefulset.kubernetes.io/pod-name=redis-green-0'; sleep 3`;
        const upgrade = await w.start(
          'helmDumpRestore',
          input({
            repoint: byCommand(w, { fails: fails === 'nobody was told' ? 'true' : moved }),
            ...(choice === 'nobody answers' ? { decideWithin: '10s' } : {}),
          }),
        );
        const { decision, step, impact } = await upgrade.until('NeedsDecision', PATIENCE);
        expect(step).toBe('Switch the applications over');
        expect(decision?.problem).toContain('ended with exit code 1');
        expect(impact).toHaveLength(1);
        expect(await fenceStanding({ client: await w.redis({ pod: 'redis-0' }) })).toBe('fenced');
        if (choice !== 'nobody answers') await upgrade.say('decide', { choice, by: 'ada' });
        const is = choice === 'retry' ? 'new' : 'old';
        expect(await ended(upgrade)).toMatchObject({
          outcome: is === 'new' ? 'Completed' : 'RolledBack',
          left: [],
        });
        await expectWhole({ w, writers, is, version: is === 'new' ? R80 : R70 });
      });

  test('the pod of green is ended in the soak: it goes on, and going back asks, since writes may have been lost there', async () => {
    const { w, writers } = await begun({ redis: { config: AOF } });
    const upgrade = await w.start('helmDumpRestore', input({ soak: '1h' }));
    await reaches(upgrade, 'Soak');
    await writers.more(200, 60_000);
    await w.kubectl(['delete', 'pod', 'redis-green-0', '--wait=true']);
    await writers.more(200, 60_000);
    await upgrade.signal('rollback', { by: 'ada' });
    const { decision, breakGlass } = await upgrade.until('NeedsDecision', PATIENCE);
    expect(decision?.problem).toContain('was restarted since the switch');
    expect(breakGlass.join('\n')).toContain('kubectl');
    // What the server that serves has, it still has.
    const { missing } = await lackingOf(w, writers);
    expect(missing).toEqual([]);
    expect(await selectorOf(w)).toEqual(GREEN);
  });

  test('the pod of the old release is ended in the soak: its fence is set again, and it goes back with every write', async () => {
    const { w, writers } = await begun();
    const upgrade = await w.start('helmDumpRestore', input({ soak: '8s' }));
    await reaches(upgrade, 'Soak');
    await w.kubectl(['delete', 'pod', 'redis-0', '--wait=true']);
    const { decision } = await upgrade.until('NeedsDecision', PATIENCE);
    expect(decision?.problem).toContain('its fence had fallen');
    await writers.more(200, 60_000);
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
    await expectWhole({ w, writers, is: 'old', version: R70 });
  });
});

/** Enough for a copy that takes its time. */
async function many(w: ClusterWorld): Promise<void> {
  const redis = await w.redis({ service: 'redis' });
  const pipeline = redis.pipeline();
  for (let n = 0; n < 100_000; n += 1) pipeline.set(`many:${n}`, `value ${n}`);
  await pipeline.exec();
}
