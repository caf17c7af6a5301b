/**
 * The cutover and what it waits for: the maintenance window, a moment that it was postponed to. One that is made in tries can be
 * interrupted between two of them, while everything still runs on the old side: what was said meanwhile takes hold then.
 */
import {
  ActivityFailure,
  CancellationScope,
  condition,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow';
import { RetryState } from '@temporalio/common';
import type { StepState, Told } from '../contract.js';
import type { Runbook, Tries, TriesOn, Upgrade } from './api.js';
import { inBackground } from './background.js';
import { problemOf, toldBy } from './failure.js';

export type Cutover = Pick<Runbook, 'window' | 'cutover'>;

export function cuttingOver(
  upgrade: Upgrade,
  { boundary, told }: { boundary: () => Promise<void>; told: Map<string, Told> },
): Cutover {
  const { ledger, steering } = upgrade;
  const { state } = ledger;
  const { decide, waysOut } = upgrade.waiting;

  /** Milliseconds since 1970; 0 unless it was postponed. */
  function postponedTo(): number {
    const { notBefore } = state.settings;
    return notBefore === undefined ? 0 : Date.parse(notBefore);
  }

  /** Waits for the window, and for the moment that it was postponed to. */
  async function moment(title: string, takesMs: number, over: () => boolean = () => false): Promise<void> {
    let step: StepState | null = null;
    for (;;) {
      const { window, notBefore, postponedBy } = state.settings;
      if (over()) break;
      if (!window && postponedTo() <= Date.now()) break;
      step ??= ledger.stepOf(title, 'window');
      if (window && Math.max(Date.now(), postponedTo()) + takesMs > Date.parse(window.closesAt)) {
        ledger.mark(step, 'failed', 'does not fit into the window any more');
        await decide({
          about: title,
          problem: `The window closes at ${window.closesAt}; what is left takes about ${Math.ceil(takesMs / 1000)} s and no longer fits. Give a later one with \`adjust\`, then retry.`,
          choices: { retry: 'look at the window again', ...waysOut() },
        });
        continue;
      }
      const opens = window ? Date.parse(window.opensAt) : 0;
      const early = Math.max(opens, postponedTo()) - Date.now();
      if (early <= 0) break;
      const why =
        window && opens >= postponedTo()
          ? `The window opens at ${window.opensAt}`
          : `Postponed by ${postponedBy}: it does not begin before ${notBefore}`;
      ledger.mark(step, 'waiting');
      ledger.phase('AwaitingWindow', why);
      await condition(
        () =>
          steering.wantsBack !== null ||
          steering.paused !== null ||
          steering.reopened !== null ||
          over() ||
          state.settings.window !== window ||
          state.settings.notBefore !== notBefore,
        early,
        { summary: why },
      );
      await boundary();
    }
    delete state.settings.notBefore;
    delete state.settings.postponedBy;
    if (!step) return;
    ledger.mark(step, 'done', undefined);
    ledger.phase('Running', state.settings.window ? 'The window is open' : 'The moment has come');
  }

  return {
    async window(title, takesMs, { meanwhile, over } = {}) {
      await boundary();
      steering.cutover ??= { title, takesMs, standing: 'ahead', reached: false };
      const waits = state.settings.window !== undefined || postponedTo() > Date.now();
      const background = meanwhile && waits ? inBackground(meanwhile) : null;
      try {
        await moment(title, takesMs, over);
      } finally {
        await background?.stop();
      }
      steering.cutover.reached = true;
    },
    async cutover<Checkpoint, Outcome>(
      start: (on: TriesOn<Checkpoint>) => Promise<Tries<Checkpoint, Outcome>>,
    ) {
      const title = state.step ?? '';
      const step = ledger.stepOf(title, 'write');
      const { cutover } = steering;
      if (!cutover) throw new Error('A cutover stands behind its window');
      const impact = state.impact.filter((each) => each.step === title);
      let last = told.get(title);
      let checkpoint: Checkpoint | undefined;
      let settle = false;
      // Where nobody knows how far it came, writes may be held: no time to wait for anything.
      let waits = cutover.standing !== 'unclear';

      /** Between two tries, with nothing held: nobody is affected, and everything that people say takes hold. */
      async function between(): Promise<void> {
        if (!cutover) return;
        steering.unspend();
        if (!steering.paused && !steering.wantsBack && !steering.reopened && !waitsForMoment()) return;
        state.impact = state.impact.filter((each) => each.step !== title);
        ledger.mark(step, 'waiting');
        state.progress = null;
        await boundary();
        await moment(cutover.title, cutover.takesMs);
        await boundary();
        state.impact.push(...impact);
        ledger.mark(step, 'running');
        ledger.phase('Running', title);
      }

      for (;;) {
        if (waits) await between();
        steering.spend();
        cutover.standing = 'trying';
        const scope = new CancellationScope({ cancellable: true });
        steering.running = scope;
        try {
          const result = await scope.run(() => start({ told: last, checkpoint, settle }));
          if (result.done) {
            told.delete(title);
            if (postponedTo() > Date.now())
              ledger.refuse({
                what: 'postpone',
                by: state.settings.postponedBy ?? 'somebody',
                reason: 'the cutover went through before it took hold',
              });
            delete state.settings.notBefore;
            delete state.settings.postponedBy;
            return result.outcome;
          }
          if (steering.leaving) throw new Error('Leaving');
          [last, checkpoint, settle, waits] = [undefined, result.checkpoint, false, true];
        } catch (error) {
          if (steering.leaving) throw error;
          if (!isCancellation(error) && !(scope.consideredCancelled && unanswered(error))) {
            // After this one failure everything is known to run on the old side, so it may be put off before it is tried again.
            if (problemOf(error).type === 'PauseTooLong') steering.unspend();
            else cutover.standing = 'unclear';
            throw error;
          }
          // Cancelled when nobody was there to answer: an attempt may have died behind its fence. That is settled first.
          [last, settle, waits] = [toldBy(error) ?? last, true, false];
        } finally {
          steering.running = null;
        }
      }

      function waitsForMoment(): boolean {
        return state.settings.window !== undefined || postponedTo() > Date.now();
      }
    },
  };
}

/** Temporal doesn't repeat what is cancelled: a worker that died meanwhile, or failed before it heard of it, is the end of it. */
function unanswered(error: unknown): boolean {
  return (
    error instanceof ActivityFailure &&
    (error.cause instanceof TimeoutFailure || error.retryState === RetryState.CANCEL_REQUESTED)
  );
}
