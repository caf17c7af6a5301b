/**
 * A value read and written in pieces of about 1 MB: for keys whose DUMP would stall the server for everybody (a hash
 * of a million fields: 0.87 s), and for telling whether two values are equal where the formats differ. One reader and
 * one writer for each type.
 *
 * A value that changes while it is read comes out mixed (a list shifts under us, say). That is no loss: the tracker
 * reports the key and it is copied again.
 */
import { FerryError } from '../errors.js';
import { printable } from './difference.js';
import { asBuffer, asList, asNumber, asText, type Command } from './resp.js';
import type { Session } from './session.js';
import type { Counts, Piece } from './piece.js';
import { readStream, writeStreamPiece } from './pieces-stream.js';

const PIECE_BYTES = 1024 * 1024;
const FIRST_COUNT = 100;
/** However small the elements: more of them at once would keep the server's other clients waiting. */
const MOST_COUNT = 2_000;

interface Read {
  session: Session;
  key: Buffer;
}

/** Null when the key doesn't exist. */
export async function keyType({ session, key }: Read): Promise<string | null> {
  const [type] = await session.all([['TYPE', key]]);
  const text = asText(type);
  return text === 'none' ? null : text;
}

/** Types that only DUMP can carry (those of modules) are refused by name. */
export function isReadable(type: string): boolean {
  return type in READERS;
}

export function readPieces({ session, key, type }: Read & { type: string }): AsyncGenerator<Piece> {
  const reader = READERS[type];
  if (!reader) throw new Error(`keys of type ${type} can't be read in pieces`);
  return reader({ session, key });
}

const READERS: Record<string, (read: Read) => AsyncGenerator<Piece>> = {
  string: readString,
  list: readList,
  set: readSet,
  zset: readSortedSet,
  hash: readHash,
  stream: (read) => readStream({ ...read, counts: startCounts() }),
};

function startCounts(): Counts {
  let count = FIRST_COUNT;
  return {
    next: () => count,
    got(bytes, elements) {
      if (elements === 0) return;
      const fitting = Math.floor(PIECE_BYTES / (bytes / elements + 1));
      count = Math.max(1, Math.min(MOST_COUNT, count * 4, fitting));
    },
  };
}

async function* readString({ session, key }: Read): AsyncGenerator<Piece> {
  for (let offset = 0; ; offset += PIECE_BYTES) {
    const [reply] = await session.all([['GETRANGE', key, offset, offset + PIECE_BYTES - 1]]);
    const bytes = asBuffer(reply);
    // The empty string has one piece, which is empty.
    if (bytes.length > 0 || offset === 0) yield { type: 'string', offset, bytes };
    if (bytes.length < PIECE_BYTES) return;
  }
}

async function* readList({ session, key }: Read): AsyncGenerator<Piece> {
  const counts = startCounts();
  for (let start = 0; ;) {
    const asked = counts.next();
    const [reply] = await session.all([['LRANGE', key, start, start + asked - 1]]);
    const items = asList(reply).map(asBuffer);
    if (items.length > 0) yield { type: 'list', start, items };
    if (items.length < asked) return;
    start += items.length;
    counts.got(bytesOf(items), items.length);
  }
}

/** SSCAN, HSCAN, ZSCAN: every element that is there all along comes at least once. */
async function* scanElements({ session, key, verb }: Read & { verb: string }): AsyncGenerator<Buffer[]> {
  const counts = startCounts();
  let cursor = '0';
  do {
    const asked = counts.next();
    const [reply] = await session.all([[verb, key, cursor, 'COUNT', asked]]);
    const [next, elements] = asList(reply);
    cursor = asText(next);
    const parts = asList(elements).map(asBuffer);
    if (parts.length > 0) yield parts;
    counts.got(bytesOf(parts), parts.length);
  } while (cursor !== '0');
}

async function* readSet(read: Read): AsyncGenerator<Piece> {
  for await (const members of scanElements({ ...read, verb: 'SSCAN' })) yield { type: 'set', members };
}

async function* readSortedSet(read: Read): AsyncGenerator<Piece> {
  for await (const parts of scanElements({ ...read, verb: 'ZSCAN' })) {
    // Scores stay the text they came as (17 digits, which name a double exactly): nothing is rounded on the way.
    yield { type: 'zset', members: pairs(parts).map(([member, score]) => ({ member, score })) };
  }
}

async function* readHash(read: Read): AsyncGenerator<Piece> {
  const { session, key } = read;
  for await (const parts of scanElements({ ...read, verb: 'HSCAN' })) {
    const fields = pairs(parts);
    const expiries = session.fieldExpiry
      ? await fieldExpiries({ session, key, fields: fields.map(([field]) => field) })
      : [];
    yield {
      type: 'hash',
      fields: fields.flatMap(([field, value], i) => {
        const expireAt = expiries[i] ?? -1;
        // -2: the field went in between.
        return expireAt === -2 ? [] : [{ field, value, expireAt }];
      }),
    };
  }
}

async function fieldExpiries({ session, key, fields }: Read & { fields: Buffer[] }): Promise<number[]> {
  const [reply] = await session.all([['HPEXPIRETIME', key, 'FIELDS', fields.length, ...fields]]);
  // Nothing at all: the key went in between (7.4).
  return reply === null ? fields.map(() => -2) : asList(reply).map(asNumber);
}

/** Commands to add a piece to a key at the target. @throws FerryError where the target has no such thing */
export function writePiece({
  session,
  key,
  piece,
  named = key,
}: {
  session: Session;
  key: Buffer;
  piece: Piece;
  /** What it is called in failures, where the key has another name for a while. */
  named?: Buffer;
}): Command[] {
  switch (piece.type) {
    case 'string':
      return piece.offset === 0
        ? [['SET', key, piece.bytes]]
        : [['SETRANGE', key, piece.offset, piece.bytes]];
    case 'list':
      return [['RPUSH', key, ...piece.items]];
    case 'set':
      return [['SADD', key, ...piece.members]];
    case 'zset':
      return writeSortedSet(key, piece);
    case 'hash':
      return writeHash({ session, key, piece, named });
    default:
      return writeStreamPiece({ session, key, piece });
  }
}

/**
 * A small sorted set drops the sign of a -0 that it is given (7.0 and later, measured); one that has held a long member isn't small
 * any more, and keeps it.
 */
const LONG = Buffer.alloc(4_096, 'ferry:long:');

function writeSortedSet(key: Buffer, piece: Extract<Piece, { type: 'zset' }>): Command[] {
  const add: Command = ['ZADD', key, ...piece.members.flatMap(({ member, score }) => [score, member])];
  if (!piece.members.some(({ score }) => score.toString('latin1') === '-0')) return [add];
  return [['ZADD', key, 0, LONG], add, ['ZREM', key, LONG]];
}

function writeHash(options: {
  session: Session;
  key: Buffer;
  piece: Extract<Piece, { type: 'hash' }>;
  named: Buffer;
}): Command[] {
  const { session, key, piece, named } = options;
  if (piece.fields.length === 0) return [];
  const commands: Command[] = [['HSET', key, ...piece.fields.flatMap(({ field, value }) => [field, value])]];
  const expiring = new Map<number, Buffer[]>();
  for (const { field, expireAt } of piece.fields) {
    if (expireAt < 0) continue;
    const fields = expiring.get(expireAt);
    if (fields) fields.push(field);
    else expiring.set(expireAt, [field]);
  }
  if (expiring.size > 0 && !session.fieldExpiry) {
    throw new FerryError(
      'FormatRefused',
      `${session.connection.shown} (${session.product}) has no hash fields that expire, which the key ${printable(named)} has at the source`,
    );
  }
  for (const [expireAt, fields] of expiring)
    commands.push(['HPEXPIREAT', key, expireAt, 'FIELDS', fields.length, ...fields]);
  return commands;
}

function bytesOf(parts: readonly Buffer[]): number {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  return bytes;
}

function pairs(parts: readonly Buffer[]): [Buffer, Buffer][] {
  const list: [Buffer, Buffer][] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const [a, b] = [parts[i], parts[i + 1]];
    if (a && b) list.push([a, b]);
  }
  return list;
}
