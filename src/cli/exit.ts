/** How the command ends: its exit codes, and errors that carry one. */
import type { Phase } from '../contract.js';

export const EXIT = {
  /** Done; or under way, and nothing is asked of anybody. */
  done: 0,
  error: 1,
  /** The command line or the input is wrong. Nothing was started. */
  usage: 2,
  /** Waiting for an approval. */
  approval: 3,
  rolledBack: 4,
  /** Needs a decision. */
  decision: 5,
  rollbackFailed: 6,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_MEANINGS: Record<ExitCode, string> = {
  0: 'done; or under way, and nothing is asked of you',
  1: 'error; also an upgrade that was stopped on the way (Aborted) or terminated from outside',
  2: 'usage: the command line or the input is wrong, nothing was started',
  3: 'waiting for an approval',
  4: 'rolled back',
  5: 'needs a decision',
  6: 'rollback failed',
};

const BY_PHASE: Record<Phase, ExitCode> = {
  Running: EXIT.done,
  AwaitingApproval: EXIT.approval,
  AwaitingWindow: EXIT.done,
  Paused: EXIT.done,
  NeedsDecision: EXIT.decision,
  RollingBack: EXIT.done,
  Completed: EXIT.done,
  RolledBack: EXIT.rolledBack,
  RollbackFailed: EXIT.rollbackFailed,
  Aborted: EXIT.error,
};

export function exitCodeOf(phase: Phase): ExitCode {
  return BY_PHASE[phase];
}

/** Something that a person is told in a sentence or two. `next` says what to do about it. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: ExitCode;
  readonly next: readonly string[];
  constructor(message: string, options: { code?: ExitCode; next?: readonly string[]; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code ?? EXIT.error;
    this.next = options.next ?? [];
  }
}
