/* What a target holds is dumped, tried beside it, and copied, before it is destroyed. */
import { mkdtemp, readdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSession } from '../../src/postgres/connect.js';
import { keepContent } from '../../src/postgres/fill.js';
import { tryDump } from '../../src/postgres/trial.js';
import { at as reach, NO_POSTGRES, query, startServers, type Servers } from '../support/postgres.js';
import {
  expectOrdinary,
  objectsIn,
  postgresWorld,
  SMALL,
  type PostgresWorld,
} from '../support/postgres-world.js';
import { NO_S3, S3_ENV, startBuckets, type Buckets } from '../support/s3.js';
import { kill9 } from '../faults/support.js';
import { SHOP } from '../postgres/shop.js';

/** What the target holds: enough for its trial to be met. */
const HELD = `CREATE SCHEMA held; CREATE TABLE held.rows (id int PRIMARY KEY, note text); CREATE VIEW held.view AS SELECT id FROM held.rows;
INSERT INTO held.rows SELECT i, md5(i::text) FROM generate_series(1, 200000) i; CREATE INDEX ON held.rows (note); SELECT lo_from_bytea(77, '\\x01');`;

describe.skipIf(NO_POSTGRES || NO_S3)('what a target held', { timeout: 120_000 }, () => {
  let [s, buckets]: [Servers?, Buckets?] = [];
  beforeAll(async () => {
    [s, buckets] = await Promise.all([startServers(), startBuckets()]);
  });
  afterAll(async () => {
    await s?.stop();
    await buckets?.stop();
  });

  interface On {
    w: PostgresWorld;
    s: Servers;
    buckets: Buckets;
    /** Throwaway databases that are there. */
    trials: () => Promise<unknown[]>;
  }

  /** The target is an ordinary user's. */
  async function inWorld(may: 'CREATEDB' | 'NOCREATEDB', use: (on: On) => Promise<void>): Promise<void> {
    if (!s || !buckets) throw new Error('they have not begun');
    const [all, made] = [s, buckets];
    const root = await all.create('new');
    const name = new URL(root).pathname.slice(1);
    await query(
      root,
      `CREATE ROLE u${name} LOGIN ${may} PASSWORD 'secret'; ALTER DATABASE ${name} OWNER TO u${name}; GRANT ALL ON SCHEMA public TO u${name}`,
    );
    const target = Object.assign(new URL(root), { username: `u${name}`, password: 'secret' }).toString();
    const w = await postgresWorld(all, { target, env: S3_ENV });
    try {
      await query(w.source, SMALL);
      await query(w.target, HELD);
      await w.startWorker();
      const trials = () =>
        query(all.new.url('postgres'), `SELECT datname FROM pg_database WHERE datname LIKE 'ferry_try_%'`);
      await use({ w, s: all, buckets: made, trials });
    } finally {
      await w.close();
    }
  }
  const gates = { start: 'auto', clean: 'auto', cutover: 'auto' } as const;

  test('is restored beside it and compared, and is in three places', () =>
    inWorld('CREATEDB', async ({ w, buckets: made, trials }) => {
      const bucket = await made.create('dumps');
      const copies = join(w.folder, 'copies');
      const upgrade = await w.start({
        clean: true,
        gates,
        backup: { copies: [{ folder: copies }, { bucket }], keep: {}, verify: true },
      });
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, warnings: [] });
      expect(receipt.facts).toMatchObject({
        tried: { differences: 0, tables: 1, rows: 200_000, largeObjects: 1 },
        keptElsewhere: { copies: [copies, `s3://${bucket.bucket}/dumps`], removed: [] },
      });
      expect(await trials()).toEqual([]);
      const id = `upgrade+postgres+${w.name}`;
      const [name = ''] = await readdir(join(copies, id));
      expect(name).toMatch(/^postgres-[0-9a-f]{8}-target-before$/);
      const toc = join(id, name, 'dump', 'toc.dat');
      expect(await readFile(join(copies, toc))).toEqual(await readFile(join(w.folder, 'home', toc)));
      expect(await made.keys(bucket)).toEqual(
        expect.arrayContaining([
          `dumps/${toc}`,
          `dumps/${id}/${name}/content`,
          `dumps/${id}/${name}/manifest.json`,
        ]),
      );
      await expectOrdinary(w.target);
    }));

  test('is not tried by a user who may make no database: Pre-flight says so, and the receipt', () =>
    inWorld('NOCREATEDB', async ({ w }) => {
      const upgrade = await w.start({ clean: true, gates, backup: { verify: true } });
      const { decision } = await upgrade.until('NeedsDecision');
      expect(decision).toMatchObject({ waivable: ['What the target holds can be tried'] });
      await upgrade.say('waive', { check: 'What the target holds can be tried', by: 'ada' });
      const receipt = await upgrade.ended();
      expect(receipt.outcome).toBe('Completed');
      expect(receipt.warnings.join()).toMatch(/held was not tried: u\S+ may not make a database there/);
    }));

  test('is tried anew where the worker is killed meanwhile', () =>
    inWorld('CREATEDB', async ({ w, trials }) => {
      const upgrade = await w.start({ clean: true, gates, backup: { verify: true } });
      await expect.poll(trials, { interval: 20, timeout: 60_000 }).toHaveLength(1);
      await kill9(w.worker);
      await w.startWorker();
      expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', clean: true });
      expect(await trials()).toEqual([]);
    }));

  test('stays where the move goes back while it is tried, and the throwaway database goes', () =>
    inWorld('CREATEDB', async ({ w, trials }) => {
      const before = await objectsIn(w.target);
      const upgrade = await w.start({ clean: true, gates, backup: { verify: true } });
      await upgrade.until(({ step }) => step === 'Try what was kept');
      await expect.poll(trials, { interval: 20 }).toHaveLength(1);
      await upgrade.say('rollback', { by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(await trials()).toEqual([]);
      expect(await objectsIn(w.target)).toBe(before);
      expect(await query(w.target, 'SELECT count(*)::int AS n FROM held.rows')).toEqual([{ n: 200_000 }]);
    }));

  test('a dump that is not what is there, or was cut off, does not count', async () => {
    if (!s) throw new Error('they have not begun');
    const url = await s.create('new');
    await query(url, SHOP);
    const folder = await mkdtemp(join(s.folder, 'dump-'));
    const at = reach(url);
    const on = { at, major: s.majors.new, tools: s.tools, jobs: 2, folder, onProgress: () => {} };
    await keepContent({ ...on, workflowId: 'upgrade/postgres/test' });
    const session = await openSession(at);
    try {
      const tried = () => tryDump({ ...on, session, database: 'ferry_try_engine' });
      expect(await tried()).toMatchObject({ differences: 0, samples: [] });
      await query(url, 'DELETE FROM shop.orders WHERE id = 7');
      await expect(tried()).rejects.toMatchObject({
        type: 'ComparisonDiffers',
        message: expect.stringContaining('rows of shop.orders_2024: 212 at the source, 213 at the target'),
      });
      await truncate(join(folder, 'dump', 'toc.dat'), 100);
      await expect(tried()).rejects.toThrow(/toc\.dat is not as it was written/);
      expect(await query(url, `SELECT 1 FROM pg_database WHERE datname = 'ferry_try_engine'`)).toEqual([]);
    } finally {
      await session.end();
    }
  });
});
