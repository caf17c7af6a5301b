/**
 * Streams in pieces: entries, then groups with their consumers and pending entries, then the counters.
 *
 * What no command can set is left out: when a consumer was last seen. DUMP carries it.
 */
import type { Counts, PendingEntry, StreamEntry, StreamPiece } from './piece.js';
import { asBuffer, asList, asNumber, asText, type Command, type Reply } from './resp.js';
import type { Session } from './session.js';
import { milliseconds } from './ttl.js';

interface Read {
  session: Session;
  key: Buffer;
}

const PENDING_COUNT = 1_000;

export async function* readStream({
  session,
  key,
  counts,
}: Read & { counts: Counts }): AsyncGenerator<StreamPiece> {
  const groups = await readGroups({ session, key });
  const withPending = groups.filter((group) => group.pending > 0).map((group) => group.name);
  let length = 0;
  let leadingGhosts = 0;
  const innerGhosts: string[] = [];
  for (let start = '0-0', last = false, first = true; !last; first = false) {
    const asked = counts.next();
    const [reply] = await session.all([['XRANGE', key, start, '+', 'COUNT', asked]]);
    const entries = asList(reply).map((entry): StreamEntry => {
      const [id, fields] = asList(entry);
      return { id: asText(id), fields: asList(fields).map(asBuffer) };
    });
    const end = entries.at(-1)?.id;
    last = entries.length < asked || end === undefined;
    const ghosts = await ghostsBetween({
      session,
      key,
      groups: withPending,
      start,
      end: last ? '+' : (end ?? '+'),
      entries,
    });
    const leading =
      length > 0
        ? 0
        : ghosts.filter((id) => entries[0] === undefined || compareIds(id, entries[0].id) < 0).length;
    leadingGhosts += leading;
    innerGhosts.push(...ghosts.slice(leading));
    length += entries.length;
    if (entries.length > 0 || ghosts.length > 0 || first)
      yield { type: 'stream', part: 'entries', entries, ghosts, first };
    counts.got(
      entries.reduce(
        (sum, { fields }) => sum + 24 + fields.reduce((bytes, part) => bytes + part.length, 0),
        0,
      ),
      entries.length,
    );
    if (end !== undefined) start = idAfter(end);
  }
  yield* readGroupPieces({ session, key });
  yield { ...(await readEnd({ session, key })), length, innerGhosts, leadingGhosts };
}

/** What changes without being reported: groups, consumers, pending entries, counters. */
export async function* readStreamState({ session, key }: Read): AsyncGenerator<StreamPiece> {
  yield* readGroupPieces({ session, key });
  yield await readEnd({ session, key });
}

async function readEnd({ session, key }: Read): Promise<Extract<StreamPiece, { part: 'end' }>> {
  const [info] = await session.all([['XINFO', 'STREAM', key]]);
  const about = fieldsOf(info);
  return {
    type: 'stream',
    part: 'end',
    length: asNumber(about.get('length')),
    lastId: asText(about.get('last-generated-id')),
    entriesAdded: about.has('entries-added') ? asNumber(about.get('entries-added')) : undefined,
    maxDeletedId: about.has('max-deleted-entry-id') ? asText(about.get('max-deleted-entry-id')) : undefined,
    innerGhosts: [],
    leadingGhosts: 0,
  };
}

async function* readGroupPieces({ session, key }: Read): AsyncGenerator<StreamPiece> {
  for (const { name, lastId, entriesRead, pending } of await readGroups({ session, key })) {
    const [reply] = await session.all([['XINFO', 'CONSUMERS', key, name]]);
    const consumers = asList(reply).map((consumer) => asBuffer(fieldsOf(consumer).get('name')));
    yield { type: 'stream', part: 'group', name, lastId, entriesRead, consumers };
    if (pending === 0) continue;
    for await (const page of readPending({ session, key, group: name, start: '-', end: '+' }))
      yield { type: 'stream', part: 'pending', group: name, pending: page };
  }
}

interface Group {
  name: Buffer;
  lastId: string;
  pending: number;
  /** Null: the server lost count. Undefined: it doesn't count (before 7.0). */
  entriesRead: number | null | undefined;
}

async function readGroups({ session, key }: Read): Promise<Group[]> {
  const [reply] = await session.all([['XINFO', 'GROUPS', key]]);
  return asList(reply).map((group) => {
    const about = fieldsOf(group);
    const read = about.get('entries-read');
    return {
      name: asBuffer(about.get('name')),
      lastId: asText(about.get('last-delivered-id')),
      pending: asNumber(about.get('pending')),
      entriesRead: read === undefined || read === null ? read : asNumber(read),
    };
  });
}

async function* readPending(
  options: Read & { group: Buffer; start: string; end: string },
): AsyncGenerator<PendingEntry[]> {
  const { session, key, group, end } = options;
  let start = options.start;
  for (;;) {
    const page = await pendingPage({ session, key, group, start, end });
    if (page.length > 0) yield page;
    const last = page.at(-1);
    if (page.length < PENDING_COUNT || !last) return;
    start = idAfter(last.id);
  }
}

/** The server says how long ago an entry was delivered; when, follows where two TIMEs around it show the same millisecond. */
async function pendingPage(
  options: Read & { group: Buffer; start: string; end: string },
): Promise<PendingEntry[]> {
  const { session, key, group, start, end } = options;
  for (let attempt = 1; ; attempt += 1) {
    const [from, reply, to] = await session.all([
      ['TIME'],
      ['XPENDING', key, group, start, end, PENDING_COUNT],
      ['TIME'],
    ]);
    const now = milliseconds(from);
    // A large page may never fit into a millisecond; one more or less in a delivery time does no harm.
    if (now !== milliseconds(to) && attempt < 3) continue;
    return asList(reply).map((item) => {
      const [id, consumer, idle, deliveries] = asList(item);
      return {
        id: asText(id),
        consumer: asBuffer(consumer),
        deliveredAt: now - asNumber(idle),
        deliveries: asNumber(deliveries),
      };
    });
  }
}

async function ghostsBetween(
  options: Read & {
    groups: readonly Buffer[];
    start: string;
    end: string;
    entries: readonly StreamEntry[];
  },
): Promise<string[]> {
  const { session, key, groups, start, end, entries } = options;
  if (groups.length === 0) return [];
  const there = new Set(entries.map(({ id }) => id));
  const ghosts = new Set<string>();
  for (const group of groups)
    for await (const page of readPending({ session, key, group, start, end }))
      for (const { id } of page) if (!there.has(id)) ghosts.add(id);
  return [...ghosts].sort(compareIds);
}

/** Commands to add a piece to a stream at the target. */
export function writeStreamPiece({
  session,
  key,
  piece,
}: {
  session: Session;
  key: Buffer;
  piece: StreamPiece;
}): Command[] {
  switch (piece.part) {
    case 'entries': {
      const ids = [
        ...piece.entries.map(({ id, fields }) => ({ id, fields })),
        ...piece.ghosts.map((id) => ({ id, fields: GHOST })),
      ];
      if (piece.ghosts.length > 0) ids.sort((a, b) => compareIds(a.id, b.id));
      return [
        // An empty stream comes into being only with a group.
        ...(piece.first
          ? [
              ['XGROUP', 'CREATE', key, 'ferry', '0', 'MKSTREAM'],
              ['XGROUP', 'DESTROY', key, 'ferry'],
            ]
          : []),
        ...ids.map(({ id, fields }): Command => ['XADD', key, id, ...fields]),
      ];
    }
    case 'group': {
      const { name, lastId, entriesRead, consumers } = piece;
      const read =
        session.streamCounters && typeof entriesRead === 'number' ? ['ENTRIESREAD', entriesRead] : [];
      return [
        ['XGROUP', 'CREATE', key, name, lastId, ...read],
        ...consumers.map((consumer): Command =>
          session.createConsumer
            ? ['XGROUP', 'CREATECONSUMER', key, name, consumer]
            : // In 6.0 a consumer comes into being by reading; its own history is empty, so nothing is delivered.
              ['XREADGROUP', 'GROUP', name, consumer, 'COUNT', 1, 'STREAMS', key, '0'],
        ),
      ];
    }
    case 'pending':
      return piece.pending.map(({ id, consumer, deliveredAt, deliveries }): Command => {
        const when = ['TIME', deliveredAt, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID'];
        return ['XCLAIM', key, piece.group, consumer, 0, id, ...when];
      });
    default: {
      const { length, lastId, entriesAdded, maxDeletedId, innerGhosts, leadingGhosts } = piece;
      const commands: Command[] = [];
      for (let i = 0; i < innerGhosts.length; i += 1_000)
        commands.push(['XDEL', key, ...innerGhosts.slice(i, i + 1_000)]);
      if (leadingGhosts > 0) commands.push(['XTRIM', key, 'MAXLEN', length]);
      const counters = session.streamCounters
        ? ['ENTRIESADDED', entriesAdded ?? length, 'MAXDELETEDID', maxDeletedId ?? '0-0']
        : [];
      commands.push(['XSETID', key, lastId, ...counters]);
      return commands;
    }
  }
}

const GHOST = [Buffer.from('ferry'), Buffer.alloc(0)];

function fieldsOf(reply: Reply | undefined): Map<string, Reply> {
  const list = asList(reply);
  const map = new Map<string, Reply>();
  for (let i = 0; i + 1 < list.length; i += 2) map.set(asText(list[i]), list[i + 1] ?? null);
  return map;
}

const MOST_SEQUENCE = 2n ** 64n - 1n;

function parseId(id: string): [bigint, bigint] {
  const [time, sequence] = id.split('-');
  return [BigInt(time ?? 0), BigInt(sequence ?? 0)];
}

/** Ranges that leave out their start (`(id`) exist only from 6.2. */
function idAfter(id: string): string {
  const [time, sequence] = parseId(id);
  return sequence === MOST_SEQUENCE ? `${time + 1n}-0` : `${time}-${sequence + 1n}`;
}

function compareIds(a: string, b: string): number {
  const [timeA, sequenceA] = parseId(a);
  const [timeB, sequenceB] = parseId(b);
  if (timeA !== timeB) return timeA < timeB ? -1 : 1;
  return sequenceA < sequenceB ? -1 : sequenceA > sequenceB ? 1 : 0;
}
