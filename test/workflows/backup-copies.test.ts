/* redisSwitchover whose backups are tried, copied to a folder and a bucket, and thinned out. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { redisBin } from '../support/redis-bin.js';
import { NO_S3, S3_ENV, startBuckets, type Buckets } from '../support/s3.js';
import { binaryOf, world, type World } from '../support/world.js';
import { seed } from './support.js';

describe.skipIf(NO_S3)('backups by 3-2-1', { timeout: 120_000 }, () => {
  let s: Buckets;
  beforeAll(async () => {
    s = await startBuckets();
  });
  afterAll(() => s.stop());

  async function begin(): Promise<World> {
    const w = await world({ env: S3_ENV });
    onTestFinished(() => w.close());
    await seed(w, 'source', 500);
    return w;
  }
  const gates = { cutover: 'auto', commit: 'auto' } as const;

  test('each is loaded, is in three places, and an old one goes', async () => {
    const w = await begin();
    await w.startWorker({ FERRY_REDIS_BIN: await redisBin(w.folder, binaryOf('r80')) });
    const bucket = await s.create('backups');
    const [folder, copies] = [join(w.folder, 'backups'), join(w.folder, 'copies')];
    const upgrade = `upgrade+redis+${w.name}`;
    const old = join(copies, upgrade, 'backup-0a1b2c3d-before');
    await mkdir(old, { recursive: true });
    await writeFile(join(old, 'dump.rdb'), 'x');
    await writeFile(
      join(old, 'manifest.json'),
      JSON.stringify({
        takenAt: '2020-01-01T00:00:00.000Z',
        server: { product: 'Redis 6.0.1' },
        keys: { databases: {} },
        files: [{ name: 'dump.rdb', bytes: 1, sha256: '0' }],
      }),
    );
    const play = await w.startSwitchover({
      gates,
      backup: {
        folder,
        copies: [{ folder: copies }, { bucket }],
        keep: { days: 30, atLeast: 1 },
        verify: true,
      },
    });
    const receipt = await play.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, warnings: [] });
    expect(receipt.facts['backups']).toMatchObject({
      before: {
        loaded: { by: expect.stringMatching(/^Redis 8/), keys: 500 },
        copies: [copies, `s3://${bucket.bucket}/backups`],
        removed: [`${copies}: backup-0a1b2c3d-before`],
      },
      after: { loaded: { keys: 500 }, removed: [] },
    });
    const names = (await readdir(join(folder, upgrade))).toSorted();
    expect(names.map((name) => name.slice(-6))).toEqual(['-after', 'before']);
    expect((await readdir(join(copies, upgrade))).toSorted()).toEqual(names);
    const rdb = `backups/${upgrade}/${names[0] ?? ''}/dump.rdb`;
    expect(await s.keys(bucket)).toContain(rdb);
    expect(await readFile(join(copies, upgrade, names[0] ?? '', 'dump.rdb'))).toEqual(
      await readFile(join(folder, upgrade, names[0] ?? '', 'dump.rdb')),
    );
  });

  test('no server to try it with, and no bucket: Pre-flight says both; a copy that failed is tried again with the same backup', async () => {
    const w = await begin();
    const nothing = join(w.folder, 'nothing');
    await mkdir(nothing);
    await w.startWorker({ FERRY_REDIS_BIN: nothing });
    const { bucket, make } = s.later();
    const play = await w.startSwitchover({ gates, backup: { copies: [{ bucket }], verify: true } });
    const held = await play.until('NeedsDecision', 60_000);
    expect(held.decision).toMatchObject({
      about: 'Pre-flight',
      waivable: ['Places for copies of the backups', 'The backup can be tried'],
    });
    expect(held.checks.find(({ name }) => name === 'The backup can be tried')?.actual).toMatch(
      /^redis-server of Redis 7\.0 or later is needed; there is none on the worker\. Install it/,
    );
    expect(held.checks.find(({ name }) => name === 'Places for copies of the backups')?.actual).toContain(
      'NoSuchBucket',
    );
    for (const check of held.decision?.waivable ?? []) await play.say('waive', { check, by: 'ada' });
    const asked = await play.until(({ decision }) => decision?.about === 'Back up the old server', 60_000);
    expect(asked.decision?.problem).toContain('NoSuchBucket');
    const home = join(w.folder, 'home', `upgrade+redis+${w.name}`);
    const [name = ''] = (await readdir(home)).filter((each) => each.startsWith('backup-'));
    const manifest = await readFile(join(home, name, 'manifest.json'), 'utf8');
    await make();
    await play.say('retry', { by: 'ada' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.warnings.join()).toMatch(/The backup of \S+ was not tried: redis-server of Redis 7\.0/);
    expect(await s.text(bucket, `upgrade+redis+${w.name}/${name}/manifest.json`)).toBe(manifest);
  });
});
