/**
 * Looks at a primary and its follower: whether the way back is open, and for how long the link could be down before it closes.
 * Equal offsets are not equal data: a command that the older server doesn't know leaves the link up and the offsets equal
 * while its keys go their own way (measured with HEXPIRE and FUNCTION LOAD), so what it answers with an error is counted.
 */
import type { Redis } from 'ioredis';
import { parseInfo } from '../info.js';
import { countersOf, type Counters } from './metrics.js';
import { parseRole, type Role } from './role.js';

export interface Look {
  /** Milliseconds since 1970, by the worker. */
  at: number;
  primary: Role;
  follower: Role;
  /** Bytes that the follower is behind. */
  lag: number;
  /** Seconds that the link has been down; 0 while it is up. */
  linkDownSeconds: number;
  /** Commands of its primary that the follower answered with an error, since it was started. */
  refused: number;
  /** Of the primary. */
  counters: Counters;
}

export async function lookAt(on: { primary: Redis; follower: Redis }): Promise<Look> {
  const [primary = {}, follower = {}] = await Promise.all(
    [on.primary, on.follower].map(async (client) => parseInfo(String(await client.call('INFO')))),
  );
  const [one, other] = [parseRole(primary), parseRole(follower)];
  const at = Date.now();
  return {
    at,
    primary: one,
    follower: other,
    lag: Math.max(0, one.offset - other.offset),
    linkDownSeconds: other.follows?.linkUp
      ? 0
      : Math.max(0, Number(follower['master_link_down_since_seconds'] ?? 0)),
    refused: Number(follower['unexpected_error_replies'] ?? 0),
    counters: countersOf(primary, at),
  };
}

/** Seconds after which a primary that nobody follows forgets the changes it kept; 0: never. Its default where it may not be asked. */
export async function backlogTtl({ client }: { client: Redis }): Promise<number> {
  const reply = await client.call('CONFIG', 'GET', 'repl-backlog-ttl').catch(() => null);
  const value: unknown = Array.isArray(reply) ? reply[1] : undefined;
  return typeof value === 'string' ? Number(value) : 3_600;
}

/** How fast the stream of changes grows now. */
export function writeRate() {
  let offsets: { at: number; offset: number }[] = [];
  return {
    /** Bytes a second over the last half minute; null until there are two looks. */
    of({ at, primary }: Look): number | null {
      // Going on after a pause, and behind a restart, nothing is known of the time between.
      const last = offsets.at(-1);
      if (last && (at - last.at > RATE_MS || primary.offset < last.offset)) offsets = [];
      offsets.push({ at, offset: primary.offset });
      while (offsets.length > 2 && (offsets[1]?.at ?? at) <= at - RATE_MS) offsets.shift();
      const [oldest] = offsets;
      return !oldest || at <= oldest.at
        ? null
        : ((primary.offset - oldest.offset) * 1_000) / (at - oldest.at);
    },
  };
}

const RATE_MS = 30_000;

export interface Threat {
  kind: 'link' | 'behind' | 'room';
  says: string;
}

export interface WayBackSafety {
  /** Null while going back loses nothing. */
  broken: string | null;
  /** What may break it soon. */
  threat: Threat | null;
  /**
   * For how many seconds the link may be down at the present rate of writes; while it is down, how many of them are left. Null
   * while nothing limits it.
   */
  linkMayBeDownSeconds: number | null;
}

/** Bytes behind at which a follower isn't just busy for a moment. */
const FAR_BEHIND = 16 * 1024 * 1024;

export function safetyOf(on: {
  /** The look right after the cutover. */
  first: Look;
  now: Look;
  /** Bytes a second; see writeRate. */
  rate: number | null;
  /** See backlogTtl. */
  ttlSeconds: number;
  /** Fewer seconds than these are too few. */
  enoughSeconds: number;
}): WayBackSafety {
  const { first, now, rate, ttlSeconds, enoughSeconds } = on;
  const linkUp = now.follower.follows?.linkUp === true;
  // What it hasn't got yet must still be kept when it comes back for it.
  const room = Math.max(0, now.primary.backlog.size - now.lag);
  const alone = now.primary.replicas.length <= (linkUp ? 1 : 0);
  const limits = [
    ...(rate !== null && rate > 0 ? [room / rate] : []),
    ...(ttlSeconds > 0 && alone ? [Math.max(0, ttlSeconds - now.linkDownSeconds)] : []),
  ];
  const left = limits.length > 0 ? Math.floor(Math.min(...limits)) : null;
  return {
    broken: brokenBy({ first, now, linkUp }),
    threat: threatOf({ now, linkUp, left, enoughSeconds }),
    linkMayBeDownSeconds: left,
  };
}

function brokenBy({ first, now, linkUp }: { first: Look; now: Look; linkUp: boolean }): string | null {
  if (now.primary.runId !== first.primary.runId)
    return 'the new server was restarted, so the old one can not go on following it';
  if (now.follower.runId !== first.follower.runId) return 'the old server was restarted';
  if (now.follower.role !== 'replica') return 'the old server does not follow any more';
  if (now.primary.syncs.full > first.primary.syncs.full)
    return 'the old server had to ask for everything anew, in a format that it may not read';
  if (now.refused > first.refused)
    return `the old server answered ${now.refused - first.refused} commands of the new one with an error: it does not know them, so its keys differ`;
  const known = [now.primary.replId, now.primary.replId2].includes(now.follower.replId);
  if (!linkUp && (now.lag > now.primary.backlog.held || !known))
    return 'the link was down for so long that the new server does not keep any more what the old one needs';
  return null;
}

function threatOf(on: {
  now: Look;
  linkUp: boolean;
  left: number | null;
  enoughSeconds: number;
}): Threat | null {
  const { now, linkUp, left, enoughSeconds } = on;
  if (!linkUp) {
    const until =
      left === null
        ? 'nothing is written now'
        : `at the present rate of writes the way back closes in about ${left} s`;
    return {
      kind: 'link',
      says: `the link between both servers has been down for ${now.linkDownSeconds} s; ${until}`,
    };
  }
  if (now.lag > FAR_BEHIND)
    return { kind: 'behind', says: `the old server is ${megabytes(now.lag)} behind and does not catch up` };
  if (left !== null && left < enoughSeconds)
    return {
      kind: 'room',
      says: `at the present rate of writes the ${megabytes(now.primary.backlog.size)} of changes that are kept last for ${left} s only: should the link be down for longer, the way back closes`,
    };
  return null;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024).toLocaleString('en')} MB`;
}

/** How long each threat must last until it is worth a person's sleep, in milliseconds. A link that is cut for a moment comes back. */
const LASTS_MS: Record<Threat['kind'], number> = { link: 5_000, behind: 10_000, room: 10_000 };
const PASSED_MS = 10_000;

/** Tells a threat that lasts from one that comes and goes. */
export function alarm({ expecting }: { expecting: Threat['kind'] | null }) {
  let since: { kind: Threat['kind']; at: number } | null = null;
  let fineSince: number | null = null;
  return {
    /** `threat`: one that lasts, or that leaves no time. `passed`: there has been none for a while, where one was expected. */
    heed(at: number, { threat, linkMayBeDownSeconds: left }: WayBackSafety, enoughSeconds: number) {
      if (!threat) {
        since = null;
        fineSince ??= at;
        return expecting !== null && at - fineSince >= PASSED_MS ? 'passed' : null;
      }
      fineSince = null;
      if (since?.kind !== threat.kind) since = { kind: threat.kind, at };
      const urgent = threat.kind === 'link' && left !== null && left < enoughSeconds;
      const lasts = at - since.at >= LASTS_MS[threat.kind];
      return expecting === null && (urgent || lasts) ? 'threat' : null;
    },
  };
}
