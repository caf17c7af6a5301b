/* What is measured, and that it stays small: known sets, and real servers. */
import { expect, test } from 'vitest';
import {
  add,
  addToSeries,
  addToTotal,
  emptySeries,
  emptyTotal,
  meter,
  percentile,
  pointsOf,
  summaryOf,
  type Counters,
  type Histogram,
  type Second,
} from '../../../src/redis/replication/metrics.js';
import { measure } from '../../../src/redis/replication/soak.js';
import { serve } from '../servers.js';
import { couple } from './support.js';

/** Within a twentieth. */
function near(actual: number | null, expected: number): void {
  expect(actual).not.toBeNull();
  expect(Math.abs((actual ?? 0) - expected) / expected).toBeLessThan(0.051);
}

test('percentiles of 1 to 1,000 ms, in any order, are right within 5%', () => {
  const histogram: Histogram = [];
  for (let i = 0; i < 1_000; i += 1) add(histogram, ((i * 617) % 1_000) + 1);
  near(percentile(histogram, 0.5), 500);
  near(percentile(histogram, 0.95), 950);
  near(percentile(histogram, 0.99), 990);
  near(percentile(histogram, 1), 1_000);
  expect(histogram.length / 2).toBeLessThan(80);
});

test('a few slow ones among many: the median stays, the 99th tells', () => {
  const histogram: Histogram = [];
  add(histogram, 0.2, 980);
  add(histogram, 40, 20);
  near(percentile(histogram, 0.5), 0.2);
  near(percentile(histogram, 0.95), 0.2);
  near(percentile(histogram, 0.99), 40);
  expect(percentile([], 0.5)).toBeNull();
});

function second(at: number, ping: number, commands: number, lag: number): Second {
  return {
    at,
    pings: Array.from({ length: 10 }, (_, i) => (i === 9 ? ping : ping / 2 + (i % 5) / 10)),
    since: { ms: 1_000, commands, hits: 0, misses: 0, errors: 0, expired: 0, evicted: 0 },
    now: { memory: 1e6, rss: 2e6, connections: 5, lag },
    values: {} as Second['values'],
  };
}

test('a day in seconds: at most 120 points and a few kB, with everything in it', () => {
  const from = 1_700_000_000_000;
  const series = emptySeries(from);
  const total = emptyTotal();
  const day = 24 * 3_600;
  for (let i = 0; i < day; i += 1) {
    // An hour in which nobody watched, and one second that was slow and far behind.
    if (i >= 36_000 && i < 39_600) continue;
    const slow = i === 50_000;
    const next = second(from + i * 1_000, slow ? 900 : 1 + (i % 97) / 10, 100, slow ? 5e6 : 20);
    addToSeries(series, next);
    addToTotal(total, next);
  }
  expect(series.bins.length).toBeLessThanOrEqual(120);
  expect(series.bins.length).toBeGreaterThanOrEqual(60);
  expect(JSON.stringify(series).length).toBeLessThan(10_000);
  expect(JSON.stringify(total).length).toBeLessThan(2_000);
  const { latencyP99Ms, opsPerSecond, lagBytes } = pointsOf(series);
  expect(opsPerSecond.filter(([, value]) => value !== null).every(([, value]) => value === 100)).toBe(true);
  expect(opsPerSecond.filter(([, value]) => value === null).length).toBeGreaterThan(0);
  expect(Math.max(...lagBytes.map(([, lag]) => lag ?? 0))).toBe(5e6);
  expect(lagBytes.filter(([, lag]) => lag === 5e6)).toHaveLength(1);
  // The slow one is one of thousands in its piece, and so no 99th percentile of it.
  for (const [at, p99] of latencyP99Ms) {
    expect(at).toBeGreaterThanOrEqual(from);
    expect(at).toBeLessThan(from + day * 1_000);
    if (p99 !== null) expect(p99).toBeGreaterThan(9);
    if (p99 !== null) expect(p99).toBeLessThan(11.5);
  }
  expect(summaryOf(total)).toMatchObject({
    opsPerSecond: 100,
    memoryBytes: 1e6,
    connections: 5,
    errorsPerSecond: 0,
  });
});

test('merging by halves gives the 99th percentile of all that was merged', () => {
  const from = 1_700_000_000_000;
  const series = emptySeries(from, 4);
  const all: number[] = [];
  for (let i = 0; i < 512; i += 1) {
    const pings = Array.from({ length: 10 }, (_, n) => 0.1 + (((i * 10 + n) * 7_919) % 5_000) / 100);
    all.push(...pings);
    addToSeries(series, { ...second(from + i * 1_000, 1, 1, 0), pings });
  }
  expect(series.bins.length).toBe(4);
  for (const [index, [, p99]] of pointsOf(series).latencyP99Ms.entries()) {
    const part = all.slice(index * 1_280, (index + 1) * 1_280).toSorted((a, b) => a - b);
    near(p99, part[Math.ceil(part.length * 0.99) - 1] ?? 0);
  }
});

test('counters: our own commands and connection are left out, a restart is no negative rate', () => {
  const counters = (at: number, more: Partial<Counters>): Counters => ({
    at,
    runId: 'a',
    commands: 0,
    hits: 0,
    misses: 0,
    errors: 0,
    expired: 0,
    evicted: 0,
    memory: 1,
    rss: 1,
    connections: 4,
    ...more,
  });
  const measured = meter();
  measured.ping(0, 1);
  expect(measured.look(counters(0, { commands: 1_000 }), 0)).toMatchObject({
    since: null,
    values: {
      opsPerSecond: null,
      hitRate: null,
      errorsPerSecond: null,
      connections: 3,
      latencyP50Ms: expect.any(Number) as number,
    },
  });
  for (let i = 0; i < 4; i += 1) measured.ping(500, 1);
  // 4 PINGs and an INFO of ours, 20 of the applications'.
  expect(
    measured.look(counters(2_000, { commands: 1_025, hits: 3, misses: 1, errors: 8 }), 7).values,
  ).toMatchObject({ opsPerSecond: 10, hitRate: 0.75, errorsPerSecond: 4, lagBytes: 7 });
  expect(measured.look(counters(3_000, { runId: 'b', commands: 5 }), 0)).toMatchObject({
    since: null,
    values: { opsPerSecond: null },
  });
});

test('a real server is measured: commands, hit rate, errors, connections, lag', async () => {
  const pair = await couple(['r70', 'r80']);
  const [primary, follower, app] = [pair.one.client(), pair.two.client(), pair.one.client()];
  let stop = false;
  let done = 0;
  const load = (async () => {
    while (!stop) {
      // Three hits and a miss, and one error, each time.
      await Promise.all([
        ...[1, 2, 3].map((n) => app.get(`key:${n}`)),
        app.get('nothing'),
        app.call('LPUSH', 'key:1', 'x').catch(() => {}),
      ]);
      done += 5;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const before = done;
  const began = performance.now();
  const { summary, series } = await measure({
    primary,
    follower,
    forMs: 2_500,
    signal: new AbortController().signal,
  });
  const perSecond = ((done - before) * 1_000) / (performance.now() - began);
  stop = true;
  await load;
  expect(Math.abs((summary.opsPerSecond ?? 0) - perSecond) / perSecond).toBeLessThan(0.25);
  expect(summary.hitRate).toBeCloseTo(0.75, 1);
  expect((summary.errorsPerSecond ?? 0) / (summary.opsPerSecond ?? 1)).toBeCloseTo(0.2, 1);
  // The application's one and what the tests hold; without the one that measured.
  expect(summary.connections).toBeGreaterThanOrEqual(1);
  expect(summary.latencyP99Ms).toBeGreaterThan(0);
  expect(summary.memoryRssBytes).toBeGreaterThan(summary.memoryBytes ?? Infinity);
  expect(summary.lagBytes).toBeLessThan(1_000_000);
  expect(pointsOf(series).opsPerSecond.length).toBeGreaterThan(1);
});

test('measuring costs a server less than 1% of a core', { timeout: 30_000 }, async () => {
  const server = await serve({ name: 'r80' });
  const [client, reader] = [server.client(), server.client()];
  const cpu = async (): Promise<number> => {
    const info = await reader.info('cpu');
    const of = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1]);
    return of('used_cpu_sys') + of('used_cpu_user');
  };
  const spent = async (work: () => Promise<unknown>): Promise<number> => {
    const [before, began] = [await cpu(), performance.now()];
    await work();
    return ((await cpu()) - before) / ((performance.now() - began) / 1_000);
  };
  const idle = await spent(() => new Promise((resolve) => setTimeout(resolve, 4_000)));
  // Both roles on one server: twice what one has.
  const measured = await spent(() =>
    measure({ primary: client, follower: client, forMs: 4_000, signal: new AbortController().signal }),
  );
  if (process.env['SHOW']) console.log({ idle, measured });
  expect(measured - idle).toBeLessThan(0.01);
});
