/* kill -9 of the worker, rollback and termination in the steps of postgresMove: it ends wholly old or wholly new, and nothing is lost. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { queries } from '../../src/contract.js';
import { MARK } from '../../src/postgres/catalogs.js';
import { contentOf, digestOf } from '../../src/postgres/verify/content.js';
import {
  application,
  expectOrdinary,
  objectsIn,
  postgresWorld,
  SMALL,
  type PostgresWorld,
} from '../support/postgres-world.js';
import { at as reach, NO_POSTGRES, query, startServers, type Servers } from '../support/postgres.js';
import { cases } from '../support/slow.js';
import { sleep, type Upgrade } from '../support/world.js';
import { at, kill9, quickly, until } from './support.js';

/** Enough for each step to be met. */
const MORE = `${SMALL}
DO $$ BEGIN FOR i IN 1..60 LOOP
  EXECUTE format('CREATE TABLE shop.t%s (id int PRIMARY KEY, a text, b text)', i);
  EXECUTE format('INSERT INTO shop.t%s SELECT i, md5(i::text), md5(i::text) FROM generate_series(1, 2000) i', i);
  EXECUTE format('CREATE INDEX ON shop.t%s (a)', i);
END LOOP; END $$;`;

/** What a target holds before: with an owner and rights that a dump for another server would leave out. */
const BEFORE = `CREATE ROLE ROLE_ LOGIN; CREATE SCHEMA old; CREATE TABLE old.things (id int PRIMARY KEY, note text); INSERT INTO old.things SELECT i, 'x' || i FROM generate_series(1, 3000) i;
ALTER TABLE old.things OWNER TO ROLE_; GRANT SELECT ON old.things TO PUBLIC; CREATE FUNCTION public.old() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT lo_from_bytea(77, '\\x01');`;

describe.skipIf(NO_POSTGRES)('postgresMove survives', { timeout: 300_000 }, () => {
  let s: Servers;
  beforeAll(async () => {
    s = await startServers();
  });
  afterAll(() => s.stop());

  const content = async (url: string) =>
    digestOf((await contentOf({ at: reach(url), major: s.majors.new, jobs: 2, utf8: false })).content);
  const rights = (url: string) =>
    query(
      url,
      `SELECT relowner::regrole::text AS owner, relacl::text AS rights FROM pg_class WHERE oid = to_regclass('old.things')`,
    );

  interface On {
    w: PostgresWorld;
    app: ReturnType<typeof application>;
    /** Of a target that holds something. */
    before: { content: string; rights: unknown } | null;
  }

  async function inWorld(use: (on: On) => Promise<void>, cleans = false): Promise<void> {
    const w = await postgresWorld(s);
    const role = `r${w.name}`;
    try {
      await query(w.source, MORE);
      if (cleans) await query(w.target, BEFORE.replaceAll('ROLE_', role));
      const before = cleans ? { content: await content(w.target), rights: await rights(w.target) } : null;
      await w.startWorker();
      const app = application(w);
      try {
        await use({ w, app, before });
      } finally {
        await app.stop();
      }
    } finally {
      await w.close();
    }
  }

  const replaceWorker = async (w: PostgresWorld): Promise<void> => {
    await kill9(w.worker);
    await w.startWorker();
  };
  const AUTO = { start: 'auto', clean: 'auto', cutover: 'auto' } as const;

  async function expectNew({ w, app }: On): Promise<void> {
    await until('the application to go over', async () => app.url === w.target, 60_000);
    const rows = app.acknowledged.size;
    await until('writes at the target', async () => app.acknowledged.size > rows, 60_000);
    await app.stop();
    expect(await app.missing(w.target)).toEqual([]);
    await expectOrdinary(w.source);
    await expectOrdinary(w.target);
  }

  async function expectOld({ w, app, before }: On): Promise<void> {
    expect(app.url).toBe(w.source);
    const rows = app.acknowledged.size;
    await until('writes at the source', async () => app.acknowledged.size > rows, 60_000);
    await app.stop();
    await expectBothAsBefore({ w, app, before });
  }

  async function expectBothAsBefore({ w, app, before }: On): Promise<void> {
    expect(await app.missing(w.source)).toEqual([]);
    await expectOrdinary(w.source);
    await expectOrdinary(w.target);
    if (before) expect({ content: await content(w.target), rights: await rights(w.target) }).toEqual(before);
    else expect(await objectsIn(w.target)).toBe(0);
  }

  /** So many tables of the source are there by now. */
  const restored = (w: PostgresWorld, least: number): Promise<unknown> =>
    until(
      'a part of the restore',
      async () =>
        (await query(w.target, `SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace('shop')`))
          .length >= least,
      120_000,
    );

  test('the worker killed while the target is kept and emptied, and while it is dumped, restored and compared', () =>
    inWorld(async (on) => {
      const { w } = on;
      const upgrade = await w.start({ clean: true, gates: AUTO });
      for (const step of [
        'Keep what the target holds',
        'Empty the target',
        'Close the source to writes',
        'Dump the source',
      ]) {
        await quickly(upgrade, at(step), 120_000);
        await replaceWorker(w);
      }
      for (const least of [1, 70]) {
        await restored(w, least);
        await replaceWorker(w);
      }
      await quickly(upgrade, at('Compare both sides'), 120_000);
      await replaceWorker(w);
      expect(await upgrade.ended(120_000)).toMatchObject({ outcome: 'Completed', clean: true });
      await expectNew(on);
      expect(await query(w.target, `SELECT to_regnamespace('old') AS old`)).toEqual([{ old: null }]);
    }, true));

  test('the worker killed while the applications are told, in the soak and at the end', () =>
    inWorld(async (on) => {
      const { w } = on;
      const upgrade = await w.start({ gates: AUTO, soak: '3s', repoint: slowRepoint(w) });
      await until('the applications to be told', async () => told(w), 120_000);
      await replaceWorker(w);
      await quickly(upgrade, at('Soak'), 120_000);
      await replaceWorker(w);
      await quickly(
        upgrade,
        ({ step, receipt }) => step === 'Close the way back' || receipt !== undefined,
        120_000,
      );
      await replaceWorker(w);
      expect(await upgrade.ended(120_000)).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await expectNew(on);
    }));

  for (const step of cases<string>(
    ['Restore into the target', 'Switch the applications over'],
    [
      'Keep what the target holds',
      'Empty the target',
      'Close the source to writes',
      'Dump the source',
      'Compare both sides',
      'Soak',
    ],
  ))
    test(`a rollback in "${step}", and the worker killed on the way back`, () =>
      inWorld(async (on) => {
        const { w } = on;
        const upgrade = await w.start({ clean: true, gates: AUTO, soak: '1h', repoint: slowRepoint(w) });
        if (step === 'Restore into the target') await restored(w, 1);
        else if (step === 'Switch the applications over') await until('it', async () => told(w), 120_000);
        else if (step === 'Soak') {
          // The application must not write to the target, or that would be asked about: it ends before it is told.
          await quickly(upgrade, at('Close the source to writes'), 120_000);
          await on.app.stop();
          await quickly(upgrade, at(step), 120_000);
        } else await quickly(upgrade, at(step), 120_000);
        await upgrade.say('rollback', { by: 'ada', acceptLoss: true });
        await quickly(upgrade, ({ phase, receipt }) => phase === 'RollingBack' || receipt !== undefined);
        await sleep(300);
        await replaceWorker(w);
        const back = await quickly(
          upgrade,
          ({ phase, receipt }) => phase === 'NeedsDecision' || receipt !== undefined,
          240_000,
        );
        expect(back.decision).toBe(null);
        expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
        await (step === 'Soak' ? expectBothAsBefore(on) : expectOld(on));
      }, true));

  test('a rollback while the applications are told, when one has gone over and written', () =>
    inWorld(async (on) => {
      const { w, app } = on;
      const upgrade = await w.start({ gates: AUTO, repoint: slowRepoint(w, { after: 4 }) });
      await until('the application to go over', async () => app.url === w.target, 120_000);
      const rows = app.acknowledged.size;
      await until('a row at the target', async () => app.acknowledged.size > rows, 60_000);
      await upgrade.say('rollback', { by: 'ada' });
      const { decision } = await upgrade.until('NeedsDecision', 120_000);
      expect(decision?.problem).toMatch(/going back loses .* rows written \(.*public\.app/);
      await upgrade.say('decide', { choice: 'retry', by: 'ada' });
      const receipt = await upgrade.ended(120_000);
      expect(receipt).toMatchObject({
        outcome: 'RolledBack',
        left: [expect.stringContaining('keeps all it holds')],
      });
      await until('the application to come back', async () => app.url === w.source, 60_000);
      await app.stop();
      // None is lost: the target has what the source lacks.
      const late = await app.missing(w.source);
      const missing = new Set(await app.missing(w.target));
      expect(late.length).toBeGreaterThan(0);
      expect(late.filter((id) => missing.has(id))).toEqual([]);
      await expectOrdinary(w.source);
      await expectOrdinary(w.target);
    }));

  test('its termination in the restore: recover opens the source and puts back what the target held', () =>
    inWorld(async (on) => {
      const { w } = on;
      const upgrade = await w.start({ clean: true, gates: AUTO });
      await restored(w, 1);
      await upgrade.handle.terminate('by a test');
      await kill9(w.worker);
      await w.startWorker();
      await recover(w, upgrade);
      await expectOld(on);
      expect(await query(w.target, `SELECT to_regnamespace('${MARK}') AS mark`)).toEqual([{ mark: null }]);
    }, true));

  async function recover(w: PostgresWorld, { id, handle }: Upgrade): Promise<void> {
    const { taskQueue } = await handle.describe();
    await w.client.workflow.execute('recover', {
      taskQueue,
      workflowId: `recover/${id}`,
      args: [{ workflowId: id, by: 'ada' }],
    });
  }

  test('says where it is, without a password', () =>
    inWorld(async ({ w }) => {
      const upgrade = await w.start({ gates: { start: 'auto' } });
      await quickly(
        upgrade,
        ({ gates }) => gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
        120_000,
      );
      const state = await upgrade.handle.query(queries.state);
      expect(state.breakGlass.join('\n')).toMatch(
        /PGPASSWORD="\$\(printf .*psql -X .*RESET default_transaction_read_only/,
      );
      const { events } = await upgrade.handle.fetchHistory();
      const all = JSON.stringify(events, (_, value: unknown) =>
        value instanceof Uint8Array ? Buffer.from(value).toString() : value,
      );
      expect(all).not.toContain('p@ss/word');
      expect(all).not.toContain('p%40ss');
    }));
});

/** Takes its time before, or behind, the moment at which the applications are told. */
function slowRepoint(w: PostgresWorld, seconds: { before?: number; after?: number } = { before: 2 }) {
  const { before = 0, after = 0 } = seconds;
  return {
    kind: 'command' as const,
    command: `touch '${w.addressFile}.told'; sleep ${before}; [ "$FERRY_DIRECTION" = back ] && [ ! -e '${w.addressFile}' ] && exit 0; printf '%s\\n' "$FERRY_URL" > '${w.addressFile}.new' && mv '${w.addressFile}.new' '${w.addressFile}'; sleep ${after}`,
  };
}

async function told(w: PostgresWorld): Promise<boolean> {
  const { access } = await import('node:fs/promises');
  return access(`${w.addressFile}.told`).then(
    () => true,
    () => false,
  );
}
