/**
 * An application at a steady rate: half of its requests read, half write, over a few connections. What it sends doesn't wait for
 * what it was answered, so a server that stalls is seen by every request that was due meanwhile.
 */
import { setPriority } from 'node:os';
import { openConnection } from '../../src/redis/resp.js';

const CONNECTIONS = 4;

/** @returns latencies in milliseconds, from the moment a request was sent to its answer */
export async function run(input: { port: number; perSecond: number; forMs: number; keys: number }) {
  const { port, perSecond, forMs, keys } = input;
  goFirst();
  const connections = await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, i) =>
      openConnection({ address: { host: '127.0.0.1', port }, name: `bench:app-${i}` }),
    ),
  );
  const value = Buffer.alloc(100, 'x');
  const took: number[] = [];
  let late = 0;
  let sent = 0;
  const began = performance.now();
  const answers: Promise<void>[] = [];
  await new Promise<void>((done) => {
    const tick = (): void => {
      const now = performance.now();
      const due = Math.min(((now - began) / 1000) * perSecond, (forMs / 1000) * perSecond);
      // Asked for at one moment, they would stand in each other's way: a machine that slept shows as lateness, not as latency.
      const batch = Math.floor(due) - sent;
      if (batch > 4) late += batch - 4;
      for (; sent < Math.floor(due); sent += 1) {
        const connection = connections[sent % CONNECTIONS];
        const key = `session:${Math.floor(Math.random() * keys)
          .toString(36)
          .padStart(8, '0')}`;
        const at = performance.now();
        answers.push(
          connection!.call(sent % 2 === 0 ? ['GET', key] : ['SET', `app:${key}`, value]).then(() => {
            took.push(performance.now() - at);
          }),
        );
      }
      if (now - began >= forMs) done();
      else setTimeout(tick, 1);
    };
    tick();
  });
  await Promise.all(answers);
  for (const connection of connections) connection.close();
  took.sort((a, b) => a - b);
  const at = (part: number): number => took[Math.min(took.length - 1, Math.floor(took.length * part))] ?? 0;
  return { requests: took.length, p50: at(0.5), p99: at(0.99), max: at(1), late };
}

/** What it waits for a core is not the server's latency. Where that isn't permitted, it is in the figure. */
function goFirst(): void {
  try {
    setPriority(-15);
  } catch {
    // Only a superuser may.
  }
}
