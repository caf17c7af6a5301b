/* helmDumpRestore when something else fails, on a real cluster: the API server, the node's agent, the pods, a volume, what tells the applications. */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fenceStanding } from '../../src/redis/fence.js';
import { CLUSTER, R70, R80 } from '../support/cluster.js';
import {
  input,
  begun,
  begunBehindLink,
  expectWhole,
  reaches,
  soaking,
  byCommand,
  many,
} from './dump-restore.js';
import {
  away,
  ended,
  endPending,
  inEveryStep,
  lackingOf,
  leftPending,
  OWN_NODE,
  PATIENCE,
  recovered,
  restartKubelet,
  smallVolume,
} from './faults.js';
import { AOF, GREEN, selectorOf } from './second.js';

describe.skipIf(!CLUSTER)('helmDumpRestore when something else fails', { timeout: 900_000 }, () => {
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
    const upgrade = await soaking(w, writers);
    await upgrade.signal('rollback', { by: 'ada' });
    await upgrade.until('RollingBack', PATIENCE);
    await away(way);
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
    await expectWhole({ w, writers, is: 'old', version: R70 });
  });

  test('the API server is away for 30 s while it is recovered, terminated in the soak', async () => {
    const { w, way, writers } = await begunBehindLink(R70);
    const upgrade = await soaking(w, writers);
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
    const upgrade = await soaking(w, writers);
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
