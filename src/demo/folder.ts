/**
 * Where the demo keeps itself, so that it can go on after a kill -9: FERRY_HOME/demo, outside of the checkout. The worker's own
 * home is in there too: what the demo leaves behind must not be taken for what a real upgrade left.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ferryHome } from '../platform/home.js';
import { birthOf, isAlive, pause } from '../setup/run.js';

export function demoFolder(): string {
  return join(ferryHome(), 'demo');
}

const Side = z.object({
  product: z.enum(['redis', 'valkey']),
  version: z.string(),
  /** The program: started again, the server must read what it wrote. */
  server: z.string(),
  port: z.number(),
  password: z.string(),
});
export type Side = z.infer<typeof Side>;

const Run = z.object({
  /** Names its folder and marks its workflow. */
  id: z.string(),
  old: Side,
  new: Side,
  /** Keys that were seeded; null until all were. */
  keys: z.number().nullable(),
  /** Its first way goes over and comes back, its second one stays. */
  leg: z.enum(['there and back', 'for good']),
  /** The workflow of this leg was started. */
  started: z.boolean(),
  /** Its receipt was shown: the next start begins anew. */
  ended: z.boolean(),
});
/** Over to another server, back, and over again; from the seeding to the last receipt. */
export type Run = z.infer<typeof Run>;

const Memory = z.object({
  /** Where the embedded Temporal answers, the same after every start. */
  temporal: z.object({ port: z.number(), uiPort: z.number() }).nullable(),
  run: Run.nullable(),
});
export type Memory = z.infer<typeof Memory>;

const fileOf = (folder: string): string => join(folder, 'demo.json');

/** What an earlier start wrote down; nothing where there was none, or one of another make. */
export function recall(folder: string): Memory {
  try {
    return Memory.parse(JSON.parse(readFileSync(fileOf(folder), 'utf8')));
  } catch {
    return { temporal: null, run: null };
  }
}

export function remember(folder: string, memory: Memory): void {
  writeWhole(fileOf(folder), JSON.stringify(memory, null, 2));
}

/** Holds passwords or decides what goes on: for this user only, and never half. */
export function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

export interface Lock {
  /** Tells the next start that it is worth waiting. */
  ending: () => void;
  release: () => void;
}

const Holder = z.object({ pid: z.number(), birth: z.string(), ending: z.boolean() });
type Holder = z.infer<typeof Holder>;

/** Long enough for a demo whose `npm` was killed to notice it. */
const NOTICES_WITHIN = 2_500;
const ENDS_WITHIN = 40_000;

/**
 * One demo at a time. Gives the number of the process that has it, when another one does; one that is just
 * ending is waited for. Null when it was left meanwhile.
 */
export async function takeLock(
  folder: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Lock | { heldBy: number } | null> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'lock');
  const me: Holder = { pid: process.pid, birth: (await birthOf(process.pid)) ?? '', ending: false };
  const since = Date.now();
  let told = false;
  for (;;) {
    try {
      writeFileSync(file, JSON.stringify(me), { flag: 'wx', mode: 0o600 });
      return {
        ending: () => writeWhole(file, JSON.stringify({ ...me, ending: true })),
        release: () => rmSync(file, { force: true }),
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (signal.aborted) return null;
    const text = read(file);
    if (text === null) continue;
    const holder = holderOf(text);
    const alive = holder
      ? isAlive(holder.pid) && (await birthOf(holder.pid)) === holder.birth
      : Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) < 2_000;
    if (!alive) {
      removeStale(file, text);
      continue;
    }
    const patience = holder?.ending === false ? NOTICES_WITHIN : ENDS_WITHIN;
    if (Date.now() - since > patience) return { heldBy: holder?.pid ?? 0 };
    if (holder?.ending === true && !told) {
      told = true;
      say('An earlier demo is just ending; waiting for it …');
    }
    await pause(100);
  }
}

function removeStale(file: string, text: string): void {
  const aside = `${file}.stale-${process.pid}`;
  try {
    renameSync(file, aside);
    // Another start may have been faster, and this is its lock: it gets it back.
    if (read(aside) === text) rmSync(aside, { force: true });
    else renameSync(aside, file);
  } catch {
    // Another start removed it.
  }
}

function holderOf(text: string): Holder | null {
  try {
    return Holder.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
