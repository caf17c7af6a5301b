/** Keys as the server serializes them: DUMP on one side, RESTORE with the absolute expiry on the other. */
import { FerryError } from '../errors.js';
import { printable } from './difference.js';
import { FOOTER, formatOf } from './format.js';
import { failureOf } from './resp-errors.js';
import { asBuffer, asNumber, ReplyError, type Command } from './resp.js';
import type { Session } from './session.js';
import { expiryCommand, NO_EXPIRY, NO_KEY, settleExpiries } from './ttl.js';

export interface DumpedKey {
  key: Buffer;
  /** Null when there is no such key. */
  payload: Buffer | null;
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
  const replies = await session.all(
    keys.flatMap((key): Command[] => [['DUMP', key], expiryCommand(session, key)]),
  );
  const answers = keys.map((_, i) => asNumber(replies[2 * i + 1]));
  const times = await settleExpiries({ session, keys, answers });
  return keys.map((key, i) => {
    const payload = replies[2 * i] ?? null;
    const expireAt = times[i] ?? NO_EXPIRY;
    return { key, payload: payload === null || expireAt === NO_KEY ? null : asBuffer(payload), expireAt };
  });
}

export function restoreCommand({
  dumped,
  replace,
}: {
  dumped: DumpedKey & { payload: Buffer };
  replace: boolean;
}): Command {
  const { key, payload, expireAt } = dumped;
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
export function sameBody(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && a.compare(b, 0, b.length - FOOTER, 0, a.length - FOOTER) === 0;
}

/**
 * RDB type bytes that certainly aren't streams (rdb.h of Redis to 8.6 and of Valkey to 9). An unknown one may be a
 * newer form of stream, and to take a key for a stream costs only one more look at it.
 */
const NO_STREAM = new Set([0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20, 22, 23, 24, 25]);

export function maybeStream(payload: Buffer): boolean {
  return !NO_STREAM.has(payload[0] ?? 0);
}
