/** Speaks the contract without moving anything, so that every answer of the CLI can be brought about. */
import { ApplicationFailure, condition, proxyActivities, setHandler } from '@temporalio/workflow';
import {
  MESSAGES,
  queries,
  signals,
  updates,
  type MessageName,
  type Plan,
  type Receipt,
  type State,
} from '../../../src/contract.js';
import { CLEAN } from '../../receipt/fixtures.js';
import { AT_GATE, COPYING } from '../fixtures.js';

const { beat } = proxyActivities<{ beat(): Promise<void> }>({
  startToCloseTimeout: '1m',
  heartbeatTimeout: '10s',
});

const refuse = (message: string) =>
  ApplicationFailure.create({ type: 'Refused', message, nonRetryable: true });

// The sandbox of workflows has no structuredClone.
const copy = <T>(thing: T): T => JSON.parse(JSON.stringify(thing)) as T;

export async function redisCopy(input: {
  name: string;
  debug?: boolean;
  dryRun?: boolean;
}): Promise<Receipt> {
  const workflowId = `upgrade/redis/${input.name}`;
  const state: State = { ...copy(input.debug ? COPYING : AT_GATE), name: input.name, workflowId };
  const plan: Plan = {
    strategy: 'redisCopy',
    name: input.name,
    steps: [
      {
        title: 'Switch the applications over',
        kind: 'write',
        does: ['Write the new URL to /etc/app.env'],
        undo: 'Write the old URL again',
        notes: [],
      },
    ],
    impact: ['writes pause for about 1 s'],
    mayLose: [],
    checks: [],
    hash: 'plan-1',
  };
  state.planHash = plan.hash;
  const receipt: Receipt = { ...copy(CLEAN), name: input.name, workflowId };
  let outcome: Receipt['outcome'] | null = null;

  setHandler(queries.state, () => state);
  setHandler(queries.plan, () => plan);
  const gate = state.gates.find(({ name }) => name === 'cutover')!;
  for (const name of Object.keys(MESSAGES) as MessageName[]) {
    setHandler(
      updates[name],
      (message: { by: string; planHash?: string; item?: string; choice?: string }) => {
        if (name === 'approve') {
          gate.approvals.push({ by: message.by, at: new Date().toISOString() });
          if (gate.approvals.length >= gate.needs) outcome = 'Completed';
          return `Approved by ${message.by}`;
        }
        if (name === 'reject') outcome = 'RolledBack';
        if (name === 'abort') outcome = 'Aborted';
        if (name === 'decide' && message.choice === 'stop') outcome = 'RollbackFailed';
        if (name === 'tick') plan.hash = state.planHash = message.item ?? '';
        if (name === 'pause') {
          state.phase = 'NeedsDecision';
          state.decision = {
            about: 'The copy',
            problem: 'It stopped.',
            choices: { stop: 'stop here' },
            waivable: [],
            since: state.since,
          };
        }
        return `${name} ${JSON.stringify(message)}`;
      },
      {
        validator: (message: { by: string; gate?: string; planHash?: string }) => {
          if (name !== 'approve') return;
          if (message.gate !== 'cutover') throw refuse(`The gate "${message.gate}" is not open.`);
          if (message.planHash !== undefined && message.planHash !== plan.hash)
            throw refuse('The plan has changed since you looked at it.');
          if (gate.approvals.some(({ by }) => by === message.by))
            throw refuse(`${message.by} has approved this gate already; a second person has to.`);
        },
      },
    );
    setHandler(signals[name], () => {});
  }
  if (input.debug) {
    void beat();
  }
  if (input.dryRun) outcome = 'Planned';
  await condition(() => outcome !== null);
  const how = outcome as Receipt['outcome'] | null;
  if (how === null) throw new Error('It has ended without an outcome');
  const ended = { ...receipt, outcome: how };
  if (how === 'Completed' || how === 'Planned') {
    state.phase = 'Completed';
    return ended;
  }
  state.phase = how;
  throw ApplicationFailure.create({
    type: how,
    message: `${how}: because`,
    nonRetryable: true,
    details: [ended],
  });
}

/** Stands for the recovery of the worker's journal. */
export async function recover(input: {
  workflowId: string;
  by: string;
}): Promise<{ undone: string[]; by: string }> {
  return { undone: [`the fence of ${input.workflowId}`], by: input.by };
}
