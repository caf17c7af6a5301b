/**
 * Which keys were changed since a moment, as the server tells by `CLIENT TRACKING ON BCAST`.
 *
 * Measured on Redis 6.0 to 8.2 and Valkey 8.1 and 9: every command that changes a key reports it, also in scripts,
 * functions and transactions, as do expiry (of fields too) and eviction, but for
 * - what only concerns a stream's groups (XREADGROUP, XACK, XCLAIM, XAUTOCLAIM, XGROUP …) and XSETID: so streams are
 *   `watched`, and the last pass copies them again;
 * - SWAPDB: so the server's own count of its calls is looked at with each barrier.
 * Names come without a database, so a name is looked at in every mapped one.
 */
import { FerryError } from '../errors.js';
import type { ServerAddress } from './address.js';
import { compileGlob } from './glob.js';
import { isOurs } from './our-keys.js';
import { asText, openConnection, ReplyError, type Reply } from './resp.js';
import { milliseconds } from './ttl.js';
import { startWeights, type Weights } from './weights.js';

export interface Tracker {
  /** The source's clock (ms since 1970) when tracking began: every change after it is known, unless `lost`. */
  readonly since: number;
  /** The source's run_id: another one later means that the server was restarted in between. */
  readonly runId: string;
  /** How many changed keys wait to be taken. */
  pending(): number;
  has(key: Buffer): boolean;
  /** How heavy the keys are of which no change is pending. */
  readonly weights: Weights;
  /** Takes up to n keys out. A key that changes after that comes back by itself. */
  take(n: number): Buffer[];
  /** Takes those of the given keys out that are pending. */
  claim(keys: readonly Buffer[]): Buffer[];
  /** Puts keys back (taken, but not copied after all). */
  add(keys: Iterable<Buffer>): void;
  /** Remembers a stream: not all of its changes are reported. */
  watch(key: Buffer): void;
  watched(): Buffer[];
  /** Why changes may be missing, after which only a reconcile (`compareAll` with `repair`) helps; null while all are known. */
  lost(): string | null;
  /** After it resolves, every change that the server acknowledged before the call is in `pending`, or `lost` says why not. Never throws. */
  barrier(): Promise<void>;
  close(): void;
}

export interface TrackingOptions {
  address: ServerAddress;
  match: string;
  /** Name of the connection in CLIENT LIST. */
  name?: string | undefined;
  /** Above it the tracker gives up (`lost`) rather than take the worker's memory. Default 1,000,000. */
  maxKeys?: number | undefined;
  /** Ends the tracking (`lost`). */
  signal?: AbortSignal | undefined;
}

const MOST_KEYS = 1_000_000;

export async function startTracking(options: TrackingOptions): Promise<Tracker> {
  const { address, match, name = 'ferry', maxKeys = MOST_KEYS, signal } = options;
  const glob = compileGlob(match);
  // Names as latin1 strings: a byte each, and a Set of them needs a third of the memory of Buffers.
  const changed = new Set<string>();
  const streams = new Set<string>();
  let lost: string | null = null;

  function lose(reason: string): void {
    lost ??= reason;
    changed.clear();
  }

  function note(key: Buffer): void {
    if (lost !== null || !glob.matches(key) || isOurs(key)) return;
    changed.add(nameOf(key));
    if (changed.size > maxKeys) lose(`more than ${maxKeys} keys were changed`);
  }

  function onPush(message: Reply[]): void {
    const [kind, keys] = message;
    if (String(kind) !== 'invalidate') return;
    if (!Array.isArray(keys)) return lose('a database was flushed');
    for (const key of keys) if (Buffer.isBuffer(key)) note(key);
  }

  const connection = await openConnection({ address, name: `${name}:tracking`, protocol: 3, onPush, signal });
  void connection.closed.then((reason) => lose(`tracking ended: ${reason.message}`));
  try {
    const prefix = glob.prefix.length > 0 ? ['PREFIX', glob.prefix] : [];
    await connection.call(['CLIENT', 'TRACKING', 'ON', 'BCAST', ...prefix]);
    const [time, info] = await connection.pipeline([['TIME'], ['INFO', 'server']]);
    const runId =
      info instanceof ReplyError || info === undefined
        ? ''
        : (/^run_id:(\w+)/m.exec(asText(info))?.[1] ?? '');
    const swaps = await swapCount();

    async function swapCount(): Promise<string | null> {
      const [stats] = await connection.pipeline([['INFO', 'commandstats']]);
      if (stats instanceof ReplyError || stats === undefined) return null;
      return /^cmdstat_swapdb:calls=(\d+)/m.exec(asText(stats))?.[1] ?? '0';
    }

    return {
      since: milliseconds(time),
      runId,
      pending: () => changed.size,
      has: (key) => changed.has(nameOf(key)),
      weights: startWeights(),
      take(n) {
        const taken: Buffer[] = [];
        for (const key of changed) {
          if (taken.length >= n) break;
          changed.delete(key);
          taken.push(Buffer.from(key, 'latin1'));
        }
        return taken;
      },
      claim: (keys) => keys.filter((key) => changed.delete(nameOf(key))),
      add(keys) {
        for (const key of keys) note(key);
      },
      watch: (key) => void streams.add(nameOf(key)),
      watched: () => [...streams].map((key) => Buffer.from(key, 'latin1')),
      lost: () => lost,
      async barrier() {
        if (lost !== null) return;
        try {
          // Invalidations go out at the end of a turn of the server's event loop, so the reply to a command may overtake
          // those of the same turn. The second reply, of a later turn, can't.
          if ((await swapCount()) !== swaps) lose('databases were swapped (SWAPDB)');
          await connection.call(['PING']);
        } catch (error) {
          lose(`tracking ended: ${error instanceof FerryError ? error.message : 'the server refused'}`);
        }
      },
      close: () => connection.close(),
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

function nameOf(key: Buffer): string {
  return key.toString('latin1');
}
