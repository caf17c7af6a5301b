/**
 * Who still writes, or tries to, to a server that was left. Three traces, none of which needs the clients' help: keys that change
 * (tracking), writes that the fence refuses (errorstats, 6.2 and later), and who is connected (CLIENT LIST).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import type { ServerAddress } from './address.js';
import { clientsOf, type ClientFacts } from './clients.js';
import { withClient } from './connect.js';
import { isFenced } from './fence.js';
import { parseInfo } from './info.js';
import { startTracking, type Tracker } from './tracker.js';

export interface Stragglers {
  /** Keys that were written to; null where tracking isn't permitted or was lost. */
  changed: number | null;
  /** Keys that went: expired, most likely, or were deleted, which can't be told apart. */
  gone: number | null;
  /** At most 20. */
  changedSample: string[];
  /** Writes that the fence refused, in all databases; null where the server doesn't count them (before 6.2). */
  refused: number | null;
  /** Clients that were seen in the databases, ours left out; null where CLIENT LIST isn't permitted. */
  clients: number | null;
  /** At most 20. */
  clientSample: ClientFacts[];
  seconds: number;
  /** The fence stood at every look; null when none was to stand. */
  fenceHeld: boolean | null;
}

export interface WatchInput {
  address: ServerAddress;
  /** Name of the connections in CLIENT LIST; begins with `ferry:`. */
  name: string;
  databases: readonly number[];
  /** Glob of the keys. */
  match: string;
  /** Whether changed keys are watched at all; by default where it is permitted. */
  track?: boolean | undefined;
  /** Milliseconds, or until aborted: then it returns what was seen. */
  until: AbortSignal | number;
  /** Whether a fence of ours is to stand. */
  fenced: boolean;
  /** Told at every look, about once a second. */
  onSeen?: ((soFar: Stragglers) => void) | undefined;
}

const LOOK_EVERY = 1_000;
const SAMPLES = 20;
const BATCH = 1_000;
const MOST = 1_000_000;

/** @throws FerryError when the server can't be reached any more */
export async function watchStragglers(input: WatchInput): Promise<Stragglers> {
  const { address, name, until, onSeen } = input;
  const started = performance.now();
  const end = typeof until === 'number' ? started + until : Number.POSITIVE_INFINITY;
  const signal = typeof until === 'number' ? undefined : until;
  const tracker = input.track === false ? null : await tracking(input);
  try {
    return await withClient({ address, name, commandTimeoutMs: 10_000 }, async (client) => {
      const before = await refusedSoFar(client);
      const clients = new Map<string, ClientFacts>();
      const changed = new Set<string>();
      const gone = new Set<string>();
      let listed = true;
      let held = true;
      for (;;) {
        // Looked at once before and once after the time has passed.
        const last = signal?.aborted === true || performance.now() >= end;
        listed = (await noteClients({ client, databases: input.databases, clients })) && listed;
        if (input.fenced) held = (await isFenced({ client })) !== null && held;
        await noteChanges({ client, tracker, databases: input.databases, changed, gone });
        const refused = await refusedSoFar(client);
        const soFar: Stragglers = {
          changed: tracker && tracker.lost() === null ? changed.size : changed.size || null,
          gone: tracker && tracker.lost() === null ? gone.size : gone.size || null,
          changedSample: [...changed].slice(0, SAMPLES),
          refused: refused === null || before === null ? null : Math.max(0, refused - before),
          clients: listed ? clients.size : null,
          clientSample: [...clients.values()].slice(0, SAMPLES),
          seconds: Math.round((performance.now() - started) / 100) / 10,
          fenceHeld: input.fenced ? held : null,
        };
        onSeen?.(soFar);
        if (last) return soFar;
        const wait = Math.max(0, Math.min(LOOK_EVERY, end - performance.now()));
        // An abort ends the wait; the next look is the last one then.
        await sleep(wait, undefined, signal ? { signal } : {}).catch(() => {});
      }
    });
  } finally {
    tracker?.close();
  }
}

async function tracking({ address, match, name }: WatchInput): Promise<Tracker | null> {
  try {
    return await startTracking({ address, match, name });
  } catch (error) {
    if (error instanceof FerryError && error.type === 'NotPermitted') return null;
    throw error;
  }
}

/** The database isn't told, so a name counts as written where any of the databases has it. */
async function noteChanges(on: {
  client: Redis;
  tracker: Tracker | null;
  databases: readonly number[];
  changed: Set<string>;
  gone: Set<string>;
}): Promise<void> {
  const { client, tracker, databases, changed, gone } = on;
  if (!tracker) return;
  await tracker.barrier();
  for (let keys = tracker.take(BATCH); keys.length > 0; keys = tracker.take(BATCH)) {
    const there = new Set<Buffer>();
    for (const database of databases) {
      await client.select(database);
      const replies = await Promise.all(keys.map((key) => client.exists(key)));
      replies.forEach((exists, i) => {
        const key = keys[i];
        if (exists > 0 && key) there.add(key);
      });
    }
    for (const key of keys) {
      const seen = there.has(key) ? changed : gone;
      // Names only count, but for the few that are shown.
      if (seen.size < MOST) seen.add(key.toString('utf8'));
    }
  }
}

async function noteClients(input: {
  client: Redis;
  databases: readonly number[];
  clients: Map<string, ClientFacts>;
}): Promise<boolean> {
  const { client, databases, clients } = input;
  try {
    for (const found of await clientsOf({ client, databases })) clients.set(found.id, found);
    return true;
  } catch (error) {
    if (error instanceof FerryError && error.type === 'NotPermitted') return false;
    throw error;
  }
}

/** How many writes were refused as NOREPLICAS or READONLY since the server started; null before 6.2. */
async function refusedSoFar(client: Redis): Promise<number | null> {
  const stats = String(await client.call('INFO', 'errorstats').catch(() => ''));
  if (!stats.includes('# Errorstats')) return null;
  const info = parseInfo(stats);
  const of = (code: string): number => Number(/count=(\d+)/.exec(info[`errorstat_${code}`] ?? '')?.[1] ?? 0);
  // 6.2 counts a refused script's error under the name of the call, not of the cause.
  return of('NOREPLICAS') + of('READONLY');
}
