/** A server that came up as a primary by its configuration, while another one serves, is told to follow that one. */
import type { Redis } from 'ioredis';
import { failureOn, messageOf } from '../connect.js';
import { parseInfo } from '../info.js';

/**
 * In one transaction, so that nothing is written between both. Returns how many commands that write it had run since it started: loading
 * its own file counts as none.
 * @throws FerryError
 */
export async function takeRole(on: { client: Redis; at: { host: string; port: number } }): Promise<number> {
  const { client, at } = on;
  const names = await client.call('ACL', 'CAT', 'write').catch((error: unknown) => {
    // Where nobody says which they are, none is taken for one.
    if (/NOPERM|unknown command/i.test(messageOf(error))) return [];
    throw failureOn(client, error);
  });
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
  const writes = new Set(Array.isArray(names) ? names.map((name) => String(name).toLowerCase()) : []);
  return writesIn(parseInfo(String(replies[0]?.[1])), writes);
}

/** Of `cmdstat_set:calls=3,…`; subcommands stand behind a bar. */
function writesIn(info: Record<string, string>, writes: ReadonlySet<string>): number {
  return Object.entries(info).reduce((sum, [name, value]) => {
    const command = /^cmdstat_([^|]+)/.exec(name)?.[1];
    const calls = Number(/calls=(\d+)/.exec(value)?.[1] ?? 0);
    return command !== undefined && writes.has(command) ? sum + calls : sum;
  }, 0);
}
