/*
 * The programs of a one-node Kubernetes, from nothing but Debian packages (unpacked, not installed) and Go modules (built once, for
 * minutes). All of it stands in the cache, under a name that changes with its sources.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rename, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cacheFolder, inTempFolder, installOnce, type Say } from '../../../src/setup/cache.js';
import { aptIsHere, openDebian } from '../../../src/setup/debian.js';
import { compareVersions, run, seconds, which } from '../../../src/setup/run.js';
import { librariesBelow } from '../../../src/setup/starter.js';

const GO_SOURCES = resolve('test/cluster/node/go');
const KUBERNETES = { version: 'v1.34.4', major: '1', minor: '34' };
const HELM = { version: 'v3.19.5', module: 'helm.sh/helm/v3' };
/** Raise the number when the outcome of the recipe changes. */
const RECIPE = 1;
const OLDEST_GO = '1.24';
const BUILDS_WITHIN_MS = 45 * 60_000;

const PACKAGES = [
  'containerd',
  'runc',
  'containernetworking-plugins',
  'iptables',
  'iproute2',
  'openssl',
  'busybox-static',
];

export interface Programs {
  /** kubectl, helm, and every component by its name. */
  bin: string;
  /** Of Debian's packages, unpacked. */
  root: string;
  pause: string;
  /** To start anything of the above with. */
  env: NodeJS.ProcessEnv;
}

/** Why no cluster can be brought up here; null: it can. */
export function whyNoCluster(): string | null {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root, for network namespaces and mounts';
  if (!aptIsHere()) return 'needs apt-get and dpkg-deb';
  if (go() === null) return `needs Go ${OLDEST_GO} or later, to build Kubernetes from its modules`;
  return null;
}

function go(): string | null {
  return which('go') ?? (existsSync('/usr/local/go/bin/go') ? '/usr/local/go/bin/go' : null);
}

/** Found in the cache, or made. Throws one sentence. */
export async function findPrograms(say: Say, cache: string = cacheFolder()): Promise<Programs> {
  const bin = await installOnce({
    name: `cluster/bin-${await hashOf(GO_SOURCES)}`,
    say,
    cache,
    fill: (into) => build(into, say),
  });
  const debian = await installOnce({
    name: `cluster/debian-${createHash('sha256').update(`${RECIPE} ${PACKAGES.join()}`).digest('hex').slice(0, 12)}`,
    say,
    cache,
    fill: (into) => unpack(into, cache, say),
  });
  const root = join(debian, 'root');
  const libraries = (await librariesBelow(root)).map((folder) => join(root, folder));
  const { PATH = '' } = process.env;
  return {
    bin,
    root,
    pause: join(bin, 'pause'),
    env: {
      ...process.env,
      PATH: [bin, ...['usr/sbin', 'usr/bin', 'sbin', 'bin'].map((folder) => join(root, folder)), PATH].join(
        ':',
      ),
      LD_LIBRARY_PATH: libraries.join(':'),
      XTABLES_LIBDIR: libraries.map((folder) => join(folder, 'xtables')).find(existsSync),
    },
  };
}

async function hashOf(folder: string): Promise<string> {
  const hash = createHash('sha256').update(`${RECIPE} ${KUBERNETES.version} ${HELM.version}`);
  for (const name of (await readdir(folder, { recursive: true })).toSorted())
    if (/\.(go|mod|sum)$/.test(name)) hash.update(await readFile(join(folder, name)));
  return hash.digest('hex').slice(0, 12);
}

async function build(into: string, say: Say): Promise<void> {
  const program = go();
  const version =
    program === null ? null : /go(\d+\.\d+)/.exec((await run(program, ['version'])).stdout)?.[1];
  if (program === null || !version || compareVersions(version, OLDEST_GO) < 0)
    throw new Error(`needs Go ${OLDEST_GO} or later (${version ?? 'none'} here)`);
  say('building Kubernetes and helm from their Go modules: minutes, once');
  const since = Date.now();
  const component = 'k8s.io/component-base/version';
  const of = (...pairs: [string, string][]) =>
    ['-s', '-w', ...pairs.flatMap(([name, value]) => ['-X', `${name}=${value}`])].join(' ');
  // Charts may ask for a version of Kubernetes: without these, components say v0.0.0.
  const targets: [string, string, string][] = [
    [
      'k8s',
      '.',
      of(
        [`${component}.gitVersion`, KUBERNETES.version],
        [`${component}.gitMajor`, KUBERNETES.major],
        [`${component}.gitMinor`, KUBERNETES.minor],
        [`${component}.gitTreeState`, 'clean'],
      ),
    ],
    [
      'helm',
      `${HELM.module}/cmd/helm`,
      of(
        [`${HELM.module}/internal/version.version`, HELM.version],
        [`${HELM.module}/pkg/chartutil.k8sVersionMajor`, KUBERNETES.major],
        [`${HELM.module}/pkg/chartutil.k8sVersionMinor`, KUBERNETES.minor],
      ),
    ],
    ['pause', './pause', of()],
  ];
  for (const [name, target, flags] of targets) {
    const built = await run(
      program,
      ['build', '-trimpath', '-o', join(into, name), `-ldflags=${flags}`, target],
      {
        cwd: GO_SOURCES,
        env: { ...process.env, CGO_ENABLED: '0' },
        timeoutMs: BUILDS_WITHIN_MS,
      },
    );
    if (!built.ok) throw new Error(`${name} could not be built: ${built.why}`);
  }
  for (const name of COMPONENTS) await symlink('k8s', join(into, name));
  say(`Kubernetes ${KUBERNETES.version} and helm ${HELM.version} built (${seconds(since)})`);
}

const COMPONENTS = [
  'kubectl',
  'etcd',
  'coredns',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
];

async function unpack(into: string, cache: string, say: Say): Promise<void> {
  const since = Date.now();
  await inTempFolder(async (scratch) => {
    const debian = await openDebian(scratch);
    const unpacked = await debian.unpackWhole(debian.codename, PACKAGES);
    await rename(unpacked, join(into, 'root'));
  }, cache);
  const root = join(into, 'root');
  const sbin = join(root, 'usr/sbin');
  await mkdir(sbin, { recursive: true });
  // What installing them would link.
  for (const family of ['iptables', 'ip6tables'])
    for (const tool of ['', '-save', '-restore'])
      if (!existsSync(join(sbin, family + tool)))
        await symlink('xtables-nft-multi', join(sbin, family + tool));
  const busybox = [join(root, 'bin/busybox'), join(root, 'usr/bin/busybox')].find(existsSync);
  if (!busybox) throw new Error("Debian's busybox-static holds no busybox");
  await copyFile(busybox, join(into, 'busybox'));
  say(`containerd and what belongs to it from Debian (${seconds(since)})`);
}

/** A shell and small tools in one file, for images. */
export function busyboxOf({ root }: Programs): string {
  return join(root, '..', 'busybox');
}
