/* A server that speaks S3, for the tests of buckets: Moto's, of PyPI. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, installOnce, reasonOf, type Say } from './cache.js';
import { unlessFailedLately } from './failures.js';
import { run, seconds, which } from './run.js';
import { freePort, listens } from './servers.js';
import { writeStarter } from './starter.js';

export type FoundS3 = { path: string; version: string; from: string };

const VERSION = '5.2.5';
/** Raise the number when the outcome changes. */
const NAME = `moto/${VERSION}-pypi-1`;

/** The cache, then PyPI. Where there is none, says so in one sentence and gives null. */
export async function findS3(say: Say, cache: string = cacheFolder()): Promise<FoundS3 | null> {
  const path = join(cache, NAME, 'moto_server');
  if (existsSync(path)) return { path, version: VERSION, from: 'PyPI (cache)' };
  const since = Date.now();
  try {
    return await unlessFailedLately({ name: NAME, cache }, async () => {
      await installOnce({ name: NAME, say, cache, fill: fromPypi });
      say(`Moto ${VERSION} from PyPI (${seconds(since)})`);
      return { path, version: VERSION, from: 'PyPI' };
    });
  } catch (error) {
    say(`No server that speaks S3: ${reasonOf(error)}. Tests that need it are left out.`);
    return null;
  }
}

async function fromPypi(folder: string): Promise<void> {
  if (which('python3') === null) throw new Error('there is no python3 to install it with');
  const spec = `moto[s3,server]==${VERSION}`;
  const pip = await run(
    'python3',
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input']
      .concat(['--retries', '1', '--timeout', '15', '--prefer-binary', '--no-compile'])
      .concat(['--target', join(folder, 'site'), spec]),
    { timeoutMs: 600_000 },
  );
  if (!pip.ok) throw new Error(`pip could not install ${spec}: ${pip.why}`);
  await writeStarter(join(folder, 'moto_server'), [
    'export PYTHONPATH="$here/site"',
    `exec python3 -c 'from moto.server import main; main()' "$@"`,
  ]);
}

export interface S3 {
  /** `http://127.0.0.1:…` */
  endpoint: string;
  stop(): Promise<void>;
}

/** A server without buckets. */
export async function startS3({ found }: { found: FoundS3 }): Promise<S3> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'ferry-s3-'));
  const child = spawn(found.path, ['-H', '127.0.0.1', '-p', String(port)], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-2_000)));
  for (let at = 0; !(await listens(port)); at += 1) {
    if (child.exitCode !== null || at > 600) throw new Error(`the server for S3 does not begin: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}
