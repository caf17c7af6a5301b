/** The border with Temporal: its context becomes an AbortSignal, heartbeats and typed failures, and nothing behind it knows Temporal. */
import { ApplicationFailure, CompleteAsyncError, Context, activityInfo, log } from '@temporalio/activity';
import { ActivityCancelledError, ActivityNotFoundError } from '@temporalio/client';
import { CancelledFailure } from '@temporalio/common';
import { progressSignal, type Progress, type Told } from '../contract.js';
import { FAILURES, FerryError } from '../errors.js';
import { redact } from '../platform/redact.js';
import { connectionName } from '../redis/hands.js';
import { workBegins } from './metrics.js';

/** In milliseconds. A rollback is heard with the next heartbeat, so the way back begins no later than this. */
export const HEARTBEAT_EVERY = 200;
/** Progress goes to the workflow at growing intervals: some 25 signals in 10 hours, whatever the size of the data. */
const FIRST_SIGNAL_AFTER = 2_000;
const SIGNAL_GROWTH = 1.5;

export interface Border<Beat> {
  signal: AbortSignal;
  /** What the attempt before this one last told, when a worker died. */
  last: Beat | undefined;
  attempt: number;
  /** The upgrade's, also while it is being recovered. */
  workflowId: string;
  /** Of the run that this is an activity of: of the recovery, while an upgrade is being recovered. */
  runId: string;
  /** Names the connections of this attempt. A later one of the same upgrade closes those of an earlier one (redis/hands.ts). */
  hand: string;
  /** Remembers where it is; sent with the next heartbeat. */
  beat: (details: Beat) => void;
  /** Shows how far it is. */
  show: (progress: Omit<Progress, 'rate' | 'at' | 'etaSeconds'>) => void;
  /** Tells Temporal durably where it is, and throws when another attempt has taken over, or the workflow is gone. */
  stillCurrent: (details?: Beat) => Promise<void>;
  /** True once this attempt is of no concern to anybody: another has taken over, or the workflow is gone. */
  abandoned: () => boolean;
}

/** Runs an activity's work: heartbeats by itself, maps failures. */
export async function border<T, Beat = unknown>(work: (border: Border<Beat>) => Promise<T>): Promise<T> {
  const context = Context.current();
  const info = activityInfo();
  const { workflowExecution } = info;
  const heartbeat = (info.heartbeatDetails ?? {}) as { checkpoint?: Beat };
  let checkpoint = heartbeat.checkpoint;
  let progress: Progress | undefined;
  const began = Date.now();
  let firstDone: number | undefined;
  let overtaken = false;
  let nextSignal = FIRST_SIGNAL_AFTER;
  const beat = () => context.heartbeat({ checkpoint, progress });
  const workflowId = (workflowExecution?.workflowId ?? '').replace(RECOVERY, '');
  const timer = setInterval(beat, HEARTBEAT_EVERY);
  const workEnds = workBegins();
  try {
    return await work({
      signal: context.cancellationSignal,
      last: heartbeat.checkpoint,
      attempt: info.attempt,
      workflowId,
      runId: workflowExecution?.runId ?? '',
      hand: connectionName(workflowId, { epoch: orderOf(info), attempt: info.attempt }),
      beat: (details) => {
        checkpoint = details;
      },
      show: (shown) => {
        firstDone ??= shown.done;
        const seconds = Math.max((Date.now() - began) / 1_000, 0.001);
        const rate = (shown.done - firstDone) / seconds;
        progress = {
          ...shown,
          rate,
          ...(rate > 0 && shown.total > shown.done
            ? { etaSeconds: Math.round((shown.total - shown.done) / rate) }
            : {}),
          at: new Date().toISOString(),
        };
        if (Date.now() - began < nextSignal || !workflowExecution) return;
        nextSignal = Math.max(nextSignal, Date.now() - began) * SIGNAL_GROWTH;
        const { workflowId, runId } = workflowExecution;
        // Only news: when it is lost, the next one says more.
        context.client.workflow
          .getHandle(workflowId, runId)
          .signal(progressSignal, progress)
          .catch(() => {});
      },
      stillCurrent: async (details) => {
        checkpoint = details ?? checkpoint;
        try {
          await context.client.activity.heartbeat(info.taskToken, { checkpoint, progress });
        } catch (error) {
          // Cancelled is current all the same: the signal says so in a moment, and whoever is in the middle of a switch ends it first.
          if (error instanceof ActivityCancelledError) return;
          overtaken ||= error instanceof ActivityNotFoundError;
          throw new FerryError(
            'Unknown',
            `another attempt has taken over (${error instanceof Error ? error.name : 'unknown'})`,
          );
        }
      },
      abandoned: () => {
        const details = context.cancellationDetails;
        return (
          overtaken || details?.notFound === true || details?.timedOut === true || details?.reset === true
        );
      },
    });
  } catch (error) {
    // Whatever an abort broke is no failure of its own.
    if (context.cancellationSignal.aborted)
      throw new CancelledFailure('Cancelled', [{ checkpoint } satisfies Told]);
    throw failureOf(error, { checkpoint });
  } finally {
    clearInterval(timer);
    workEnds();
  }
}

const RECOVERY = /^recover\//;

/** Grows from activity to activity of one upgrade: Temporal numbers them. A recovery comes after all of them. */
function orderOf({ activityId, workflowExecution }: ReturnType<typeof activityInfo>): number {
  return (Number(activityId) || 0) + (RECOVERY.test(workflowExecution?.workflowId ?? '') ? 100_000 : 0);
}

/** What Temporal stores of a failure: the table's type, a message without secrets, no stack, no cause. */
export function failureOf(error: unknown, told?: Told): Error {
  if (
    error instanceof ApplicationFailure ||
    error instanceof CancelledFailure ||
    error instanceof CompleteAsyncError
  )
    return error;
  const known = error instanceof FerryError ? error : null;
  const type = known?.type ?? 'Unknown';
  const message = redact(error instanceof Error ? error.message : String(error));
  if (!known)
    log.error('Unexpected failure', {
      error: redact(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    });
  const failure = ApplicationFailure.create({
    type,
    message,
    nonRetryable: !FAILURES[type].retry,
    details: told?.checkpoint === undefined ? [] : [told],
  });
  failure.stack = '';
  return failure;
}
