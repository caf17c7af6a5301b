/** What an upgrade counts of itself. A replay counts nothing again. docs/metrics.md says what each means. */
import { metricMeter } from '@temporalio/workflow';
import type { Receipt } from '../contract.js';
import type { FailureType } from '../errors.js';

/** Name → meaning. */
export const COUNTERS = {
  ferry_step_failures_total: 'Steps that failed for good',
  ferry_decisions_asked_total: 'Times that a person had to decide',
  ferry_rollbacks_total: 'Rollbacks that began',
  ferry_upgrades_ended_total: 'How upgrades ended',
} as const;

export const OUTCOMES = [
  'Completed',
  'Planned',
  'RolledBack',
  'RollbackFailed',
  'Aborted',
  'Refused',
] as const satisfies (Receipt['outcome'] | 'Refused')[];

function count(name: keyof typeof COUNTERS, labels: Record<string, string> = {}): void {
  metricMeter.createCounter(name, '', COUNTERS[name]).add(1, labels);
}

export const tally = {
  failure: (failure: FailureType, during: 'forward' | 'rollback') =>
    count('ferry_step_failures_total', { failure, during }),
  decision: () => count('ferry_decisions_asked_total'),
  rollback: () => count('ferry_rollbacks_total'),
  end: (outcome: (typeof OUTCOMES)[number]) => count('ferry_upgrades_ended_total', { outcome }),
};
