/** The targets of a wave: begun so many at a time, each an upgrade of its own that outlives the fleet. */
import {
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { phaseSignal, signals, type FleetRow, type Receipt } from '../contract.js';
import type { FleetRolloutSettings, FleetWave } from '../inputs/fleet-rollout.js';
import type { Runbook } from '../runbook/api.js';
import { refusal } from '../runbook/failure.js';
import { now } from '../runbook/ledger.js';
import { startUpgrade } from './children.js';

/** Events. Half of what Temporal warns at: the targets under way end first, then it goes on in a new run. */
const LONG_HISTORY = 5_000;
const LARGE_HISTORY = 5_000_000;

/** What a person may say of one that was not begun. */
export function leavingOut(rows: FleetRow[]): (target: string, by: string) => () => string {
  return (target, by) => {
    const row = rows.find(({ name, workflowId }) => [name, workflowId].includes(target));
    if (!row) throw refusal(`There is no target "${target}".`);
    if (row.status !== 'planned')
      throw refusal(`Target "${target}" is ${row.status} already: it can't be left out any more.`);
    return () => {
      Object.assign(row, { status: 'skipped', by } satisfies Partial<FleetRow>);
      return `Target "${target}" is left out.`;
    };
  };
}

/** Upgrades every target of the wave. Once one is not well, none is begun until a person has decided. */
export async function rollWave(
  r: Runbook,
  { wave, rows, stopOn }: { wave: FleetWave; rows: FleetRow[]; stopOn: FleetRolloutSettings['stopOn'] },
): Promise<void> {
  const inputs = new Map(wave.targets.map(({ workflowId, input }) => [workflowId, input]));
  const underWay = () => rows.filter(({ status }) => status === 'running');
  setHandler(phaseSignal, ({ workflowId, phase, reason }) => {
    const row = underWay().find((each) => each.workflowId === workflowId);
    if (row) Object.assign(row, { phase, reason });
  });
  try {
    for (;;) {
      await r.boundary();
      const bad = rows.find((row) => row.status === 'failed' && row.by === undefined);
      const next = rows.find(({ status }) => status === 'planned');
      const running = underWay().length;
      if (!bad && next && running < wave.maxParallel && !historyIsLong()) {
        begin(next, inputs.get(next.workflowId) ?? {}, stopOn);
        continue;
      }
      if (running === 0) {
        if (bad) await judge(r, bad, { left: rows.filter(({ status }) => status === 'planned').length });
        else if (next) await r.goOnAsNew();
        else return;
        continue;
      }
      await condition(() => underWay().length < running || r.isCalled());
    }
  } catch (error) {
    const leaving = r.leaving();
    // Whoever stops the fleet leaves its targets alone; whoever takes it back means those too that are under way.
    if (leaving?.how === 'rollback')
      await CancellationScope.nonCancellable(async () => {
        for (const { workflowId } of underWay())
          await getExternalWorkflowHandle(workflowId)
            .signal(signals.rollback, { by: leaving.by, note: 'its fleet goes back' })
            .catch(() => {});
        await condition(() => underWay().length === 0);
      });
    throw error;
  }
}

function historyIsLong(): boolean {
  const { historyLength, historySize } = workflowInfo();
  return historyLength > LONG_HISTORY || historySize > LARGE_HISTORY;
}

/** It goes on by itself; its row says how it ends. */
function begin(row: FleetRow, input: Record<string, unknown>, stopOn: FleetRolloutSettings['stopOn']): void {
  // Of a try before this one.
  for (const key of ['outcome', 'clean', 'endedAt', 'reason'] as const) delete row[key];
  Object.assign(row, { status: 'running', startedAt: now() } satisfies Partial<FleetRow>);
  const { strategy, workflowId } = row;
  startUpgrade({ strategy, workflowId, input }, (receipt, why) => {
    if (receipt) end(row, receipt, stopOn);
    else Object.assign(row, { status: 'failed', endedAt: now(), reason: why });
  });
}

function end(row: FleetRow, receipt: Receipt, stopOn: FleetRolloutSettings['stopOn']): void {
  const { outcome, clean, reason, blemishes } = receipt;
  const well = outcome === 'Planned' || (outcome === 'Completed' && (clean || stopOn === 'failed'));
  delete row.phase;
  Object.assign(row, {
    status: well ? 'done' : 'failed',
    outcome,
    clean,
    endedAt: now(),
    reason: blemishes[0] ?? reason,
  } satisfies Partial<FleetRow>);
}

/** A person decides what becomes of the fleet. */
async function judge(r: Runbook, bad: FleetRow, { left }: { left: number }): Promise<void> {
  const others = left === 0 ? 'the fleet goes on' : `the other ${left} of this wave are upgraded`;
  const choice = await r.decide({
    about: `Target ${bad.name}`,
    problem: `${bad.workflowId} ended ${bad.outcome ? `as ${bad.outcome}` : 'early'}: ${bad.reason ?? ''}`,
    choices: {
      retry: 'upgrade this target once more',
      skip: `leave it as it is, and ${others}`,
      ...r.waysOut(),
    },
  });
  if (choice === 'retry') bad.status = 'planned';
  else if (choice === 'skip') bad.by = 'a person';
}
