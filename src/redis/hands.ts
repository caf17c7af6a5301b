/**
 * Two hands must not hold one server: an attempt can outlive its time-out and overlap with the next. Connections of a switch
 * are named `ferry:<upgrade>:<epoch>.<attempt>`; a later attempt closes those of an earlier one, and an earlier one gives way.
 */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { failureOn } from './connect.js';

/** CLIENT SETNAME takes no spaces; slashes of workflow IDs are fine. */
export function connectionName(workflowId: string, hand?: { epoch: number; attempt: number }): string {
  const base = `ferry:${workflowId.replace(/[^\x21-\x7e]/g, '_').slice(0, 200)}`;
  return hand ? `${base}:${hand.epoch}.${hand.attempt}` : base;
}

export async function soleHand({ client, name }: { client: Redis; name: string }): Promise<void> {
  const own = parse(name);
  if (!own) return;
  let list: string;
  try {
    list = String(await client.call('CLIENT', 'LIST'));
  } catch {
    // Without CLIENT LIST nobody can be seen; Temporal's own "am I still current" is asked all the same.
    return;
  }
  for (const line of list.split('\n')) {
    const other = parse(/ name=(\S*)/.exec(line)?.[1] ?? '');
    const id = /^id=(\d+)/.exec(line)?.[1];
    if (!other || id === undefined || other.base !== own.base) continue;
    if (other.order > own.order)
      throw new FerryError('Unknown', 'a later attempt holds the server; this one gives way');
    if (other.order < own.order) {
      await client.call('CLIENT', 'KILL', 'ID', id).catch((error: unknown) => {
        const failure = failureOn(client, error);
        if (!/no such client/i.test(failure.message)) throw failure;
      });
    }
  }
}

/** Closes every connection of an upgrade but the asking one: also the trackers of workers that sleep, or wait for an activity that won't come. */
export async function dismiss({ client, workflowId }: { client: Redis; workflowId: string }): Promise<void> {
  const base = connectionName(workflowId);
  const own = String(await client.call('CLIENT', 'ID').catch(() => ''));
  const list = String(await client.call('CLIENT', 'LIST').catch(() => ''));
  for (const line of list.split('\n')) {
    const id = /^id=(\d+)/.exec(line)?.[1];
    const name = / name=(\S*)/.exec(line)?.[1] ?? '';
    if (id === undefined || id === own || (name !== base && !name.startsWith(`${base}:`))) continue;
    // Gone meanwhile, or not permitted: then it ends by itself, within the minute.
    await client.call('CLIENT', 'KILL', 'ID', id).catch(() => undefined);
  }
}

function parse(name: string): { base: string; order: number } | null {
  const match = /^(ferry:.+):(\d+)\.(\d+)$/.exec(name);
  return match ? { base: match[1] ?? '', order: Number(match[2]) * 100_000 + Number(match[3]) } : null;
}
