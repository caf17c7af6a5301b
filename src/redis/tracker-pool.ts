/**
 * Trackers handed from one activity to the next. A tracker lives in a worker's memory; the next activity of the same
 * upgrade mostly runs on the same worker and goes on with it. When it is gone (another worker, a restart, a pause that
 * was too long) a new one is started, and everything must be compared once before both sides are in step again.
 */
import { shown, type ServerAddress } from './address.js';
import { startTracking, type Tracker } from './tracker.js';
import { startWeights } from './weights.js';

/** How long a tracker waits for its next user. Past it the connection is closed. */
const KEPT_FOR = 60_000;

export interface Lease {
  tracker: Tracker;
  /** True when the target has everything but the keys that the tracker holds. */
  inStep: boolean;
}

const kept = new Map<string, { lease: Lease; timer: NodeJS.Timeout }>();
/** What each tracker follows: an upgrade that is started again under the same ID may have another source. */
const follows = new WeakMap<Tracker, string>();

/** The tracker of an upgrade's source, taken over from the activity before, or a new one, which isn't in step. */
export async function takeTracker(input: {
  key: string;
  address: ServerAddress;
  match: string;
  name: string;
  track: boolean;
}): Promise<Lease> {
  const { key, address, match, name, track } = input;
  const what = JSON.stringify([shown(address), match, track]);
  const found = kept.get(key);
  if (found) {
    kept.delete(key);
    clearTimeout(found.timer);
    if (found.lease.tracker.lost() === null && follows.get(found.lease.tracker) === what) return found.lease;
    found.lease.tracker.close();
  }
  const tracker = track ? await startTracking({ address, match, name }) : blind();
  follows.set(tracker, what);
  return { tracker, inStep: false };
}

/** Leaves it for the next activity. */
export function leaveTracker(key: string, lease: Lease): void {
  dropTracker(key);
  if (lease.tracker.lost() !== null) {
    lease.tracker.close();
    return;
  }
  const timer = setTimeout(() => dropTracker(key), KEPT_FOR);
  timer.unref();
  kept.set(key, { lease, timer });
}

/** Closes it: nobody comes for it any more. */
export function dropTracker(key: string): void {
  const found = kept.get(key);
  if (!found) return;
  kept.delete(key);
  clearTimeout(found.timer);
  found.lease.tracker.close();
}

/** Where the server doesn't tell what changes: knows nothing, and whoever uses it compares everything. */
function blind(): Tracker {
  return {
    since: 0,
    runId: '',
    pending: () => 0,
    has: () => false,
    weights: startWeights(),
    take: () => [],
    claim: () => [],
    add: () => {},
    watch: () => {},
    watched: () => [],
    lost: () => null,
    barrier: async () => {},
    close: () => {},
  };
}
