/** What a server is and how much it holds, by one INFO. */
import type { ServerAddress } from './address.js';
import { withClient } from './connect.js';
import { allOf, keyspaceIn, parseInfo, productIn } from './info.js';

/** `lasting`: those that don't expire; `usedMemory`: bytes. @throws FerryError as `withClient` */
export async function countKeys({
  address,
  name,
  signal,
}: {
  address: ServerAddress;
  name: string;
  signal: AbortSignal | undefined;
}): Promise<{ product: string; keys: number; lasting: number; usedMemory: number }> {
  const info = await withClient({ address, name, signal, commandTimeoutMs: 10_000 }, async (client) =>
    parseInfo(String(await client.call('INFO'))),
  );
  const keyspace = keyspaceIn(info);
  const keys = allOf(keyspace);
  return {
    product: productIn(info),
    keys,
    lasting: keys - allOf(keyspace, 'expires'),
    usedMemory: Number(info['used_memory'] ?? 0),
  };
}
