/**
 * Where clients go by a rule that follows a moment late (a Service of Kubernetes, on each node), some come back to the server that they were
 * sent away from. While it is fenced their writes wait there and nobody gets an error, so they are sent away again until none comes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { clientsOf, dropClients } from './clients.js';

const EVERY_MS = 100;
/** Looks in a row without anybody. */
const QUIET_LOOKS = 4;

export interface SentAway {
  atOnce: number;
  /** Those that came, or came back, afterwards. */
  latecomers: number;
}

/** Until nobody comes any more, or `forMs` are over. Never replicas, nor connections of ours. */
export async function sendAwayUntilQuiet(on: {
  client: Redis;
  forMs: number;
  /** Called once everybody was sent away for the first time. */
  onSent: () => void;
}): Promise<SentAway> {
  const { client, forMs, onSent } = on;
  const drop = async (): Promise<number> => {
    const ids = (await clientsOf({ client })).map(({ id }) => id);
    return ids.length === 0 ? 0 : dropClients({ client, ids, subscribers: true });
  };
  const atOnce = await drop();
  onSent();
  let latecomers = 0;
  const until = performance.now() + forMs;
  for (let quiet = 0; quiet < QUIET_LOOKS && performance.now() < until;) {
    await sleep(EVERY_MS);
    const came = await drop();
    latecomers += came;
    quiet = came === 0 ? quiet + 1 : 0;
  }
  return { atOnce, latecomers };
}
