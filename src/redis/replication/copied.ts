/** Whether what is written at a primary arrives at one of its replicas: one key of ours, gone afterwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { messageOf } from '../connect.js';
import { validationKey } from '../our-keys.js';

const WITHIN_MS = 10_000;

/** Empty when it does; else why not. */
export async function copied(on: { primary: Redis; replica: Redis; signal: AbortSignal }): Promise<string> {
  const { primary, replica, signal } = on;
  const key = validationKey();
  try {
    await primary.call('SET', key, key, 'EX', '60');
    for (const until = performance.now() + WITHIN_MS; performance.now() < until;) {
      if ((await replica.call('GET', key)) === key) return '';
      await sleep(20, undefined, { signal });
    }
    return `a key did not arrive within ${WITHIN_MS / 1_000} s`;
  } catch (error) {
    signal.throwIfAborted();
    return messageOf(error);
  } finally {
    await primary.call('DEL', key).catch(() => undefined);
  }
}
