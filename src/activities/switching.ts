/** Switching the applications over, and back; the end of both. */
import type { Repoint } from '../inputs/redis-copy.js';
import { finishRepoint, repoint, type Direction, type Serving } from '../repoint/index.js';
import { servedDatabase } from '../repoint/types.js';
import { dropClients, clientsOf } from '../redis/clients.js';
import { deleteKeys, type ClearCheckpoint, type ClearResult } from '../redis/clear.js';
import { withClient } from '../redis/connect.js';
import { FerryError } from '../errors.js';
import { shown, type ServerAddress } from '../redis/address.js';
import { fenceBefore, fenceStanding, isFenced, unfence, type FenceBefore } from '../redis/fence.js';
import { connectionName } from '../redis/hands.js';
import { parseInfo } from '../redis/info.js';
import { forgetOwnKeys } from '../redis/ledger.js';
import { watchStragglers as watchFor, type Stragglers } from '../redis/stragglers.js';
import { switchOver, type SwitchResult } from '../redis/switch.js';
import { dropTracker, leaveTracker, takeTracker } from '../redis/tracker-pool.js';
import type { UndoResult } from '../contract.js';
import { border } from './border.js';
import { bringInStep } from './moving.js';
import { addressesOf, reversed, type Sides } from './sides.js';

export type { FenceBefore, Stragglers };

export interface SwitchInput {
  sides: Sides;
  name: string;
  repoint: Repoint;
  /** Milliseconds; null where the source can't be paused. */
  pauseMs: number | null;
  /** What to put back when the fence is lifted; null where there is none. */
  fence: FenceBefore | null;
  /** Counts the switches of this upgrade, forth and back. */
  epoch: number;
}

export interface SwitchOutcome extends SwitchResult {
  /** run_id of the target when it took over. */
  targetRunId: string;
  /** Everything had to be compared once more before the pause, since changes were missed. */
  comparedAgain: number | null;
}

interface Standing {
  standing: 'begun' | 'sealed';
}

export async function switchForward(input: SwitchInput): Promise<SwitchOutcome> {
  return border<SwitchOutcome, Standing>(async (b) => {
    const { sides, name, fence } = input;
    const { source, target } = await addressesOf(sides);
    const hand = connectionName(b.workflowId, { epoch: input.epoch, attempt: b.attempt });
    const at = ends({ source, target, sides });
    const sealed = b.last?.standing === 'sealed' || (fence !== null && (await withClient({ address: source, name: hand, signal: b.signal }, (client) => fenceStanding({ client }))) === 'sealed');
    const lease = await takeTracker({ key: b.workflowId, address: source, match: sides.match, name: connectionName(b.workflowId), track: sides.track });
    try {
      // Behind a seal the target may have taken writes already: nothing is carried over it any more.
      const compared = sealed ? null : await bringInStep(b, { sides, source, target, lease });
      const result = await switchOver({
        ...sides,
        from: source,
        to: target,
        tracker: lease.tracker,
        pauseMs: input.pauseMs,
        fence,
        name: hand,
        signal: b.signal,
        sealedBefore: sealed,
        stillCurrent: (standing) => b.stillCurrent({ standing }),
        repoint: () => repoint({ spec: input.repoint, direction: 'forward', name, serving: at.forward, signal: b.signal }),
        repointBack: () => repoint({ spec: input.repoint, direction: 'back', name, serving: at.back }),
      });
      return { ...result, targetRunId: await runIdOf(target, hand), comparedAgain: compared?.keysCompared ?? null };
    } finally {
      leaveTracker(b.workflowId, lease);
    }
  });
}

export interface SwitchBackInput extends SwitchInput {
  /** Null while it isn't clear whether the switch was made: then the servers are asked. */
  switched: { targetRunId: string } | null;
  /** run_id of the source before the switch. */
  sourceRunId: string;
  /** False: the writes made since are given up, which a person has accepted. */
  keepWrites: boolean;
  /** Titles of steps that must not be undone once writes stay behind on the target. */
  keepSteps: string[];
}

/** Goes back to the source with the writes made since. Harmless when nothing was switched. */
export async function switchBack(input: SwitchBackInput): Promise<UndoResult> {
  return border<UndoResult, Standing>(async (b) => {
    const { sides, name, fence } = input;
    const { source, target } = await addressesOf(sides);
    const hand = connectionName(b.workflowId, { epoch: input.epoch, attempt: b.attempt });
    const at = ends({ source, target, sides });
    const back = () => repoint({ spec: input.repoint, direction: 'back', name, serving: at.back, signal: b.signal });
    dropTracker(b.workflowId);

    const standing = fence === null ? 'unknown' : await withClient({ address: source, name: hand, signal: b.signal }, (client) => fenceStanding({ client }));
    if (b.last === undefined && input.switched === null && standing !== 'sealed' && standing !== 'unknown') {
      if ((await runIdOf(source, hand)) !== input.sourceRunId) {
        throw new FerryError('Unknown', `${shown(source)} was restarted during the switch, so it can't be told whether the applications have moved. Look at where they write, then use the break-glass card`);
      }
      await withClient({ address: source, name: hand, signal: b.signal }, (client) => unfence({ client, ...(fence ? { before: fence } : {}) }));
      return { note: 'the applications had not moved' };
    }

    const lift = () => withClient({ address: source, name: hand, signal: b.signal }, (client) => unfence({ client, ...(fence ? { before: fence } : {}) }));
    if (!input.keepWrites) {
      await lift();
      await back();
      await withClient({ address: target, name: hand, signal: b.signal }, async (client) => {
        await dropClients({ client, ids: (await clientsOf({ client, databases: sides.databases.map(([, to]) => to) })).map(({ id }) => id) });
      });
      return { note: 'repointed; the writes made since stay on the target', keep: { steps: input.keepSteps, because: `${shown(target)} keeps its keys: it holds the writes made since the switch` } };
    }

    const restarted = input.switched !== null && (await runIdOf(target, hand)) !== input.switched.targetRunId;
    if (restarted) {
      throw new FerryError('Unknown', `${shown(target)} was restarted since the switch, so it may have lost keys that the source still has: carrying its state back could delete them. Compare both by hand, then use the break-glass card`);
    }
    await lift();
    const mirrored: Sides = { ...sides, source: sides.target, target: sides.source, databases: reversed(sides.databases), ifTargetHasKeys: sides.ifTargetHasKeys === 'refuse' ? 'refuse' : 'replace' };
    const key = `${b.workflowId} back`;
    const lease = await takeTracker({ key, address: target, match: sides.match, name: connectionName(b.workflowId), track: sides.track });
    try {
      const targetFence = fence === null ? null : await withClient({ address: target, name: hand, signal: b.signal }, (client) => fenceBefore({ client }));
      await bringInStep(b, { sides: mirrored, source: target, target: source, lease });
      const result = await switchOver({
        ...mirrored,
        from: target,
        to: source,
        tracker: lease.tracker,
        pauseMs: input.pauseMs,
        fence: targetFence,
        name: hand,
        signal: b.signal,
        sealedBefore: b.last?.standing === 'sealed',
        stillCurrent: (now) => b.stillCurrent({ standing: now }),
        repoint: back,
        repointBack: () => repoint({ spec: input.repoint, direction: 'forward', name, serving: at.forward }),
      });
      // Whoever still holds the target's address is refused for a moment rather than believed, then it is free.
      const seen = await watchFor({ address: target, name: hand, databases: sides.databases.map(([, to]) => to), match: sides.match, until: SETTLE_MS, fenced: targetFence !== null });
      if (targetFence) await withClient({ address: target, name: hand, signal: b.signal }, (client) => unfence({ client, before: targetFence }));
      return { note: `went back with every write; writes paused ${result.writePauseMs ?? '?'} ms${seen.refused ? `, ${seen.refused} late writes refused` : ''}` };
    } finally {
      dropTracker(key);
      lease.tracker.close();
    }
  });
}

/** How long late clients of the side that was left are refused before its fence is lifted. */
const SETTLE_MS = 3_000;

export async function watchStragglers(input: { sides: Sides; fenced: boolean; forMs: number }): Promise<Stragglers> {
  return border<Stragglers>(async (b) => {
    const { source } = await addressesOf(input.sides);
    dropTracker(b.workflowId);
    return watchFor({
      address: source,
      name: connectionName(b.workflowId),
      databases: input.sides.databases.map(([from]) => from),
      match: input.sides.match,
      until: AbortSignal.any([b.signal, AbortSignal.timeout(input.forMs)]),
      fenced: input.fenced,
    });
  });
}

/** The end of the way forward: both are ordinary servers again, and nothing is kept for going back. */
export async function settle(input: { sides: Sides; fence: FenceBefore | null; repoint: Repoint | null }): Promise<void> {
  return border(async (b) => {
    const { sides, fence } = input;
    const { source, target } = await addressesOf(sides);
    const name = connectionName(b.workflowId);
    if (fence) await withClient({ address: source, name, signal: b.signal }, (client) => unfence({ client, before: fence }));
    if (input.repoint) await finishRepoint({ spec: input.repoint });
    await forgetOwnKeys({ address: target, databases: sides.databases.map(([, to]) => to), name, signal: b.signal });
    dropTracker(b.workflowId);
  });
}

/** Undo of a copy into a target that had keys: what was replaced is gone, so the copied keys stay. */
export async function keepTarget({ sides }: { sides: Sides }): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { target } = await addressesOf(sides);
    await forgetOwnKeys({ address: target, databases: sides.databases.map(([, to]) => to), name: connectionName(b.workflowId), signal: b.signal });
    dropTracker(b.workflowId);
    return { note: 'the copied keys stay on the target' };
  });
}

export type ClearOutcome = ClearResult;

/** Undo of the copy: takes the copied keys away from a target that was empty before. */
export async function clearTarget({ sides }: { sides: Sides }): Promise<UndoResult> {
  return border<UndoResult, ClearCheckpoint>(async (b) => {
    const { target } = await addressesOf(sides);
    dropTracker(b.workflowId);
    const result = await deleteKeys({
      address: target,
      databases: sides.databases.map(([, to]) => to),
      match: sides.match,
      checkpoint: b.last,
      name: connectionName(b.workflowId),
      signal: b.signal,
      onProgress: (_, checkpoint) => b.beat(checkpoint),
    });
    b.signal.throwIfAborted();
    return { note: `${result.deleted} copied keys removed from the target` };
  });
}

/** Proof that the source is as the comparison left it: the fence has stood since, on the same run of the server. */
export async function proveSourceUnchanged(input: { sides: Sides; sourceRunId: string }): Promise<{ unchanged: true }> {
  return border(async (b) => {
    const { source } = await addressesOf(input.sides);
    const name = connectionName(b.workflowId);
    const fenced = await withClient({ address: source, name, signal: b.signal }, (client) => isFenced({ client }));
    if (fenced === null) throw new FerryError('SourceChanged', `${shown(source)} is no longer fenced: it may have been written to since the comparison, so nothing is deleted from it`);
    if ((await runIdOf(source, name)) !== input.sourceRunId) {
      throw new FerryError('SourceChanged', `${shown(source)} was restarted since the comparison, so nothing is deleted from it`);
    }
    return { unchanged: true };
  });
}

/** Deletes the copied keys from the source. Only after its own gate. */
export async function clearSource(input: { sides: Sides; fence: FenceBefore | null; checkpoint?: ClearCheckpoint | undefined }): Promise<ClearOutcome> {
  return border<ClearOutcome, ClearCheckpoint>(async (b) => {
    const { sides, fence } = input;
    const { source } = await addressesOf(sides);
    const name = connectionName(b.workflowId);
    // The fence refuses deletions too. Its watch has shown that nobody is left to write.
    if (fence) await withClient({ address: source, name, signal: b.signal }, (client) => unfence({ client, before: fence }));
    return deleteKeys({
      address: source,
      databases: sides.databases.map(([from]) => from),
      match: sides.match,
      checkpoint: b.last ?? input.checkpoint,
      name,
      signal: b.signal,
      onProgress: (deleted, checkpoint) => {
        b.beat(checkpoint);
        b.show({ step: "Delete the source's keys", done: deleted, total: deleted, unit: 'keys', counts: { deleted } });
      },
    });
  });
}

async function runIdOf(address: ServerAddress, name: string): Promise<string> {
  return withClient({ address, name }, async (client) => parseInfo(String(await client.call('INFO', 'server')))['run_id'] ?? '');
}

/** The two ends as an application that knows one database reaches them. */
function ends(input: { source: ServerAddress; target: ServerAddress; sides: Sides }): Record<Direction, Serving> {
  const { source, target, sides } = input;
  return {
    forward: { address: target, database: servedDatabase({ map: sides.databases, direction: 'forward' }) },
    back: { address: source, database: servedDatabase({ map: sides.databases, direction: 'back' }) },
  };
}
