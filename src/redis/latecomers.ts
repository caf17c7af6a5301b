/** Who connects to a server that was just left, by a rule that had not followed yet, is sent away to ask anew. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { clientsOf, dropClients } from './clients.js';

const EVERY_MS = 200;

/** For so long; how many were sent away. Never replicas, nor connections of ours. */
export async function sendLatecomersAway(on: { client: Redis; forMs: number }): Promise<number> {
  const { client, forMs } = on;
  let sent = 0;
  for (const until = performance.now() + forMs; performance.now() < until; await sleep(EVERY_MS)) {
    const ids = (await clientsOf({ client })).map(({ id }) => id);
    if (ids.length > 0) sent += await dropClients({ client, ids });
  }
  return sent;
}
