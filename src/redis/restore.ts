/**
 * Keys as the server serializes them: DUMP on one side, RESTORE with the absolute expiry on the other. Strings go as they are:
 * the same to the bit, and half the work for both servers (no checksum, no try to compress).
 */
import { FerryError } from '../errors.js';
import { printable } from './difference.js';
import { FOOTER, formatOf } from './format.js';
import { failureOf } from './resp-errors.js';
import { asBuffer, asList, asNumber, ReplyError, type Command } from './resp.js';
import type { Session } from './session.js';
import { expiryCommand, expiryVerb, NO_EXPIRY, NO_KEY, settleExpiries } from './ttl.js';

export interface DumpedKey {
  key: Buffer;
  /** Null when there is no such key. */
  payload: Buffer | null;
  /** The payload is a string's value, not its serialized form. */
  plain: boolean;
  /** Milliseconds since 1970, or NO_EXPIRY, or NO_KEY. */
  expireAt: number;
}

export async function dumpKeys({
  session,
  keys,
}: {
  session: Session;
  keys: readonly Buffer[];
}): Promise<DumpedKey[]> {
  const read = await readStrings({ session, keys });
  const rest = read.flatMap(({ payload, expireAt }, i) =>
    payload === null && expireAt !== NO_KEY ? [i] : [],
  );
  const serialized = await dumpSerialized({ session, keys: rest.map((i) => keys[i] ?? Buffer.alloc(0)) });
  rest.forEach((at, i) => {
    const one = serialized[i];
    if (one) read[at] = one;
  });
  return read;
}

/** Of the keys that are strings, the values; where they may not go as they are, none. */
export async function readStrings({
  session,
  keys,
}: {
  session: Session;
  keys: readonly Buffer[];
}): Promise<DumpedKey[]> {
  if (keys.length === 0) return [];
  if (!session.plain) return keys.map((key) => ({ key, payload: null, plain: false, expireAt: NO_EXPIRY }));
  const [[strings], answers] = await Promise.all([
    session.all([['MGET', ...keys]]),
    session.each({ command: [expiryVerb(session)], keys }),
  ]);
  const values = asList(strings);
  const times = await settleExpiries({ session, keys, answers: answers.map(asNumber) });
  return keys.map((key, i): DumpedKey => {
    const expireAt = times[i] ?? NO_EXPIRY;
    const value = expireAt === NO_KEY ? null : (values[i] ?? null);
    // None: not a string, or it came into being just now.
    return { key, payload: value === null ? null : asBuffer(value), plain: value !== null, expireAt };
  });
}

async function dumpSerialized({
  session,
  keys,
}: {
  session: Session;
  keys: readonly Buffer[];
}): Promise<DumpedKey[]> {
  const replies = await session.all(
    keys.flatMap((key): Command[] => [['DUMP', key], expiryCommand(session, key)]),
  );
  const answers = keys.map((_, i) => asNumber(replies[2 * i + 1]));
  const times = await settleExpiries({ session, keys, answers });
  return keys.map((key, i) => {
    const dump = replies[2 * i] ?? null;
    const expireAt = times[i] ?? NO_EXPIRY;
    const payload = dump === null || expireAt === NO_KEY ? null : asBuffer(dump);
    return { key, payload, plain: false, expireAt };
  });
}

export function restoreCommand({
  dumped,
  replace,
}: {
  dumped: DumpedKey & { payload: Buffer };
  replace: boolean;
}): Command {
  const { key, payload, plain, expireAt } = dumped;
  if (plain)
    return ['SET', key, payload, ...(expireAt >= 0 ? ['PXAT', expireAt] : []), ...(replace ? [] : ['NX'])];
  const command: (Buffer | string | number)[] = ['RESTORE', key, Math.max(0, expireAt), payload];
  if (replace) command.push('REPLACE');
  if (expireAt >= 0) command.push('ABSTTL');
  return command;
}

/** The failure that RESTORE's refusal means. */
export function restoreFailure(options: {
  error: ReplyError;
  key: Buffer;
  payload: Buffer;
  source: Session;
  target: Session;
}): FerryError {
  const { error, key, payload, source, target } = options;
  const here = `${target.connection.shown} (${target.product})`;
  if (/version or checksum/i.test(error.message)) {
    return new FerryError(
      'FormatRefused',
      `${here} does not take the format of ${source.connection.shown} (${source.product}, format ${formatOf(payload)}), in which alone the key ${printable(key)} can be carried`,
    );
  }
  if (/bad data format/i.test(error.message)) {
    return new FerryError(
      'FormatRefused',
      `${here} does not know the type of the key ${printable(key)} of ${source.connection.shown} (${source.product}), or has another version of its module`,
    );
  }
  return failureOf({ error, command: ['RESTORE'], where: target.connection.shown });
}

/** Whether two payloads hold the same, whatever the versions that wrote them. Unequal ones may still be equal by value. */
export function sameBody(a: DumpedKey, b: DumpedKey): boolean {
  if (a.payload === null || b.payload === null || a.plain !== b.plain) return false;
  const end = a.payload.length - (a.plain ? 0 : FOOTER);
  return a.payload.length === b.payload.length && a.payload.compare(b.payload, 0, end, 0, end) === 0;
}

/**
 * RDB type bytes that certainly aren't streams (rdb.h of Redis to 8.6 and of Valkey to 9). An unknown one may be a
 * newer form of stream, and to take a key for a stream costs only one more look at it.
 */
const NO_STREAM = new Set([0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20, 22, 23, 24, 25]);

export function maybeStream({ payload, plain }: DumpedKey): boolean {
  return payload !== null && !plain && !NO_STREAM.has(payload[0] ?? 0);
}

/** What tells one value from another: the server's own checksum, or the string itself. */
export function fingerprint({ payload, plain }: DumpedKey): Buffer {
  if (payload === null) return Buffer.alloc(0);
  return plain ? payload : payload.subarray(-8);
}
