/**
 * One server follows another: REPLICAOF, with a login that guards the follower's keys.
 *
 * A primary that lost its keys (restarted without a saved file) would hand its emptiness to every replica that follows it,
 * whatever `repl-diskless-load` says (measured: 0 keys left). So the follower logs in as a user that lives in the primary's
 * memory only: after a restart the login is refused, and the follower keeps what it has. And should a full resync come for
 * another reason, `swapdb` keeps the old keys until the new ones are loaded: a file in a newer format is refused whole.
 */
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { FerryError } from '../../errors.js';
import { shown, type ServerAddress } from '../address.js';
import { failureOn, messageOf, placeOf } from '../connect.js';
import { settingsNamed } from '../settings.js';
import { roleOf } from './role.js';

/** Settings of a server before it took part. Plain data without secrets, so that an undo can carry it. */
export interface FollowBefore {
  settings: Record<string, string>;
  /** It logs in to primaries with a password of its own, which nobody but the server knows: left as it is, and used. */
  ownLogin: boolean;
}

const PRIORITY = 'replica-priority';
const LOAD = 'repl-diskless-load';
const READ_ONLY = 'replica-read-only';
const TLS = 'tls-replication';
const USER = 'masteruser';
const PASSWORD = 'masterauth';
const BACKLOG = 'repl-backlog-size';
const BACKLOG_TTL = 'repl-backlog-ttl';
const PING = 'repl-ping-replica-period';
const REMEMBERED = [PRIORITY, LOAD, READ_ONLY, TLS, USER, BACKLOG, BACKLOG_TTL, PING];

/** The user that a primary knows its follower by. One for each upgrade. */
export function replicationUser(name: string): string {
  return `ferry-replica-${createHash('sha256').update(name).digest('hex').slice(0, 12)}`;
}

/** What follow() will have to put back. Reads only. */
export async function followBefore({ client }: { client: Redis }): Promise<FollowBefore> {
  const read = await settingsOf(client);
  const { [PASSWORD]: password = '', ...rest } = read;
  return {
    settings: Object.fromEntries(
      REMEMBERED.flatMap((name) => (rest[name] === undefined ? [] : [[name, rest[name]]])),
    ),
    ownLogin: password !== '',
  };
}

/**
 * Lets `follower` log in to `primary`. Done before anything is paused; repeated, it gives a new password to both.
 * Returns how its keys are guarded.
 */
export async function admit(on: {
  primary: Redis;
  follower: Redis;
  address: ServerAddress;
  before: FollowBefore;
  user: string;
}): Promise<'run-time user' | 'swapdb only'> {
  const { primary, follower, address, before, user } = on;
  await set(follower, LOAD, 'swapdb');
  await set(follower, READ_ONLY, 'yes');
  // Nobody else may promote it meanwhile.
  await set(follower, PRIORITY, '0');
  if (address.tls) await set(follower, TLS, 'yes');
  if (before.ownLogin) return 'swapdb only';
  const password = randomBytes(24).toString('hex');
  const hash = createHash('sha256').update(password).digest('hex');
  try {
    await primary.call(
      'ACL',
      'SETUSER',
      user,
      'reset',
      'on',
      `#${hash}`,
      '+psync',
      '+sync',
      '+replconf',
      '+ping',
    );
  } catch (error) {
    if (!/NOPERM|unknown command|unknown subcommand/i.test(messageOf(error))) throw failureOn(primary, error);
    // A managed server: the login that we were given ourselves then.
    await set(follower, USER, address.username ?? '');
    await set(follower, PASSWORD, address.password ?? '');
    return 'swapdb only';
  }
  await set(follower, USER, user);
  await set(follower, PASSWORD, password);
  return 'run-time user';
}

/** Keeps at least so many bytes of changes, and for so many seconds, for whoever is away for a while. */
export async function keepBacklog(on: { client: Redis; bytes: number; seconds: number }): Promise<void> {
  const { client, bytes, seconds } = on;
  const { [BACKLOG]: size = '0', [BACKLOG_TTL]: ttl = '0' } = await settingsOf(client);
  if (Number(size) < bytes) await set(client, BACKLOG, String(bytes));
  // 0: it never forgets them.
  if (Number(ttl) > 0 && Number(ttl) < seconds) await set(client, BACKLOG_TTL, String(seconds));
}

/** Starts following; harmless when it does. `at`: where the follower reaches the primary. */
export async function follow({
  client,
  at,
}: {
  client: Redis;
  at: { host: string; port: number };
}): Promise<void> {
  const { follows } = await roleOf({ client });
  if (follows && follows.host === at.host && follows.port === at.port) return;
  await act(client, ['REPLICAOF', at.host, String(at.port)]);
}

/** Longer than anything here takes: about 68 years. */
const NEVER_SECONDS = 2 ** 31 - 1;

/**
 * A primary writes a PING into the stream for its replicas, also while its writes are paused. One behind the fence, and it is ahead of
 * whoever was promoted: it can't follow without being sent everything anew (measured: 14 bytes). Only one that has other replicas
 * does so.
 */
export async function pings(on: {
  client: Redis;
  before: FollowBefore;
  /** As they were, or none. */
  sent: boolean;
}): Promise<void> {
  const { client, before, sent } = on;
  const was = before.settings[PING];
  if (was !== undefined) await set(client, PING, sent ? was : String(NEVER_SECONDS));
}

/**
 * Puts the settings back that stood before; whom it follows is another matter. Harmless when nothing was changed. Where it may
 * have to be followed itself (`serves`), the larger backlog stays.
 */
export async function restoreFollow(on: {
  client: Redis;
  before: FollowBefore;
  serves?: boolean;
}): Promise<void> {
  const { client, before, serves = false } = on;
  if (!before.ownLogin) await set(client, PASSWORD, '');
  for (const [name, value] of Object.entries(before.settings))
    if (!(serves && (name === BACKLOG || name === BACKLOG_TTL))) await set(client, name, value);
}

/** Removes the user that a follower logged in as; its link ends with it. Harmless when there is none. */
export async function dismissFollower({ primary, user }: { primary: Redis; user: string }): Promise<void> {
  await primary.call('ACL', 'DELUSER', user).catch((error: unknown) => {
    if (!/NOPERM|unknown command/i.test(messageOf(error))) throw failureOn(primary, error);
  });
}

/** Makes whom it follows outlive a restart. False where the server has no configuration file, or may not write it. */
export async function rewriteConfig({ client }: { client: Redis }): Promise<boolean> {
  return client.call('CONFIG', 'REWRITE').then(
    () => true,
    () => false,
  );
}

/** It follows nobody any more, and keeps what it holds. Harmless when it doesn't. */
export async function stopFollowing({ client }: { client: Redis }): Promise<void> {
  const { role } = await roleOf({ client });
  if (role === 'replica') await act(client, ['REPLICAOF', 'NO', 'ONE']);
}

/** Waits until the follower's link is up. @throws FerryError when nothing has moved for a while */
export async function linkUp(on: {
  client: Redis;
  /** The longest that nothing may move. */
  stalledMs: number;
  signal: AbortSignal;
  onLook?: (bytes: { received: number; total: number }) => void;
}): Promise<void> {
  const { client, stalledMs, signal, onLook } = on;
  let until = performance.now() + stalledMs;
  for (let seen = -1; ;) {
    signal.throwIfAborted();
    const { follows } = await roleOf({ client });
    if (follows?.linkUp) return;
    const { host = '?', port = 0, received = 0, total = 0 } = follows ?? {};
    if (received !== seen) until = performance.now() + stalledMs;
    seen = received;
    onLook?.({ received, total });
    if (performance.now() > until) {
      throw new FerryError(
        'Unreachable',
        `${shown(placeOf(client))} does not get into step with ${shown({ host, port })}: nothing has moved for ${Math.round(stalledMs / 1_000)} s. Its own log says why: a login that is refused, a format that it can't load, or an address that it can't reach`,
      );
    }
    await sleep(50, undefined, { signal }).catch(() => {});
  }
}

function settingsOf(client: Redis): Promise<Record<string, string>> {
  return settingsNamed({
    client,
    names: ['replica-*', LOAD, TLS, USER, PASSWORD, BACKLOG, BACKLOG_TTL, PING],
  });
}

async function set(client: Redis, setting: string, value: string): Promise<void> {
  await act(client, ['CONFIG', 'SET', setting, value]);
}

async function act(client: Redis, [name = '', ...args]: string[]): Promise<unknown> {
  return client.call(name, ...args).catch((error: unknown) => {
    throw failureOn(client, error);
  });
}
