/**
 * Reads RESP2 and RESP3 from chunks as they arrive.
 *
 * Each byte is looked at once, however the chunks are cut: unfinished arrays wait on a stack, and an unfinished bulk
 * string collects its chunks and is joined once. Replies are views into the chunks, not copies: whoever keeps one for
 * long copies it, or it holds on to 64 KB.
 */

/** An error reply of the server. `code` is its first word (`BUSYKEY`, `ERR`, …). */
export class ReplyError extends Error {
  override readonly name = 'ReplyError';
  readonly code: string;
  constructor(message: string) {
    super(message);
    const space = message.indexOf(' ');
    this.code = space < 0 ? message : message.slice(0, space);
  }
}

/** RESP3's maps come as flat lists of names and values, as RESP2 has them; its sets as lists. */
export type Reply = string | number | bigint | boolean | null | Buffer | ReplyError | Reply[];

interface Open {
  items: Reply[];
  missing: number;
  push: boolean;
  /** Attributes (`|`) stand before a reply and aren't part of it. */
  dropped: boolean;
}

export interface ParserEvents {
  onReply: (reply: Reply) => void;
  onPush: (message: Reply[]) => void;
}

/** Bulk strings of this size on collect their chunks. */
const COLLECTED_FROM = 4_096;
/** Holds any other item of a pipeline. */
const SHORT = 2 * COLLECTED_FROM;

const CR = 13;
const PLUS = 43;
const MINUS = 45;

export function createParser({ onReply, onPush }: ParserEvents): (chunk: Buffer) => void {
  let buffer: Buffer = Buffer.alloc(0);
  let at = 0;
  const stack: Open[] = [];
  // A bulk string whose end hasn't arrived: the chunks so far, and how many bytes it takes in all (with its \r\n).
  let parts: Buffer[] = [];
  let collected = 0;
  let wanted = 0;

  /** Hands a value to the aggregate it belongs to, and so on upwards as these become complete. */
  function give(value: Reply): void {
    let complete: Reply = value;
    for (;;) {
      const open = stack[stack.length - 1];
      if (!open) return onReply(complete);
      open.items.push(complete);
      open.missing -= 1;
      if (open.missing > 0) return;
      stack.pop();
      if (open.dropped) return;
      if (open.push) return onPush(open.items);
      complete = open.items;
    }
  }

  function begin(count: number, kind: { push?: boolean; dropped?: boolean } = {}): void {
    if (count > 0)
      stack.push({ items: [], missing: count, push: kind.push === true, dropped: kind.dropped === true });
    else if (kind.push) onPush([]);
    else if (!kind.dropped) give([]);
  }

  /** Where the number that begins at `from` ends: at its \r. -1 when that hasn't arrived. Its value is in `number`. */
  let number = 0;
  function readNumber(from: number): number {
    const sign = buffer[from];
    const negative = sign === MINUS;
    let value = 0;
    for (let i = negative || sign === PLUS ? from + 1 : from; i + 1 < buffer.length; i += 1) {
      const byte = buffer[i] ?? CR;
      if (byte === CR) {
        number = negative ? -value : value;
        return i;
      }
      value = value * 10 + byte - 48;
    }
    return -1;
  }

  /** Integers have up to 19 digits, of which a number holds 15 for certain. */
  function integer(from: number, to: number): number | bigint {
    if (to - from <= 15) return number;
    const exact = BigInt(buffer.toString('latin1', from, to));
    const near = Number(exact);
    return Number.isSafeInteger(near) ? near : exact;
  }

  /** One step: a line, and the bulk string that it announces. False when more bytes are needed. */
  function step(): boolean {
    const kind = buffer[at];
    const start = at + 1;
    // By hand, and these first: nearly all that a copy reads is lengths and short numbers.
    if (kind === 36 || kind === 58 || kind === 42) {
      const end = readNumber(start);
      if (end < 0) return false;
      if (kind === 36) return bulk(end);
      at = end + 2;
      if (kind === 58) give(integer(start, end));
      else if (number < 0) give(null);
      else begin(number);
      return true;
    }
    return rarer();
  }

  /** $ bulk string, = verbatim string, ! bulk error, of `number` bytes after the line that ends at `end`. */
  function bulk(end: number): boolean {
    const length = number;
    const from = end + 2;
    if (length < 0) {
      at = from;
      give(null);
      return true;
    }
    if (from + length + 2 > buffer.length) {
      // Not worth collecting while it would fit into what comes next anyway.
      if (length < COLLECTED_FROM) return false;
      wanted = from - at + length + 2;
      parts = [buffer.subarray(at)];
      collected = buffer.length - at;
      return false;
    }
    const kind = buffer[at];
    at = from + length + 2;
    if (kind === 36) give(buffer.subarray(from, from + length));
    else if (kind === 61) give(buffer.subarray(from + 4, from + length));
    else give(new ReplyError(buffer.toString('utf8', from, from + length)));
    return true;
  }

  function rarer(): boolean {
    const end = buffer.indexOf(CR, at + 1);
    if (end < 0 || end + 1 >= buffer.length) return false;
    const start = at + 1;
    switch (buffer[at]) {
      case 61: // = verbatim string
      case 33: // ! bulk error
        return bulk(readNumber(start));
      case 43: // + simple string
        at = end + 2;
        give(buffer.toString('latin1', start, end));
        return true;
      case 45: // - error
        at = end + 2;
        give(new ReplyError(buffer.toString('utf8', start, end)));
        return true;
      case 126: // ~ set
        at = readNumber(start) + 2;
        begin(number);
        return true;
      case 37: // % map
        at = readNumber(start) + 2;
        begin(number * 2);
        return true;
      case 124: // | attributes
        at = readNumber(start) + 2;
        begin(number * 2, { dropped: true });
        return true;
      case 62: // > push
        at = readNumber(start) + 2;
        begin(number, { push: true });
        return true;
      case 95: // _ null
        at = end + 2;
        give(null);
        return true;
      case 35: // # boolean
        at = end + 2;
        give(buffer[start] === 116);
        return true;
      case 44: // , double, as text: whoever needs it exactly has it exactly
        at = end + 2;
        give(buffer.toString('latin1', start, end));
        return true;
      case 40: // ( big number
        at = end + 2;
        give(BigInt(buffer.toString('latin1', start, end)));
        return true;
      default:
        throw new Error('this is not the Redis protocol');
    }
  }

  /** Reads the item whose beginning came with the chunk before. Only that is joined, not the whole chunk, if it is short. */
  function finish(rest: Buffer, chunk: Buffer): boolean {
    for (const end of chunk.length > SHORT ? [SHORT, chunk.length] : [chunk.length]) {
      buffer = Buffer.concat([rest, chunk.subarray(0, end)]);
      at = 0;
      wanted = 0;
      if (!step()) continue;
      buffer = chunk;
      at -= rest.length;
      return true;
    }
    return false;
  }

  return (chunk) => {
    if (wanted > 0) {
      parts.push(chunk);
      collected += chunk.length;
      if (collected < wanted) return;
      buffer = Buffer.concat(parts, collected);
      at = 0;
      parts = [];
      wanted = 0;
    } else if (at < buffer.length) {
      if (!finish(buffer.subarray(at), chunk) && wanted === 0) return;
    } else {
      buffer = chunk;
      at = 0;
    }
    while (wanted === 0 && at < buffer.length && step());
    if (wanted > 0 || at >= buffer.length) {
      buffer = Buffer.alloc(0);
      at = 0;
    }
  };
}
