/** What a server is, holds and allows, asked without changing anything. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Redis } from 'ioredis';
import { failureOn, messageOf, withClient } from './connect.js';
import { shown, type ServerAddress } from './address.js';
import { clientsIn, type ClientFacts } from './clients.js';
import { fenceOf, type FenceKind } from './fence.js';
import { atLeast, keyspaceIn, pairsOf, parseInfo, type Keyspace } from './info.js';

/** What the connecting user may do. */
export type Ability =
  | 'pauseWrites'
  | 'tracking'
  | 'dump'
  | 'restore'
  | 'configGet'
  | 'configSet'
  | 'clientList'
  | 'clientKill'
  | 'replicaOf';

export interface ServerFacts {
  /** `host:port` as given. */
  shown: string;
  /** `ip:port` of every address that the name resolves to, sorted: the identity for locks. */
  resolved: string[];
  product: 'redis' | 'valkey';
  /** The product's own version. */
  version: string;
  /** What it claims to be as a Redis (Valkey says 7.2.4); decides which commands there are. */
  redisVersion: string;
  runId: string;
  role: 'primary' | 'replica' | 'sentinel';
  /** `host:port` of its primary, when it is a replica. */
  primary: string | null;
  mode: 'standalone' | 'cluster' | 'sentinel';
  /** Those that hold keys. */
  databases: Keyspace;
  /** How many databases it is configured for; null where CONFIG GET isn't permitted. */
  databaseCount: number | null;
  /** Bytes. */
  usedMemory: number;
  /** Bytes; 0 is no limit. */
  maxmemory: number;
  maxmemoryPolicy: string;
  evictedKeys: number;
  /** Ordinary clients, without our own; null where CLIENT LIST isn't permitted. At most 20 in the sample. */
  clients: { total: number; byDatabase: Record<string, number>; sample: ClientFacts[] } | null;
  /** Connections of Sentinels. */
  sentinels: number;
  /** The first eight characters of the ID of each, as their connections are named. */
  sentinelIds: string[];
  /** Names of the other connections that a Redis Ferry holds here. */
  ferryClients: string[];
  /** `host:port` of each replica. */
  replicas: string[];
  persistence: {
    aof: boolean;
    /** `ok` or `err`. */
    rdbLastSave: string;
    /** The save points; `""`: off, null: not permitted to ask. */
    save: string | null;
    loading: boolean;
  };
  minReplicasToWrite: number | null;
  /** A fence of ours that stands. */
  fenced: FenceKind | null;
  /** The fence that can be set here; null: none. */
  fence: FenceKind | null;
  /** Milliseconds that the server's clock is ahead of the worker's; null where TIME isn't permitted. */
  clockSkewMs: number | null;
  /** Whether scripts or functions were run since it started. */
  usesScripts: boolean;
  /** Names; null where it isn't permitted to ask. */
  modules: string[] | null;
  /** Names of function libraries; null where they can't be asked for, empty before 7.0. */
  functions: string[] | null;
  /** The settings that matter (`SETTINGS`); null where CONFIG GET isn't permitted. */
  settings: Record<string, string> | null;
  /** What seems to host it, in words. */
  hosting: string | null;
  can: Record<Ability, boolean>;
  /** Why not, in the server's words. */
  why: Partial<Record<Ability, string>>;
}

/** @throws FerryError */
export async function describe(input: {
  address: ServerAddress;
  name: string;
  signal?: AbortSignal | undefined;
}): Promise<ServerFacts> {
  const { address, name, signal } = input;
  return withClient({ address, name, signal, commandTimeoutMs: 10_000 }, async (client) => {
    // It takes no writes since a save failed: it is no side of an upgrade as long as that is so.
    await client.call('PING').catch((error: unknown) => {
      if (messageOf(error).startsWith('MISCONF')) throw failureOn(client, error);
    });
    const info = parseInfo(
      `${String(await client.call('INFO'))}\n${String(await client.call('INFO', 'commandstats'))}`,
    );
    const mode =
      info['redis_mode'] === 'cluster'
        ? 'cluster'
        : info['redis_mode'] === 'sentinel'
          ? 'sentinel'
          : 'standalone';
    const redisVersion = info['redis_version'] ?? '0.0.0';
    const permissions = await ask(client, mode);
    const settings = permissions.can.configGet ? await settingsOf(client) : null;
    const clients = permissions.can.clientList ? await clientsIn({ client }) : null;
    const watching = (clients?.ordinary ?? [])
      .map(({ name: other }) => other)
      .filter((other) => other.startsWith('sentinel-'));
    const fenced = fenceOf({ info, settings });
    const product = info['valkey_version'] || info['server_name'] === 'valkey' ? 'valkey' : 'redis';
    return {
      shown: shown(address),
      resolved: await resolved(address),
      product,
      version: info['valkey_version'] ?? redisVersion,
      redisVersion,
      runId: info['run_id'] ?? '',
      role:
        mode === 'sentinel'
          ? 'sentinel'
          : info['role'] === 'slave' && fenced !== 'replica-of-itself'
            ? 'replica'
            : 'primary',
      primary:
        info['role'] === 'slave' && fenced !== 'replica-of-itself'
          ? `${info['master_host'] ?? '?'}:${info['master_port'] ?? '?'}`
          : null,
      mode,
      databases: keyspaceIn(info),
      databaseCount: settings?.['databases'] === undefined ? null : Number(settings['databases']),
      usedMemory: numberOf(info['used_memory']),
      maxmemory: numberOf(info['maxmemory']),
      maxmemoryPolicy: info['maxmemory_policy'] ?? settings?.['maxmemory-policy'] ?? 'unknown',
      evictedKeys: numberOf(info['evicted_keys']),
      clients: clients && summaryOf(clients.ordinary),
      sentinels: watching.length,
      sentinelIds: [...new Set(watching.map((other) => other.split('-')[1] ?? ''))],
      ferryClients: clients?.ferry ?? [],
      replicas: replicasOf(info),
      persistence: {
        aof: info['aof_enabled'] === '1',
        rdbLastSave: info['rdb_last_bgsave_status'] ?? 'unknown',
        save: settings?.['save'] ?? null,
        loading: info['loading'] === '1',
      },
      minReplicasToWrite:
        settings?.['min-replicas-to-write'] === undefined ? null : Number(settings['min-replicas-to-write']),
      fenced,
      fence: fenceFor({ redisVersion, can: permissions.can }),
      clockSkewMs: await skewOf(client),
      usesScripts: Object.keys(info).some((key) => /^cmdstat_(eval|fcall)/.test(key)),
      modules: await namesOf(client, ['MODULE', 'LIST'], 'name'),
      functions: atLeast(redisVersion, '7.0')
        ? await namesOf(client, ['FUNCTION', 'LIST'], 'library_name')
        : [],
      settings,
      hosting: hostingOf({ host: address.host, ...permissions }),
      ...permissions,
    };
  });
}

function replicasOf(info: Record<string, string>): string[] {
  return Object.entries(info).flatMap(([key, value]) => {
    const at = /^slave\d+$/.test(key) ? /ip=([^,]+),port=(\d+)/.exec(value) : null;
    return at ? [`${at[1]}:${at[2]}`] : [];
  });
}

function summaryOf(clients: ClientFacts[]): NonNullable<ServerFacts['clients']> {
  const byDatabase: Record<string, number> = {};
  for (const { database } of clients) byDatabase[database] = (byDatabase[database] ?? 0) + 1;
  return {
    total: clients.length,
    byDatabase,
    sample: clients
      .slice(0, 20)
      .map(({ id, address, name, database, command }) => ({ id, address, name, database, command })),
  };
}

/**
 * Commands with arguments that every version refuses after it has looked at permissions, so that nothing happens where
 * they are allowed. ACL DRYRUN would ask more politely, but needs 7.0 and the right to run ACL, and knows nothing of what a
 * provider's proxy refuses.
 */
const QUESTIONS: Record<Ability, readonly string[]> = {
  pauseWrites: ['CLIENT', 'PAUSE', 'ferry', 'WRITE'],
  tracking: ['CLIENT', 'TRACKING', 'ferry'],
  dump: ['DUMP', 'ferry:no-such-key'],
  restore: ['RESTORE', 'ferry:no-such-key', '-1', ''],
  configGet: ['CONFIG', 'GET', 'maxmemory'],
  configSet: ['CONFIG', 'SET', 'ferry-no-such-setting', '1'],
  clientList: ['CLIENT', 'LIST'],
  clientKill: ['CLIENT', 'KILL', 'ID', 'ferry'],
  replicaOf: ['REPLICAOF', 'ferry', 'ferry'],
};

const DENIED =
  /^NOPERM|unknown (sub)?command|not (allowed|permitted|supported|available)|disabled|restricted|forbidden/i;

async function ask(client: Redis, mode: ServerFacts['mode']): Promise<Pick<ServerFacts, 'can' | 'why'>> {
  const can = {} as Record<Ability, boolean>;
  const why: ServerFacts['why'] = {};
  for (const [ability, command] of Object.entries(QUESTIONS) as [Ability, readonly string[]][]) {
    const refusal = mode === 'sentinel' ? 'a Sentinel holds no data' : await refusalOf(client, command);
    can[ability] = refusal === null;
    if (refusal !== null) why[ability] = refusal;
  }
  return { can, why };
}

/**
 * Why a server does not let us run a command, in its own words; null where it does. The arguments must be such that it does
 * nothing then.
 */
export async function refusalOf(
  client: Redis,
  [name = '', ...args]: readonly string[],
): Promise<string | null> {
  try {
    await client.call(name, ...args);
    return null;
  } catch (error) {
    const message = messageOf(error);
    if (/Connection is closed|timed out/i.test(message)) throw failureOn(client, error);
    // 6.0 takes no mode after the time, and CLIENT PAUSE without it holds reads, INFO and the worker as well.
    if (args[0] === 'PAUSE' && /syntax|wrong number of arguments|unknown subcommand/i.test(message)) {
      return 'CLIENT PAUSE … WRITE came with Redis 6.2';
    }
    // A user limited to certain keys may run the command: on those.
    if (message.startsWith('NOPERM') && /\bkeys?\b/i.test(message) && !/run the/i.test(message)) return null;
    return DENIED.test(message) ? (message.split('\n', 1)[0]?.slice(0, 160) ?? message) : null;
  }
}

/**
 * What differs for applications when it differs. An allow-list: CONFIG GET * holds passwords too. Under its new name where a
 * setting has two.
 */
const SETTINGS: readonly string[] = [
  'acl-pubsub-default',
  'activedefrag',
  'appendfsync',
  'appendonly',
  'busy-reply-threshold',
  'client-output-buffer-limit',
  'client-query-buffer-limit',
  'databases',
  'hash-max-listpack-entries',
  'hash-max-listpack-value',
  'io-threads',
  'lazyfree-lazy-eviction',
  'lazyfree-lazy-expire',
  'lazyfree-lazy-server-del',
  'lazyfree-lazy-user-del',
  'list-compress-depth',
  'list-max-listpack-size',
  'maxclients',
  'maxmemory',
  'maxmemory-clients',
  'maxmemory-policy',
  'min-replicas-max-lag',
  'min-replicas-to-write',
  'notify-keyspace-events',
  'proto-max-bulk-len',
  'save',
  'set-max-intset-entries',
  'set-max-listpack-entries',
  'stop-writes-on-bgsave-error',
  'stream-node-max-bytes',
  'stream-node-max-entries',
  'tcp-keepalive',
  'timeout',
  'zset-max-listpack-entries',
  'zset-max-listpack-value',
];

const RENAMED: Record<string, string> = { 'lua-time-limit': 'busy-reply-threshold' };

/** Without what isn't permitted or not known there. */
async function settingsOf(client: Redis): Promise<Record<string, string>> {
  const reply = await client.call('CONFIG', 'GET', '*');
  const settings: Record<string, string> = {};
  for (const [name, value] of pairsOf(reply)) {
    const current =
      RENAMED[name] ??
      name
        .replace('ziplist', 'listpack')
        .replace(/^min-slaves-/, 'min-replicas-')
        .replace(/^slave-/, 'replica-');
    // The class of replicas has two names as well.
    if (SETTINGS.includes(current))
      settings[current] =
        current === 'client-output-buffer-limit' ? value.replace('slave', 'replica') : value;
  }
  return settings;
}

function fenceFor({
  redisVersion,
  can,
}: {
  redisVersion: string;
  can: ServerFacts['can'];
}): FenceKind | null {
  // On 6.0 scripts write past min-replicas-to-write (measured); a replica refuses them too.
  if (!atLeast(redisVersion, '6.2')) return can.replicaOf && can.configGet ? 'replica-of-itself' : null;
  return can.configGet && can.configSet ? 'min-replicas' : null;
}

/** The best of five questions: the shortest way there and back tells the time best. */
async function skewOf(client: Redis): Promise<number | null> {
  let best: { trip: number; skew: number } | null = null;
  for (let i = 0; i < 5; i += 1) {
    const sent = Date.now();
    const began = performance.now();
    let reply: unknown;
    try {
      reply = await client.call('TIME');
    } catch {
      return null;
    }
    const trip = performance.now() - began;
    const [seconds, micros] = Array.isArray(reply) ? reply.map(Number) : [];
    if (seconds === undefined || micros === undefined) return null;
    const skew = seconds * 1_000 + micros / 1_000 - (sent + trip / 2);
    if (!best || trip < best.trip) best = { trip, skew };
  }
  return best && Math.round(best.skew);
}

async function namesOf(
  client: Redis,
  [name = '', ...args]: string[],
  field: string,
): Promise<string[] | null> {
  try {
    const reply: unknown = await client.call(name, ...args);
    const rows: unknown[] = Array.isArray(reply) ? reply : [];
    return rows
      .flatMap((row) =>
        pairsOf(row)
          .filter(([key]) => key === field)
          .map(([, value]) => value),
      )
      .toSorted();
  } catch {
    return null;
  }
}

async function resolved({ host, port, place }: ServerAddress): Promise<string[]> {
  if (place) return [place.name];
  if (isIP(host)) return [shown({ host, port })];
  const addresses = await lookup(host, { all: true }).catch(() => []);
  return addresses.map(({ address }) => shown({ host: address, port })).toSorted();
}

const HOSTS: readonly [suffix: string, says: string][] = [
  ['.cache.amazonaws.com', 'Amazon ElastiCache: CONFIG, DEBUG, REPLICAOF and MIGRATE are switched off there'],
  ['.compute.amazonaws.com', 'perhaps Heroku Key-Value Store: CONFIG and REPLICAOF are switched off there'],
  ['.compute-1.amazonaws.com', 'perhaps Heroku Key-Value Store: CONFIG and REPLICAOF are switched off there'],
  ['.redis.cache.windows.net', 'Azure Cache for Redis'],
  ['.redis-cloud.com', 'Redis Cloud'],
  ['.redislabs.com', 'Redis Cloud'],
  ['.rlrcp.com', 'Redis Cloud'],
  ['.upstash.io', 'Upstash'],
  ['.ondigitalocean.com', 'DigitalOcean'],
  ['.aivencloud.com', 'Aiven'],
];

function hostingOf({ host, can, why }: { host: string } & Pick<ServerFacts, 'can' | 'why'>): string | null {
  const known = HOSTS.find(([suffix]) => host.endsWith(suffix));
  if (known) return known[1];
  return !can.configGet && /unknown/i.test(why.configGet ?? '')
    ? 'seems to be a managed server: CONFIG is switched off'
    : null;
}

function numberOf(text: string | undefined): number {
  return Number(text ?? 0) || 0;
}
