/** Schedules of pre-flights, as Temporal keeps them. Heavy: import it lazily. */
import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  WorkflowFailedError,
  type ScheduleDescription,
  type ScheduleHandle,
  type ScheduleSpec,
} from '@temporalio/client';
import { ApplicationFailure, WorkflowNotFoundError } from '@temporalio/common';
import { PREFLIGHT, preflightIdOf, STRATEGIES, type Preflight, type Strategy } from '../contract.js';
import { PreflightInput } from '../inputs/preflight.js';
import { duration } from '../receipt/words.js';
import { CliError, EXIT } from './exit.js';
import type { Parsed } from './input.js';
import { clean } from './io.js';
import type { Session } from './session.js';
import { PATIENCE } from './upgrade.js';

/** What hangs is ended, or no other one would begin after it. */
const WITHIN = '1h';
/** After an outage of Temporal, the pre-flights of so long ago are made up for; of the others only the next one counts. */
const CATCH_UP = '1h';

export interface When {
  /** Milliseconds. */
  every?: number;
  cron?: string;
}

export interface PreflightRun {
  workflowId: string;
  runId: string;
  startedAt: string;
  /** "Running", "Passed", "Skipped", "Failed", "Forgotten". */
  outcome: string;
  reason: string;
}

export interface ScheduleRow {
  id: string;
  strategy: string;
  name: string;
  when: string;
  paused: boolean;
  nextAt: string | null;
  /** The newest first. */
  runs: PreflightRun[];
}

/** The cron line stands in its own comment, since Temporal keeps only what it means. */
function specOf({ every, cron }: When): ScheduleSpec {
  return every === undefined ? { cronExpressions: [`${cron} # ${cron}`] } : { intervals: [{ every }] };
}

/** Creates it, or changes the one that is there. */
export async function saveSchedule(
  session: Session,
  { strategy, input, when }: Pick<Parsed, 'strategy' | 'input'> & { when: When },
): Promise<{ id: string; changed: boolean }> {
  const id = preflightIdOf(strategy, String(input['name']));
  const action = {
    type: 'startWorkflow' as const,
    workflowType: PREFLIGHT,
    workflowId: id,
    taskQueue: session.taskQueue,
    args: [{ strategy, input } satisfies Parameters<typeof PreflightInput.parse>[0]],
    workflowExecutionTimeout: WITHIN,
  } as const;
  const spec = specOf(when);
  const policies = { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCH_UP } as const;
  try {
    await session.client.schedule.create({ scheduleId: id, action, spec, policies });
    return { id, changed: false };
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw misread(error, when);
  }
  try {
    await session.client.schedule.getHandle(id).update(({ state }) => ({ action, spec, policies, state }));
  } catch (error) {
    throw misread(error, when);
  }
  return { id, changed: true };
}

/** What the SDK makes of a cron line that the server can't read. */
function misread(error: unknown, { cron }: When): unknown {
  const text = error instanceof Error ? error.message : '';
  return cron !== undefined && /cron/i.test(text)
    ? new CliError(`--cron "${cron}" is not understood: ${text}.`, { code: EXIT.usage, cause: error })
    : error;
}

/** By its whole ID, that of the upgrade, or the name where only one schedule has it. */
export async function scheduleOf(
  session: Session,
  id: string,
): Promise<{ handle: ScheduleHandle; description: ScheduleDescription }> {
  const names = Object.keys(STRATEGIES) as Strategy[];
  const candidates = id.includes('/')
    ? [`preflight/${id.replace(/^(preflight|upgrade)\//, '')}`]
    : [...new Set(names.map((strategy) => preflightIdOf(strategy, id)))];
  const found = [];
  for (const candidate of candidates) {
    const handle = session.client.schedule.getHandle(candidate);
    const description = await describe(handle);
    if (description) found.push({ handle, description });
  }
  const [first, ...others] = found;
  if (!first)
    throw new CliError(`There is no schedule of "${id}".`, {
      next: ['`ferry schedule list` shows what there is.'],
    });
  if (others.length > 0)
    throw new CliError(`"${id}" can be ${found.map(({ handle }) => handle.scheduleId).join(' or ')}.`, {
      code: EXIT.usage,
      next: ['Give the whole ID.'],
    });
  return first;
}

async function describe(handle: ScheduleHandle): Promise<ScheduleDescription | null> {
  try {
    return await handle.describe();
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return null;
    throw error;
  }
}

export async function listSchedules(session: Session): Promise<ScheduleRow[]> {
  const rows: ScheduleRow[] = [];
  for await (const { scheduleId } of session.client.schedule.list()) {
    if (!scheduleId.startsWith('preflight/')) continue;
    const description = await describe(session.client.schedule.getHandle(scheduleId));
    if (description) rows.push(await rowOf(session, description, 1));
  }
  return rows.toSorted((a, b) => a.id.localeCompare(b.id));
}

/** `most`: how many runs, of those that Temporal remembers, which are ten. */
export async function rowOf(
  session: Session,
  description: ScheduleDescription,
  most: number,
): Promise<ScheduleRow> {
  const { scheduleId: id, action, spec, state, info } = description;
  const known = PreflightInput.safeParse(action.args?.[0]).data;
  const recent = info.recentActions.toReversed().slice(0, most);
  return {
    id,
    strategy: known?.strategy ?? 'unknown',
    name: clean(known?.input.name ?? ''),
    when: whenOf(spec),
    paused: state.paused,
    nextAt: state.paused ? null : (info.nextActionTimes[0]?.toISOString() ?? null),
    runs: await Promise.all(
      recent.map(({ takenAt, action: { workflow } }) =>
        runOf(session, {
          workflowId: workflow.workflowId,
          runId: workflow.firstExecutionRunId,
          startedAt: takenAt.toISOString(),
        }),
      ),
    ),
  };
}

function whenOf({ intervals = [], calendars = [] }: ScheduleDescription['spec']): string {
  return clean(
    [
      ...intervals.map(({ every }) => `every ${duration(every)}`),
      ...calendars.map(({ comment }) => comment ?? 'by a calendar'),
    ].join(', '),
  );
}

async function runOf(
  session: Session,
  run: Pick<PreflightRun, 'workflowId' | 'runId' | 'startedAt'>,
): Promise<PreflightRun> {
  const handle = session.client.workflow.getHandle(run.workflowId, run.runId);
  try {
    const { status } = await handle.describe();
    if (status.name === 'RUNNING') return { ...run, outcome: 'Running', reason: '' };
    const { outcome, reason } = (await session.client.withDeadline(Date.now() + PATIENCE, () =>
      handle.result(),
    )) as Preflight;
    return clean({ ...run, outcome, reason });
  } catch (error) {
    if (error instanceof WorkflowNotFoundError)
      return { ...run, outcome: 'Forgotten', reason: 'Temporal keeps it no more' };
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    const reason =
      cause instanceof ApplicationFailure ? `${cause.type}: ${cause.message}` : (cause?.message ?? '');
    return clean({ ...run, outcome: 'Failed', reason });
  }
}
