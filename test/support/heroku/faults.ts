/* What goes wrong on demand: with a request, or with what Heroku does in the background. */

export type Effect =
  | { does: 'rate-limit' }
  /** With `after`, only the answer is wrong: the effect is there. */
  | { does: 'error'; status: 500 | 503; after?: boolean }
  | { does: 'drop'; after?: boolean }
  | { does: 'slow'; ms: number }
  /** Answers a GET as it was answered the last time. */
  | { does: 'stale' };

export type Fault = Effect & {
  method?: string;
  /** Of the path without its query. */
  path: RegExp;
  client?: 'cli' | 'other';
  /** Which matching request is the first that is hit; 1 is the next one. */
  nth?: number;
  /** How many in a row; default 1. */
  times?: number;
};

/** A fork that is in sync but never promoted, a run that changes nothing, an add-on that never comes to be. */
export type Failure = 'fork' | 'maintenance' | 'provisioning';

export interface Faults {
  add(...faults: Fault[]): void;
  /** The next `times` (default 1) of that kind fail. */
  fail(what: Failure, times?: number): void;
  clear(): void;
  take(request: { method: string; path: string; client: 'cli' | 'other' }): Effect | null;
  failsNow(what: Failure): boolean;
}

export function createFaults(): Faults {
  let waiting: { fault: Fault; seen: number }[] = [];
  const failures = new Map<Failure, number>();
  return {
    add: (...faults) => void waiting.push(...faults.map((fault) => ({ fault, seen: 0 }))),
    fail: (what, times = 1) => void failures.set(what, times),
    clear() {
      waiting = [];
      failures.clear();
    },
    take({ method, path, client }) {
      const matching = waiting.filter(
        ({ fault }) =>
          (fault.method ?? method) === method && (fault.client ?? client) === client && fault.path.test(path),
      );
      for (const each of matching) each.seen += 1;
      const hit = matching.find(
        ({ fault: { nth = 1, times = 1 }, seen }) => seen >= nth && seen < nth + times,
      );
      return hit?.fault ?? null;
    },
    failsNow(what) {
      const left = failures.get(what) ?? 0;
      failures.set(what, left - 1);
      return left > 0;
    },
  };
}
