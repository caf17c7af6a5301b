/** Everything that a worker tells Prometheus: what it counts of its own work, and what it sees of all upgrades. */
import type { Client } from '@temporalio/client';
import type { MetricMeter } from '@temporalio/common';
import { countWith } from '../activities/metrics.js';
import { STRATEGIES } from '../contract.js';
import { COUNTERS, OUTCOMES } from '../runbook/counters.js';
import { lookAtUpgrades } from './look.js';

/** Begins at once; ends some moments after `signal`. */
export async function tellMetrics(options: {
  client: Client;
  meter: MetricMeter;
  taskQueue: string;
  signal: AbortSignal;
}): Promise<void> {
  const { client, meter, taskQueue, signal } = options;
  // The labels that Temporal gives to what workflows count.
  const labelled = meter.withTags({ namespace: client.options.namespace, taskQueue });
  countWith(labelled);
  countUpgradesFromZero(labelled);
  await lookAtUpgrades({ client, meter: labelled, taskQueue, signal });
}

/** A rate needs to have seen the 0. Failures have too many types for that. */
function countUpgradesFromZero(meter: MetricMeter): void {
  const zero = (name: keyof typeof COUNTERS, labels: Record<string, string>): void =>
    meter.createCounter(name, '', COUNTERS[name]).add(0, labels);
  for (const workflowType of Object.keys(STRATEGIES)) {
    zero('ferry_decisions_asked_total', { workflowType });
    zero('ferry_rollbacks_total', { workflowType });
    for (const outcome of OUTCOMES) zero('ferry_upgrades_ended_total', { workflowType, outcome });
  }
}
