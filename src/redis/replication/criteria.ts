/**
 * Whether what was measured is a reason to go back. Clear: in breach at every measurement for as long as the criterion says, and
 * not so before the cutover. Everything else that looks like a breach is for a person to judge.
 */
import { milliseconds } from '../../inputs/refs.js';
import { criterionName, type Metric, type RollbackCriterion } from '../../inputs/rollback-when.js';
import type { Values } from './metrics.js';

/** How long a criterion has been in breach, since it last was not for most of the time. */
export interface Held {
  /** The last measurement, in milliseconds since 1970. */
  at: number;
  /** It was in breach then. */
  breached: boolean;
  /** In breach at every measurement since; null while it isn't. */
  since: number | null;
  /** In all, with interruptions. */
  breachedMs: number;
  fineMs: number;
  /** For a while nothing was measured. */
  gap: boolean;
}

/** Longer without a measurement, and nobody knows what was between. */
const GAP_MS = 5_000;

/** What the criterion compares with; null where it is a multiple of what isn't known, or of nothing. */
export function boundOf({ metric, above, below }: RollbackCriterion, before: Values | null): number | null {
  const bound = above ?? below ?? 0;
  if (typeof bound === 'number') return bound;
  const value = before?.[metric] ?? null;
  return value === null || value === 0 ? null : bound.timesBefore * value;
}

/** Null: not measured, or there is nothing to compare with. */
function breaches(criterion: RollbackCriterion, values: Values, before: Values | null): boolean | null {
  const [value, bound] = [values[criterion.metric], boundOf(criterion, before)];
  if (value === null || bound === null) return null;
  return criterion.above === undefined ? value < bound : value > bound;
}

/** One measurement more. `slowestMs`: the slowest PING in it, for while we waited for that we measured too. */
export function hold(on: {
  criterion: RollbackCriterion;
  before: Values | null;
  held: Held | null;
  at: number;
  values: Values;
  slowestMs?: number;
}): Held | null {
  const { criterion, before, held, at, values, slowestMs = 0 } = on;
  const breached = breaches(criterion, values, before);
  if (breached === null) return held;
  const started: Held = {
    at,
    breached,
    since: breached ? at : null,
    breachedMs: 0,
    fineMs: 0,
    gap: false,
  };
  if (!held) return started;
  const ms = at - held.at;
  if (ms > Math.max(GAP_MS, 2 * slowestMs)) {
    if (held.breachedMs === 0 && !held.breached) return started;
    // What was before it is too long ago to count.
    if (ms > milliseconds(criterion.for)) return started;
    return { ...held, at, breached, since: breached ? at : null, gap: true };
  }
  const next: Held = {
    ...held,
    at,
    breached,
    since: breached ? (held.since ?? at) : null,
    breachedMs: held.breachedMs + (held.breached ? ms : 0),
    fineMs: held.fineMs + (held.breached ? 0 : ms),
  };
  return next.fineMs >= next.breachedMs ? started : next;
}

export interface Breach {
  /** Place in the list of criteria. */
  criterion: number;
  clear: boolean;
  /** What was seen, and why it isn't clear. */
  says: string;
}

/** The first criterion that is in breach for long enough, a clear one first. `settled`: those that a person has judged. */
export function breachOf(on: {
  criteria: readonly RollbackCriterion[];
  held: readonly (Held | null)[];
  settled: readonly number[];
  before: Values | null;
  values: Values;
  linkUp: boolean;
}): Breach | null {
  const found = on.criteria.flatMap((criterion, index): Breach[] => {
    const held = on.held[index];
    if (!held || on.settled.includes(index)) return [];
    const forMs = milliseconds(criterion.for);
    const unbroken = held.since !== null && held.at - held.since >= forMs;
    if (!unbroken && held.breachedMs < forMs) return [];
    const doubt = unbroken ? doubtOf(criterion, on) : interruptedBy(held);
    return [
      {
        criterion: index,
        clear: doubt === null,
        says: `${criterionName(criterion)}: it is ${number(on.values[criterion.metric])}, and was ${number(on.before?.[criterion.metric] ?? null)} before the cutover${doubt === null ? '' : `; ${doubt}`}`,
      },
    ];
  });
  return found.find(({ clear }) => clear) ?? found[0] ?? null;
}

function doubtOf(
  criterion: RollbackCriterion,
  { before, linkUp }: { before: Values | null; linkUp: boolean },
): string | null {
  const was = before === null ? null : breaches(criterion, before, before);
  if (was === null) return 'not clear, since it was not measured before';
  if (was) return 'not clear, since that was in breach too';
  return linkUp ? null : 'it can not go back by itself while the link between both servers is down';
}

function interruptedBy({ breachedMs, fineMs, gap }: Held): string {
  const seconds = Math.round(breachedMs / 1_000);
  return gap
    ? `not clear, since for a part of the time nothing was measured (in breach for ${seconds} s in all)`
    : `not clear, since it was interrupted (in breach for ${seconds} of ${Math.round((breachedMs + fineMs) / 1_000)} s)`;
}

/** What a person should know of the criteria before the cutover: those that will never act by themselves. */
export function doubtsBefore(criteria: readonly RollbackCriterion[], before: Values): string[] {
  return criteria.flatMap((criterion) => {
    const name = criterionName(criterion);
    const value = number(before[criterion.metric]);
    const was = breaches(criterion, before, before);
    if (boundOf(criterion, before) === null)
      return [`"${name}" can't be judged: ${criterion.metric} is ${value} before the cutover`];
    if (was === null)
      return [`"${name}": ${criterion.metric} could not be measured, so a person will be asked`];
    return was ? [`"${name}" is in breach before the cutover (${value}), so a person will be asked`] : [];
  });
}

/** Each metric with what it is, as a person reads it. */
export function number(value: Values[Metric]): string {
  return value === null ? 'not known' : value.toLocaleString('en', { maximumFractionDigits: 3 });
}
