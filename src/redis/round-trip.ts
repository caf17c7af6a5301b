/** Whether a server takes a write and gives it back: one key of ours, gone afterwards. */
import type { Redis } from 'ioredis';
import { messageOf } from './connect.js';
import { validationKey } from './our-keys.js';

/** Empty when it does; else why not, in the server's words. */
export async function roundTrip({ client }: { client: Redis }): Promise<string> {
  const key = validationKey();
  try {
    if ((await client.call('PING')) !== 'PONG') return 'it does not answer PING';
    await client.call('SET', key, key, 'EX', '60');
    const read = await client.call('GET', key);
    await client.call('DEL', key);
    return read === key ? '' : 'what was written is not what is read';
  } catch (error) {
    return messageOf(error);
  }
}
