/** Work beside a wait. */
import { CancellationScope, isCancellation } from '@temporalio/workflow';

/** Runs beside a wait, in a scope of its own; `stop` cancels it and waits for its end. */
export function inBackground(work: () => Promise<unknown>): {
  stop: () => Promise<void>;
  failure: () => unknown;
} {
  const scope = new CancellationScope({ cancellable: true });
  let failure: unknown = null;
  const ended = scope.run(work).catch((error: unknown) => {
    if (!isCancellation(error)) failure = error;
  });
  return {
    stop: async () => {
      scope.cancel();
      // Awaited where a cancel of the way forward can't cut it short: the next step must not meet it.
      await CancellationScope.nonCancellable(async () => {
        await ended;
      });
    },
    failure: () => failure,
  };
}
