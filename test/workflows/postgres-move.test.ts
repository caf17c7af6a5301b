/* postgresMove on two real servers of different versions, under an application that writes. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  application,
  expectOrdinary,
  postgresWorld,
  SMALL,
  type PostgresWorld,
} from '../support/postgres-world.js';
import { NO_POSTGRES, query, startServers, type Servers } from '../support/postgres.js';

describe.skipIf(NO_POSTGRES)('postgresMove', { timeout: 120_000 }, () => {
  let s: Servers;
  beforeAll(async () => {
    s = await startServers();
  });
  afterAll(() => s.stop());

  async function inWorld(use: (w: PostgresWorld) => Promise<void>, seed = SMALL): Promise<void> {
    const w = await postgresWorld(s);
    try {
      await query(w.source, seed);
      await w.startWorker();
      await use(w);
    } finally {
      await w.close();
    }
  }

  test('moves a database that is written to, and loses nothing', () =>
    inWorld(async (w) => {
      const app = application(w);
      const upgrade = await w.start();
      await upgrade.approve('start');
      const before = await upgrade.until((state) =>
        state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
      );
      expect(before.impact).toMatchObject([{ what: expect.stringContaining('can not write') }]);
      expect(before.breakGlass.join('\n')).not.toContain('p%40ss');
      await upgrade.approve('cutover');
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, blemishes: [] });
      expect(receipt.facts['comparison']).toMatchObject({ differences: 0, tables: 2 });
      expect(receipt.facts['switch']).toMatchObject({ proven: { source: expect.any(String) } });
      await expect.poll(() => app.url).toContain(new URL(w.target).host);
      const rows = app.acknowledged.size;
      await expect.poll(() => app.acknowledged.size).toBeGreaterThan(rows);
      await app.stop();
      expect(await app.missing(w.target)).toEqual([]);
      expect((await readFile(w.addressFile, 'utf8')).trim()).toBe(w.target);
      await expectOrdinary(w.source);
      await expectOrdinary(w.target);
      expect(JSON.stringify(receipt)).not.toContain('p%40ss');
    }));
});
