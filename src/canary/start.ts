/** Starting a canary, telling it, and reading what it has told. Nothing here fails: a switch doesn't wait for its canary. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { writeAtomically } from '../platform/files.js';
import { safeName } from '../platform/home.js';
import type { ServerAddress } from '../redis/address.js';
import type { CanaryFacts, CanaryOrder } from './facts.js';

export type CanaryWay = 'forward' | 'back';

/** The canaries of one way through one run of an upgrade. */
export interface CanaryPlace {
  /** The upgrade's folder. */
  folder: string;
  runId: string;
  way: CanaryWay;
}

export interface Canary {
  /** It sees what follows for a moment, reads back what it wrote, and ends. */
  end: () => Promise<void>;
}

/** How long it lives on when nobody who switches is left: another worker may come. */
const LEASE_MS = 60_000;
const TOUCH_EVERY_MS = 1_000;
/** It tells every second. A busy machine may keep it from that for a while. */
const SILENT_MS = 30_000;
const READY_MS = 5_500;
/** How long it writes before the switch, so that what it sees then can be compared. */
const BEFORE_MS = 300;

const PROGRAM = fileURLToPath(new URL('./main.js', import.meta.url));

/** Starts one, or takes over the one that an earlier attempt has started. With `ready`, its first write is waited for, for a while. */
export async function startCanary(
  options: CanaryPlace & { connection: string; places: ServerAddress[]; ready: boolean },
): Promise<Canary> {
  const { ready, connection, places, ...place } = options;
  try {
    const running = (await canariesOf(place)).find(({ facts, ends }) => isAlive(facts) && !ends);
    if (running) return keepTelling(place, running.told);
    const { told, facts } = await spawnCanary({ place, connection, places });
    const canary = await keepTelling(place, told);
    const until = performance.now() + READY_MS;
    while (ready && performance.now() < until) {
      const now = await factsIn(facts);
      if (now?.state === 'done') break;
      if (now?.state === 'running') {
        await sleep(BEFORE_MS);
        break;
      }
      await sleep(20);
    }
    return canary;
  } catch {
    // No folder, no process: what it would have seen is unknown.
    return { end: async () => {} };
  }
}

async function spawnCanary(on: {
  place: CanaryPlace;
  connection: string;
  places: ServerAddress[];
}): Promise<{ told: string; facts: string }> {
  const { place, connection, places } = on;
  const id = randomBytes(12).toString('hex');
  const facts = join(place.folder, `${prefixOf(place)}${id}.json`);
  const told = toldOf(facts);
  await mkdir(place.folder, { recursive: true, mode: 0o700 });
  await writeFile(told, 'run\n', { mode: 0o600 });
  const child = spawn(process.execPath, [PROGRAM], {
    // Of its own session: neither a Ctrl-C nor the worker's end reaches it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: Object.fromEntries(
      PASSED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
    ),
  });
  child.on('error', () => {});
  child.stdin.on('error', () => {});
  child.unref();
  const first: CanaryFacts = { ...UNBORN, id, pid: child.pid ?? 0, host: hostname(), at: Date.now() };
  // Before it can write there itself: it waits for its order.
  await writeAtomically({ path: facts, content: `${JSON.stringify(first)}\n`, mode: 0o600 });
  const order: CanaryOrder = { id, connection, places, facts, told, leaseMs: LEASE_MS };
  child.stdin.end(JSON.stringify(order));
  return { told, facts };
}

const PASSED_ON = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS'];

const UNBORN: Omit<CanaryFacts, 'id' | 'host' | 'pid' | 'at'> = {
  state: 'starting',
  acknowledged: 0,
  present: null,
  duplicated: null,
  unanswered: 0,
  unansweredPresent: null,
  errors: 0,
  errorKinds: {},
  notReadBack: 0,
  longestWaitMs: 0,
  because: 'it did not start',
  points: [],
  moves: [],
};

async function keepTelling(place: CanaryPlace, told: string): Promise<Canary> {
  const touch = (): void => void utimes(told, new Date(), new Date()).catch(() => {});
  touch();
  const timer = setInterval(touch, TOUCH_EVERY_MS);
  timer.unref();
  return {
    async end() {
      clearInterval(timer);
      await endCanaries(place);
    },
  };
}

/** Tells every one that is left to end. */
async function endCanaries(place: CanaryPlace): Promise<void> {
  const left = await canariesOf(place).catch(() => []);
  await Promise.all(
    left
      .filter(({ facts, ends }) => facts.state !== 'done' && !ends)
      .map(({ told }) => writeFile(told, 'end\n', { mode: 0o600, flag: 'r+' }).catch(() => {})),
  );
}

/** What the canaries of one way have seen, together. Waits for those that are about to end. Null: there was none on this machine. */
export async function readCanaries(place: CanaryPlace & { waitMs: number }): Promise<CanaryFacts[] | null> {
  const until = performance.now() + place.waitMs;
  await endCanaries(place);
  for (;;) {
    const found = await canariesOf(place).catch(() => []);
    const busy = found.some(({ facts }) => isAlive(facts));
    if (!busy || performance.now() > until)
      return found.length === 0 ? null : found.map(({ facts }) => facts).toSorted((a, b) => a.at - b.at);
    await sleep(50);
  }
}

function isAlive({ state, at, host, pid }: CanaryFacts): boolean {
  if (state === 'done' || Date.now() - at > SILENT_MS) return false;
  // The folder may be shared between machines.
  if (host !== hostname()) return true;
  if (pid === 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function canariesOf(
  place: CanaryPlace,
): Promise<{ facts: CanaryFacts; told: string; ends: boolean }[]> {
  const prefix = prefixOf(place);
  const names = (await readdir(place.folder)).filter(
    (name) => name.startsWith(prefix) && name.endsWith('.json'),
  );
  const found = await Promise.all(
    names.map(async (name) => {
      const path = join(place.folder, name);
      const told = toldOf(path);
      const facts = await factsIn(path);
      const said = await readFile(told, 'utf8').catch(() => 'end');
      const touched = await stat(told).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      );
      return facts ? [{ facts, told, ends: said.startsWith('end') || Date.now() - touched > LEASE_MS }] : [];
    }),
  );
  return found.flat();
}

function prefixOf({ runId, way }: CanaryPlace): string {
  return `${safeName(runId)}.canary-${way}-`;
}

function toldOf(facts: string): string {
  return facts.replace(/\.json$/, '.told');
}

async function factsIn(path: string): Promise<CanaryFacts | null> {
  try {
    return Facts.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null;
  }
}

const count = z.number().min(0);
const Facts = z.object({
  id: z.string(),
  host: z.string(),
  pid: z.number().int(),
  state: z.enum(['starting', 'running', 'done']),
  at: z.number(),
  acknowledged: count,
  present: count.nullable(),
  duplicated: count.nullable(),
  unanswered: count,
  unansweredPresent: count.nullable(),
  errors: count,
  errorKinds: z.record(z.string(), count),
  notReadBack: count,
  longestWaitMs: count,
  because: z.string(),
  points: z.array(z.tuple([z.number(), z.number()])).max(200),
  moves: z.array(z.number()).max(10),
});
