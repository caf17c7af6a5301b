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

const CR = 13;

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

  /** The number between `from` and `to`. By hand: most of what a copy reads is lengths. */
  function integer(from: number, to: number): number | bigint {
    let i = from;
    const negative = buffer[i] === 45;
    if (negative || buffer[i] === 43) i += 1;
    if (to - i > 15) {
      const exact = BigInt(buffer.toString('latin1', from, to));
      const rounded = Number(exact);
      return Number.isSafeInteger(rounded) ? rounded : exact;
    }
    let value = 0;
    for (; i < to; i += 1) value = value * 10 + (buffer[i] ?? 48) - 48;
    return negative ? -value : value;
  }

  /** One step: a line, and the bulk string that it announces. False when more bytes are needed. */
  function step(): boolean {
    const end = buffer.indexOf(CR, at + 1);
    if (end < 0 || end + 1 >= buffer.length) return false;
    const start = at + 1;
    switch (buffer[at]) {
      case 36: // $ bulk string
      case 61: // = verbatim string
      case 33: {
        // ! bulk error
        const length = Number(integer(start, end));
        if (length < 0) {
          at = end + 2;
          give(null);
          return true;
        }
        const from = end + 2;
        if (from + length + 2 > buffer.length) {
          // Not worth collecting while it would fit into what comes next anyway.
          if (length < 4096) return false;
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
      case 43: // + simple string
        at = end + 2;
        give(buffer.toString('latin1', start, end));
        return true;
      case 45: // - error
        at = end + 2;
        give(new ReplyError(buffer.toString('utf8', start, end)));
        return true;
      case 58: // : integer
        at = end + 2;
        give(integer(start, end));
        return true;
      case 42: // * array
      case 126: {
        // ~ set
        const count = Number(integer(start, end));
        at = end + 2;
        if (count < 0) give(null);
        else begin(count);
        return true;
      }
      case 37: // % map
        at = end + 2;
        begin(Number(integer(start, end)) * 2);
        return true;
      case 124: // | attributes
        at = end + 2;
        begin(Number(integer(start, end)) * 2, { dropped: true });
        return true;
      case 62: // > push
        at = end + 2;
        begin(Number(integer(start, end)), { push: true });
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

  return (chunk) => {
    if (wanted > 0) {
      parts.push(chunk);
      collected += chunk.length;
      if (collected < wanted) return;
      buffer = Buffer.concat(parts, collected);
      at = 0;
      parts = [];
      wanted = 0;
    } else {
      buffer = at < buffer.length ? Buffer.concat([buffer.subarray(at), chunk]) : chunk;
      at = 0;
    }
    while (at < buffer.length && step());
    if (wanted > 0 || at >= buffer.length) {
      buffer = Buffer.alloc(0);
      at = 0;
    }
  };
}
