/** Looks at a Redis in trouble and says what it found, what shows it, and what to do next. Changes nothing, deletes nothing. */
import type { Diagnosis } from '../contract.js';
import { DiagnoseInput } from '../inputs/diagnose.js';
import { acts, moves, reads } from '../runbook/acts.js';
import { ending } from '../runbook/failure.js';

export async function diagnose(raw: unknown): Promise<Diagnosis> {
  const parsed = DiagnoseInput.safeParse(raw);
  if (!parsed.success)
    throw ending(
      'InvalidInput',
      'give {"namespace": "redis", "release": "redis"}, with "context" and "password" where they are needed, or {"server": …}',
    );
  return acts({ ...moves, startToCloseTimeout: '5m', retry: reads.retry ?? {} }, 'Look at it').findTrouble(
    parsed.data,
  );
}
