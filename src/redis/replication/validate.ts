/** The checks right after a cutover: both servers are what they should be, and the new one does as well as the old one did. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Check } from '../../contract.js';
import { messageOf } from '../connect.js';
import { parseInfo, productIn } from '../info.js';
import { VALIDATION_PREFIX, validationKey } from '../our-keys.js';
import { bytes, check } from '../preflight/check.js';
import { errorRepliesOf, type ErrorReplies, type Summary } from './metrics.js';
import { number } from './criteria.js';
import { parseRole } from './role.js';

/** What was measured before the cutover. */
export interface Before {
  summary: Summary;
  /** Those that the new server had answered by then. */
  targetErrors: ErrorReplies;
}

export interface ValidateOptions {
  primary: Redis;
  follower: Redis;
  /** As they were found at the beginning: "Redis 8.0.3". */
  versions: { primary: string; follower: string };
  /** Null where nothing was measured. */
  before: Before | null;
  /** What was measured of the new server since. */
  now: Summary;
  /** Milliseconds since 1970. */
  cutoverAt: number;
  signal: AbortSignal;
}

type Info = Record<string, string>;

/** How long a save that is under way, and a follower that is a moment behind, are waited for. */
const PATIENCE_MS = 5_000;
const POLL_MS = 50;

export async function validate(options: ValidateOptions): Promise<Check[]> {
  const { primary, follower, versions, before, now, cutoverAt } = options;
  const answers = await Promise.all([primary, follower].map((client) => pong(client)));
  const infos = async (): Promise<[Info, Info]> => [await infoOf(primary), await infoOf(follower)];
  const [one, other] = await until(infos, ([next]) => next['rdb_bgsave_in_progress'] !== '1', options.signal);
  return [
    versionCheck([one, other], versions),
    check({
      name: 'PING',
      expected: 'both answer PONG',
      actual: answers.every(Boolean) ? 'both answer PONG' : 'not both answer PONG',
      ...(answers.every(Boolean)
        ? {}
        : { status: 'fail', waivable: true, next: 'Look at the log of the server that does not.' }),
    }),
    ...replicationChecks(one, other),
    persistenceCheck(one, other),
    await writeAndRead(options),
    ...(before ? [latencyCheck(before.summary, now), throughputCheck(before.summary, now)] : []),
    memoryCheck(one, other, before?.summary ?? null, now),
    errorCheck({ info: one, before, seconds: Math.max(1, (Date.now() - cutoverAt) / 1_000) }),
  ];
}

async function infoOf(client: Redis): Promise<Info> {
  return parseInfo(String(await client.call('INFO')));
}

async function pong(client: Redis): Promise<boolean> {
  return String(await client.call('PING')) === 'PONG';
}

/** Looks until it is so, or the patience is at its end; returns the last look. */
async function until<T>(look: () => Promise<T>, so: (seen: T) => boolean, signal: AbortSignal): Promise<T> {
  for (const end = performance.now() + PATIENCE_MS; ;) {
    const seen = await look();
    if (so(seen) || performance.now() > end) return seen;
    signal.throwIfAborted();
    await sleep(POLL_MS, undefined, { signal }).catch(() => {});
  }
}

function versionCheck([one, other]: [Info, Info], versions: ValidateOptions['versions']): Check {
  const [expected, actual] = [
    `${versions.primary}, old server ${versions.follower}`,
    `${productIn(one)}, old server ${productIn(other)}`,
  ];
  return check({
    name: 'Versions after the switch',
    expected,
    actual,
    ...(actual === expected
      ? {}
      : {
          status: 'fail',
          waivable: true,
          next: 'A server was replaced on the way. Look at who did that, and whether it is the one you want.',
        }),
  });
}

function replicationChecks(one: Info, other: Info): Check[] {
  const [primary, follower] = [parseRole(one), parseRole(other)];
  const inStep = follower.follows?.linkUp === true;
  const lag = Math.max(0, primary.offset - follower.offset);
  const replicas = primary.replicas.length;
  const online = primary.replicas.filter((replica) => replica.online).length;
  return [
    check({
      name: 'Roles',
      expected: 'primary, followed by a replica',
      actual: `${primary.role}, followed by a ${follower.role}`,
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
      actual: inStep
        ? `${lag} bytes behind${replicas > 1 ? `; ${online} of ${replicas} replicas are online` : ''}`
        : 'the link is down',
      ...(inStep
        ? online < replicas
          ? { status: 'warn', next: 'Look at the replica of the new server that is not online.' }
          : {}
        : {
            status: 'fail',
            waivable: true,
            next: 'Look at the log of the old server: without its link there is no way back.',
          }),
    }),
  ];
}

/** One LASTSAVE says when it last went well, and nothing of whether it goes well now. */
function persistenceCheck(one: Info, other: Info): Check {
  const aof = one['aof_enabled'] === '1';
  const failed = [
    ...(one['rdb_last_bgsave_status'] === 'err' ? ['the last snapshot failed'] : []),
    ...(aof && one['aof_last_write_status'] === 'err' ? ['the last write to the AOF failed'] : []),
    ...(aof && one['aof_last_bgrewrite_status'] === 'err' ? ['the last rewrite of the AOF failed'] : []),
  ];
  const weaker = !aof && other['aof_enabled'] === '1';
  const saving = one['rdb_bgsave_in_progress'] === '1' ? ', a snapshot is being written' : '';
  return check({
    name: 'Persistence',
    expected: `the last snapshot went well, AOF as on the old server (${other['aof_enabled'] === '1' ? 'on' : 'off'})`,
    actual:
      failed.length > 0
        ? failed.join(', ')
        : `the last snapshot went well${saving}, AOF ${aof ? 'on, written without a fault' : 'off'}`,
    ...(failed.length > 0
      ? {
          status: 'fail',
          waivable: true,
          next: 'Look at the disk and the log of the new server: it serves, and would lose its keys in a restart.',
        }
      : weaker
        ? { status: 'warn', next: 'The old server writes an AOF and the new one does not: set appendonly.' }
        : {}),
  });
}

/** A key of our own, for a minute at most; comparisons leave it out. */
async function writeAndRead({ primary, follower, signal }: ValidateOptions): Promise<Check> {
  const name = 'Write and read';
  const expected = 'a key is written and read at the new server, and read at the old one';
  const key = validationKey();
  const value = randomBytes(8).toString('hex');
  const failed = (actual: string, next: string): Check =>
    check({ name, expected, actual, status: 'fail', waivable: true, next });
  try {
    // Not SET … PX, which a follower of 6.0 would not understand.
    await primary.multi().set(key, value).pexpire(key, 60_000).exec().then(orThrow);
  } catch (error) {
    const said = messageOf(error);
    if (!said.startsWith('NOPERM'))
      return failed(`the write was refused: ${said}`, 'The applications may be refused too.');
    return check({
      name,
      expected,
      actual: 'our user may not write',
      status: 'warn',
      next: `Allow it the keys ${VALIDATION_PREFIX}*, or write and read one yourself.`,
    });
  }
  try {
    if ((await primary.get(key)) !== value)
      return failed('what was written is not there', 'Is something else writing or evicting?');
    const began = performance.now();
    const arrived = await until(
      () => follower.get(key),
      (read) => read === value,
      signal,
    );
    return arrived === value
      ? check({
          name,
          expected,
          actual: `read at both; at the old one within ${Math.ceil(performance.now() - began)} ms`,
        })
      : failed(
          `it has not arrived at the old server within ${PATIENCE_MS / 1_000} s`,
          'Look at the link between both servers: without it there is no way back.',
        );
  } finally {
    await primary.unlink(key).catch(() => {});
  }
}

/** A transaction's own failures stand in its answers. */
function orThrow(answers: [Error | null, unknown][] | null): void {
  const failed = answers?.find(([error]) => error !== null)?.[0];
  if (failed || !answers) throw failed ?? new Error('the transaction was discarded');
}

/** Noise is no reason: twice as much, and half a millisecond more. */
function latencyCheck(before: Summary, now: Summary): Check {
  const worse = (metric: 'latencyP50Ms' | 'latencyP99Ms', times: number, more: number): boolean => {
    const [was, is] = [before[metric], now[metric]];
    return was !== null && is !== null && is > was * times && is > was + more;
  };
  return check({
    name: 'Latency',
    expected: `about as before: ${latencies(before)}`,
    actual: latencies(now),
    ...(worse('latencyP50Ms', 2, 0.5) || worse('latencyP99Ms', 3, 5)
      ? {
          status: 'warn',
          next: 'PINGs take longer than at the old server: look at its CPU, at SLOWLOG, and at the network between.',
        }
      : {}),
  });
}

function latencies({ latencyP50Ms, latencyP95Ms, latencyP99Ms }: Summary): string {
  return `p50 ${number(latencyP50Ms)} ms, p95 ${number(latencyP95Ms)} ms, p99 ${number(latencyP99Ms)} ms`;
}

function throughputCheck(before: Summary, now: Summary): Check {
  const [was, is] = [before.opsPerSecond, now.opsPerSecond];
  return check({
    name: 'Throughput',
    expected: `about as before: ${number(was)} commands/s`,
    actual: `${number(is)} commands/s`,
    // A few a second are nobody's load.
    ...(was !== null && is !== null && was > 10 && is < was / 2
      ? {
          status: 'warn',
          next: 'Fewer commands arrive than before: do all applications have the new address?',
        }
      : {}),
  });
}

const MEGABYTE = 1024 * 1024;

function memoryCheck(one: Info, other: Info, before: Summary | null, now: Summary): Check {
  const of = (info: Info, name: string): number => Number(info[name] ?? 0);
  const was = {
    used: before?.memoryBytes ?? of(other, 'used_memory'),
    rss: before?.memoryRssBytes ?? of(other, 'used_memory_rss'),
  };
  const is = { used: of(one, 'used_memory'), rss: of(one, 'used_memory_rss') };
  const more = (what: 'used' | 'rss'): boolean => is[what] > was[what] * 1.5 + 64 * MEGABYTE;
  const evicts = (now.evictedPerSecond ?? 0) > 0 && (before?.evictedPerSecond ?? 0) === 0;
  return check({
    name: 'Memory',
    expected: `about as before: ${bytes(was.used)} used, ${bytes(was.rss)} of the machine`,
    actual: `${bytes(is.used)} used, ${bytes(is.rss)} of the machine${evicts ? `, and ${number(now.evictedPerSecond)} keys a second are evicted` : ''}`,
    ...(evicts
      ? { status: 'warn', next: 'The new server throws keys away, the old one did not: look at maxmemory.' }
      : more('used') || more('rss')
        ? { status: 'warn', next: 'The new server takes more memory: look at maxmemory and its machine.' }
        : {}),
  });
}

/** Instead of the log, which often nobody can read. */
function errorCheck(on: { info: Info; before: Before | null; seconds: number }): Check {
  const { before } = on;
  const now = errorRepliesOf(on.info);
  const was = before?.targetErrors ?? { total: 0, kinds: {} };
  const more = now.total === null ? null : Math.max(0, now.total - (was.total ?? 0));
  const kinds = Object.entries(now.kinds)
    .map(([kind, count]) => [kind, count - (was.kinds[kind] ?? 0)] as const)
    .filter(([, count]) => count > 0)
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, 5);
  const rate = more === null ? null : more / on.seconds;
  const usual = before?.summary.errorsPerSecond ?? 0;
  return check({
    name: 'Error replies',
    expected: `about as before: ${number(before?.summary.errorsPerSecond ?? null)} a second`,
    actual:
      more === null
        ? 'this version does not count them'
        : `${more.toLocaleString('en')} since the switch${kinds.length > 0 ? ` (${kinds.map(([kind, count]) => `${kind} ${count}`).join(', ')})` : ''}`,
    ...(rate !== null && rate > usual * 2 + 1
      ? {
          status: 'warn',
          next: 'The new server answers more commands with an error: INFO errorstats and the logs of the applications say which.',
        }
      : {}),
  });
}
