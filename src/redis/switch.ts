/**
 * The moment of the switch, in either direction: the side that is left stops taking writes, its last changes are carried
 * over and compared, the applications are told the new address, and their old connections are closed.
 *
 * The order is what keeps every acknowledged write:
 *   1. catch up while writes go on, so that little is left;
 *   2. pause writes (the server itself ends the pause, whatever becomes of us);
 *   3. carry over the rest and compare it; past the cap everything resumes and it is tried again later;
 *   4. fence the side that is left: when the pause ends, its writes are refused, not accepted and lost;
 *   5. seal: all is over there; from here on applications may be told;
 *   6. repoint;
 *   7. close the old connections, then end the pause: blocked writes were never acknowledged, and none runs.
 */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { shown, type DatabaseMap, type ServerAddress } from './address.js';
import { clientsOf, dropClients } from './clients.js';
import { connect, withClient } from './connect.js';
import { BATCH, copyChanged, type ChangedResult } from './delta.js';
import { breakSeal, fence, fenceStanding, seal, unfence, type FenceBefore } from './fence.js';
import { soleHand } from './hands.js';
import { sendAwayUntilQuiet } from './latecomers.js';
import { pauseWrites, resumeWrites, type Pause } from './pause.js';
import { openConnection } from './resp.js';
import { startTracking, type Tracker } from './tracker.js';
import type { TargetKeys, Way } from './transfer.js';

export interface SwitchOptions {
  from: ServerAddress;
  to: ServerAddress;
  databases: DatabaseMap;
  match: string;
  ifTargetHasKeys: TargetKeys;
  /** How values go over, and how they would come back; default "dump". */
  way?: Way | undefined;
  wayBack?: Way | undefined;
  bigKey: number;
  /** Knows every change of `from` since everything was last in step. */
  tracker: Tracker;
  /** Longest pause in milliseconds; null where the server can't be paused. */
  pauseMs: number | null;
  /** Null where the server can't be fenced, or must not be since others use it. */
  fence: FenceBefore | null;
  name: string;
  signal: AbortSignal;
  /**
   * Tells durably how far it is; throws when another attempt has taken over. "called back": who had moved is sent back, and what they wrote
   * may for a moment be on the other side only.
   */
  stillCurrent: (standing: 'begun' | 'sealed' | 'called back') => Promise<void>;
  /**
   * Milliseconds since 1970. Writes were stopped then, by the fence: it is not lifted on the way, and stays where something fails, so
   * that it can be tried again.
   */
  stoppedAt?: number | undefined;
  /** Milliseconds. The applications are told by a rule that follows a moment late: who comes back meanwhile is sent away again. */
  lateMs?: number | undefined;
  /** True when an attempt before this one got as far as the seal. */
  sealedBefore: boolean;
  repoint: () => Promise<unknown>;
  repointBack: () => Promise<unknown>;
}

export interface SwitchResult {
  /** From the pause (or the fence) to the end of the repoint; null when an earlier attempt began it, and nobody knows when. */
  writePauseMs: number | null;
  /** Keys carried over under the pause. */
  keysUnderPause: number;
  /** Pauses that were given up because the cap came first. */
  pausesGivenUp: number;
  droppedClients: number;
  /** A later attempt finished what an earlier one began. */
  finishedLater: boolean;
}

type Carry = (rest: {
  watched: boolean;
  verify: boolean;
  deadline?: number;
  until?: () => boolean;
}) => Promise<ChangedResult>;

const NEVER = new AbortController().signal;
const TRIES = 5;
/** No command on the control connection takes long; a server that vanished without a word must not hold us for ever. */
const COMMAND_TIMEOUT_MS = 10_000;
/** What must be left of a pause for the fence to stand before it ends. */
const FENCE_MARGIN_MS = 250;

export async function switchOver(options: SwitchOptions): Promise<SwitchResult> {
  const { from, to, name, tracker, signal, stoppedAt } = options;
  // Cancelling is heeded between two tries, never in the middle of one: half a switch would be worse than a whole one.
  const control = await connect({ address: from, name, commandTimeoutMs: COMMAND_TIMEOUT_MS });
  const source = await openConnection({ address: from, name });
  const target = await openConnection({ address: to, name });
  const carry: Carry = (rest) => copyChanged({ ...options, signal: NEVER, source, target, ...rest });
  // Should the applications have to be told to stay, some may have moved and written already.
  const echo = options.fence
    ? await startTracking({ address: to, match: options.match, name }).catch(() => null)
    : null;
  try {
    await soleHand({ client: control, name });
    await withClient({ address: to, name }, (client) => soleHand({ client, name }));
    const standing = options.fence ? await fenceStanding({ client: control }) : 'none';
    if (standing === 'sealed' || options.sealedBefore) {
      await options.stillCurrent('sealed');
      // A source that was restarted in between has lost its fence; an attempt may have ended just before its seal.
      if (options.fence) {
        await fence({ client: control, before: options.fence });
        await seal({ client: control });
      }
      const droppedClients = await finish(options, control, null);
      return {
        writePauseMs: stoppedAt === undefined ? null : Date.now() - stoppedAt,
        keysUnderPause: 0,
        pausesGivenUp: 0,
        droppedClients,
        finishedLater: true,
      };
    }
    // An attempt died between fence and seal: nobody was told to move, so it begins anew.
    if (standing === 'fenced' && stoppedAt === undefined) await unfence({ client: control });

    for (let given = 0; given < TRIES; given += 1) {
      await caughtUp(carry, tracker, signal);
      await options.stillCurrent('begun');
      const held = performance.now() - (stoppedAt === undefined ? 0 : Date.now() - stoppedAt);
      const keys = await holdAndSeal(options, control, carry);
      if (keys === null) continue;
      // Up to here the changes there were our own.
      await echo?.barrier();
      echo?.take(echo.pending());
      const dropped = await finish(options, control, echo);
      return {
        writePauseMs: Math.round((performance.now() - held) * 10) / 10,
        keysUnderPause: keys,
        pausesGivenUp: given,
        droppedClients: dropped,
        finishedLater: false,
      };
    }
    throw new FerryError(
      'PauseTooLong',
      `${shown(from)}: the last changes did not fit into a pause of ${options.pauseMs} ms, ${TRIES} times`,
    );
  } finally {
    echo?.close();
    control.disconnect();
    source.close();
    target.close();
  }
}

/** Pauses, carries over the rest, fences and seals. Returns how many keys that were, or null when the cap came first. */
async function holdAndSeal(options: SwitchOptions, control: Redis, carry: Carry): Promise<number | null> {
  const { tracker } = options;
  try {
    const pause =
      options.pauseMs === null ? null : await pauseWrites({ client: control, ms: options.pauseMs });
    await tracker.barrier();
    const last = await carry({
      watched: true,
      verify: true,
      ...(pause ? { deadline: Date.now() + pause.remaining() - FENCE_MARGIN_MS } : {}),
    });
    mustBeKnown(tracker);
    if (last.different > 0) throw differs(last);
    if (!last.done || !hasTime(pause)) {
      await resumeWrites({ client: control });
      return null;
    }
    let keys = last.counts.looked;
    if (options.fence) {
      await fence({ client: control, before: options.fence });
      // What slipped in before the fence, if the pause was none or ended early, is carried over now that nothing can follow it.
      await tracker.barrier();
      const after = await carry({ watched: false, verify: true });
      mustBeKnown(tracker);
      if (after.different > 0) throw differs(after);
      keys += after.counts.looked;
    }
    await options.stillCurrent('sealed');
    if (options.fence) await seal({ client: control });
    return keys;
  } catch (error) {
    // Nobody was told to move: everything resumes on the side that serves. Unless another attempt has taken over meanwhile,
    // which must not find its fence gone.
    const ours = await options.stillCurrent('begun').then(
      () => true,
      () => false,
    );
    if (ours && options.stoppedAt === undefined) {
      await unfence({ client: control, before: options.fence ?? undefined }).catch(() => undefined);
      await resumeWrites({ client: control }).catch(() => undefined);
    }
    throw error;
  }
}

/** Behind the seal: the applications are told. When that fails and they could be told to stay, everything resumes where it was. */
async function finish(options: SwitchOptions, control: Redis, echo: Tracker | null): Promise<number> {
  try {
    await options.repoint();
  } catch (error) {
    // Told first: a later attempt must not believe the seal of this one once the fence is lifted. While the server's own seal
    // stands, that counts.
    await options.stillCurrent('begun');
    // When this fails too, some may have moved: the fence stays, and a person decides.
    await options.repointBack();
    if (options.fence) await callBack(options, control, { fence: options.fence, echo, error });
    await resumeWrites({ client: control });
    throw error;
  }
  if (options.lateMs !== undefined) {
    const sent = await sendAwayUntilQuiet({
      client: control,
      forMs: options.lateMs,
      onSent: () => undefined,
    });
    await resumeWrites({ client: control });
    return sent.atOnce + sent.latecomers;
  }
  const databases = options.databases.map(([source]) => source);
  const clients = await clientsOf({ client: control, ...(options.fence ? {} : { databases }) });
  const dropped = await dropClients({ client: control, ids: clients.map(({ id }) => id) });
  await resumeWrites({ client: control });
  return dropped;
}

/** Whoever has moved comes back, and what was written on the other side meanwhile comes along. */
async function callBack(
  options: SwitchOptions,
  control: Redis,
  on: { fence: FenceBefore; echo: Tracker | null; error: unknown },
): Promise<void> {
  const { from, to, name, tracker, stoppedAt } = options;
  const { echo, error } = on;
  await withClient({ address: to, name }, (client) => sendBack(options, client));
  await echo?.barrier();
  if (!echo || echo.lost() !== null) {
    const why = error instanceof Error ? error.message : String(error);
    throw new FerryError(
      'Unclear',
      `${why}. Applications may have moved and written to ${shown(to)}, so ${shown(from)} stays closed to writes`,
    );
  }
  if (echo.pending() === 0) {
    if (stoppedAt === undefined) await unfence({ client: control, before: on.fence });
    else await breakSeal({ client: control });
    return;
  }
  await options.stillCurrent('called back');
  await unfence({ client: control, before: on.fence });
  // What has been written here since is newer.
  const newer: Tracker = {
    ...echo,
    take(n) {
      return echo.take(n).filter((key) => !tracker.has(key));
    },
  };
  const databases: DatabaseMap = options.databases.map(([source, target]) => [target, source]);
  await copyChanged({
    ...options,
    source: to,
    target: from,
    databases,
    way: options.wayBack,
    tracker: newer,
    watched: false,
    verify: false,
    signal: NEVER,
  });
  // What was let in meanwhile is known to the tracker, and goes over with the next try.
  if (stoppedAt !== undefined) await fence({ client: control, before: on.fence });
  await options.stillCurrent('begun');
}

async function sendBack({ databases, lateMs }: SwitchOptions, client: Redis): Promise<void> {
  if (lateMs !== undefined) {
    await sendAwayUntilQuiet({ client, forMs: lateMs, onSent: () => undefined });
    return;
  }
  const there = await clientsOf({ client, databases: databases.map(([, target]) => target) });
  await dropClients({ client, ids: there.map(({ id }) => id), subscribers: true });
}

/** Passes shrink while the keys written during one are fewer than the keys it carried. */
async function caughtUp(carry: Carry, tracker: Tracker, signal: AbortSignal): Promise<void> {
  for (let before = Number.POSITIVE_INFINITY, passes = 0; passes < 20; passes += 1) {
    signal.throwIfAborted();
    const pending = tracker.pending();
    if (pending === 0 || (passes > 2 && pending >= before)) return;
    before = pending;
    // Only what was pending when it began: where a batch takes longer than the next keys take to come, it would never end.
    let batches = Math.ceil(pending / BATCH);
    await carry({ watched: passes === 0, verify: false, until: () => (batches -= 1) <= 0 });
    mustBeKnown(tracker);
  }
}

function hasTime(pause: Pause | null): boolean {
  return pause === null || pause.remaining() > FENCE_MARGIN_MS / 2;
}

function mustBeKnown(tracker: Tracker): void {
  const lost = tracker.lost();
  if (lost !== null)
    throw new FerryError(
      'Unknown',
      `changes at the source were missed (${lost}); everything is compared again`,
    );
}

function differs(result: ChangedResult): FerryError {
  const sample = result.samples.map(
    (difference) => `${difference.key} in database ${difference.database} (${difference.what})`,
  );
  return new FerryError(
    'ComparisonDiffers',
    `${result.different} keys still differ after they were copied: ${sample.slice(0, 5).join(', ')}`,
  );
}
