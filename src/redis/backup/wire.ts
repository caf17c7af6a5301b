/**
 * Asks a server for a snapshot of everything it holds, as a replica would: PSYNC. The server forks once, writes an RDB file and sends
 * it. Nothing is told of the capability "eof", so that the length comes first and a cut connection shows; and it is asked
 * by "rdb-only" to keep no changes for us meanwhile. The connection ends with the last byte: no replica stays behind.
 */
import type { Socket } from 'node:net';
import { FerryError } from '../../errors.js';
import { shown, type ServerAddress } from '../address.js';
import { connected, dial } from '../resp.js';
import { ReplyError } from '../resp-parser.js';
import { connectFailure, failureOf } from '../resp-errors.js';

export interface Snapshot {
  /** Of the stream of changes, and how far it was as the server forked. */
  replicationId: string;
  offset: number;
  /** Resolves with the length once the server has written the file. */
  length: () => Promise<number>;
  /** The file, after `length`. */
  chunks: () => AsyncIterable<Buffer>;
  /** Harmless when it has ended. */
  close: () => void;
}

export interface SnapshotOptions {
  address: ServerAddress;
  /** CLIENT SETNAME. */
  name: string;
  signal: AbortSignal;
  /** The longest without a byte, in milliseconds. A server that is still writing sends one every ten seconds. */
  idleMs?: number | undefined;
}

const CONNECT_MS = 5_000;
const IDLE_MS = 60_000;
const LONGEST_LINE = 65_536;

/** Returns as the server has forked. @throws FerryError; the signal's reason when aborted */
export async function openSnapshot(options: SnapshotOptions): Promise<Snapshot> {
  const { address, name, signal, idleMs = IDLE_MS } = options;
  const where = shown(address);
  signal.throwIfAborted();
  const socket = dial(address);
  // Whoever reads hears of it; without a listener the process would end.
  socket.on('error', () => undefined);
  const abort = (): void => void socket.destroy();
  signal.addEventListener('abort', abort, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', abort));
  const give = (why: string) => () =>
    socket.destroy(new FerryError('Unreachable', `${where} did not ${why}`));
  const late = setTimeout(give(`answer within ${CONNECT_MS / 1_000} s`), CONNECT_MS);
  const reader = readerOf(socket, (error) => {
    signal.throwIfAborted();
    return error instanceof FerryError ? error : connectFailure({ error, where, address });
  });
  try {
    await Promise.race([connected(socket, address), reader.failed]);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 10_000);
    await logIn({ socket, reader, address, name, where });
    clearTimeout(late);
    socket.setTimeout(idleMs, give(`send anything for ${Math.round(idleMs / 1_000)} s`));
    // 6.2 and later know it; a server that doesn't does no harm.
    await ask(socket, reader, ['REPLCONF', 'rdb-only', '1']);
    const reply = await ask(socket, reader, ['PSYNC', '?', '-1']);
    const [, replicationId, offset] = /^\+FULLRESYNC (\S+) (\d+)/.exec(reply) ?? [];
    if (replicationId === undefined) throw refused(reply, where);
    return {
      replicationId,
      offset: Number(offset),
      async length() {
        const line = await reader.line();
        const length = /^\$(\d+)$/.exec(line ?? '')?.[1];
        if (length === undefined) throw notSent({ where, line });
        return Number(length);
      },
      chunks: () => reader.bytes(where),
      close: abort,
    };
  } catch (error) {
    clearTimeout(late);
    socket.destroy();
    signal.throwIfAborted();
    throw error;
  }
}

interface Reader {
  /** The next line, without the bytes that keep the connection alive; null at the end. */
  line: () => Promise<string | null>;
  bytes: (where: string) => AsyncIterable<Buffer>;
  failed: Promise<never>;
}

/** Reads no faster than it is asked to: what isn't taken waits at the server. */
function readerOf(socket: Socket, failureFrom: (error: Error) => Error): Reader {
  const incoming = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let kept: Buffer = Buffer.alloc(0);
  let expected = 0;
  const failed = new Promise<never>((_, fail) => {
    const over = (error: Error): void => {
      try {
        fail(failureFrom(error));
      } catch (reason) {
        fail(reason instanceof Error ? reason : new Error('aborted'));
      }
    };
    socket.once('error', over);
    socket.once('close', () => over(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
  });
  // It is listened to while connecting only.
  failed.catch(() => undefined);

  async function more(): Promise<Buffer | null> {
    try {
      const { done, value } = await incoming.next();
      return done === true ? null : value;
    } catch (error) {
      throw failureFrom(error instanceof Error ? error : new Error(String(error)));
    }
  }

  return {
    failed,
    async line() {
      for (;;) {
        while (kept[0] === 10) kept = kept.subarray(1);
        const end = kept.indexOf('\r\n');
        if (end >= 0) {
          const line = kept.subarray(0, end).toString('latin1');
          kept = kept.subarray(end + 2);
          const length = /^\$(\d+)$/.exec(line)?.[1];
          if (length !== undefined) expected = Number(length);
          return line;
        }
        if (kept.length > LONGEST_LINE) return kept.subarray(0, 40).toString('latin1');
        const chunk = await more();
        if (chunk === null) return null;
        kept = Buffer.concat([kept, chunk]);
      }
    },
    async *bytes(where) {
      let missing = expected;
      for (let chunk: Buffer | null = kept; missing > 0; chunk = await more()) {
        if (chunk === null)
          throw new FerryError(
            'BackupFailed',
            `${where} closed the connection after ${expected - missing} of ${expected} bytes of its snapshot`,
          );
        const part = chunk.subarray(0, missing);
        missing -= part.length;
        if (part.length > 0) yield part;
      }
      socket.destroy();
    },
  };
}

async function ask(socket: Socket, reader: Reader, words: readonly string[]): Promise<string> {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  socket.write(`*${words.length}\r\n${parts.join('')}`);
  return (await reader.line()) ?? '';
}

async function logIn(on: {
  socket: Socket;
  reader: Reader;
  address: ServerAddress;
  name: string;
  where: string;
}): Promise<void> {
  const { socket, reader, address, name, where } = on;
  if (address.password !== undefined) {
    const reply = await ask(socket, reader, ['AUTH', address.username ?? 'default', address.password]);
    if (!reply.startsWith('+')) throw answered(reply, ['AUTH'], where);
  }
  // A courtesy that may be forbidden; and it tells whether there is a Redis at all.
  const reply = await ask(socket, reader, ['CLIENT', 'SETNAME', name.replace(/[^!-~]/g, '_')]);
  if (!/^(\+|-NOPERM|-ERR unknown)/.test(reply)) throw answered(reply, ['CLIENT', 'SETNAME'], where);
}

function answered(reply: string, command: readonly string[], where: string): FerryError {
  if (reply.startsWith('-')) return failureOf({ error: new ReplyError(reply.slice(1)), command, where });
  return new FerryError(
    'Unreachable',
    reply === ''
      ? `${where} closed the connection at once (does it want TLS, rediss://?)`
      : `${where} does not speak the Redis protocol on this port`,
  );
}

function refused(reply: string, where: string): FerryError {
  if (/^-NOPERM|^-ERR unknown command/i.test(reply))
    return new FerryError(
      'NotPermitted',
      `${where} does not allow PSYNC, by which the backup is read. Grant +psync and +replconf to the user, skip the step, or start with backup: false and take a backup in another way`,
    );
  if (/^-(LOADING|MASTERDOWN|NOAUTH|WRONGPASS)/.test(reply)) return answered(reply, ['PSYNC'], where);
  return new FerryError(
    'BackupFailed',
    reply.startsWith('-')
      ? `${where} could not begin a snapshot: ${reply.slice(1, 200)}`
      : `${where} closed the connection when it was asked for a snapshot`,
  );
}

function notSent({ where, line }: { where: string; line: string | null }): FerryError {
  return new FerryError(
    'BackupFailed',
    line?.startsWith('$EOF') === true
      ? `${where} sends its snapshot without a length, so that it could not be told from half of one`
      : `${where} could not write its snapshot: its own log says why (its disk, its memory, or a fork that failed)`,
  );
}
