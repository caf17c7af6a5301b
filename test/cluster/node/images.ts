/* Images for the node, made of what is here: no registry is asked. */
import { createHash } from 'node:crypto';
import { chmod, copyFile, cp, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheFolder, inTempFolder, sha256Of, type Say } from '../../../src/setup/cache.js';
import { findPortableRedis, type FoundRedis } from '../../../src/setup/redis.js';
import { run } from '../../../src/setup/run.js';
import { busyboxOf, type Programs } from './programs.js';

export const PAUSE_IMAGE = 'k8s.local/pause:1';
/** Raise it when what is in the images changes. */
const RECIPE = 1;
/** From which version to which releases are upgraded. */
const REDIS = ['r60', 'r70', 'r80'];

export interface ImageSpec {
  /** Of the whole file system. */
  root: string;
  /** `name:tag`. */
  image: string;
  command: string[];
  env?: string[];
}

/** One layer, as `docker save` writes it and `ctr images import` reads it. */
export async function writeImage(
  { root, image, command, env = [] }: ImageSpec,
  archive: string,
): Promise<void> {
  const work = `${archive}.${process.pid}.part`;
  await mkdir(work, { recursive: true });
  try {
    const layer = join(work, 'layer.tar');
    await tar(['--owner=0', '--group=0', '--numeric-owner', '-C', root, '-cf', layer, '.']);
    const id = await sha256Of(layer);
    const config = JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config: {
        Cmd: command,
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...env],
      },
      rootfs: { type: 'layers', diff_ids: [`sha256:${id}`] },
    });
    const named = `${createHash('sha256').update(config).digest('hex')}.json`;
    await mkdir(join(work, id));
    await rename(layer, join(work, id, 'layer.tar'));
    await writeFile(join(work, named), config);
    await writeFile(
      join(work, 'manifest.json'),
      JSON.stringify([{ Config: named, RepoTags: [image], Layers: [`${id}/layer.tar`] }]),
    );
    await tar(['-C', work, '-cf', `${archive}.tmp`, named, 'manifest.json', id]);
    await rename(`${archive}.tmp`, archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function tar(args: string[]): Promise<void> {
  const made = await run('tar', args, { timeoutMs: 300_000 });
  if (!made.ok) throw new Error(`tar: ${made.why}`);
}

/** The archives of all images, found or made. A version of Redis that can't be had here is left out. */
export async function findImages(
  programs: Programs,
  say: Say,
  cache: string = cacheFolder(),
): Promise<string[]> {
  const folder = join(cache, 'cluster', `images-${RECIPE}`);
  await mkdir(folder, { recursive: true });
  const there = new Set(await readdir(folder));
  const archives: string[] = [];
  const image = async (
    name: string,
    make: (root: string) => Promise<Omit<ImageSpec, 'root'>>,
  ): Promise<void> => {
    const archive = join(folder, name);
    archives.push(archive);
    if (there.has(name)) return;
    await inTempFolder(async (scratch) => {
      const root = join(scratch, 'root');
      await mkdir(root);
      await writeImage({ root, ...(await make(root)) }, archive);
    }, cache);
  };
  await image('pause.tar', async (root) => {
    await copyFile(programs.pause, join(root, 'pause'));
    return { image: PAUSE_IMAGE, command: ['/pause'] };
  });
  for (const redis of await findPortableRedis(REDIS, say, cache))
    await image(`redis-${redis.version}.tar`, async (root) => {
      await redisRoot(root, redis, busyboxOf(programs));
      return { image: `k8s.local/redis:${redis.version}`, command: ['redis-server'] };
    });
  return archives;
}

/** Redis with the libraries that it came with, a shell and small tools. */
async function redisRoot(root: string, { server }: FoundRedis, busybox: string): Promise<void> {
  for (const folder of ['bin', 'usr/bin', 'etc', 'tmp', 'data', 'proc', 'sys', 'dev', 'root', 'opt'])
    await mkdir(join(root, folder), { recursive: true });
  await chmod(join(root, 'tmp'), 0o1777);
  await copyFile(busybox, join(root, 'bin/busybox'));
  await chmod(join(root, 'bin/busybox'), 0o755);
  for (const name of (await run(busybox, ['--list'])).stdout.split('\n').filter(Boolean))
    if (name !== 'busybox') await symlink('busybox', join(root, 'bin', name));
  const home = dirname(dirname(server));
  await cp(home, join(root, 'opt/redis'), { recursive: true, verbatimSymlinks: true });
  const loader = (await readdir(join(home, 'lib')).catch(() => [])).find((name) => /^ld-.*\.so/.test(name));
  // One program under several names.
  for (const name of ['redis-check-rdb', 'redis-check-aof'])
    await symlink('redis-server', join(root, 'opt/redis/bin', name));
  for (const name of ['redis-server', 'redis-cli', 'redis-check-rdb', 'redis-check-aof']) {
    const program = `/opt/redis/bin/${name}`;
    const starter = join(root, 'usr/bin', name);
    await writeFile(
      starter,
      `#!/bin/sh\nexec ${loader === undefined ? '' : `/opt/redis/lib/${loader} `}${program} "$@"\n`,
    );
    await chmod(starter, 0o755);
  }
  await writeFile(
    join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nredis:x:999:999:redis:/data:/bin/sh\n',
  );
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nredis:x:999:\n');
}
