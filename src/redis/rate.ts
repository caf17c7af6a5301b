/** How hard the source is worked: as fast as it goes, so many keys a second, or so that it hardly notices. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Rate } from '../inputs/redis-copy.js';
import type { ServerAddress } from './address.js';
import { openConnection, type Connection } from './resp.js';

export interface Pace {
  /** Keys to ask for in one pipeline. */
  batch(): number;
  /** How many of them may be under way at the source. */
  atOnce(): number;
  /** Does a piece of work on the source, after a pause if one is due. `keys` counts against a number of keys a second. */
  run<T>(options: { keys: number; work: () => Promise<T> }): Promise<T>;
  stop(): void;
}

/** With larger pipelines nothing gets faster; with 1,000 the source's caches no longer hold what is asked for three times. */
const FULL_BATCH = 500;

/** While one answer is being read, the server works on the next; a few hide the distance. */
const FULL_AT_ONCE = 3;

/** A server answers the other clients only between two reads of our pipeline, so small ones keep their waits short. */
const YIELD_BATCH = 64;

/** Without a brake. */
export const UNHURRIED: Pace = {
  batch: () => FULL_BATCH,
  atOnce: () => FULL_AT_ONCE,
  run: ({ work }) => work(),
  stop: () => {},
};

export function startPace(options: {
  rate: () => Rate;
  source: ServerAddress;
  name: string;
  signal: AbortSignal;
}): Pace {
  const { rate, source, name, signal } = options;
  let notBefore = 0;
  let yielding: Promise<Yielding> | null = null;

  /** Opened when first needed: the rate may change under way. */
  function yieldTo(): Promise<Yielding> {
    yielding ??= openConnection({ address: source, name, signal }).then((connection) =>
      startYielding(connection),
    );
    return yielding;
  }

  /** One piece of work at a time: what has to rest is the server, not each of those who ask it. */
  let turn: Promise<unknown> = Promise.resolve();
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(async () => {
      const brake = await yieldTo();
      await pause();
      const began = performance.now();
      const { result, rest } = await brake.measure(work);
      // A timer can't rest for less than a millisecond, so short rests add up to one.
      notBefore = Math.max(notBefore, began) + (performance.now() - began) + rest;
      return result;
    });
    turn = mine.catch(() => {});
    return mine;
  }

  async function pause(): Promise<void> {
    const wait = notBefore - performance.now();
    // An abort ends the pause; whoever runs the work looks at the signal.
    if (wait >= 1) await sleep(wait, undefined, { signal }).catch(() => {});
  }

  return {
    batch() {
      const now = rate();
      if (now === 'full') return FULL_BATCH;
      if (now === 'yield') return YIELD_BATCH;
      // Ten pipelines a second, so that it is a flow and not a gush.
      return Math.max(1, Math.min(FULL_BATCH, Math.round(now / 10)));
    },
    atOnce: () => (rate() === 'full' ? FULL_AT_ONCE : 1),
    async run({ keys, work }) {
      const now = rate();
      if (now === 'full') return work();
      if (now === 'yield') return inTurn(work);
      await pause();
      notBefore = Math.max(performance.now(), notBefore) + (keys / now) * 1000;
      return work();
    },
    stop() {
      void yielding?.then((brake) => brake.stop()).catch(() => {});
    },
  };
}

interface Yielding {
  /** Does the work and says for how many milliseconds the server is to be left alone after it. */
  measure<T>(work: () => Promise<T>): Promise<{ result: T; rest: number }>;
  stop(): void;
}

/** Milliseconds between PINGs, while we work and while we rest. */
const PING_EVERY = 8;
/** Weight of the newest ping. */
const SMOOTHING = 0.1;
/** What the source's answers may take longer while we work: half as long again, and what a busy worker can't tell from it. */
const ALLOWED = { times: 1.5, milliseconds: 1 };
/** Part of the time in which we work, and how it moves with each PING. */
const SHARE = { first: 0.15, least: 0.05, most: 0.25, less: 0.95, more: 0.01 };

/**
 * Compares PINGs while our work is under way with PINGs while it rests. So what is held against us is only what we
 * cause: when the application itself gets busier, both rise.
 */
async function startYielding(connection: Connection): Promise<Yielding> {
  let quiet = Number.NaN;
  let busy = Number.NaN;
  let share = SHARE.first;
  let pinging = false;
  let lastPing = 0;

  async function ping(): Promise<number> {
    lastPing = performance.now();
    await connection.call(['PING']);
    return performance.now() - lastPing;
  }

  /** Not more often than every few milliseconds, and one at a time. Its failure shows in the work, on the same server. */
  function sample(take: (took: number) => void): void {
    if (pinging || performance.now() - lastPing < PING_EVERY) return;
    pinging = true;
    ping()
      .then(take, () => {})
      .finally(() => {
        pinging = false;
      });
  }

  function whileBusy(took: number): void {
    busy = smooth(busy, took);
    const tooSlow = busy > quiet * ALLOWED.times + ALLOWED.milliseconds;
    share = tooSlow ? Math.max(SHARE.least, share * SHARE.less) : Math.min(SHARE.most, share + SHARE.more);
  }

  for (let i = 0; i < 20; i += 1) quiet = smooth(quiet, await ping());

  let working = 0;
  const resting = setInterval(() => {
    if (working === 0) sample((took) => (quiet = smooth(quiet, took)));
  }, PING_EVERY);
  resting.unref();

  return {
    async measure(work) {
      working += 1;
      const start = performance.now();
      try {
        const result = work();
        // Sent right after the work, so it waits behind it as an application's command would.
        sample(whileBusy);
        return { result: await result, rest: Math.min(1_000, (performance.now() - start) * (1 / share - 1)) };
      } finally {
        working -= 1;
      }
    },
    stop() {
      clearInterval(resting);
      connection.close();
    },
  };
}

function smooth(old: number, value: number): number {
  return Number.isNaN(old) ? value : old + SMOOTHING * (value - old);
}
