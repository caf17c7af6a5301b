/**
 * Connections to a Redis server, and the sentences that say why one failed.
 *
 * Nothing here reconnects, queues or resends: a command that was sent twice may write twice (`INCR`), and an attempt that
 * lost its connection has to look again before it acts again.
 */
import { isIP } from 'node:net';
import { Redis, type RedisOptions } from 'ioredis';
import { FerryError, type FailureType } from '../errors.js';
import { shown, type ServerAddress } from './address.js';
import { connectFailure, failureOf } from './resp-errors.js';
import { ReplyError } from './resp-parser.js';

export interface ConnectOptions {
  address: ServerAddress;
  /** CLIENT SETNAME; begins with `ferry:`. */
  name: string;
  database?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Until the server has answered. Default 5,000. */
  connectTimeoutMs?: number | undefined;
  /** The longest one command may take; default: as long as it takes. */
  commandTimeoutMs?: number | undefined;
}

type Place = Pick<ServerAddress, 'host' | 'port' | 'tls' | 'place'>;

/** A client that has logged in and answered a PING. @throws FerryError */
export async function connect(options: ConnectOptions): Promise<Redis> {
  const { address, signal } = options;
  signal?.throwIfAborted();
  const timeout = options.connectTimeoutMs ?? 5_000;
  const client = new Redis(clientOptions(options, timeout));
  places.set(client, address);
  let reason: unknown;
  // Without a listener ioredis prints errors on the console.
  client.on('error', (error: Error) => {
    reason ??= error;
  });
  // Kept for the life of the client: an aborted activity must not leave a command running.
  const abort = (): void => client.disconnect();
  signal?.addEventListener('abort', abort, { once: true });
  client.once('end', () => signal?.removeEventListener('abort', abort));
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    client.disconnect();
  }, timeout);
  try {
    await client.connect();
    await logIn(client, options);
    return client;
  } catch (error) {
    client.disconnect();
    signal?.throwIfAborted();
    if (error instanceof FerryError) throw error;
    if (timedOut) {
      const hint = address.tls ? ' (does it speak TLS on this port?)' : '';
      throw new FerryError(
        'Unreachable',
        `${shown(address)} did not answer within ${timeout / 1_000} s${hint}`,
      );
    }
    // The listener hears the cause; connect() itself only says that the connection is closed.
    if (isClosed(error) && (reason === undefined || codeOf(reason) === 'ECONNRESET')) {
      const hint = address.tls ? 'does it speak TLS on this port?' : 'does it want TLS, rediss://?';
      throw new FerryError('Unreachable', `${shown(address)} closed the connection at once (${hint})`);
    }
    throw redisFailure(isClosed(error) ? reason : error, address);
  } finally {
    clearTimeout(timer);
  }
}

function clientOptions(
  { address, commandTimeoutMs }: ConnectOptions,
  timeout: number,
): Omit<RedisOptions, 'replyMapping'> {
  return {
    host: address.host,
    port: address.port,
    ...(address.tls ? { tls: tlsOptions(address) } : {}),
    // RESP2: proxies and 6.0 know no other, and replies look the same everywhere.
    protocol: 2,
    lazyConnect: true,
    connectTimeout: timeout,
    ...(commandTimeoutMs === undefined ? {} : { commandTimeout: commandTimeoutMs }),
    retryStrategy: null,
    reconnectOnError: null,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    enableReadyCheck: false,
    disableClientInfo: true,
  };
}

export function tlsOptions({ host, tls }: ServerAddress) {
  const serverName = tls?.serverName ?? (isIP(host) ? undefined : host);
  return {
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    rejectUnauthorized: tls?.insecure !== true,
  };
}

// Not left to ioredis, which prints a warning on the console when a password wasn't needed.
async function logIn(client: Redis, { address, name, database }: ConnectOptions): Promise<void> {
  // With the user named, a server without a password takes any.
  if (address.password !== undefined)
    await client.call('AUTH', address.username ?? 'default', address.password);
  await ignoring(/NOPERM|unknown (sub)?command/i, () => client.call('CLIENT', 'SETNAME', name));
  if (database) await client.select(database);
  // Says LOADING or NOAUTH now rather than at the first real command. One that takes no writes since a save failed (MISCONF) says so to a
  // PING too: it can be asked, and told to save, which is what makes it well.
  await ignoring(/NOPERM|unknown command|MASTERDOWN|MISCONF/i, () => client.call('PING'));
}

async function ignoring(pattern: RegExp, act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!pattern.test(messageOf(error))) throw error;
  }
}

/** Connects, uses, closes always; whatever fails on the way is a FerryError. */
export async function withClient<T>(options: ConnectOptions, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = await connect(options);
  try {
    return await use(client);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw redisFailure(error, options.address);
  } finally {
    client.disconnect();
  }
}

/** The failure of a command on this client, by the address it is connected to. */
export function failureOn(client: Redis, error: unknown): FerryError {
  return redisFailure(error, placeOf(client));
}

/** Where a client is connected to. */
export function placeOf(client: Redis): Place {
  return places.get(client) ?? { host: client.options.host ?? '?', port: client.options.port ?? 0 };
}

/** What a client itself doesn't know of its server. */
const places = new WeakMap<Redis, Place>();

/**
 * Turns what a client throws into the table of failures, in the same words as the raw connections of resp.ts. The error isn't
 * kept as `cause`: ioredis puts the command's arguments on it, which for AUTH are the password.
 */
export function redisFailure(error: unknown, address: Place): FerryError {
  if (error instanceof FerryError) return error;
  const where = shown(address);
  const message = messageOf(error);
  if (codeOf(error) !== '' && error instanceof Error) return connectFailure({ error, where, address });
  for (const [pattern, type, says] of MORE)
    if (pattern.test(message)) return new FerryError(type, `${where} ${says}`);
  if (!(error instanceof Error) || error.name !== 'ReplyError')
    return new FerryError('Unknown', `${where}: ${message}`);
  return failureOf({ error: new ReplyError(message), command: commandOf(error), where });
}

/** What the client itself says, and replies of the server that matter here only. */
const MORE: readonly [RegExp, FailureType, string][] = [
  [/Connection is closed|due to connection close|isn't writeable/i, 'Unreachable', 'closed the connection'],
  [/Command timed out/i, 'Unreachable', 'did not answer a command in time'],
  [/^Protocol error|^Unknown RESP type/i, 'Unreachable', 'does not speak the Redis protocol on this port'],
  [
    /^NOREPLICAS/,
    'ReadOnlyTarget',
    'takes no writes: min-replicas-to-write asks for more replicas than it has',
  ],
  [/^MISCONF/, 'ReadOnlyTarget', 'takes no writes: its last save to disk failed'],
  [/^DENIED/, 'NotPermitted', 'takes no connections from other machines (protected mode)'],
  [
    /max(imum)? number of clients/i,
    'Unreachable',
    'takes no more connections: its limit (maxclients) is reached',
  ],
  [/DB index is out of range|invalid DB index/i, 'InvalidInput', 'has no database of that number'],
  [/unknown subcommand/i, 'NotPermitted', 'does not know that subcommand: switched off or too old'],
];

/** The command and its first argument; whoever shows it leaves out what isn't a subcommand. */
function commandOf(error: unknown): string[] {
  if (typeof error !== 'object' || error === null || !('command' in error)) return [];
  const command: unknown = error.command;
  if (
    typeof command !== 'object' ||
    command === null ||
    !('name' in command) ||
    typeof command.name !== 'string'
  )
    return [];
  const args: unknown = 'args' in command ? command.args : undefined;
  const first: unknown = Array.isArray(args) ? args[0] : undefined;
  return [command.name, ...(typeof first === 'string' ? [first] : [])].map((word) => word.toUpperCase());
}

function isClosed(error: unknown): boolean {
  return /Connection is closed|Command aborted due to connection close|max retries per request|isn't writeable/i.test(
    messageOf(error),
  );
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : '';
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
