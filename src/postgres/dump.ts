/** A dump of a database in a folder on the worker: whole, with the checksum of each file, or not there. */
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FerryError } from '../errors.js';
import { follow } from '../platform/exec.js';
import { fileFailure, sha256Of } from '../platform/files.js';
import { MANIFEST, manifestIn, type Manifest } from '../redis/backup/manifest.js';
import { environmentFor, shown } from './address.js';
import { HEROKU, MARK } from './catalogs.js';
import type { At } from './connect.js';
import { firstError } from './said.js';
import type { PostgresTools } from './tools.js';

/** Of a dump. Sizes are bytes. */
export interface DumpFacts {
  files: number;
  bytes: number;
  seconds: number;
  /** Of pg_dump. */
  version: string;
}

export interface DumpProgress {
  tables: number;
  bytes: number;
}

/** Beside the dump itself, which pg_dump wants to have a folder of its own for. */
const DUMP = 'dump';

/** A dump of many tables is many files: looking at all of them every second would be most of what the worker's memory is used for. */
const LOOK_EVERY_MS = 5_000;

/** Of pg_dump's folder, or of Heroku's file. */
export function dumpIn(folder: string): string {
  return join(folder, DUMP);
}

/**
 * pg_dump into `folder`, which is there and empty. Roles, rights and owners are in it, and left out when it is restored.
 * @throws FerryError BackupFailed; the signal's reason when aborted
 */
export async function dumpDatabase(
  at: At & {
    tools: PostgresTools;
    folder: string;
    jobs: number;
    /** Publications too: it is to be put back where it came from. */
    whole: boolean;
    onProgress?: (progress: DumpProgress) => void;
  },
): Promise<DumpFacts> {
  const { address, name, tools, folder, jobs, whole, signal, onProgress = () => {} } = at;
  const path = dumpIn(folder);
  let tables = 0;
  let looked = Promise.resolve();
  const timer = setInterval(() => {
    looked = sizesOf(path).then(
      (files) => onProgress({ tables, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) }),
      () => undefined,
    );
  }, LOOK_EVERY_MS);
  const started = performance.now();
  try {
    await follow({
      label: 'pg_dump',
      command: [
        tools.pgDump,
        '--format=directory',
        `--file=${path}`,
        `--jobs=${jobs}`,
        '--compress=1',
        '--verbose',
        '--no-password',
        '--lock-wait-timeout=60s',
        // What is a word of its own is another matter in each version.
        '--quote-all-identifiers',
        `--exclude-schema=${MARK}`,
        `--exclude-schema=${HEROKU}`,
        ...(whole ? [] : ['--no-publications']),
        '--no-subscriptions',
      ],
      name: '',
      step: '',
      env: environmentFor(address, name),
      signal,
      hear: (line) => {
        if (/dumping contents of table/.test(line)) tables += 1;
      },
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof FerryError)) throw error;
    throw new FerryError('BackupFailed', `${shown(address)}: pg_dump: ${firstError(error.message)}`);
  } finally {
    clearInterval(timer);
    await looked;
  }
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  return { ...(await seal(folder)), seconds, version: tools.version };
}

/** Harmless when it is gone. */
export async function removeDump(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch((error: unknown) => {
    throw fileFailure(folder, error);
  });
}

/** An upgrade of an older version that is under way has a list alone, of names below the dump. */
const Older = z.array(z.object({ name: z.string(), bytes: z.number(), sha256: z.string() }));

/** Writes down what is in the folder: the dump, and what stands beside it. */
export async function seal(folder: string): Promise<{ files: number; bytes: number }> {
  const path = dumpIn(folder);
  const takenAt = new Date().toISOString();
  const files: Manifest['files'] = [];
  for (const { name, bytes } of await sizesOf(path))
    files.push({
      name: name === '' ? DUMP : `${DUMP}/${name}`,
      bytes,
      sha256: await sha256Of(join(path, name)),
    });
  const dumped = { files: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
  for (const { name, bytes } of await sizesOf(folder))
    if (name !== DUMP) files.push({ name, bytes, sha256: await sha256Of(join(folder, name)) });
  await writeFile(join(folder, MANIFEST), JSON.stringify({ takenAt, files }), { mode: 0o600 });
  return dumped;
}

/** It is there, and as it was written. @throws FerryError BackupFailed */
export async function checkDump(folder: string): Promise<void> {
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(() => null);
  if (text === null)
    throw new FerryError(
      'BackupFailed',
      `the dump ${folder} is not on this worker. All steps of an upgrade need the same disk: run one worker, or give \`folder\` on a disk that all of them share`,
    );
  const files =
    manifestIn(text)?.files ??
    Older.parse(JSON.parse(text)).map((each) => ({ ...each, name: join(DUMP, each.name) }));
  for (const { name, bytes, sha256 } of files) {
    const file = join(folder, name);
    const found = await stat(file).catch(() => null);
    if (found?.size !== bytes || (await sha256Of(file)) !== sha256)
      throw new FerryError('BackupFailed', `${file} is not as it was written`);
  }
}

async function sizesOf(path: string): Promise<{ name: string; bytes: number }[]> {
  const { size, ...own } = await stat(path).then((found) => ({ size: found.size, file: found.isFile() }));
  if (own.file) return [{ name: '', bytes: size }];
  const names = (await readdir(path)).toSorted();
  return Promise.all(names.map(async (name) => ({ name, bytes: (await stat(join(path, name))).size })));
}
