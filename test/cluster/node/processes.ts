/* The programs of the node: each runs in the node's folder, and its number stands there. By both it is known again. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile, readlink, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../../../src/setup/cache.js';
import { isAlive, pause, run } from '../../../src/setup/run.js';

export const homeOfNode = (cache: string = cacheFolder()): string => join(cache, 'cluster', 'node');

/** Starts a program where it doesn't run already. It outlives whoever started it. */
export async function start(options: {
  home: string;
  name: string;
  command: readonly string[];
  env: NodeJS.ProcessEnv;
}): Promise<void> {
  const { home, name, env } = options;
  const [program = '', ...args] = options.command;
  if ((await numberOf(home, name)) !== null) return;
  const log = openSync(join(home, 'log', `${name}.log`), 'a');
  const child = spawn(program, args, { cwd: home, env, detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  await new Promise<void>((done, fail) => {
    child.once('spawn', done);
    child.once('error', (error) => fail(new Error(`${name} does not start: ${error.message}`)));
  });
  child.unref();
  await writeFile(join(home, 'pid', name), String(child.pid));
}

/** Its number while it runs; null too where the number has become another's. */
export async function numberOf(home: string, name: string): Promise<number | null> {
  const pid = Number(await readFile(join(home, 'pid', name), 'utf8').catch(() => ''));
  if (!pid || !isAlive(pid)) return null;
  return (await folderOf(pid)) === (await realpath(home)) ? pid : null;
}

/** Where a process works; empty when it is gone. */
export const folderOf = (pid: number): Promise<string> => readlink(`/proc/${pid}/cwd`).catch(() => '');

export async function end(home: string, name: string, signal: NodeJS.Signals): Promise<void> {
  const pid = await numberOf(home, name);
  if (pid !== null) await endProcess(pid, signal);
  await rm(join(home, 'pid', name), { force: true });
}

/** Ends a program and starts it again as it was. @throws Error where it doesn't run */
export async function restart(home: string, name: string): Promise<void> {
  const pid = await numberOf(home, name);
  if (pid === null) throw new Error(`${name} does not run`);
  const words = async (file: string) =>
    (await readFile(`/proc/${pid}/${file}`, 'utf8')).split('\0').slice(0, -1);
  const [command, settings] = [await words('cmdline'), await words('environ')];
  const env = Object.fromEntries(
    settings.map((each) => each.split(/=(.*)/s).slice(0, 2) as [string, string]),
  );
  await end(home, name, 'SIGTERM');
  await start({ home, name, command, env });
}

/** Returns when it is gone; it is killed when it is still there after 5 s. */
export async function endProcess(pid: number, signal: NodeJS.Signals): Promise<void> {
  signalTo(pid, signal);
  for (let n = 0; n < 100 && isAlive(pid); n += 1) {
    if (n === 50) signalTo(pid, 'SIGKILL');
    await pause(100);
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}

/** Waits until a command succeeds. Throws the last words of the program that it waits for, at once when that has ended. */
export async function until(options: {
  home: string;
  name: string;
  withinSeconds: number;
  command: readonly string[];
  env: NodeJS.ProcessEnv;
}): Promise<void> {
  const { home, name, withinSeconds, env } = options;
  const [program = '', ...args] = options.command;
  for (const limit = Date.now() + withinSeconds * 1_000; ; await pause(300)) {
    if ((await run(program, args, { env, timeoutMs: 20_000 })).ok) return;
    const ended = (await numberOf(home, name)) === null;
    if (ended || Date.now() > limit)
      throw new Error(
        `${name} ${ended ? 'has ended' : `did not come up within ${withinSeconds} s`}:\n${await lastWords(home, name)}`,
      );
  }
}

export async function lastWords(home: string, name: string): Promise<string> {
  const text = await readFile(join(home, 'log', `${name}.log`), 'utf8').catch(() => '');
  return text.trim().split('\n').slice(-5).join('\n');
}

/** Which of the node's programs run. */
export async function nodeStands(cache: string = cacheFolder()): Promise<string[]> {
  const home = homeOfNode(cache);
  const names = await readdir(join(home, 'pid')).catch(() => []);
  const running = await Promise.all(
    names.map(async (name) => ((await numberOf(home, name)) === null ? null : name)),
  );
  return running.filter((name) => name !== null);
}
