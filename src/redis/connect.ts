/**
 * Connections to a Redis server, and the sentences that say why one failed.
 *
 * Nothing here reconnects, queues or resends: a command that was sent twice may write twice (`INCR`), and an attempt that
 * lost its connection has to look again before it acts again.
 */
import { isIP } from 'node:net';
import { Redis, type RedisOptions } from 'ioredis';
import { FerryError } from '../errors.js';
import { shown, type ServerAddress } from './address.js';

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

type Place = Pick<ServerAddress, 'host' | 'port'>;

/** A client that has logged in and answered a PING. @throws FerryError */
export async function connect(options: ConnectOptions): Promise<Redis> {
  const { address, signal } = options;
  signal?.throwIfAborted();
  const timeout = options.connectTimeoutMs ?? 5_000;
  const client = new Redis(clientOptions(options, timeout));
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
    if (timedOut)
      throw new FerryError('Unreachable', `${shown(address)} did not answer within ${timeout / 1_000} s`);
    // The listener hears the cause; connect() itself only says that the connection is closed.
    throw redisFailure(isClosed(error) && reason ? reason : error, address, {
      tls: address.tls !== undefined,
    });
  } finally {
    clearTimeout(timer);
  }
}

function clientOptions({ address, commandTimeoutMs }: ConnectOptions, timeout: number): Omit<RedisOptions, 'replyMapping'> {
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

function tlsOptions({ host, tls }: ServerAddress) {
  const serverName = tls?.serverName ?? (isIP(host) ? undefined : host);
  return {
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    rejectUnauthorized: tls?.insecure !== true,
  };
}

// Not left to ioredis, which prints a warning on the console when a password wasn't needed.
async function logIn(client: Redis, { address, name, database }: ConnectOptions): Promise<void> {
  if (address.password !== undefined) {
    try {
      await (address.username
        ? client.call('AUTH', address.username, address.password)
        : client.call('AUTH', address.password));
    } catch (error) {
      // A server without a password takes everybody in; a URL that still holds one is no harm.
      if (!/no password is set|without any password configured/i.test(messageOf(error))) throw error;
    }
  }
  await ignoring(/NOPERM|unknown (sub)?command/i, () => client.call('CLIENT', 'SETNAME', name));
  if (database) await client.select(database);
  // Says LOADING, NOAUTH or MASTERDOWN now rather than at the first real command.
  await ignoring(/NOPERM|unknown command|MASTERDOWN/i, () => client.call('PING'));
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
  return redisFailure(error, { host: client.options.host ?? '?', port: client.options.port ?? 0 });
}

/**
 * Turns what a client throws into the table of failures. The error isn't kept as `cause`: ioredis puts the command's
 * arguments on it, which for AUTH are the password.
 */
export function redisFailure(error: unknown, address: Place, options?: { tls?: boolean }): FerryError {
  if (error instanceof FerryError) return error;
  const at = shown(address);
  const message = messageOf(error);
  return (
    networkFailure({ code: codeOf(error), message, at, tls: options?.tls === true }) ??
    replyFailure({ message, at, command: commandOf(error) }) ??
    new FerryError('Unknown', `${at} answered: ${firstLine(message)}`)
  );
}

const NETWORK: Record<string, string> = {
  ECONNREFUSED: 'refuses connections: nothing listens there',
  ENOTFOUND: 'is not known: the name does not resolve',
  EAI_AGAIN: 'can not be looked up now: the name server did not answer',
  ETIMEDOUT: 'did not answer in time',
  EHOSTUNREACH: 'can not be reached: no route to the host',
  ENETUNREACH: 'can not be reached: no route to the network',
  ECONNRESET: 'closed the connection',
  EPIPE: 'closed the connection',
};

const TLS: Record<string, string> = {
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an authority that is not known here',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an authority that is not known here',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate comes from an authority that is not known here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an authority that is not known here',
  CERT_SIGNATURE_FAILURE: 'the CA given did not sign its certificate',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  CERT_REVOKED: 'its certificate was revoked',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS on this port (redis:// instead of rediss://?)',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS on this port (redis:// instead of rediss://?)',
  EPROTO: 'the handshake failed',
};

function networkFailure(input: {
  code: string;
  message: string;
  at: string;
  tls: boolean;
}): FerryError | undefined {
  const { code, message, at, tls } = input;
  const tlsCause =
    TLS[code] ?? (/^ERR_(SSL|TLS)_|^CERT_/.test(code) ? code.toLowerCase().replaceAll('_', ' ') : undefined);
  if (tlsCause !== undefined) return new FerryError('TlsFailed', `${at}: ${tlsCause}`);
  const noPem = /PEM|no start line/i.test(message) && code.startsWith('ERR_OSSL');
  if (noPem) return new FerryError('TlsFailed', `${at}: the CA given is not a PEM certificate`);
  if (
    tls &&
    (code === 'ECONNRESET' || isClosed(message) || /socket disconnected before secure/i.test(message))
  ) {
    return new FerryError(
      'TlsFailed',
      `${at}: it closed the connection during the handshake (does it speak TLS on this port?)`,
    );
  }
  const network = NETWORK[code];
  if (network !== undefined) return new FerryError('Unreachable', `${at} ${network}`);
  if (isClosed(message)) return new FerryError('Unreachable', `${at} closed the connection`);
  if (/Command timed out/i.test(message))
    return new FerryError('Unreachable', `${at} did not answer a command in time`);
  // A TLS server answers plain text with an alert or with nothing.
  if (/Protocol error/i.test(message)) {
    return new FerryError(
      'Unreachable',
      `${at} does not speak the Redis protocol on this port (rediss:// instead of redis://?)`,
    );
  }
  return undefined;
}

function replyFailure({
  message,
  at,
  command,
}: {
  message: string;
  at: string;
  command: string;
}): FerryError | undefined {
  const failure = (type: ConstructorParameters<typeof FerryError>[0], text: string) =>
    new FerryError(type, `${at} ${text}`);
  if (/^NOAUTH|Authentication required/i.test(message))
    return failure('WrongPassword', 'asks for a password, and none is given');
  if (/^WRONGPASS|invalid password|invalid username-password/i.test(message)) {
    return failure('WrongPassword', 'does not accept the user or the password');
  }
  if (/wrong number of arguments for 'auth'/i.test(message)) {
    return failure('WrongPassword', 'knows no users (before 6.0): leave the user name out of the URL');
  }
  if (/^NOPERM/i.test(message)) {
    return /keys? /i.test(message) && !/run the/i.test(message)
      ? failure('NotPermitted', `does not let this user touch every key${command ? ` (${command})` : ''}`)
      : failure('NotPermitted', `does not let this user run ${command || deniedCommand(message)}`);
  }
  if (/unknown (sub)?command/i.test(message)) {
    return failure(
      'NotPermitted',
      `does not know the command ${command || deniedCommand(message)}: renamed, switched off or too old`,
    );
  }
  if (/^DENIED/i.test(message))
    return failure('NotPermitted', 'refuses connections from other machines (protected mode)');
  if (/^LOADING/i.test(message)) return failure('Loading', 'is still loading its data');
  if (/^MASTERDOWN/i.test(message))
    return failure('Unreachable', 'is a replica that has lost its primary, and answers nothing');
  if (/max(imum)? number of clients/i.test(message))
    return failure('Unreachable', 'takes no more connections: its limit (maxclients) is reached');
  if (/READONLY/.test(message)) return failure('ReadOnlyTarget', 'is a replica and takes no writes');
  if (/NOREPLICAS/.test(message))
    return failure(
      'ReadOnlyTarget',
      'takes no writes: min-replicas-to-write asks for more replicas than it has',
    );
  if (/^MISCONF/.test(message))
    return failure('ReadOnlyTarget', 'takes no writes: its last save to disk failed');
  if (/^(-?OOM)|command not allowed when used memory/i.test(message))
    return failure('TargetOutOfMemory', 'is out of memory (maxmemory)');
  if (/^(MOVED|ASK|CLUSTERDOWN|CROSSSLOT|TRYAGAIN)\b|cluster mode/i.test(message))
    return failure('ClusterMode', 'runs in cluster mode');
  if (/DB index is out of range|invalid DB index/i.test(message))
    return failure('InvalidInput', 'has no database of that number');
  return undefined;
}

function deniedCommand(message: string): string {
  return /'([^']{1,60})'/.exec(message)?.[1]?.toUpperCase() ?? 'a command';
}

/** The command's name, with the subcommand where the name alone says too little; never other arguments. */
function commandOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('command' in error)) return '';
  const command: unknown = error.command;
  if (
    typeof command !== 'object' ||
    command === null ||
    !('name' in command) ||
    typeof command.name !== 'string'
  )
    return '';
  const name = command.name.toUpperCase();
  const first: unknown = 'args' in command && Array.isArray(command.args) ? command.args[0] : undefined;
  return CONTAINERS.has(name) && typeof first === 'string' && /^[a-z-]{1,20}$/i.test(first)
    ? `${name} ${first.toUpperCase()}`
    : name;
}

const CONTAINERS = new Set([
  'CLIENT',
  'CONFIG',
  'ACL',
  'SCRIPT',
  'FUNCTION',
  'MODULE',
  'MEMORY',
  'OBJECT',
  'XGROUP',
  'XINFO',
  'DEBUG',
  'COMMAND',
]);

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

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').slice(0, 200);
}
