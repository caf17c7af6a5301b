/* helmBlueGreen under faults, on a real cluster, beside the `slow` ones of helm-blue-green.test.ts: no acknowledged write is missing. */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { CLUSTER, clusterWorld, R60, R70, R80, type ClusterWorld, type Writers } from '../support/cluster.js';
import { sleep } from '../support/world.js';
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
import { AFTER, BEFORE, begun as installed, GREEN, selectorOf, standing } from './second.js';

const ALL = { start: 'auto', cutover: 'auto', decommission: 'auto' } as const;
const input = (more: Record<string, unknown> = {}) => ({
  targetVersion: R80,
  soak: '2s',
  measureFor: '1s',
  rate: 'full',
  backup: false,
  gates: ALL,
  ...more,
});

async function begun(values: Record<string, unknown> = {}) {
  const w = await installed(values);
  return { w, writers: await w.writers({ clients: 2 }) };
}

/** Wholly new: nothing leads to blue. Wholly old: nothing is left of green. */
async function expectWhole(on: {
  w: ClusterWorld;
  writers: Writers;
  is: 'new' | 'old';
  version: string;
}): Promise<void> {
  const { w, writers, is, version } = on;
  const { redis, missing } = await lackingOf(w, writers);
  expect(missing).toEqual([]);
  expect(await redis.info()).toContain(`redis_version:${version}`);
  if (is === 'new') expect(await selectorOf(w)).toEqual(GREEN);
  else expect(await selectorOf(w)).not.toEqual(GREEN);
  await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(is === 'new' ? AFTER : BEFORE);
}

describe.skipIf(!CLUSTER)('helmBlueGreen under faults', { timeout: 900_000 }, () => {
  for (const [from, to] of [
    [R60, R70],
    [R70, R80],
  ] as const)
    test(`${from} → ${to}: the worker is killed in every step`, async () => {
      const { w, writers } = await begun({ image: { tag: from } });
      const upgrade = await w.start('helmBlueGreen', input({ targetVersion: to, backup: true }));
      // Blue is no more used once applications have moved.
      const killed = await killedInEveryStep(w, upgrade);
      expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
      expect(killed.size).toBeGreaterThan(12);
      await expectWhole({ w, writers, is: 'new', version: to });
    });

  test('back in the soak, from 7.0 to 6.0: it says what a 6.0 may lack, and every write is there', async () => {
    const { w, writers } = await begun({ image: { tag: R60 } });
    const upgrade = await w.start('helmBlueGreen', input({ targetVersion: R70, soak: '1h' }));
    await upgrade.until(({ step }) => step === 'Soak', PATIENCE);
    await writers.more(200, 60_000);
    await upgrade.say('rollback', { by: 'ada', acceptLoss: true });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
    await expectWhole({ w, writers, is: 'old', version: R60 });
  });

  for (const step of [
    'Keep the evidence',
    'Wait until it is ready',
    'Ask both servers',
    'Check both servers',
    'Save green to disk',
    'Measure the old server',
    'Soak',
  ])
    test(`rollback asked in "${step}"`, async () => {
      const { w, writers } = await begun();
      const upgrade = await w.start('helmBlueGreen', input({ soak: '1h' }));
      await upgrade.until((state) => state.step === step, PATIENCE);
      await upgrade.signal('rollback', { by: 'ada' });
      expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
      await expectWhole({ w, writers, is: 'old', version: R70 });
    });

  for (const [what, pod, args] of [
    ['the pod of green is ended', 'redis-green-0', []],
    ['the pod of blue is ended', 'redis-0', []],
  ] as const)
    for (const way of ['on to the end', 'back'] as const)
      test(`${what} in the soak: blue follows again, and it goes ${way}`, async () => {
        const { w, writers } = await begun();
        const upgrade = await w.start('helmBlueGreen', input({ soak: way === 'back' ? '1h' : '45s' }));
        await upgrade.until(({ step }) => step === 'Soak', PATIENCE);
        await sleep(3_000);
        await w.kubectl(['delete', 'pod', pod, '--wait=false', ...args]);
        await upgrade.until(({ warnings }) => warnings.some((each) => each.includes('made anew')), PATIENCE);
        const { decision, wayBack, warnings } = await upgrade.state();
        expect({ decision, wayBack, warnings }).toMatchObject({
          decision: null,
          wayBack: { keepsWrites: true },
        });
        await writers.more(200, 60_000);
        if (way === 'back') await upgrade.say('rollback', { by: 'ada' });
        expect(await ended(upgrade)).toMatchObject({
          outcome: way === 'back' ? 'RolledBack' : 'Completed',
        });
        await expectWhole({
          w,
          writers,
          is: way === 'back' ? 'old' : 'new',
          version: way === 'back' ? R70 : R80,
        });
      });

  for (const step of ['Switch the applications over', 'Take the old release out of service'])
    test(`the API server is away for 30 s in "${step}"`, async () => {
      const w = await clusterWorld();
      await w.install({ image: { tag: R70 } });
      const way = await workerBehindLink(w);
      const writers = await w.writers({ clients: 2 });
      const upgrade = await w.start('helmBlueGreen', input());
      await upgrade.until((state) => state.step === step, PATIENCE);
      await away(way);
      expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
      await expectWhole({ w, writers, is: 'new', version: R80 });
    });

  for (const step of ['Wait until it is ready', 'Replicate', 'Switch the applications over', 'Soak'])
    test.runIf(OWN_NODE)(`the node's agent is restarted in "${step}"`, async () => {
      const { w, writers } = await begun();
      const upgrade = await w.start('helmBlueGreen', input({ soak: '10s' }));
      await upgrade.until((state) => state.step === step, PATIENCE);
      await restartKubelet();
      expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
      await expectWhole({ w, writers, is: 'new', version: R80 });
    });

  test('a helm of somebody else was killed in the middle of blue: nothing is begun, and it says how that is ended', async () => {
    const { w, writers } = await begun();
    await leftPending(w);
    const refused = await w.start('helmBlueGreen', input());
    expect(await refused.failure()).toMatchObject({
      type: 'Locked',
      message: expect.stringContaining('helm rollback redis') as unknown,
    });
    await endPending(w, 1);
    await expectWhole({ w, writers, is: 'old', version: R70 });
  });

  test('the volume of green is full: it is seen before the cutover, and goes on once there is room', async () => {
    const { w, writers } = await begun();
    const volume = await smallVolume(w, { megabytes: 4 });
    const blue = await w.redis({ service: 'redis' });
    for (let n = 0; n < 6; n += 1) await blue.set(`big:${n}`, randomBytes(1_000_000));
    const upgrade = await w.start(
      'helmBlueGreen',
      input({ values: { persistence: { storageClass: volume.storageClass } } }),
    );
    const first = await upgrade.until('NeedsDecision', PATIENCE);
    if (first.step !== 'Save green to disk')
      await upgrade.say('waive', { check: 'Storage class', by: 'ada' });
    const { decision } = await upgrade.until(
      (state) => state.phase === 'NeedsDecision' && state.step === 'Save green to disk',
      PATIENCE,
    );
    // Redis 8.0.2 does not survive a snapshot that finds no room (signal 11): it comes up again, empty.
    expect(decision?.problem).toMatch(/could not save to its disk|was restarted each time.*log and disk/);
    await volume.enlarge();
    await upgrade.say('decide', { choice: 'retry', by: 'ada' });
    expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed' });
    await expectWhole({ w, writers, is: 'new', version: R80 });
  });
});
