import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run, which } from './run.js';

/** Debian's packages as a mere store of files: fetched with a private apt, unpacked, never installed. */
export type Debian = {
  /** The release that this machine runs: `bookworm`. */
  codename: string;
  /** Unpacks packages of a suite, all in one root, and gives the root. */
  unpack: (suite: string, packages: readonly string[]) => Promise<string>;
  /** The same with everything that they depend on, but the C library: for programs that run on this release only. */
  unpackWhole: (suite: string, packages: readonly string[]) => Promise<string>;
};

export const aptIsHere = (): boolean => which('apt-get') !== null && which('dpkg-deb') !== null;

/** What every server of Debian stands on: with its own C library it runs on older and newer systems alike. */
export const BASE =
  'libc6 libgcc-s1 libstdc++6 libatomic1 libjemalloc2 liblzf1 libsystemd0 libcap2 liblz4-1 liblzma5 libzstd1 libgcrypt20 libgpg-error0 zlib1g'.split(
    ' ',
  );

/** An apt of its own below `folder`, pointed at the mirror that the machine's apt uses. */
export async function openDebian(folder: string): Promise<Debian> {
  const { mirror, key, codename } = await machinesMirror(folder);
  const settings = await machinesSettings();
  async function unpack(suite: string, packages: readonly string[], whole: boolean): Promise<string> {
    const home = join(folder, `apt-${suite}`);
    const root = join(folder, `root-${suite}`);
    const debs = whole ? join(home, 'cache/archives') : join(folder, `debs-${suite}`);
    for (const path of [
      root,
      debs,
      `${home}/etc/sources`,
      `${home}/state/lists/partial`,
      `${home}/cache/archives/partial`,
    ]) {
      await mkdir(path, { recursive: true });
    }
    await writeFile(join(home, 'state/status'), '');
    await writeFile(join(home, 'etc/sources.list'), `deb [signed-by=${key}] ${mirror} ${suite} main\n`);
    await writeFile(join(home, 'apt.conf'), `${settings}\n${privateSettings(home)}`);
    const env = { ...process.env, APT_CONFIG: join(home, 'apt.conf'), LC_ALL: 'C' };

    const update = await run('apt-get', ['-qq', 'update'], { env, timeoutMs: 120_000 });
    if (!update.ok) throw new Error(update.why);
    // apt-get calls a suite that isn't there a warning, and then knows no package of it.
    const verb = whole ? ['-y', '--no-install-recommends', '--download-only', 'install'] : ['download'];
    const named = packages.map((name) => `${name}/${suite}`);
    const got = await run('apt-get', ['-qq', ...verb, ...named], { env, cwd: debs, timeoutMs: 300_000 });
    if (!got.ok)
      throw new Error(`${got.why}${update.stderr.includes('W:') ? ` (${firstLine(update.stderr)})` : ''}`);
    for (const deb of await readdir(debs)) {
      if (!deb.endsWith('.deb') || (whole && deb.startsWith('libc6_'))) continue;
      const unpacked = await run('dpkg-deb', ['-x', join(debs, deb), root]);
      if (!unpacked.ok) throw new Error(unpacked.why);
    }
    return root;
  }
  return {
    codename,
    unpack: (suite, packages) => unpack(suite, packages, false),
    unpackWhole: (suite, packages) => unpack(suite, packages, true),
  };
}

const firstLine = (text: string): string => text.trim().split('\n')[0] ?? '';

/** The mirror that this machine's own sources name for Debian's main archive. */
async function machinesMirror(folder: string): Promise<{ mirror: string; key: string; codename: string }> {
  const os = await readFile('/etc/os-release', 'utf8').catch(() => '');
  if (!/^ID="?debian"?$/m.test(os)) throw new Error("this machine's apt is not Debian's");
  // What an update would fetch says it without the lists of a former update, which a fresh container lacks.
  const lists = join(folder, 'no-lists');
  await mkdir(join(lists, 'partial'), { recursive: true });
  const asked = await run('apt-get', ['-o', `Dir::State::lists=${lists}`, 'update', '--print-uris']);
  const codename = /^VERSION_CODENAME="?(\w+)/m.exec(os)?.[1] ?? 'sid';
  const mirror = mirrorOf(asked.stdout, codename);
  if (mirror === null) throw new Error("this machine's apt names no Debian mirror");
  const keys = ['gpg', 'pgp'].map((ending) => `/usr/share/keyrings/debian-archive-keyring.${ending}`);
  const key = keys.find((file) => existsSync(file));
  if (key === undefined) throw new Error("this machine lacks Debian's keyring (debian-archive-keyring)");
  return { mirror, key, codename };
}

/** From `apt-get update --print-uris`: where the archive of the release itself is, not that of its security updates. */
export function mirrorOf(uris: string, codename: string): string | null {
  const suites = [codename, 'stable', 'oldstable', 'oldoldstable', 'testing', 'unstable', 'sid'];
  for (const [, mirror, suite] of uris.matchAll(/^'(\S+)\/dists\/([^'/\s]+)\/InRelease'/gm)) {
    // Others have suites of such names too (Docker, PostgreSQL); Debian's archive is called so in every mirror.
    if (suite && suites.includes(suite) && /debian(\.list)?$/.test(mirror ?? '')) return mirror!;
  }
  return null;
}

/** The machine's own way to reach its mirror (proxy, certificates, retries), as apt's own settings. */
async function machinesSettings(): Promise<string> {
  const dump = await run('apt-config', ['dump']);
  const mine = dump.stdout
    .split('\n')
    .filter(
      (line) =>
        line.startsWith('Acquire::') &&
        !/^Acquire::(IndexTargets|Languages|CompressionTypes|GzipIndexes|cdrom)/i.test(line),
    );
  // Passwords of mirrors stay in apt's own files, which only apt reads.
  return [
    ...mine,
    'Dir::Etc::netrc "/etc/apt/auth.conf";',
    'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
  ].join('\n');
}

function privateSettings(home: string): string {
  return `Dir::Etc "${home}/etc"; Dir::Etc::sourcelist "${home}/etc/sources.list"; Dir::Etc::sourceparts "${home}/etc/sources";
Dir::State "${home}/state"; Dir::State::status "${home}/state/status"; Dir::Cache "${home}/cache";
APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "1"; Acquire::http::Timeout "15"; Acquire::https::Timeout "15";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false"; Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false"; Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";
`;
}
