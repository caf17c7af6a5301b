/**
 * A raw Redis connection: pipelines of commands out, replies in.
 *
 * It never reconnects and never resends: after a broken connection nobody knows which commands were run, so whoever
 * called decides what to look at again. Binary throughout. What is in flight is bounded by the callers, which await
 * one pipeline before they send the one after next.
 */
import { EventEmitter } from 'node:events';
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { FerryError } from '../errors.js';
import { shown, type ServerAddress } from './address.js';
import { createParser, ReplyError, type Reply } from './resp-parser.js';
import { connectFailure, replyFailure } from './resp-errors.js';

export { ReplyError, type Reply } from './resp-parser.js';

export type Argument = Buffer | string | number;
export type Command = readonly Argument[];

/** A command whose last argument is the key: `['PEXPIRETIME']`, `['MEMORY', 'USAGE']`. */
export interface EachKey {
  command: readonly string[];
  keys: readonly Buffer[];
}

export interface Connection {
  /** `host:port` */
  readonly shown: string;
  /** One command. Throws FerryError for an error reply that the table of failures knows, else ReplyError. */
  call(command: Command): Promise<Reply>;
  /** Many commands in one write. Error replies stand in the result; only a broken connection rejects. */
  pipeline(commands: readonly Command[]): Promise<Reply[]>;
  /** The same command about each of many keys, in one write. */
  each(question: EachKey): Promise<Reply[]>;
  /** Ends it at once. What is in flight rejects. */
  close(): void;
  /** Resolves when the connection has ended, with the reason. */
  readonly closed: Promise<Error>;
}

export interface ConnectionOptions {
  address: ServerAddress;
  /** CLIENT SETNAME. */
  name: string;
  /** 3 for push messages. Replies read the same with both. */
  protocol?: 2 | 3 | undefined;
  onPush?: ((message: Reply[]) => void) | undefined;
  /** Milliseconds, login included. Default 5,000. */
  connectTimeout?: number | undefined;
  /** Milliseconds without a byte while replies are awaited. Default 15,000. */
  idleTimeout?: number | undefined;
  /** Ends the connection. */
  signal?: AbortSignal | undefined;
}

const CONNECT_TIMEOUT = 5_000;
const IDLE_TIMEOUT = 15_000;

/** Values from this size on are written as they are rather than copied into the pipeline's buffer. */
const BY_REFERENCE = 16_384;

interface Waiting {
  replies: Reply[];
  missing: number;
  resolve: (replies: Reply[]) => void;
  reject: (reason: Error) => void;
}

export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const { address, name, protocol = 2, onPush, signal } = options;
  const where = shown(address);
  const idleTimeout = options.idleTimeout ?? IDLE_TIMEOUT;
  const waiting: Waiting[] = [];
  let first = 0; // waiting[0..first) are answered: shifting a long array for each reply would be slow
  let ended: Error | null = null;
  let lastByte = performance.now();

  const socket = dial(address);
  const closing = new EventEmitter();
  const closed = new Promise<Error>((resolve) => {
    closing.once('closed', resolve);
  });

  function end(reason: Error): void {
    if (ended) return;
    ended = reason;
    clearInterval(watch);
    signal?.removeEventListener('abort', onAbort);
    socket.destroy();
    for (let i = first; i < waiting.length; i += 1) waiting[i]?.reject(reason);
    waiting.length = 0;
    first = 0;
    closing.emit('closed', reason);
  }

  const onAbort = (): void => end(new FerryError('Unreachable', `${where}: the connection was given up`));
  const watch = setInterval(
    () => {
      if (first < waiting.length && performance.now() - lastByte > idleTimeout)
        end(new FerryError('Unreachable', `${where} did not answer for ${Math.round(idleTimeout / 1000)} s`));
    },
    Math.min(1_000, idleTimeout / 2),
  );
  watch.unref();
  if (signal?.aborted) onAbort();
  else signal?.addEventListener('abort', onAbort, { once: true });

  const parse = createParser({
    onReply(reply) {
      const entry = waiting[first];
      if (!entry) throw new Error('a reply that nobody asked for');
      entry.replies.push(reply);
      entry.missing -= 1;
      if (entry.missing > 0) return;
      first += 1;
      if (first > 1024 || first === waiting.length) {
        waiting.splice(0, first);
        first = 0;
      }
      entry.resolve(entry.replies);
    },
    onPush: (message) => onPush?.(message),
  });

  socket.on('data', (chunk: Buffer) => {
    lastByte = performance.now();
    try {
      parse(chunk);
    } catch (error) {
      end(
        new FerryError('Unreachable', `${where}: ${error instanceof Error ? error.message : String(error)}`),
      );
    }
  });
  socket.on('error', (error) => end(connectFailure({ error, where, address })));
  socket.on('close', () => end(new FerryError('Unreachable', `${where} closed the connection`)));

  /** Everything asked for in one turn of the event loop goes out in one write. */
  let corked = false;
  function send(count: number, write: () => void): Promise<Reply[]> {
    if (ended) return Promise.reject(ended);
    if (count === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      if (first === waiting.length) lastByte = performance.now();
      waiting.push({ replies: [], missing: count, resolve, reject });
      if (!corked) {
        corked = true;
        socket.cork();
        process.nextTick(() => {
          corked = false;
          socket.uncork();
        });
      }
      write();
    });
  }

  const pipeline = (commands: readonly Command[]): Promise<Reply[]> =>
    send(commands.length, () => writeCommands(socket, commands));

  const connection: Connection = {
    shown: where,
    closed,
    pipeline,
    each: (question) => send(question.keys.length, () => socket.write(encodeEach(question))),
    async call(command) {
      const [reply] = await pipeline([command]);
      if (reply instanceof ReplyError) throw replyFailure({ error: reply, command, where });
      return reply ?? null;
    },
    close: () => end(new FerryError('Unreachable', `${where}: the connection is closed`)),
  };

  const connectTimeout = options.connectTimeout ?? CONNECT_TIMEOUT;
  const tooLong = setTimeout(() => {
    // A plain port takes a TLS greeting for half a line and waits for the rest.
    const hint = address.tls && !socket.connecting ? ' (does it speak TLS on this port?)' : '';
    end(new FerryError('Unreachable', `${where} did not answer within ${connectTimeout / 1000} s${hint}`));
  }, connectTimeout);
  try {
    await Promise.race([connected(socket, address), closed.then((reason) => Promise.reject(reason))]);
    socket.setNoDelay(true);
    // A peer that vanishes without a word would otherwise leave a connection that only listens open for ever.
    socket.setKeepAlive(true, 10_000);
    await logIn({ connection, address, name, protocol });
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    clearTimeout(tooLong);
  }
  return connection;
}

/** A socket on its way to a server. */
export function dial(address: ServerAddress): Socket {
  const { host, port, tls } = address;
  if (!tls) return connectPlain({ host, port });
  const serverName = tls.serverName ?? (isIP(host) ? undefined : host);
  return connectTls({
    host,
    port,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    rejectUnauthorized: tls.insecure !== true,
  });
}

/** Resolves once it stands, TLS included; never rejects. */
export function connected(socket: Socket, address: ServerAddress): Promise<void> {
  return new Promise((resolve) => socket.once(address.tls ? 'secureConnect' : 'connect', () => resolve()));
}

async function logIn(options: {
  connection: Connection;
  address: ServerAddress;
  name: string;
  protocol: 2 | 3;
}): Promise<void> {
  const { connection, address, name, protocol } = options;
  // With the user named, a server without a password takes any; AUTH with a password alone would be an error there.
  const login = address.password === undefined ? [] : [address.username ?? 'default', address.password];
  if (protocol === 3) await connection.call(['HELLO', 3, ...(login.length > 0 ? ['AUTH', ...login] : [])]);
  else if (login.length > 0) await connection.call(['AUTH', ...login]);
  // One round trip tells whether it wants a password, is loading, or isn't Redis; the name is a courtesy, and may be forbidden.
  const [ping] = await connection.pipeline([['PING'], ['CLIENT', 'SETNAME', name.replace(/[^!-~]/g, '_')]]);
  if (ping instanceof ReplyError && ping.code !== 'NOPERM')
    throw replyFailure({ error: ping, command: ['PING'], where: connection.shown });
}

/** Writes commands with as few buffers as possible: one for all the small parts, long values as they are. */
function writeCommands(socket: Socket, commands: readonly Command[]): void {
  let size = 0;
  for (const command of commands) {
    size += 16;
    for (const argument of command) size += 32 + (typeof argument === 'string' ? argument.length * 3 : 24);
    for (const argument of command)
      if (Buffer.isBuffer(argument) && argument.length < BY_REFERENCE) size += argument.length;
  }
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  let sent = 0;
  for (const command of commands) {
    at = header(out, at, 42, command.length);
    for (const argument of command) {
      if (typeof argument !== 'object') {
        const text = typeof argument === 'string' ? argument : String(argument);
        const length = Buffer.byteLength(text);
        at = header(out, at, 36, length);
        if (length === text.length && length < 32)
          for (let i = 0; i < length; i += 1) out[at + i] = text.charCodeAt(i);
        else out.write(text, at, 'utf8');
        at += length;
      } else {
        at = header(out, at, 36, argument.length);
        if (argument.length < BY_REFERENCE) {
          out.set(argument, at);
          at += argument.length;
        } else {
          socket.write(out.subarray(sent, at));
          socket.write(argument);
          sent = at;
        }
      }
      out[at] = 13;
      out[at + 1] = 10;
      at += 2;
    }
  }
  socket.write(out.subarray(sent, at));
}

function encodeEach({ command, keys }: EachKey): Buffer {
  const words = command.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  const head = Buffer.from(`*${command.length + 1}\r\n${words.join('')}`);
  let size = keys.length * (head.length + 16);
  for (const key of keys) size += key.length;
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const key of keys) {
    out.set(head, at);
    at = header(out, at + head.length, 36, key.length);
    out.set(key, at);
    at += key.length;
    out[at] = 13;
    out[at + 1] = 10;
    at += 2;
  }
  return out.subarray(0, at);
}

/** `*3\r\n` or `$12\r\n`, by hand: a small pipeline has thousands of them. */
function header(out: Buffer, at: number, kind: number, value: number): number {
  out[at] = kind;
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.trunc(rest / 10)) digits += 1;
  let rest = value;
  for (let i = at + digits; i > at; i -= 1) {
    out[i] = 48 + (rest % 10);
    rest = Math.trunc(rest / 10);
  }
  const end = at + digits + 1;
  out[end] = 13;
  out[end + 1] = 10;
  return end + 2;
}

/** Narrowing of replies. A server that answers otherwise isn't one we can work with. */
export function asBuffer(reply: Reply | undefined): Buffer {
  if (Buffer.isBuffer(reply)) return reply;
  if (typeof reply === 'string') return Buffer.from(reply, 'latin1');
  throw unexpected(reply, 'a string');
}

export function asText(reply: Reply | undefined): string {
  if (Buffer.isBuffer(reply)) return reply.toString('utf8');
  if (typeof reply === 'string') return reply;
  if (typeof reply === 'number' || typeof reply === 'bigint') return String(reply);
  throw unexpected(reply, 'a string');
}

export function asNumber(reply: Reply | undefined): number {
  if (typeof reply === 'number') return reply;
  if (typeof reply === 'bigint') return Number(reply);
  throw unexpected(reply, 'a number');
}

export function asList(reply: Reply | undefined): Reply[] {
  if (Array.isArray(reply)) return reply;
  throw unexpected(reply, 'a list');
}

/** Error replies are thrown as they are, so that callers who know one better can look at its code. */
function unexpected(reply: Reply | undefined, wanted: string): Error {
  if (reply instanceof ReplyError) return reply;
  return new FerryError(
    'Unknown',
    `The server answered ${reply === null ? 'nothing' : typeof reply} instead of ${wanted}`,
  );
}
