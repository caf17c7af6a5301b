/** Copying, following and comparing. Each hands the tracker of changes to the next, and its checkpoint to whoever goes on with it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerAddress } from '../redis/address.js';
import { compareAll, type CompareCheckpoint, type CompareResult } from '../redis/compare.js';
import { copyAll, type CopyCheckpoint, type CopyCounts } from '../redis/copy.js';
import { copyChanged } from '../redis/delta.js';
import { carryFunctions } from '../redis/functions.js';
import { connectionName } from '../redis/hands.js';
import { leaveTracker, takeTracker, type Lease } from '../redis/tracker-pool.js';
import { border, type Border } from './border.js';
import { takeHold } from './holding.js';
import { countCarried, countCompared, countCopy, noteInStep, tellLag } from './metrics.js';
import { addressesOf, debugLog, type Sides } from './sides.js';

export interface CopyInput {
  sides: Sides;
  checkpoint?: CopyCheckpoint | undefined;
}
export interface CopyOutcome {
  done: boolean;
  checkpoint: CopyCheckpoint;
  counts: CopyCounts;
  /** From which attempt's checkpoint it went on; 0 when it ran through in one go. */
  resumedFrom: number;
  /** Names of the function libraries that the target has from the source. */
  functions: string[];
}

/** Copies every key, and from its beginning on knows which keys change. */
export async function copyKeys({ sides, checkpoint: given }: CopyInput): Promise<CopyOutcome> {
  return border<CopyOutcome, CopyCheckpoint>(async (b) => {
    const { source, target } = await addressesOf(sides);
    const checkpoint = b.last ?? given;
    const count = countCopy(checkpoint?.counts);
    const confirm = await takeHold(b, [source, target]);
    return tracked(b, sides, source, async (lease) => {
      // A fresh start behind a running tracker misses nothing; going on behind a new one misses what happened between.
      // While a copy is interrupted, "in step" says that it may go on behind this tracker.
      lease.inStep = sides.track && (checkpoint === undefined || lease.inStep);
      const result = await copyAll({
        ...sides,
        source,
        target,
        rate: () => sides.rate,
        checkpoint,
        tracker: sides.track ? lease.tracker : undefined,
        name: b.hand,
        confirm,
        signal: b.signal,
        onProgress: (progress, at) => {
          b.beat(at);
          count(progress);
          const { database, keysInSource, ...counts } = progress;
          b.show({
            step: 'Copy every key',
            done: counts.copied + counts.skipped + counts.gone + counts.expired,
            total: keysInSource,
            unit: 'keys',
            counts: { ...counts, database },
          });
          debugLog(sides, b.workflowId, 'copy', progress);
        },
      });
      const functions = result.done ? await carryLibraries(b, { sides, source, target, confirm }) : [];
      return { ...result, functions, resumedFrom: checkpoint?.counts.copied ?? 0 };
    });
  });
}

/** Begins to follow a source whose keys another tool has copied. Harmless when it was done. */
export async function takeOver({ sides }: { sides: Sides }): Promise<Record<string, never>> {
  return border(async (b) => {
    const { source, target } = await addressesOf(sides);
    await takeHold(b, [source, target]);
    return tracked(b, sides, source, async () => ({}));
  });
}

export interface CompareInput {
  sides: Sides;
  checkpoint?: CompareCheckpoint | undefined;
  /**
   * Makes differences good only where changes were missed: anywhere else a difference is a fault, and must be seen. "all but extra"
   * is for what another tool has copied: what only the target has may be its own.
   */
  repair: 'never' | 'when changes were missed' | 'all but extra' | 'always';
}
export interface CompareOutcome extends CompareResult {
  resumedFrom: number;
  /** Every change since its beginning is known: what was compared stays compared. */
  unbroken: boolean;
  /** Names of the function libraries that are the same on both sides. */
  functions: string[];
}

/** Compares both sides in both directions. Where changes were missed it makes them good. */
export async function compareKeys({
  sides,
  checkpoint: given,
  repair,
}: CompareInput): Promise<CompareOutcome> {
  return border<CompareOutcome, CompareCheckpoint>(async (b) => {
    const { source, target } = await addressesOf(sides);
    const confirm = await takeHold(b, [source, target]);
    return tracked(b, sides, source, async (lease) =>
      compareUnder(b, {
        sides,
        source,
        target,
        lease,
        repair,
        confirm,
        checkpoint: b.last ?? given,
        beat: b.beat,
      }),
    );
  });
}

interface InStep {
  sides: Sides;
  source: ServerAddress;
  target: ServerAddress;
  lease: Lease;
  confirm: () => Promise<void>;
}

async function compareUnder<Beat>(
  b: Border<Beat>,
  input: InStep & {
    repair: CompareInput['repair'];
    checkpoint?: CompareCheckpoint | undefined;
    beat?: (at: CompareCheckpoint) => void;
  },
): Promise<CompareOutcome> {
  const { sides, source, target, lease, confirm, repair, checkpoint, beat } = input;
  // Without a tracker nothing stays compared: whoever needs both sides equal compares again, and makes good what differs.
  const unbroken = sides.track && (lease.inStep || checkpoint === undefined);
  const functions = await carryLibraries(b, input);
  const count = countCompared(checkpoint?.perDatabase);
  const result = await compareAll({
    ...sides,
    source,
    target,
    rate: () => sides.rate,
    checkpoint,
    repair:
      repair === 'all but extra'
        ? repair
        : repair === 'always' || (repair === 'when changes were missed' && !lease.inStep),
    tracker: sides.track ? lease.tracker : undefined,
    name: b.hand,
    confirm,
    signal: b.signal,
    onProgress: (progress, at) => {
      beat?.(at);
      count(progress);
      const { database, keysInSource, ...counts } = progress;
      b.show({
        step: 'Compare both sides',
        done: counts.keysCompared,
        total: keysInSource,
        unit: 'keys',
        counts: { ...counts, database },
      });
      debugLog(sides, b.workflowId, 'compare', progress);
    },
  });
  if (result.done && unbroken) lease.inStep = true;
  return {
    ...result,
    resumedFrom: checkpoint?.perDatabase.reduce((sum, { keysCompared }) => sum + keysCompared, 0) ?? 0,
    unbroken,
    functions,
  };
}

/** Looks every half second for changed keys. */
const FOLLOW_EVERY = 500;

/** Keeps the target in step until it is cancelled: while people decide, the last pass stays short. */
export async function followKeys({ sides }: { sides: Sides }): Promise<{ passes: number }> {
  return border<{ passes: number }, undefined>(async (b) => {
    const { source, target } = await addressesOf(sides);
    return tracked(b, sides, source, async (lease) => {
      const confirm = await takeHold(b, [source, target]);
      let passes = 0;
      for (; !b.signal.aborted; passes += 1) {
        if (!lease.inStep && sides.track)
          await compareUnder(b, { sides, source, target, lease, confirm, repair: 'always' });
        else if (lease.tracker.pending() > 0) {
          const { counts } = await copyChanged({
            ...sides,
            source,
            target,
            tracker: lease.tracker,
            watched: false,
            verify: false,
            name: b.hand,
            confirm,
            signal: b.signal,
          });
          countCarried(counts.copied + counts.deleted);
        }
        // Thrown, so that the next attempt starts with a new tracker and compares everything.
        const lost = lease.tracker.lost();
        if (lost !== null) throw new Error(`changes at the source were missed (${lost})`);
        if (!b.signal.aborted) noteInStep(lease.tracker);
        b.show({
          step: 'Follow the source',
          done: 0,
          total: lease.tracker.pending(),
          unit: 'changed keys',
          counts: { passes },
        });
        await sleep(FOLLOW_EVERY, undefined, { signal: b.signal }).catch(() => {});
      }
      return { passes };
    });
  });
}

/** Brings the target's function libraries in step: nothing tells when they change, so they are looked at each time. */
async function carryLibraries(
  b: Pick<Border<never>, 'hand' | 'signal'>,
  { sides, source, target, confirm }: Omit<InStep, 'lease'>,
): Promise<string[]> {
  if (!sides.functions) return [];
  const { leave } = sides.functions;
  return (await carryFunctions({ source, target, leave, name: b.hand, confirm, signal: b.signal })).carried;
}

/** Brings the target in step behind a running tracker, if it isn't. */
export async function bringInStep<Beat>(b: Border<Beat>, input: InStep): Promise<CompareOutcome | null> {
  if (!input.lease.inStep) return compareUnder(b, { ...input, repair: 'always' });
  await carryLibraries(b, input);
  return null;
}

async function tracked<T, Beat>(
  b: Border<Beat>,
  sides: Sides,
  source: ServerAddress,
  use: (lease: Lease) => Promise<T>,
): Promise<T> {
  const lease = await takeTracker({
    key: b.workflowId,
    address: source,
    match: sides.match,
    name: connectionName(b.workflowId),
    track: sides.track,
  });
  const lagEnds = tellLag(lease.tracker);
  try {
    return await use(lease);
  } finally {
    lagEnds();
    // After a termination nobody comes for it, and its connection would be taken for another upgrade's.
    if (b.abandoned()) lease.tracker.close();
    else leaveTracker(b.workflowId, lease);
  }
}
