/*
 * The image of a worker for the node, made of what is here as deploy/kubernetes.Dockerfile makes it elsewhere: Node.js with the libraries
 * that it needs, kubectl and helm, what the package depends on, and the package as it is built now. With the hokusai CLI, where it is asked for.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { cacheFolder, inTempFolder, installOnce, type Say } from '../../../src/setup/cache.js';
import { HOKUSAI } from '../../../src/setup/hokusai.js';
import { installCli } from '../../../src/setup/provider-cli.js';
import { run, seconds } from '../../../src/setup/run.js';
import { layerOf, writeImage, type Layer } from './images.js';
import { homeOfNode, nodeStands } from './processes.js';
import { busyboxOf, findPrograms, type Programs } from './programs.js';

export const WORKER_REPOSITORY = 'k8s.local/redis-ferry';
/** Raise it when what is in the lower layer changes. */
const RECIPE = 1;
const NODE_MODULES = 'node_modules';
const APP = 'app';

/** Whether the node of `kubeconfig` is ours, and takes an image from here. */
export async function takesImages(kubeconfig: string, cache: string = cacheFolder()): Promise<boolean> {
  return kubeconfig === join(homeOfNode(cache), 'admin.conf') && (await nodeStands(cache)).length > 0;
}

/** Gives the running node the worker as it is built in `dist`. Gives the image's tag. */
export async function giveWorker(
  dist: string,
  { hokusai = false, say, cache = cacheFolder() }: { hokusai?: boolean; say: Say; cache?: string },
): Promise<string> {
  const since = Date.now();
  const programs = await findPrograms(say, cache);
  const below = [await lowerLayer(programs, say, cache)];
  if (hokusai) below.push(await hokusaiLayer(say, cache));
  return inTempFolder(async (scratch) => {
    const root = join(scratch, 'root');
    await cp(dist, join(root, APP, 'dist'), {
      recursive: true,
      filter: (path) => !path.endsWith('.map') && path !== join(dist, 'demo'),
    });
    await copyFile('package.json', join(root, APP, 'package.json'));
    await chmod(join(root, APP, 'dist/cli/main.js'), 0o755);
    const package_ = await layerOf(root, join(scratch, 'package.tar'));
    const layers = [...below, package_];
    const tag = shortHash(layers.map(({ id }) => id).join(' '));
    const image = `${WORKER_REPOSITORY}:${tag}`;
    const ctr = async (...args: string[]): Promise<string[]> => {
      const socket = join(homeOfNode(cache), 'containerd.sock');
      const ran = await run('ctr', ['-a', socket, '-n', 'k8s.io', ...args], {
        env: programs.env,
        timeoutMs: 300_000,
      });
      if (!ran.ok) throw new Error(`ctr ${args.slice(0, 2).join(' ')}: ${ran.why}`);
      return ran.stdout.split('\n');
    };
    if ((await ctr('images', 'ls', '-q')).includes(image)) return tag;
    const there = new Set((await ctr('content', 'ls', '-q')).map((digest) => digest.replace('sha256:', '')));
    const archive = join(scratch, 'worker.tar');
    await writeImage({ layers, image, command: ['ferry', 'worker'] }, archive, there);
    await ctr('images', 'import', archive);
    say(`the worker's image is in the node (${seconds(since)})`);
    return tag;
  }, cache);
}

/** All but the package itself: it changes with the lock file, and is kept. */
async function lowerLayer(programs: Programs, say: Say, cache: string): Promise<Layer> {
  const lock = await readFile('package-lock.json', 'utf8');
  const of = shortHash(JSON.stringify([RECIPE, process.version, basename(programs.bin), lock]));
  return keptLayer({
    name: `cluster/worker-${of}`,
    title: "what the worker's image stands on",
    say,
    cache,
    fill: async (root) => {
      await tools(root, programs);
      await dependencies(root, lock);
    },
  });
}

/** The CLI, and this machine's Python where it has it. */
async function hokusaiLayer(say: Say, cache: string): Promise<Layer> {
  const { command } = await installCli(HOKUSAI, say, cache);
  const { python, library } = await pythonHere();
  const of = shortHash(JSON.stringify([RECIPE, python, HOKUSAI.name]));
  return keptLayer({
    name: `cluster/worker-hokusai-${of}`,
    title: "hokusai for the worker's image",
    say,
    cache,
    fill: async (root) => {
      const home = join(root, 'opt/hokusai');
      await cp(dirname(command[0]), home, { recursive: true });
      await cp(library, join(root, library), {
        recursive: true,
        filter: (from) => !['site-packages', 'dist-packages', 'test', '__pycache__'].includes(basename(from)),
      });
      const modules = (await readdir(join(library, 'lib-dynload'))).filter((name) => name.endsWith('.so'));
      await libraries(root, [python, ...modules.map((name) => join(library, 'lib-dynload', name))]);
      for (const path of [dirname(python), '/usr/bin']) await mkdir(join(root, path), { recursive: true });
      await copyFile(python, join(root, python));
      if (python !== '/usr/bin/python3') await symlink(python, join(root, 'usr/bin/python3'));
      await symlink('/opt/hokusai/hokusai', join(root, 'usr/bin/hokusai'));
      // A container has nowhere to keep what it has compiled, and a layer has no times. What doesn't compile is for other versions.
      await run(
        'python3',
        ['-m', 'compileall', '-q', '--invalidation-mode', 'unchecked-hash', '-s', root, '-p', '/'].concat([
          home,
          join(root, library),
        ]),
        { timeoutMs: 300_000 },
      );
    },
  });
}

/** The interpreter, and its own modules. */
async function pythonHere(): Promise<{ python: string; library: string }> {
  const asked = await run('python3', [
    '-c',
    'import json, os, sys, sysconfig; print(json.dumps([os.path.realpath(sys.executable), sysconfig.get_path("stdlib")]))',
  ]);
  if (!asked.ok) throw new Error(`python3: ${asked.why}`);
  const [python = '', library = ''] = JSON.parse(asked.stdout) as string[];
  return { python, library };
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

async function keptLayer(on: {
  name: string;
  title: string;
  say: Say;
  cache: string;
  fill: (root: string) => Promise<void>;
}): Promise<Layer> {
  const folder = await installOnce({
    name: on.name,
    say: on.say,
    cache: on.cache,
    fill: async (into) => {
      const since = Date.now();
      const root = join(into, 'root');
      await mkdir(root);
      await on.fill(root);
      const { id } = await layerOf(root, join(into, 'layer.tar'));
      await rm(root, { recursive: true });
      await writeFile(join(into, 'id'), id);
      on.say(`${on.title} (${seconds(since)})`);
    },
  });
  return { file: join(folder, 'layer.tar'), id: await readFile(join(folder, 'id'), 'utf8') };
}

async function tools(root: string, programs: Programs): Promise<void> {
  for (const path of ['bin', 'usr/bin', 'etc/ssl/certs', 'tmp', 'proc', 'sys', 'dev', 'home/node', APP])
    await mkdir(join(root, path), { recursive: true });
  await chmod(join(root, 'tmp'), 0o1777);
  const busybox = busyboxOf(programs);
  await copyFile(busybox, join(root, 'bin/busybox'));
  await chmod(join(root, 'bin/busybox'), 0o755);
  for (const name of (await run(busybox, ['--list'])).stdout.split('\n').filter(Boolean))
    if (name !== 'busybox') await symlink('busybox', join(root, 'bin', name));
  await symlink('/bin/busybox', join(root, 'usr/bin/env'));
  await copyFile(process.execPath, join(root, 'usr/bin/node'));
  for (const name of ['kubectl', 'helm'])
    await copyFile(join(programs.bin, name), join(root, 'usr/bin', name));
  await symlink(`/${APP}/dist/cli/main.js`, join(root, 'usr/bin/ferry'));
  await libraries(root, [process.execPath, nativeLibrary()]);
  const certificates = '/etc/ssl/certs/ca-certificates.crt';
  if (existsSync(certificates)) await copyFile(certificates, join(root, certificates));
  await writeFile(
    join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000:node:/home/node:/bin/sh\n',
  );
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nnode:x:1000:\n');
  await writeFile(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
}

async function libraries(root: string, of: readonly string[]): Promise<void> {
  const needed = await Promise.all(of.map(librariesOf));
  for (const library of new Set(needed.flat())) {
    await mkdir(join(root, dirname(library)), { recursive: true });
    await copyFile(library, join(root, library));
  }
}

/** Of Temporal, for this machine; npm brings those of all. */
function nativeLibrary(): string {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  return resolve(NODE_MODULES, `@temporalio/core-bridge/releases/${machine}-unknown-linux-gnu/index.node`);
}

/** What a program is linked to, by their whole paths; the C library finds names by a part of its own. */
async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await run('ldd', [program]);
  const linked = [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path = '']) => path);
  const libc = linked.find((path) => path.endsWith('/libc.so.6'));
  const names = libc === undefined ? [] : ['libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2'];
  return [...linked, ...names.map((name) => join(dirname(libc ?? ''), name)).filter(existsSync)];
}

/** As `npm ci --omit=dev` would leave them. */
async function dependencies(root: string, lock: string): Promise<void> {
  const { packages } = JSON.parse(lock) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  const kept = Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional && existsSync(path))
    .map(([path]) => path);
  const native = dirname(nativeLibrary());
  for (const path of kept)
    await cp(resolve(path), join(root, APP, path), {
      recursive: true,
      dereference: true,
      // Those below it come by themselves, where they are kept; and of the native libraries this machine's.
      filter: (from) =>
        !from.startsWith(join(resolve(path), NODE_MODULES)) &&
        (dirname(from) !== dirname(native) || from === native) &&
        !from.endsWith('.map'),
    });
  if (!(await readdir(join(root, APP, NODE_MODULES))).includes('@temporalio'))
    throw new Error('there are no dependencies here: npm ci');
}
