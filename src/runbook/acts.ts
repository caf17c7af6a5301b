/** How a runbook calls its activities: which may take how long, and how often they are tried. */
import {
  ActivityCancellationType,
  proxyActivities,
  proxyLocalActivities,
  scheduleActivity,
  type ActivityOptions,
} from '@temporalio/workflow';
import type * as activities from '../activities/index.js';

export type Activities = typeof activities;
type Name = keyof Activities;

/** Activities whose result the undo of a step may be. Kept as data, so that it can be shown, journalled and run by `recover`. */
export interface Call {
  activity: Name;
  args: unknown;
  /** Whose workers do it; default: those of the workflow that performs it. */
  taskQueue?: string | undefined;
  /** Whatever it goes through may be away for half a minute, which is no reason to ask a person. */
  patient?: true | undefined;
}

/** Names an activity with its argument, checked by the compiler, to be run later. */
export function call<K extends Name>(activity: K, args: Parameters<Activities[K]>[0]): Call {
  return { activity, args, ...elsewhere };
}

/** The same, tried for longer. */
export function patiently<K extends Name>(activity: K, args: Parameters<Activities[K]>[0]): Call {
  return { ...call(activity, args), patient: true };
}

/** Where the work is done, if that isn't where the workflow is. Each workflow has its own. */
let elsewhere: { taskQueue?: string } = {};

/** From now on activities go to the workers of this queue. What is journalled stays where the workflow is. */
export function workAt(taskQueue: string): void {
  elsewhere = { taskQueue };
}

/** A queue that nobody polls is said while the first activity waits there, and not waited for. */
const POLLED_WITHIN = '1m';

// An undo must not race the activity that it undoes: cancelling always waits for the activity's end.
const waits = {
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
} satisfies ActivityOptions;

/** Looks at something and changes nothing; short. */
export const reads: ActivityOptions = {
  ...waits,
  startToCloseTimeout: '30s',
  heartbeatTimeout: '10s',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '5s', maximumAttempts: 4 },
};

/** Keeps something elsewhere, where an upgrade does not depend on it: a few minutes, and it goes on without. */
export const keeps: ActivityOptions = {
  ...waits,
  startToCloseTimeout: '2m',
  scheduleToCloseTimeout: '5m',
  heartbeatTimeout: '30s',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '10s', maximumAttempts: 4 },
};

/** The first look at everything: what can't be reached is said at once. */
export const looks: ActivityOptions = { ...reads, retry: { ...reads.retry, maximumAttempts: 2 } };

/** Looks into the data, for minutes at most. */
export const inspects: ActivityOptions = { ...reads, startToCloseTimeout: '10m' };

/** Runs for as long as the data is large. Goes on from its checkpoint, so it may be tried often before a person is asked. */
export const moves: ActivityOptions = {
  ...waits,
  startToCloseTimeout: '30d',
  heartbeatTimeout: '5s',
  retry: { initialInterval: '500ms', backoffCoefficient: 1.5, maximumInterval: '10s', maximumAttempts: 25 },
};

/** Runs in the background while people decide: never gives up by itself. */
export const follows: ActivityOptions = {
  ...moves,
  retry: { initialInterval: '1s', backoffCoefficient: 1.5, maximumInterval: '30s' },
};

/** Changes something small: a command, a webhook, a setting. */
export const changes: ActivityOptions = {
  ...waits,
  startToCloseTimeout: '15m',
  heartbeatTimeout: '10s',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '10s', maximumAttempts: 5 },
};

/** The moment of the switch. A dead worker is noticed within seconds, since both sides may be closed to writes meanwhile. */
export const switches: ActivityOptions = {
  ...waits,
  startToCloseTimeout: '30d',
  heartbeatTimeout: '3s',
  retry: { initialInterval: '200ms', backoffCoefficient: 1.5, maximumInterval: '2s', maximumAttempts: 25 },
};

/** Undoes something, small or large. Few tries: a person is asked soon, since users may be affected meanwhile. */
export const undoes: ActivityOptions = {
  ...switches,
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '5s', maximumAttempts: 5 },
};

/** How a call that was kept as data is undone. */
export function undoing({ patient }: Call): ActivityOptions {
  return patient ? { ...undoes, retry: { ...undoes.retry, maximumAttempts: 12 } } : undoes;
}

/** The same activities under each of these options; the summary is what the Temporal UI shows on the timeline. */
export function acts(options: ActivityOptions, summary: string) {
  return proxyActivities<Activities>({
    ...options,
    ...elsewhere,
    ...(options === looks && elsewhere.taskQueue !== undefined
      ? { scheduleToStartTimeout: POLLED_WITHIN }
      : {}),
    summary,
  });
}

/** Runs a call that was kept as data. */
export async function perform(options: ActivityOptions, summary: string, kept: Call): Promise<unknown> {
  const { activity, args, taskQueue } = kept;
  return scheduleActivity(activity, [args], {
    ...options,
    ...(taskQueue === undefined ? {} : { taskQueue }),
    summary,
  });
}

/** Writes to the journal and looks at the worker's surroundings: quick, and part of the workflow task itself. */
export function locally(summary: string) {
  return proxyLocalActivities<Activities>({
    startToCloseTimeout: '10s',
    retry: { initialInterval: '200ms', maximumInterval: '2s', maximumAttempts: 10 },
    summary,
  });
}
