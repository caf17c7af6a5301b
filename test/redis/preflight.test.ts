import { describe, expect, it } from 'vitest';
import type { Check } from '../../src/contract.js';
import { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import type { Contents } from '../../src/redis/contents.js';
import type { ServerFacts } from '../../src/redis/describe.js';
import { holdOf, preflightCopy, settingsDiff, stayBehind } from '../../src/redis/preflight/index.js';

const MB = 1024 * 1024;

function server(more: Partial<ServerFacts> = {}): ServerFacts {
  return {
    shown: 'old.example:6379',
    resolved: ['10.0.0.1:6379'],
    product: 'redis',
    version: '7.0.15',
    redisVersion: '7.0.15',
    runId: 'a'.repeat(40),
    role: 'primary',
    primary: null,
    mode: 'standalone',
    databases: { 0: { keys: 1_000, expires: 10 } },
    databaseCount: 16,
    usedMemory: 100 * MB,
    maxmemory: 0,
    maxmemoryPolicy: 'noeviction',
    evictedKeys: 0,
    clients: { total: 1, byDatabase: { 0: 1 }, sample: [] },
    sentinels: 0,
    sentinelIds: [],
    ferryClients: [],
    replicas: [],
    persistence: { aof: true, rdbLastSave: 'ok', save: '3600 1', loading: false },
    minReplicasToWrite: 0,
    fenced: null,
    fence: 'min-replicas',
    clockSkewMs: 0,
    usesScripts: false,
    modules: [],
    functions: [],
    settings: { timeout: '0', 'maxmemory-policy': 'noeviction' },
    hosting: null,
    can: {
      pauseWrites: true,
      tracking: true,
      dump: true,
      restore: true,
      configGet: true,
      configSet: true,
      clientList: true,
      clientKill: true,
      replicaOf: true,
    },
    why: {},
    ...more,
  };
}

const can = server().can;
const source = server();
const target = server({
  shown: 'new.example:6379',
  resolved: ['10.0.0.2:6379'],
  version: '8.0.2',
  redisVersion: '8.0.2',
  runId: 'b'.repeat(40),
  databases: {},
  clients: { total: 0, byDatabase: {}, sample: [] },
  usedMemory: MB,
});

const input = {
  name: 'sessions',
  source: 'redis://old.example',
  target: 'redis://new.example',
  writes: 'running' as const,
  repoint: { kind: 'file' as const, path: '/etc/app/redis' },
  notify: { webhook: 'https://example.com/hook' },
};
const stopped = {
  writes: 'stopped' as const,
  stopWrites: { command: 'stop' },
  startWrites: { command: 'start' },
};

interface Change {
  source?: Partial<ServerFacts>;
  target?: Partial<ServerFacts>;
  settings?: Record<string, unknown>;
  formats?: { sourceWrites: number | null; targetAccepts: readonly number[] | null };
  contents?: Partial<Contents>;
  own?: string;
}

/** Nothing that the target has no place for. */
const plain: Contents = {
  looked: null,
  opaque: null,
  expiringFields: null,
  libraries: { source: [], target: [], different: [] },
};
const libraries = (from: string[] | null, to: string[] | null, different: string[] = []) => ({
  libraries: { source: from, target: to, different },
});

function settingsOf(change: Change['settings'] = {}) {
  const merged: Record<string, unknown> = { ...input, ...change };
  if (merged['repoint'] === null) delete merged['repoint'];
  if (merged['notify'] === null) delete merged['notify'];
  return RedisCopyInput.parse(merged);
}

function checks(change: Change = {}): Check[] {
  return preflightCopy({
    source: { ...source, ...change.source },
    target: { ...target, ...change.target },
    settings: settingsOf(change.settings),
    formats: change.formats ?? { sourceWrites: 10, targetAccepts: [9, 10, 11, 12] },
    contents: { ...plain, ...change.contents },
    ...(change.own === undefined ? {} : { own: change.own }),
  });
}

it('passes where nothing is wrong, under names that stay', () => {
  const all = checks();
  expect(all.filter(({ status }) => status !== 'pass')).toEqual([]);
  expect(all.map(({ name }) => name)).toEqual([
    'Versions',
    'Source is a single server',
    'Target is a single server',
    'Source is a primary',
    'Target takes writes',
    'Two different places',
    'Nothing is left of an earlier run',
    'Source holds keys',
    'Target is empty',
    'Databases exist on the target',
    'Format is accepted',
    'Values can be read',
    'Modules',
    'Hash fields that expire',
    'Functions',
    'Target has room',
    'Target evicts nothing',
    'Source evicts nothing',
    'Changes can be followed',
    'Writes can be held',
    'Only this application uses the source',
    'No Sentinel watches the source',
    'Nobody uses the target',
    'Settings agree',
    'Target saves to disk',
    'Target has replicas',
    'Clocks agree',
    'Somebody is notified',
  ]);
});

const limited = { maxmemory: 150 * MB, usedMemory: 10 * MB };
const noControl = {
  fence: null,
  can: { ...can, pauseWrites: false, configSet: false, configGet: false },
  why: { configSet: 'NOPERM', pauseWrites: 'NOPERM' },
};

// name of the check, what differs, status, whether it may be waived, what it says
const table: [check: string, title: string, change: Change, status: string, says: RegExp][] = [
  [
    'Versions',
    'older target',
    { target: { version: '6.2.14', redisVersion: '6.2.14' } },
    'warn',
    /Redis 7.0.15 → Redis 6.2.14/,
  ],
  [
    'Versions',
    'ancient source',
    { source: { version: '5.0.7', redisVersion: '5.0.7' } },
    'warn',
    /before 6.0/,
  ],
  [
    'Versions',
    'to Valkey',
    { target: { product: 'valkey', version: '8.1.1', redisVersion: '7.2.4' } },
    'pass',
    /Valkey 8.1.1/,
  ],
  ['Source is a single server', 'cluster', { source: { mode: 'cluster' } }, 'fail', /each shard/],
  [
    'Target is a single server',
    'Sentinel',
    { target: { mode: 'sentinel', role: 'sentinel' } },
    'fail',
    /primary that this Sentinel watches/,
  ],
  [
    'Source is a primary',
    'replica, running',
    { source: { role: 'replica', primary: '10.0.0.9:6379' } },
    'fail',
    /10\.0\.0\.9:6379/,
  ],
  [
    'Source is a primary',
    'replica, stopped',
    { source: { role: 'replica', primary: '10.0.0.9:6379' }, settings: stopped },
    'waivable',
    /primary/,
  ],
  [
    'Source is a primary',
    'replica, copy only',
    { source: { role: 'replica' }, settings: { repoint: null } },
    'warn',
    /primary/,
  ],
  [
    'Target takes writes',
    'replica',
    { target: { role: 'replica', primary: '10.0.0.9:6379' } },
    'fail',
    /a replica of 10\.0\.0\.9:6379.*REPLICAOF NO ONE/,
  ],
  [
    'Target takes writes',
    'too few replicas',
    { target: { minReplicasToWrite: 2 } },
    'fail',
    /asks for 2, and it has 0 replicas/,
  ],
  [
    'Target takes writes',
    'enough replicas',
    { target: { minReplicasToWrite: 1, replicas: ['10.0.0.3:6379'] } },
    'pass',
    /primary/,
  ],
  [
    'Target takes writes',
    'failed save',
    { target: { persistence: { aof: false, rdbLastSave: 'err', save: '1 1', loading: false } } },
    'fail',
    /BGSAVE/,
  ],
  [
    'Target takes writes',
    'no RESTORE',
    { target: { can: { ...can, restore: false }, why: { restore: 'NOPERM' } }, settings: { way: 'dump' } },
    'fail',
    /Grant RESTORE/,
  ],
  [
    'Two different places',
    'same server',
    { target: { runId: source.runId } },
    'fail',
    /database 0 on both sides/,
  ],
  [
    'Two different places',
    'same address',
    { target: { resolved: ['10.0.0.1:6379'], runId: '' } },
    'fail',
    /same server/,
  ],
  [
    'Two different places',
    'another database',
    { target: { runId: source.runId }, settings: { databases: { '0': 3 }, ...stopped } },
    'pass',
    /other databases/,
  ],
  [
    'Two different places',
    'swapped databases',
    { target: { runId: source.runId }, settings: { databases: { '0': 1, '1': 2 } } },
    'fail',
    /database 1 on both/,
  ],
  [
    'Nothing is left of an earlier run',
    'fence at the source',
    { source: { fenced: 'min-replicas' } },
    'fail',
    /old\.example:6379 is fenced.*ferry recover/,
  ],
  [
    'Nothing is left of an earlier run',
    'fence at the target',
    { target: { fenced: 'replica-of-itself' } },
    'fail',
    /new\.example:6379 is fenced.*ferry recover/,
  ],
  [
    'Nothing is left of an earlier run',
    'connection',
    { source: { ferryClients: ['ferry:upgrade/redis/x:1.1'] } },
    'fail',
    /ferry:upgrade\/redis\/x/,
  ],
  [
    'Nothing is left of an earlier run',
    'own connection',
    { source: { ferryClients: ['ferry:upgrade/redis/x:1.1'] }, own: 'ferry:upgrade/redis/x' },
    'pass',
    /none/,
  ],
  ['Source holds keys', 'empty', { source: { databases: {} } }, 'warn', /right one/],
  [
    'Target is empty',
    'keys',
    { target: { databases: { 0: { keys: 12_345, expires: 0 } } } },
    'fail',
    /database 0 has 12,345 keys.*ifTargetHasKeys/,
  ],
  [
    'Target is empty',
    'one key',
    { target: { databases: { 0: { keys: 1, expires: 0 } } } },
    'fail',
    /database 0 has 1 key\b/,
  ],
  [
    'Target is empty',
    'keys elsewhere',
    { target: { databases: { 7: { keys: 5, expires: 0 } } } },
    'pass',
    /empty/,
  ],
  [
    'Target is empty',
    'mapped',
    { target: { databases: { 7: { keys: 5, expires: 0 } } }, settings: { databases: { '0': 7 } } },
    'fail',
    /database 7 has 5 keys/,
  ],
  [
    'Target is empty',
    'replace',
    { target: { databases: { 0: { keys: 5, expires: 0 } } }, settings: { ifTargetHasKeys: 'replace' } },
    'warn',
    /replaced/,
  ],
  [
    'Target is empty',
    'skip',
    { target: { databases: { 0: { keys: 5, expires: 0 } } }, settings: { ifTargetHasKeys: 'skip' } },
    'warn',
    /left as they are/,
  ],
  [
    'Databases exist on the target',
    'too high',
    { settings: { databases: { '0': 16 } } },
    'fail',
    /no database 16/,
  ],
  [
    'Databases exist on the target',
    'not known',
    { target: { databaseCount: null }, settings: { databases: { '0': 3 } } },
    'warn',
    /database 0 only/,
  ],
  ['Databases exist on the target', 'not known, 0', { target: { databaseCount: null } }, 'pass', /not known/],
  [
    'Format is accepted',
    'too new',
    { formats: { sourceWrites: 12, targetAccepts: [9, 10, 11] } },
    'pass',
    /Redis 8\.0\.2 reads RDB versions up to 11, and Redis 7\.0\.15 writes 12: so keys go by value/,
  ],
  [
    'Format is accepted',
    'between',
    { formats: { sourceWrites: 12, targetAccepts: [9, 10, 11, 80] } },
    'pass',
    /up to 80, but not all of them, and Redis 7\.0\.15 writes 12: so keys go by value/,
  ],
  [
    'Format is accepted',
    'too new, and nothing else is wanted',
    { formats: { sourceWrites: 12, targetAccepts: [9, 10, 11] }, settings: { way: 'dump' } },
    'fail',
    /RDB version 12.*but not 12.*"auto", which copies by value/,
  ],
  [
    'Format is accepted',
    'no RESTORE',
    { target: { can: { ...can, restore: false } } },
    'pass',
    /RESTORE is not permitted on Redis 8\.0\.2: so keys go by value/,
  ],
  [
    'Values can be read',
    'no DUMP',
    { source: { can: { ...can, dump: false }, why: { dump: 'NOPERM' } } },
    'fail',
    /old\.example:6379: NOPERM.*Grant DUMP/,
  ],
  [
    'Target holds the import',
    'not yet',
    { settings: { way: 'none' } },
    'fail',
    /database 0: 0 keys, of 1,000 at the source.*Run the import first/,
  ],
  [
    'Target holds the import',
    'nearly all',
    { settings: { way: 'none' }, target: { databases: { 0: { keys: 990, expires: 1 } } } },
    'pass',
    /990 keys, of 1,000/,
  ],
  [
    'Target holds the import',
    'to be made good',
    {
      settings: { way: 'none', ifTargetHasKeys: 'replace' },
      target: { databases: { 0: { keys: 990, expires: 1 } } },
    },
    'warn',
    /What differs is replaced/,
  ],
  [
    'Format is accepted',
    'not known',
    { formats: { sourceWrites: null, targetAccepts: null } },
    'warn',
    /first key/,
  ],
  [
    'Target has room',
    'too small',
    { target: { maxmemory: 50 * MB } },
    'waivable',
    /about 100 MB.*49 MB free of 50 MB/,
  ],
  ['Target has room', 'enough', { target: limited }, 'pass', /140 MB free of 150 MB/],
  [
    'Target has room',
    'a share',
    {
      source: { databases: { 0: { keys: 100, expires: 0 }, 1: { keys: 900, expires: 0 } } },
      target: { maxmemory: 50 * MB },
      settings: { databases: { '0': 0 } },
    },
    'pass',
    /about 10 MB/,
  ],
  [
    'Target evicts nothing',
    'evicting and too small',
    { target: { maxmemory: 50 * MB, maxmemoryPolicy: 'allkeys-lru' } },
    'fail',
    /noeviction.*raise maxmemory/,
  ],
  [
    'Target evicts nothing',
    'evicting and fits',
    { target: { ...limited, maxmemoryPolicy: 'volatile-ttl' } },
    'waivable',
    /noeviction/,
  ],
  [
    'Target evicts nothing',
    'a cache, as before',
    {
      source: { maxmemoryPolicy: 'allkeys-lru' },
      target: { ...limited, maxmemory: 300 * MB, maxmemoryPolicy: 'allkeys-lru' },
    },
    'warn',
    /noeviction/,
  ],
  [
    'Target evicts nothing',
    'no limit',
    { target: { maxmemoryPolicy: 'allkeys-lru' } },
    'pass',
    /maxmemory 0/,
  ],
  [
    'Source evicts nothing',
    'evicting',
    { source: { maxmemory: 100 * MB, maxmemoryPolicy: 'allkeys-lfu', evictedKeys: 7 } },
    'warn',
    /7 keys evicted/,
  ],
  [
    'Changes can be followed',
    'no tracking',
    { source: { can: { ...can, tracking: false } } },
    'fail',
    /acceptLoss/,
  ],
  [
    'Changes can be followed',
    'no tracking, accepted',
    { source: { can: { ...can, tracking: false } }, settings: { acceptLoss: true } },
    'warn',
    /Accepted by acceptLoss/,
  ],
  [
    'Changes can be followed',
    'no tracking, stopped',
    { source: { can: { ...can, tracking: false } }, settings: stopped },
    'warn',
    /compares every key/,
  ],
  [
    'Changes can be followed',
    'no tracking, copy only',
    { source: { can: { ...can, tracking: false } }, settings: { repoint: null } },
    'pass',
    /not permitted/,
  ],
  ['Writes can be held', 'neither', { source: noControl }, 'fail', /acceptLoss: true/],
  [
    'Writes can be held',
    'neither, accepted',
    { source: noControl, settings: { acceptLoss: true } },
    'warn',
    /Accepted by acceptLoss/,
  ],
  ['Writes can be held', 'neither, stopped', { source: noControl, settings: stopped }, 'warn', /noticed/],
  [
    'Writes can be held',
    'pause only',
    { source: { fence: null } },
    'fail',
    /keeps the old address.*acceptLoss/,
  ],
  [
    'Writes can be held',
    'fence only (6.0)',
    { source: { fence: 'replica-of-itself', can: { ...can, pauseWrites: false } } },
    'warn',
    /refused with an error/,
  ],
  ['Writes can be held', 'copy only', { source: noControl, settings: { repoint: null } }, 'pass', /no pause/],
  [
    'Writes can be held',
    'one server',
    { target: { runId: source.runId }, settings: { databases: { '0': 3 } } },
    'fail',
    /one server.*acceptLoss/,
  ],
  [
    'Writes can be held',
    'shared, running',
    {
      source: { databases: { 0: { keys: 1, expires: 0 }, 4: { keys: 9, expires: 0 } } },
      settings: { databases: { '0': 0 } },
    },
    'fail',
    /others use the source.*acceptLoss/,
  ],
  [
    'Only this application uses the source',
    'other keys',
    {
      source: { databases: { 0: { keys: 1, expires: 0 }, 4: { keys: 9, expires: 0 } } },
      settings: { databases: { '0': 0 } },
    },
    'warn',
    /database 4 has 9 keys and 0 clients.*server-wide/,
  ],
  [
    'Only this application uses the source',
    'other clients',
    { source: { clients: { total: 2, byDatabase: { 0: 1, 5: 1 }, sample: [] } } },
    'warn',
    /database 5 has 0 keys and 1 client\b/,
  ],
  [
    'Only this application uses the source',
    'shared, stopped',
    {
      source: { databases: { 0: { keys: 1, expires: 0 }, 4: { keys: 9, expires: 0 } } },
      settings: { databases: { '0': 0 }, ...stopped },
    },
    'warn',
    /undisturbed/,
  ],
  ['No Sentinel watches the source', 'watched', { source: { sentinels: 3 } }, 'warn', /do not follow/],
  [
    'No Sentinel watches the source',
    'watched, 6.0',
    { source: { sentinels: 3, fence: 'replica-of-itself' } },
    'waivable',
    /SENTINEL REMOVE/,
  ],
  [
    'Nobody uses the target',
    'clients',
    { target: { clients: { total: 2, byDatabase: { 0: 2 }, sample: [] } } },
    'warn',
    /2 clients/,
  ],
  [
    'Modules',
    'missing, and no key is theirs',
    {
      source: { modules: ['ReJSON', 'bf'] },
      target: { modules: ['rejson'] },
      contents: { looked: { keys: 9, of: 9 }, opaque: {} },
    },
    'warn',
    /missing: bf; no key is of a type of theirs \|/,
  ],
  [
    'Modules',
    'there are keys that could not be tried',
    {
      source: { modules: ['ReJSON', 'bf'] },
      target: { modules: ['rejson'] },
      contents: {
        looked: { keys: 900, of: 9_000 },
        opaque: { 'MBbloom--': { count: 2, sample: ['bloom:1', 'bloom:2'], accepted: null } },
      },
    },
    'waivable',
    /2 keys of type MBbloom--, for example bloom:1, bloom:2, which the target may refuse among the 900 of 9,000 keys looked at/,
  ],
  [
    'Modules',
    'there are keys that the target refuses',
    {
      source: { modules: ['vectorset'] },
      target: { modules: ['vectorset'] },
      contents: {
        looked: { keys: 9, of: 9 },
        opaque: { vectorset: { count: 1, sample: ['v'], accepted: false } },
      },
    },
    'fail',
    /1 key of type vectorset, for example v, which the target refuses \|.*load the same module in the same version/,
  ],
  [
    'Modules',
    'there are keys that the target takes',
    {
      source: { modules: ['vectorset'] },
      target: { modules: ['vectorset'] },
      contents: {
        looked: { keys: 9, of: 9 },
        opaque: { vectorset: { count: 1, sample: ['v'], accepted: true } },
      },
    },
    'pass',
    /1 key of type vectorset, which the target takes/,
  ],
  ['Modules', 'not known', { target: { modules: null } }, 'pass', /not known/],
  [
    'Hash fields that expire',
    'there are some',
    {
      contents: {
        looked: { keys: 9, of: 9 },
        expiringFields: { count: 2, sample: ['session:1', 'session:2'] },
      },
    },
    'fail',
    /2 hashes with such fields, for example session:1, session:2.*HPERSIST/,
  ],
  [
    'Hash fields that expire',
    'none were found so far',
    { contents: { looked: { keys: 9, of: 10 }, expiringFields: { count: 0, sample: [] } } },
    'warn',
    /none among the 9 of 10 keys looked at.*nothing lost/,
  ],
  ['Functions', 'are carried', { contents: libraries(['mylib'], []) }, 'pass', /carried: mylib/],
  [
    'Functions',
    'of the same name are there',
    { contents: libraries(['mylib', 'b'], ['mylib', 'b'], ['b']) },
    'fail',
    /other code under the same name: b; carried.*FUNCTION DELETE/,
  ],
  [
    'Functions',
    'of the same name are replaced',
    { contents: libraries(['b'], ['b'], ['b']), settings: { ifTargetHasKeys: 'replace' } },
    'warn',
    /will be replaced/,
  ],
  [
    'Functions',
    'of the same name are left',
    { contents: libraries(['b'], ['b'], ['b']), settings: { ifTargetHasKeys: 'skip' } },
    'warn',
    /left as they are/,
  ],
  [
    'Functions',
    'into a server without',
    { contents: libraries(['mylib'], null) },
    'waivable',
    /Redis 8\.0\.2 has no functions.*stay behind/,
  ],
  [
    'Functions',
    'with only some of the keys',
    { contents: libraries(['mylib'], []), settings: { match: 'a:*' } },
    'waivable',
    /missing: mylib.*only some keys are copied.*FUNCTION DUMP/,
  ],
  [
    'Functions',
    'are there already',
    { contents: libraries(['mylib'], ['mylib']), settings: { databases: { '0': 3 } } },
    'pass',
    /the target has them/,
  ],
  [
    'Settings agree',
    'differ',
    { target: { settings: { timeout: '300', 'maxmemory-policy': 'noeviction' } } },
    'warn',
    /timeout: 0 → 300/,
  ],
  ['Settings agree', 'not known', { target: { settings: null } }, 'pass', /not known/],
  [
    'Target saves to disk',
    'off',
    { target: { persistence: { aof: false, rdbLastSave: 'ok', save: '', loading: false } } },
    'warn',
    /loses everything/,
  ],
  ['Target has replicas', 'fewer', { source: { replicas: ['10.0.0.4:6379'] } }, 'warn', /do not follow/],
  ['Clocks agree', 'apart', { target: { clockSkewMs: -1_500 } }, 'warn', /1500 ms apart/],
  [
    'Clocks agree',
    'both off together',
    { source: { clockSkewMs: 60_000 }, target: { clockSkewMs: 60_100 } },
    'pass',
    /100 ms/,
  ],
  ['Somebody is notified', 'nobody', { settings: { notify: null } }, 'warn', /notify/],
];

describe('each check', () => {
  it.each(table)('%s: %s', (name, _title, change, status, says) => {
    const found = checks(change).find((check) => check.name === name);
    const line = `${found?.expected} | ${found?.actual} | ${found?.next ?? ''}`;
    expect({ line, status: found?.status === 'fail' && found.waivable ? 'waivable' : found?.status }).toEqual(
      { line, status },
    );
    expect(line).toMatch(says);
    // What isn't all right says what to do, and only a failed check can be waived.
    expect(found?.next === undefined).toBe(status === 'pass');
    expect(found?.waivable).toBe(status === 'waivable');
  });
});

const one = (name: string, more: Partial<Parameters<typeof preflightCopy>[0]>) =>
  preflightCopy({
    source,
    target,
    settings: settingsOf(),
    formats: { sourceWrites: 10, targetAccepts: [10] },
    ...more,
  }).find((check) => check.name === name);

it('goes by the databases that are copied', () => {
  const all = Array.from({ length: 16 }, (_, number) => [number, number] as const);
  expect(one('Source holds keys', { databases: all })).toMatchObject({
    status: 'pass',
    actual: 'database 0: 1,000 keys',
  });
  expect(one('Target is empty', { databases: all })).toMatchObject({
    status: 'pass',
    expected: 'no keys in database 0 to 15',
  });
  const inFive = server({ clients: { total: 1, byDatabase: { 5: 1 }, sample: [] } });
  expect(one('Only this application uses the source', { source: inFive, databases: all })?.status).toBe(
    'pass',
  );
  expect(one('Only this application uses the source', { source: inFive })?.status).toBe('warn');
});

it('says how writes are held', () => {
  expect(holdOf({ source, target, settings: settingsOf() })).toEqual({
    pause: true,
    fence: 'min-replicas',
    why: '',
  });
  expect(holdOf({ source: { ...source, ...noControl }, target, settings: settingsOf() })).toMatchObject({
    pause: false,
    fence: null,
  });
  expect(
    holdOf({ source, target: { ...target, runId: source.runId }, settings: settingsOf() }),
  ).toMatchObject({ pause: false, fence: null });
  const shared = { ...source, databases: { ...source.databases, 4: { keys: 1, expires: 0 } } };
  const mapped = { databases: { '0': 0 } };
  expect(holdOf({ source: shared, target, settings: settingsOf({ ...mapped, ...stopped }) })).toMatchObject({
    pause: false,
    fence: null,
  });
  expect(holdOf({ source: shared, target, settings: settingsOf(mapped) })).toEqual({
    pause: true,
    fence: null,
    why: 'no fence, since others use the source',
  });
});

it('says what stays on the source, without numbers that change', () => {
  const shared = { ...source, databases: { ...source.databases, 4: { keys: 9, expires: 0 } } };
  expect(stayBehind({ source: shared, settings: settingsOf() })).toEqual([]);
  expect(
    stayBehind({ source: shared, settings: settingsOf({ databases: { '0': 0 }, match: 'app:*' }) }),
  ).toEqual(['keys that do not match app:*', 'database 4']);
});

it('lists settings that differ, of those that both have', () => {
  expect(
    settingsDiff(
      { timeout: '0', save: '', databases: '16', a: '1' },
      { timeout: '300', save: '3600 1', databases: '32', b: '2' },
    ),
  ).toEqual([
    { setting: 'save', source: '""', target: '3600 1' },
    { setting: 'timeout', source: '0', target: '300' },
  ]);
});
