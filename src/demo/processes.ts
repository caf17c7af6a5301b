/**
 * The processes of the demo: started, found again, watched over and ended. They outlive a kill -9 of `npm start` (each has a pid
 * file), and are started again when one of them is killed.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { birthOf, isAlive, pause } from '../setup/run.js';
import { endLeftover, reattach } from '../setup/servers.js';
import { writeWhole } from './folder.js';

export interface Part {
  /** As it stands in a sentence: "the worker". */
  name: string;
  pidFile: string;
  log: string;
  /** Starts it and gives its number; it need not be ready. */
  start: () => Promise<number>;
  /** Whether one that an earlier start left running can be used; it is ended otherwise. */
  usable?: (left: { pid: number; port: number; secondPort: number | null }) => boolean;
  /** Throws while it can't be used. */
  ready?: () => Promise<void>;
}

/** Starts one of our own scripts so that it outlives us. */
export async function startScript(options: {
  script: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  log: string;
  pidFile: string;
}): Promise<number> {
  const { script, args, env, log, pidFile } = options;
  mkdirSync(dirname(pidFile), { recursive: true });
  const logFrom = statSync(log, { throwIfNoEntry: false })?.size ?? 0;
  const out = openSync(log, 'a', 0o600);
  const child = spawn(process.execPath, [script, ...args], {
    detached: true,
    stdio: ['ignore', out, out],
    env,
  });
  closeSync(out);
  const failed = new Promise<Error>((done) => child.once('error', done));
  if (child.pid === undefined)
    throw new Error(`${basename(script)} can not be started: ${(await failed).message}`);
  child.unref();
  // What `reattach` and `endLeftover` read: they signal nothing but the very process that is described here.
  const life = {
    pid: child.pid,
    birth: (await birthOf(child.pid)) ?? '',
    program: script,
    ports: { port: 0, second: null },
    log,
    logFrom,
    pidFile,
  };
  writeWhole(pidFile, JSON.stringify(life));
  return child.pid;
}

/** Ends whatever earlier starts have left running below a folder. */
export async function endAll(folder: string): Promise<void> {
  await Promise.all(pidFilesIn(folder).map((file) => endLeftover(file)));
}

/** The same at once. Nothing is lost by it: what was acknowledged is with the system, and the move goes on from its checkpoint. */
export async function killAll(folder: string): Promise<void> {
  await Promise.all(pidFilesIn(folder).map(async (file) => (await reattach(file))?.kill9()));
}

/** The processes below a folder that its pid files name. */
export async function known(folder: string): Promise<Set<number>> {
  const found = await Promise.all(pidFilesIn(folder).map((file) => reattach(file)));
  return new Set(found.flatMap((life) => (life ? [life.pid] : [])));
}

function pidFilesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.pid'))
    .map((name) => join(folder, name));
}

/** How long a part may take until it can be used, in milliseconds. */
const READY_WITHIN = 30_000;
/** Deaths within a minute after which it makes no sense to start it again. */
const DEATHS = 5;

/** Milliseconds. */
const LOOK_EVERY = 300;

/** Keeps its parts alive: what has ended is started again in the background. */
export interface Crew {
  /** Finds or starts a part and waits until it can be used. Says whether it was there already. */
  join: (part: Part) => Promise<boolean>;
  /** Who is there, with their numbers. */
  roll: () => string;
  /** Aborted when a part can't be kept alive; the reason is a sentence. */
  failed: AbortSignal;
  /** Ends the parts one after the other, those that use others first. */
  stop: () => Promise<void>;
}

export function crew(options: { news: (line: string) => void }): Crew {
  const pids = new Map<Part, number>();
  const deaths = new Map<Part, number[]>();
  const busy = new Map<Part, Promise<unknown>>();
  const failure = new AbortController();
  let stopping = false;

  async function enter(part: Part): Promise<boolean> {
    const left = await reattach(part.pidFile);
    if (left) {
      pids.set(part, left.pid);
      if ((part.usable?.(left) ?? true) && (await becomesReady(part).catch(() => false))) return true;
      await endLeftover(part.pidFile);
    }
    pids.set(part, await part.start());
    if (!(await becomesReady(part))) {
      throw new Error(`${sentence(part.name)} ended at once. Its log: ${part.log}`);
    }
    return false;
  }

  /** False when it ends before. */
  async function becomesReady(part: Part): Promise<boolean> {
    const until = Date.now() + READY_WITHIN;
    for (;;) {
      try {
        await part.ready?.();
        return isAlive(pids.get(part) ?? 0);
      } catch (error) {
        if (stopping || !isAlive(pids.get(part) ?? 0)) return false;
        if (Date.now() > until) {
          const why = error instanceof Error ? error.message : String(error);
          throw new Error(`${sentence(part.name)} does not answer: ${why}. Its log: ${part.log}`, {
            cause: error,
          });
        }
      }
      await pause(50);
    }
  }

  function once<T>(part: Part, work: () => Promise<T>): Promise<T> {
    const running = work();
    const settled = running.catch(() => undefined).finally(() => busy.delete(part));
    busy.set(part, settled);
    return running;
  }

  async function again(part: Part): Promise<void> {
    const recent = [...(deaths.get(part) ?? []), Date.now()].filter((at) => Date.now() - at < 60_000);
    deaths.set(part, recent);
    if (recent.length > DEATHS)
      throw new Error(`${sentence(part.name)} ends again and again. Its log: ${part.log}`);
    options.news(`${part.name} (process ${pids.get(part)}) was ended; starting it again`);
    await pause(Math.min(2_000, 100 * 2 ** recent.length));
    await enter(part);
    options.news(`${part.name} is back`);
  }

  function look(): void {
    for (const [part, pid] of pids) {
      if (busy.has(part) || isAlive(pid)) continue;
      once(part, () => again(part)).catch((error: unknown) => {
        if (!stopping) failure.abort(error);
      });
    }
  }
  const watch = setInterval(look, LOOK_EVERY);

  return {
    async join(part) {
      if (stopping) throw new Error('The demo is ending.');
      return once(part, () => enter(part));
    },
    roll: () => [...pids].map(([part, pid]) => `${part.name.replace(/^the /, '')} ${pid}`).join(' · '),
    failed: failure.signal,
    async stop() {
      stopping = true;
      clearInterval(watch);
      // A start under way first gets its pid file, by which it is found.
      await Promise.all(busy.values());
      for (const part of [...pids.keys()].toReversed()) await endLeftover(part.pidFile);
    },
  };
}

const sentence = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
