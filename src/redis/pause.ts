/** Holding writes for a moment: `CLIENT PAUSE ms WRITE`, whose end the server itself keeps. */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { shown } from './address.js';
import { failureOn, messageOf, placeOf } from './connect.js';

export interface Pause {
  ms: number;
  /** Milliseconds left, counted by the worker's own clock from before the command was sent: never too many. */
  remaining(): number;
}

/**
 * Writes of every client of the server wait, in every database; reads go on. The server lifts it after `ms` by itself.
 * A longer pause that stands is not shortened by it.
 * @throws FerryError NotPermitted, also on 6.0, whose pause would hold reads, INFO and the worker too, and could not be ended
 */
export async function pauseWrites({ client, ms }: { client: Redis; ms: number }): Promise<Pause> {
  const started = performance.now();
  try {
    await client.call('CLIENT', 'PAUSE', String(Math.ceil(ms)), 'WRITE');
  } catch (error) {
    if (/syntax|wrong number of arguments|unknown subcommand/i.test(messageOf(error))) {
      throw new FerryError(
        'NotPermitted',
        `${shown(placeOf(client))} can not pause writes alone (that came with Redis 6.2): the fence refuses them instead`,
      );
    }
    throw failureOn(client, error);
  }
  return { ms, remaining: () => Math.max(0, Math.floor(ms - (performance.now() - started))) };
}

/** Ends the pause; harmless when there is none. It ends one that somebody else began, too. */
export async function resumeWrites({ client }: { client: Redis }): Promise<void> {
  try {
    await client.call('CLIENT', 'UNPAUSE');
  } catch (error) {
    // 6.0 has neither, so nothing is paused by us.
    if (!/unknown subcommand|unknown command|wrong number of arguments|syntax/i.test(messageOf(error)))
      throw failureOn(client, error);
  }
}
