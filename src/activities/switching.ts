/** Switching the applications over, and back. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Told, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import type { Repoint } from '../inputs/repoint.js';
import { shown, type ServerAddress } from '../redis/address.js';
import { dropClients, clientsOf } from '../redis/clients.js';
import {
  endReturn,
  fenceBefore,
  fenceStanding,
  openForReturn,
  unfence,
  type FenceBefore,
} from '../redis/fence.js';
import { connectionName } from '../redis/hands.js';
import { resumeWrites } from '../redis/pause.js';
import { watchStragglers as watchFor } from '../redis/stragglers.js';
import { switchOver, type SwitchResult } from '../redis/switch.js';
import { dropTracker, leaveTracker, takeTracker } from '../redis/tracker-pool.js';
import { prepareRepoint, repoint, type Direction, type Readied, type Serving } from '../repoint/index.js';
import { servedDatabase } from '../repoint/types.js';
import { onServer, runIdOf } from './asking.js';
import { border, type Border } from './border.js';
import { takeHold } from './holding.js';
import { countPause } from './metrics.js';
import { bringInStep } from './moving.js';
import { addressesOf, mirrored, type Sides } from './sides.js';
import type { Stopped } from './stopping.js';

export type { FenceBefore };

export interface SwitchInput {
  sides: Sides;
  name: string;
  repoint: Repoint;
  /** Milliseconds; null where the source can't be paused. */
  pauseMs: number | null;
  /** What to put back when the fence is lifted; null where there is none. */
  fence: FenceBefore | null;
  /** What an earlier try told of itself when it failed. */
  told?: Told | undefined;
  /** Writes have been stopped already, by this fence (`stopWrites`). */
  stopped?: Stopped | undefined;
  /** Milliseconds: see SwitchOptions. */
  lateMs?: number | undefined;
  /** Where the undo stands for a release: what its debris is found by. */
  of?: { namespace: string; release: string } | undefined;
}

export interface SwitchOutcome extends SwitchResult {
  /** run_id of the source when it was left, and of the target when it took over. */
  sourceRunId: string;
  targetRunId: string;
  /** The source was restarted behind its seal, and had no fence for a moment. */
  sourceRestarted: boolean;
  /** Everything had to be compared once more before the pause, since changes were missed. */
  comparedAgain?: number;
}

/** How far it got, and the run of the server that is left: a fence that is gone after a restart says nothing. */
interface Standing {
  standing:
    | 'begun'
    | 'sealed'
    | 'called back'
    /** That it ended so was said, and a person has looked. */
    | 'called back, said'
    | 'back begun'
    | 'back sealed'
    | 'back called back'
    | 'home';
  runId: string;
}

export async function switchForward(input: SwitchInput): Promise<SwitchOutcome> {
  return border<SwitchOutcome, Standing>(async (b) => {
    const { sides, name, fence } = input;
    const { source, target } = await addressesOf(sides);
    const at = ends({ source, target, sides });
    const last = b.last ?? standingOf(input.told);
    const confirm = await takeHold(b, [source, target]);
    const runId = await runIdOf(source, b.hand);
    const seal = fence === null ? 'none' : await standingOn(b, source);
    if (last?.standing === 'called back') {
      b.beat({ standing: 'called back, said', runId });
      throw new FerryError(
        'Unclear',
        `${halfBack({ stayed: source, moved: target })}. Compare both by hand. Retried, ${shown(source)} goes over as it is, and what only ${shown(target)} has is replaced`,
      );
    }
    const sealed = seal === 'sealed' || last?.standing === 'sealed';
    await b.stillCurrent({ standing: sealed ? 'sealed' : 'begun', runId });
    // Told first that nobody was sent away: the undo relies on it.
    if (input.stopped && !sealed && (seal !== 'fenced' || runId !== input.stopped.runId))
      throw new FerryError(
        'SourceChanged',
        `${shown(source)} takes writes again (it was restarted, its fence was lifted by hand, or a switch was called back): what was written since is not on ${shown(target)}. Nobody was sent there. Go back, and begin anew`,
      );
    const lease = await takeTracker({
      key: b.workflowId,
      address: source,
      match: sides.match,
      name: connectionName(b.workflowId),
      track: sides.track,
    });
    let ready: Readied | undefined;
    try {
      // Behind a seal the target may have taken writes already: nothing is carried over it any more.
      const compared = sealed ? null : await bringInStep(b, { sides, source, target, lease, confirm });
      b.signal.throwIfAborted();
      if (!sealed)
        ready = await prepareRepoint({
          spec: input.repoint,
          direction: 'forward',
          name,
          serving: at.forward,
          signal: b.signal,
        });
      const result = await switchOver({
        ...sides,
        lateMs: input.lateMs,
        stoppedAt: input.stopped?.at,
        from: source,
        to: target,
        tracker: lease.tracker,
        pauseMs: input.pauseMs,
        fence,
        name: b.hand,
        signal: b.signal,
        sealedBefore: sealed,
        stillCurrent: (standing) => b.stillCurrent({ standing, runId }),
        repoint: () =>
          repoint({
            spec: input.repoint,
            direction: 'forward',
            name,
            serving: at.forward,
            signal: b.signal,
            ready,
          }),
        repointBack: () => repoint({ spec: input.repoint, direction: 'back', name, serving: at.back }),
      });
      countPause(result.writePauseMs, 'forward');
      return {
        ...result,
        sourceRunId: runId,
        targetRunId: await runIdOf(target, b.hand),
        sourceRestarted: fence !== null && sealed && seal !== 'sealed' && last?.runId !== runId,
        ...(compared ? { comparedAgain: compared.keysCompared } : {}),
      };
    } finally {
      ready?.end();
      if (b.abandoned()) lease.tracker.close();
      else leaveTracker(b.workflowId, lease);
    }
  });
}

export interface SwitchBackInput extends SwitchInput {
  /** Null while it isn't clear whether the switch was made: then the servers are asked. */
  switched: { targetRunId: string } | null;
  /** run_id of the source before the upgrade. */
  sourceRunId: string;
  /** False: the writes made since are given up, which a person has accepted. */
  keepWrites: boolean;
  /** Titles of steps that must not be undone once writes stay behind on the target. */
  keepSteps: string[];
  /** Nobody is to use the target afterwards: its fence stays. */
  retires?: boolean | undefined;
}

/**
 * Goes back to the source with the writes made since. Harmless when nothing was switched, and when it went back already.
 *
 * Where the applications are is read from the servers: the seal of the side that they were told to leave outlives worker and
 * workflow. Where that can't tell, a person is asked: carrying one side over the other would destroy what it took meanwhile.
 */
export async function switchBack(input: SwitchBackInput): Promise<UndoResult> {
  return border<UndoResult, Standing>(async (b) => {
    const { sides, name, fence, switched, keepWrites } = input;
    const { source, target } = await addressesOf(sides);
    const at = ends({ source, target, sides });
    const forward = () => repoint({ spec: input.repoint, direction: 'forward', name, serving: at.forward });
    const back = () =>
      repoint({ spec: input.repoint, direction: 'back', name, serving: at.back, signal: b.signal });
    const told = standingOf(input.told);
    dropTracker(b.workflowId);
    const confirm = await takeHold(b, [source, target]);
    const before = b.last ?? told;
    if (before?.standing.includes('called back')) {
      const forth = !before.standing.startsWith('back ');
      b.beat({ ...before, standing: forth ? 'begun' : 'back begun' });
      throw new FerryError(
        'WouldLose',
        halfBack(forth ? { stayed: source, moved: target } : { stayed: target, moved: source }),
      );
    }

    // Where writes are given up nothing is carried over anything, so it matters less.
    const where = switched && !keepWrites ? 'target' : await whereabouts(b, { source, target, input, told });
    if (where === 'not moved') {
      await onServer(b, source, async (client) => {
        await endReturn({ client, before: fence ?? NO_FENCE });
        await resumeWrites({ client });
      });
      return { note: 'the applications had not moved' };
    }
    if (!keepWrites) {
      if (fence) await onServer(b, source, (client) => endReturn({ client, before: fence }));
      await back();
      await onServer(b, target, async (client) => {
        await dropClients({
          client,
          ids: (await clientsOf({ client, databases: sides.databases.map(([, to]) => to) })).map(
            ({ id }) => id,
          ),
        });
      });
      return {
        note: 'repointed; the writes made since stay on the target',
        keep: {
          steps: input.keepSteps,
          because: `${shown(target)} keeps its keys: it holds the writes made since the switch`,
        },
      };
    }

    const targetFence =
      fence === null ? null : await onServer(b, target, (client) => fenceBefore({ client }));
    const runId = await runIdOf(target, b.hand);
    let result: SwitchResult | null = null;
    if (where !== 'home') {
      if (where === 'target' && switched !== null && runId !== switched.targetRunId) {
        throw new FerryError(
          'Unclear',
          `${shown(target)} was restarted since the switch, so it may have lost keys that the source still has: carrying its state back could delete them. Compare both by hand, then use the break-glass card`,
        );
      }
      if (where === 'between') {
        // Some may have been told already. Where all are on one side, all can be brought to the other.
        await forward();
        await onServer(b, source, async (client) => {
          await dropClients({ client, ids: (await clientsOf({ client })).map(({ id }) => id) });
          await resumeWrites({ client });
        });
        // Whoever comes now with an address that it read before meets the fence, and reads it again.
        await sleep(STALE_MS, undefined, { signal: b.signal }).catch(() => {});
      }
      if (where !== 'returned' && fence)
        await onServer(b, source, (client) => openForReturn({ client, before: fence }));
      const reverse = mirrored(sides);
      const key = `${b.workflowId} back`;
      const lease = await takeTracker({
        key,
        address: target,
        match: sides.match,
        name: connectionName(b.workflowId),
        track: sides.track,
      });
      try {
        // Told to have returned, the applications have written at the source: nothing is carried over that.
        if (where !== 'returned')
          await bringInStep(b, { sides: reverse, source: target, target: source, lease, confirm });
        b.signal.throwIfAborted();
        result = await switchOver({
          ...reverse,
          lateMs: input.lateMs,
          from: target,
          to: source,
          tracker: lease.tracker,
          pauseMs: input.pauseMs,
          fence: targetFence,
          name: b.hand,
          signal: b.signal,
          sealedBefore: where === 'returned',
          stillCurrent: (standing) => b.stillCurrent({ standing: `back ${standing}`, runId }),
          repoint: back,
          repointBack: forward,
        });
        countPause(result.writePauseMs, 'back');
      } finally {
        dropTracker(key);
        lease.tracker.close();
      }
    }
    // Whoever still holds the target's address is refused for a moment rather than believed, then it is free.
    const seen = await watchFor({
      address: target,
      name: b.hand,
      databases: sides.databases.map(([, to]) => to),
      match: sides.match,
      track: sides.track,
      until: SETTLE_MS,
      fenced: targetFence !== null && where !== 'home',
    });
    await b.stillCurrent({ standing: 'home', runId });
    if (fence) await onServer(b, source, (client) => endReturn({ client, before: fence }));
    if (targetFence && !input.retires)
      await onServer(b, target, (client) => unfence({ client, before: targetFence }));
    return {
      note: `went back with every write; writes paused ${result?.writePauseMs ?? '?'} ms${seen.refused ? `, ${seen.refused} late writes refused` : ''}`,
    };
  });
}

/**
 * Where the applications write, as far as it can be known.
 * - not moved: on the source, and were never told otherwise
 * - between: told to move, but perhaps not all of them
 * - target: on the target
 * - returned: told to go back to the source
 * - home: back on the source, and only fences are left to be lifted
 */
type Whereabouts = 'not moved' | 'between' | 'target' | 'returned' | 'home';

async function whereabouts(
  b: Border<Standing>,
  on: { source: ServerAddress; target: ServerAddress; input: SwitchBackInput; told: Standing | undefined },
): Promise<Whereabouts> {
  const { source, target, input, told } = on;
  const { fence, switched } = input;
  const ofUndo = told !== undefined && told.standing !== 'begun' && told.standing !== 'sealed';
  const own = b.last ?? (ofUndo ? told : undefined);
  const ofSwitch = ofUndo ? undefined : told;
  if (own?.standing === 'home') return 'home';
  if (fence === null) {
    // Nothing on the servers tells: only what was told.
    if (own) return own.standing === 'back sealed' ? 'returned' : 'target';
    if (switched) return 'target';
    if (ofSwitch) return ofSwitch.standing === 'begun' ? 'not moved' : 'between';
    throw unclear(`${shown(source)} could not be fenced, and the switch was broken off`);
  }

  if ((await standingOn(b, target)) === 'sealed') return 'returned';
  switch (await standingOn(b, source)) {
    case 'sealed':
      return switched ? 'target' : 'between';
    case 'returning':
      return 'target';
    case 'fenced':
      return 'not moved';
    default: {
      if (switched)
        throw unclear(`The fence of ${shown(source)} is gone (lifted by hand, or the server was restarted)`);
      if (own === undefined) {
        if (ofSwitch?.standing === 'begun') return 'not moved';
        if ((await runIdOf(source, b.hand)) === (ofSwitch?.runId ?? input.sourceRunId)) return 'not moved';
      }
      throw unclear(`${shown(source)} was restarted during the switch`);
    }
  }
}

/** The worker ended between letting writes in again and carrying over what had been written on the other side. */
function halfBack({ stayed, moved }: { stayed: ServerAddress; moved: ServerAddress }): string {
  return `The applications could not all be told, and were sent back to ${shown(stayed)} after some had written to ${shown(moved)}; the worker that carried those writes back ended meanwhile, so some of them may be on ${shown(moved)} only`;
}

function unclear(why: string): FerryError {
  return new FerryError(
    'Unclear',
    `${why}, so it can't be told where the applications write. Nothing was changed now`,
  );
}

/** How long an application may take from reading its address to its first write there. */
const STALE_MS = 500;

const NO_FENCE: FenceBefore = { kind: 'min-replicas', settings: {} };

function standingOf(told: Told | undefined): Standing | undefined {
  const checkpoint = told?.checkpoint;
  return typeof checkpoint === 'object' && checkpoint !== null && 'standing' in checkpoint
    ? (checkpoint as Standing)
    : undefined;
}

function standingOn(b: Border<Standing>, address: ServerAddress) {
  return onServer(b, address, (client) => fenceStanding({ client }));
}

/** How long late clients of the side that was left are refused before its fence is lifted. */
const SETTLE_MS = 3_000;

/** The two ends as an application that knows one database reaches them. */
function ends(input: {
  source: ServerAddress;
  target: ServerAddress;
  sides: Sides;
}): Record<Direction, Serving> {
  const { source, target, sides } = input;
  return {
    forward: { address: target, database: servedDatabase({ map: sides.databases, direction: 'forward' }) },
    back: { address: source, database: servedDatabase({ map: sides.databases, direction: 'back' }) },
  };
}
