/** The canary of a handover: started before its pause, told to end after it, read afterwards. */
import { readCanaries, startCanary, type Canary, type CanaryWay } from '../canary/start.js';
import { together, type CanarySeen } from '../canary/seen.js';
import { inShort, told, type CanaryTold } from '../canary/words.js';
import type { UndoResult } from '../contract.js';
import type { RedisSwitchoverSettings } from '../inputs/redis-switchover.js';
import { pathFor } from '../platform/home.js';
import { resolveEndpoint } from '../platform/secrets.js';
import type { ServerAddress } from '../redis/address.js';
import { connectionName } from '../redis/hands.js';
import { border, type Border } from './border.js';

type Here = Pick<Border<never>, 'workflowId' | 'runId'>;

/** Runs a handover under a canary, where one is wanted. In a later attempt writes may be paused: nothing is waited for then. */
export async function underCanary<T>(
  b: Here & Pick<Border<never>, 'attempt' | 'abandoned'>,
  on: {
    canary: RedisSwitchoverSettings['canary'];
    way: CanaryWay;
    /** The one that serves first. */
    servers: ServerAddress[];
    begun: boolean;
  },
  handOver: () => Promise<T>,
): Promise<T> {
  const canary = await start();
  try {
    return await handOver();
  } finally {
    // Another attempt goes on with it.
    if (!b.abandoned()) await canary?.end();
  }

  async function start(): Promise<Canary | null> {
    if (on.canary === false) return null;
    const { endpoint } = on.canary;
    const places =
      endpoint === undefined
        ? on.servers
        : // Asked for when everything was gathered; gone since, it is the receipt that misses it.
          await resolveEndpoint({ endpoint, where: 'canary.endpoint' }).then(
            (address) => [address],
            () => null,
          );
    if (places === null) return null;
    return startCanary({
      ...placeOf(b, on.way),
      connection: `${connectionName(b.workflowId)}:canary`,
      places,
      ready: b.attempt === 1 && !on.begun,
    });
  }
}

/** What it saw, for the receipt. Waits a little for one that is about to end. */
export async function readCanary({ way }: { way: CanaryWay }): Promise<CanaryTold> {
  return border(async (b) => told(await seenBy(b, way), way));
}

/** The same for an undo, which may have been asked for before the way forward was read. `back`: it went back under a canary. */
export async function withCanary(b: Here, result: UndoResult, on: { back: boolean }): Promise<UndoResult> {
  const forward = await readCanaries({ ...placeOf(b, 'forward'), waitMs: END_MS });
  const back = on.back ? await seenBy(b, 'back') : null;
  const parts = [
    ...(forward === null ? [] : [['canary', told(together(forward), 'forward')] as const]),
    ...(back === null ? [] : [['canaryBack', told(back, 'back')] as const]),
  ];
  return {
    ...result,
    ...(back === null ? {} : { note: `${result.note ?? ''}; the canary: ${inShort(back)}` }),
    facts: Object.fromEntries(parts.map(([name, { facts }]) => [name, facts])),
    blemishes: parts.flatMap(([, { blemishes }]) => blemishes),
    plots: parts.flatMap(([, { plots }]) => plots),
  };
}

async function seenBy(b: Here, way: CanaryWay): Promise<CanarySeen> {
  return together(await readCanaries({ ...placeOf(b, way), waitMs: END_MS }));
}

/** It looks on for a moment, and may take a while to read back where a server is slow to answer. */
const END_MS = 15_000;

function placeOf({ workflowId, runId }: Here, way: CanaryWay) {
  return { folder: pathFor(workflowId), runId, way };
}
