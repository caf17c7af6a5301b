/*
 * Who uses the node. It is brought up by the first and taken down with the last: a run of tests that ends must not take it from another
 * one. `npm run cluster -- up` keeps it up until `down`.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, withLock, type Say } from '../../../src/setup/cache.js';
import { birthOf, isAlive } from '../../../src/setup/run.js';
import { stopNode } from './down.js';
import { startNode, type RunningNode } from './node.js';

const usersIn = (cache: string): string => join(cache, 'cluster', 'users');
const KEPT = 'kept';

const alone = <T>(cache: string, say: Say, work: () => Promise<T>): Promise<T> =>
  withLock({ name: 'cluster/node', cache, say }, work);

/** Brings it up where it is down, for as long as this process uses it. */
export async function useNode(
  say: Say,
  cache: string = cacheFolder(),
): Promise<RunningNode & { leave: () => Promise<void> }> {
  const mine = join(usersIn(cache), String(process.pid));
  const leave = () =>
    alone(cache, say, async () => {
      await rm(mine, { force: true });
      if ((await othersOf(cache)).length === 0) await stopNode(say, cache);
    });
  try {
    const node = await alone(cache, say, async () => {
      await mkdir(usersIn(cache), { recursive: true });
      await writeFile(mine, (await birthOf(process.pid)) ?? '');
      return startNode(say, cache);
    });
    return { ...node, leave };
  } catch (error) {
    await leave();
    throw error;
  }
}

/** Brings it up, and keeps it so. */
export function keepNode(say: Say, cache: string = cacheFolder()): Promise<RunningNode> {
  return alone(cache, say, async () => {
    const node = await startNode(say, cache).catch(async (error: unknown) => {
      if ((await othersOf(cache)).length === 0) await stopNode(say, cache);
      throw error;
    });
    await mkdir(usersIn(cache), { recursive: true });
    await writeFile(join(usersIn(cache), KEPT), '');
    return node;
  });
}

/** Takes it down. Throws when a run of tests uses it. */
export function dropNode(say: Say, cache: string = cacheFolder()): Promise<void> {
  return alone(cache, say, async () => {
    await rm(join(usersIn(cache), KEPT), { force: true });
    const others = await othersOf(cache);
    if (others.length > 0)
      throw new Error(
        `Tests use it (process ${others.join(', ')}): it goes down when they end. To end it now, end them first.`,
      );
    await stopNode(say, cache);
  });
}

/** Whoever lives and uses it, by number, and `kept`. */
async function othersOf(cache: string): Promise<string[]> {
  const living: string[] = [];
  for (const name of await readdir(usersIn(cache)).catch(() => [])) {
    const birth = await readFile(join(usersIn(cache), name), 'utf8').catch(() => '');
    if (name === KEPT || (isAlive(Number(name)) && (await birthOf(Number(name))) === birth))
      living.push(name);
    else await rm(join(usersIn(cache), name), { force: true });
  }
  return living;
}
