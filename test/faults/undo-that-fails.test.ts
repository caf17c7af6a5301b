/* An undo that can not be done holds: the next one could take down what still serves. */
import { describe, expect, test } from 'vitest';
import { expectHeldAndDone, switched } from './held.js';
import { expectWhole, restart } from './support.js';

describe.concurrent('while it goes back', { timeout: 120_000 }, () => {
  for (const side of ['source', 'target'] as const) {
    test(`the ${side} turns us away: it holds, and once it is let in again it goes back with every write`, () =>
      switched((on) => {
        const server = on.w.redis(side);
        return expectHeldAndDone({
          ...on,
          // Whoever is connected stays so.
          take: () => server.config('SET', 'requirepass', 'changed'),
          give: () => server.config('SET', 'requirepass', ''),
        });
      }));
  }

  test('the source is down and comes back without its fence: it is not guessed where the applications are', () =>
    switched(async ({ w, upgrade, app, durable }) => {
      await w.source.kill9();
      await upgrade.say('rollback', { by: 'ada' });
      await upgrade.until('NeedsDecision', 90_000);
      await restart(w, 'source', { version: 'r70', args: durable });
      await upgrade.say('retry', { by: 'ada' });
      const unclear = /can't be told/;
      const asked = await upgrade.until(
        (state) => state.phase === 'NeedsDecision' && unclear.test(state.decision?.problem ?? ''),
        60_000,
      );
      expect(asked.breakGlass.length).toBeGreaterThan(0);
      await upgrade.say('decide', { choice: 'stop', by: 'ada' });
      const receipt = await upgrade.ended();
      expect(receipt.outcome).toBe('RollbackFailed');
      expect(receipt.left.join('\n')).toMatch(
        /Switch the applications over: not undone[\s\S]*Copy every key: not undone/,
      );
      await expectWhole({ w, app, serving: 'target' });
      expect(await w.redis('target').dbsize()).toBeGreaterThan(2_000);
    }));
});
