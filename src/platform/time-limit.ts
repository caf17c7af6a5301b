/** A signal that aborts after a while, or with another one. */

/**
 * Not AbortSignal.any with AbortSignal.timeout: in Node 20 such a pair may be collected as garbage before it fires, and
 * whoever waits for it waits for ever (seen). Call `clear` when the work is done.
 */
export function timeLimit({ ms, signal }: { ms: number; signal?: AbortSignal | undefined }): {
  signal: AbortSignal;
  /** True once the time has passed. */
  passed: () => boolean;
  clear: () => void;
} {
  const controller = new AbortController();
  let passed = false;
  const stop = (): void => controller.abort(signal?.reason);
  const timer = setTimeout(() => {
    passed = true;
    controller.abort(new DOMException('The time limit has passed', 'TimeoutError'));
  }, ms);
  if (signal?.aborted) stop();
  else signal?.addEventListener('abort', stop, { once: true });
  return {
    signal: controller.signal,
    passed: () => passed,
    clear: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    },
  };
}
