import { describe, expect, test } from 'vitest';
import { expectSleepersHarmless, expectWholeAfterKills } from './killed.js';

/** More than a handover has: those beyond its end kill nothing. */
const MOST = 120;

describe.each([
  ['r70', 'r80'],
  ['r62', 'v81'],
  ['r70', 'v9'],
  ['r60', 'r62'],
] as const)('%s ⇄ %s', (...names) => {
  test('killed with -9 before and after each command of a handover, forth and back', async () => {
    const at = Array.from({ length: MOST }, (_, i) => i + 1).flatMap((command) =>
      (['before', 'after'] as const).map((when) => ({ when, command })),
    );
    const { kills, longest } = await expectWholeAfterKills({ names, at });
    console.log(
      `${names.join(' ⇄ ')}: ${kills} kills, no write missing; the longest wait of a write ${Math.round(longest)} ms`,
    );
    expect(kills).toBeGreaterThan(100);
  });

  test('stopped before and after each command, and continued once another attempt has finished it', async () => {
    const at = Array.from({ length: MOST / 2 }, (_, i) => i + 1).flatMap((command) =>
      (['before', 'after'] as const).map((when) => ({ when, command })),
    );
    const slept = await expectSleepersHarmless({ names, at });
    console.log(`${names.join(' ⇄ ')}: ${slept} slept, and changed nothing when they woke up`);
    expect(slept).toBeGreaterThan(50);
  });
});
