/* postgresMove on two real servers of different versions, under an application that writes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  application,
  expectOrdinary,
  objectsIn,
  postgresWorld,
  SMALL,
  type PostgresWorld,
} from '../support/postgres-world.js';
import type { State } from '../../src/contract.js';
import type { Upgrade } from '../support/world.js';
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
      const before = await cutoverOpen(upgrade);
      expect(before.impact).toMatchObject([{ what: expect.stringContaining('can not write') }]);
      expect(before.breakGlass.join('\n')).not.toContain('p%40ss');
      await upgrade.approve('cutover');
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, blemishes: [] });
      expect(receipt.facts['comparison']).toMatchObject({ differences: 0, tables: 2 });
      expect(receipt.facts['switch']).toMatchObject({ proven: { source: expect.any(String) } });
      await expect.poll(() => app.url).toContain(new URL(w.target).host);
      await writesAgain(app);
      await app.stop();
      expect(await app.missing(w.target)).toEqual([]);
      expect((await readFile(w.addressFile, 'utf8')).trim()).toBe(w.target);
      await expectOrdinary(w.source);
      await expectOrdinary(w.target);
      expect(JSON.stringify(receipt)).not.toContain('p%40ss');
    }));

  test('goes back before the switch: the source takes writes, and the target is empty again', () =>
    inWorld(async (w) => {
      const app = application(w);
      const upgrade = await w.start({ gates: { start: 'auto' } });
      await cutoverOpen(upgrade);
      await upgrade.say('rollback', { by: 'ada' });
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
      await writesAgain(app);
      await app.stop();
      expect(app.url).toBe(w.source);
      expect(await app.missing(w.source)).toEqual([]);
      expect(await objectsIn(w.target)).toBe(0);
      await expectOrdinary(w.source);
      await expectOrdinary(w.target);
    }));

  test('stops the application by a command, and tells it by one', () =>
    inWorld(async (w) => {
      const log = join(w.folder, 'log');
      const says = (what: string) => ({ command: `echo ${what} >> ${log}` });
      const upgrade = await w.start({
        gates: { start: 'auto', cutover: 'auto' },
        stopWrites: says('stop'),
        startWrites: says('start'),
        repoint: {
          kind: 'command',
          command: `echo "$FERRY_DIRECTION $FERRY_HOST $FERRY_PORT $FERRY_DB $FERRY_URL" >> ${log}`,
        },
        probes: [{ command: 'true' }],
      });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', clean: true });
      const { port, pathname } = new URL(w.target);
      expect(await readFile(log, 'utf8')).toBe(
        `stop\nforward 127.0.0.1 ${port} ${pathname.slice(1)} ${w.target}\nstart\n`,
      );
    }));

  test('is not switched over what was written to the source behind its back', () =>
    inWorld(async (w) => {
      const upgrade = await w.start({ gates: { start: 'auto' } });
      await cutoverOpen(upgrade);
      // As any session may.
      await query(w.source, "BEGIN READ WRITE; INSERT INTO shop.orders (note) VALUES ('late'); COMMIT");
      await upgrade.approve('cutover');
      const { decision } = await upgrade.until('NeedsDecision');
      expect(decision?.problem).toContain('rows of shop.orders: 2001 at the source, 2000 at the target');
      expect(await readFile(w.addressFile, 'utf8').catch(() => null)).toBe(null);
      await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
      await expectOrdinary(w.source);
      expect(await objectsIn(w.target)).toBe(0);
    }));

  test('is not switched to a target that was written to meanwhile', () =>
    inWorld(async (w) => {
      const upgrade = await w.start({ gates: { start: 'auto' } });
      await cutoverOpen(upgrade);
      await query(w.target, 'DELETE FROM shop.orders WHERE id = 5');
      await upgrade.approve('cutover');
      const { decision } = await upgrade.until('NeedsDecision');
      expect(decision?.problem).toContain('(the target) was written to');
      await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    }));

  test('other transactions of the servers are no reason to stop', () =>
    inWorld(async (w) => {
      const upgrade = await w.start({ gates: { start: 'auto' } });
      await cutoverOpen(upgrade);
      // They move the number of the next transaction of each server.
      for (const url of [s.old.url('postgres'), s.new.url('postgres')])
        await query(url, 'SELECT txid_current()');
      await query(w.target, 'ANALYZE');
      await upgrade.approve('cutover');
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
      expect(receipt.facts['switch']).toMatchObject({
        proven: { source: s.majors.old < 15 ? 'everything read again' : 'no row', target: 'no row' },
      });
    }));

  test('goes back after the switch where nothing was written to the target', () =>
    inWorld(async (w) => {
      const upgrade = await w.start({ gates: { start: 'auto', cutover: 'auto' }, soak: '1h' });
      const state = await upgrade.until(({ step }) => step === 'Soak');
      expect(state.wayBack).toMatchObject({ possible: true, keepsWrites: false });
      await upgrade.say('rollback', { by: 'ada', acceptLoss: true });
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(await readFile(w.addressFile, 'utf8').catch(() => null)).toBe(null);
      expect(await objectsIn(w.target)).toBe(0);
      await expectOrdinary(w.source);
      await expectOrdinary(w.target);
    }));

  test('asks before it goes back over what was written to the target, and leaves that there', () =>
    inWorld(async (w) => {
      const upgrade = await w.start({ gates: { start: 'auto', cutover: 'auto' }, soak: '1h' });
      await upgrade.until(({ step }) => step === 'Soak');
      await query(w.target, "INSERT INTO shop.orders (note) VALUES ('new'), ('newer')");
      await upgrade.say('rollback', { by: 'ada' });
      const first = await upgrade.until('NeedsDecision');
      expect(first.decision?.choices).toHaveProperty('rollbackLosingWrites');
      await upgrade.say('decide', { choice: 'rollbackLosingWrites', by: 'ada' });
      const second = await upgrade.until(({ decision }) => decision?.about.startsWith('Undo of') === true);
      expect(second.decision?.problem).toMatch(/going back loses .*2 rows written \(.*shop\.orders/);
      // The applications go on there until it is said.
      await query(w.target, "INSERT INTO shop.orders (note) VALUES ('newest')");
      expect((await readFile(w.addressFile, 'utf8')).trim()).toBe(w.target);
      await upgrade.say('decide', { choice: 'retry', by: 'ada' });
      const receipt = await upgrade.ended();
      expect(receipt.outcome).toBe('RolledBack');
      expect(receipt.left.join()).toMatch(/keeps all it holds: 3 rows written/);
      const [row] = await query<{ n: string }>(w.target, 'SELECT count(*)::text AS n FROM shop.orders');
      expect(row?.n).toBe('2003');
      expect(await readFile(w.addressFile, 'utf8').catch(() => null)).toBe(null);
      await expectOrdinary(w.source);
      await expectOrdinary(w.target);
    }));

  test('refuses a target that holds something, and an input that can not be meant', () =>
    inWorld(async (w) => {
      await query(w.target, 'CREATE TABLE there (a int)');
      const upgrade = await w.start();
      const { type, message } = await upgrade.failure();
      expect(type).toBe('PreflightFailed');
      expect(message).toContain('"clean": true');
      for (const [input, says] of [
        [
          { repoint: { kind: 'haproxy', socket: '/x', backend: 'b', servers: { source: 'a', target: 'b' } } },
          'can not be "haproxy"',
        ],
        [{ source: w.source }, 'holds a password'],
        [{ stopWrites: { command: 'x' } }, 'startWrites'],
        [{ source: { file: w.addressFile } }, 'is read from the file that `repoint` writes'],
      ] as const) {
        const wrong = await w.start({ name: `${w.name}-x`, ...input } as never);
        const failure = await wrong.failure();
        expect(failure.type).toBe('InvalidInput');
        expect(failure.message).toContain(says);
        expect(failure.message).not.toContain('p%40ss');
      }
    }));
});

function cutoverOpen(upgrade: Upgrade): Promise<State> {
  return upgrade.until((state) =>
    state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
  );
}

async function writesAgain(app: ReturnType<typeof application>): Promise<void> {
  const rows = app.acknowledged.size;
  await expect.poll(() => app.acknowledged.size).toBeGreaterThan(rows);
}
