/* When a criterion is a reason to go back by itself, and when a person is asked. Seconds are told, none are waited for. */
import { describe, expect, test } from 'vitest';
import { milliseconds } from '../../../src/inputs/refs.js';
import { METRICS, RollbackWhen, type RollbackCriterion } from '../../../src/inputs/rollback-when.js';
import { RedisSwitchoverInput } from '../../../src/inputs/redis-switchover.js';
import { breachOf, doubtsBefore, hold, type Held } from '../../../src/redis/replication/criteria.js';
import type { Values } from '../../../src/redis/replication/metrics.js';

const NOTHING = Object.fromEntries(METRICS.map((metric) => [metric, null])) as Values;

function connections(n: number | null): Values {
  return { ...NOTHING, connections: n };
}

const CRITERION: RollbackCriterion = { metric: 'connections', above: 10, for: '20s' };

/** Watches one value a second, `null` for a second without a measurement; returns what is found, and after how many seconds. */
function watch(
  values: (number | null)[],
  { criterion = CRITERION, before = connections(5), linkUp = true } = {},
) {
  let held: Held | null = null;
  for (const [second, value] of values.entries()) {
    const at = second * 1_000;
    if (value !== null) held = hold({ criterion, before, held, at, values: connections(value) });
    const found = breachOf({
      criteria: [criterion],
      held: [held],
      settled: [],
      before,
      values: connections(value),
      linkUp,
    });
    if (found) return { second, ...found };
  }
  return null;
}

const times = <T>(n: number, value: T): T[] => Array.from({ length: n }, () => value);

describe('a breach', () => {
  test('held for all of the time is clear, and not a second before', () => {
    expect(watch([...times(30, 5), ...times(20, 11)])).toBeNull();
    expect(watch([...times(30, 5), ...times(21, 11)])).toMatchObject({
      second: 50,
      clear: true,
      criterion: 0,
    });
  });
  test('that comes and goes is none', () => {
    expect(watch(Array.from({ length: 3_600 }, (_, i) => (i % 3 === 0 ? 11 : 5)))).toBeNull();
    expect(watch([...times(15, 11), ...times(16, 5), ...times(15, 11), ...times(16, 5)])).toBeNull();
  });
  test('that was interrupted, but held most of the time, is for a person', () => {
    expect(watch([...times(15, 11), 5, ...times(15, 11)])).toMatchObject({
      clear: false,
      says: expect.stringContaining('interrupted') as string,
    });
  });
  test('with a gap in measuring is for a person', () => {
    const found = watch([...times(12, 11), ...times(10, null), ...times(15, 11)]);
    expect(found).toMatchObject({
      clear: false,
      says: expect.stringContaining('nothing was measured') as string,
    });
  });
  test('from before a gap that is longer than the criterion does not count', () => {
    expect(watch([...times(15, 11), ...times(25, null), ...times(19, 11)])).toBeNull();
    expect(watch([...times(15, 11), ...times(25, null), ...times(21, 11)])).toMatchObject({ clear: true });
  });
  test('that was there before the cutover, or is not known of then, is for a person', () => {
    expect(watch(times(21, 11), { before: connections(12) })).toMatchObject({
      clear: false,
      says: expect.stringContaining('was 12 before') as string,
    });
    expect(watch(times(21, 11), { before: connections(null) })).toMatchObject({ clear: false });
  });
  test('while the link is down is for a person: it could not go back', () => {
    expect(watch(times(21, 11), { linkUp: false })).toMatchObject({ clear: false });
  });
  test('below, and by times of what it was before', () => {
    const below: RollbackCriterion = { metric: 'connections', below: { timesBefore: 0.5 }, for: '5s' };
    expect(watch(times(6, 3), { criterion: below, before: connections(10) })).toMatchObject({ clear: true });
    expect(watch(times(60, 5), { criterion: below, before: connections(10) })).toBeNull();
    // Of nothing there are no multiples.
    expect(watch(times(60, 5), { criterion: below, before: connections(0) })).toBeNull();
    expect(doubtsBefore([below, CRITERION], connections(0))).toEqual([
      expect.stringContaining("can't be judged"),
    ]);
    expect(doubtsBefore([CRITERION], connections(12))).toEqual([expect.stringContaining('in breach before')]);
  });
});

describe('the input', () => {
  const problems = (rollbackWhen: unknown, more = {}) =>
    RedisSwitchoverInput.safeParse({
      name: 'n',
      source: { env: 'A' },
      target: { env: 'B' },
      repoint: { kind: 'file', path: '/f' },
      rollbackWhen,
      ...more,
    }).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];
  const good = { metric: 'latencyP99Ms', above: 10, for: '30s' };
  test.each([
    ['an unknown metric', [{ ...good, metric: 'cpu' }], /^rollbackWhen.0.metric: .*latencyP50Ms/],
    [
      'neither above nor below',
      [{ metric: 'hitRate', for: '1m' }],
      /^rollbackWhen.0.above: .*`above` or `below`/,
    ],
    ['both', [{ ...good, below: 1 }], /^rollbackWhen.0.below: .*two criteria/],
    [
      'words for a number',
      [{ ...good, above: 'a lot' }],
      /^rollbackWhen.0.above: must be a number.*timesBefore/,
    ],
    ['a rate above 1', [{ metric: 'hitRate', below: 80, for: '1m' }], /^rollbackWhen.0.below: .*from 0 to 1/],
    [
      'below nothing',
      [{ metric: 'opsPerSecond', below: 0, for: '1m' }],
      /^rollbackWhen.0.below: .*nothing is below/,
    ],
    ['too short', [{ ...good, for: '100ms' }], /^rollbackWhen.0.for: .*once a second/],
    [
      'longer than the soak',
      [{ ...good, for: '2d' }],
      /^rollbackWhen.0.for: is longer than the soak \(24h\)/,
    ],
    ['twice the same', [good, good], /^rollbackWhen.1: is there twice/],
    ['no duration', [{ ...good, for: 30 }], /^rollbackWhen.0.for: /],
  ])('%s is refused', (_, rollbackWhen, words) => {
    expect(problems(rollbackWhen).join('\n')).toMatch(words);
  });
  test('what is right is taken', () => {
    expect(problems([good, { ...good, above: { timesBefore: 3 } }])).toEqual([]);
    expect(RollbackWhen.parse([good])).toHaveLength(1);
    expect(milliseconds(good.for)).toBe(30_000);
  });
});
