/* helmRolling from the JSON to the receipt, on a real cluster, under applications that write through the Service. */
import { describe, expect, test } from 'vitest';
import { slow } from '../support/slow.js';
import { CLUSTER, clusterWorld, R70, R80 } from '../support/cluster.js';
import { ended } from './faults.js';
import { ALL, readyPods, settled, SHORT, standing } from './rolling.js';

describe.skipIf(!CLUSTER)('helmRolling', () => {
  test('a primary with two replicas under writes: every acknowledged write is there, and all is as it was but for the version', async () => {
    const w = await clusterWorld();
    await w.startWorker();
    await w.install({ mode: 'replica' });
    const before = await settled(w, 3);
    const writers = [
      await w.writers({ service: 'redis', clients: 2 }),
      await w.writers({ service: 'redis-master', clients: 2 }),
    ];
    const upgrade = await w.start('helmRolling', { ...SHORT, gates: ALL });
    const receipt = await upgrade.ended(240_000).catch(async (error: unknown) => {
      console.log(JSON.stringify(await upgrade.state(), null, 1));
      throw error;
    });
    for (const each of writers) await each.stop();
    if (process.env['SHOW'])
      console.log(
        JSON.stringify(receipt, null, 1),
        JSON.stringify(writers.map((each) => [each.longestGap(), [...each.errors], each.acknowledged.size])),
      );
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
    const after = await standing(w, 3);
    expect(after).toEqual({ ...before, versions: [R80, R80, R80] });
    const redis = await w.redis({ service: 'redis' });
    for (const each of writers) {
      expect(each.acknowledged.size).toBeGreaterThan(100);
      expect(await each.missing(redis)).toEqual([]);
      expect([...each.errors.keys()].filter((error) => /READONLY/.test(error))).toEqual([]);
    }
    expect(before.versions).toEqual([R70, R70, R70]);
  }, 300_000);

  test('with a surge replica: never one pod fewer than before is ready, and it leaves nothing behind', async () => {
    const w = await clusterWorld();
    await w.startWorker();
    await w.install({ mode: 'replica' });
    const before = await settled(w, 3);
    const ready = await readyPods(w);
    const writers = await w.writers({ clients: 2 });
    const upgrade = await w.start('helmRolling', { ...SHORT, surge: true, gates: ALL });
    const receipt = await ended(upgrade);
    await writers.stop();
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [], left: [] });
    expect([ready.fewest(), ready.most()]).toEqual([3, 4]);
    expect(await standing(w, 3)).toEqual({ ...before, versions: [R80, R80, R80] });
    expect(JSON.parse(await w.helm(['get', 'values', 'redis', '-o', 'json']))).toEqual({
      mode: 'replica',
      image: { tag: R80 },
    });
    expect(writers.acknowledged.size).toBeGreaterThan(100);
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    expect([...writers.errors.keys()].filter((error) => /READONLY/.test(error))).toEqual([]);
  }, 400_000);

  slow(
    'back during the soak: every write is on the old primary, and every pod is of the old version again',
    async () => {
      const w = await clusterWorld();
      await w.startWorker();
      await w.install({ mode: 'replica', redis: { password: 'a-password' } });
      const before = await settled(w, 3, 'a-password');
      const writers = await w.writers({ clients: 2, password: 'a-password' });
      const upgrade = await w.start('helmRolling', { ...SHORT, soak: '30m', gates: ALL });
      await upgrade.until((state) => state.step === 'Soak', 240_000);
      expect((await upgrade.state()).wayBack).toMatchObject({ possible: true, keepsWrites: true });
      // The newer version writes its own format into the volumes.
      for (const pod of ['redis-1', 'redis-2'])
        await (await w.redis({ pod }, { password: 'a-password' })).bgsave();
      await writers.more(200, 15_000);
      await upgrade.signal('rollback', { by: 'ada' });
      const receipt = await upgrade.ended(240_000);
      await writers.stop();
      expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(await settled(w, 3, 'a-password')).toEqual(before);
      expect(await writers.missing(await w.redis({ service: 'redis' }, { password: 'a-password' }))).toEqual(
        [],
      );
      expect([...writers.errors.keys()].filter((error) => /READONLY/.test(error))).toEqual([]);
    },
    600_000,
  );

  slow(
    'an image that does not exist: the primary serves, a person reads why, and going back leaves nothing',
    async () => {
      const w = await clusterWorld();
      await w.startWorker();
      await w.install({ mode: 'replica', replication: { replicas: 1 } });
      const before = await settled(w, 2);
      const writers = await w.writers({ clients: 2 });
      const upgrade = await w.start('helmRolling', {
        ...SHORT,
        gates: ALL,
        targetVersion: '8.0.99',
      });
      const { decision } = await upgrade.until('NeedsDecision', 240_000);
      expect(decision?.problem).toMatch(/redis-1.*its image can not be had.*8\.0\.99/s);
      await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
      expect(await upgrade.ended(240_000)).toMatchObject({ outcome: 'RolledBack', left: [] });
      await writers.stop();
      expect([...writers.errors]).toEqual([]);
      expect(await settled(w, 2)).toEqual(before);
      expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    },
    600_000,
  );
});
