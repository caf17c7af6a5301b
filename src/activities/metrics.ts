/** What a worker counts of its own work. Silent until the worker says where to. docs/metrics.md says what each means. */
import { activityInfo } from '@temporalio/activity';
import { noopMetricMeter, type MetricMeter } from '@temporalio/common';
import { STRATEGIES } from '../contract.js';
import type { Tracker } from '../redis/tracker.js';

type Labels = { workflowType: string };

let meters = metersOf(noopMetricMeter);

function metersOf(meter: MetricMeter) {
  return {
    copies: meter.createGauge('ferry_copies_running', 'int', '', 'First copies that run now'),
    keys: meter.createCounter('ferry_keys_copied_total', '', 'Keys written to a target by first copies'),
    bytes: meter.createCounter('ferry_bytes_copied_total', '', 'Bytes of their values over the wire'),
    compared: meter.createCounter('ferry_keys_compared_total', '', 'Keys compared'),
    carried: meter.createCounter(
      'ferry_changes_carried_total',
      '',
      'Changed keys carried over while people decide',
    ),
    pending: meter.createGauge(
      'ferry_changed_keys_pending',
      'int',
      '',
      'Keys that changed at a source and are not at its target yet',
    ),
    lag: meter.createGauge(
      'ferry_lag_seconds',
      'float',
      '',
      'How long ago the target last had everything, where that is longest',
    ),
    pause: meter.createHistogram(
      'ferry_write_pause_milliseconds',
      'float',
      '',
      'How long writes were held at a switch',
    ),
  };
}

/** From here on it counts there, from 0: a rate needs to have seen the 0. `meter` has the labels of namespace and task queue. */
export function countWith(meter: MetricMeter): void {
  meters = metersOf(meter);
  for (const workflowType of Object.keys(STRATEGIES)) {
    for (const counter of [meters.keys, meters.bytes, meters.compared, meters.carried])
      counter.add(0, { workflowType });
    for (const gauge of [meters.copies, meters.pending, meters.lag]) gauge.set(0, { workflowType });
  }
}

function labels(): Labels {
  return { workflowType: activityInfo().workflowType ?? '' };
}

/** Counts by how much what is given each time has grown. What an earlier attempt counted is given first. */
function growing(
  counter: { add: (value: number, labels: Labels) => void },
  from: number,
): (now: number) => void {
  const to = labels();
  let last = from;
  return (now) => {
    // A server that was restarted is scanned anew, from less.
    if (now > last) counter.add(now - last, to);
    last = now;
  };
}

/** Counts a copy as it goes on; `from`: what its checkpoint says. */
export function countCopy(from: { copied: number; bytes: number } | undefined) {
  const keys = growing(meters.keys, from?.copied ?? 0);
  const bytes = growing(meters.bytes, from?.bytes ?? 0);
  return (now: { copied: number; bytes: number }): void => {
    keys(now.copied);
    bytes(now.bytes);
  };
}

/** Counts a comparison as it goes on; `from`: what its checkpoint says. */
export function countCompared(from: { keysCompared: number }[] | undefined) {
  const keys = growing(meters.compared, from?.reduce((sum, { keysCompared }) => sum + keysCompared, 0) ?? 0);
  return (now: { keysCompared: number }): void => keys(now.keysCompared);
}

export function countCarried(keys: number): void {
  meters.carried.add(keys, labels());
}

/** Null where an earlier attempt made the pause. */
export function countPause(ms: number | null, direction: 'forward' | 'back'): void {
  if (ms !== null) meters.pause.record(ms, { ...labels(), direction });
}

const copies = new Map<string, number>();

/** An activity begins; gives what to call at its end. */
export function workBegins(): () => void {
  const { activityType } = activityInfo();
  if (activityType !== 'copyKeys') return () => {};
  const { workflowType } = labels();
  const change = (by: number): void => {
    const running = (copies.get(workflowType) ?? 0) + by;
    copies.set(workflowType, running);
    meters.copies.set(running, { workflowType });
  };
  change(1);
  return () => change(-1);
}

/** Trackers in use, with the strategy that they are used by. */
const followed = new Map<Tracker, string>();
/** When a tracker's target last had everything, in milliseconds since 1970; kept while it is handed on. */
const inStepAt = new WeakMap<Tracker, number>();
let sampler: NodeJS.Timeout | undefined;
const SAMPLE_EVERY = 1_000;

/** Tells the lag behind a tracker, until the function that it gives is called. */
export function tellLag(tracker: Tracker): () => void {
  const { workflowType } = labels();
  if (!inStepAt.has(tracker)) inStepAt.set(tracker, Date.now());
  followed.set(tracker, workflowType);
  sampler ??= setInterval(sample, SAMPLE_EVERY).unref();
  return () => {
    followed.delete(tracker);
    sample();
    if (followed.size > 0) return;
    clearInterval(sampler);
    sampler = undefined;
  };
}

/** The target has everything now. */
export function noteInStep(tracker: Tracker): void {
  inStepAt.set(tracker, Date.now());
}

function sample(): void {
  for (const workflowType of Object.keys(STRATEGIES)) {
    const trackers = [...followed].filter(([, of]) => of === workflowType).map(([tracker]) => tracker);
    const ages = trackers.map((tracker) => Date.now() - (inStepAt.get(tracker) ?? Date.now()));
    meters.pending.set(
      trackers.reduce((sum, tracker) => sum + tracker.pending(), 0),
      { workflowType },
    );
    meters.lag.set(Math.max(0, ...ages) / 1_000, { workflowType });
  }
}
