/* Two databases, a worker process of its own, and an application that writes: what a move of PostgreSQL is tried on. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client as Temporal, WorkflowHandle } from '@temporalio/client';
import { Client } from 'pg';
import { expect } from 'vitest';
import { workflowIdOf } from '../../src/contract.js';
import type { PostgresMoveInput } from '../../src/inputs/postgres-move.js';
import { query, type Servers } from './postgres.js';
import { killAll, sleep, spawnWorker, temporalFor, upgradeOf, type Upgrade } from './world.js';

export interface PostgresWorld {
  folder: string;
  client: Temporal;
  taskQueue: string;
  name: string;
  source: string;
  target: string;
  /** A file that says where the applications' database is. */
  addressFile: string;
  worker: ChildProcess | null;
  startWorker(env?: Record<string, string>): Promise<ChildProcess>;
  start(input?: Partial<PostgresMoveInput>): Promise<Upgrade>;
  close(): Promise<void>;
}

export async function postgresWorld(
  s: Servers,
  given: { source?: string; target?: string; env?: Record<string, string> } = {},
): Promise<PostgresWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-pg-world-'));
  const source = given.source ?? (await s.create('old'));
  const target = given.target ?? (await s.create('new'));
  const { connection, client, taskQueue, env: reach } = await temporalFor(folder);
  const children = new Set<ChildProcess>();
  const handles: WorkflowHandle[] = [];
  const env = {
    ...reach,
    HOME: folder,
    FERRY_POSTGRES_BIN: s.bin,
    OLD_DATABASE_URL: source,
    NEW_DATABASE_URL: target,
    ...given.env,
  };
  const self: PostgresWorld = {
    folder,
    client,
    taskQueue,
    name: `t${randomBytes(5).toString('hex')}`,
    source,
    target,
    addressFile: join(folder, 'database-url'),
    worker: null,
    async startWorker(more = {}) {
      self.worker = await spawnWorker({ env: { ...env, ...more }, children });
      return self.worker;
    },
    async start(input = {}) {
      const whole: PostgresMoveInput = {
        name: self.name,
        source: { env: 'OLD_DATABASE_URL' },
        target: { env: 'NEW_DATABASE_URL' },
        repoint: { kind: 'file', path: self.addressFile },
        soak: '1s',
        ...input,
      };
      const id = workflowIdOf('postgresMove', whole.name);
      const handle = await client.workflow.start('postgresMove', {
        taskQueue,
        workflowId: id,
        args: [whole],
      });
      handles.push(handle);
      return upgradeOf(handle, id);
    },
    async close() {
      for (const handle of handles) await handle.terminate('the test is over').catch(() => {});
      await killAll(children);
      await connection.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return self;
}

/** Writes rows of its own as fast as it may, where the file says; remembers what was acknowledged. */
export function application(w: Pick<PostgresWorld, 'source' | 'addressFile'>) {
  const acknowledged = new Set<string>();
  let [running, url, refused, longest] = [true, w.source, 0, 0];
  const connect = async (): Promise<Client | null> => {
    const client = new Client({ connectionString: url, application_name: 'shop' });
    client.on('error', () => {});
    return client.connect().then(
      () => client,
      () => null,
    );
  };
  const loop = (async () => {
    let client = await connect();
    for (let n = 0; running; n += 1) {
      const id = `${n}-${randomBytes(4).toString('hex')}`;
      const began = Date.now();
      while (running) {
        try {
          if (!client) throw new Error('not connected');
          await client.query('INSERT INTO app (id) VALUES ($1)', [id]);
          acknowledged.add(id);
          break;
        } catch {
          refused += 1;
          await client?.end().catch(() => {});
          url = (await readFile(w.addressFile, 'utf8').catch(() => w.source)).trim() || url;
          await sleep(10);
          client = await connect();
        }
      }
      longest = Math.max(longest, Date.now() - began);
      await sleep(2);
    }
    await client?.end().catch(() => {});
  })();
  return {
    acknowledged,
    get url() {
      return url;
    },
    get refused() {
      return refused;
    },
    get longestMs() {
      return longest;
    },
    async stop() {
      running = false;
      await loop;
    },
    /** Acknowledged rows that are not there. */
    async missing(where: string): Promise<string[]> {
      const there = new Set((await query<{ id: string }>(where, 'SELECT id FROM app')).map(({ id }) => id));
      return [...acknowledged].filter((id) => !there.has(id));
    },
  };
}

/** Something to move, and the application's own table. */
export const SMALL = `CREATE SCHEMA shop; CREATE TABLE app (id text PRIMARY KEY);
CREATE TABLE shop.orders (id bigserial PRIMARY KEY, total numeric, note text); CREATE INDEX ON shop.orders (total);
INSERT INTO shop.orders (total, note) SELECT i, md5(i::text) FROM generate_series(1, 2000) i;
CREATE VIEW shop.big AS SELECT id FROM shop.orders WHERE total > 1000; SELECT lo_from_bytea(815, '\\x0102');`;

/** What stands in a database for it to be an ordinary one. */
export async function expectOrdinary(url: string): Promise<void> {
  const [row] = await query<{ ro: string; marks: string; ours: string }>(
    url,
    `SELECT current_setting('default_transaction_read_only') AS ro, (SELECT count(*) FROM pg_namespace WHERE nspname = 'redis_ferry')::text AS marks,
      (SELECT count(*) FROM pg_db_role_setting r WHERE r.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))::text AS ours`,
  );
  expect(row).toEqual({ ro: 'off', marks: '0', ours: '0' });
  const sessions = async () =>
    query(
      url,
      `SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'ferry:%' AND datname = current_database()`,
    );
  await expect.poll(sessions).toEqual([]);
}

/** Objects of its own. */
export async function objectsIn(url: string): Promise<number> {
  const [row] = await query<{ n: string }>(
    url,
    `SELECT ((SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
      + (SELECT count(*) FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'public'))
      + (SELECT count(*) FROM pg_largeobject_metadata))::text AS n`,
  );
  return Number(row?.n);
}
