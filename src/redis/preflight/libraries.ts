/**
 * What client libraries do when their connection is closed, by their own documentation and defaults (August 2026): a table, so that one
 * place has to be kept up to date.
 */

export interface Library {
  /** As it names itself in CLIENT SETINFO, in lower case; a suffix in brackets doesn't count. */
  lib: string;
  shown: string;
  /** How it comes back, what happens to commands that were cut off, and what to set for the switch. */
  says: string;
}

export const LIBRARIES: readonly Library[] = [
  {
    lib: 'ioredis',
    shown: 'ioredis',
    says: 'waits 50 ms before it connects again (from version 6 on up to 199 ms more, at random), then longer each time; it sends again what had no answer (autoResendUnfulfilledCommands), and with reconnectOnError returning 2 also what was answered with an error, which may write twice. Set `retryStrategy: () => 2` for the switch: clients noticed about 11 to 25 ms instead of about 225 ms (measured)',
  },
  {
    lib: 'node-redis',
    shown: 'node-redis',
    says: 'rejects commands that were sent, keeps the others, and waits 50 ms, doubled up to 2 s, and up to 200 ms at random before it connects again. Set socket.reconnectStrategy to a small number for the switch, and let the application repeat what was rejected',
  },
  {
    lib: 'redis-py',
    shown: 'redis-py',
    says: 'repeats a command whose connection failed, with growing pauses, unless `retry` says otherwise: what was run without its answer arriving may be run twice',
  },
  {
    lib: 'jedis',
    shown: 'Jedis',
    says: 'throws a JedisConnectionException for a command that was cut off, unless repeating is set up (its MultiDbClient tries 3 times, 500 ms apart). Let the application repeat it',
  },
  {
    lib: 'lettuce',
    shown: 'Lettuce',
    says: 'connects again by itself, with pauses that grow up to 30 s, and sends again what had no answer (at-least-once): commands can be executed more than once. A replayFilter leaves out what must not be repeated; keep reconnectDelay short for the switch',
  },
  {
    lib: 'go-redis',
    shown: 'go-redis',
    says: 'repeats a command up to 3 times, 10 ms to 1 s apart (MaxRetries, MinRetryBackoff); subscriptions come back by themselves',
  },
  {
    lib: 'se.redis',
    shown: 'StackExchange.Redis',
    says: 'connects again in the background, with pauses from about half of ConnectTimeout on (ReconnectRetryPolicy), and queues commands meanwhile until they time out (BacklogPolicy). Set a short LinearRetry for the switch',
  },
  {
    lib: 'redis-client',
    shown: 'redis-client (Ruby)',
    says: 'repeats nothing unless reconnect_attempts is set (0 by default), and then also INCR or LPUSH, which may be run twice; subscribers do not come back by themselves',
  },
  {
    lib: 'redis-rs',
    shown: 'redis-rs',
    says: 'hands the error of a closed connection to the application; its ConnectionManager connects again in the background',
  },
];

/** The library behind a `lib-name` such as `ioredis`, `go-redis(,go1.22)` or `jedis(spring-data-redis_v3.2.0)`. */
export function libraryOf(name: string): Library | undefined {
  const base = name.split('(', 1)[0]?.toLowerCase();
  return LIBRARIES.find(({ lib }) => lib === base);
}
