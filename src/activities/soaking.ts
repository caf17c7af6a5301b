/** Measuring the serving server before and after the cutover, and watching it for as long as the way back is open. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Check } from '../contract.js';
import { FerryError, type FailureType } from '../errors.js';
import type { Repoint } from '../inputs/repoint.js';
import type { RollbackCriterion } from '../inputs/rollback-when.js';
import { parseInfo } from '../redis/info.js';
import { doubtsBefore } from '../redis/replication/criteria.js';
import { errorRepliesOf, pointsOf, type Points } from '../redis/replication/metrics.js';
import { measure, soak, type Measured, type SoakOptions, type SoakSeen } from '../redis/replication/soak.js';
import { validate, type Before } from '../redis/replication/validate.js';
import { checkRepoint } from '../repoint/index.js';
import { border } from './border.js';
import { onBoth, sidesOf, type Couple } from './replicating.js';

export type { SoakSeen } from '../redis/replication/soak.js';
export type { Summary } from '../redis/replication/metrics.js';

/** What is drawn of one stretch of time. */
export type Curves = Record<'latencyP99Ms' | 'opsPerSecond' | 'lagBytes', Points>;

export interface Baseline extends Before {
  curves: Curves;
  /** Criteria that will never act by themselves, and why. */
  doubts: string[];
}

/** The old server, before the cutover. */
export async function measureServer(input: {
  couple: Couple;
  forMs: number;
  criteria: RollbackCriterion[];
}): Promise<Baseline> {
  return border(async (b) => {
    const sides = await sidesOf(input.couple);
    return onBoth(b, sides, async (clients) => {
      const { summary, series } = await measure({
        primary: clients.source,
        follower: clients.target,
        forMs: input.forMs,
        signal: b.signal,
      });
      return {
        summary,
        curves: pointsOf(series),
        targetErrors: errorRepliesOf(parseInfo(String(await clients.target.call('INFO')))),
        doubts: doubtsBefore(input.criteria, summary),
      };
    });
  });
}

/** Right after the cutover: both servers are what they should be, and the new one does as well as the old one did. */
export async function validateCouple(input: {
  couple: Couple;
  repoint: Repoint;
  versions: { source: string; target: string };
  before: Before | null;
  forMs: number;
  cutoverAt: number;
}): Promise<{ checks: Check[]; after: Measured['summary'] }> {
  return border(async (b) => {
    const { versions, before, forMs, cutoverAt } = input;
    const sides = await sidesOf(input.couple);
    return onBoth(b, sides, async ({ target: primary, source: follower }) => {
      const { summary } = await measure({ primary, follower, forMs, signal: b.signal });
      const checks = await validate({
        primary,
        follower,
        versions: { primary: versions.target, follower: versions.source },
        before,
        now: summary,
        cutoverAt,
        signal: b.signal,
      });
      const { address } = sides.target;
      const told = await checkRepoint({ spec: input.repoint, address, signal: b.signal });
      return { checks: [...checks, ...told], after: summary };
    });
  });
}

export type SoakInput = {
  couple: Couple;
  checkpoint?: SoakSeen | undefined;
  /** Either may be made anew by its surroundings: one that is away is waited for, and told. */
  pods?: boolean;
} & SoakOptions;

/** Watches both servers behind the cutover. Ends early when there is something to tell. */
export async function soakReplication(
  input: SoakInput,
): Promise<{ done: boolean; checkpoint: SoakSeen; curves: Curves }> {
  return border<{ done: boolean; checkpoint: SoakSeen; curves: Curves }, SoakSeen>(async (b) => {
    const { couple, checkpoint, pods = false, ...options } = input;
    const anew = options.anew === true && b.last === undefined;
    let last: SoakSeen | undefined = b.last;
    // What the attempt before this one found, and didn't live to tell, is found again.
    const begin = () => (last ? { ...last, found: null } : checkpoint);
    const watch = async () => {
      const before = begin();
      const sides = await sidesOf(couple);
      return onBoth(b, sides, async ({ target: primary, source: follower }) => {
        const seen = await soak({
          ...options,
          anew: anew && last === undefined,
          primary,
          follower,
          before,
          signal: b.signal,
          onLook: (now) => {
            last = now;
            b.beat(now);
            b.show({
              step: 'Soak',
              done: Math.round(now.seconds),
              total: Math.round(options.forMs / 1_000),
              unit: 'seconds',
              counts: countsOf(now),
            });
          },
        });
        const curves = pointsOf(seen.series);
        // Cancelled at that moment: it is found again when it goes on.
        if (b.signal.aborted) return { done: false, checkpoint: { ...seen, found: null }, curves };
        return { done: true, checkpoint: seen, curves };
      });
    };
    if (!pods) return watch();
    for (let since: number | null = null; ; await sleep(AGAIN_MS, undefined, { signal: b.signal })) {
      const away = await watch().catch((error: unknown) => {
        if (error instanceof FerryError && AWAY.includes(error.type)) return error;
        throw error;
      });
      if (!(away instanceof FerryError)) return away;
      b.signal.throwIfAborted();
      since ??= Date.now();
      const known = begin();
      // Asked once: from then on it is waited for.
      if (!known || options.expecting !== null || Date.now() - since < TOLD_AFTER_MS) continue;
      const threat = { kind: 'link', says: `a pod is away: ${away.message}` } as const;
      const told = {
        ...known,
        found: { kind: 'threat', of: 'link' } as const,
        safety: { ...known.safety, threat },
      };
      return { done: true, checkpoint: told, curves: pointsOf(known.series) };
    }
  });
}

/** What passes by itself while a pod is made anew, or the API server is away. */
const AWAY: readonly FailureType[] = ['Unreachable', 'NotFound', 'ProviderUnavailable', 'Loading'];
const AGAIN_MS = 500;
const TOLD_AFTER_MS = 5_000;

/** The main numbers; those that aren't known are left out. */
function countsOf({ now, safety, last }: SoakSeen): Record<string, number> {
  const linkDownSeconds = last.linkDownSeconds > 0 ? last.linkDownSeconds : null;
  const { linkMayBeDownSeconds } = safety;
  return Object.fromEntries(
    Object.entries({ ...now, linkDownSeconds, linkMayBeDownSeconds }).flatMap(([name, value]) =>
      value === null ? [] : [[name, value]],
    ),
  );
}
