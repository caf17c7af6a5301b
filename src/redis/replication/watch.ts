/**
 * Looks at a primary and its follower: whether the way back is open, and for how long the link could be down before it closes.
 * Equal offsets are not equal data: a command that the older server doesn't know leaves the link up and the offsets equal
 * while its keys go their own way (measured with HEXPIRE and FUNCTION LOAD), so what it answers with an error is counted.
 */
import type { Redis } from 'ioredis';
import type { Check } from '../../contract.js';
import { parseInfo } from '../info.js';
import { check } from '../preflight/check.js';
import { parseRole, type Role } from './role.js';

export interface Look {
  /** Milliseconds since 1970, by the worker. */
  at: number;
  primary: Role;
  follower: Role;
  /** Bytes that the follower is behind. */
  lag: number;
  /** Commands of its primary that the follower answered with an error, since it was started. */
  refused: number;
  /** Commands a second at the primary. */
  ops: number;
  usedMemory: { primary: number; follower: number };
  clients: number;
  /** Milliseconds that a PING of ours took. */
  ping: number;
}

export async function lookAt(on: { primary: Redis; follower: Redis }): Promise<Look> {
  const began = performance.now();
  await on.primary.call('PING');
  const ping = performance.now() - began;
  const [primary, follower] = await Promise.all(
    [on.primary, on.follower].map(async (client) => parseInfo(String(await client.call('INFO')))),
  );
  const [one, other] = [parseRole(primary ?? {}), parseRole(follower ?? {})];
  return {
    at: Date.now(),
    primary: one,
    follower: other,
    lag: Math.max(0, one.offset - other.offset),
    refused: Number(follower?.['unexpected_error_replies'] ?? 0),
    ops: Number(primary?.['instantaneous_ops_per_sec'] ?? 0),
    usedMemory: {
      primary: Number(primary?.['used_memory'] ?? 0),
      follower: Number(follower?.['used_memory'] ?? 0),
    },
    clients: Number(primary?.['connected_clients'] ?? 0),
    ping,
  };
}

export interface WayBackSafety {
  /** Null while going back loses nothing. */
  broken: string | null;
  /** What may break it soon. */
  warning: string | null;
  /** For how many seconds the link may be down at the present rate of writes; null while nothing is written. */
  linkMayBeDownSeconds: number | null;
}

/** `first`: the look right after the cutover. */
export function safetyOf(on: { first: Look; before: Look; now: Look }): WayBackSafety {
  const { first, before, now } = on;
  const seconds = Math.max(0.001, (now.at - first.at) / 1_000);
  const rate = (now.primary.offset - first.primary.offset) / seconds;
  const linkMayBeDownSeconds = rate > 0 ? Math.floor(now.primary.backlog.size / rate) : null;
  return { broken: brokenBy({ first, now }), warning: warningOf({ before, now }), linkMayBeDownSeconds };
}

function brokenBy({ first, now }: { first: Look; now: Look }): string | null {
  if (now.primary.runId !== first.primary.runId)
    return 'the new server was restarted, so the old one can not go on following it';
  if (now.follower.runId !== first.follower.runId) return 'the old server was restarted';
  if (now.follower.role !== 'replica') return 'the old server does not follow any more';
  if (now.primary.syncs.full > first.primary.syncs.full)
    return 'the old server had to ask for everything anew, in a format that it may not read';
  if (now.refused > first.refused)
    return `the old server answered ${now.refused - first.refused} commands of the new one with an error: it does not know them, so its keys differ`;
  return null;
}

function warningOf({ before, now }: { before: Look; now: Look }): string | null {
  if (!now.follower.follows?.linkUp)
    return 'the link between both servers is down; the changes made meanwhile must fit into the backlog';
  if (now.lag > 16 * 1024 * 1024 && now.lag > before.lag) return 'the old server falls behind';
  return null;
}

/** Both servers are what they should be after a handover. */
export function checksAfterHandover({ primary, follower, lag, usedMemory }: Look): Check[] {
  const roles = `${primary.role}, followed by a ${follower.role}`;
  const inStep = follower.follows?.linkUp === true;
  return [
    check({
      name: 'Roles',
      expected: 'primary, followed by a replica',
      actual: roles,
      ...(primary.role === 'primary' && follower.role === 'replica'
        ? {}
        : {
            status: 'fail',
            next: 'Somebody else changed the roles. Look at who (Sentinel, an operator, a script).',
          }),
    }),
    check({
      name: 'The old server follows',
      expected: 'the link is up, from where it stood',
      actual: inStep ? `${lag} bytes behind` : 'the link is down',
      ...(inStep
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'Look at the log of the old server: without its link there is no way back.',
          }),
    }),
    check({
      name: 'Memory',
      expected: 'both about the same',
      actual: `${Math.round(usedMemory.primary / 1e6)} MB, old server ${Math.round(usedMemory.follower / 1e6)} MB`,
      ...(usedMemory.primary > usedMemory.follower * 1.5 + 64e6
        ? { status: 'warn', next: 'The new version takes more memory: look at maxmemory.' }
        : {}),
    }),
  ];
}
