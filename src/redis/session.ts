/** A connection of the engine, with what must be known of the server behind it. */
import { FerryError } from '../errors.js';
import type { ServerAddress } from './address.js';
import { failureOf } from './resp-errors.js';
import {
  asNumber,
  asText,
  openConnection,
  ReplyError,
  type Command,
  type Connection,
  type EachKey,
  type Reply,
} from './resp.js';

export interface Session {
  readonly connection: Connection;
  /** "Redis 7.0.15". */
  readonly product: string;
  /** Changes with each start of the server. Empty where INFO may not be used: then nothing can be resumed. */
  readonly runId: string;
  /** PEXPIRETIME (from 7.0). */
  readonly expireTime: boolean;
  /** Hash fields that expire (Redis 7.4, Valkey 9). */
  readonly fieldExpiry: boolean;
  readonly memoryUsage: boolean;
  /** A stream's counts of entries ever added and read can be set (7.0, like PEXPIRETIME). */
  readonly streamCounters: boolean;
  /** XGROUP CREATECONSUMER (6.2). */
  readonly createConsumer: boolean;
  /** SET … PXAT (6.2). */
  readonly setExpiry: boolean;
  /** Strings go as they are (MGET, SET) rather than serialized: half the work for everybody. */
  readonly plain: boolean;
  select(database: number): Promise<void>;
  /** Like the connection's, but throws for the first error reply, as a failure of the table. */
  all(commands: readonly Command[]): Promise<Reply[]>;
  /** The same for one command about each of many keys. */
  each(question: EachKey): Promise<Reply[]>;
  /** Closes the connection, unless it was given open. */
  close(): void;
}

/** A key went, or became another type, between two commands about it. Whoever reads it begins again. */
export class KeyChanged extends Error {
  override readonly name = 'KeyChanged';
  constructor() {
    super('the key was changed while it was read');
  }
}

/** A key that nobody has: asking after it tells whether the server knows the command and lets us use it. */
const NOBODY = 'ferry:nobody';

export async function openSession(options: {
  server: ServerAddress | Connection;
  name: string;
  signal?: AbortSignal | undefined;
  /** Asks whether strings may be written, by a command that is refused in any case. A source may be holding writes just now. */
  toWrite?: boolean;
}): Promise<Session> {
  const { server, name, signal, toWrite = false } = options;
  const given = 'call' in server;
  const connection = given ? server : await openConnection({ address: server, name, signal });
  try {
    const probes: Command[] = [
      ['INFO', 'server'],
      ['PEXPIRETIME', NOBODY],
      ['HPEXPIRETIME', NOBODY, 'FIELDS', 1, 'f'],
      ['MEMORY', 'USAGE', NOBODY],
      // Reading everything would otherwise make everything look freshly used to the eviction (from 7.2).
      ['CLIENT', 'NO-TOUCH', 'ON'],
      // Known from 6.2; asked of a command of the same age that only reads.
      ['SMISMEMBER', NOBODY, 'm'],
      ['MGET', NOBODY],
      // A value without its key, and two conditions that exclude each other.
      ...(toWrite
        ? [
            ['MSET', NOBODY, '', NOBODY],
            ['SET', NOBODY, '', 'NX', 'XX'],
          ]
        : []),
    ];
    const [info, expireTime, fieldExpiry, memoryUsage, , multiple, mget, ...writes] =
      await connection.pipeline(probes);
    const text = info instanceof ReplyError || info === undefined ? '' : asText(info);
    const field = (name: string): string => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(text)?.[1] ?? '';
    const valkey = field('valkey_version');
    let selected: number | null = null;
    return {
      connection,
      product: valkey ? `Valkey ${valkey}` : `Redis ${field('redis_version') || '(unknown version)'}`,
      runId: field('run_id'),
      expireTime: !(expireTime instanceof ReplyError),
      fieldExpiry: !(fieldExpiry instanceof ReplyError),
      memoryUsage: !(memoryUsage instanceof ReplyError),
      streamCounters: !(expireTime instanceof ReplyError),
      createConsumer: !(multiple instanceof ReplyError),
      setExpiry: !(multiple instanceof ReplyError),
      plain:
        !(mget instanceof ReplyError) &&
        !writes.some((each) => each instanceof ReplyError && /^NOPERM|unknown command/i.test(each.message)),
      async select(database) {
        if (selected === database) return;
        await connection.call(['SELECT', database]).catch((error: unknown) => {
          throw failureOf({ error, command: ['SELECT'], where: connection.shown });
        });
        selected = database;
      },
      async all(commands) {
        const replies = await connection.pipeline(commands);
        throwFirst({ replies, commands, connection });
        return replies;
      },
      async each(question) {
        const replies = await connection.each(question);
        throwFirst({ replies, commands: [question.command], connection });
        return replies;
      },
      close: () => {
        if (!given) connection.close();
      },
    };
  } catch (error) {
    if (!given) connection.close();
    throw error;
  }
}

export function throwFirst(options: {
  replies: readonly Reply[];
  commands: readonly Command[];
  connection: Connection;
}): void {
  const { replies, commands, connection } = options;
  for (let i = 0; i < replies.length; i += 1) {
    const reply = replies[i];
    if (!(reply instanceof ReplyError)) continue;
    if (/^WRONGTYPE|^NOGROUP|no such key/i.test(reply.message)) throw new KeyChanged();
    throw failureOf({ error: reply, command: commands[i] ?? commands[0] ?? [], where: connection.shown });
  }
}

/** Two servers to work on, closed together. */
export interface Pair {
  source: Session;
  target: Session;
  close(): void;
}

export async function openPair(options: {
  source: ServerAddress | Connection;
  target: ServerAddress | Connection;
  name: string;
  signal?: AbortSignal | undefined;
  /** Asked once the connections stand and before anything is done on them; what it throws closes them. */
  confirm?: (() => Promise<void>) | undefined;
}): Promise<Pair> {
  const { name, signal } = options;
  const [source, target] = await Promise.allSettled([
    openSession({ server: options.source, name, signal }),
    openSession({ server: options.target, name, signal, toWrite: true }),
  ]);
  if (source.status === 'fulfilled' && target.status === 'fulfilled') {
    // Both sides are read the same way, or nothing could be compared.
    const plain = source.value.plain && target.value.plain && target.value.setExpiry;
    const pair: Pair = {
      source: { ...source.value, plain },
      target: { ...target.value, plain },
      close() {
        source.value.close();
        target.value.close();
      },
    };
    try {
      await options.confirm?.();
      return pair;
    } catch (error) {
      pair.close();
      throw error;
    }
  }
  if (source.status === 'fulfilled') source.value.close();
  if (target.status === 'fulfilled') target.value.close();
  throw source.status === 'rejected'
    ? source.reason
    : target.status === 'rejected'
      ? target.reason
      : new FerryError('Unknown', 'unreachable');
}

/** How long work in hand may take to end in order after an abort, before its connections are cut. */
const GRACE = 1_000;

/**
 * Runs work that ends by itself soon after `signal`; a server that hangs can't hold it, since `hard` fires a little
 * later and cuts the connections. What is thrown after an abort is of no interest: the result is `stopped()`.
 */
export async function endingGently<T>(options: {
  signal: AbortSignal;
  work: (hard: AbortSignal) => Promise<T>;
  stopped: () => T;
}): Promise<T> {
  const { signal, work, stopped } = options;
  if (signal.aborted) return stopped();
  const hard = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => hard.abort(), GRACE);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await work(hard.signal);
  } catch (error) {
    if (signal.aborted) return stopped();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
  }
}

/** Keys in the given databases. */
export async function countKeys({
  session,
  databases,
}: {
  session: Session;
  databases: readonly number[];
}): Promise<number[]> {
  const counts: number[] = [];
  for (const database of databases) {
    await session.select(database);
    const [size] = await session.all([['DBSIZE']]);
    counts.push(asNumber(size));
  }
  return counts;
}
