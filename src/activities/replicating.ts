/** Letting a server follow another one, handing over between them, watching the way back, and the end of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Check, Told, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import type { SwitchoverSettings } from '../inputs/redis-switchover.js';
import type { Repoint } from '../inputs/repoint.js';
import { milliseconds } from '../inputs/refs.js';
import { listJournals, pendingUndos } from '../platform/journal.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { inside, shown, type ServerAddress } from '../redis/address.js';
import { withClient } from '../redis/connect.js';
import { describe, type ServerFacts } from '../redis/describe.js';
import { highestFormat, type Formats } from '../redis/format.js';
import { breakGlassPrefix } from '../redis/break-glass.js';
import { connectionName, dismiss } from '../redis/hands.js';
import { keyspaceIn, parseInfo } from '../redis/info.js';
import { resumeWrites } from '../redis/pause.js';
import {
  admit,
  dismissFollower,
  follow,
  followBefore,
  keepBacklog,
  linkUp,
  replicationUser,
  restoreFollow,
  rewriteConfig,
  stopFollowing,
  type FollowBefore,
} from '../redis/replication/follow.js';
import {
  handOver,
  tookOver,
  type HandoverOptions,
  type HandoverResult,
  type HandoverSide,
} from '../redis/replication/handover.js';
import { preflightReplication } from '../redis/preflight/replication.js';
import { lostOnReturn } from '../redis/preflight/way-back.js';
import { inputRate, roleOf } from '../redis/replication/role.js';
import { surveyBetween, surveyOf, type CoupleSurvey } from '../redis/survey/index.js';
import { openConnection } from '../redis/resp.js';
import {
  describeRepoint,
  finishRepoint,
  forgetServer,
  forgetServerByHand,
  prepareRepoint,
  repoint,
  repointByHand,
  watchersOf,
} from '../repoint/index.js';
import { onServer } from './asking.js';
import { border, type Border } from './border.js';
import { underCanary, withCanary } from './canary.js';
import { takeHold } from './holding.js';

/** What every activity here is told. */
export interface Couple {
  source: RedisEndpoint;
  target: RedisEndpoint;
  /** `host:port` at which the other server reaches it; null: the worker's own address. */
  reach: { source: string | null; target: string | null };
  before: { source: FollowBefore; target: FollowBefore };
  /** Of the processes that take part; missing in histories of before they were asked for. */
  runIds?: { source: string; target: string } | undefined;
}

/** The Helm release that the servers belong to: by it what a terminated upgrade left is found in journals. */
interface Owner {
  namespace: string;
  release: string;
}

export interface CoupleFacts {
  source: ServerFacts;
  target: ServerFacts;
  formats: { source: Formats; target: Formats };
  couple: Couple;
  /** Bytes of changes to keep on both, for the way back. */
  backlogBytes: number;
  /** What clients send to the source now. */
  bytesPerSecond: number;
  /** What both are used for. */
  survey: CoupleSurvey;
  targetEmpty: boolean;
  /** How the applications are told, for the plan. */
  repointSays: string[];
  /** Shell lines that restore service without us, in the middle of the switch and after it. */
  byHand: string[];
  /** The same for the end. */
  /** What going back loses although the old one follows; empty when nothing. */
  lostOnReturn: string;
  closeByHand: string[];
}

export async function describeCouple({ settings }: { settings: SwitchoverSettings }): Promise<CoupleFacts> {
  return border((b) => coupleOf(b, settings));
}

/** Both servers as they are. Reads only. */
export async function coupleOf(
  b: Pick<Border<never>, 'workflowId' | 'signal'>,
  settings: SwitchoverSettings,
): Promise<CoupleFacts> {
  const name = connectionName(b.workflowId);
  const look = async (side: 'source' | 'target') => {
    const address = await resolveEndpoint({ endpoint: settings[side], where: side });
    const facts = await describe({ address, name, signal: b.signal });
    const connection = await openConnection({ address, name, signal: b.signal });
    try {
      return await withClient({ address, name, signal: b.signal }, async (client) => ({
        facts,
        address,
        before: await followBefore({ client }),
        bytesPerSecond: await inputRate({ client }),
        survey: await surveyOf({ client }),
        formats: await highestFormat(connection),
      }));
    } finally {
      connection.close();
    }
  };
  const [source, target] = [await look('source'), await look('target')];
  // A reference that leads nowhere is said now, and not in the receipt.
  if (settings.canary !== false && settings.canary.endpoint !== undefined)
    await resolveEndpoint({ endpoint: settings.canary.endpoint, where: 'canary.endpoint' });
  return {
    source: source.facts,
    target: target.facts,
    formats: { source: source.formats, target: target.formats },
    couple: {
      source: settings.source,
      target: settings.target,
      reach: { source: settings.reach.source ?? null, target: settings.reach.target ?? null },
      before: { source: source.before, target: target.before },
      runIds: { source: source.facts.runId, target: target.facts.runId },
    },
    backlogBytes: Math.max(
      LEAST_BACKLOG,
      Math.ceil(source.bytesPerSecond * (milliseconds(settings.linkDownFor) / 1_000) * 1.5),
    ),
    bytesPerSecond: source.bytesPerSecond,
    survey: surveyBetween({ source: source.survey, target: target.survey }),
    targetEmpty: Object.values(target.facts.databases).every(({ keys }) => keys === 0),
    repointSays: describeRepoint(settings.repoint),
    byHand: handOverByHand({
      settings,
      source: source.address,
      target: target.address,
      pausesWrites: source.facts.can.pauseWrites,
    }),
    lostOnReturn: lostOnReturn({ source: source.facts, target: target.facts }),
    closeByHand: [
      `${breakGlassPrefix({ address: source.address, endpoint: settings.source })} REPLICAOF NO ONE`,
      ...forgetServerByHand(settings.repoint),
    ],
  };
}

const LEAST_BACKLOG = 64 * 1024 * 1024;

/** One line that looks first: before the promotion the source goes on serving, after it the target does. */
function handOverByHand(on: {
  settings: SwitchoverSettings;
  source: ServerAddress;
  target: ServerAddress;
  pausesWrites: boolean;
}): string[] {
  const { settings, source, target, pausesWrites } = on;
  const old = breakGlassPrefix({ address: source, endpoint: settings.source });
  const next = breakGlassPrefix({ address: target, endpoint: settings.target });
  const at = placeOf(settings.reach.target ?? null, target);
  const told = repointByHand({
    spec: settings.repoint,
    direction: 'forward',
    name: settings.name,
    serving: { address: target, database: 0 },
    endpoint: settings.target,
  });
  // 6.0 has no pause of ours: its fence is that it is a replica.
  const [resume, release] = pausesWrites
    ? [`${old} CLIENT UNPAUSE`, ` && ${old} CLIENT UNPAUSE`]
    : [`${old} REPLICAOF NO ONE`, ''];
  return [
    `if ${next} ROLE | head -n 1 | grep -q slave; then ${resume}; else { ${told.join(' && ')}; } && ${old} REPLICAOF ${at.host} ${at.port}${release}; fi`,
  ];
}

export async function preflightCouple(input: {
  settings: SwitchoverSettings;
  facts: CoupleFacts;
}): Promise<Check[]> {
  return border(async (b) => {
    const { settings, facts } = input;
    return preflightReplication({
      source: facts.source,
      target: facts.target,
      formats: {
        sourceWrites: facts.formats.source.highest,
        targetAccepts: facts.formats.target.accepts,
        targetWrites: facts.formats.target.highest,
        sourceAccepts: facts.formats.source.accepts,
      },
      survey: facts.survey,
      bytesPerSecond: facts.bytesPerSecond,
      linkDownFor: settings.linkDownFor,
      ifTargetHasKeys: settings.ifTargetHasKeys,
      watchers: await watchersOf({ spec: settings.repoint, signal: b.signal }),
      maxPauseMs: milliseconds(settings.maxPause),
      backlogBytes: facts.backlogBytes,
      notified: settings.notify !== undefined,
      own: connectionName(b.workflowId),
      notUndone: (await listJournals({ workflowId: b.workflowId })).flatMap(({ runId, entries }) =>
        runId === b.runId ? [] : pendingUndos(entries).map(({ title }) => title),
      ),
    });
  });
}

/** Lets the target follow the source, and waits until it is in step. Every command may be repeated. */
export async function startReplication(input: {
  couple: Couple;
  backlogBytes: number;
  /** How long the link may be down. */
  backlogSeconds: number;
}): Promise<{
  seconds: number;
  guard: 'run-time user' | 'swapdb only';
  runIds?: Couple['runIds'];
}> {
  return border(async (b) => {
    const { couple, backlogBytes, backlogSeconds } = input;
    const { source, target } = await sidesOf(couple);
    const began = performance.now();
    await takeHold(b, [source.address, target.address]);
    return onBoth(b, { source, target }, async ({ source: primary, target: follower }) => {
      const { role, runId } = await roleOf({ client: primary });
      if (role !== 'primary')
        throw new FerryError('ReadOnlyTarget', `${shown(source.address)} is no primary any more`);
      for (const client of [primary, follower])
        await keepBacklog({ client, bytes: backlogBytes, seconds: backlogSeconds });
      const guard = await admit({
        primary,
        follower,
        address: source.address,
        before: target.follow,
        user: replicationUser(b.workflowId),
      });
      await follow({ client: follower, at: source.at });
      await linkUp({
        client: follower,
        stalledMs: STALLED_MS,
        signal: b.signal,
        onLook: (bytes) =>
          b.show({ step: 'Replicate', done: bytes.received, total: bytes.total, unit: 'bytes', counts: {} }),
      });
      return {
        seconds: Math.round((performance.now() - began) / 100) / 10,
        guard,
        runIds: { source: runId, target: (await roleOf({ client: follower })).runId },
      };
    });
  });
}

/**
 * The same where one of both was restarted since, as pods are: it follows again, unless the source came back without what the target
 * holds. Harmless while it follows. @throws FerryError Unclear where following would lose keys
 */
export async function followAgain(
  input: Parameters<typeof startReplication>[0],
): Promise<{ again: boolean; runIds?: Couple['runIds'] }> {
  const { couple } = input;
  const follows = await border(async (b) => {
    const { source, target } = await sidesOf(couple);
    return onBoth(b, { source, target }, async (clients) => {
      const until = performance.now() + COMES_BACK_MS;
      for (;;) {
        const [was, is] = [
          await roleOf({ client: clients.source }),
          await roleOf({ client: clients.target }),
        ];
        if (tookOver({ will: is, was, runId: couple.runIds?.target }))
          throw new FerryError('Unclear', `${shown(target.address)} has taken over already`);
        if (was.role === 'primary' && is.follows?.linkUp === true && is.replId === was.replId) return true;
        // What was restarted doesn't come back by itself, or not to the same place.
        const same = was.runId === couple.runIds?.source && is.runId === couple.runIds.target;
        if (!same || performance.now() > until) break;
        await sleep(200, undefined, { signal: b.signal });
      }
      const [there, here] = [await keysOf(clients.source), await keysOf(clients.target)];
      if (there < here / 2)
        throw new FerryError(
          'Unclear',
          `${shown(source.address)} holds ${there} keys, and ${shown(target.address)} ${here}: the source came back without its data, and following it would remove the copy. Restore the source first, then retry`,
        );
      return false;
    });
  });
  if (follows) return { again: false };
  const { runIds } = await startReplication(input);
  return { again: true, runIds };
}

/** A link that was cut for a moment. */
const COMES_BACK_MS = 5_000;

async function keysOf(client: Redis): Promise<number> {
  const info = parseInfo(String(await client.call('INFO', 'keyspace')));
  return Object.values(keyspaceIn(info)).reduce((sum, { keys }) => sum + keys, 0);
}

/** A primary may need minutes to write its file before it sends the first byte. */
const STALLED_MS = 10 * 60_000;

/** Undo of the above: the target is an empty server again, as it was. Nothing is removed from a server that serves. */
export async function stopReplication({
  couple,
  wasEmpty,
  repoint: spec,
}: {
  couple: Couple;
  wasEmpty: boolean;
  repoint: Repoint;
  of?: Owner;
}): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { source, target } = await sidesOf(couple);
    await takeHold(b, [source.address, target.address]);
    return onBoth(b, { source, target }, async (clients) => {
      const [primary, follower] = [
        await roleOf({ client: clients.source }),
        await roleOf({ client: clients.target }),
      ];
      if (
        primary.role !== 'primary' ||
        tookOver({ will: follower, was: primary, runId: couple.runIds?.target })
      )
        throw new FerryError(
          'Unclear',
          `${shown(target.address)} has taken over from ${shown(source.address)}, so its keys are not removed`,
        );
      const followed = follower.role === 'replica';
      if (followed) await stopFollowing({ client: clients.target });
      await restoreFollow({ client: clients.target, before: target.follow });
      await restoreFollow({ client: clients.source, before: source.follow });
      await dismissFollower({ primary: clients.source, user: replicationUser(b.workflowId) });
      // Only what came over this link: a target that never followed holds what it held.
      if (followed && wasEmpty) await clients.target.call('FLUSHALL', 'ASYNC');
      for (const client of [clients.source, clients.target]) {
        await rewriteConfig({ client });
        await dismiss({ client, workflowId: b.workflowId });
      }
      await forgetServer({ spec, gone: target.address, signal: b.signal });
      return { note: followed && wasEmpty ? 'the target is empty again' : 'the target follows no more' };
    });
  });
}

export type Standing = { standing: 'begun' | 'promoted' };

export interface HandOverInput {
  couple: Couple;
  of?: Owner;
  name: string;
  repoint: Repoint;
  /** Milliseconds. */
  capMs: number;
  canary: SwitchoverSettings['canary'];
  /** Bytes behind at which a pause is begun. */
  maxLag: number;
  /** Title, for the progress. */
  step?: string;
  told?: Told | undefined;
}

export interface HandOverForwardInput extends HandOverInput {
  /** Where an earlier one was interrupted. */
  checkpoint?: { pausesGivenUp: number } | undefined;
  /** Nothing is tried: whatever an attempt that died may have left held is finished, or let go. */
  settle?: boolean;
}

export type HandOverOutcome = HandoverResult;
type HandOverTries =
  { done: false; checkpoint: { pausesGivenUp: number } } | { done: true; outcome: HandOverOutcome };

/** The cutover. Cancelled between two of its tries it says how many pauses it gave up; everything goes on at the source then. */
export async function handOverForward(input: HandOverForwardInput): Promise<HandOverTries> {
  return border<HandOverTries, Standing>(async (b) => {
    let { pausesGivenUp } = input.checkpoint ?? { pausesGivenUp: 0 };
    const signal = input.settle === true ? AbortSignal.abort() : b.signal;
    try {
      const outcome = await hand(b, input, 'forward', standingOf(b, input), {
        signal,
        givenUp: pausesGivenUp,
        onGivenUp(givenUp, lagBytes) {
          pausesGivenUp = givenUp;
          b.show({
            step: input.step ?? 'Switch the applications over',
            done: givenUp,
            total: TRIES,
            unit: 'tries',
            counts: { pausesGivenUp, lagBytes },
          });
        },
      });
      return { done: true, outcome };
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
      return { done: false, checkpoint: { pausesGivenUp } };
    }
  });
}

/** The same as a piece of something else. */
export function handOverIn(b: Border<Standing>, input: HandOverInput): Promise<HandOverOutcome> {
  return hand(b, input, 'forward', standingOf(b, input));
}

/** Goes back with every write. Harmless when nothing was switched, and when it went back already. */
export async function handOverBack(input: HandOverInput): Promise<UndoResult> {
  return border<UndoResult, Standing>(async (b) => {
    const { source, target } = await sidesOf(input.couple);
    await takeHold(b, [source.address, target.address]);
    const [was, is] = await onBoth(b, { source, target }, async (clients) => [
      await roleOf({ client: clients.source }),
      await roleOf({ client: clients.target }),
    ]);
    if (!was || !is) throw new Error('both servers were asked');
    if (was.role === 'primary' && is.role === 'replica') {
      await onServer(b, source.address, (client) => resumeWrites({ client }));
      return withCanary(b, { note: 'the applications had not moved' }, { back: false });
    }
    // Both promoted: an attempt died in the middle. A promoted server remembers whose stream it followed.
    const returning = tookOver({ will: was, was: is, runId: input.couple.runIds?.source });
    if (was.role === 'primary' && was.replId2 === is.replId && !returning)
      throw new FerryError(
        'Unclear',
        `${shown(source.address)} was restarted since and takes writes: it holds what it held then, and not what ${shown(target.address)} has got since. Let it follow again first (REPLICAOF), then retry`,
      );
    // Left on the way forward, some applications may have been told. Where all are on one side, all can be brought to the other.
    if (was.role === 'primary' && !returning) await hand(b, input, 'forward', true);
    const { pausedMs } = await hand(b, input, 'back', returning);
    const note = `went back with every write; writes paused ${pausedMs ?? '?'} ms`;
    return withCanary(b, { note }, { back: input.canary !== false });
  });
}

function standingOf(b: Border<Standing>, { told }: HandOverInput): boolean {
  const checkpoint = (b.last ?? told?.checkpoint) as Standing | undefined;
  return checkpoint?.standing === 'promoted';
}

async function hand(
  b: Border<Standing>,
  input: HandOverInput,
  direction: 'forward' | 'back',
  promotedBefore: boolean,
  trying: Pick<HandoverOptions, 'signal' | 'givenUp' | 'onGivenUp'> = { signal: b.signal },
): Promise<HandOverOutcome> {
  const { source, target } = await sidesOf(input.couple);
  const [from, to] = direction === 'forward' ? [source, target] : [target, source];
  // Nothing is paused yet; past that point it has to do.
  const ready = promotedBefore
    ? null
    : await prepareRepoint({
        spec: input.repoint,
        direction,
        name: input.name,
        serving: { address: to.address, database: 0 },
        leaving: from.address,
        signal: b.signal,
      });
  const tell = (to: HandoverSide, leaving: HandoverSide, way: 'forward' | 'back') => () =>
    repoint({
      spec: input.repoint,
      direction: way,
      name: input.name,
      serving: { address: to.address, database: 0 },
      leaving: leaving.address,
      ready: ready ?? undefined,
      // Behind the fence: its own time-out ends it, and nothing else.
      signal: NEVER,
    });
  const under = {
    canary: input.canary,
    way: direction,
    servers: [from.address, to.address],
    begun: promotedBefore,
  };
  return underCanary(b, under, () =>
    handOver({
      from,
      to,
      capMs: input.capMs,
      maxLag: input.maxLag,
      tries: TRIES,
      name: b.hand,
      user: replicationUser(b.workflowId),
      ...trying,
      stillCurrent: (standing) => b.stillCurrent({ standing }),
      promotedBefore,
      repoint: tell(to, from, direction),
      repointBack: tell(from, to, direction === 'forward' ? 'back' : 'forward'),
      // The rules of a node may follow a Service a moment later.
      ...(input.repoint.kind === 'kubernetesService' ? { lateMs: LATE_MS } : {}),
    }),
  ).finally(() => ready?.end());
}

/** The longest that who comes a moment late is sent away for. */
const LATE_MS = 3_000;

/** With half a second between two of them: a busy moment passes, or a person is asked. */
const TRIES = 20;
const NEVER = new AbortController().signal;

/** Closes the way back: the source follows no more, and both are ordinary servers. */
export async function endReplication(input: { couple: Couple; repoint: Repoint; of?: Owner }): Promise<void> {
  return border(async (b) => {
    const { couple } = input;
    const { source, target } = await sidesOf(couple);
    await takeHold(b, [source.address, target.address]);
    await onBoth(b, { source, target }, async (clients) => {
      await stopFollowing({ client: clients.source });
      await restoreFollow({ client: clients.source, before: source.follow });
      await restoreFollow({ client: clients.target, before: target.follow });
      await dismissFollower({ primary: clients.target, user: replicationUser(b.workflowId) });
      await forgetServer({ spec: input.repoint, gone: source.address, signal: b.signal });
      await finishRepoint({ spec: input.repoint });
      for (const client of [clients.source, clients.target]) {
        await rewriteConfig({ client });
        await dismiss({ client, workflowId: b.workflowId });
      }
    });
  });
}

/** Both servers, as the engine wants them. */
export async function sidesOf(couple: Couple): Promise<Record<'source' | 'target', HandoverSide>> {
  const side = async (which: 'source' | 'target'): Promise<HandoverSide> => {
    const address = await resolveEndpoint({ endpoint: couple[which], where: which });
    return {
      address,
      at: placeOf(couple.reach[which], address),
      follow: couple.before[which],
      runId: couple.runIds?.[which],
    };
  };
  return { source: await side('source'), target: await side('target') };
}

function placeOf(reach: string | null, address: ServerAddress): { host: string; port: number } {
  if (reach === null) return inside(address);
  const colon = reach.lastIndexOf(':');
  return { host: reach.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(reach.slice(colon + 1)) };
}

export async function onBoth<T>(
  b: Pick<Border<never>, 'hand' | 'signal'>,
  sides: Record<'source' | 'target', HandoverSide>,
  use: (clients: Record<'source' | 'target', Redis>) => Promise<T>,
): Promise<T> {
  return onServer(b, sides.source.address, (source) =>
    onServer(b, sides.target.address, (target) => use({ source, target })),
  );
}
