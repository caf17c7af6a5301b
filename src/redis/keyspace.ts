/** How many keys a server holds, by one INFO. */
import type { ServerAddress } from './address.js';
import { withClient } from './connect.js';
import { parseInfo } from './info.js';

/** `lasting`: those that don't expire. @throws FerryError as `withClient` */
export async function countKeys({
  address,
  name,
  signal,
}: {
  address: ServerAddress;
  name: string;
  signal: AbortSignal;
}): Promise<{ keys: number; lasting: number }> {
  const info = await withClient({ address, name, signal, commandTimeoutMs: 10_000 }, async (client) =>
    parseInfo(String(await client.call('INFO', 'keyspace'))),
  );
  const sum = (field: string): number =>
    Object.entries(info)
      .filter(([database]) => /^db\d+$/.test(database))
      .reduce((all, [, value]) => all + Number(new RegExp(`${field}=(\\d+)`).exec(value)?.[1] ?? 0), 0);
  const keys = sum('keys');
  return { keys, lasting: keys - sum('expires') };
}
