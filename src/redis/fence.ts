/** The fence: a server that refuses writes and answers reads until it is told otherwise. */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import type { ClientFacts, FenceKind } from './describe.js';

/** What stood before the fence; plain data, so that an undo can carry it. */
export interface FenceBefore {
  kind: FenceKind;
  /** Settings to put back. */
  settings: Record<string, string>;
}

/** What fence() would record, without setting anything: read it first, register the undo with it, then fence. */
export async function fenceBefore(input: { client: Redis }): Promise<FenceBefore> {
  throw new FerryError('Unknown', `not written yet ${String(input.client.status)}`);
}
export async function fence(input: { client: Redis; before?: FenceBefore }): Promise<FenceBefore> {
  return fenceBefore(input);
}
/** Harmless when no fence of ours stands. Without `before`, what the fence itself recorded is put back. */
export async function unfence(input: { client: Redis; before?: FenceBefore }): Promise<void> {
  await fenceBefore(input);
}
export async function isFenced(input: { client: Redis }): Promise<FenceKind | null> {
  return (await fenceBefore(input)).kind;
}
/** Commands after `redis-cli` that lift the fence by hand. */
export function unfenceByHand(before: FenceBefore): string[] {
  return Object.keys(before.settings);
}
/** Ordinary clients; replicas and `ferry:` connections are left out. `databases`: only those of these numbers. */
export async function clientsOf(input: {
  client: Redis;
  databases?: readonly number[];
}): Promise<ClientFacts[]> {
  await fenceBefore(input);
  return [];
}
/** Closes connections of ordinary clients; skips replicas, `ferry:` ones and (unless asked) subscribers. Returns how many. */
export async function dropClients(input: {
  client: Redis;
  ids: readonly string[];
  subscribers?: boolean;
}): Promise<number> {
  await fenceBefore(input);
  return 0;
}
