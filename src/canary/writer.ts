/** The canary as a client: an ordinary one, that connects again at once and never sends a write twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis, type RedisOptions } from 'ioredis';
import type { ServerAddress } from '../redis/address.js';
import { messageOf, tlsOptions } from '../redis/connect.js';
import { canaryKey } from '../redis/our-keys.js';
import type { CanaryFacts } from './facts.js';

/** At most so often. */
const EVERY_MS = 5;
/** Its key outlives no upgrade, whatever happens to the canary. */
const EXPIRES_MS = 15 * 60_000;
const PAGE = 10_000;
const POINTS = 200;
const WARM_UP = 20;
/** Of the plot, to each side of the switch. */
const AROUND_MS = 3_000;

type Known = Omit<CanaryFacts, 'id' | 'host' | 'pid' | 'state' | 'at' | 'because' | 'points'>;

export interface Writer {
  facts: Known;
  /** Nothing was ever acknowledged, and the last try has failed: waiting longer would be in vain. */
  hopeless: () => boolean;
  /** The last write is over, or is given up. */
  stop: () => Promise<void>;
  /** Fills in what is there. Throws when it can't be read. */
  readBack: (withinMs: number) => Promise<void>;
  remove: () => Promise<void>;
  points: () => [number, number][];
  close: () => void;
}

export function startWriter(options: {
  id: string;
  connection: string;
  places: readonly ServerAddress[];
}): Writer {
  const { id, connection, places } = options;
  const key = canaryKey(id);
  const acknowledged: number[] = [];
  const unanswered = new Set<number>();
  const waits: [number, number][] = [];
  const facts: Known = {
    acknowledged: 0,
    present: null,
    duplicated: null,
    unanswered: 0,
    unansweredPresent: null,
    errors: 0,
    errorKinds: {},
    notReadBack: 0,
    longestWaitMs: 0,
    moves: [],
  };
  let place = 0;
  /** Counts its connections. */
  let connections = 0;
  let lastAnswered: number | null = null;
  let created = false;
  let pending = false;
  let failing = false;
  let stopping = false;
  /** Since when it has been trying to write. */
  let waitingSince: number | null = null;

  const client = new Redis({
    ...optionsOf(places[0]),
    protocol: 2,
    connectionName: connection,
    retryStrategy: () => 2,
    autoResendUnfulfilledCommands: false,
    // With a connection end the commands that wait for their answer.
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    disableClientInfo: true,
    connectTimeout: 2_000,
  });
  client.on('error', (error: Error) => {
    failing = true;
    if (lastAnswered === null) note(error);
  });
  client.on('ready', () => {
    connections += 1;
  });
  client.on('close', () => {
    // A write that was given up is no reason to read elsewhere.
    if (stopping && pending) return;
    place = (place + 1) % places.length;
    Object.assign(client.options, optionsOf(places[place]));
  });

  function note(error: unknown): void {
    const kind = kindOf(error);
    // A server could answer anything.
    if (facts.errorKinds[kind] !== undefined || Object.keys(facts.errorKinds).length < 8)
      facts.errorKinds[kind] = (facts.errorKinds[kind] ?? 0) + 1;
  }

  /** The first makes the list together with its expiry; the others only add to one that is there. */
  async function write(n: number): Promise<void> {
    if (created) {
      const length = await client.rpushx(key, n);
      if (length > 0) return;
      created = false;
    }
    const replies = await client.multi().rpush(key, n).pexpire(key, EXPIRES_MS).exec();
    const failed = replies?.find(([error]) => error !== null)?.[0];
    if (failed || !replies) throw failed ?? new Error('DISCARDED');
    created = true;
  }

  async function writing(): Promise<void> {
    // The first commands of a process are slow, whatever the server does.
    for (let n = 0; n < WARM_UP && !stopping; n += 1) {
      await client.ping().catch(() => {});
      await sleep(1);
    }
    for (let n = 0; !stopping;) {
      const ready = client.status === 'ready';
      // Its own first connection is no wait of an application.
      if (ready || lastAnswered !== null) waitingSince ??= performance.now();
      if (!ready || waitingSince === null) {
        await sleep(1);
        continue;
      }
      const over = connections;
      n += 1;
      pending = true;
      try {
        await write(n);
        const wait = performance.now() - waitingSince;
        acknowledged.push(n);
        facts.acknowledged += 1;
        facts.longestWaitMs = Math.max(facts.longestWaitMs, rounded(wait));
        waits.push([performance.timeOrigin + waitingSince, rounded(wait)]);
        if (lastAnswered !== null && lastAnswered !== over && facts.moves.length < 10)
          facts.moves.push(Math.round(performance.timeOrigin + performance.now()));
        lastAnswered = over;
        waitingSince = null;
        failing = false;
        pending = false;
        // A connection that closes here is noticed by the next write.
        const last = await client.lindex(key, -1).catch(() => null);
        if (last !== null && last !== String(n)) facts.notReadBack += 1;
        await sleep(Math.max(1, EVERY_MS - wait));
      } catch (error) {
        pending = false;
        failing = true;
        if (isReply(error)) {
          facts.errors += 1;
          note(error);
          // Demoted, and the connection left open.
          if (kindOf(error) === 'READONLY') client.disconnect(true);
        } else if (!/isn't writeable/.test(messageOf(error))) {
          unanswered.add(n);
          facts.unanswered = unanswered.size;
        }
        await sleep(2);
      }
    }
  }
  const written = writing();

  return {
    facts,
    hopeless: () => lastAnswered === null && failing && !pending,
    async stop() {
      stopping = true;
      if (waitingSince !== null)
        facts.longestWaitMs = Math.max(facts.longestWaitMs, rounded(performance.now() - waitingSince));
      const over = await Promise.race([written.then(() => true), sleep(500, false)]);
      if (over) return;
      // It waits behind a pause that nobody ends.
      client.disconnect(true);
      await written;
    },
    async readBack(withinMs) {
      const times = await persistently(withinMs, async () => {
        const found = new Map<string, number>();
        for (let from = 0; ; from += PAGE) {
          const page = await client.lrange(key, from, from + PAGE - 1);
          for (const entry of page) found.set(entry, (found.get(entry) ?? 0) + 1);
          if (page.length < PAGE) return found;
        }
      });
      facts.present = acknowledged.filter((n) => times.has(String(n))).length;
      facts.unansweredPresent = [...unanswered].filter((n) => times.has(String(n))).length;
      facts.duplicated = [...times.values()].filter((count) => count > 1).length;
    },
    async remove() {
      const gone = client.unlink(key).catch(() => 0);
      await Promise.race([gone, sleep(2_000)]);
    },
    points() {
      const longest = waits.reduce((most, wait) => (wait[1] > most[1] ? wait : most), waits[0] ?? [0, 0]);
      const middle = facts.moves[0] ?? longest[0];
      return thinned(
        waits.filter(([at, wait]) => at + wait >= middle - AROUND_MS && at <= middle + AROUND_MS),
      );
    },
    close: () => client.disconnect(),
  };
}

/** Tries again until it succeeds, or the time has passed. */
async function persistently<T>(withinMs: number, act: () => Promise<T>): Promise<T> {
  const until = performance.now() + withinMs;
  for (;;) {
    const left = until - performance.now();
    if (left <= 0) throw new Error('it took too long');
    const result = await Promise.race([
      act().then(
        (done) => ({ done }),
        () => 'failed' as const,
      ),
      sleep(left, 'late' as const),
    ]);
    if (typeof result === 'object') return result.done;
    await sleep(10);
  }
}

/** The longest wait of each stretch: what is left out is shorter. */
function thinned(waits: readonly [number, number][]): [number, number][] {
  const from = waits[0]?.[0] ?? 0;
  const each = ((waits.at(-1)?.[0] ?? from) - from) / POINTS;
  const kept = new Map<number, [number, number]>();
  for (const wait of waits) {
    const stretch = each > 0 ? Math.min(POINTS - 1, Math.floor((wait[0] - from) / each)) : 0;
    const longest = kept.get(stretch);
    if (!longest || wait[1] > longest[1]) kept.set(stretch, wait);
  }
  return [...kept.values()].map(([at, wait]) => [Math.round(at), wait]);
}

/** All of them, since those of the place before would stand otherwise. */
function optionsOf(place: ServerAddress | undefined): Omit<RedisOptions, 'replyMapping'> {
  const { host = '', port = 0, username, password } = place ?? {};
  const user = password === undefined ? undefined : (username ?? 'default');
  const others: Record<string, unknown> = {
    username: user,
    password,
    tls: place?.tls ? tlsOptions(place) : undefined,
  };
  return { ...others, host, port };
}

function isReply(error: unknown): boolean {
  return error instanceof Error && (error.name === 'ReplyError' || error.message === 'DISCARDED');
}

/** "READONLY", "NOPERM", "ECONNREFUSED": nothing that a server could put a secret into. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  // A transaction says what was wrong in it beside its own error.
  const { previousErrors, code } = error as Error & { previousErrors?: unknown[]; code?: unknown };
  const first = previousErrors?.[0];
  if (first !== undefined) return kindOf(first);
  return /^[A-Z]{2,20}(?= |$)/.exec(error.message)?.[0] ?? (typeof code === 'string' ? code : 'unknown');
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
