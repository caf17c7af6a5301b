/** Waiting for something at Heroku, always with an end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import type { Asked } from './api.js';

export interface Waiting extends Asked {
  /** Milliseconds in all. */
  deadline: number;
  /** Milliseconds between two looks. Default: 5 s, as the Heroku CLI does. */
  every?: number | undefined;
  /** Hears after each look in a few words how far it is. */
  beat?: ((seen: string) => void) | undefined;
}

export type Seen<T> = { done: T } | { yet: string };

/**
 * Looks until it is done. A look that Heroku doesn't answer is made again: only the deadline ends it.
 *
 * @throws FerryError NotReady with what was seen last; what `look` throws; the signal's reason when aborted
 */
export async function waitFor<T>({
  look,
  what,
  deadline,
  every = 5_000,
  beat,
  signal,
}: Waiting & {
  look: () => Promise<Seen<T>>;
  /** What is waited for: "redis-curly-1 to be provisioned". */
  what: string;
}): Promise<T> {
  const until = performance.now() + deadline;
  for (;;) {
    signal?.throwIfAborted();
    const seen = await look().catch((error: unknown): Seen<T> => {
      if (error instanceof FerryError && error.type === 'ProviderUnavailable') return { yet: error.message };
      throw error;
    });
    if ('done' in seen) return seen.done;
    beat?.(seen.yet);
    const left = until - performance.now();
    if (left <= 0)
      throw new FerryError(
        'NotReady',
        `waited ${Math.round(deadline / 1_000)} s for ${what}; last seen: ${seen.yet}`,
      );
    await sleep(Math.min(every, left), undefined, { signal });
  }
}
