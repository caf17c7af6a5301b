/** Questions that a server may refuse. */
import type { Redis } from 'ioredis';
import { failureOn, messageOf } from '../connect.js';

/** The reply; null where the server doesn't permit or know the command. @throws FerryError when it can't be reached */
export async function askable(client: Redis, [name = '', ...args]: readonly string[]): Promise<unknown> {
  try {
    return await client.call(name, ...args);
  } catch (error) {
    if (/Connection is closed|timed out|isn't writeable/i.test(messageOf(error)))
      throw failureOn(client, error);
    return null;
  }
}
