/** Comparing both sides as a whole: what every strategy does before it relies on it that they hold the same. */
import type { CompareOutcome } from '../activities/moving.js';
import type { Sides } from '../activities/sides.js';
import type { RedisCopySettings } from '../inputs/redis-copy.js';
import { acts, moves, type Activities } from '../runbook/acts.js';
import type { Runbook } from '../runbook/api.js';
import { ending } from '../runbook/failure.js';
import { differences } from './redis-copy-words.js';

type Repair = Parameters<Activities['compareKeys']>[0]['repair'];

/** `sides`: asked for again where it goes on after a pause, as the rate may have been changed. `title`: of the step, for the timeline. */
export function compareBoth(
  r: Runbook,
  sides: () => Sides,
  { title = 'Compare both sides', repair = 'never' }: { title?: string; repair?: Repair } = {},
): Promise<CompareOutcome> {
  return r.resumable((checkpoint?: CompareOutcome['checkpoint']) =>
    acts(moves, title).compareKeys({ sides: sides(), checkpoint, repair }),
  );
}

/** Keys that differ, and were not made good. */
export function differing({ missing, extra, type, value, ttl, repaired }: CompareOutcome): number {
  return missing + extra + type + value + ttl - repaired;
}

/** `input`: what it says to do depends on how the keys came. @throws ApplicationFailure ComparisonDiffers */
export function mustBeEqual(
  result: CompareOutcome,
  input: Pick<RedisCopySettings, 'way' | 'ifTargetHasKeys'> = { way: 'auto', ifTargetHasKeys: 'refuse' },
): CompareOutcome {
  const different = differing(result);
  if (different > 0) throw ending('ComparisonDiffers', differences(result, different, input));
  return result;
}
