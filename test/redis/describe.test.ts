import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describe as describeServer, type ServerFacts } from '../../src/redis/describe.js';
import { breakGlassPrefix } from '../../src/redis/break-glass.js';
import { fence } from '../../src/redis/fence.js';
import type { ServerAddress } from '../../src/redis/address.js';
import type { RedisEndpoint } from '../../src/inputs/refs.js';
import { resolveEndpoint } from '../../src/platform/secrets.js';
import { anyServer, serve, SERVERS, type TestServer } from './servers.js';

const name = 'ferry:test:1.1';
const ALL = {
  pauseWrites: true,
  tracking: true,
  dump: true,
  restore: true,
  configGet: true,
  configSet: true,
  clientList: true,
  clientKill: true,
  replicaOf: true,
};

function facts(server: TestServer, more: Partial<ServerAddress> = {}): Promise<ServerFacts> {
  return describeServer({ address: { host: server.host, port: server.port, ...more }, name });
}

/** All that a change would show in. */
async function state(server: TestServer): Promise<string> {
  const client = server.client();
  const [config, keyspace, acl] = [
    await client.config('GET', '*'),
    await client.info('keyspace'),
    await client.call('ACL', 'LIST'),
  ];
  client.disconnect();
  return JSON.stringify([config, keyspace, acl]);
}

describe.each(SERVERS.map((server) => server.name))('%s', (version) => {
  it('says what it is and holds, and changes nothing', async () => {
    const server = await serve({
      name: version,
      args: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'],
    });
    const client = server.client();
    await client.mset('a', '1', 'b', '2');
    await client.set('c', '1', 'EX', 1_000);
    const other = server.client();
    await other.select(5);
    await other.set('x', '1');
    await other.client('SETNAME', 'app');
    await client.config('SET', 'requirepass', 'planted-Pw-9');
    const config = JSON.stringify(await client.config('GET', '*'));
    const said = await facts(server, { password: 'planted-Pw-9' });
    expect(JSON.stringify(await client.config('GET', '*'))).toBe(config);
    expect(JSON.stringify(said)).not.toContain('planted');
    const old = version === 'r60';
    expect(said).toMatchObject({
      shown: `127.0.0.1:${server.port}`,
      resolved: [`127.0.0.1:${server.port}`],
      product: version.startsWith('v') ? 'valkey' : 'redis',
      role: 'primary',
      primary: null,
      mode: 'standalone',
      databases: { 0: { keys: 3, expires: 1 }, 5: { keys: 1, expires: 0 } },
      databaseCount: 16,
      maxmemory: 100 * 1024 * 1024,
      maxmemoryPolicy: 'allkeys-lru',
      evictedKeys: 0,
      clients: { total: 2, byDatabase: { 0: 1, 5: 1 } },
      ferryClients: [],
      replicas: [],
      persistence: { aof: false, rdbLastSave: 'ok', save: '', loading: false },
      minReplicasToWrite: 0,
      fenced: null,
      fence: old ? 'replica-of-itself' : 'min-replicas',
      usesScripts: false,
      functions: [],
      hosting: null,
      can: old ? { ...ALL, pauseWrites: false } : ALL,
      why: old ? { pauseWrites: 'CLIENT PAUSE … WRITE came with Redis 6.2' } : {},
    });
    const [product, major, minor] = [version.slice(0, 1), version.slice(1, 2), version.slice(2)];
    expect(said.version.startsWith(product === 'v' && !minor ? major : `${major}.${minor}`)).toBe(true);
    expect(said.runId).toMatch(/^[0-9a-f]{40}$/);
    expect(said.usedMemory).toBeGreaterThan(100_000);
    expect(Math.abs(said.clockSkewMs ?? 99)).toBeLessThan(20);
    expect(said.clients?.sample.find((seen) => seen.name === 'app')).toMatchObject({
      database: 5,
      command:
        'client' + (said.clients?.sample.some(({ command }) => command.includes('|')) ? '|setname' : ''),
    });
    expect(said.settings).toMatchObject({
      'maxmemory-policy': 'allkeys-lru',
      'hash-max-listpack-entries': expect.any(String),
    });
    expect(Object.keys(said.settings ?? {})).not.toContain('requirepass');
  });

  it('knows a replica, a fence, and who is of Redis Ferry', async () => {
    const server = await serve({ name: version, args: ['--repl-diskless-sync-delay', '0'] });
    const replica = await serve({ name: version, args: ['--replicaof', '127.0.0.1', String(server.port)] });
    const client = server.client();
    await client.client('SETNAME', 'ferry:another:2.1');
    for (let i = 0; i < 100 && !(await client.info('replication')).includes('state=online'); i += 1)
      await new Promise((done) => setTimeout(done, 50));
    expect(await facts(replica)).toMatchObject({
      role: 'replica',
      primary: `127.0.0.1:${server.port}`,
      fenced: null,
    });
    expect(await facts(server)).toMatchObject({
      ferryClients: ['ferry:another:2.1'],
      replicas: [`127.0.0.1:${replica.port}`],
      clients: { total: 0 },
    });
    const before = await fence({ client });
    expect(await facts(server)).toMatchObject({ role: 'primary', primary: null, fenced: before.kind });
  });

  it('asks what a limited user may do, and changes nothing', async () => {
    const server = await serve({ name: version });
    await server
      .client()
      .call(
        'ACL',
        'SETUSER',
        'reader',
        'on',
        '>planted-Pw-9',
        '~app:*',
        '+@read',
        '+info',
        '+ping',
        '+client',
      );
    const before = await state(server);
    const said = await facts(server, { username: 'reader', password: 'planted-Pw-9' });
    expect(await state(server)).toBe(before);
    expect(said).toMatchObject({
      databaseCount: null,
      settings: null,
      minReplicasToWrite: null,
      fence: null,
      modules: null,
      can: {
        dump: true,
        restore: false,
        configGet: false,
        configSet: false,
        replicaOf: false,
        tracking: true,
        clientList: true,
        clientKill: true,
      },
    });
    expect(said.why.configSet).toMatch(/^NOPERM/);
  });

  it('knows commands that were switched off', async () => {
    const server = await serve({
      name: version,
      args: ['--rename-command', 'CONFIG', 'notforyou', '--rename-command', 'REPLICAOF', 'hidden'],
    });
    const said = await facts(server);
    expect(said).toMatchObject({
      can: { configGet: false, configSet: false, replicaOf: false, dump: true },
      fence: null,
      hosting: expect.stringContaining('CONFIG'),
    });
    expect(said.why.configGet).toMatch(/unknown command/i);
  });
});

describe('other kinds', () => {
  it('a cluster node', async () => {
    const server = await serve({ args: ['--cluster-enabled', 'yes'] });
    expect(await facts(server)).toMatchObject({ mode: 'cluster' });
  });

  it('a Sentinel', async () => {
    const server = await serve({ args: ['--sentinel'] });
    expect(await facts(server)).toMatchObject({ mode: 'sentinel', role: 'sentinel', can: { dump: false } });
  });

  it('resolves a name to every address', async () => {
    const server = await serve();
    const said = await describeServer({ address: { host: 'localhost', port: server.port }, name });
    expect(said.shown).toBe(`localhost:${server.port}`);
    expect(said.resolved).toContain(`127.0.0.1:${server.port}`);
  });

  it('counts functions and scripts', async () => {
    const server = await serve({ name: 'r80' });
    const client = server.client();
    if (!(await client.info('server')).match(/redis_version:[789]/)) return;
    await client.call(
      'FUNCTION',
      'LOAD',
      '#!lua name=mylib\nredis.register_function("f", function() return 1 end)',
    );
    await client.eval('return 1', 0);
    expect(await facts(server)).toMatchObject({ functions: ['mylib'], usesScripts: true });
  });
});

async function sh(line: string, env: Record<string, string>, cli: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)('/bin/sh', ['-euc', line], {
    env: { PATH: `${join(cli, '..')}:${process.env['PATH'] ?? ''}`, ...env },
  });
  return stdout + stderr;
}

describe('break-glass', () => {
  const clis = SERVERS.filter(({ cli }) => cli !== null);
  let dir: string;
  let safe: string | undefined;
  let tls: TestServer | undefined;
  const secret = `p%4'a"s$ s:w@o/r+d\\é`;
  const url = (user: string, server: TestServer, port = server.port, scheme = 'redis') =>
    `${scheme}://${user}:${encodeURIComponent(secret)}@127.0.0.1:${port}/3`;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "ferry glass '"));
    if (!anyServer('r70').tls) return;
    await promisify(execFile)(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        'key.pem',
        '-out',
        'cert.pem',
        '-days',
        '2',
        '-subj',
        '/CN=redis.test',
        '-addext',
        'subjectAltName=DNS:redis.test',
      ],
      { cwd: dir },
    );
    safe = await mkdtemp(join(tmpdir(), 'ferry-tls-'));
    await promisify(execFile)('cp', [join(dir, 'cert.pem'), join(dir, 'key.pem'), safe]);
    const folder = safe;
    const file = (leaf: string) => join(folder, leaf);
    tls = await serve({
      keep: true,
      name: 'r70',
      args: ['--requirepass', 'simple-Pw_1'],
      tls: { cert: file('cert.pem'), key: file('key.pem'), ca: file('cert.pem') },
    });
  });
  afterAll(async () => {
    await tls?.stop();
    if (safe) await rm(safe, { recursive: true, force: true });
    await rm(dir, { recursive: true, force: true });
  });

  async function prefix(endpoint: RedisEndpoint, env: Record<string, string> = {}): Promise<string> {
    Object.assign(process.env, env);
    const address = await resolveEndpoint({ endpoint, where: 'source' });
    for (const variable of Object.keys(env)) delete process.env[variable];
    const line = breakGlassPrefix({ address, endpoint });
    for (const hidden of [secret, encodeURIComponent(secret), 'simple-Pw_1'])
      expect(line).not.toContain(hidden);
    return line;
  }

  it.each(clis.map(({ name: version, cli }) => [version, cli ?? '']))(
    'works with redis-cli of %s',
    async (_version, cli) => {
      const server = await serve({ name: 'r70' });
      const client = server.client();
      await client.call('ACL', 'SETUSER', "o'ps", 'on', `>${secret}`, '~*', '+@all');
      await client.config('SET', 'requirepass', secret);
      const user = await prefix({ env: 'OLD_REDIS_URL' }, { OLD_REDIS_URL: url("o'ps", server) });
      expect(await sh(`${user} ACL WHOAMI`, { OLD_REDIS_URL: url("o'ps", server) }, cli)).toContain("o'ps");
      const file = join(dir, `url of ${server.port}`);
      await writeFile(file, `${url('', server)}\n`);
      expect(await sh(`${await prefix({ file })} CONFIG SET min-replicas-to-write 0`, {}, cli)).toBe('OK\n');
      await client.config('SET', 'requirepass', 'simple-Pw_1');
      const simple = { OLD_URL: `redis://:simple-Pw_1@127.0.0.1:${server.port}` };
      const line = await prefix({ env: 'OLD_URL' }, simple);
      expect(line).not.toContain('awk');
      await sh(`${line} PING`, simple, cli).then((said) => expect(said).toBe('PONG\n'));
      const open = await serve({ name: 'r70' });
      expect(await sh(`${await prefix(`redis://127.0.0.1:${open.port}`)} PING`, {}, cli)).toBe('PONG\n');
    },
  );

  it.each(clis.filter((server) => server.tls).map(({ name: version, cli }) => [version, cli ?? '']))(
    'works over TLS with redis-cli of %s',
    async (_version, cli) => {
      if (!tls) return;
      const env = { NEW_URL: `rediss://:simple-Pw_1@127.0.0.1:${tls.tlsPort}` };
      const line = await prefix(
        { env: 'NEW_URL', tls: { ca: join(dir, 'cert.pem'), serverName: 'redis.test' } },
        env,
      );
      expect(await sh(`${line} PING`, env, cli)).toBe('PONG\n');
    },
  );
});
