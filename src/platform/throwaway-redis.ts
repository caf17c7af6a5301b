/** Loading a backup into a server that is there for nothing else: the proof that it can be restored. */
import { link, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { FerryError } from '../errors.js';
import { MANIFEST, redisManifestIn, type RedisManifest } from '../redis/backup/manifest.js';
import { KEYS_FILE } from '../redis/backup/keys.js';
import { putKeys } from '../redis/backup/put-keys.js';
import { RDB } from '../redis/backup/take.js';
import { atLeast } from '../redis/info.js';
import { countKeys } from '../redis/keyspace.js';
import { background, capture } from './exec.js';
import { fileFailure, sha256Of } from './files.js';

export interface RedisServer {
  path: string;
  product: 'Redis' | 'Valkey';
  version: string;
}

/** Every one there is: in FERRY_REDIS_BIN alone where that is set, else on PATH. */
export async function redisServers(signal?: AbortSignal): Promise<RedisServer[]> {
  const named = process.env['FERRY_REDIS_BIN'];
  const folders = named ? [named] : (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  const found: RedisServer[] = [];
  for (const folder of folders)
    for (const program of ['redis-server', 'valkey-server']) {
      const server = await serverAt(join(folder, program), signal);
      if (server) found.push(server);
    }
  return found;
}

async function serverAt(path: string, signal: AbortSignal | undefined): Promise<RedisServer | null> {
  const spec = { command: [path, '--version'], timeout: '15s' };
  const label = 'redis-server --version';
  const said = await capture({ label, spec, name: '', step: '', limit: 4_096, signal }).catch(() => null);
  signal?.throwIfAborted();
  const [, product, version] = /^(Redis|Valkey) server v=(\d+\.\d+\.\d+)/m.exec(said?.stdout ?? '') ?? [];
  return version === undefined ? null : { path, product: product === 'Valkey' ? 'Valkey' : 'Redis', version };
}

/** The last version of Redis whose format Valkey reads. */
const COMMON = '7.2';

/** The oldest that reads what this one ("Redis 7.0.15") writes; or why there is none, and what to do. */
export function chooseServer(
  servers: readonly RedisServer[],
  product: string,
): { server: RedisServer } | { why: string } {
  const [name = '', version = ''] = product.split(' ');
  const line = version.split('.').slice(0, 2).join('.');
  const able = servers.filter((each) =>
    each.product === name
      ? atLeast(each.version, line)
      : each.product === 'Valkey' && name === 'Redis' && atLeast(COMMON, line),
  );
  const [server] = able.toSorted((a, b) => (atLeast(a.version, b.version) ? 1 : -1));
  if (server) return { server };
  const here = servers.map((each) => `${each.product} ${each.version}`).join(', ');
  const program = name === 'Valkey' ? 'valkey-server' : 'redis-server';
  return {
    why: `${program} of ${name} ${line} or later is needed; ${here ? `here is ${here}` : 'there is none on the worker'}. Install it there (it need not run), or name its folder in FERRY_REDIS_BIN`,
  };
}

export interface Loaded {
  /** "Redis 7.2.4" */
  by: string;
  keys: number;
  seconds: number;
}

/** However long it takes: a server loads some 100 MB a second. */
const LOADS_WITHIN = 12 * 3_600_000;
const READY = /Ready to accept connections/;
/** What servers say of a file that they don't take, in one line. */
const REFUSED =
  /^.*(?:Short read|Unrecoverable|Bad file format|Wrong signature|Can't handle RDB format|Wrong RDB checksum|RDB CRC error|Internal error in RDB|Fatal error loading|can't load|FATAL).*$/m;

/**
 * Loads the backup in `folder`, a snapshot or a file of keys, looks how many keys there are, and ends the server again. Nothing is written to
 * the backup.
 * @throws FerryError BackupFailed where it is not as it was written, or is refused; the signal's reason when aborted
 */
export async function loadBackup(on: {
  folder: string;
  server: RedisServer;
  signal?: AbortSignal | undefined;
}): Promise<Loaded> {
  const { folder, server, signal } = on;
  const began = performance.now();
  const manifest = await wholeManifest(folder);
  // On the same disk, so that a link is enough.
  const scratch = await scratchIn(dirname(folder)).catch((error: unknown) => {
    throw fileFailure(folder, error);
  });
  try {
    const file = manifest.files.some(({ name }) => name === KEYS_FILE) ? join(folder, KEYS_FILE) : null;
    if (file === null)
      await link(join(folder, RDB), join(scratch, RDB)).catch((error: unknown) => {
        throw fileFailure(join(folder, RDB), error);
      });
    const keys = await keysLoaded({ scratch, manifest, server, file, signal });
    const { product, version } = server;
    return {
      by: `${product} ${version}`,
      keys,
      seconds: Math.round((performance.now() - began) / 100) / 10,
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

const SCRATCH = '.throwaway-';

/** What a worker that was killed has left there goes first. */
async function scratchIn(parent: string): Promise<string> {
  for (const name of await readdir(parent))
    if (name.startsWith(SCRATCH)) await rm(join(parent, name), { recursive: true, force: true });
  return mkdtemp(join(parent, SCRATCH));
}

async function wholeManifest(folder: string): Promise<RedisManifest> {
  const manifest = redisManifestIn(await readFile(join(folder, MANIFEST), 'utf8').catch(() => ''));
  if (manifest === null)
    throw new FerryError('BackupFailed', `${folder} holds no backup that says what it is (${MANIFEST})`);
  for (const { name, sha256 } of manifest.files)
    if ((await sha256Of(join(folder, name))) !== sha256)
      throw new FerryError('BackupFailed', `${join(folder, name)} is not as it was written`);
  return manifest;
}

async function keysLoaded(on: {
  scratch: string;
  manifest: RedisManifest;
  server: RedisServer;
  /** Of keys, for a server that has begun empty. */
  file: string | null;
  signal: AbortSignal | undefined;
}): Promise<number> {
  const { scratch, manifest, server, file, signal } = on;
  const [port, password] = [await freePort(), randomBytes(24).toString('hex')];
  const numbers = Object.keys(manifest.keys.databases).map(Number);
  const settings = [
    `bind 127.0.0.1`,
    `port ${port}`,
    `requirepass ${password}`,
    `dir "${scratch}"`,
    `dbfilename ${RDB}`,
    // It must never write what it holds.
    'save ""',
    'appendonly no',
    'daemonize no',
    `databases ${Math.max(16, ...numbers.map((number) => number + 1))}`,
  ];
  const config = join(scratch, 'server.conf');
  await writeFile(config, `${settings.join('\n')}\n`, { mode: 0o600 });
  signal?.throwIfAborted();
  const running = background({ label: server.path, command: [server.path, config] });
  const stop = (): void => running.stop();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const [line] = await running
      .said(new RegExp(`${READY.source}|${REFUSED.source}`, 'm'), LOADS_WITHIN)
      .catch((error: unknown) => {
        signal?.throwIfAborted();
        throw error;
      });
    if (!READY.test(line))
      throw new FerryError(
        'BackupFailed',
        `${server.product} ${server.version} does not load the backup: ${line.replace(/^.*?[#*.-] /, '').trim()}`,
      );
    const address = { host: '127.0.0.1', port, password };
    if (file !== null)
      await putKeys({ address, path: file, signal }).catch((error: unknown) => {
        signal?.throwIfAborted();
        if (!(error instanceof FerryError)) throw error;
        throw new FerryError(
          'BackupFailed',
          `${server.product} ${server.version} does not take the snapshot: ${error.message}`,
        );
      });
    const { keys } = await countKeys({ address, name: 'ferry:backup', signal });
    return keys;
  } finally {
    signal?.removeEventListener('abort', stop);
    running.stop();
    await running.ended;
  }
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const listening = createServer().listen(0, '127.0.0.1', () => {
      const at = listening.address();
      listening.close(() => resolve(typeof at === 'object' && at !== null ? at.port : 0));
    });
    listening.once('error', reject);
  });
}
