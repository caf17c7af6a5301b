/** The steps of `helmDumpRestore` that the engine of `redisCopy` does, between two servers of which the old one takes no writes. */
import type { WatchOutcome } from '../activities/closing.js';
import type { Pair } from '../activities/looking.js';
import type { CompareOutcome, CopyOutcome } from '../activities/moving.js';
import type { Sides } from '../activities/sides.js';
import type { FenceBefore } from '../activities/switching.js';
import type { Check } from '../contract.js';
import { milliseconds } from '../inputs/refs.js';
import { acts, moves } from '../runbook/acts.js';
import type { ReadStep, Runbook, WriteStep } from '../runbook/api.js';
import { compareBoth, mustBeEqual } from './comparing.js';
import * as say from './helm-dump-restore-words.js';

export function engineSteps(r: Runbook, sides: Sides) {
  return {
    /** `save`: saves the new one to its disk, where it saves at all. */
    copy: (on: {
      pair: Pair;
      how: say.How;
      green: string;
      save: ((step: string) => Promise<unknown>) | null;
    }): WriteStep<CopyOutcome | null> => ({
      does: say.copySays(on.pair, on.how),
      foresee: null,
      undo: { none: `it goes with ${on.green}` },
      async do() {
        const outcome = await r.resumable((checkpoint?: CopyOutcome['checkpoint']) =>
          acts(moves, 'Copy every key').copyKeys({ sides, checkpoint }),
        );
        await on.save?.('Copy every key');
        return outcome;
      },
      note: (result) => (result ? `${result.counts.copied.toLocaleString('en')} keys` : ''),
    }),

    compare: (): ReadStep<CompareOutcome | null> => ({
      does: ['compare type, value and expiry of every key, in both directions, while nobody writes'],
      foresee: null,
      read: async () => mustBeEqual(await compareBoth(r, () => sides)),
      note: (result) => (result ? `${result.keysCompared.toLocaleString('en')} keys, no difference` : ''),
    }),

    watch: async (on: { pair: Pair; fence: FenceBefore | null; soak: string }): Promise<Check[]> => {
      const { checkpoint: seen } = await r.resumable((checkpoint?: WatchOutcome['checkpoint']) =>
        acts(moves, 'Watch the old release').watchStragglers({
          sides,
          fence: on.fence,
          forMs: milliseconds(on.soak),
          checkpoint,
        }),
      );
      r.record({ stragglers: seen });
      const check = say.stragglers(seen, on.pair);
      // It stays so when a later watch sees nothing any more.
      if (check.status === 'fail')
        r.blemish(`After the cutover, at ${on.pair.source.shown}: ${check.actual}`);
      return [check];
    },
  };
}
