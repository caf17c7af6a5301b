/** After the switch, and instead of it: watching the side that was left, proving, clearing, and the end. */
import type { UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import type { Repoint } from '../inputs/repoint.js';
import { shown } from '../redis/address.js';
import { timeLimit } from '../platform/time-limit.js';
import { deleteKeys, type ClearCheckpoint, type ClearResult } from '../redis/clear.js';
import { withClient } from '../redis/connect.js';
import {
  fence as setFence,
  fenceStanding,
  isFenced,
  seal,
  unfence,
  type FenceBefore,
} from '../redis/fence.js';
import { removeFunctions } from '../redis/functions.js';
import { connectionName } from '../redis/hands.js';
import { forgetOwnKeys } from '../redis/ledger.js';
import { watchStragglers as watchFor, type Stragglers } from '../redis/stragglers.js';
import { dropTracker } from '../redis/tracker-pool.js';
import { finishRepoint } from '../repoint/index.js';
import { onServer, fenceStandingOf, runIdOf, leave } from './asking.js';
import { border } from './border.js';
import { takeHold } from './holding.js';
import { addressesOf, type Sides } from './sides.js';

export type { Stragglers };

export interface WatchOutcome {
  /** False when it was interrupted: what was seen so far counts. */
  done: boolean;
  checkpoint: Stragglers;
}

/** A fence does not outlive a restart of its server: one that has fallen is set again, and what was written meanwhile shows. */
export async function watchStragglers(input: {
  sides: Sides;
  fence: FenceBefore | null;
  forMs: number;
  checkpoint?: Stragglers | undefined;
}): Promise<WatchOutcome> {
  return border<WatchOutcome, Stragglers>(async (b) => {
    const { source } = await addressesOf(input.sides);
    const before = b.last ?? input.checkpoint;
    const { fence: standing } = input;
    dropTracker(b.workflowId);
    const raise = (): Promise<boolean> =>
      onServer(b, source, async (client) => {
        if (standing === null || (await fenceStanding({ client })) !== 'none') return false;
        await setFence({ client, before: standing });
        await seal({ client });
        return true;
      });
    const fallen = await raise();
    const told = (looked: Stragglers): Stragglers => (fallen ? { ...looked, fenceHeld: false } : looked);
    const limit = timeLimit({
      ms: Math.max(0, input.forMs - (before?.seconds ?? 0) * 1_000),
      signal: b.signal,
    });
    const seen = await watchFor({
      address: source,
      name: connectionName(b.workflowId),
      databases: input.sides.databases.map(([from]) => from),
      match: input.sides.match,
      track: input.sides.track,
      until: limit.signal,
      fenced: standing !== null,
      onSeen: (soFar) => b.beat(together(before, told(soFar))),
    }).finally(limit.clear);
    if (seen.fenceHeld === false) await raise();
    return { done: !b.signal.aborted, checkpoint: together(before, told(seen)) };
  });
}

function sum(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : a + b;
}

/** Two watches, one after the other, as one. */
function together(before: Stragglers | undefined, seen: Stragglers): Stragglers {
  if (!before) return seen;
  return {
    changed: sum(before.changed, seen.changed),
    changedSample: [...new Set([...before.changedSample, ...seen.changedSample])].slice(0, 20),
    gone: sum(before.gone, seen.gone),
    refused: sum(before.refused, seen.refused),
    clients:
      before.clients === null || seen.clients === null
        ? (before.clients ?? seen.clients)
        : Math.max(before.clients, seen.clients),
    clientSample: [
      ...seen.clientSample,
      ...before.clientSample.filter(({ id }) => !seen.clientSample.some((other) => other.id === id)),
    ].slice(0, 20),
    seconds: before.seconds + seen.seconds,
    fenceHeld: before.fenceHeld === false ? false : seen.fenceHeld,
  };
}

/** The end of the way forward: both are ordinary servers again, and nothing is kept for going back. */
export async function settle(input: {
  sides: Sides;
  fence: FenceBefore | null;
  repoint: Repoint | null;
}): Promise<void> {
  return border(async (b) => {
    const { sides, fence } = input;
    const { source, target } = await addressesOf(sides);
    const name = connectionName(b.workflowId);
    if (fence)
      await withClient({ address: source, name, signal: b.signal }, (client) =>
        unfence({ client, before: fence }),
      );
    if (input.repoint) await finishRepoint({ spec: input.repoint });
    await forgetOwnKeys({
      address: target,
      databases: sides.databases.map(([, to]) => to),
      name,
      signal: b.signal,
    });
    await leave(b, [source, target]);
  });
}

/** Undo of a copy into a target that had keys: what was replaced is gone, so the copied keys stay. */
export async function keepTarget({ sides }: { sides: Sides }): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { source, target } = await addressesOf(sides);
    await forgetOwnKeys({
      address: target,
      databases: sides.databases.map(([, to]) => to),
      name: connectionName(b.workflowId),
      signal: b.signal,
    });
    await leave(b, [source, target]);
    return { note: 'the copied keys stay on the target' };
  });
}

export type ClearOutcome = ClearResult;

/** Undo of the copy: takes the copied keys away from a target that was empty before. */
export async function clearTarget({ sides }: { sides: Sides }): Promise<UndoResult> {
  return border<UndoResult, ClearCheckpoint>(async (b) => {
    const { source, target } = await addressesOf(sides);
    dropTracker(b.workflowId);
    const confirm = await takeHold(b, [source, target]);
    if ((await fenceStandingOf(b, source)) === 'sealed') {
      throw new FerryError(
        'Unclear',
        `${shown(source)} is sealed: the applications were told to use ${shown(target)}, so its keys are not removed`,
      );
    }
    const result = await deleteKeys({
      address: target,
      databases: sides.databases.map(([, to]) => to),
      match: sides.match,
      checkpoint: b.last,
      name: b.hand,
      confirm,
      signal: b.signal,
      onProgress: (_, checkpoint) => b.beat(checkpoint),
    });
    b.signal.throwIfAborted();
    const libraries = sides.functions
      ? await removeFunctions({
          source,
          target,
          own: sides.functions.own,
          name: b.hand,
          confirm,
          signal: b.signal,
        })
      : [];
    await leave(b, [source, target]);
    const too = libraries.length > 0 ? `, and the function libraries ${libraries.join(', ')}` : '';
    return { note: `${result.deleted} copied keys removed from the target${too}` };
  });
}

/** Proof that the source is as the comparison left it: the fence has stood since, on the same run of the server. */
export async function proveSourceUnchanged(input: {
  sides: Sides;
  sourceRunId: string;
}): Promise<{ unchanged: true }> {
  return border(async (b) => {
    const { source } = await addressesOf(input.sides);
    const name = connectionName(b.workflowId);
    const fenced = await withClient({ address: source, name, signal: b.signal }, (client) =>
      isFenced({ client }),
    );
    if (fenced === null)
      throw new FerryError(
        'SourceChanged',
        `${shown(source)} is no longer fenced: it may have been written to since the comparison, so nothing is deleted from it`,
      );
    if ((await runIdOf(source, name)) !== input.sourceRunId) {
      throw new FerryError(
        'SourceChanged',
        `${shown(source)} was restarted since the comparison, so nothing is deleted from it`,
      );
    }
    return { unchanged: true };
  });
}

/** Deletes the copied keys from the source. Only after its own gate. */
export async function clearSource(input: {
  sides: Sides;
  fence: FenceBefore | null;
  checkpoint?: ClearCheckpoint | undefined;
}): Promise<ClearOutcome> {
  return border<ClearOutcome, ClearCheckpoint>(async (b) => {
    const { sides, fence } = input;
    const { source } = await addressesOf(sides);
    const confirm = await takeHold(b, [source]);
    // The fence refuses deletions too. Its watch has shown that nobody is left to write.
    if (fence) await onServer(b, source, (client) => unfence({ client, before: fence }));
    return deleteKeys({
      address: source,
      databases: sides.databases.map(([from]) => from),
      match: sides.match,
      checkpoint: b.last ?? input.checkpoint,
      name: b.hand,
      confirm,
      signal: b.signal,
      onProgress: (deleted, checkpoint) => {
        b.beat(checkpoint);
        b.show({
          step: "Delete the source's keys",
          done: deleted,
          total: deleted,
          unit: 'keys',
          counts: { deleted },
        });
      },
    });
  });
}
