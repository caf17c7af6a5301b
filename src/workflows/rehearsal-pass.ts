/** One pass of a rehearsal: the upgrade itself, begun as a child under its own workflow ID, with its gates approved for it. */
import {
  CancellationScope,
  getExternalWorkflowHandle,
  ParentClosePolicy,
  setHandler,
  startChild,
} from '@temporalio/workflow';
import { phaseSignal, signals, workflowIdOf, type FleetRow, type Receipt } from '../contract.js';
import { milliseconds } from '../inputs/refs.js';
import type { RehearsalSettings } from '../inputs/rehearsal.js';
import { leftToDo } from '../receipt/build.js';
import { acts, follows } from '../runbook/acts.js';
import type { Runbook } from '../runbook/api.js';
import { ending, problemOf, receiptOf } from '../runbook/failure.js';
import { now } from '../runbook/ledger.js';

export interface Pass {
  receipt: Receipt;
  /** It ended as it was meant to. */
  well: boolean;
  /** Titles of the steps of the cutover. */
  cutover: string[];
  noWayBack: string | null;
  /** From the request to the end; null where it did not go back. */
  backMs: number | null;
}

/** As it speaks to the upgrade. */
export function speaker({ name }: RehearsalSettings): string {
  return `the rehearsal ${name}`;
}

export async function rehearse(
  r: Runbook,
  { row, input, back }: { row: FleetRow | undefined; input: RehearsalSettings; back: boolean },
): Promise<Pass> {
  if (!row) throw new Error('A pass has a row');
  const { strategy } = input;
  const workflowId = workflowIdOf(strategy, input.input.name);
  let backSince: number | null = null;
  setHandler(phaseSignal, ({ phase, reason }) => {
    Object.assign(row, { phase, reason });
    if (phase === 'RollingBack') backSince ??= Date.now();
  });
  for (const key of ['outcome', 'clean', 'endedAt', 'reason'] as const) delete row[key];
  Object.assign(row, { status: 'running', startedAt: now() } satisfies Partial<FleetRow>);
  // What stops the rehearsal must not leave a staging target half-way.
  const child = await CancellationScope.nonCancellable(() =>
    startChild(strategy, {
      workflowId,
      args: [inputOf(input, back)],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      staticSummary: `Rehearsed by ${input.name}`,
    }),
  );
  const over = CancellationScope.nonCancellable(() => child.result()).then(
    (receipt) => ({ receipt: receipt as Receipt, error: null }),
    (error: unknown) => ({ receipt: receiptOf(error), error }),
  );
  try {
    const { cutover, noWayBack } = await acts(follows, 'Approve its gates').steerRehearsal({
      workflowId,
      runId: child.firstExecutionRunId,
      by: speaker(input),
      back,
    });
    const { receipt, error } = await over;
    if (!receipt) {
      const { type, message } = problemOf(error);
      throw ending(type, `${workflowId}: ${message}`);
    }
    // Of going back, only that which it was asked for by the rehearsal.
    const well =
      back && noWayBack === null
        ? receipt.outcome === 'RolledBack' && receipt.reason === `asked by ${speaker(input)}`
        : receipt.outcome === 'Completed';
    end(row, receipt, well);
    const backMs = backSince === null ? null : Math.max(0, Date.parse(receipt.endedAt) - backSince);
    return { receipt, well, cutover, noWayBack, backMs };
  } catch (error) {
    if (r.leaving()?.how === 'rollback')
      await CancellationScope.nonCancellable(async () => {
        await getExternalWorkflowHandle(workflowId)
          .signal(signals.rollback, { by: speaker(input), note: 'its rehearsal goes back', acceptLoss: true })
          .catch(() => {});
        const { receipt } = await over;
        if (receipt) end(row, receipt, false);
      });
    if (row.status === 'running') Object.assign(row, { status: 'failed', endedAt: now() });
    throw error;
  }
}

/** It measures nothing that the upgrade did otherwise than it was meant to: then the rehearsal ends here, and says why. */
export async function mustBeWell(
  r: Runbook,
  title: string,
  { receipt, well, noWayBack }: Pass,
): Promise<void> {
  const { outcome, reason, workflowId } = receipt;
  if (!well) {
    const says = `${title}: ${workflowId} ended as ${outcome}: ${reason}`;
    r.blemish(says);
    for (const left of receipt.left) r.blemish(`${title}: left as it is: ${left}`);
    await r.goBack(says);
  }
  if (noWayBack !== null) r.warn(`It could not go back: ${noWayBack}`);
  for (const todo of leftToDo(receipt)) r.warn(`${title}: ${todo}`);
  for (const flaw of flawsOf(receipt)) r.blemish(`${title}: ${flaw}`);
}

/** That it went back is none, and what a person is to do behind it is not about how it went. */
function flawsOf(receipt: Receipt): string[] {
  const todos = leftToDo(receipt);
  return receipt.blemishes.filter((flaw) => !flaw.startsWith('It ended as') && !todos.includes(flaw));
}

function end(row: FleetRow, receipt: Receipt, well: boolean): void {
  const { outcome, reason } = receipt;
  const [flaw] = flawsOf(receipt);
  delete row.phase;
  Object.assign(row, {
    status: well ? 'done' : 'failed',
    outcome,
    clean: well && flaw === undefined,
    reason: well ? (flaw ?? reason) : reason,
    endedAt: now(),
  } satisfies Partial<FleetRow>);
}

/** How long what comes behind the cutover lasts at least, so that it can be taken back in it. */
const LONG_ENOUGH = '1m';
/** Each strategy calls it otherwise. */
const SOAKS = ['soak', 'watch', 'keepOldFor'] as const;
/** Open, so that the plan says where a window would stand. */
const WINDOW_MS = { before: 60_000, after: 60 * 24 * 3_600_000 };

function inputOf({ input, notify, contact }: RehearsalSettings, back: boolean): Record<string, unknown> {
  const { notices: _, rehearsed: __, followUps: ___, dryRun: ____, ...rest } = input;
  const longer = SOAKS.flatMap((key) => {
    const given = rest[key];
    return typeof given === 'string' && milliseconds(given) < milliseconds(LONG_ENOUGH)
      ? [[key, LONG_ENOUGH] as const]
      : [];
  });
  return {
    onFailure: 'rollback',
    // Where it needs a person, the one who waits for the rehearsal hears of it.
    ...(notify === undefined ? {} : { notify }),
    ...(contact === undefined ? {} : { contact }),
    ...rest,
    ...(back ? Object.fromEntries(longer) : {}),
    gates: {},
    window: {
      opensAt: new Date(Date.now() - WINDOW_MS.before).toISOString(),
      closesAt: new Date(Date.now() + WINDOW_MS.after).toISOString(),
    },
  };
}
