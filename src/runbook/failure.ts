/** Failures as a person reads them. */
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { Receipt, Told } from '../contract.js';
import { FAILURES, isFailureType, type FailureType } from '../errors.js';

export interface Problem {
  type: FailureType;
  message: string;
  next: string;
}

/** What went wrong and what to do, out of whatever was thrown. */
export function problemOf(error: unknown): Problem {
  const cause =
    error instanceof ActivityFailure || error instanceof ChildWorkflowFailure
      ? (error.cause ?? error)
      : error;
  if (cause instanceof TimeoutFailure) {
    if (cause.timeoutType === 'SCHEDULE_TO_START')
      return {
        type: 'Unreachable',
        message: 'No worker took the work from the task queue that the input names (`taskQueue`).',
        next: 'Start one there, or correct the name. Nothing was changed.',
      };
    return {
      type: 'Unknown',
      message: 'The worker that ran it went away or hung, so its outcome is not known.',
      next: 'Retry: every step looks at what is there before it acts.',
    };
  }
  const type = cause instanceof ApplicationFailure && isFailureType(cause.type) ? cause.type : 'Unknown';
  const message = cause instanceof Error ? cause.message : String(cause);
  return { type, message, next: FAILURES[type].next };
}

/** What an activity that failed, was cancelled or timed out last told of itself. */
export function toldBy(error: unknown): Told | undefined {
  const cause = error instanceof ActivityFailure ? error.cause : undefined;
  const details: unknown =
    cause instanceof TimeoutFailure
      ? cause.lastHeartbeatDetails
      : cause instanceof ApplicationFailure || cause instanceof CancelledFailure
        ? cause.details?.[0]
        : undefined;
  return typeof details === 'object' && details !== null && 'checkpoint' in details ? details : undefined;
}

/** The receipt of an upgrade that was started from here and did not complete. */
export function receiptOf(error: unknown): Receipt | undefined {
  const cause = error instanceof ChildWorkflowFailure ? error.cause : undefined;
  const details: unknown = cause instanceof ApplicationFailure ? cause.details?.[0] : undefined;
  return typeof details === 'object' && details !== null && 'outcome' in details
    ? (details as Receipt)
    : undefined;
}

/** What went wrong, then what to do, as sentences. */
export function whole({ message, next }: Pick<Problem, 'message' | 'next'>): string {
  return `${message}${/[.!?]$/.test(message) ? '' : '.'} ${next}`;
}

/** A failure that ends the workflow, without a stack: it is expected, and its message says everything. */
export function ending(type: string, message: string, details: unknown[] = []): ApplicationFailure {
  const failure = ApplicationFailure.create({ type, message, nonRetryable: true, details });
  failure.stack = '';
  return failure;
}

/** Refuses what a person said. An Update shows it in red. */
export function refusal(message: string): ApplicationFailure {
  return ending('Refused', message);
}
