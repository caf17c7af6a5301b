/**
 * The moment in which a replica takes over from its primary, in either direction, without losing a write.
 *
 * The order is what keeps every acknowledged write, and never has two servers that take them:
 *   1. pause writes at the old one (the server itself ends the pause, whatever becomes of us);
 *   2. wait until the new one has every byte; past the cap everything resumes, and a better moment is waited for;
 *   3. fence the old one: the pause becomes one that doesn't end by itself;
 *   4. promote the new one;
 *   5. repoint;
 *      (where applications are sent there by a rule that follows late, those that come back are sent away until none does;)
 *   6. at once: close the clients' connections to the old one, let it follow the new one from where it stands (no full
 *      resync), end the pause. Blocked writes were never acknowledged, and none runs.
 *
 * The fence is a pause and not `min-replicas-to-write`, since the latter is looked at before the pause: it would answer with
 * an error whoever writes between 3 and 6 (seen), where the pause lets them wait for the new server.
 *
 * The roles of the two servers tell how far an attempt came, so that the next one, on any worker, can finish it.
 *
 * An abort is heeded between two tries only: then no pause stands, and everything goes on at the old one. From the fence on
 * nothing interrupts it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { FerryError } from '../../errors.js';
import { shown, type ServerAddress } from '../address.js';
import { connect, failureOn, messageOf } from '../connect.js';
import { soleHand } from '../hands.js';
import { parseInfo } from '../info.js';
import { sendAwayUntilQuiet } from '../latecomers.js';
import { pauseWrites, resumeWrites } from '../pause.js';
import { fenceByRole, fencedByRole, liftFenceByRole } from './fence-by-role.js';
import {
  admit,
  dismissFollower,
  linkUp,
  pings,
  restoreFollow,
  rewriteConfig,
  type FollowBefore,
} from './follow.js';
import { parseRole, roleOf, type Role } from './role.js';

export interface HandoverSide {
  address: ServerAddress;
  /** Where the other server reaches it. */
  at: { host: string; port: number };
  /** To be put back once it takes writes. */
  follow: FollowBefore;
  /** Of the process that took part from the beginning; missing where that is not known. */
  runId?: string | undefined;
}

/**
 * A primary that was promoted remembers the stream that it followed. So does one that was restarted as a primary: it reads that from its
 * file, and holds what it held when it was saved.
 */
export function tookOver(on: { will: Role; was: Role; runId: string | undefined }): boolean {
  const { will, was, runId } = on;
  return (
    will.role === 'primary' && will.replId2 === was.replId && (runId === undefined || will.runId === runId)
  );
}

export interface HandoverOptions {
  /** Takes the writes now. */
  from: HandoverSide;
  /** Follows it, and takes the writes afterwards. */
  to: HandoverSide;
  /** Longest pause in milliseconds until the old one is fenced. */
  capMs: number;
  /** Bytes behind at which a pause is worth beginning; 1 MB unless it says otherwise. */
  maxLag?: number;
  /** How many pauses may be given up before all of it is. */
  tries: number;
  /** How many were given up before it was interrupted, to be gone on with. */
  givenUp?: number;
  /** Told of each pause that was given up: how many these are, and how many bytes were missing. */
  onGivenUp?: (givenUp: number, lagBytes: number) => void;
  /** Of the connections; see hands.ts. */
  name: string;
  /** What followers log in as; see follow.ts. */
  user: string;
  signal: AbortSignal;
  /** Tells durably how far it is; throws when another attempt has taken over. */
  stillCurrent: (standing: 'begun' | 'promoted') => Promise<void>;
  /** An attempt before this one told that the new one was promoted: applications may be using it. */
  promotedBefore: boolean;
  repoint: () => Promise<unknown>;
  /** For how long clients that come back to the old one are sent away once more, before it is demoted; by default not at all. */
  lateMs?: number;
  /** Where the repoint fails, everything goes back by this; null: a person decides. */
  repointBack: (() => Promise<unknown>) | null;
}

export interface HandoverResult {
  /**
   * From the pause until whoever waited was sent to the new one, in milliseconds; null when an earlier attempt began it. The server keeps
   * the pause a little longer where there may be latecomers.
   */
  pausedMs: number | null;
  /** Of these, until the new one had every byte. */
  drainMs: number | null;
  pausesGivenUp: number;
  droppedClients: number;
  /** Of these, those that came back to the old one; missing where nobody looked for them. */
  latecomers?: number;
  /** A later attempt finished what an earlier one began. */
  finishedLater: boolean;
  /** Bytes that the old one wrote behind its fence, which are not on the new one: 0 unless somebody else ended the pause. */
  slipped: number | null;
  /** The old one follows without having been sent everything anew. */
  partial: boolean;
  /** Whether whom the old one follows outlives its restart. */
  durable: boolean;
  /** How the old one's keys are guarded while it follows. */
  guard: 'run-time user' | 'swapdb only';
}

/** No command here takes long; a server that vanished without a word must not hold us for ever. */
const COMMAND_TIMEOUT_MS = 5_000;
/** What must be left of the pause for the fence to stand before it ends. */
const FENCE_MARGIN_MS = 20;
/** Ends when it is told to, or with the server. */
const FENCE_MS = 30 * 24 * 3_600_000;
/** How long "still current" is believed: less than it takes Temporal to start another attempt. */
const BELIEVED_MS = 1_000;
const NEARLY = 1024 * 1024;
const LINK_TIMEOUT_MS = 15_000;
/** Between two pauses, should the first not have been enough. */
const BREATH_MS = 500;
const NEVER = new AbortController().signal;

/** Two control connections and what is known of the other's roles. */
interface Hands {
  old: Redis;
  next: Redis;
  /** Asks again whether this attempt is still current, where that was some time ago. */
  sure: () => Promise<void>;
}

/**
 * @throws FerryError, or the signal's reason between two tries; everything has resumed on the old side then, unless the type is
 *   Unclear
 */
export async function handOver(options: HandoverOptions): Promise<HandoverResult> {
  const { from, to, name, signal, promotedBefore } = options;
  // Cancelling is heeded between two tries, never in the middle of one: half a handover would be worse than a whole one.
  const old = await connect({ address: from.address, name, commandTimeoutMs: COMMAND_TIMEOUT_MS });
  const next = await connect({ address: to.address, name, commandTimeoutMs: COMMAND_TIMEOUT_MS }).catch(
    async (error: unknown) => {
      await withoutTheNew({ options, old, error }).finally(() => old.disconnect());
      throw error;
    },
  );
  let confirmed = 0;
  const hands: Hands = {
    old,
    next,
    async sure() {
      if (performance.now() - confirmed < BELIEVED_MS) return;
      await options.stillCurrent(promotedBefore ? 'promoted' : 'begun');
      confirmed = performance.now();
    },
  };
  try {
    await soleHand({ client: old, name });
    await soleHand({ client: next, name });
    await hands.sure();
    const came = await standing(options, hands);
    if (came === 'fenced') {
      await hands.sure();
      await promote(to, next);
    }
    if (came !== 'ready') return await finish(options, hands, { pausesGivenUp: 0, finishedLater: true });
    await unlessAborted(options, old);
    const guard = await admit({
      primary: next,
      follower: old,
      address: to.address,
      before: from.follow,
      user: options.user,
    });
    const { pausesWrites } = await roleOf({ client: old });
    // 6.0 cuts the links of all its replicas as it is fenced, and pings nobody.
    if (pausesWrites) await pings({ client: old, before: from.follow, sent: false });
    for (let given = options.givenUp ?? 0; given < options.tries; given += 1) {
      if (given > 0) await wait(BREATH_MS, signal);
      await unlessAborted(options, old);
      await nearlyInStep(hands, options);
      await unlessAborted(options, old);
      const held = await holdAndPromote(options, hands, { pausesWrites, tries: given });
      if (typeof held === 'number') {
        options.onGivenUp?.(given + 1, held);
        continue;
      }
      return await finish(options, hands, { pausesGivenUp: given, finishedLater: false, guard, ...held });
    }
    throw new FerryError(
      'PauseTooLong',
      `${shown(to.address)} did not get into step with ${shown(from.address)} within a pause of ${options.capMs} ms, ${options.tries} times`,
    );
  } finally {
    // Where it doesn't hear it, the end of the upgrade puts it back, as it does every setting.
    await pings({ client: old, before: from.follow, sent: true }).catch(() => {});
    old.disconnect();
    next.disconnect();
  }
}

/**
 * Where it is to stop, it stops here. An attempt before this one may have died behind its fence: it is lifted, unless yet another
 * one has taken over.
 */
async function unlessAborted({ signal, stillCurrent }: HandoverOptions, old: Redis): Promise<void> {
  if (!signal.aborted) return;
  await stillCurrent('begun');
  await release(old);
  signal.throwIfAborted();
}

/** The new one doesn't answer. Where nobody was told of it, and it can't be taking writes, everything resumes on the old one. */
async function withoutTheNew(on: { options: HandoverOptions; old: Redis; error: unknown }): Promise<void> {
  const { options, old, error } = on;
  const { to, promotedBefore } = options;
  if (promotedBefore) throw unclear(`${shown(to.address)} has taken over and does not answer`);
  // Refused: there is no process any more. Anything else may be the network, with a server behind it that was promoted.
  if (!/refused the connection/.test(messageOf(error))) return;
  await options.stillCurrent('begun');
  await release(old);
}

function unclear(why: string): FerryError {
  return new FerryError(
    'Unclear',
    `${why}, so it can't be told where the applications write. Nothing was changed now`,
  );
}

/** How far an earlier attempt came. @throws FerryError when the two servers are no pair (any more) */
async function standing(
  options: HandoverOptions,
  { old, next }: Hands,
): Promise<'ready' | 'fenced' | 'promoted'> {
  const { from, to, promotedBefore } = options;
  const [was, will] = await Promise.all([roleOf({ client: old }), roleOf({ client: next })]);
  const notAPair = async (why: string): Promise<FerryError> => {
    if (promotedBefore) return unclear(why);
    // An attempt may have died behind its fence.
    if (was.role === 'primary') await resumeWrites({ client: old });
    else if (fencedByRole({ was, will })) await liftFenceByRole({ old });
    return new FerryError(
      'Unknown',
      `${shown(from.address)} can't hand over to ${shown(to.address)}: ${why}`,
    );
  };
  // Of 6.0: everything that the old one has is on the new one, or the fence is of no use.
  if (fencedByRole({ was, will }) && was.offset === will.offset && !promotedBefore) return 'fenced';
  if (will.role === 'replica') {
    if (was.role === 'primary' && will.replId === was.replId && will.follows?.linkUp && !promotedBefore)
      return 'ready';
    throw await notAPair(`${shown(to.address)} is not in step with it`);
  }
  const follows = was.replId === will.replId || was.follows?.port === to.at.port;
  const over = tookOver({ will, was, runId: promotedBefore ? undefined : to.runId });
  if (over || (was.role === 'replica' && follows)) return 'promoted';
  throw await notAPair(`${shown(to.address)} does not follow it (was one of them restarted?)`);
}

/** Waits until a pause is worth beginning, but not for ever: a busy source may never be. Ends when it is to stop, too. */
async function nearlyInStep(
  { old, next }: Hands,
  { maxLag = NEARLY, signal }: Pick<HandoverOptions, 'maxLag' | 'signal'>,
): Promise<void> {
  const until = performance.now() + LINK_TIMEOUT_MS;
  while (!signal.aborted) {
    const [was, will] = await Promise.all([roleOf({ client: old }), roleOf({ client: next })]);
    if (was.offset - will.offset <= maxLag || performance.now() > until) return;
    await wait(50, signal);
  }
}

/** Steps 1 to 4. When the cap came first everything goes on as before: how many bytes were missing then. */
async function holdAndPromote(
  options: HandoverOptions,
  hands: Hands,
  { pausesWrites, tries }: { pausesWrites: boolean; tries: number },
): Promise<{ began: number; drainMs: number; goal: number } | number> {
  const { from, to, capMs } = options;
  const { old, next, sure } = hands;
  await sure();
  const began = performance.now();
  try {
    const fenced = pausesWrites
      ? await fenceByPause({ hands, capMs, began })
      : await fenceByRole({ old, capMs, tries, sure, applied: () => appliedBy(next) });
    if (fenced === 'too late')
      return Math.max(0, (await offsetOf(old)) - (await roleOf({ client: next })).offset);
    if (fenced === 'lost')
      throw new FerryError('Unreachable', `${shown(to.address)} stopped following ${shown(from.address)}`);
    await sure();
    await promote(to, next);
    return { began, ...fenced };
  } catch (error) {
    if (error instanceof FerryError && error.type === 'Unclear') throw error;
    // Nobody was told to move: everything resumes where it was. Unless another attempt has taken over, which must not
    // find its fence gone.
    const ours = await options.stillCurrent('begun').then(
      () => true,
      () => false,
    );
    if (ours) await release(old);
    throw error;
  }
}

/** Steps 1 to 3. `drainMs`: how long the new one took to have every byte. `goal`: how far the old one is behind its fence. */
async function fenceByPause(on: {
  hands: Hands;
  capMs: number;
  began: number;
}): Promise<{ drainMs: number; goal: number } | 'too late' | 'lost'> {
  const { hands, capMs, began } = on;
  const { old, sure } = hands;
  const pause = await pauseWrites({ client: old, ms: capMs });
  const all = await drained(hands, () => pause.remaining() - FENCE_MARGIN_MS);
  // An answer that came too late is none: writes go on again, so the fence would be a second, longer pause.
  if (all === null || pause.remaining() <= 0) {
    await resumeWrites({ client: old });
    return 'too late';
  }
  const drainMs = performance.now() - began;
  await sure();
  await pauseWrites({ client: old, ms: FENCE_MS });
  // What slipped in, should the first pause have ended before the fence stood. Nothing can follow it.
  const goal = await drained(hands, () => capMs + COMMAND_TIMEOUT_MS - (performance.now() - began));
  return goal === null ? 'lost' : { drainMs, goal };
}

/** The old one takes writes as before. Only while the new one was not promoted. */
async function release(old: Redis): Promise<void> {
  await resumeWrites({ client: old });
  await liftFenceByRole({ old });
}

/** Waits until the new one has applied every byte that the old one wrote; how many that are, or null past the time. */
async function drained({ old, next }: Hands, left: () => number): Promise<number | null> {
  const goal = await offsetOf(old);
  for (;;) {
    if ((await appliedBy(next)) >= goal) return goal;
    if (left() <= 0) return null;
    await wait(0.2);
  }
}

/** How far it has followed; -1 while its link is down. */
async function appliedBy(next: Redis): Promise<number> {
  const [, , , state, offset] = (await next.call('ROLE')) as unknown[];
  return state === 'connected' ? Number(offset) : -1;
}

async function offsetOf(client: Redis): Promise<number> {
  return parseRole(parseInfo(String(await client.call('INFO', 'replication')))).offset;
}

async function promote(to: HandoverSide, next: Redis): Promise<void> {
  try {
    await next.call('REPLICAOF', 'NO', 'ONE');
  } catch (error) {
    // Did it hear us? Only itself can say.
    const role = await lookAgain(to).catch(() => null);
    if (role?.role === 'replica') throw failureOn(next, error);
    if (role === null || role.replId2 === '')
      throw unclear(`${shown(to.address)} was told to take over and does not answer`);
  }
}

async function lookAgain({ address }: HandoverSide): Promise<Role> {
  const client = await connect({ address, name: 'ferry:look', commandTimeoutMs: COMMAND_TIMEOUT_MS });
  try {
    return await roleOf({ client });
  } finally {
    client.disconnect();
  }
}

/** Steps 5 and 6, and tidying up. Every command may be repeated. */
async function finish(
  options: HandoverOptions,
  hands: Hands,
  so: {
    pausesGivenUp: number;
    finishedLater: boolean;
    guard?: HandoverResult['guard'];
    began?: number;
    drainMs?: number;
    goal?: number;
  },
): Promise<HandoverResult> {
  const { from, to, user } = options;
  const { old, next } = hands;
  const fullBefore = (await roleOf({ client: next })).syncs.full;
  await options.stillCurrent('promoted');
  const guard =
    so.guard ??
    (await admit({ primary: next, follower: old, address: to.address, before: from.follow, user }));
  try {
    await options.repoint();
  } catch (error) {
    await takeBack(options, old, error);
    throw error;
  }
  const since = () => (so.began === undefined ? null : round(performance.now() - so.began));
  let pausedMs: number | null = null;
  const sent =
    options.lateMs === undefined
      ? null
      : await sendAwayUntilQuiet({
          client: old,
          forMs: options.lateMs,
          onSent: () => (pausedMs = since()),
        });
  const { dropped, offset } = await demote(old, to.at);
  if (!sent) pausedMs = since();

  await restoreFollow({ client: next, before: to.follow, serves: true });
  await dismissFollower({ primary: old, user });
  await linkUp({ client: old, stalledMs: LINK_TIMEOUT_MS, signal: NEVER });
  const role = await roleOf({ client: next });
  return {
    pausedMs,
    drainMs: so.drainMs === undefined ? null : round(so.drainMs),
    pausesGivenUp: so.pausesGivenUp,
    droppedClients: dropped + (sent ? sent.atOnce + sent.latecomers : 0),
    ...(sent ? { latecomers: sent.latecomers } : {}),
    finishedLater: so.finishedLater,
    slipped: so.goal === undefined || offset === null ? null : offset - so.goal,
    partial: role.syncs.full === fullBefore,
    durable: await rewriteConfig({ client: old }),
    guard,
  };
}

/**
 * Step 6 in one transaction, so that no client finds anything between: whoever waits is sent away, and whoever comes then meets a
 * replica. Harmless when it follows already. `offset`: how far the old one had come as a primary.
 */
async function demote(
  old: Redis,
  at: { host: string; port: number },
): Promise<{ dropped: number; offset: number | null }> {
  const was = await roleOf({ client: old });
  const transaction = old
    .multi()
    .info('replication')
    .call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    .call('CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes')
    .call('REPLICAOF', at.host, String(at.port));
  if (was.pausesWrites) transaction.call('CLIENT', 'UNPAUSE');
  const replies = await transaction.exec().catch((error: unknown) => {
    throw failureOn(old, error);
  });
  const failed = replies?.find(([error]) => error !== null)?.[0];
  if (failed || !replies) throw failureOn(old, failed ?? new Error('the transaction was discarded'));
  const [info, normal, pubsub] = replies.map(([, reply]) => reply);
  return {
    dropped: Number(normal) + Number(pubsub),
    offset: was.role === 'primary' ? parseRole(parseInfo(String(info))).offset : null,
  };
}

/**
 * The applications could not be told. Some may have moved and written all the same, so the old one takes over again in the same
 * way. Until then it refuses writes (READONLY).
 */
async function takeBack(options: HandoverOptions, old: Redis, error: unknown): Promise<void> {
  const { from, to, repointBack } = options;
  if (!repointBack) throw unclear(messageOf(error));
  await demote(old, to.at);
  await linkUp({ client: old, stalledMs: LINK_TIMEOUT_MS, signal: NEVER });
  await handOver({
    ...options,
    from: to,
    to: from,
    // Known durably as promoted: whoever finishes this begins with the applications on the new one.
    stillCurrent: () => options.stillCurrent('promoted'),
    promotedBefore: false,
    repoint: repointBack,
    repointBack: null,
    givenUp: 0,
    signal: NEVER,
  });
  // All is as it was in front of it: it may be tried again.
  await options.stillCurrent('begun');
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** An abort ends it early. */
function wait(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal) return sleep(ms, undefined, { signal }).catch(() => {});
  return new Promise((resolve) => (ms < 1 ? setImmediate(resolve) : setTimeout(resolve, ms)));
}
