import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished, test } from 'vitest';
import { describe as describeServer, type ServerFacts } from '../../src/redis/describe.js';
import { highestFormat } from '../../src/redis/format.js';
import { libraryOf } from '../../src/redis/preflight/libraries.js';
import { preflightReplication, type ReplicationInput } from '../../src/redis/preflight/replication.js';
import { openConnection } from '../../src/redis/resp.js';
import { parseHabits } from '../../src/redis/survey/clients.js';
import { surveyBetween, surveyOf, type Survey } from '../../src/redis/survey/index.js';
import { parseAclUser, usersBetween } from '../../src/redis/survey/users.js';
import { installed, serve, type TestServer } from './servers.js';
import { cases } from '../support/slow.js';

interface Looked {
  facts: ServerFacts;
  survey: Survey;
  formats: { accepts: readonly number[] | null; highest: number | null };
}

async function look(
  server: TestServer,
  login: { username?: string; password?: string } = {},
): Promise<Looked> {
  const address = { host: server.host, port: server.port, ...login };
  const client = server.client();
  if (login.password !== undefined) await client.call('AUTH', login.username ?? 'default', login.password);
  const connection = await openConnection({ address, name: 'ferry:test' });
  onTestFinished(() => connection.close());
  return {
    facts: await describeServer({ address, name: 'ferry:test' }),
    survey: await surveyOf({ client }),
    formats: await highestFormat(connection),
  };
}

function checklist(source: Looked, target: Looked, more: Partial<ReplicationInput> = {}) {
  const checks = preflightReplication({
    source: source.facts,
    target: target.facts,
    formats: {
      sourceWrites: source.formats.highest,
      targetAccepts: target.formats.accepts,
      targetWrites: target.formats.highest,
      sourceAccepts: source.formats.accepts,
    },
    survey: surveyBetween({ source: source.survey, target: target.survey }),
    ifTargetHasKeys: 'refuse',
    backlogBytes: 64 * 1024 * 1024,
    bytesPerSecond: 0,
    watchers: null,
    maxPauseMs: 500,
    linkDownFor: '10m',
    notified: true,
    own: 'ferry:test',
    notUndone: [],
    ...more,
  });
  return (name: string) => {
    const found = checks.find((each) => each.name === name);
    if (!found) throw new Error(`no check "${name}" in ${checks.map((each) => each.name).join(', ')}`);
    return found;
  };
}

/** What waits, until the server shows it. */
async function shown(server: TestServer, pattern: RegExp): Promise<void> {
  const client = server.client();
  await expect.poll(async () => String(await client.call('CLIENT', 'LIST'))).toMatch(pattern);
}

const PAIRS = [
  ['r62', 'r70', 'partial only'],
  ['r70', 'r80', 'partial only'],
  ['r72', 'v9', 'while'],
  ['v81', 'v9', 'while'],
  ['r70', 'v9', 'partial only'],
  ['r72', 'v81', 'whole'],
  ['r80', 'r74', 'whole'],
] as const;

describe('two real servers', () => {
  test.each(PAIRS.filter(([one, two]) => installed(one) && installed(two)))(
    '%s → %s: nothing stands in the way, and the way back is told',
    async (one, two, back) => {
      const [source, target] = [await serve({ name: one }), await serve({ name: two })];
      await source.client().set('a', '1');
      const [from, to] = [await look(source), await look(target)];
      const check = checklist(from, to);
      const says = {
        'partial only': 'by partial resync only',
        while: 'until the first hash field',
        whole: 'yes, also from nothing: ',
      };
      expect(check('The old server can come back').actual).toContain(says[back]);
      expect(check('The old server can come back').status).toBe(back === 'whole' ? 'pass' : 'warn');
      expect(check('Commands in use')).toMatchObject({ status: 'pass', actual: 'all are known' });
      expect(check('Users')).toMatchObject({ status: 'pass', actual: 'alike' });
      expect(check('Nobody else changes the roles')).toMatchObject({
        status: 'pass',
        actual: 'no sign of one',
      });
      expect(check('Backlog for the way back').status).toBe('pass');
      expect(check('Target can follow the source').status).toBe('pass');
    },
  );

  test('commands that only the new one knows are counted, by name', async () => {
    const [source, target] = [await serve({ name: 'r70' }), await serve({ name: 'r80' })];
    const check = checklist(await look(source), await look(target));
    expect(check('Commands that only the target knows')).toMatchObject({ status: 'warn' });
    expect(check('Commands that only the target knows').actual).toContain('HEXPIRE');
    expect(check('Commands that only the target knows').actual).toContain('HGETEX');
    expect(check('Commands that only the target knows').actual).not.toMatch(/\bHTTL\b/);
    const back = checklist(await look(target), await look(source));
    expect(back('Commands that only the target knows')).toMatchObject({ status: 'pass', actual: 'none' });
  });

  test('a command in use that the target lacks fails, with how often it was called', async () => {
    const [source, target] = [await serve({ name: 'r80' }), await serve({ name: 'r74' })];
    const client = source.client();
    await client.hset('h', 'f', '1');
    for (let i = 0; i < 3; i += 1) await client.call('HGETEX', 'h', 'FIELDS', '1', 'f');
    expect(checklist(await look(source), await look(target))('Commands in use')).toMatchObject({
      status: 'fail',
      waivable: true,
      actual: 'not known there: HGETEX (3 calls)',
    });
  });

  test('consumer groups of 6.2 can not come back from 7.4 or later, and from 7.0 only without NOACK', async () => {
    const [source, later, next] = [
      await serve({ name: 'r62' }),
      await serve({ name: 'r74' }),
      await serve({ name: 'r70' }),
    ];
    const name = 'What is used keeps the way back open';
    expect(checklist(await look(source), await look(later))(name)).toMatchObject({ status: 'pass' });
    const client = source.client();
    await client.call('XGROUP', 'CREATE', 's', 'g', '$', 'MKSTREAM');
    await client.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 's', '>');
    const from = await look(source);
    expect(checklist(from, await look(later))(name)).toMatchObject({ status: 'fail', waivable: true });
    expect(checklist(from, await look(next))(name)).toMatchObject({ status: 'warn' });
    expect(checklist(from, await look(next))(name).next).toContain('with NOACK');
  });

  test('that is so: after XREADGROUP on a 7.4 a 6.2 behind it has answered with an error', async () => {
    const [old, next] = [await serve({ name: 'r62' }), await serve({ name: 'r74' })];
    const [behind, ahead] = [old.client(), next.client()];
    const errors = async () =>
      Number(/unexpected_error_replies:(\d+)/.exec(await behind.info('stats'))?.[1] ?? 0);
    await ahead.call('REPLICAOF', '127.0.0.1', String(old.port));
    await expect
      .poll(() => ahead.info('replication'), { timeout: 30_000 })
      .toContain('master_link_status:up');
    await ahead.call('REPLICAOF', 'NO', 'ONE');
    await behind.call('REPLICAOF', '127.0.0.1', String(next.port));
    await expect
      .poll(() => behind.info('replication'), { timeout: 30_000 })
      .toContain('master_link_status:up');
    await ahead.call('XADD', 's', '1-1', 'f', 'v');
    await ahead.call('XGROUP', 'CREATE', 's', 'g', '0');
    await expect.poll(() => behind.call('EXISTS', 's')).toBe(1);
    expect(await errors()).toBe(0);
    await ahead.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 's', '>');
    await expect.poll(errors, { timeout: 30_000 }).toBe(1);
  });

  test('a script that was loaded is not there after a full sync', async () => {
    const [source, target] = [await serve({ name: 'r70' }), await serve({ name: 'r80' })];
    const client = source.client();
    const sha = String(await client.call('SCRIPT', 'LOAD', 'return 1'));
    const name = 'Scripts';
    expect(checklist(await look(source), await look(target))(name)).toMatchObject({ status: 'pass' });
    await client.call('EVALSHA', sha, '0');
    expect(checklist(await look(source), await look(target))(name)).toMatchObject({
      status: 'warn',
      actual: 'EVALSHA (1 call)',
    });
    const next = target.client();
    await next.call('REPLICAOF', '127.0.0.1', String(source.port));
    await expect.poll(() => next.info('replication'), { timeout: 30_000 }).toContain('master_link_status:up');
    await expect(next.call('EVALSHA', sha, '0')).rejects.toThrow('NOSCRIPT');
  });

  test('the clients of today, by library and by what they do', async () => {
    const [source, target] = [await serve({ name: 'r72' }), await serve({ name: 'v9' })];
    const clients = Array.from(
      { length: 3 },
      () => new Redis({ host: source.host, port: source.port, retryStrategy: () => null }),
    );
    onTestFinished(() => clients.forEach((client) => client.disconnect()));
    const [waiting, listening, doing] = clients as [Redis, Redis, Redis];
    waiting.blpop('nothing', 0).catch(() => undefined);
    await listening.subscribe('news');
    await doing.call('MULTI');
    await source.client().ping();
    await shown(source, /cmd=blpop/);
    await shown(source, /lib-name=ioredis[^\n]*\n[^]*lib-name=ioredis[^\n]*\n[^]*lib-name=ioredis/);
    const from = await look(source);
    expect(from.survey.clients).toMatchObject({
      waiting: { blpop: 1 },
      subscribers: 1,
      inTransaction: 1,
      monitors: 0,
      tellsLibraries: true,
      users: { default: from.survey.clients?.total },
    });
    expect(from.survey.clients?.libraries).toContainEqual({
      name: 'ioredis',
      versions: [expect.stringMatching(/^\d+\.\d+/) as string],
      clients: 3,
    });
    const check = checklist(from, await look(target))('Clients');
    expect(check.status).toBe('warn');
    expect(check.actual).toMatch(/3 ioredis \d.*waiting: 1 in BLPOP; 1 subscriber; 1 between MULTI and EXEC/);
    expect(check.next).toContain('retryStrategy: () => 2');
    expect(check.next).toContain('write twice');
  });

  test('before 7.2 no server tells libraries, and the check says so', async () => {
    const [source, target] = [await serve({ name: 'r70' }), await serve({ name: 'r80' })];
    await source.client().ping();
    const check = checklist(await look(source), await look(target))('Clients');
    expect(check).toMatchObject({ status: 'warn' });
    expect(check.actual).toContain('is not known: the server tells it from 7.2 on');
    expect(check.next).toContain('Look up in the documentation of their libraries');
  });

  test('users that the target lacks: warned of, and held for when a client is logged in as one', async () => {
    const [source, target] = [await serve({ name: 'r72' }), await serve({ name: 'r80' })];
    const admin = source.client();
    await admin.call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all');
    await admin.call('ACL', 'SETUSER', 'reports', 'on', '>secret', '~*', '+@read');
    await target.client().call('ACL', 'SETUSER', 'reports', 'on', '>other', '~*', '+@read');
    const to = await look(target);
    expect(checklist(await look(source), to)('Users')).toMatchObject({
      status: 'warn',
      expected: 'default, app, reports',
      actual: 'missing there: app; reports differs in passwords',
    });
    const app = source.client();
    await app.call('AUTH', 'app', 'secret');
    const from = await look(source);
    const check = checklist(from, to)('Users');
    expect(check).toMatchObject({ status: 'fail', waivable: true });
    expect(check.actual).toContain('clients are logged in as app');
    const between = surveyBetween({ source: from.survey, target: to.survey });
    expect(JSON.stringify(between)).not.toMatch(/[0-9a-f]{64}/);
  });

  test('a user who may not ask: said as not known, never passed', async () => {
    const [source, target] = [await serve({ name: 'r72' }), await serve({ name: 'r80' })];
    await source
      .client()
      .call(
        'ACL',
        'SETUSER',
        'narrow',
        'on',
        '>narrow',
        '~*',
        '&*',
        '+@all',
        '-acl',
        '-command',
        '-client|list',
        '-config',
        '-function',
        '-module',
      );
    const from = await look(source, { username: 'narrow', password: 'narrow' });
    const check = checklist(from, await look(target));
    for (const name of [
      'Commands that only the target knows',
      'Users',
      'Clients',
      'Functions',
      'Modules',
      'Settings agree',
      'Nobody else changes the roles',
    ]) {
      expect(check(name).actual, name).toContain('not permitted to ask');
      expect(check(name).status, name).toBe('warn');
    }
    const to = await look(target);
    const blind = checklist(to, from);
    expect(blind('Commands in use')).toMatchObject({
      status: 'warn',
      actual: 'not known: not permitted to ask',
    });
  });

  test('a command that the target renamed away is missed', async () => {
    const source = await serve({ name: 'r70' });
    const target = await serve({ name: 'r80', args: ['--rename-command', 'GETSET', ''] });
    await source.client().getset('a', '1');
    expect(checklist(await look(source), await look(target))('Commands in use').actual).toBe(
      'not known there: GETSET (1 call)',
    );
  });

  test('settings of another name are the same, and what is lost is told with how to keep it', async () => {
    const source = await serve({
      name: 'r62',
      args: ['--hash-max-ziplist-entries', '64', '--timeout', '30'],
    });
    const target = await serve({ name: 'r80' });
    const check = checklist(await look(source), await look(target))('Settings agree');
    expect(check.actual).toContain('hash-max-listpack-entries: 64 → 512');
    expect(check.actual).toContain('timeout: 30 → 0');
    expect(check.actual).not.toContain('client-output-buffer-limit');
    expect(check.actual).not.toContain('busy-reply-threshold');
    expect(check.next).toContain('CONFIG SET timeout 30');
  });

  test('a save that failed and a manager are seen', async () => {
    const [source, target] = [
      await serve({
        name: 'r72',
        args: ['--replica-announce-ip', 'redis-0.redis-headless.shop.svc.cluster.local'],
      }),
      await serve({ name: 'r80' }),
    ];
    const client = source.client();
    await client.client('SETNAME', 'redis-operator');
    await client.set('a', '1');
    const [, dir = ''] = (await client.config('GET', 'dir')) as string[];
    const quiet = checklist(await look(source), await look(target));
    expect(quiet('Source saves to disk').actual).toMatch(
      /^off; last saved or started .* ago, 1 write since$/,
    );
    await mkdir(join(dir, 'dump.rdb', 'in-the-way'), { recursive: true });
    await client.bgsave();
    await expect.poll(() => client.info('persistence')).toContain('rdb_last_bgsave_status:err');
    const check = checklist(await look(source), await look(target));
    expect(check('Nobody else changes the roles')).toMatchObject({ status: 'warn' });
    expect(check('Nobody else changes the roles').actual).toMatch(
      /a connection named redis-operator.*announces itself as redis-0/,
    );
    expect(check('Source saves to disk')).toMatchObject({ status: 'warn' });
    expect(check('Source saves to disk').actual).toContain('off; the last save failed');
  });
});

describe('version notes', () => {
  test('are those on the way, of what is used', async () => {
    const [source, target] = [await serve({ name: 'r62' }), await serve({ name: 'r80' })];
    const idle = checklist(await look(source), await look(target))('Version notes');
    expect(idle).toMatchObject({ status: 'pass' });
    const client = source.client();
    await client.call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '+@read');
    await client.eval('return 1', 0);
    await client.getrange('a', 0, -1);
    const check = checklist(await look(source), await look(target))('Version notes');
    expect(check.status).toBe('warn');
    for (const note of [
      /Redis 7\.0: ACL users may use no pub\/sub channel/,
      /Redis 7\.0: scripts are replicated by their effects/,
      /Redis 7\.2: time stands still/,
      /Redis 8\.0: the ACL categories/,
      /Redis 8\.0: GETRANGE/,
    ])
      expect(check.actual).toMatch(note);
    expect(check.actual).not.toMatch(/XAUTOCLAIM|BITCOUNT|maxmemory|module|Valkey/);
    const half = checklist(await look(source), await look(await serve({ name: 'r72' })))('Version notes');
    expect(half.actual).not.toContain('Redis 8.0');
  });

  test('of Valkey go by its own version, and none is behind an older target', async () => {
    const [old, valkey, newer] = [
      await serve({ name: 'r72' }),
      await serve({ name: 'v81' }),
      await serve({ name: 'v9' }),
    ];
    for (const server of [old, valkey]) await server.client().multi().set('a', '1').exec();
    const crossing = checklist(await look(old), await look(newer))('Version notes').actual;
    expect(crossing).toContain('7.2.4 as redis_version');
    expect(crossing).toContain('Valkey 8.0: MULTI or WATCH');
    expect(crossing).not.toContain('Redis 7.');
    const within = checklist(await look(valkey), await look(newer))('Version notes').actual;
    expect(within).toBe(
      'Valkey 9.0: errors inside a transaction name the whole command (CLIENT SETNAME instead of client)',
    );
    expect(checklist(await look(newer), await look(valkey))('Version notes').status).toBe('pass');
  });

  test('say so where it is not known whether they apply', async () => {
    const [source, target] = [
      await look(await serve({ name: 'r70' })),
      await look(await serve({ name: 'r80' })),
    ];
    const blind = { ...source, survey: { ...source.survey, users: null } };
    expect(checklist(blind, target)('Version notes').actual).toContain('(whether it is used is not known)');
  });
});

describe('the way back', () => {
  test('a backlog that a machine has no memory for', async () => {
    const [source, target] = [
      await look(await serve({ name: 'r70' })),
      await look(await serve({ name: 'r80' })),
    ];
    const small = (looked: Looked) => ({
      ...looked,
      survey: { ...looked.survey, state: { ...looked.survey.state, machineMemory: 32 * 1024 * 1024 } },
    });
    const name = 'Backlog for the way back';
    expect(checklist(source, target, { bytesPerSecond: 1024 * 1024 })(name)).toMatchObject({
      status: 'pass',
      actual: '64 MB, about 64 seconds at the 1.0 MB a second that clients send now',
    });
    expect(checklist(source, small(target))(name)).toMatchObject({ status: 'fail', waivable: true });
    expect(checklist(small(source), target)(name).actual).toContain(source.facts.shown);
  });

  test.each(
    cases<readonly [string, string, boolean]>(
      [
        ['r72', 'v9', true],
        ['r70', 'v9', false],
      ],
      [
        ['v81', 'v9', true],
        ['r72', 'v81', true],
      ],
    ),
  )('from nothing: %s behind %s, as it is told: %s', async (one, two, whole) => {
    const [old, next] = [await serve({ name: one }), await serve({ name: two })];
    const check = checklist(await look(old), await look(next))('The old server can come back');
    expect(check.actual.startsWith('yes, also from nothing')).toBe(whole);
    await next.client().hset('h', 'f', '1');
    const behind = old.client();
    await behind.call('REPLICAOF', '127.0.0.1', String(next.port));
    if (whole) await expect.poll(() => behind.hget('h', 'f'), { timeout: 30_000 }).toBe('1');
    else await expect.poll(() => readFileSync(old.log, 'utf8')).toMatch(/Can't handle RDB format version/);
  });

  test('formats that may not be asked for are taken for partial resync only', async () => {
    const [source, target] = [
      await look(await serve({ name: 'r70' })),
      await look(await serve({ name: 'r80' })),
    ];
    const check = checklist({ ...source, formats: { accepts: null, highest: 10 } }, target);
    expect(check('The old server can come back')).toMatchObject({ status: 'warn' });
    expect(check('The old server can come back').actual).toContain('not known');
    expect(check('The old server can come back').next).toContain('never down for longer than about 10m');
  });
});

describe('what CLIENT LIST says', () => {
  it('leaves out replicas, itself and other upgrades, and counts the rest', () => {
    const text = [
      'id=1 addr=10.0.0.1:1 name= flags=N db=0 sub=0 psub=0 multi=-1 watch=0 cmd=get user=app resp=3 lib-name=jedis(spring-data-redis_v3.2.0) lib-ver=5.1.0',
      'id=2 addr=10.0.0.1:2 name=worker flags=b db=0 sub=0 psub=0 multi=-1 watch=0 cmd=xreadgroup user=app resp=2 lib-name= lib-ver=',
      'id=3 addr=10.0.0.1:3 name= flags=P db=0 sub=0 psub=1 multi=-1 watch=0 cmd=psubscribe user=app resp=2 lib-name=redis-py lib-ver=5.0.1',
      'id=4 addr=10.0.0.2:4 name= flags=S db=0 sub=0 psub=0 multi=-1 watch=0 cmd=replconf user=default resp=2 lib-name= lib-ver=',
      'id=5 addr=10.0.0.3:5 name=ferry:upgrade/redis/a flags=N db=0 sub=0 psub=0 multi=-1 watch=0 cmd=ping user=default resp=2 lib-name= lib-ver=',
      'id=6 addr=10.0.0.3:6 name= flags=N db=0 sub=0 psub=0 multi=-1 watch=0 cmd=client|list user=default resp=2 lib-name= lib-ver=',
      'id=7 addr=10.0.0.4:7 name= flags=O db=0 sub=0 psub=0 multi=-1 watch=0 cmd=monitor user=default resp=2 lib-name= lib-ver=',
      'id=8 addr=10.0.0.4:8 name= flags=xt db=0 sub=0 psub=0 multi=2 watch=1 cmd=set user=default resp=2 lib-name= lib-ver=',
    ].join('\n');
    expect(parseHabits(text, '6')).toEqual({
      total: 5,
      libraries: [
        { name: '', versions: [], clients: 3 },
        { name: 'jedis(spring-data-redis_v3.2.0)', versions: ['5.1.0'], clients: 1 },
        { name: 'redis-py', versions: ['5.0.1'], clients: 1 },
      ],
      tellsLibraries: true,
      waiting: { xreadgroup: 1 },
      subscribers: 1,
      inTransaction: 1,
      watching: 0,
      tracking: 1,
      monitors: 1,
      resp3: 1,
      users: { app: 3, default: 2 },
      names: ['worker'],
    });
  });
});

describe('libraries', () => {
  it.each([
    ['ioredis', 'ioredis'],
    ['go-redis(,go1.22.1)', 'go-redis'],
    ['jedis(spring-data-redis_v3.2.0)', 'Jedis'],
    ['Lettuce', 'Lettuce'],
    ['SE.Redis', 'StackExchange.Redis'],
    ['redis-client(redis-rb_v5.0.0)', 'redis-client (Ruby)'],
    ['somebody-else', undefined],
    ['', undefined],
  ])('"%s" is %s', (name, known) => expect(libraryOf(name)?.shown).toBe(known));
});

describe('what ACL LIST says', () => {
  const user = (words: string) => parseAclUser(`user ${words}`);

  it('takes a target that needs no password for one that lets everybody in', () => {
    expect(
      usersBetween({
        source: [user('default on #aa ~* &* +@all')],
        target: [user('default on nopass ~* &* +@all')],
      }),
    ).toMatchObject({ differ: [] });
    expect(
      usersBetween({
        source: [user('default on nopass ~* &* +@all')],
        target: [user('default on #aa ~* &* +@all')],
      }),
    ).toMatchObject({ differ: [{ name: 'default', in: ['passwords'] }] });
  });

  it('sees channels and categories', () => {
    expect(
      usersBetween({
        source: [user('app on #aa ~* &* -@all +@read')],
        target: [user('app off sanitize-payload #aa ~* resetchannels -@all +@read')],
      }),
    ).toEqual({
      source: ['app'],
      lacking: [],
      differ: [{ name: 'app', in: ['switched off', 'channels'] }],
      byCategory: ['app'],
    });
  });
});
