/**
 * The fence of Redis 6.0, which can pause only everything, and can't end a pause: it becomes a replica of itself (see ../fence.ts).
 *
 *   1. One transaction closes the clients' connections, pauses, and tells how far the old one is. Whoever connects again is younger
 *      than our own connection.
 *   2. Meanwhile the new one gets the last bytes: replicas are not paused.
 *   3. When the pause has run out, the oldest connection is served first: ours. A second transaction tells once more how far the old
 *      one is, and makes it a replica: it refuses writes (READONLY) from there on, and feeds nobody, as it has no primary.
 *   4. Had somebody been served before us, that write is on no other server (the links of replicas are cut by 3): then the old one
 *      takes writes again, and it is tried anew.
 *
 * Only then is the new one promoted, which the old one follows at last from where it stands. Clients wait out the whole pause, and are sent away twice.
 */
import type { Redis } from 'ioredis';
import { failureOn } from '../connect.js';
import { roleOf, type Role } from './role.js';

const ITSELF = '127.0.0.1';
/** Milliseconds of the first pause; doubled for each further one, up to the cap. */
const FIRST_PAUSE_MS = 50;

/** Neither takes writes: an attempt died between fence and promotion. */
export function fencedByRole({ was, will }: { was: Role; will: Role }): boolean {
  return isFencedByRole(was) && will.role === 'replica';
}

function isFencedByRole({ role, follows, port }: Role): boolean {
  return role === 'replica' && follows?.host === ITSELF && follows.port === port;
}

/** `goal`: how far the old one is behind its fence, which is what the new one has. "too late": it takes writes, as before. */
export async function fenceByRole(on: {
  old: Redis;
  capMs: number;
  /** How many were tried before. */
  tries: number;
  /** How far the new one is; -1 while its link is down. */
  applied: () => Promise<number>;
  /** Throws when another attempt has taken over. */
  sure: () => Promise<void>;
}): Promise<{ drainMs: number; goal: number } | 'too late'> {
  const { old, capMs, tries, applied, sure } = on;
  const { port } = await roleOf({ client: old });
  const pauseMs = Math.ceil(Math.min(capMs, FIRST_PAUSE_MS * 2 ** tries));
  const began = performance.now();
  const goal = await sendAway(old, ['CLIENT', 'PAUSE', String(pauseMs)]);
  const ends = began + pauseMs;
  if (!(await arrives({ goal, applied, until: ends - 5 }))) {
    await wait(ends - performance.now());
    return 'too late';
  }
  const drainMs = performance.now() - began;
  await sure();
  // It waits in the server until the pause has run out. The PING makes the server look at the clock, with us as the first.
  const fenced = sendAway(old, ['REPLICAOF', ITSELF, String(port)]);
  fenced.catch(() => {});
  await wait(ends - performance.now() + 1);
  await old.call('PING');
  // Its links are cut from here on: whoever was served before us has written what nobody else will get.
  const fell = await fenced;
  if (fell === goal) return { drainMs, goal };
  await liftFenceByRole({ old });
  return 'too late';
}

/** The old one takes writes again. Harmless when it does. */
export async function liftFenceByRole({ old }: { old: Redis }): Promise<void> {
  if (!isFencedByRole(await roleOf({ client: old }))) return;
  await old.call('REPLICAOF', 'NO', 'ONE').catch((error: unknown) => {
    throw failureOn(old, error);
  });
}

/**
 * In one transaction: every client but us is sent away, and the given command. Returns how far the server was just before that.
 * ROLE tells it and not INFO, with which the transaction itself would be written to the stream (measured: 29 bytes).
 */
async function sendAway(old: Redis, [name = '', ...args]: string[]): Promise<number> {
  const transaction = old
    .multi()
    .call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    .call('CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes')
    .role()
    .call(name, ...args);
  const replies = await transaction.exec().catch((error: unknown) => {
    throw failureOn(old, error);
  });
  const failed = replies?.find(([error]) => error !== null)?.[0];
  if (failed || !replies) throw failureOn(old, failed ?? new Error('the transaction was discarded'));
  const role = replies[2]?.[1];
  return Number(Array.isArray(role) ? role[1] : Number.NaN);
}

async function arrives(on: {
  goal: number;
  applied: () => Promise<number>;
  until: number;
}): Promise<boolean> {
  for (;;) {
    if ((await on.applied()) >= on.goal) return true;
    if (performance.now() >= on.until) return false;
    await wait(1);
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
