/**
 * How a server does: latency of our own PINGs, and what INFO counts. The same before and after a cutover, so that both can be
 * compared. Everything here is small and stays small, however long it is measured: it travels in heartbeats.
 */
import type { Metric } from '../../inputs/rollback-when.js';

export type Values = Record<Metric, number | null>;

/**
 * How often each latency was seen: pairs of bucket and count, flat, by bucket. A bucket ends a tenth above the one before it, so a
 * percentile is right within 5%.
 */
export type Histogram = number[];

const GROWTH = Math.log(1.1);
const LEAST_MS = 0.01;

/** Counts one more. */
export function add(histogram: Histogram, ms: number, count = 1): void {
  addTo(histogram, Math.max(0, Math.ceil(Math.log(ms / LEAST_MS) / GROWTH)), count);
}

function addTo(histogram: Histogram, bucket: number, count: number): void {
  let at = 0;
  while (at < histogram.length && (histogram[at] ?? 0) < bucket) at += 2;
  if (histogram[at] === bucket) histogram[at + 1] = (histogram[at + 1] ?? 0) + count;
  else histogram.splice(at, 0, bucket, count);
}

function addAll(histogram: Histogram, more: Histogram): void {
  for (let at = 0; at < more.length; at += 2) addTo(histogram, more[at] ?? 0, more[at + 1] ?? 0);
}

/** The smallest buckets become one: what is large, and so what the high percentiles stand for, stays as it was. */
function shorten(histogram: Histogram, buckets: number): void {
  while (histogram.length > 2 * buckets) {
    const [, count = 0] = histogram.splice(0, 2);
    histogram[1] = (histogram[1] ?? 0) + count;
  }
}

/** Milliseconds that `share` (0 to 1) of all stay under; null where there is none. */
export function percentile(histogram: Histogram, share: number): number | null {
  let total = 0;
  for (let at = 1; at < histogram.length; at += 2) total += histogram[at] ?? 0;
  if (total === 0) return null;
  let left = Math.ceil(total * share);
  for (let at = 0; at < histogram.length; at += 2) {
    left -= histogram[at + 1] ?? 0;
    if (left <= 0) return rounded(LEAST_MS * Math.exp(((histogram[at] ?? 0) - 0.5) * GROWTH));
  }
  return null;
}

/** What INFO counts, at one moment. */
export interface Counters {
  /** Milliseconds since 1970, by the worker. */
  at: number;
  /** Of the process: another one counts from 0. */
  runId: string;
  commands: number;
  hits: number;
  misses: number;
  /** Null before 6.2, which doesn't count them. */
  errors: number | null;
  expired: number;
  evicted: number;
  memory: number;
  rss: number;
  connections: number;
}

export function countersOf(info: Record<string, string>, at: number): Counters {
  const number = (name: string): number => Number(info[name] ?? 0);
  return {
    at,
    runId: info['run_id'] ?? '',
    commands: number('total_commands_processed'),
    hits: number('keyspace_hits'),
    misses: number('keyspace_misses'),
    errors: info['total_error_replies'] === undefined ? null : number('total_error_replies'),
    expired: number('expired_keys'),
    evicted: number('evicted_keys'),
    memory: number('used_memory'),
    rss: number('used_memory_rss'),
    connections: number('connected_clients'),
  };
}

/** Error replies since the server was started, by their first word. */
export interface ErrorReplies {
  total: number | null;
  kinds: Record<string, number>;
}

export function errorRepliesOf(info: Record<string, string>): ErrorReplies {
  const kinds: Record<string, number> = {};
  for (const [name, text] of Object.entries(info)) {
    // A script may answer with whatever it likes as a first word: only what looks like Redis' own is named.
    const kind = /^errorstat_(.*)$/.exec(name)?.[1];
    if (kind === undefined) continue;
    const known = /^[A-Z]{2,16}$/.test(kind) ? kind : 'other';
    kinds[known] = (kinds[known] ?? 0) + Number(/count=(\d+)/.exec(text)?.[1] ?? 0);
  }
  const total = info['total_error_replies'];
  return { total: total === undefined ? null : Number(total), kinds };
}

/** What became more between two looks at one server. */
interface Delta {
  ms: number;
  commands: number;
  hits: number;
  misses: number;
  errors: number | null;
  expired: number;
  evicted: number;
}

/** One look, with what was measured since the one before it. */
export interface Second {
  at: number;
  /** Milliseconds of each PING since then. */
  pings: number[];
  /** Null at the first look, and behind a restart. */
  since: Delta | null;
  now: { memory: number; rss: number; connections: number; lag: number };
  /** Percentiles and rates of the last ten seconds, everything else as it is now. */
  values: Values;
}

/** Percentiles of a single second would be one PING's. */
const WINDOW_MS = 10_000;
/** Our own, which is none of the applications'. */
const OWN_CONNECTIONS = 1;

export function meter() {
  let pings: { at: number; ms: number }[] = [];
  let fresh: number[] = [];
  let looks: { counters: Counters; own: number }[] = [];
  /** Commands of ours until now, which are none of the applications'. */
  let own = 0;
  return {
    ping(at: number, ms: number): void {
      own += 1;
      pings.push({ at, ms });
      fresh.push(ms);
    },
    look(counters: Counters, lag: number): Second {
      const { at, memory, rss } = counters;
      own += 1;
      const last = looks.at(-1);
      const look = { counters, own };
      const known = last && last.counters.runId === counters.runId ? last : null;
      looks = known ? [...looks, look] : [look];
      // One that is as old as the window is what the newest is compared with.
      while (looks.length > 2 && (looks[1]?.counters.at ?? at) <= at - WINDOW_MS) looks.shift();
      pings = pings.filter((ping) => ping.at > at - WINDOW_MS);
      const window = looks[0] && looks[0] !== look ? between(looks[0], look) : null;
      const since = known ? between(known, look) : null;
      const connections = Math.max(0, counters.connections - OWN_CONNECTIONS);
      const now = { memory, rss, connections, lag };
      const second = { at, pings: fresh, since, now, values: valuesOf(histogramOf(pings), window, now) };
      fresh = [];
      return second;
    },
  };
}

function histogramOf(pings: { ms: number }[]): Histogram {
  const histogram: Histogram = [];
  for (const { ms } of pings) add(histogram, ms);
  return histogram;
}

function between(
  one: { counters: Counters; own: number },
  other: { counters: Counters; own: number },
): Delta {
  const [before, after] = [one.counters, other.counters];
  const more = (name: 'hits' | 'misses' | 'expired' | 'evicted'): number =>
    Math.max(0, after[name] - before[name]);
  return {
    ms: Math.max(1, after.at - before.at),
    commands: Math.max(0, after.commands - before.commands - (other.own - one.own)),
    hits: more('hits'),
    misses: more('misses'),
    errors:
      after.errors === null || before.errors === null ? null : Math.max(0, after.errors - before.errors),
    expired: more('expired'),
    evicted: more('evicted'),
  };
}

function valuesOf(pings: Histogram, delta: Delta | null, now: Second['now']): Values {
  const perSecond = (count: number | null): number | null =>
    delta === null || count === null ? null : rounded((count * 1_000) / delta.ms);
  const asked = (delta?.hits ?? 0) + (delta?.misses ?? 0);
  return {
    latencyP50Ms: percentile(pings, 0.5),
    latencyP95Ms: percentile(pings, 0.95),
    latencyP99Ms: percentile(pings, 0.99),
    opsPerSecond: perSecond(delta?.commands ?? null),
    memoryBytes: Math.round(now.memory),
    memoryRssBytes: Math.round(now.rss),
    lagBytes: Math.round(now.lag),
    connections: rounded(now.connections),
    hitRate: delta !== null && asked > 0 ? rounded(delta.hits / asked) : null,
    errorsPerSecond: perSecond(delta?.errors ?? null),
  };
}

/** Everything since measuring began. */
export interface Total {
  looks: number;
  pings: Histogram;
  /** Over all that was measured without a break. */
  sum: Delta;
  /** On average. */
  mean: Second['now'];
}

export function emptyTotal(): Total {
  return {
    looks: 0,
    pings: [],
    sum: { ms: 0, commands: 0, hits: 0, misses: 0, errors: 0, expired: 0, evicted: 0 },
    mean: { memory: 0, rss: 0, connections: 0, lag: 0 },
  };
}

export function addToTotal(total: Total, { pings, since, now }: Second): void {
  for (const ms of pings) add(total.pings, ms);
  total.looks += 1;
  for (const name of ['memory', 'rss', 'connections', 'lag'] as const)
    total.mean[name] += (now[name] - total.mean[name]) / total.looks;
  if (!since) return;
  const { sum } = total;
  for (const name of ['ms', 'commands', 'hits', 'misses', 'expired', 'evicted'] as const)
    sum[name] += since[name];
  sum.errors = sum.errors === null || since.errors === null ? null : sum.errors + since.errors;
}

/** The main numbers of a stretch of time. */
export interface Summary extends Values {
  seconds: number;
  expiredPerSecond: number | null;
  evictedPerSecond: number | null;
}

export function summaryOf({ pings, sum, mean }: Total): Summary {
  const delta = sum.ms > 0 ? sum : null;
  const perSecond = (count: number): number | null =>
    delta === null ? null : rounded((count * 1_000) / delta.ms);
  return {
    ...valuesOf(pings, delta, mean),
    seconds: Math.round(sum.ms / 1_000),
    expiredPerSecond: perSecond(sum.expired),
    evictedPerSecond: perSecond(sum.evicted),
  };
}

/** Latency, commands and lag over time, in at most `most` pieces of equal length. */
export interface Series {
  /** Milliseconds since 1970. */
  from: number;
  /** When it was measured last. */
  to: number;
  everyMs: number;
  most: number;
  /** Null where nothing was measured: paused, or without a worker. */
  bins: (Bin | null)[];
}

/** Flat, since there are many: PINGs, milliseconds in which commands were counted, commands, the most bytes behind. */
type Bin = [pings: Histogram, ms: number, commands: number, lag: number];

/** So that 120 pieces stay a few kB. */
const BUCKETS_OF_A_BIN = 6;
const FIRST_INTERVAL_MS = 1_000;

export function emptySeries(from: number, most = 120): Series {
  return { from, to: from, everyMs: FIRST_INTERVAL_MS, most, bins: [] };
}

export function addToSeries(series: Series, { at, pings, since, now }: Second): void {
  // By a worker whose clock is behind that of the one before it.
  let index = Math.max(0, Math.floor((at - series.from) / series.everyMs));
  while (index >= series.most) {
    series.everyMs *= 2;
    series.bins = Array.from({ length: Math.ceil(series.bins.length / 2) }, (_, n) =>
      merged(series.bins[2 * n] ?? null, series.bins[2 * n + 1] ?? null),
    );
    index = Math.floor((at - series.from) / series.everyMs);
  }
  series.to = Math.max(series.to, at);
  while (series.bins.length <= index) series.bins.push(null);
  const bin: Bin = [[], since?.ms ?? 0, since?.commands ?? 0, now.lag];
  for (const ms of pings) add(bin[0], ms);
  series.bins[index] = merged(series.bins[index] ?? null, bin);
}

function merged(one: Bin | null, other: Bin | null): Bin | null {
  if (!one || !other) return one ?? other;
  const pings = [...one[0]];
  addAll(pings, other[0]);
  shorten(pings, BUCKETS_OF_A_BIN);
  return [pings, one[1] + other[1], one[2] + other[2], Math.max(one[3], other[3])];
}

export type Points = [at: number, value: number | null][];

/** For a plot; each point stands in the middle of its piece. */
export function pointsOf(series: Series): { latencyP99Ms: Points; opsPerSecond: Points; lagBytes: Points } {
  const points = (value: (bin: Bin) => number | null): Points =>
    series.bins.map((bin, index) => [middleOf(series, index), bin === null ? null : value(bin)]);
  return {
    latencyP99Ms: points(([pings]) => percentile(pings, 0.99)),
    opsPerSecond: points(([, ms, commands]) => (ms > 0 ? rounded((commands * 1_000) / ms) : null)),
    lagBytes: points(([, , , lag]) => lag),
  };
}

/** The last one isn't over yet. */
function middleOf({ from, to, everyMs }: Series, index: number): number {
  const begins = from + index * everyMs;
  return Math.round((begins + Math.max(begins, Math.min(begins + everyMs, to))) / 2);
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
