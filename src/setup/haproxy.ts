/* HAProxy for the tests of the switchover: the one that is here, or Debian's, unpacked into the cache. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, inTempFolder, installOnce, reasonOf, type Say } from './cache.js';
import { aptIsHere, openDebian } from './debian.js';
import { unlessFailedLately } from './failures.js';
import { run, seconds, which } from './run.js';
import { freePort, listens } from './servers.js';
import { librariesBelow, libraryPath, writeStarter } from './starter.js';

export type FoundHaproxy = { path: string; version: string; from: string };

/** Raise the number when the outcome changes. */
const NAME = 'haproxy/debian-1';

/** PATH, the cache, Debian's package, in this order. Where there is none, says so in one sentence and gives null. */
export async function findHaproxy(say: Say, cache: string = cacheFolder()): Promise<FoundHaproxy | null> {
  for (const path of [which('haproxy'), '/usr/sbin/haproxy']) {
    const version = path === null ? null : await versionOf(path);
    if (path !== null && version !== null) return { path, version, from: 'PATH' };
  }
  const cached = join(cache, NAME, 'haproxy');
  const version = existsSync(cached) ? await versionOf(cached) : null;
  if (version !== null) return { path: cached, version, from: 'Debian (cache)' };

  const since = Date.now();
  try {
    return await unlessFailedLately({ name: NAME, cache }, async () => {
      const folder = await installOnce({ name: NAME, say, cache, fill: (into) => fromDebian(into, cache) });
      const path = join(folder, 'haproxy');
      const fetched = await versionOf(path);
      if (fetched === null) throw new Error('it does not run here');
      say(`HAProxy ${fetched} from Debian (${seconds(since)})`);
      return { path, version: fetched, from: 'Debian' };
    });
  } catch (error) {
    say(
      `No HAProxy: ${reasonOf(error)}. Install it (Debian: \`apt-get install haproxy\`), or its tests are left out.`,
    );
    return null;
  }
}

async function versionOf(path: string): Promise<string | null> {
  const asked = await run(path, ['-v'], { timeoutMs: 15_000 });
  return asked.ok ? (/version (\S+)/.exec(asked.stdout)?.[1] ?? null) : null;
}

async function fromDebian(folder: string, cache: string): Promise<void> {
  if (!aptIsHere()) throw new Error('needs apt-get and dpkg-deb, which this machine lacks');
  await inTempFolder(async (scratch) => {
    const debian = await openDebian(scratch);
    await rename(await debian.unpackWhole(debian.codename, ['haproxy']), join(folder, 'root'));
  }, cache);
  await writeStarter(join(folder, 'haproxy'), [
    libraryPath(await librariesBelow(join(folder, 'root'))),
    'exec "$here/root/usr/sbin/haproxy" "$@"',
  ]);
  if ((await versionOf(join(folder, 'haproxy'))) === null) throw new Error('it does not run here');
}

export interface Haproxy {
  /** Where applications connect. */
  port: number;
  /** Its runtime API. */
  socket: string;
  stop(): Promise<void>;
}

/** A HAProxy in front of two servers, of which the first serves. */
export async function startHaproxy(on: { binary: string; source: number; target: number }): Promise<Haproxy> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-haproxy-'));
  const [port, socket] = [await freePort(), join(folder, 'admin.sock')];
  await writeFile(
    join(folder, 'haproxy.cfg'),
    `global
  stats socket ${socket} level admin mode 600
  maxconn 2000
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend redis
  bind 127.0.0.1:${port}
  default_backend redis
backend redis
  server source 127.0.0.1:${on.source}
  server target 127.0.0.1:${on.target} disabled
`,
  );
  const child = spawn(on.binary, ['-db', '-f', join(folder, 'haproxy.cfg')], {
    stdio: 'ignore',
  });
  for (let i = 0; i < 100 && !(await listens(port)); i += 1) {
    if (child.exitCode !== null) throw new Error('HAProxy ended at once');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    port,
    socket,
    async stop() {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
