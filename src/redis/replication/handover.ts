/**
 * The moment in which a replica takes over from its primary, in either direction, without losing a write.
 *
 * The order is what keeps every acknowledged write, and never has two servers that take them:
 *   1. pause writes at the old one (the server itself ends the pause, whatever becomes of us);
 *   2. wait until the new one has every byte; past the cap everything resumes, and a better moment is waited for;
 *   3. fence the old one: the pause may end now, its writes are refused and not accepted and lost;
 *   4. promote the new one;
 *   5. repoint;
 *   6. close the clients' old connections: blocked writes were never acknowledged, and none runs;
 *   7. let the old one follow the new one, from where it stands (no full resync), and end the pause.
 *
 * The roles of the two servers tell how far an attempt came, so that the next one, on any worker, can finish it.
 */
import type { Redis } from 'ioredis';
import { FerryError } from '../../errors.js';
import { shown, type ServerAddress } from '../address.js';
import { connect, failureOn, messageOf } from '../connect.js';
import { fence, isFenced, unfence, type FenceBefore } from '../fence.js';
import { soleHand } from '../hands.js';
import { parseInfo } from '../info.js';
import { pauseWrites, resumeWrites } from '../pause.js';
import {
  admit,
  dismissFollower,
  follow,
  linkUp,
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
  fence: FenceBefore;
}

export interface HandoverOptions {
  /** Takes the writes now. */
  from: HandoverSide;
  /** Follows it, and takes the writes afterwards. */
  to: HandoverSide;
  /** Longest pause in milliseconds until the old one is fenced. */
  capMs: number;
  /** How many pauses may be given up before this attempt is. */
  tries: number;
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
  /** Where the repoint fails, everything goes back by this; null: a person decides. */
  repointBack: (() => Promise<unknown>) | null;
}

export interface HandoverResult {
  /** From the pause to the end of it, as the server kept it, in milliseconds; null when an earlier attempt began it. */
  pausedMs: number | null;
  /** Of these, until the new one had every byte. */
  drainMs: number | null;
  pausesGivenUp: number;
  droppedClients: number;
  /** A later attempt finished what an earlier one began. */
  finishedLater: boolean;
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
const FENCE_MARGIN_MS = 50;
/** Behind the fence a pause loses nothing: it keeps keys from expiring and clients from errors until the old one follows. */
const BEHIND_FENCE_MS = 5_000;
/** How long "still current" is believed: less than it takes Temporal to start another attempt. */
const BELIEVED_MS = 1_000;
/** Bytes behind at which a pause is worth beginning. */
const NEARLY = 1024 * 1024;
const LINK_TIMEOUT_MS = 15_000;
const NEVER = new AbortController().signal;

type How =
  | { standing: 'ready' }
  /** The old one is fenced, and nobody promoted the new one. */
  | { standing: 'fenced' }
  /** The new one takes writes; the old one is fenced or follows already. */
  | { standing: 'promoted' };

/** Two control connections and what is known of the other's roles. */
interface Hands {
  old: Redis;
  next: Redis;
  /** Asks again whether this attempt is still current, where that was some time ago. */
  sure: () => Promise<void>;
}

/** @throws FerryError; everything has resumed on the old side then, unless the type is Unclear */
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
    const how = await lookAt(options, hands);
    if (how.standing === 'promoted')
      return await finish(options, hands, { pausesGivenUp: 0, finishedLater: true });
    const guard = await admit({
      primary: next,
      follower: old,
      address: to.address,
      before: from.follow,
      user: options.user,
    });
    for (let given = 0; given < options.tries; given += 1) {
      signal.throwIfAborted();
      await nearlyInStep(hands, signal);
      const held = await holdAndPromote(options, hands, how.standing === 'fenced');
      if (held === null) continue;
      return await finish(options, hands, {
        pausesGivenUp: given,
        finishedLater: how.standing === 'fenced',
        guard,
        ...held,
      });
    }
    throw new FerryError(
      'PauseTooLong',
      `${shown(to.address)} did not get into step with ${shown(from.address)} within a pause of ${options.capMs} ms, ${options.tries} times`,
    );
  } finally {
    old.disconnect();
    next.disconnect();
  }
}

/** The new one doesn't answer. Where nobody was told of it, and it can't be taking writes, everything resumes on the old one. */
async function withoutTheNew(on: { options: HandoverOptions; old: Redis; error: unknown }): Promise<void> {
  const { options, old, error } = on;
  const { from, to, promotedBefore } = options;
  if (promotedBefore) throw unclear(`${shown(to.address)} has taken over and does not answer`);
  if ((await isFenced({ client: old })) === null) return;
  await options.stillCurrent('begun');
  // Refused: there is no process any more. Anything else may be the network, with a server behind it that was promoted.
  if (!/refused the connection/.test(messageOf(error)))
    throw unclear(`${shown(to.address)} may have been promoted, and can not be asked`);
  await resume(old, from);
}

function unclear(why: string): FerryError {
  return new FerryError(
    'Unclear',
    `${why}, so it can't be told where the applications write. Nothing was changed now`,
  );
}

/** How far an earlier attempt came. @throws FerryError when the two servers are no pair (any more) */
async function lookAt({ from, to, promotedBefore }: HandoverOptions, { old, next }: Hands): Promise<How> {
  const [was, will] = await Promise.all([roleOf({ client: old }), roleOf({ client: next })]);
  if (will.role === 'replica') {
    if (was.role === 'replica') throw notAPair(from, to, 'both are replicas');
    if (promotedBefore) throw unclear(`${shown(to.address)} had taken over and is a replica again`);
    const fenced = (await isFenced({ client: old })) !== null;
    if (will.replId !== was.replId || will.follows?.linkUp !== true) {
      if (fenced) await resume(old, from);
      throw notAPair(from, to, `${shown(to.address)} is not in step`);
    }
    return { standing: fenced ? 'fenced' : 'ready' };
  }
  // A promoted replica remembers the stream that it followed; one that was restarted remembers nothing.
  if (was.role === 'replica' ? was.follows?.port === to.at.port : will.replId2 === was.replId)
    return { standing: 'promoted' };
  if (promotedBefore)
    throw unclear(`${shown(from.address)} or ${shown(to.address)} was restarted in the middle of it`);
  if (was.role === 'primary' && (await isFenced({ client: old })) !== null) await resume(old, from);
  throw notAPair(from, to, `${shown(to.address)} does not follow it (was it restarted?)`);
}

function notAPair(from: HandoverSide, to: HandoverSide, why: string): FerryError {
  return new FerryError('Unknown', `${shown(from.address)} can't hand over to ${shown(to.address)}: ${why}`);
}

async function nearlyInStep({ old, next }: Hands, signal: AbortSignal): Promise<void> {
  const until = performance.now() + LINK_TIMEOUT_MS;
  for (;;) {
    const [was, will] = await Promise.all([roleOf({ client: old }), roleOf({ client: next })]);
    if (was.offset - will.offset < NEARLY || performance.now() > until) return;
    await wait(50);
    signal.throwIfAborted();
  }
}

/** Steps 1 to 4. Null when the cap came first: then everything goes on as before. */
async function holdAndPromote(
  options: HandoverOptions,
  hands: Hands,
  fenced: boolean,
): Promise<{ began: number; drainMs: number } | null> {
  const { from, capMs } = options;
  const { old, next, sure } = hands;
  await sure();
  const began = performance.now();
  try {
    const pause = await pauseWrites({ client: old, ms: fenced ? BEHIND_FENCE_MS : capMs });
    if (!(await drained(hands, () => pause.remaining() - FENCE_MARGIN_MS))) {
      if (fenced)
        throw new FerryError('Unknown', 'the new server stopped following while the old one was fenced');
      await resumeWrites({ client: old });
      return null;
    }
    const drainMs = performance.now() - began;
    await sure();
    if (!fenced) {
      await fence({ client: old, before: from.fence });
      await pauseWrites({ client: old, ms: BEHIND_FENCE_MS });
    }
    // What slipped in, should the pause have ended before the fence stood. Nothing can follow it.
    if (!(await drained(hands, () => BEHIND_FENCE_MS / 2 - (performance.now() - began))))
      throw new FerryError('Unknown', 'the new server stopped following while the old one was fenced');
    await sure();
    await promote(options, hands);
    return { began, drainMs };
  } catch (error) {
    if (error instanceof FerryError && error.type === 'Unclear') throw error;
    // Nobody was told to move: everything resumes where it was. Unless another attempt has taken over, which must not
    // find its fence gone.
    const ours = await options.stillCurrent('begun').then(
      () => true,
      () => false,
    );
    if (ours) await resume(old, from);
    throw error;
  }
}

async function resume(old: Redis, from: HandoverSide): Promise<void> {
  await unfence({ client: old, before: from.fence });
  await resumeWrites({ client: old });
}

/** Waits until the new one has applied every byte that the old one wrote. */
async function drained({ old, next }: Hands, left: () => number): Promise<boolean> {
  const goal = parseRole(parseInfo(String(await old.call('INFO', 'replication')))).offset;
  for (;;) {
    const [, , , state, offset] = (await next.call('ROLE')) as unknown[];
    if (state === 'connected' && Number(offset) >= goal) return true;
    if (left() <= 0) return false;
    await wait(0.2);
  }
}

async function promote({ to }: HandoverOptions, { next }: Hands): Promise<void> {
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

/** Steps 5 to 7, and tidying up. Every command may be repeated. */
async function finish(
  options: HandoverOptions,
  hands: Hands,
  so: {
    pausesGivenUp: number;
    finishedLater: boolean;
    guard?: HandoverResult['guard'];
    began?: number;
    drainMs?: number;
  },
): Promise<HandoverResult> {
  const { from, to, user } = options;
  const { old, next } = hands;
  const fullBefore = (await roleOf({ client: next })).syncs.full;
  const guard =
    so.guard ??
    (await admit({ primary: next, follower: old, address: to.address, before: from.follow, user }));
  await options.stillCurrent('promoted');
  try {
    await options.repoint();
  } catch (error) {
    await takeBack(options, old, error);
    throw error;
  }
  const dropped = await dropAll(old);
  await follow({ client: old, at: to.at });
  await resumeWrites({ client: old });
  const pausedMs = so.began === undefined ? null : round(performance.now() - so.began);

  await unfence({ client: old, before: from.fence });
  await restoreFollow({ client: next, before: to.follow });
  await dismissFollower({ primary: old, user });
  await linkUp({ client: old, timeoutMs: LINK_TIMEOUT_MS, signal: NEVER });
  const role = await roleOf({ client: next });
  return {
    pausedMs,
    drainMs: so.drainMs === undefined ? null : round(so.drainMs),
    pausesGivenUp: so.pausesGivenUp,
    droppedClients: dropped,
    finishedLater: so.finishedLater,
    partial: role.syncs.full === fullBefore,
    durable: await rewriteConfig({ client: old }),
    guard,
  };
}

/**
 * The applications could not be told. Some may have moved and written all the same, so the old one takes over again in the same way,
 * while whoever waits there goes on waiting.
 */
async function takeBack(options: HandoverOptions, old: Redis, error: unknown): Promise<void> {
  const { from, to, repointBack } = options;
  if (!repointBack) throw unclear(messageOf(error));
  await follow({ client: old, at: to.at });
  await unfence({ client: old, before: from.fence });
  await linkUp({ client: old, timeoutMs: LINK_TIMEOUT_MS, signal: NEVER });
  await handOver({
    ...options,
    from: to,
    to: from,
    // Known durably as promoted: whoever finishes this begins with the applications on the new one.
    stillCurrent: () => options.stillCurrent('promoted'),
    promotedBefore: false,
    repoint: repointBack,
    repointBack: null,
    signal: NEVER,
  });
  await resumeWrites({ client: old });
}

/** All at once: one by one would take as long as there are clients. Replicas stay. */
async function dropAll(client: Redis): Promise<number> {
  const counts = await Promise.all(
    ['normal', 'pubsub'].map((type) => client.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')),
  ).catch((error: unknown) => {
    throw failureOn(client, error);
  });
  return counts.reduce<number>((sum, count) => sum + Number(count), 0);
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => (ms < 1 ? setImmediate(resolve) : setTimeout(resolve, ms)));
}
