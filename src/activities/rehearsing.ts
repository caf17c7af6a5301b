/** A rehearsal: what is known of its staging target, the hand that approves and goes back, and what was measured by it. */
import { setTimeout as pause } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError, type WorkflowHandle } from '@temporalio/client';
import {
  ENDED,
  queries,
  updates,
  workflowIdOf,
  type GateState,
  type Plan,
  type Receipt,
  type State,
} from '../contract.js';
import { FerryError } from '../errors.js';
import { Estimates, type RehearsalSettings } from '../inputs/rehearsal.js';
import { problemOfRehearsed } from '../inputs/schemas.js';
import { pathFor } from '../platform/home.js';
import { readReceipts } from '../receipt/write.js';
import { border } from './border.js';
import { lastUpgrade, type LastUpgrade } from './upgrades.js';

/** What Temporal knows of the staging target. */
export interface Staging {
  last: LastUpgrade;
  /** It was upgraded, and not by a rehearsal. */
  byPeople: boolean;
}

/** @throws FerryError InvalidInput where the input that is to be rehearsed is not right */
export async function lookAtStaging({
  strategy,
  input,
}: Pick<RehearsalSettings, 'strategy' | 'input'>): Promise<Staging> {
  return border(async () => {
    const problem = problemOfRehearsed({ strategy, input });
    if (problem !== '')
      throw new FerryError('InvalidInput', `\`input\` is no input of ${strategy}: ${problem}`);
    const workflowId = workflowIdOf(strategy, input.name);
    const last = await lastUpgrade(workflowId);
    if (last === 'none') return { last, byPeople: false };
    const { parentExecution } = await Context.current().client.workflow.getHandle(workflowId).describe();
    return { last, byPeople: parentExecution?.workflowId?.startsWith('upgrade/rehearsal/') !== true };
  });
}

/** Where an upgrade turns round. */
export interface Turn {
  /** Titles of the steps between the opening of the window and the last that can be undone. */
  cutover: string[];
  /** Why it could not go back from there; null when it could. */
  noWayBack: string | null;
}

/** Milliseconds between two looks: short after news, and where it has to be asked to go back in time. */
const FIRST_LOOK = 300;
const LONGEST_LOOK = { back: 1_000, end: 5_000 };
const GROWTH = 1.2;

/** Approves every gate; with `back` up to the last step that can be undone, and then asks it to go back. Until it has ended. */
export async function steerRehearsal(input: {
  workflowId: string;
  runId: string;
  by: string;
  back: boolean;
}): Promise<Turn> {
  return border(async (b) => {
    const { workflowId, runId, by, back } = input;
    const handle = Context.current().client.workflow.getHandle(workflowId, runId);
    let noWayBack: string | null = null;
    let plan: Plan | null = null;
    let before = '';
    const longest = back ? LONGEST_LOOK.back : LONGEST_LOOK.end;
    for (let wait = FIRST_LOOK; ; wait = Math.min(longest, wait * GROWTH)) {
      b.signal.throwIfAborted();
      const state = await stateOf(handle);
      plan = state ? ((await handle.query(queries.plan).catch(() => null)) ?? plan) : plan;
      if (!state || ENDED.includes(state.phase)) {
        if ((await handle.describe()).status.name !== 'RUNNING') break;
      } else if (plan) {
        const { last, from } = turnOf(plan);
        const behind = plan.steps.slice(from).map(({ title }) => title);
        const reached = state.steps.some(({ title, startedAt }) => behind.includes(title) && startedAt);
        const gate = state.gates.find(({ status }) => status === 'open');
        if (back && !state.wayBack.possible) noWayBack ??= `after "${last}": ${state.wayBack.loses}`;
        if (back && reached && noWayBack === null) await goBack(handle, by);
        else if (gate) await approve(handle, gate, by);
      }
      const now = JSON.stringify([state?.phase, state?.step]);
      if (now !== before) wait = FIRST_LOOK;
      before = now;
      await pause(wait, undefined, { signal: b.signal });
    }
    return { cutover: plan ? cutoverOf(plan) : [], noWayBack };
  });
}

/** Null while nobody answers, and where it ended before it could be asked anything. */
async function stateOf(handle: WorkflowHandle): Promise<State | null> {
  const { client } = Context.current();
  return client.withDeadline(Date.now() + 5_000, () => handle.query(queries.state)).catch(() => null);
}

/** Its checklist is ticked first. A refusal is that of somebody who was faster: the next look shows. */
async function approve(handle: WorkflowHandle, gate: GateState, by: string): Promise<void> {
  const { name, needs, approvals, items = [] } = gate;
  for (const { item, tickedBy } of items)
    if (tickedBy === undefined)
      await handle.executeUpdate(updates.tick, { args: [{ item, by }] }).catch(() => '');
  // On a staging target nobody else is needed.
  const speaker = needs > 1 && approvals.length > 0 ? `${by}, for another person` : by;
  await handle.executeUpdate(updates.approve, { args: [{ gate: name, by: speaker }] }).catch(() => '');
}

async function goBack(handle: WorkflowHandle, by: string): Promise<void> {
  await handle
    .executeUpdate(updates.rollback, { args: [{ by, note: `asked by ${by}`, acceptLoss: true }] })
    .catch(() => '');
}

/** The last step that can be undone, and the number of the one in which it goes back: the last checklist behind it, as a soak is. */
function turnOf({ steps }: Plan): { last: string; at: number; from: number } {
  const end = steps.findIndex(({ kind }) => kind === 'point of no return');
  const at = steps
    .slice(0, end < 0 ? steps.length : end)
    .findLastIndex(({ kind, undo }) => kind === 'write' && !undo.startsWith('none'));
  const next = steps.findIndex(({ kind }, n) => n > at && (kind === 'gate' || kind === 'point of no return'));
  const checks = steps
    .slice(0, next < 0 ? steps.length : next)
    .findLastIndex(({ kind }) => kind === 'checks');
  return { last: steps[at]?.title ?? '', at, from: checks > at ? checks : at + 1 };
}

function cutoverOf(plan: Plan): string[] {
  const { steps } = plan;
  const window = steps.findIndex(({ kind }) => kind === 'window');
  const first = window < 0 ? steps.findIndex(({ kind }) => kind === 'write') : window + 1;
  return steps.slice(first, turnOf(plan).at + 1).map(({ title }) => title);
}

/** Of the last rehearsal of that name that has completed: as Temporal knows it, else by the receipts of this worker. */
export async function readRehearsal({
  name,
  strategy,
}: {
  name: string;
  strategy: string;
}): Promise<Estimates> {
  return border(async () => {
    const workflowId = workflowIdOf('rehearsal', name);
    const known =
      (await lastCompleted(workflowId)) ??
      (await readReceipts(pathFor(workflowId))).find(({ outcome }) => outcome === 'Completed');
    const estimates = Estimates.safeParse(known?.facts['estimates']).data;
    if (!estimates)
      throw new FerryError(
        'InvalidInput',
        `\`rehearsed\` names "${name}", but no rehearsal of that name has completed, by Temporal and by the receipts of this worker. Run it first (workflow type rehearsal), or leave the field out`,
      );
    if (estimates.strategy !== strategy)
      throw new FerryError(
        'InvalidInput',
        `\`rehearsed\` names "${name}", which rehearsed ${estimates.strategy} and not ${strategy}`,
      );
    return estimates;
  });
}

async function lastCompleted(workflowId: string): Promise<Receipt | undefined> {
  const { workflow } = Context.current().client;
  const runs: (string | undefined)[] = [undefined];
  for await (const { runId } of workflow.list({
    query: `WorkflowId = '${workflowId}' AND ExecutionStatus = 'Completed'`,
  }))
    runs.push(runId);
  for (const runId of runs) {
    const handle = workflow.getHandle(workflowId, runId);
    try {
      if ((await handle.describe()).status.name !== 'COMPLETED') continue;
      const receipt = (await handle.result()) as Receipt;
      if (receipt.outcome === 'Completed') return receipt;
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }
  return undefined;
}
