/**
 * Looks at all upgrades of a task queue again and again, and tells how many are in which phase and wait at which gate.
 *
 * Asked instead of counted: what a workflow says of itself when it changes is not said again after a restart, and is said to one
 * worker of several only (docs/decisions/006-metrics-by-looking.md).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { MetricMeter } from '@temporalio/common';
import { OPEN, STRATEGIES, UPGRADES_ONLY, phaseOf, queries, type State, type Strategy } from '../contract.js';
import { HELM_DUMP_RESTORE_GATES } from '../inputs/helm-dump-restore.js';
import { HELM_BLUE_GREEN_GATES } from '../inputs/helm-blue-green.js';
import { HELM_IN_PLACE_GATES } from '../inputs/helm-in-place.js';
import { HELM_ROLLING_GATES } from '../inputs/helm-rolling.js';
import { HEROKU_FORK_GATES } from '../inputs/heroku-fork.js';
import { HEROKU_IN_PLACE_GATES } from '../inputs/heroku-in-place.js';
import { POSTGRES_MOVE_GATES } from '../inputs/postgres-move.js';
import { PROVIDER_MOVE_GATES } from '../inputs/provider-move.js';
import { REDIS_COPY_GATES } from '../inputs/redis-copy.js';
import { REDIS_SWITCHOVER_GATES } from '../inputs/redis-switchover.js';
import { REHEARSAL_GATES } from '../inputs/rehearsal.js';

/** Milliseconds between two looks; more where a look takes long, so that it takes a tenth of the time at most. */
const EVERY = 5_000;
const SHARE = 10;
/** How long one upgrade may take to say at which gate it waits, in milliseconds. */
const PATIENCE = 2_000;
/** The gate of an upgrade that did not answer. */
const UNKNOWN = 'unknown';
const GATES: Record<Strategy, readonly string[]> = {
  redisCopy: REDIS_COPY_GATES,
  redisSwitchover: REDIS_SWITCHOVER_GATES,
  herokuInPlace: HEROKU_IN_PLACE_GATES,
  herokuFork: HEROKU_FORK_GATES,
  helmInPlace: HELM_IN_PLACE_GATES,
  helmRolling: HELM_ROLLING_GATES,
  helmBlueGreen: HELM_BLUE_GREEN_GATES,
  helmDumpRestore: HELM_DUMP_RESTORE_GATES,
  postgresMove: POSTGRES_MOVE_GATES,
  // Those of its waves are told once they are waited at.
  fleetRollout: ['start'],
  providerMove: PROVIDER_MOVE_GATES,
  rehearsal: REHEARSAL_GATES,
};
const STRATEGY_NAMES = Object.keys(STRATEGIES) as Strategy[];

/** Runs until `signal`. Never throws: a look that fails is tried again, and the time of the last one tells that it did. */
export async function lookAtUpgrades(options: {
  client: Client;
  /** With the labels of namespace and task queue. */
  meter: MetricMeter;
  taskQueue: string;
  signal: AbortSignal;
}): Promise<void> {
  const { client, meter, taskQueue, signal } = options;
  const upgrades = meter.createGauge('ferry_upgrades', 'int', '', 'Upgrades that run, by phase');
  const waiting = meter.createGauge(
    'ferry_waiting_approvals',
    'int',
    '',
    'Upgrades that wait for an approval, by gate',
  );
  const longest = meter.createGauge(
    'ferry_approval_wait_seconds',
    'int',
    '',
    'How long the upgrade has waited that has waited longest, by gate',
  );
  const looked = meter.createGauge(
    'ferry_last_look_timestamp_seconds',
    'int',
    '',
    'When all upgrades were last seen, in seconds since 1970',
  );
  while (!signal.aborted) {
    const began = Date.now();
    try {
      for (const [workflowType, seen] of await look({ client, taskQueue })) {
        for (const [phase, count] of seen.phases) upgrades.set(count, { workflowType, phase });
        for (const [gate, waits] of seen.gates) {
          waiting.set(waits.length, { workflowType, gate });
          longest.set(Math.max(0, ...waits), { workflowType, gate });
        }
      }
      looked.set(Math.floor(Date.now() / 1_000));
    } catch {
      // Temporal is away.
    }
    await sleep(Math.max(EVERY, SHARE * (Date.now() - began)), undefined, { signal }).catch(() => {});
  }
}

interface Seen {
  /** Upgrades by phase. */
  phases: Map<string, number>;
  /** Seconds that each has waited, by gate. */
  gates: Map<string, number[]>;
}

/** Everything that could be there is there, with 0: a gauge keeps what it was last told. */
function nothingSeen(strategy: Strategy): Seen {
  return {
    phases: new Map(OPEN.map((phase) => [phase, 0])),
    gates: new Map([...GATES[strategy], UNKNOWN].map((gate) => [gate, []])),
  };
}

async function look({
  client,
  taskQueue,
}: {
  client: Client;
  taskQueue: string;
}): Promise<Map<string, Seen>> {
  const all = new Map<string, Seen>(STRATEGY_NAMES.map((strategy) => [strategy, nothingSeen(strategy)]));
  const types = STRATEGY_NAMES.map((strategy) => `'${strategy}'`).join(', ');
  const query = `TaskQueue = '${taskQueue.replaceAll("'", "''")}' AND ExecutionStatus = 'Running' AND WorkflowType IN (${types}) AND ${UPGRADES_ONLY}`;
  for await (const info of client.workflow.list({ query })) {
    const seen = all.get(info.type);
    // An upgrade says its phase with its first task.
    const phase = phaseOf(info) ?? 'Running';
    if (!seen) continue;
    seen.phases.set(phase, (seen.phases.get(phase) ?? 0) + 1);
    if (phase !== 'AwaitingApproval') continue;
    const wait = await waitOf({ client, workflowId: info.workflowId, runId: info.runId });
    if (wait) seen.gates.set(wait.gate, [...(seen.gates.get(wait.gate) ?? []), wait.seconds]);
  }
  return all;
}

/** At which gate it waits and for how long; null when it waits no more. */
async function waitOf(of: {
  client: Client;
  workflowId: string;
  runId: string;
}): Promise<{ gate: string; seconds: number } | null> {
  const { client, workflowId, runId } = of;
  let state: State;
  try {
    state = await client.withDeadline(Date.now() + PATIENCE, () =>
      client.workflow.getHandle(workflowId, runId).query(queries.state),
    );
  } catch {
    return { gate: UNKNOWN, seconds: 0 };
  }
  const gate = state.gates.find(({ status }) => status === 'open');
  if (state.phase !== 'AwaitingApproval' || !gate) return null;
  return { gate: gate.name, seconds: Math.round((Date.now() - Date.parse(state.since)) / 1_000) };
}
