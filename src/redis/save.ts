/** Saving to disk now, until it has really ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { failureOn, messageOf, placeOf } from './connect.js';
import { shown } from './address.js';
import { parseInfo } from './info.js';

export interface Saved {
  /** That the save took. */
  seconds: number;
  /** Changes since then are in the AOF only, or nowhere yet. */
  at: string;
}

const EVERY_MS = 200;

/**
 * One that is under way began before now, and says nothing of what was written since: it is waited for, and another one begun. What
 * LASTSAVE says counts whole seconds, so a second save within one would not be seen by it.
 * @throws FerryError BackupFailed where the server says that it failed; the signal's reason
 */
export async function saveNow(on: {
  client: Redis;
  signal: AbortSignal;
  onLook?: (seconds: number) => void;
}): Promise<Saved> {
  const { client, signal } = on;
  const began = Date.now();
  for (;;) {
    await ended(on, began);
    const reply = await client.call('BGSAVE').then(String, (error: unknown) => {
      // Somebody else's began in between.
      if (/already in progress/i.test(messageOf(error))) return '';
      throw failureOn(client, error);
    });
    if (/started/i.test(reply)) break;
    await sleep(EVERY_MS, undefined, { signal });
  }
  await ended(on, began);
  const info = parseInfo(String(await client.call('INFO', 'persistence')));
  if (info['rdb_last_bgsave_status'] !== 'ok')
    throw new FerryError(
      'BackupFailed',
      `${shown(placeOf(client))} could not save to its disk (rdb_last_bgsave_status: ${info['rdb_last_bgsave_status'] ?? 'not told'}). Where \`stop-writes-on-bgsave-error\` is on it refuses writes until a save succeeds: make room on its volume at once`,
    );
  return {
    seconds: Number(info['rdb_last_bgsave_time_sec'] ?? 0),
    at: new Date(Number(info['rdb_last_save_time'] ?? 0) * 1_000).toISOString(),
  };
}

async function ended(
  { client, signal, onLook }: Parameters<typeof saveNow>[0],
  began: number,
): Promise<void> {
  for (;;) {
    const info = parseInfo(String(await client.call('INFO', 'persistence')));
    if (info['rdb_bgsave_in_progress'] !== '1' && info['rdb_bgsave_scheduled'] !== '1') return;
    onLook?.(Math.round((Date.now() - began) / 1_000));
    await sleep(EVERY_MS, undefined, { signal });
  }
}
