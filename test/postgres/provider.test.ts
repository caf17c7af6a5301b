/* What a provider has put into a database and no superuser's: it stays where it is, and nothing of it is a difference. */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withSession } from '../../src/postgres/connect.js';
import { dumpDatabase, dumpIn } from '../../src/postgres/dump.js';
import { emptyDatabase, heldBy } from '../../src/postgres/empty.js';
import { chosen, restoreDump } from '../../src/postgres/restore.js';
import { compareDatabases } from '../../src/postgres/same.js';
import { capture } from '../../src/platform/exec.js';
import { environmentFor } from '../../src/postgres/address.js';
import { at, NO_POSTGRES, query, startServers, type Servers } from '../support/postgres.js';
import { postgresWorld, SMALL } from '../support/postgres-world.js';

/** As Heroku has it: a schema of a superuser, functions in it, and event triggers that call them. */
const HEROKU = `CREATE SCHEMA _heroku; REVOKE ALL ON SCHEMA _heroku FROM PUBLIC; COMMENT ON SCHEMA _heroku IS 'hands off';
CREATE TABLE _heroku.log (at timestamptz); INSERT INTO _heroku.log VALUES (now());
CREATE FUNCTION _heroku.create_ext() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO _heroku.log VALUES (now()); END $$;
CREATE EVENT TRIGGER log_create_ext ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION _heroku.create_ext();
CREATE EVENT TRIGGER log_drop_ext ON sql_drop EXECUTE FUNCTION _heroku.create_ext(); COMMENT ON EVENT TRIGGER log_drop_ext IS 'x';`;

describe.skipIf(NO_POSTGRES)('what a provider has put there', { timeout: 120_000 }, () => {
  let s: Servers;
  beforeAll(async () => {
    s = await startServers();
  });
  afterAll(() => s.stop());

  /** A database of an ordinary user's own. */
  async function ordinary(server: 'old' | 'new', seed: string): Promise<{ root: string; url: string }> {
    const root = await s.create(server);
    const name = new URL(root).pathname.slice(1);
    await query(
      root,
      `CREATE ROLE u${name} LOGIN PASSWORD 'secret'; ALTER DATABASE ${name} OWNER TO u${name}`,
    );
    await query(root, `GRANT ALL ON SCHEMA public TO u${name}; ${seed}`);
    const url = Object.assign(new URL(root), { username: `u${name}`, password: 'secret' }).toString();
    return { root, url };
  }

  test('an ordinary user moves a database of Heroku, to one of Heroku', async () => {
    const source = await ordinary('old', HEROKU);
    const target = await ordinary('new', `${HEROKU} CREATE EXTENSION pg_stat_statements;`);
    const w = await postgresWorld(s, { source: source.url, target: target.url });
    try {
      await query(w.source, SMALL);
      await w.startWorker();
      const receipt = await (await w.start({ gates: { start: 'auto', cutover: 'auto' } })).ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
      expect(receipt.warnings.join()).toContain('the extension pg_stat_statements: that is no difference');
      expect(receipt.facts['restore']).toMatchObject({
        leftOut: ["what is Heroku's own (3 items)"],
      });
      expect(await query(target.root, 'SELECT count(*)::int AS n FROM shop.orders')).toEqual([{ n: 2000 }]);
      const [{ n = 0 } = {}] = await query<{ n: number }>(
        target.root,
        `SELECT count(*)::int AS n FROM pg_event_trigger WHERE evtname IN ('log_create_ext', 'log_drop_ext')`,
      );
      expect(n).toBe(2);
    } finally {
      await w.close();
    }
  });

  test('a dump that holds it, as one of Heroku itself may, is restored without it', async () => {
    const source = await ordinary('old', `${HEROKU} ${SMALL}`);
    const target = await ordinary('new', '');
    const folder = await mkdtemp(join(s.folder, 'dump-'));
    const { address, name } = at(source.root);
    const said = await capture({
      label: 'pg_dump',
      spec: {
        command: [s.tools.pgDump, '--format=custom', '--quote-all-identifiers', `--file=${dumpIn(folder)}`],
        timeout: '1m',
      },
      name: '',
      step: '',
      limit: 1_000,
      env: environmentFor(address, name),
    });
    expect(said.exitCode).toBe(0);
    const to = at(target.url);
    const restored = await restoreDump({ ...to, tools: s.tools, folder, jobs: 1, whole: false });
    expect(restored.leftOut).toEqual([expect.stringMatching(/^what is Heroku's own \(\d+ items\)$/)]);
    const compared = await compareDatabases({
      source: at(source.root),
      target: to,
      majors: { source: s.majors.old, target: s.majors.new },
      jobs: 1,
      utf8: false,
    });
    expect(compared.samples).toEqual([]);
  });

  test('event triggers of its own hold the move to a user who may make none, before anything is changed', async () => {
    const source = await ordinary(
      'old',
      `${HEROKU} CREATE FUNCTION public.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER own ON sql_drop EXECUTE FUNCTION public.f()`,
    );
    const target = await ordinary('new', '');
    const w = await postgresWorld(s, { source: source.url, target: target.url });
    try {
      await w.startWorker();
      const { decision, checks } = await (await w.start()).until('NeedsDecision');
      expect(decision?.waivable).toEqual(['Event triggers']);
      expect(checks.find(({ name }) => name === 'Event triggers')?.actual).toBe('own');
    } finally {
      await w.close();
    }
  });

  test('event triggers of the database itself are carried', async () => {
    const [source, target] = [await s.create('old'), await s.create('new')];
    await query(
      source,
      `${HEROKU} CREATE FUNCTION public.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER own ON sql_drop EXECUTE FUNCTION public.f()`,
    );
    const folder = await mkdtemp(join(s.folder, 'dump-'));
    await dumpDatabase({ ...at(source), tools: s.tools, folder, jobs: 1, whole: false });
    await restoreDump({ ...at(target), tools: s.tools, folder, jobs: 1, whole: false });
    expect(await query(target, 'SELECT evtname FROM pg_event_trigger')).toEqual([{ evtname: 'own' }]);
  });

  test('a target that holds nothing else is empty, and is not emptied of it', async () => {
    const { root, url } = await ordinary('new', `${HEROKU} CREATE EXTENSION pg_stat_statements;`);
    await query(url, 'CREATE TABLE mine (a int)');
    await withSession(at(url), async (session) => {
      await emptyDatabase(session);
      expect(await heldBy(session)).toEqual({ objects: 0, largeObjects: 0 });
    });
    expect(await query(root, `SELECT count(*)::int AS n FROM pg_event_trigger`)).toEqual([{ n: 2 }]);
    expect(await query(root, `SELECT to_regclass('_heroku.log') IS NOT NULL AS there`)).toEqual([
      { there: true },
    ]);
  });

  test('lines of a table of contents', () => {
    const there = { extensions: [], publicIsThere: true, eventTriggers: ['log drop'] };
    const others = [
      '1; 2615 1 SCHEMA - shop app',
      '2; 1259 2 TABLE shop _heroku app',
      '3; 1259 3 TABLE _heroku_too t app',
      '4; 3466 4 EVENT TRIGGER - own postgres',
    ];
    const herokus = [
      '5; 2615 5 SCHEMA - _heroku postgres',
      '6; 0 0 COMMENT - SCHEMA _heroku postgres',
      '7; 0 0 ACL - SCHEMA _heroku postgres',
      '8; 1255 6 FUNCTION _heroku f() postgres',
      '9; 0 6 TABLE DATA _heroku log postgres',
      '10; 3466 4 EVENT TRIGGER - log drop postgres',
      '11; 0 0 COMMENT - EVENT TRIGGER log drop postgres',
    ];
    expect(chosen([...others, ...herokus], there)).toEqual({
      list: others,
      items: 4,
      leftOut: ["what is Heroku's own (7 items)"],
    });
  });
});
