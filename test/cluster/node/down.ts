/*
 * Ends the node and takes away what it left on the machine, also where all or part of it was killed before: containers are known by
 * containerd's own folders, not by asking it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile, readlink, realpath, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cacheFolder, type Say } from '../../../src/setup/cache.js';
import { pause, run, seconds } from '../../../src/setup/run.js';
import { findPrograms } from './programs.js';
import { end, endProcess, folderOf, homeOfNode } from './processes.js';

/**
 * What of the machine's own settings is changed, while a node is up: packets go on between links, and a new link gets no IPv6 address by
 * itself. A browser gives up whatever it loads when an address of the machine comes or goes, and each pod has a link.
 */
export const MACHINE = [
  ['/proc/sys/net/ipv4/ip_forward', '1'],
  ['/proc/sys/net/ipv6/conf/default/addr_gen_mode', '1'],
] as const;
/** Of the controller manager's own provisioner. Fixed in its source. */
const VOLUMES = '/tmp/hostpath_pv';
/** Of the controllers (cgroup v1), or of all (v2). */
const CGROUPS = '/sys/fs/cgroup';

/** Harmless where nothing runs. */
export async function stopNode(say: Say, cache: string = cacheFolder()): Promise<void> {
  const home = homeOfNode(cache);
  if ((await readdir(home).catch(() => [])).length === 0) return;
  const since = Date.now();
  const env = await environmentOf(home, say, cache);
  // First whoever would start containers anew.
  for (const name of [
    'kubelet',
    'coredns',
    'kube-proxy',
    'kube-scheduler',
    'kube-controller-manager',
    'kube-apiserver',
    'etcd',
  ])
    await end(home, name, 'SIGKILL');
  await end(home, 'containerd', 'SIGTERM');
  await endContainers(home);
  await run('kube-proxy', ['--cleanup'], { env });
  // It leaves this one.
  for (const table of ['iptables', 'ip6tables']) {
    for (const chain of ['INPUT', 'OUTPUT']) await run(table, ['-D', chain, '-j', 'KUBE-FIREWALL'], { env });
    for (const flag of ['-F', '-X']) await run(table, [flag, 'KUBE-FIREWALL'], { env });
  }
  for (const mounted of mountsBelow(await realpath(home))) await run('umount', ['-l', mounted]);
  for (const link of ['cni0', 'k8s0']) await run('ip', ['link', 'del', link], { env });
  await giveBack(home, env);
  for (const volume of await readdir(VOLUMES).catch(() => []))
    await rm(join(VOLUMES, volume), { recursive: true, force: true });
  await rmdir(VOLUMES).catch(() => undefined);
  await rm(home, { recursive: true, force: true });
  say(`Kubernetes is down (${seconds(since)})`);
}

/** The programs that it was started with: those of today's sources may have to be built first. */
async function environmentOf(home: string, say: Say, cache: string): Promise<NodeJS.ProcessEnv> {
  const path = await readFile(join(home, 'path'), 'utf8').catch(() => null);
  if (path === null) return (await findPrograms(say, cache)).env;
  const [PATH = '', LD_LIBRARY_PATH = '', XTABLES_LIBDIR = ''] = path.split('\n');
  return { ...process.env, PATH, LD_LIBRARY_PATH, XTABLES_LIBDIR };
}

export async function rememberEnvironment(home: string, env: NodeJS.ProcessEnv): Promise<void> {
  const words = ['PATH', 'LD_LIBRARY_PATH', 'XTABLES_LIBDIR'].map((name) => env[name] ?? '');
  await writeFile(join(home, 'path'), words.join('\n'));
}

// ── Containers ───────────────────────────────────────────────────────────────────────────────────

async function endContainers(home: string): Promise<void> {
  const tasks = join(home, 'containerd/state/io.containerd.runtime.v2.task/k8s.io');
  const ids = await readdir(tasks).catch(() => []);
  const sockets = await Promise.all(
    ids.map((id) => readFile(join(tasks, id, 'address'), 'utf8').catch(() => '')),
  );
  // Each shim works in the folder of its container.
  const below = `${await realpath(home)}/containerd/`;
  for (const pid of (await readdir('/proc')).map(Number).filter(Boolean))
    if ((await folderOf(pid)).startsWith(below)) await endProcess(pid, 'SIGKILL');
  const ours = new Set(ids);
  for (const group of (await groups()).filter((path) => ours.has(basename(path))))
    for (const pid of await membersOf(group)) await endProcess(pid, 'SIGKILL');
  for (const group of await groups()) await removeGroup(group);
  for (const socket of sockets)
    if (socket.startsWith('unix:///run/containerd/s/'))
      await rm(socket.slice('unix://'.length), { force: true });
  for (const id of ids) await rm(join('/run/containerd/runc/k8s.io', id), { recursive: true, force: true });
  await forgetNetworks(ours);
  await forgetLogs(home);
}

/** All control groups of pods, the deepest first. There are none of anybody else: `startNode` sees to that. */
async function groups(): Promise<string[]> {
  const roots = ['', ...(await readdir(CGROUPS))].map((name) => join(CGROUPS, name, 'kubepods'));
  const all: string[] = [];
  for (const root of roots.filter(existsSync)) {
    const inside = await readdir(root, { recursive: true, withFileTypes: true });
    all.push(
      root,
      ...inside.filter((each) => each.isDirectory()).map(({ parentPath, name }) => join(parentPath, name)),
    );
  }
  return all.toSorted().toReversed();
}

async function membersOf(group: string): Promise<number[]> {
  const text = await readFile(join(group, 'cgroup.procs'), 'utf8').catch(() => '');
  return text.split('\n').map(Number).filter(Boolean);
}

/** A killed process stays a member for a moment. */
async function removeGroup(path: string): Promise<void> {
  for (let n = 0; n < 20; n += 1) {
    if (!existsSync(path)) return;
    await rmdir(path).catch(() => pause(50));
  }
}

/** What the network plugins noted of each pod; the namespace stands in it. */
async function forgetNetworks(ids: ReadonlySet<string>): Promise<void> {
  const results = '/var/lib/cni/results';
  for (const name of await readdir(results).catch(() => [])) {
    if (!name.split('-').some((word) => ids.has(word))) continue;
    const note = await readFile(join(results, name), 'utf8').catch(() => '');
    const namespace = /"netns":"([^"]+\/cni-[0-9a-f-]+)"/.exec(note)?.[1];
    if (namespace !== undefined) {
      await run('umount', ['-l', namespace]);
      await rm(namespace, { force: true });
    }
    await rm(join(results, name), { force: true });
  }
}

/** Links to the logs of containers, which the kubelet makes outside of its own folder. */
async function forgetLogs(home: string): Promise<void> {
  const folder = '/var/log/containers';
  for (const name of await readdir(folder).catch(() => [])) {
    const target = await readlink(join(folder, name)).catch(() => '');
    if (target.startsWith(`${home}/`)) await rm(join(folder, name), { force: true });
  }
}

// ── The machine ──────────────────────────────────────────────────────────────────────────────────

/** Notes, before it is changed, what of the machine's own settings will be changed. */
export async function rememberMachine(home: string, env: NodeJS.ProcessEnv): Promise<void> {
  if (existsSync(join(home, 'machine'))) return;
  const chains = await run('iptables', ['-S', 'FORWARD'], { env });
  const policy = /^-P FORWARD (\w+)/m.exec(chains.stdout)?.[1] ?? 'ACCEPT';
  const values = await Promise.all(MACHINE.map(([file, value]) => readFile(file, 'utf8').catch(() => value)));
  await writeFile(join(home, 'machine'), [policy, ...values.map((value) => value.trim())].join(' '));
}

async function giveBack(home: string, env: NodeJS.ProcessEnv): Promise<void> {
  const noted = await readFile(join(home, 'machine'), 'utf8').catch(() => '');
  const [policy, ...values] = noted.split(' ');
  if (policy === 'DROP') await run('iptables', ['-P', 'FORWARD', policy], { env });
  for (const [index, [file]] of MACHINE.entries()) {
    const value = values[index];
    if (value !== undefined && value !== '') await writeFile(file, value).catch(() => undefined);
  }
}

/** The deepest first. */
function mountsBelow(folder: string): string[] {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
    .toSorted()
    .toReversed();
}

/** Why this machine has no place for a node now: somebody else's stands there. Null: it has. */
export async function whoIsThere(home: string, env: NodeJS.ProcessEnv): Promise<string | null> {
  const link = (name: string) => run('ip', ['-o', 'link', 'show', name], { env });
  const node = await link('k8s0');
  const alias = /\balias (\S+)/.exec(node.stdout)?.[1];
  if (node.ok && alias !== home)
    return `another Kubernetes of these tests is up${alias ? `, in ${alias}` : ''}: take it down first, with its FERRY_CACHE`;
  if (!node.ok && (await link('cni0')).ok) return 'there is a link cni0 of somebody else';
  for (const group of await groups())
    if ((await membersOf(group)).length > 0) return `pods of somebody else run here (${group})`;
  return null;
}
