/** How many keys a server holds, by one INFO. */
import type { ServerAddress } from './address.js';
import { withClient } from './connect.js';
import { allOf, keyspaceIn, parseInfo } from './info.js';

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
  const keyspace = await withClient({ address, name, signal, commandTimeoutMs: 10_000 }, async (client) =>
    keyspaceIn(parseInfo(String(await client.call('INFO', 'keyspace')))),
  );
  const keys = allOf(keyspace);
  return { keys, lasting: keys - allOf(keyspace, 'expires') };
}
