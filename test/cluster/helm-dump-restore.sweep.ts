/* helmDumpRestore whose worker is killed, and that goes back from anywhere, on a real cluster, beside the `slow` ones of helm-dump-restore.test.ts. */
import { describe, expect, test } from 'vitest';
import { CLUSTER, R60, R70, R80 } from '../support/cluster.js';
import {
  ALL,
  PASSWORD,
  input,
  begun,
  expectWhole,
  reaches,
  goesBack,
  soaking,
  fenceSays,
  byCommand,
  many,
} from './dump-restore.js';
import { ended, killedInEveryStep, killedInEveryUndo, PATIENCE, replaceWorker } from './faults.js';
import { AOF } from './second.js';

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
      const upgrade = await soaking(w, writers);
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
});
