import { expect, test } from 'vitest';
import { cases } from '../../support/slow.js';
import { expectSleepersHarmless, expectWholeAfterKills } from './killed.js';

/* Every instant is in the sweep; here some, of which most are between the pause and its end. */
test('killed with -9 at some instants of the handover: it is finished, and no write is lost', async () => {
  const at = cases([16, 30, 38, 46], [24, 34, 42, 50]).flatMap((command) =>
    (['before', 'after'] as const).map((when) => ({ when, command })),
  );
  const { kills } = await expectWholeAfterKills({ names: ['r70', 'r80'], at });
  expect(kills).toBe(at.length);
});

/* There the fence is another one: see fence-by-role.ts. */
test('killed while Redis 6.0 hands over', async () => {
  const at = cases([30, 38, 46, 54, 62], [26, 34, 42, 50, 58]).flatMap((command) =>
    (['before', 'after'] as const).map((when) => ({ when, command })),
  );
  const { kills } = await expectWholeAfterKills({ names: ['r60', 'r62'], at });
  expect(kills).toBeGreaterThan(at.length / 2);
});

/* Its time was over, and another attempt came: it wakes up behind that one. */
test.each([
  ['r70', 'r80'],
  ['r60', 'r62'],
] as const)(
  'stopped while %s hands over to %s, and continued once another attempt has finished it',
  async (...names) => {
    const at = [32, 36, 44].flatMap((command) =>
      (['before', 'after'] as const).map((when) => ({ when, command })),
    );
    expect(await expectSleepersHarmless({ names, at })).toBeGreaterThan(at.length / 2);
  },
);
