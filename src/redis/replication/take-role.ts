/** A server that came up as a primary by its configuration, while another one serves, is told to follow that one. */
import type { Redis } from 'ioredis';
import { failureOn } from '../connect.js';
import { parseInfo } from '../info.js';
import { writeCommands, writesIn } from '../written.js';

/**
 * In one transaction, so that nothing is written between both. Returns how many commands that write it had run since it started: loading
 * its own file counts as none.
 * @throws FerryError
 */
export async function takeRole(on: { client: Redis; at: { host: string; port: number } }): Promise<number> {
  const { client, at } = on;
  const commands = await writeCommands({ client });
  const replies = await client
    .multi()
    .info('commandstats')
    .call('REPLICAOF', at.host, String(at.port))
    .exec()
    .catch((error: unknown) => {
      throw failureOn(client, error);
    });
  const failed = replies?.find(([error]) => error !== null)?.[0];
  if (failed || !replies) throw failureOn(client, failed ?? new Error('the transaction was discarded'));
  return writesIn(parseInfo(String(replies[0]?.[1])), commands);
}
