/* What goes wrong on demand: with a request, or with what Heroku does in the background. */

export type Effect =
  | { does: 'rate-limit' }
  /** With `after`, only the answer is wrong: the effect is there. */
  | { does: 'error'; status: 500 | 503; after?: boolean }
  | { does: 'drop'; after?: boolean }
  | { does: 'slow'; ms: number }
  /** Answers a GET as it was answered the last time. */
  | { does: 'stale' };

export interface Request {
  method: string;
  /** Without its query. */
  path: string;
  client: 'cli' | 'other';
  body: unknown;
}

export type Fault = Effect & {
  method?: string;
  /** Of the path without its query. */
  path: RegExp;
  client?: 'cli' | 'other';
  /** Hits, and counts, only what changes something. */
  writes?: true;
  /** Which matching request is the first that is hit; 1 is the next one. */
  nth?: number;
  /** How many in a row; default 1. */
  times?: number;
};

/** A fork that is in sync but never promoted, a run that changes nothing, an add-on that never comes to be. */
export type Failure = 'fork' | 'maintenance' | 'provisioning';

export interface Faults {
  add(...faults: Fault[]): void;
  /**
   * From now on each request, or each that changes something, is hit once, by these in turn, and passes when it is asked again: in all, each
   * second request of an API client, and each sixth of the CLI that is the same.
   */
  hitEach(effects: readonly Effect[], only?: { writes: true }): void;
  /** The next `times` (default 1) of that kind fail. */
  fail(what: Failure, times?: number): void;
  clear(): void;
  take(request: Request): Effect | null;
  failsNow(what: Failure): boolean;
}

/** Under `/actions/` things are only looked up. */
export function changesSomething({ method, path }: Pick<Request, 'method' | 'path'>): boolean {
  return method !== 'GET' && !path.startsWith('/actions/');
}

/** A command of the CLI begins again with its first request: were that hit each second time, it would never get through. */
const AGAIN = { other: 1, cli: 5 } as const;

export function createFaults(): Faults {
  let waiting: { fault: Fault; seen: number }[] = [];
  const failures = new Map<Failure, number>();
  let each: { effects: readonly Effect[]; writes: boolean } | null = null;
  /** How often a request that was hit passes from now on. */
  const passing = new Map<string, number>();
  let turn = 0;
  const hitOnce = (request: Request): Effect | null => {
    if (each === null || (each.writes && !changesSomething(request))) return null;
    const key = JSON.stringify(request);
    const passes = passing.get(key) ?? 0;
    passing.set(key, passes > 0 ? passes - 1 : AGAIN[request.client]);
    if (passes > 0) return null;
    return each.effects[turn++ % each.effects.length] ?? null;
  };
  return {
    add: (...faults) => void waiting.push(...faults.map((fault) => ({ fault, seen: 0 }))),
    hitEach(effects, only) {
      each = { effects, writes: only !== undefined };
    },
    fail: (what, times = 1) => void failures.set(what, times),
    clear() {
      waiting = [];
      each = null;
      passing.clear();
      failures.clear();
    },
    take(request) {
      const { method, path, client } = request;
      const matching = waiting.filter(
        ({ fault }) =>
          (fault.method ?? method) === method &&
          (fault.client ?? client) === client &&
          (!fault.writes || changesSomething(request)) &&
          fault.path.test(path),
      );
      for (const one of matching) one.seen += 1;
      const found = matching.find(
        ({ fault: { nth = 1, times = 1 }, seen }) => seen >= nth && seen < nth + times,
      );
      return found?.fault ?? hitOnce(request);
    },
    failsNow(what) {
      const left = failures.get(what) ?? 0;
      failures.set(what, left - 1);
      return left > 0;
    },
  };
}
