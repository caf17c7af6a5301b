/** pg_dump and pg_restore as this worker has them. */
import { readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { FerryError } from '../errors.js';
import { capture } from '../platform/exec.js';

export interface PostgresTools {
  pgDump: string;
  pgRestore: string;
  /** "15.14" */
  version: string;
  major: number;
}

/** Where Debian keeps one folder a version. */
const DEBIAN = '/usr/lib/postgresql';

/** Every version there is: in FERRY_POSTGRES_BIN alone where that is set, else where Debian keeps them, then on PATH. */
export async function postgresTools(signal?: AbortSignal): Promise<PostgresTools[]> {
  const named = process.env['FERRY_POSTGRES_BIN'];
  const folders = named
    ? [named]
    : [
        ...(await readdir(DEBIAN).catch(() => [])).map((version) => join(DEBIAN, version, 'bin')),
        ...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
      ];
  const found: PostgresTools[] = [];
  for (const folder of folders) {
    const tools = await toolsIn(folder, signal);
    if (tools && !found.some(({ version }) => version === tools.version)) found.push(tools);
  }
  return found;
}

async function toolsIn(folder: string, signal: AbortSignal | undefined): Promise<PostgresTools | null> {
  const [pgDump, pgRestore] = [join(folder, 'pg_dump'), join(folder, 'pg_restore')];
  const versions = await Promise.all([versionOf(pgDump, signal), versionOf(pgRestore, signal)]);
  const [version, other] = versions;
  if (!version || version !== other) return null;
  return { pgDump, pgRestore, version, major: Number.parseInt(version, 10) };
}

async function versionOf(program: string, signal: AbortSignal | undefined): Promise<string | null> {
  const spec = { command: [program, '--version'], timeout: '15s' };
  const label = 'pg_dump --version';
  const said = await capture({ label, spec, name: '', step: '', limit: 4_096, signal }).catch(() => null);
  signal?.throwIfAborted();
  return said?.exitCode === 0 ? (/\(PostgreSQL\) (\d+\S*)/.exec(said.stdout)?.[1] ?? null) : null;
}

/**
 * The newest that is not newer than the target, since a newer one may write what that doesn't know; else the oldest that reads the source.
 * @throws FerryError ToolMissing
 */
export function chooseTools(on: {
  tools: readonly PostgresTools[];
  /** Major versions. */
  source: number;
  target: number;
}): PostgresTools {
  const { tools, source, target } = on;
  const able = tools.filter(({ major }) => major >= source).toSorted((a, b) => a.major - b.major);
  const chosen = able.findLast(({ major }) => major <= target) ?? able[0];
  if (chosen) return chosen;
  const here = tools.map(({ version }) => version).join(', ');
  throw new FerryError(
    'ToolMissing',
    `pg_dump and pg_restore of PostgreSQL ${source} or later are needed, since the source runs ${source}; ${here ? `here is ${here}` : 'there is none on the worker'}. Install them (Debian: postgresql-client-${Math.max(source, target)}), or name their folder in FERRY_POSTGRES_BIN`,
  );
}
