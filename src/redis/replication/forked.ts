/**
 * A fork as its customer sees it: a replica of the server that it was forked from, until whoever hosts it parts the two. There is no
 * log to be read, and REPLICAOF, SYNC and CONFIG are refused: INFO is all there is.
 */
import type { Redis } from 'ioredis';
import { failureOn } from '../connect.js';
import { allOf, keyspaceIn, parseInfo } from '../info.js';

export interface Forked {
  /** It has parted from its leader, and takes writes. */
  parted: boolean;
  /** The link to its leader is up. */
  linked: boolean;
  /** It reads its leader's data right now. */
  syncing: boolean;
  /** It has not heard a word of its leader so far. */
  unheard: boolean;
  keys: number;
}

/** @throws FerryError */
export async function lookAtFork({ client }: { client: Redis }): Promise<Forked> {
  try {
    return forkedIn(
      `${String(await client.call('INFO', 'replication'))}\n${String(await client.call('INFO', 'keyspace'))}`,
    );
  } catch (error) {
    throw failureOn(client, error);
  }
}

/** What INFO says of replication and keys. */
export function forkedIn(text: string): Forked {
  const info = parseInfo(text);
  return {
    parted: info['role'] === 'master',
    linked: info['master_link_status'] === 'up',
    syncing: info['master_sync_in_progress'] === '1',
    unheard: info['master_last_io_seconds_ago'] === '-1' && neverUp(info['master_link_down_since_seconds']),
    keys: allOf(keyspaceIn(info)),
  };
}

/** A link that was up once says how long ago it broke. One that never was says -1, or the seconds since 1970 (Redis 6.0). */
function neverUp(downSince: string | undefined): boolean {
  return downSince === undefined || downSince === '-1' || Number(downSince) > 1_000_000_000;
}

/** No sign of its leader at all. For a moment every fork looks so; one that stays so is stuck. */
export function isDeaf({ parted, linked, syncing, unheard }: Forked): boolean {
  return !parted && !linked && !syncing && unheard;
}

/** How far it is, in a few words. */
export function wordsOf(forked: Forked): string {
  if (forked.parted) return 'it has parted from its leader';
  if (forked.linked && !forked.syncing) return 'it is in sync, and still a replica';
  if (forked.syncing) return 'it reads the data of its leader';
  return forked.unheard
    ? 'its link is down, it has never heard of its leader, and no sync is under way'
    : 'its link is down';
}
