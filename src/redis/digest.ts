/**
 * A fingerprint of a value that is read in pieces. Elements of sets, hashes and sorted sets are added up, so that their
 * order doesn't matter and nothing but two sums is kept; lists, strings and streams bring their order in by position.
 */
import type { PendingEntry, Piece } from './piece.js';

export interface Digest {
  add(piece: Piece): void;
  equals(other: Digest): boolean;
  /** Four 32-bit sums and the number of elements. */
  readonly sums: Uint32Array;
  readonly elements: number;
  /** What only newer servers tell: counts where both sides do. */
  readonly optional: ReadonlyMap<string, string>;
}

export function createDigest(type: string): Digest {
  const sums = new Uint32Array(4);
  const optional = new Map<string, string>();
  let elements = 0;
  const element = (...parts: (Buffer | number)[]): void => {
    elements += 1;
    addHash({ sums, parts });
  };

  function addStream(piece: Extract<Piece, { type: 'stream' }>): void {
    switch (piece.part) {
      case 'entries':
        for (const { id, fields } of piece.entries) element(text(id), ...fields);
        return;
      case 'group':
        element(text('group'), piece.name, text(piece.lastId));
        for (const consumer of piece.consumers) element(text('consumer'), piece.name, consumer);
        if (piece.entriesRead !== undefined)
          optional.set(`read ${piece.name.toString('latin1')}`, String(piece.entriesRead));
        return;
      case 'pending':
        for (const entry of piece.pending) element(...pendingParts(piece.group, entry));
        return;
      case 'end':
        element(text('last'), text(piece.lastId), piece.length);
        if (piece.entriesAdded !== undefined) optional.set('added', String(piece.entriesAdded));
        if (piece.maxDeletedId !== undefined) optional.set('deleted', piece.maxDeletedId);
    }
  }

  const digest: Digest = {
    sums,
    optional,
    get elements() {
      return elements;
    },
    add(piece) {
      switch (piece.type) {
        case 'string':
          return element(piece.offset, piece.bytes);
        case 'list':
          return piece.items.forEach((item, i) => element(piece.start + i, item));
        case 'set':
          return piece.members.forEach((member) => element(member));
        case 'zset':
          // By the double that the text names: versions write one number in different ways.
          return piece.members.forEach(({ member, score }) => element(member, scoreOf(score)));
        case 'hash':
          return piece.fields.forEach(({ field, value, expireAt }) => element(field, value, expireAt));
        default:
          return addStream(piece);
      }
    },
    equals(other) {
      if (other.elements !== elements) return false;
      if (!sums.every((sum, i) => sum === other.sums[i])) return false;
      for (const [name, value] of optional)
        if (other.optional.has(name) && other.optional.get(name) !== value) return false;
      return true;
    },
  };
  addHash({ sums, parts: [text(type)] });
  return digest;
}

/** When it was delivered is left out: a command can set it only to the millisecond in which it runs. */
function pendingParts(group: Buffer, { id, consumer, deliveries }: PendingEntry): (Buffer | number)[] {
  return [text('pending'), group, text(id), consumer, deliveries];
}

/**
 * "inf", "-inf" and numbers as servers write them. -0 counts as 0: by command and by DUMP it arrives as it is, but a server drops
 * its sign when it makes a set small again, as on a restart (7.0 and later).
 */
function scoreOf(score: Buffer): number {
  const written = score.toString('latin1');
  if (/^[+-]?inf/i.test(written)) return written.startsWith('-') ? -Infinity : Infinity;
  return Number(written) + 0;
}

function text(value: string): Buffer {
  return Buffer.from(value, 'latin1');
}

// A Buffer like all the other parts, so that the loop over them is compiled for one kind of bytes.
const doubleBytes = Buffer.alloc(8);
const double = new DataView(doubleBytes.buffer, doubleBytes.byteOffset, doubleBytes.length);

/**
 * Adds a hash of the parts, each with its length, to the sums: two lanes over the bytes, four at a time (after xxHash). It is
 * to catch accidents, not forgeries. The `| 0` change no bit that counts; with them the engine calculates with integers.
 */
export function addHash({ sums, parts }: { sums: Uint32Array; parts: readonly (Buffer | number)[] }): void {
  let a = 0xdeadbeef | 0;
  let b = 0x41c6ce57;
  for (const part of parts) {
    const isNumber = typeof part === 'number';
    if (isNumber) double.setFloat64(0, part);
    const bytes: Buffer = isNumber ? doubleBytes : part;
    const { length } = bytes;
    a = Math.imul(a ^ length, 0x85ebca77);
    b = Math.imul(b ^ length, 0x27d4eb2f);
    const whole = length - (length % 4);
    for (let i = 0; i < whole; i += 4) {
      const word =
        (bytes[i] ?? 0) |
        ((bytes[i + 1] ?? 0) << 8) |
        ((bytes[i + 2] ?? 0) << 16) |
        ((bytes[i + 3] ?? 0) << 24);
      a = Math.imul(turned((a + Math.imul(word, 0x85ebca77)) | 0, 13), 0x9e3779b1);
      b = (Math.imul(turned(b ^ word, 11), 0x5f356495) + a) | 0;
    }
    for (let i = whole; i < length; i += 1) {
      const byte = bytes[i] ?? 0;
      a = Math.imul(turned((a + Math.imul(byte, 0x165667b1)) | 0, 11), 0x9e3779b1);
      b = (Math.imul(turned(b ^ byte, 19), 0x5f356495) + a) | 0;
    }
  }
  a = mix(a ^ (b >>> 15), b);
  b = mix(b ^ (a >>> 13), a);
  sums[0] = (sums[0] ?? 0) + a;
  sums[1] = (sums[1] ?? 0) + b;
  sums[2] = (sums[2] ?? 0) + mix(a, 0x1b873593);
  sums[3] = (sums[3] ?? 0) + mix(b, 0xcc9e2d51);
}

/** Bits turned round to the left: a multiplication carries upwards only. */
function turned(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}

function mix(value: number, other: number): number {
  let x = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35) ^ Math.imul(other ^ (other >>> 15), 0x2c1b3c6d);
  return x ^ (x >>> 16);
}

export function hexOf(sums: Uint32Array): string {
  return Array.from(sums, (sum) => sum.toString(16).padStart(8, '0')).join('');
}

export function sumsOf(hex: string): Uint32Array {
  const sums = new Uint32Array(4);
  for (let i = 0; i < 4; i += 1) sums[i] = Number.parseInt(hex.slice(8 * i, 8 * i + 8) || '0', 16);
  return sums;
}
