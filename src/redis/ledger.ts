/**
 * Which keys the target had of its own before a copy, for "replace" and "skip".
 *
 * Without it nobody could say later whether a key at the target came from the source: whether a change of a key of
 * that name has to follow ("skip"), or a deletion of it ("replace"). It is a set in each target database, so that it
 * outlives the worker, and is removed with `forgetOwnKeys`. With "refuse" there is none: all keys are ours.
 */
import type { ServerAddress } from './address.js';
import { isOurs } from './our-keys.js';
import { asBuffer, asList, asNumber, asText, type Command } from './resp.js';
import { openSession, type Session } from './session.js';
import type { TargetKeys } from './transfer.js';

const LEDGER = 'ferry:own-keys';
/** Being written; renamed when complete, so that a half one is never taken for the truth. */
const LISTING = 'ferry:own-keys:listing';
/** Of values that arrive in pieces. */
export const PART_PREFIX = 'ferry:part:';

/** Lists the target's keys, unless that was done before. To be called before the first key is copied. */
export async function noteOwnKeys(options: {
  target: Session;
  databases: readonly number[];
  match: string;
  signal: AbortSignal;
}): Promise<void> {
  const { target, databases, match, signal } = options;
  for (const database of databases) {
    await target.select(database);
    const [exists] = await target.all([
      ['EXISTS', LEDGER],
      ['UNLINK', LISTING],
    ]);
    if (asNumber(exists) > 0) continue;
    // Itself as a member: an empty set doesn't exist, and couldn't be told from none.
    await target.all([['SADD', LISTING, LEDGER]]);
    let cursor = '0';
    do {
      if (signal.aborted) return;
      const [reply] = await target.all([['SCAN', cursor, 'MATCH', match, 'COUNT', 1_000]]);
      const [next, keys] = asList(reply);
      cursor = asText(next);
      const names = asList(keys)
        .map(asBuffer)
        .filter((key) => !isOurs(key));
      if (names.length > 0) await target.all([['SADD', LISTING, ...names]]);
    } while (cursor !== '0');
    await target.all([['RENAME', LISTING, LEDGER]]);
  }
}

/** For each key of the selected database, whether it is the target's own. */
export async function areOwn({
  target,
  keys,
  mode,
}: {
  target: Session;
  keys: readonly Buffer[];
  mode: TargetKeys;
}): Promise<boolean[]> {
  if (mode === 'refuse' || keys.length === 0) return keys.map(() => false);
  const replies = await target.all(keys.map((key): Command => ['SISMEMBER', LEDGER, key]));
  return replies.map((reply) => reply === 1);
}

/** To send with the key: from now on it is ours ("replace"). */
export function nowOurs(key: Buffer): Command {
  return ['SREM', LEDGER, key];
}

/** Removes the ledgers. To be called before a new copy begins and when everything is over. */
export async function forgetOwnKeys(options: {
  address: ServerAddress;
  databases: readonly number[];
  name?: string | undefined;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { address, databases, name = 'ferry', signal } = options;
  const session = await openSession({ server: address, name, signal });
  try {
    for (const database of databases) {
      await session.select(database);
      await session.all([['UNLINK', LEDGER, LISTING]]);
    }
  } finally {
    session.close();
  }
}
