/** Listing keys, and cutting the list into groups that fit into memory. */
import { isOurs } from './our-keys.js';
import type { Pace } from './rate.js';
import { asBuffer, asList, asNumber, asText, type Command } from './resp.js';
import type { Session } from './session.js';

export interface ScanBatch {
  keys: Buffer[];
  /** From where to go on after this batch; "0" after the last. */
  next: string;
}

/**
 * A key that is there all along comes at least once, perhaps twice; also when the scan is resumed from a
 * cursor, as long as the server wasn't restarted (its hash seed makes the order).
 */
export async function* scanKeys(options: {
  session: Session;
  match: string;
  cursor?: string | undefined;
  pace: Pace;
}): AsyncGenerator<ScanBatch> {
  const { session, match, pace } = options;
  let cursor = options.cursor ?? '0';
  do {
    const count = pace.batch();
    const command: Command =
      match === '*' ? ['SCAN', cursor, 'COUNT', count] : ['SCAN', cursor, 'MATCH', match, 'COUNT', count];
    const [reply] = await pace.run({ keys: 0, work: () => session.all([command]) });
    const [next, keys] = asList(reply);
    cursor = asText(next);
    yield { keys: asList(keys).map(asBuffer), next: cursor };
  } while (cursor !== '0');
}

/** `scanKeys` without the keys that Redis Ferry made for itself. */
export async function* scanForeignKeys(options: Parameters<typeof scanKeys>[0]): AsyncGenerator<ScanBatch> {
  for await (const { keys, next } of scanKeys(options))
    yield { keys: keys.filter((key) => !isOurs(key)), next };
}

export interface KeyGroup {
  keys: Buffer[];
  /** Too big for one DUMP. */
  big: Buffer[];
  /** Set on the last group of a batch: after it the batch is done. */
  next: string | null;
}

/** Bytes of memory at the source that one group may have: what is in flight is a few of these. */
const GROUP_BYTES = 4 * 1024 * 1024;

export async function* groupBySize(options: {
  batches: AsyncIterable<ScanBatch>;
  bigKey: number;
  /** Bytes of each. */
  weigh: (keys: readonly Buffer[]) => Promise<number[]>;
}): AsyncGenerator<KeyGroup> {
  const { batches, bigKey, weigh } = options;
  for await (const { keys, next } of batches) {
    const groups = cut({ keys, sizes: await weigh(keys), bigKey });
    for (const [i, group] of groups.entries())
      yield { ...group, next: i === groups.length - 1 ? next : null };
  }
}

export function cut(options: {
  keys: readonly Buffer[];
  sizes: readonly number[];
  bigKey: number;
}): { keys: Buffer[]; big: Buffer[] }[] {
  const { keys, sizes, bigKey } = options;
  let group: { keys: Buffer[]; big: Buffer[] } = { keys: [], big: [] };
  const groups = [group];
  let bytes = 0;
  keys.forEach((key, i) => {
    const size = sizes[i] ?? 0;
    if (size > bigKey) {
      group.big.push(key);
      return;
    }
    if (bytes > 0 && bytes + size > GROUP_BYTES) {
      group = { keys: [], big: [] };
      groups.push(group);
      bytes = 0;
    }
    group.keys.push(key);
    bytes += size;
  });
  return groups;
}

/** Bytes a key takes at the server; samples, so that a huge one isn't walked through. 0 for a missing one. */
export async function keySizes({
  session,
  keys,
}: {
  session: Session;
  keys: readonly Buffer[];
}): Promise<number[]> {
  if (session.memoryUsage) {
    const replies = await session.each({ command: ['MEMORY', 'USAGE'], keys });
    return replies.map((reply) => (reply === null ? 0 : asNumber(reply)));
  }
  const types = await session.each({ command: ['TYPE'], keys });
  const lengths = await session.connection.pipeline(
    keys.map((key, i): Command => [LENGTH[asText(types[i])] ?? 'EXISTS', key]),
  );
  // A key may have changed its type in between: an error reply then, and any size will do.
  return lengths.map((reply, i) =>
    typeof reply === 'number' ? reply * (asText(types[i]) === 'string' ? 1 : ELEMENT_BYTES) : 0,
  );
}

const LENGTH: Record<string, string> = {
  string: 'STRLEN',
  list: 'LLEN',
  set: 'SCARD',
  zset: 'ZCARD',
  hash: 'HLEN',
  stream: 'XLEN',
};

/** A guess, for servers that don't let us ask. */
const ELEMENT_BYTES = 128;

/** Reads one item ahead, so that the next is being fetched while this one is worked on. */
export async function* ahead<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const { done, value } = await next;
      if (done) return;
      next = iterator.next();
      // Its failure is thrown where it is awaited; until then nobody may call it unhandled.
      next.catch(() => {});
      yield value;
    }
  } finally {
    await next.catch(() => {});
    await iterator.return?.();
  }
}

/** The results in the order of the items, with so many of them being worked on at a time. */
export async function* overlapped<T, R>(options: {
  items: AsyncIterable<T>;
  work: (item: T) => Promise<R>;
  atOnce: () => number;
}): AsyncGenerator<R> {
  const { items, work, atOnce } = options;
  const running: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const result = work(item);
      // Its failure is thrown where it is awaited; until then nobody may call it unhandled.
      result.catch(() => {});
      running.push(result);
      for (let next; running.length >= atOnce() && (next = running.shift());) yield await next;
    }
    for (let next; (next = running.shift());) yield await next;
  } finally {
    await Promise.allSettled(running);
  }
}
