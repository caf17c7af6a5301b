/** One upgrade on the server: find it, look at it, ask it, tell it something. Heavy: import it lazily. */
import {
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
  QueryNotRegisteredError,
  WorkflowFailedError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  type WorkflowExecutionDescription,
  type WorkflowExecutionStatusName,
} from '@temporalio/client';
import {
  ApplicationFailure,
  CancelledFailure,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowNotFoundError,
  type QueryDefinition,
} from '@temporalio/common';
import { decodeArrayFromPayloads } from '@temporalio/common/lib/internal-non-workflow/index.js';
import { z } from 'zod';
import {
  ENDED,
  phaseOf,
  queries,
  STRATEGIES,
  updates,
  workflowIdOf,
  type MessageName,
  type Messages,
  type Progress,
  type Receipt,
  type State,
  type Strategy,
} from '../contract.js';
import { FAILURES, isFailureType } from '../errors.js';
import { CliError, EXIT } from './exit.js';
import { clean } from './io.js';
import { shortId } from './next.js';
import type { Session } from './session.js';
import type { CutOff } from './seen.js';

/** How long a worker may take to answer, in milliseconds. Without one, queries and Updates would hang. */
export const PATIENCE = 5_000;

/** A whole workflow ID as it is; a name, when only one upgrade has it. */
export async function workflowIdFor(session: Session, id: string): Promise<string> {
  if (id.includes('/')) return id;
  const names = Object.keys(STRATEGIES) as Strategy[];
  const candidates = [...new Set(names.map((strategy) => workflowIdOf(strategy, id)))];
  if (candidates.length === 1 && candidates[0] !== undefined) return candidates[0];
  const there = await Promise.all(
    candidates.map(async (candidate) => ((await exists(session, candidate)) ? [candidate] : [])),
  );
  const found = there.flat();
  if (found.length > 1) {
    throw new CliError(`"${id}" can be ${found.join(' or ')}.`, {
      code: EXIT.usage,
      next: ['Give the whole ID.'],
    });
  }
  return found[0] ?? candidates[0] ?? id;
}

async function exists(session: Session, workflowId: string): Promise<boolean> {
  try {
    await session.client.workflow.getHandle(workflowId).describe();
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

function noWorker(session: Session, consequence = ''): CliError {
  return new CliError(
    `No worker answers on task queue "${session.taskQueue}" within ${PATIENCE / 1_000} s.${consequence}`,
    {
      next: ['Start one with `ferry worker`, or name the right queue with --task-queue.'],
    },
  );
}

/** Asks a query; a worker that does not answer within 5 s is named as what is missing. */
export async function ask<T>(session: Session, workflowId: string, query: QueryDefinition<T>): Promise<T> {
  try {
    const handle = session.client.workflow.getHandle(workflowId);
    return clean(await session.client.withDeadline(Date.now() + PATIENCE, () => handle.query(query)));
  } catch (error) {
    throw (await explainSilence(session, workflowId, error)) ?? error;
  }
}

/** A deadline or "no poller" means a missing worker; the task queue is the one that the workflow was started on. */
async function explainSilence(
  session: Session,
  workflowId: string,
  error: unknown,
  consequence = '',
): Promise<CliError | null> {
  const noPoller =
    error instanceof Error &&
    isGrpcServiceError(causeOf(error)) &&
    /no poller seen|worker may be down/i.test(String(causeOf(error)));
  if (!ranOut(error) && !noPoller && !(error instanceof WorkflowUpdateRPCTimeoutOrCancelledError))
    return null;
  try {
    const { taskQueue, raw } = await session.client.withDeadline(Date.now() + PATIENCE, () =>
      session.client.workflow.getHandle(workflowId).describe(),
    );
    const attempt = raw.pendingWorkflowTask?.attempt ?? 0;
    if (attempt > 1 && (await pollers(session, taskQueue)) > 0) {
      return new CliError(
        `The worker on task queue "${taskQueue}" can't go on with ${workflowId}: its workflow task has failed ${attempt - 1} times.${consequence}`,
        {
          next: ["The worker's log says why. Nothing is lost: it goes on when a worker that can is started."],
        },
      );
    }
    return noWorker({ ...session, taskQueue }, consequence);
  } catch (other) {
    // The server itself does not answer.
    return ranOut(other) ? null : noWorker(session, consequence);
  }
}

/** The server may cancel a call a moment before its deadline is over here. */
function ranOut(error: unknown): boolean {
  return isGrpcDeadlineError(error) || isGrpcCancelledError(error);
}

function causeOf(error: Error): unknown {
  return isGrpcServiceError(error) ? error : error.cause;
}

/** Tells a running upgrade something by Update, and gives the sentence it answers with. A refusal is a CliError. */
export async function tell<Name extends MessageName>(
  session: Session,
  workflowId: string,
  name: Name,
  payload: Messages[Name],
): Promise<string> {
  const handle = session.client.workflow.getHandle(workflowId);
  try {
    const answer = await session.client.withDeadline(Date.now() + PATIENCE, () =>
      handle.executeUpdate<string, [Messages[MessageName]]>(updates[name].name, { args: [payload] }),
    );
    return clean(answer);
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) {
      throw new CliError(clean(`Refused: ${error.cause?.message ?? error.message}`), {
        next: [`\`ferry state ${shortId(workflowId)}\` shows where it stands.`],
        cause: error,
      });
    }
    if (error instanceof WorkflowNotFoundError) throw await goneOrUnknown(session, workflowId, error);
    throw (
      (await explainSilence(
        session,
        workflowId,
        error,
        ' It may still be taken when a worker comes back.',
      )) ?? error
    );
  }
}

async function goneOrUnknown(
  session: Session,
  workflowId: string,
  error: WorkflowNotFoundError,
): Promise<Error> {
  if (!(await exists(session, workflowId))) return notFound(session, workflowId, error);
  return new CliError(`${workflowId} has ended: nothing can be said to it any more.`, {
    next: [`\`ferry receipt ${shortId(workflowId)}\` shows how it ended.`],
    cause: error,
  });
}

function notFound(session: Session, workflowId: string, cause: unknown): CliError {
  return new CliError(
    `There is no upgrade ${workflowId} in namespace "${session.namespace}" at ${session.address}.`,
    {
      next: ['`ferry list` shows what there is.'],
      cause,
    },
  );
}

/** How a workflow ended, from its result or its failure; needs no worker. */
export interface End {
  receipt: Receipt | null;
  /** Type and message of the failure that ended it. */
  failure: { type: string; message: string } | null;
}

export interface Look {
  workflowId: string;
  runId: string;
  status: WorkflowExecutionStatusName;
  taskQueue: string;
  startTime: Date;
  /** Null where nobody answers for it: see `trouble`. */
  state: State | null;
  live: Progress | null;
  end: End | null;
  trouble?: string;
  /** It ended without saying so itself. */
  cutOff?: CutOff;
}

/** Everything that can be found out about an upgrade, as far as server and worker answer. */
export async function look(session: Session, workflowId: string): Promise<Look> {
  const handle = session.client.workflow.getHandle(workflowId);
  let description: WorkflowExecutionDescription;
  try {
    description = await session.client.withDeadline(Date.now() + PATIENCE, () => handle.describe());
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw notFound(session, workflowId, error);
    throw error;
  }
  const { runId, taskQueue, startTime } = description;
  const status = description.status.name;
  const base = { workflowId, runId, status, taskQueue, startTime };
  const end = status === 'RUNNING' ? null : await endOf(session, workflowId, runId);
  const live = status === 'RUNNING' ? await liveProgress(session, description) : null;
  try {
    const state = await ask({ ...session, taskQueue }, workflowId, queries.state);
    // Terminated from outside, the workflow's own last word is not how it stands.
    const saidSo = end === null || (ENDED.includes(state.phase) && end.receipt !== null);
    return { ...base, state, live, end, ...(saidSo ? {} : { cutOff: cutOffOf(status, end, workflowId) }) };
  } catch (error) {
    const told = end?.receipt ?? null;
    if (error instanceof CliError) {
      const known = told ? '' : lastKnown(description);
      return {
        ...base,
        state: null,
        live,
        end,
        trouble: [`${error.message}${known}`, ...error.next].join(' '),
      };
    }
    if (error instanceof QueryNotRegisteredError || end) return { ...base, state: null, live, end };
    throw error;
  }
}

/** How a workflow ended that never said its last phase itself. */
function cutOffOf(status: WorkflowExecutionStatusName, end: End, workflowId: string): CutOff {
  if (end.failure && isFailureType(end.failure.type)) {
    return { title: 'Failed', reason: `${end.failure.message} ${FAILURES[end.failure.type].next}`, next: [] };
  }
  const next = [{ command: `ferry recover ${shortId(workflowId)}`, does: 'undo what it left behind' }];
  switch (status) {
    case 'TERMINATED':
      return { title: 'Terminated', reason: 'It was terminated from outside, so nothing was undone.', next };
    case 'TIMED_OUT':
      return {
        title: 'Timed out',
        reason: 'Temporal ended it at its time limit, so nothing was undone.',
        next,
      };
    default:
      return { title: 'Failed', reason: end.failure?.message ?? 'It ended without a receipt.', next };
  }
}

function lastKnown(description: WorkflowExecutionDescription): string {
  const phase = clean(phaseOf(description));
  return phase === null ? '' : ` It was last seen in phase ${phase}.`;
}

/** The result or failure of an execution that has ended. */
export async function endOf(session: Session, workflowId: string, runId?: string): Promise<End> {
  const handle = session.client.workflow.getHandle(workflowId, runId);
  try {
    const result: unknown = await session.client.withDeadline(Date.now() + PATIENCE, () => handle.result());
    return { receipt: receiptOf(result), failure: null };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    if (cause instanceof ApplicationFailure) {
      return {
        receipt: receiptOf(cause.details?.[0]),
        failure: { type: clean(cause.type ?? 'Error'), message: clean(cause.message) },
      };
    }
    const type =
      cause instanceof TerminatedFailure
        ? 'Terminated'
        : cause instanceof TimeoutFailure
          ? 'TimedOut'
          : cause instanceof CancelledFailure
            ? 'Cancelled'
            : 'Failed';
    return { receipt: null, failure: { type, message: clean(cause?.message ?? error.message) } };
  }
}

const OUTCOMES: readonly string[] = ['Completed', 'RolledBack', 'RollbackFailed', 'Aborted', 'Planned'];

/** A receipt, told from whatever else a workflow may have returned. */
function receiptOf(thing: unknown): Receipt | null {
  return isReceipt(thing) ? clean(thing) : null;
}

function isReceipt(thing: unknown): thing is Receipt {
  return (
    typeof thing === 'object' &&
    thing !== null &&
    'outcome' in thing &&
    OUTCOMES.includes(String(thing.outcome)) &&
    'steps' in thing &&
    Array.isArray(thing.steps)
  );
}

const Heartbeat = z.object({
  progress: z.object({
    step: z.string(),
    done: z.number(),
    total: z.number(),
    unit: z.string(),
    rate: z.number(),
    etaSeconds: z.number().optional(),
    counts: z.record(z.string(), z.number()),
    at: z.string(),
  }),
});

/** What a running activity told by its last heartbeat: fresher than the workflow's own progress, which is told sparsely. */
async function liveProgress(
  session: Session,
  description: WorkflowExecutionDescription,
): Promise<Progress | null> {
  const found: Progress[] = [];
  for (const activity of description.raw.pendingActivities ?? []) {
    const payloads = activity.heartbeatDetails?.payloads;
    if (!payloads?.length) continue;
    const [details] = await decodeArrayFromPayloads(
      session.client.options.loadedDataConverter,
      payloads,
    ).catch(() => []);
    const parsed = Heartbeat.safeParse(details);
    if (!parsed.success) continue;
    const { etaSeconds, ...progress } = parsed.data.progress;
    found.push(clean({ ...progress, ...(etaSeconds === undefined ? {} : { etaSeconds }) }));
  }
  return found.sort((a, b) => Date.parse(b.at) - Date.parse(a.at))[0] ?? null;
}

/** A worker asks again at least this often, in milliseconds; the server remembers those that are gone for minutes. */
const POLLS_EVERY = 75_000;

/** How many workers poll the queue for workflow tasks, as far as the server can tell. */
export async function pollers(session: Session, taskQueue = session.taskQueue): Promise<number> {
  const described = await session.client.withDeadline(Date.now() + PATIENCE, () =>
    session.connection.workflowService.describeTaskQueue({
      namespace: session.namespace,
      taskQueue: { name: taskQueue },
      taskQueueType: 1, // workflow
    }),
  );
  const since = Date.now() - POLLS_EVERY;
  return (described.pollers ?? []).filter(
    ({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1_000 >= since,
  ).length;
}
