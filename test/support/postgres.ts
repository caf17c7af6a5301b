/* Real servers of PostgreSQL for tests: two, of different versions where there are two; databases of their own for each test. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { inject } from 'vitest';
import { parsePostgresUrl } from '../../src/postgres/address.js';
import type { At } from '../../src/postgres/connect.js';
import { handOf } from '../../src/postgres/hands.js';
import { chooseTools, postgresTools, type PostgresTools } from '../../src/postgres/tools.js';
import { startPostgres, type Postgres } from '../../src/setup/postgres.js';

const FOUND = inject('postgresServers');
/** There is nothing to try without. */
export const NO_POSTGRES = FOUND.length === 0;

export interface Servers {
  /** The older one where there are two. */
  old: Postgres;
  new: Postgres;
  majors: { old: number; new: number };
  /** A database with nothing in it. Its URL. */
  create(server: 'old' | 'new', options?: string): Promise<string>;
  tools: PostgresTools;
  /** FERRY_POSTGRES_BIN of workers. */
  bin: string;
  folder: string;
  stop(): Promise<void>;
}

export async function startServers(settings: Record<string, string | number> = {}): Promise<Servers> {
  const [older, newer] = [FOUND[0], FOUND.at(-1)];
  if (!older || !newer) throw new Error('there is no PostgreSQL');
  const [old, fresh] = await Promise.all([
    startPostgres({ found: older, settings }),
    startPostgres({ found: newer, settings }),
  ]);
  const folder = await mkdtemp(join(tmpdir(), 'ferry-pg-'));
  process.env['FERRY_POSTGRES_BIN'] = newer.bin;
  const majors = { old: older.major, new: newer.major };
  return {
    old,
    new: fresh,
    majors,
    bin: newer.bin,
    tools: chooseTools({ tools: await postgresTools(), source: majors.old, target: majors.new }),
    folder,
    async create(server, options = '') {
      const [at, name] = [server === 'old' ? old : fresh, `d${randomBytes(5).toString('hex')}`];
      await query(at.url('postgres'), `CREATE DATABASE ${name} ${options}`);
      return at.url(name);
    },
    async stop() {
      await Promise.all([old.stop(), fresh.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** As an attempt of an upgrade reaches it. */
export function at(url: string, order = '1.1', workflowId = 'upgrade/postgres/test'): At {
  return { address: parsePostgresUrl(url), name: handOf({ workflowId, order }) };
}

export async function connected<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

export async function query<Row extends object>(url: string, sql: string): Promise<Row[]> {
  return connected(url, async (client) => (await client.query<Row>(sql)).rows);
}
