/* Images for the node, made of what is here: no registry is asked. */
import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  cp,
  link,
  mkdir,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
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
  /** From the lowest to the highest. */
  layers: readonly Layer[];
  /** `name:tag`. */
  image: string;
  command: string[];
  env?: string[];
}

/** A part of an image's file system: a tar archive, and its SHA-256. */
export interface Layer {
  file: string;
  id: string;
}

/** Of a folder, as everything root's. The same contents give the same layer. */
export async function layerOf(root: string, file: string): Promise<Layer> {
  await tar([
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mtime=@0',
    '--sort=name',
    '-C',
    root,
    '-cf',
    file,
    '.',
  ]);
  return { file, id: await sha256Of(file) };
}

/** An OCI image layout, as `ctr images import` reads it. `there`: ids of layers that the reader has, which are left out. */
export async function writeImage(
  { layers, image, command, env = [] }: ImageSpec,
  archive: string,
  there: ReadonlySet<string> = new Set(),
): Promise<void> {
  const work = `${archive}.${process.pid}.part`;
  const blobs = join(work, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const blob = async (mediaType: string, content: object): Promise<object> => {
    const text = JSON.stringify(content);
    const id = createHash('sha256').update(text).digest('hex');
    await writeFile(join(blobs, id), text);
    return { mediaType, digest: `sha256:${id}`, size: Buffer.byteLength(text) };
  };
  try {
    const config = await blob(`${OCI}.config.v1+json`, {
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config: {
        Cmd: command,
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...env],
      },
      rootfs: { type: 'layers', diff_ids: layers.map(({ id }) => `sha256:${id}`) },
    });
    const parts = [];
    for (const { id, file } of layers) {
      if (!there.has(id)) await link(file, join(blobs, id));
      parts.push({
        mediaType: `${OCI}.layer.v1.tar`,
        digest: `sha256:${id}`,
        size: (await stat(file)).size,
      });
    }
    const mediaType = `${OCI}.manifest.v1+json`;
    const manifest = await blob(mediaType, { schemaVersion: 2, mediaType, config, layers: parts });
    await writeFile(join(work, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    await writeFile(
      join(work, 'index.json'),
      JSON.stringify({
        schemaVersion: 2,
        manifests: [{ ...manifest, annotations: { 'io.containerd.image.name': image } }],
      }),
    );
    await tar(['-C', work, '-cf', `${archive}.tmp`, 'oci-layout', 'index.json', 'blobs']);
    await rename(`${archive}.tmp`, archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const OCI = 'application/vnd.oci.image';

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
    make: (root: string) => Promise<Omit<ImageSpec, 'layers'>>,
  ): Promise<void> => {
    const archive = join(folder, name);
    archives.push(archive);
    if (there.has(name)) return;
    await inTempFolder(async (scratch) => {
      const root = join(scratch, 'root');
      await mkdir(root);
      const spec = await make(root);
      await writeImage({ ...spec, layers: [await layerOf(root, join(scratch, 'layer.tar'))] }, archive);
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
