/** Connections to a database, and what their failures mean. */
import { readFile } from 'node:fs/promises';
import { Client, DatabaseError, type QueryResultRow } from 'pg';
import { FerryError, type FailureType } from '../errors.js';
import { redact } from '../platform/redact.js';
import { shown, type DatabaseAddress } from './address.js';

export interface At {
  address: DatabaseAddress;
  /** application_name of its sessions. */
  name: string;
  signal?: AbortSignal | undefined;
}

/** An open session. */
export interface Session {
  /** Rows as text, unless a type of JavaScript holds them exactly. @throws FerryError; the signal's reason when aborted */
  ask<Row extends QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>;
  /** For messages. */
  shown: string;
  end(): Promise<void>;
}

const CONNECT_MS = 15_000;

/** Text of the same value is the same on every server: nothing of how it is set up is in it. */
const AS_IS = `SET search_path = pg_catalog; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';
SET extra_float_digits = 3; SET bytea_output = 'hex'; SET xmloption = 'content'; SET lc_monetary = 'C'; SET row_security = off;
SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET client_encoding = 'UTF8'`;

/** @throws FerryError; the signal's reason when aborted */
export async function openSession(at: At): Promise<Session> {
  const { address, signal } = at;
  signal?.throwIfAborted();
  const client = await connected(at);
  const where = shown(address);
  const stop = (): void => void client.end().catch(() => undefined);
  signal?.addEventListener('abort', stop, { once: true });
  async function ask<Row extends QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]> {
    try {
      const { rows } = await client.query<Row>(sql, values);
      return rows;
    } catch (error) {
      signal?.throwIfAborted();
      throw failureAt(where, error);
    }
  }
  const session: Session = {
    ask,
    shown: where,
    async end() {
      signal?.removeEventListener('abort', stop);
      await client.end().catch(() => undefined);
    },
  };
  try {
    await ask(AS_IS);
  } catch (error) {
    await session.end();
    throw error;
  }
  return session;
}

/** @throws FerryError; the signal's reason when aborted; what `use` throws */
export async function withSession<T>(at: At, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await openSession(at);
  try {
    return await use(session);
  } finally {
    await session.end();
  }
}

/** "prefer" and "allow" go without TLS where the server has none. */
async function connected(at: At): Promise<Client> {
  const { sslmode } = at.address;
  const lax = sslmode === 'prefer' || sslmode === 'allow';
  try {
    return await connectBy(at, sslmode !== 'disable');
  } catch (error) {
    at.signal?.throwIfAborted();
    if (lax && error instanceof Error && /does not support SSL/i.test(error.message))
      return connectBy(at, false).catch((again: unknown) => {
        throw failureAt(shown(at.address), again);
      });
    throw failureAt(shown(at.address), error);
  }
}

async function connectBy({ address, name, signal }: At, tls: boolean): Promise<Client> {
  const { host, port, database, user, password, sslmode, sslrootcert } = address;
  const proven = sslmode.startsWith('verify-');
  const client = new Client({
    host,
    port,
    database,
    user,
    password,
    application_name: name,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    ssl: tls && {
      rejectUnauthorized: proven,
      ...(sslrootcert === undefined ? {} : { ca: await certificate(sslrootcert) }),
      ...(sslmode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
    },
  });
  // A connection that breaks is told by the query that meets it.
  client.on('error', () => undefined);
  const stop = (): void => void client.end().catch(() => undefined);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

async function certificate(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => {
    throw new FerryError('MissingSecret', `sslrootcert: the file ${path} can not be read on the worker`);
  });
}

/** By SQLSTATE, or the start of it. */
const BY_STATE: readonly (readonly [string, FailureType])[] = [
  ['28', 'WrongPassword'],
  ['3D000', 'NotFound'],
  ['42501', 'NotPermitted'],
  ['25006', 'ReadOnlyTarget'],
  ['53100', 'DiskFull'],
  ['53', 'Unreachable'],
  ['57P03', 'Loading'],
  ['57P', 'Unreachable'],
  ['08', 'Unreachable'],
];

const BROKEN =
  /ECONN|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|terminated|timeout|not queryable|Client was closed/i;

/** Only the first line of what a server says: the rest may hold values. */
export function failureAt(where: string, error: unknown): FerryError {
  if (error instanceof FerryError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const said = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  const message = redact(`${where}: ${said || code}`);
  if (error instanceof DatabaseError) {
    const type = BY_STATE.find(([state]) => code.startsWith(state))?.[1] ?? 'Unknown';
    return new FerryError(type, message);
  }
  if (/SSL|TLS|CERT|SIGNED|VERIFY/i.test(`${code} ${said}`)) return new FerryError('TlsFailed', message);
  return new FerryError(BROKEN.test(`${code} ${said}`) ? 'Unreachable' : 'Unknown', message);
}

/** A name in SQL. */
export function ident(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string in SQL. */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? `E${quoted}` : quoted;
}
