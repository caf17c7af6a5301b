import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { birthOf, isAlive, pause } from './run.js';

export type Say = (line: string) => void;

/** Where fetched servers are kept: outside the checkout, so that a fresh clone finds them again. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env['FERRY_CACHE']) return env['FERRY_CACHE'];
  if (env['XDG_CACHE_HOME']) return join(env['XDG_CACHE_HOME'], 'redis-ferry');
  return join(env['HOME'] || homedir(), '.cache', 'redis-ferry');
}

/**
 * Runs `fill` in an empty folder and moves the result to `cache/<name>` in one rename: whoever is killed
 * in the middle leaves nothing half. Gives the folder, filled now or before. `fill` also learns the final
 * place, for files that must name it.
 */
export async function installOnce(options: {
  name: string;
  fill: (folder: string, final: string) => Promise<void>;
  say?: Say;
  cache?: string;
}): Promise<string> {
  const { name, fill, say = () => {}, cache = cacheFolder() } = options;
  const final = join(cache, name);
  if (existsSync(final)) return final;
  return withLock({ name, say, cache }, async () => {
    if (existsSync(final)) return final;
    return inTempFolder(async (folder) => {
      await fill(folder, final);
      await mkdir(dirname(final), { recursive: true });
      try {
        await rename(folder, final);
      } catch (error) {
        // Somebody else was first, with the same contents.
        if (!existsSync(final)) throw error;
      }
      return final;
    }, cache);
  });
}

/** A folder of the cache that is removed afterwards; one left by a killed process is removed by the next. */
export async function inTempFolder<T>(
  work: (folder: string) => Promise<T>,
  cache: string = cacheFolder(),
): Promise<T> {
  const parent = join(cache, 'tmp');
  await mkdir(parent, { recursive: true });
  for (const left of await readdir(parent)) {
    if (isAlive(Number(left.split('-')[0]))) continue;
    // A pip that it started may still be writing there: the next one sweeps up then.
    await rm(join(parent, left), { recursive: true, force: true }).catch(() => undefined);
  }
  const folder = join(parent, `${process.pid}-${randomBytes(4).toString('hex')}`);
  await mkdir(folder);
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * One process at a time. The lock is a folder with its owner's number in it; it is void when that process is gone.
 * It saves double work only: should two ever hold it, `installOnce` still ends well, by its rename.
 */
export async function withLock<T>(
  options: { name: string; say?: Say; cache?: string },
  work: () => Promise<T>,
): Promise<T> {
  const { name, say = () => {}, cache = cacheFolder() } = options;
  const lock = join(cache, 'locks', name.replaceAll('/', '-'));
  await mkdir(dirname(lock), { recursive: true });
  let told = false;
  while (!(await take(lock))) {
    const owner = await ownerOf(lock);
    if (owner === null) {
      const stale = `${lock}.stale-${process.pid}-${randomBytes(4).toString('hex')}`;
      // Only one of several waiters can rename it.
      await rename(lock, stale).then(
        () => rm(stale, { recursive: true, force: true }),
        () => undefined,
      );
      continue;
    }
    // One that has just begun is named once it has signed.
    if (!told && owner !== 'starting') {
      say(`waiting for another set-up (process ${owner})`);
      told = true;
    }
    await pause(100);
  }
  try {
    return await work();
  } finally {
    await rm(lock, { recursive: true, force: true });
  }
}

async function take(lock: string): Promise<boolean> {
  try {
    await mkdir(lock);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  await writeFile(join(lock, 'owner'), `${process.pid} ${await birthOf(process.pid)}`);
  return true;
}

/** The living owner; 'starting' while it has not signed yet; null when the lock is void. */
async function ownerOf(lock: string): Promise<number | 'starting' | null> {
  const text = await readFile(join(lock, 'owner'), 'utf8').catch(() => '');
  const [pid = '', ...birth] = text.split(' ');
  if (pid === '') {
    const made = await stat(lock).catch(() => null);
    return made && Date.now() - made.mtimeMs < 5_000 ? 'starting' : null;
  }
  const alive = isAlive(Number(pid)) && (await birthOf(Number(pid))) === birth.join(' ');
  return alive ? Number(pid) : null;
}

export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** Throws when a file is not the one that was pinned; without a pin it only has to be there. */
export async function checkSha256(file: string, sha256: string | undefined): Promise<void> {
  if (sha256 === undefined) return;
  const is = await sha256Of(file);
  if (is !== sha256)
    throw new Error(
      `${basename(file)} is not the file expected (SHA-256 ${is.slice(0, 12)}…, not ${sha256.slice(0, 12)}…)`,
    );
}

/** Downloads to a neighbour of `to` and renames it when its SHA-256 is right. `answerMs` bounds the wait for the first byte. */
export async function download(options: {
  url: string;
  to: string;
  sha256?: string;
  answerMs?: number;
  totalMs?: number;
}): Promise<void> {
  const { url, to, sha256, answerMs = 5_000, totalMs = 180_000 } = options;
  const stop = new AbortController();
  const total = setTimeout(() => stop.abort(new Error(`not complete after ${totalMs / 1000} s`)), totalMs);
  const first = setTimeout(() => stop.abort(new Error(`no answer after ${answerMs / 1000} s`)), answerMs);
  const part = `${to}.${process.pid}.part`;
  try {
    const reply = await fetch(url, { signal: stop.signal });
    clearTimeout(first);
    if (!reply.ok || !reply.body) throw new Error(`answered ${reply.status}`);
    await pipeline(Readable.fromWeb(reply.body), createWriteStream(part), { signal: stop.signal });
    await checkSha256(part, sha256);
    await rename(part, to);
  } catch (error) {
    throw new Error(plainReason(error), { cause: error });
  } finally {
    clearTimeout(first);
    clearTimeout(total);
    await rm(part, { force: true });
  }
}

/** `fetch failed` says nothing; its cause does. */
function plainReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause as NodeJS.ErrnoException | undefined;
  if (cause?.code === 'ENOTFOUND' || cause?.code === 'EAI_AGAIN') return 'its name can not be resolved here';
  return cause?.code ?? cause?.message ?? error.message;
}

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
