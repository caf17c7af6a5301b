/**
 * Trackers handed from one activity to the next. A tracker lives in a worker's memory; the next activity of the same
 * upgrade mostly runs on the same worker and goes on with it. When it is gone (another worker, a restart, a pause that
 * was too long) a new one is started, and whoever needs to know every change must compare everything once.
 */
import { startTracking, type Tracker } from './tracker.js';
import type { ServerAddress } from './address.js';

/** How long a tracker waits for its next user. Past it the connection is closed. */
const KEPT_FOR = 60_000;

const kept = new Map<string, { tracker: Tracker; timer: NodeJS.Timeout }>();

export interface Lease {
  tracker: Tracker;
  /** False when changes made before it are unknown to it. */
  unbroken: boolean;
}

/** The tracker of an upgrade's source, taken over from the activity before, or a new one. */
export async function leaseTracker(input: { key: string; address: ServerAddress; match: string; name: string; signal?: AbortSignal }): Promise<Lease> {
  const { key, address, match, name } = input;
  const found = kept.get(key);
  if (found) {
    kept.delete(key);
    clearTimeout(found.timer);
    if (found.tracker.lost() === null) return { tracker: found.tracker, unbroken: true };
    found.tracker.close();
  }
  return { tracker: await startTracking({ address, match, name }), unbroken: false };
}

/** Leaves it for the next activity. */
export function returnTracker(key: string, tracker: Tracker): void {
  dropTracker(key);
  if (tracker.lost() !== null) {
    tracker.close();
    return;
  }
  const timer = setTimeout(() => dropTracker(key), KEPT_FOR);
  timer.unref();
  kept.set(key, { tracker, timer });
}

/** Closes it: nobody comes for it any more. */
export function dropTracker(key: string): void {
  const found = kept.get(key);
  if (!found) return;
  kept.delete(key);
  clearTimeout(found.timer);
  found.tracker.close();
}
