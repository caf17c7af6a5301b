/** Which keys were changed since a moment, as the server tells by `CLIENT TRACKING ON BCAST`. */
import type { ServerAddress } from './address.js';

export interface Tracker {
  /** The source's clock (ms since 1970) when tracking began: every change after it is known, unless `lost`. */
  readonly since: number;
  /** The source's run_id: another one later means that the server was restarted in between. */
  readonly runId: string;
  /** How many changed keys wait to be taken. */
  pending(): number;
  has(key: Buffer): boolean;
  /** Takes up to n keys out. A key that changes after that comes back by itself. */
  take(n: number): Buffer[];
  /** Puts keys back (taken, but not copied after all). */
  add(keys: Iterable<Buffer>): void;
  /** Remembers a key whose changes the server doesn't all report (streams with groups): the last pass copies it again. */
  watch(key: Buffer): void;
  watched(): Buffer[];
  /** Why changes may be missing, after which only a reconcile (`compareAll` with `repair`) helps; null while all are known. */
  lost(): string | null;
  /** After it resolves, every change that the server acknowledged before the call is in `pending`, or `lost` says why not. */
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
  signal?: AbortSignal | undefined;
}

export async function startTracking(options: TrackingOptions): Promise<Tracker> {
  throw new Error(`not yet ${options.match}`);
}
