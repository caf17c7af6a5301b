/** Limits of a cutover that may be changed while it runs, and moments and lengths of time of a postponement. */
import { z } from 'zod';
import { Duration, milliseconds } from './refs.js';

/** Milliseconds. Below it nothing is left for the fence; above it an application's own time-outs end. */
export const LEAST_PAUSE_MS = 20;
export const MOST_PAUSE_MS = 60_000;

/** The longest that writes may wait, as a person gives it. */
export const PauseCap = Duration.refine(
  (text) => within(text, (ms) => ms >= LEAST_PAUSE_MS && ms <= MOST_PAUSE_MS),
  { error: 'must be between 20ms and 1m' },
);

const MOST_LAG = 1024 * 1024 * 1024;

/** Bytes that a follower may be behind for a pause to be worth beginning. */
export const LagLimit = z
  .number()
  .int('must be a whole number of bytes')
  .min(1, 'must be at least 1 byte')
  .max(MOST_LAG, 'must be at most 1073741824 bytes (1 GB)');

/** How long something may be put off for. */
export const Delay = Duration.refine((text) => within(text, (ms) => ms > 0), {
  error: 'must be more than 0',
});

/** What isn't a duration at all is said by the pattern. */
function within(text: string, holds: (ms: number) => boolean): boolean {
  try {
    return holds(milliseconds(text));
  } catch {
    return true;
  }
}
