/** What could not be had is not tried again at once: the next start would wait for the same answer. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { reasonOf } from './cache.js';
import { aptIsHere } from './debian.js';
import { pipIsHere } from './pip.js';

const FORGET_AFTER_MS = 15 * 60_000;

/** What `work` gives, unless it failed lately: then throws why, as the end of a sentence. */
export async function unlessFailedLately<T>(
  { name, cache }: { name: string; cache: string },
  work: () => Promise<T>,
): Promise<T> {
  const failure = await recentFailure(name, cache);
  if (failure !== null) throw new Error(failure);
  try {
    const done = await work();
    await forgetFailure(name, cache);
    return done;
  } catch (error) {
    await rememberFailure(name, reasonOf(error), cache);
    throw error;
  }
}

/** Why it is not worth a try now, as the end of a sentence; null when it is. */
export async function recentFailure(name: string, cache: string): Promise<string | null> {
  const text = await readFile(fileOf(name, cache), 'utf8').catch(() => '');
  const [at = '0', tools = '', ...why] = text.split('\n');
  const age = Date.now() - Number(at);
  if (age > FORGET_AFTER_MS || tools !== toolsHere()) return null;
  return `left out, it failed ${Math.max(1, Math.round(age / 60_000))} min ago (${why.join(' ')})`;
}

export async function rememberFailure(name: string, why: string, cache: string): Promise<void> {
  await mkdir(dirname(fileOf(name, cache)), { recursive: true });
  await writeFile(fileOf(name, cache), `${Date.now()}\n${toolsHere()}\n${why}`);
}

export async function forgetFailure(name: string, cache: string): Promise<void> {
  await rm(fileOf(name, cache), { force: true });
}

const fileOf = (name: string, cache: string): string => join(cache, 'failed', name.replaceAll('/', '-'));

/** A failure counts only as long as the same tools are here. */
const toolsHere = (): string => `apt ${aptIsHere()}, pip ${pipIsHere()}`;
