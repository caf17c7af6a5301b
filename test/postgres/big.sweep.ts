/* A gigabyte in a hundred schemas, with large objects: it goes over whole, and the memory of the worker does not grow with it. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { memorySettings } from '../support/deployed.js';
import { NO_POSTGRES, query, startServers, type Servers } from '../support/postgres.js';
import { expectOrdinary, postgresWorld } from '../support/postgres-world.js';
import { sleep } from '../support/world.js';

const SCHEMAS = 100;
/** Of each schema's table. Half of a row doesn't compress. */
const ROWS = 20_000;
const LARGE_OBJECTS = 2_000;
/** Resident memory of the worker, in bytes. */
const MOST = 200_000_000;

describe.skipIf(NO_POSTGRES || process.platform !== 'linux')('a big database', () => {
  let s: Servers;
  beforeAll(async () => {
    s = await startServers();
  });
  afterAll(() => s.stop());

  test('is moved whole, by a worker that stays small', async () => {
    const w = await postgresWorld(s);
    try {
      await fill(w.source);
      const [{ bytes = '0' } = {}] = await query<{ bytes: string }>(
        w.source,
        'SELECT pg_database_size(current_database())::text AS bytes',
      );
      expect(Number(bytes)).toBeGreaterThan(1_000_000_000);
      const worker = await w.startWorker(await memorySettings());
      const idle = await residentBytes(worker.pid);
      await (await w.start({ dryRun: true })).ended();
      const planned = await residentBytes(worker.pid);
      const upgrade = await w.start({ gates: { start: 'auto', cutover: 'auto' } });
      let most = planned;
      let over = false;
      const ended = upgrade.ended(3_000_000).finally(() => (over = true));
      while (!over) {
        most = Math.max(most, await residentBytes(worker.pid));
        await sleep(100);
      }
      const receipt = await ended;
      expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
      expect(receipt.facts['comparison']).toMatchObject({
        differences: 0,
        tables: SCHEMAS,
        rows: SCHEMAS * ROWS,
        largeObjects: LARGE_OBJECTS,
      });
      const { dump, restore, comparison, switch: switched } = receipt.facts;
      console.log(
        JSON.stringify({
          megabytes: Math.round(Number(bytes) / 1e6),
          residentMegabytes: {
            idle: Math.round(idle / 1e6),
            planned: Math.round(planned / 1e6),
            most: Math.round(most / 1e6),
          },
          dump,
          restore,
          comparison,
          switched,
        }),
      );
      await expectOrdinary(w.target);
      expect(most).toBeLessThan(MOST);
    } finally {
      await w.close();
    }
  });
});

async function fill(url: string): Promise<void> {
  for (let at = 0; at < SCHEMAS; at += 1)
    await query(
      url,
      `CREATE SCHEMA s${at}; CREATE TABLE s${at}.rows (id bigserial PRIMARY KEY, note text, random text);
       INSERT INTO s${at}.rows (note, random) SELECT repeat('note ', 40),
         (SELECT string_agg(md5(i || '-' || k), '') FROM generate_series(1, 6) k) FROM generate_series(1, ${ROWS}) i;
       CREATE INDEX ON s${at}.rows (left(random, 12))`,
    );
  await query(
    url,
    `SELECT count(lo_from_bytea(0, decode(repeat(md5(i::text), 1000), 'hex'))) FROM generate_series(1, ${LARGE_OBJECTS}) i`,
  );
}

async function residentBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid ?? 0}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1_024;
}
