/**
 * ioredis applications that append numbers to lists at a steady rate, and say how long each write waited. Half of them with
 * ioredis' own settings, half reconnecting at once. Ends when told to (`stopFile`).
 */
import { existsSync } from 'node:fs';
import { Redis } from 'ioredis';

const EACH = 4;

export interface Wait {
  /** Milliseconds since 1970 at which the write was sent. */
  at: number;
  took: number;
}

export async function run(input: { port: number; perSecond: number; stopFile: string }): Promise<{
  clients: {
    key: string;
    kind: 'default' | 'quick';
    acknowledged: number;
    errors: string[];
    /** Only those above 3 ms. */
    waits: Wait[];
  }[];
}> {
  const { port, perSecond, stopFile } = input;
  let stop = false;
  const watch = setInterval(() => (stop = existsSync(stopFile)), 50);
  const clients = await Promise.all(
    (['default', 'quick'] as const).flatMap((kind) =>
      Array.from({ length: EACH }, async (_, i) => {
        const client = new Redis({
          host: '127.0.0.1',
          port,
          protocol: 2,
          ...(kind === 'quick' ? { retryStrategy: () => 2, maxRetriesPerRequest: null } : {}),
        });
        client.on('error', () => {});
        const key = `writes:${kind}:${i}`;
        const errors: string[] = [];
        const waits: Wait[] = [];
        let acknowledged = 0;
        const gap = (1_000 * EACH * 2) / perSecond;
        for (let due = performance.now(); !stop; due += gap) {
          const early = due - performance.now();
          if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
          // What was missed while it waited is not made up for: that would be a burst.
          else if (early < -100) due = performance.now();
          const [at, began] = [Date.now(), performance.now()];
          try {
            await client.rpush(key, acknowledged);
            acknowledged += 1;
          } catch (error) {
            errors.push(String(error));
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
          const took = performance.now() - began;
          if (took > 3) waits.push({ at, took });
        }
        client.disconnect();
        return { key, kind, acknowledged, errors, waits };
      }),
    ),
  );
  clearInterval(watch);
  return { clients };
}
