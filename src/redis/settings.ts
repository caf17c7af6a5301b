/** Settings by their names, as the server has them now. */
import type { Redis } from 'ioredis';
import { failureOn } from './connect.js';
import { pairsOf } from './info.js';

/** Those that it knows: an older version lacks some. A name may be a pattern. @throws FerryError, NotPermitted among them */
export async function settingsNamed(on: {
  client: Redis;
  names: readonly string[];
}): Promise<Record<string, string>> {
  const { client, names } = on;
  const replies = await Promise.all(names.map((name) => client.call('CONFIG', 'GET', name))).catch(
    (error: unknown) => {
      throw failureOn(client, error);
    },
  );
  return Object.fromEntries(replies.flatMap(pairsOf));
}
