/* Backups of Heroku Postgres by the real CLI: taken once, downloaded where they broke off, and a move by one. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  backupInfo,
  backupUrl,
  captureBackup,
  downloadBackup,
  parseInfo,
  payingApp,
} from '../../src/heroku/pg-backups.js';
import { CLI, herokuWorld, type HerokuWorld } from '../support/heroku-world.js';
import { expectOrdinary, objectsIn, SMALL } from '../support/postgres-world.js';
import { NO_POSTGRES, query, startServers, type Servers } from '../support/postgres.js';

describe.skipIf(NO_POSTGRES || CLI === null)('backups of Heroku Postgres', { timeout: 240_000 }, () => {
  let s: Servers;
  beforeAll(async () => {
    s = await startServers();
  });
  afterAll(() => s.stop());

  const of = { app: 'shop', key: 'DATABASE_URL' };
  /** An app with a database, and what the worker, or this process, is told of Heroku. */
  async function shop(
    env: Record<string, string> = {},
  ): Promise<{ w: HerokuWorld; source: string; target: string }> {
    const [source, target] = [await s.create('old'), await s.create('new')];
    await query(source, SMALL);
    const w = await herokuWorld({
      canary: false,
      env: { FERRY_POSTGRES_BIN: s.bin, NEW_DATABASE_URL: target, ...env },
    });
    w.heroku.addPostgres({ app: 'shop', url: source, pgDump: s.tools.pgDump });
    for (const [name, value] of Object.entries(w.env)) vi.stubEnv(name, value);
    return { w, source, target };
  }

  test('one is taken, though two ask, and downloaded in pieces', async () => {
    const { w } = await shop();
    expect(await backupInfo({ app: 'shop' })).toBe(null);
    const paying = await payingApp(of);
    const taken = await captureBackup({ ...of, paying, before: null, every: 50 });
    expect(taken).toEqual({ name: 'b001', status: 'Completed', said: 'Completed' });
    // Another attempt, of which the first one's answer got lost.
    expect(await captureBackup({ ...of, paying, before: null, every: 50 })).toEqual(taken);
    expect((await captureBackup({ ...of, paying, before: 'b001', every: 50 })).name).toBe('b002');

    const path = join(w.folder, 'backup');
    const link = await backupUrl({ app: 'shop', name: 'b001' });
    const url = () => Promise.resolve(link);
    w.heroku.store.cutAfter = 4_000;
    const bytes = await downloadBackup({ url, path });
    const { asked } = w.heroku.store;
    expect(asked.length).toBeGreaterThan(2);
    expect(asked).toEqual(asked.toSorted((a, b) => a - b));
    expect((await readFile(path)).length).toBe(bytes);
    // What was cut off may also be what is wrong.
    Object.assign(w.heroku.store, { cutAfter: null, spoil: true });
    await expect(downloadBackup({ url, path: `${path}2` })).rejects.toThrow('has another checksum');
  });

  test('a move by a backup, with the app at rest meanwhile', async () => {
    const { w, source, target } = await shop();
    const before = w.apps();
    const file = join(w.folder, 'database-url');
    const upgrade = await w.start('postgresMove', {
      source: { herokuBackup: { app: 'shop' } },
      target: { env: 'NEW_DATABASE_URL' },
      repoint: { kind: 'file', path: file },
      gates: { start: 'auto' },
      soak: '1s',
    });
    const state = await upgrade.until(
      ({ gates }) => gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
      180_000,
    );
    expect(state.impact.map(({ what }) => what).join()).toContain('get the maintenance page');
    expect(w.apps()['shop']).toMatchObject({ maintenance: true });
    await upgrade.approve('cutover');
    const receipt = await upgrade.ended(120_000);
    expect(receipt).toMatchObject({
      outcome: 'Completed',
      clean: true,
      facts: { herokuBackup: { name: 'b001' }, comparison: { differences: 0 } },
    });
    expect(w.apps()).toEqual(before);
    expect((await readFile(file, 'utf8')).trim()).toBe(target);
    await expectOrdinary(source);
    await expectOrdinary(target);
    expect(await objectsIn(target)).toBe(await objectsIn(source));
    const { events } = await upgrade.handle.fetchHistory();
    const all = JSON.stringify(events, (_, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString() : value,
    );
    expect(all).not.toMatch(/hush-|p%40ss/);
  });
});

test('what the CLI says of a backup is read, or refused', () => {
  const said = (status: string) =>
    `=== Backup b017\n\nDatabase: postgresql-round-1\nStatus:           ${status}\nType: Manual\n`;
  expect(parseInfo(said('Finished with 2 warnings'))).toMatchObject({ name: 'b017', status: 'Completed' });
  expect(parseInfo(said('Running'))).toMatchObject({ status: 'Running' });
  expect(() => parseInfo(said('Dreaming'))).toThrow('heroku pg:backups:info said');
});
