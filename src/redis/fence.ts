/**
 * The fence: a server that refuses writes and answers reads until it is told otherwise. Unlike a pause it does not run out.
 *
 * From 6.2 on it is `min-replicas-to-write` above any number of replicas. Measured on 6.2, 7.0, 7.2, 7.4, 8.0, 8.2 and Valkey 8.1
 * and 9.1, with and without replicas: every write is refused with NOREPLICAS, also in scripts, functions, transactions queued
 * before, and commands that a pause held. Keys still expire. A script that begins with `#!lua` is refused even when it only reads.
 *
 * On 6.0 scripts write past that (measured), so there the server becomes a replica of itself: everything is refused with
 * READONLY, scripts too, and no data can ever come over that link, since a replica without a primary refuses to feed another one.
 * Its own replicas lose their link meanwhile, and resume by partial resync.
 *
 * Neither outlives a restart of the server.
 */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { failureOn, placeOf } from './connect.js';
import { shown } from './address.js';
import { atLeast, pairsOf, parseInfo } from './info.js';

export type FenceKind = 'min-replicas' | 'replica-of-itself';

/** What stood before the fence. Plain data, so that an undo can carry it. */
export interface FenceBefore {
  kind: FenceKind;
  /** Settings to put back. */
  settings: Record<string, string>;
}

/**
 * The fence's value is this plus the value before, so that the server itself remembers both whose fence it is and what to put
 * back, whatever became of workflow and journal. (33779: FERRY on a telephone's keys.)
 */
export const FENCE_BASE = 337_790_000;
const FENCE_SPAN = 10_000;
/** Added once more when the fence is sealed. */
const SEAL = FENCE_SPAN;

const TO_WRITE = 'min-replicas-to-write';
const MAX_LAG = 'min-replicas-max-lag';
/** min-replicas-to-write counts for nothing while the lag is 0; this instead of 10 says that 0 stood there. */
const LAG_FOR_NONE = '33779';
/** Instead of the lag before: the seal was broken for going back, so that writes can be carried here (see openForReturn). */
const LAG_RETURNING = '33780';

/** Whether a fence of ours stands, by INFO and CONFIG GET. */
export function fenceOf({
  info,
  settings,
}: {
  info: Record<string, string>;
  settings: Record<string, string> | null;
}): FenceKind | null {
  const ofItself =
    info['role'] === 'slave' && info['master_host'] === LOOPBACK && info['master_port'] === ownPort(info);
  // First: when it is sealed both stand.
  if (ofItself) return 'replica-of-itself';
  return isFenceValue(settings?.[TO_WRITE]) ? 'min-replicas' : null;
}

function isFenceValue(value: string | undefined): boolean {
  const number = Number(value ?? 0);
  return number >= FENCE_BASE && number < FENCE_BASE + FENCE_SPAN + SEAL;
}

/**
 * Says on the server itself that everything written before the fence has arrived on the other side, and that applications may be
 * told of it from here on: whoever finds an unsealed fence may lift it without asking whether the applications have moved.
 * On 6.0 min-replicas-to-write is set for that alone.
 * @throws FerryError when the fence has fallen: what was written since is not on the other side
 */
export async function seal({ client }: { client: Redis }): Promise<void> {
  const { info, settings } = await look(client);
  if (fenceOf({ info, settings }) === null) {
    throw new FerryError(
      'Unknown',
      `${shown(placeOf(client))}: the fence has fallen (was the server restarted?)`,
    );
  }
  if (isSealed(settings)) return;
  const value = isFenceValue(settings[TO_WRITE])
    ? Number(settings[TO_WRITE])
    : fenceValue(settings[TO_WRITE]);
  await set(client, TO_WRITE, String(value + SEAL));
}

/** Nobody is on the other side after all: the server stays closed to writes, and may be left anew. Harmless when it is not sealed. */
export async function breakSeal({ client }: { client: Redis }): Promise<void> {
  const { settings } = await look(client);
  if (isSealed(settings)) await set(client, TO_WRITE, String(Number(settings[TO_WRITE]) - SEAL));
}

export type Standing = 'none' | 'fenced' | 'sealed' | 'returning';

/** How far a switch away from this server got, whoever began it. */
export async function fenceStanding({ client }: { client: Redis }): Promise<Standing> {
  const state = await look(client);
  if (fenceOf(state) === null) return state.settings[MAX_LAG] === LAG_RETURNING ? 'returning' : 'none';
  return isSealed(state.settings) ? 'sealed' : 'fenced';
}

/**
 * Breaks the seal, so that the way back can write here, while the server goes on saying that the applications are on the other
 * side. Whoever lifts the fence by hand (the break-glass card) or restarts the server ends that saying: then nobody may carry
 * anything over what has been written here since.
 */
export async function openForReturn({
  client,
  before,
}: {
  client: Redis;
  before: FenceBefore;
}): Promise<void> {
  const { [MAX_LAG]: _, ...settings } = before.settings;
  await set(client, MAX_LAG, LAG_RETURNING);
  await unfence({ client, before: { ...before, settings } });
}

/** The applications are here again: nothing of fence, seal and way back is left. Harmless when nothing was. */
export async function endReturn({ client, before }: { client: Redis; before: FenceBefore }): Promise<void> {
  await unfence({ client, before });
  const { settings } = await look(client);
  if (settings[MAX_LAG] === LAG_RETURNING) await set(client, MAX_LAG, before.settings[MAX_LAG] ?? '10');
}

function isSealed(settings: Record<string, string>): boolean {
  return isFenceValue(settings[TO_WRITE]) && Number(settings[TO_WRITE]) >= FENCE_BASE + SEAL;
}

function fenceValue(before: string | undefined): number {
  return FENCE_BASE + Math.min(Number(before ?? 0), FENCE_SPAN - 1);
}

const LOOPBACK = '127.0.0.1';

// With TLS only it is 0, where nothing answers either.
function ownPort(info: Record<string, string>): string {
  return info['tcp_port'] ?? '';
}

export async function isFenced({ client }: { client: Redis }): Promise<FenceKind | null> {
  return fenceOf(await look(client));
}

/** What fence() would record, without setting anything: read it first, register the undo with it, then fence. */
export async function fenceBefore({ client }: { client: Redis }): Promise<FenceBefore> {
  const { info, settings } = await look(client);
  const standing = fenceOf({ info, settings });
  if (standing === 'min-replicas') return { kind: standing, settings: recorded(settings) };
  const { [TO_WRITE]: toWrite = '0', [MAX_LAG]: maxLag = '10' } = settings;
  if (standing === null && atLeast(info['redis_version'] ?? '0', '6.2'))
    return {
      kind: 'min-replicas',
      settings: { [TO_WRITE]: toWrite, [MAX_LAG]: maxLag === LAG_RETURNING ? '10' : maxLag },
    };
  const { 'replica-read-only': readOnly = 'yes', 'replica-serve-stale-data': serveStale = 'yes' } = settings;
  return {
    kind: 'replica-of-itself',
    settings: {
      [TO_WRITE]: isFenceValue(toWrite) ? (recorded(settings)[TO_WRITE] ?? '0') : toWrite,
      [MAX_LAG]: maxLag === LAG_RETURNING ? '10' : maxLag,
      ...(readOnly === 'yes' ? {} : { 'replica-read-only': readOnly }),
      ...(serveStale === 'yes' ? {} : { 'replica-serve-stale-data': serveStale }),
    },
  };
}

/** What the standing fence itself says that stood before. */
function recorded(settings: Record<string, string>): Record<string, string> {
  const { [TO_WRITE]: toWrite = '0', [MAX_LAG]: maxLag = '10' } = settings;
  return {
    [TO_WRITE]: String((Number(toWrite) - FENCE_BASE) % SEAL),
    [MAX_LAG]: maxLag === LAG_FOR_NONE ? '0' : maxLag,
  };
}

/** Harmless when the fence stands. @throws FerryError NotPermitted, ReadOnlyTarget (it is a replica of another server) */
export async function fence({
  client,
  before,
}: {
  client: Redis;
  before?: FenceBefore | undefined;
}): Promise<FenceBefore> {
  const was = before ?? (await fenceBefore({ client }));
  const state = await look(client);
  if (fenceOf(state) !== null) return was;
  if (state.info['role'] === 'slave') {
    throw new FerryError(
      'ReadOnlyTarget',
      `${shown(placeOf(client))} is a replica: a fence there does not stop writes, which go to its primary`,
    );
  }
  if (was.kind === 'min-replicas') {
    const { [TO_WRITE]: toWrite = '0', [MAX_LAG]: maxLag = '10' } = was.settings;
    if (Number(maxLag) === 0) await set(client, MAX_LAG, LAG_FOR_NONE);
    await set(client, TO_WRITE, String(fenceValue(toWrite)));
  } else {
    for (const setting of Object.keys(was.settings)) {
      if (setting.startsWith('replica-')) await set(client, setting, 'yes');
    }
    await attempt(client, () => client.call('REPLICAOF', LOOPBACK, ownPort(state.info)));
  }
  if (fenceOf(await look(client)) === null)
    throw new FerryError('Unknown', `${shown(placeOf(client))} did not keep the fence`);
  return was;
}

/** Harmless when no fence of ours stands. Without `before`, what the fence itself recorded is put back. */
export async function unfence({
  client,
  before,
}: {
  client: Redis;
  before?: FenceBefore | undefined;
}): Promise<void> {
  const state = await look(client);
  const standing = fenceOf(state);
  if (isFenceValue(state.settings[TO_WRITE])) {
    // The server's own record goes first: the caller's may be of an earlier time.
    const back = recorded(state.settings);
    await set(client, TO_WRITE, back[TO_WRITE] ?? '0');
    if (state.settings[MAX_LAG] !== back[MAX_LAG]) await set(client, MAX_LAG, back[MAX_LAG] ?? '10');
  }
  if (standing === 'replica-of-itself') await attempt(client, () => client.call('REPLICAOF', 'NO', 'ONE'));
  // Also when the fence is down already: an attempt may have ended between the two.
  if (before?.kind === 'replica-of-itself') {
    for (const [setting, value] of Object.entries(before.settings)) await set(client, setting, value);
  } else if (standing === null && state.settings[MAX_LAG] === LAG_FOR_NONE) {
    await set(client, MAX_LAG, '0');
  }
  if (fenceOf(await look(client)) !== null)
    throw new FerryError('Unknown', `${shown(placeOf(client))} did not let the fence go`);
}

/** What follows `redis-cli …` to lift the fence by hand. */
export function unfenceByHand(before: FenceBefore): string[] {
  const settings = Object.entries(before.settings).map(
    ([setting, value]) => `CONFIG SET ${setting} ${value}`,
  );
  return before.kind === 'min-replicas' ? settings : ['REPLICAOF NO ONE', ...settings];
}

async function look(
  client: Redis,
): Promise<{ info: Record<string, string>; settings: Record<string, string> }> {
  return attempt(client, async () => {
    const info = parseInfo(
      `${String(await client.call('INFO', 'server'))}\n${String(await client.call('INFO', 'replication'))}`,
    );
    // Both have an older name (min-slaves-…, slave-…), under which they come as well.
    const settings = [
      ...pairsOf(await client.call('CONFIG', 'GET', 'min-replicas-*')),
      ...pairsOf(await client.call('CONFIG', 'GET', 'replica-*')),
    ];
    return { info, settings: Object.fromEntries(settings) };
  });
}

async function set(client: Redis, setting: string, value: string): Promise<void> {
  await attempt(client, () => client.call('CONFIG', 'SET', setting, value));
}

async function attempt<T>(client: Redis, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw failureOn(client, error);
  }
}
