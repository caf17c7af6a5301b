/** Measures a serving server for a while, and watches it behind the cutover: how it does, and whether the way back stays open. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { RollbackCriterion } from '../../inputs/rollback-when.js';
import { breachOf, hold, type Breach, type Held } from './criteria.js';
import {
  addToSeries,
  addToTotal,
  emptySeries,
  emptyTotal,
  meter,
  summaryOf,
  type Second,
  type Series,
  type Summary,
  type Total,
} from './metrics.js';
import {
  alarm,
  backlogTtl,
  lookAt,
  safetyOf,
  writeRate,
  type Look,
  type Threat,
  type WayBackSafety,
} from './watch.js';

interface Both {
  primary: Redis;
  follower: Redis;
}

/** Ten PINGs a second, and one INFO of each server: a few hundredths of a percent of a core. */
const PING_EVERY_MS = 100;
const LOOK_EVERY_MS = 1_000;

/** Calls `each` once a second until it says that it's enough, or the signal aborts; once in any case. */
async function sample(
  on: Both & { signal: AbortSignal; each: (second: Second, look: Look) => 'go on' | 'enough' },
): Promise<void> {
  const measured = meter();
  for (let next = 0; ;) {
    const began = performance.now();
    await on.primary.call('PING');
    measured.ping(Date.now(), performance.now() - began);
    if (performance.now() >= next) {
      next = performance.now() + LOOK_EVERY_MS;
      const look = await lookAt(on);
      if (on.each(measured.look(look.counters, look.lag), look) === 'enough') return;
    }
    if (on.signal.aborted) return;
    const rest = PING_EVERY_MS - (performance.now() - began);
    await sleep(Math.max(1, rest), undefined, { signal: on.signal }).catch(() => {});
    if (on.signal.aborted) return;
  }
}

export interface Measured {
  summary: Summary;
  series: Series;
}

/** Fewer pieces than a soak has: both share a plot. */
const MEASURED_PIECES = 60;

/** How `primary` does, over `forMs`, or as long as it takes to see one second. */
export async function measure(on: Both & { forMs: number; signal: AbortSignal }): Promise<Measured> {
  const { forMs, signal } = on;
  const total = emptyTotal();
  const series = emptySeries(Date.now(), MEASURED_PIECES);
  const began = performance.now();
  await sample({
    ...on,
    each: (second) => {
      addToTotal(total, second);
      addToSeries(series, second);
      return total.looks > 1 && performance.now() - began >= forMs ? 'enough' : 'go on';
    },
  });
  signal.throwIfAborted();
  return { summary: summaryOf(total), series };
}

/** Why a soak ended early. */
export type Found =
  | { kind: 'broken' }
  | { kind: 'threat'; of: Threat['kind'] }
  /** Fewer replicas follow the primary than should. */
  | { kind: 'strayed' }
  /** The threat that was expected has passed. */
  | { kind: 'passed' }
  | ({ kind: 'breach' } & Breach);

/** What a soak knows so far; its checkpoint. */
export interface SoakSeen {
  seconds: number;
  first: Look;
  last: Look;
  safety: WayBackSafety;
  /** The most that were seen. */
  most: { lag: number };
  /** Of the last ten seconds. */
  now: Second['values'];
  total: Total;
  series: Series;
  /** One for each criterion. */
  held: (Held | null)[];
  found: Found | null;
}

export interface SoakOptions {
  forMs: number;
  /** The interruption that the way back has to survive. */
  linkDownForMs: number;
  criteria: readonly RollbackCriterion[];
  /** What was measured before the cutover. */
  baseline: Summary | null;
  /** Places of criteria that a person has judged. */
  settled: readonly number[];
  /** A threat that a person knows of: it isn't told again, but that it has passed is. */
  expecting: Threat['kind'] | null;
  /** Threats that are not told any more. */
  quiet: readonly Threat['kind'][];
  /** So many should follow the primary; missing: nobody looks. */
  replicas?: number;
  /** How often it was told that fewer do: each time it is waited for twice as long. */
  strays?: number;
  /** One of both was made anew, and mended: what it is measured by begins again. */
  anew?: boolean;
}

/** A minute is the least in which a person can do something; less where the input asks for less. */
const ENOUGH_SECONDS = 60;

/** A pod that is made anew is away for some seconds anyway. */
const STRAYED_AFTER_MS = 10_000;

/** Watches until the time is up, or there is something to tell. Goes on from what was seen before. */
export async function soak(
  on: Both &
    SoakOptions & { before: SoakSeen | undefined; signal: AbortSignal; onLook: (seen: SoakSeen) => void },
): Promise<SoakSeen> {
  const { before, criteria, baseline, settled, forMs, signal } = on;
  const enoughSeconds = Math.min(ENOUGH_SECONDS, on.linkDownForMs / 2_000);
  const ttlSeconds = await backlogTtl({ client: on.primary });
  const rate = writeRate();
  if (before) rate.of(before.last);
  const alarmed = alarm({ expecting: on.expecting });
  const total = before?.total ?? emptyTotal();
  const series = before?.series ?? emptySeries(Date.now());
  const asked = before?.found?.kind === 'breach' ? before.found.criterion : null;
  let held = criteria.map((_, index) => (index === asked ? null : (before?.held[index] ?? null)));
  let most = before?.most ?? { lag: 0 };
  let seen: SoakSeen | undefined;
  let fewSince: number | null = null;
  const began = performance.now();
  try {
    await sample({
      ...on,
      each: (second, last) => {
        addToTotal(total, second);
        addToSeries(series, second);
        most = { lag: Math.max(most.lag, last.lag) };
        const first = (on.anew ? undefined : before?.first) ?? seen?.first ?? last;
        const safety = safetyOf({ first, now: last, rate: rate.of(last), ttlSeconds, enoughSeconds });
        const { at, values } = second;
        const slowestMs = Math.max(0, ...second.pings);
        held = held.map((state, index) => {
          const criterion = criteria[index];
          return criterion ? hold({ criterion, before: baseline, held: state, at, values, slowestMs }) : null;
        });
        const seconds = (before?.seconds ?? 0) + (performance.now() - began) / 1_000;
        const found = ((): Found | null => {
          if (safety.broken !== null) return { kind: 'broken' };
          const linkUp = last.follower.follows?.linkUp === true;
          const breach = breachOf({ criteria, held, settled, before: baseline, values, linkUp });
          if (breach) return { kind: 'breach', ...breach };
          const heard = alarmed.heed(at, safety, enoughSeconds);
          if (heard === 'passed') return { kind: 'passed' };
          if (heard === 'threat' && safety.threat && !on.quiet.includes(safety.threat.kind))
            return { kind: 'threat', of: safety.threat.kind };
          const few = last.primary.replicas.filter(({ online }) => online).length < (on.replicas ?? 0);
          fewSince = few && linkUp ? (fewSince ?? at) : null;
          if (fewSince !== null && at - fewSince > STRAYED_AFTER_MS * 2 ** (on.strays ?? 0))
            return { kind: 'strayed' };
          return null;
        })();
        seen = {
          seconds: Math.round(seconds * 10) / 10,
          first,
          last,
          safety,
          most,
          now: values,
          total,
          series,
          held,
          found,
        };
        on.onLook(seen);
        return found !== null || seconds * 1_000 >= forMs ? 'enough' : 'go on';
      },
    });
  } catch (error) {
    // Cancelled in the middle of a command: what was seen until then counts.
    if (!signal.aborted || !seen) throw error;
  }
  if (!seen) throw new Error('cancelled before the first look');
  return seen;
}
