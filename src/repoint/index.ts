/** Telling the applications where their Redis is. */
import { FerryError } from '../errors.js';
import type { Repoint } from '../inputs/redis-copy.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import type { ServerAddress } from '../redis/address.js';

export type Direction = 'forward' | 'back';

/** One side of the move, as applications reach it. */
export interface Serving {
  address: ServerAddress;
  database: number;
}

export interface RepointInput {
  spec: Repoint;
  direction: Direction;
  /** Name of the upgrade. */
  name: string;
  /** The side that serves once this is done: the target forward, the source back. */
  serving: Serving;
  signal?: AbortSignal;
}
/** Safe to repeat at any point. Returns what was done, in words. */
export async function repoint(input: RepointInput): Promise<string> {
  throw new FerryError('Unknown', `not written yet ${input.name}`);
}
/** What `finish` leaves: the saved copy of a file repoint is removed. */
export async function finishRepoint(input: { spec: Repoint }): Promise<void> {
  await Promise.resolve(input);
}
/** Sentences for the plan. */
export function describeRepoint(spec: Repoint): string[] {
  return [spec.kind];
}
/** Commands that repoint by hand. `endpoint` is where the serving side's URL is kept. */
export function repointByHand(input: {
  spec: Repoint;
  direction: Direction;
  name: string;
  serving: Serving;
  endpoint: RedisEndpoint;
}): string[] {
  return [input.spec.kind];
}
