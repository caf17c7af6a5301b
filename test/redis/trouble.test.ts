import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { withClient } from '../../src/redis/connect.js';
import { describe as describeServer } from '../../src/redis/describe.js';
import { saveNow } from '../../src/redis/save.js';
import { troubleOn } from '../../src/redis/trouble.js';
import { serve, type TestServer } from './servers.js';

async function found(client: Redis): Promise<Record<string, string>> {
  const findings = await troubleOn({ client, shown: 'cache' });
  for (const { says, next } of findings) {
    expect(says).toMatch(/^cache: /);
    expect(next).not.toBe('');
  }
  return Object.fromEntries(
    findings.map(({ what, says, evidence }) => [what, [says, ...evidence].join('\n')]),
  );
}

async function until<T>(look: () => Promise<T>, enough: (seen: T) => boolean): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    const seen = await look();
    if (enough(seen) || tries > 200) return seen;
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function filled(server: TestServer): Promise<Redis> {
  const client = server.client();
  await client.set('one', 'value');
  return client;
}

describe('what a server in trouble says itself', () => {
  test('nothing, of one that is well, with a replica in step', async () => {
    const primary = await serve();
    const client = await filled(primary);
    const replica = (await serve()).client();
    await replica.call('REPLICAOF', '127.0.0.1', String(primary.port));
    await until(
      async () => String(await client.call('INFO', 'replication')),
      (info) => info.includes('state=online'),
    );
    await until(
      async () => String(await replica.call('INFO', 'replication')),
      (info) => info.includes('master_link_status:up'),
    );
    expect(await found(client)).toEqual({});
    expect(await found(replica)).toEqual({});
  });

  test('a replica that its primary does not let in', async () => {
    const primary = await serve({ args: ['--requirepass', 'pw'] });
    const replica = await filled(await serve());
    await replica.call('CONFIG', 'SET', 'masterauth', 'not it');
    await replica.call('REPLICAOF', '127.0.0.1', String(primary.port));
    expect((await found(replica))['Replication']).toContain(
      `cache: it follows 127.0.0.1:${primary.port}, and its link is down, it has never heard of its leader`,
    );
  });

  test('a replica that lost its primary', async () => {
    const primary = await serve();
    const replica = await filled(await serve());
    await replica.call('REPLICAOF', '127.0.0.1', String(primary.port));
    await until(
      async () => String(await replica.call('INFO', 'replication')),
      (info) => info.includes('master_link_status:up'),
    );
    await primary.stop();
    await until(
      async () => String(await replica.call('INFO', 'replication')),
      (info) => info.includes('master_link_status:down'),
    );
    expect((await found(replica))['Replication']).toContain(
      `cache: its link to 127.0.0.1:${primary.port} is down\nmaster_link_status:down`,
    );
  });

  test('a fork that hangs, at a host that keeps CONFIG to itself', async () => {
    const primary = await serve({ args: ['--requirepass', 'pw'] });
    const server = await serve();
    const fork = await filled(server);
    await fork.call('REPLICAOF', '127.0.0.1', String(primary.port));
    await fork.call('ACL', 'SETUSER', 'customer', 'on', '>pw', '~*', '+@all', '-config');
    await fork.call('AUTH', 'customer', 'pw');
    expect((await found(fork))['Fork']).toContain('it has never heard of its leader');
  });

  test('a save that failed', async () => {
    const server = await serve();
    const client = await filled(server);
    const [, dir = ''] = (await client.call('CONFIG', 'GET', 'dir')) as string[];
    // Where it would put the file stands a folder that is not empty.
    await mkdir(join(dir, 'dump.rdb', 'in the way'), { recursive: true });
    await client.call('BGSAVE');
    const said = await until(
      () => found(client),
      (seen) => seen['Saving'] !== undefined,
    );
    expect(said['Saving']).toContain('cache: its last save to disk failed\nrdb_last_bgsave_status:err');
  });

  test('memory that is nearly used up, and keys deleted for room', async () => {
    const client = await filled(await serve());
    await client.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-random');
    await client.call('CONFIG', 'SET', 'maxmemory', '6mb');
    for (let n = 0; n < 120; n += 1) await client.set(`key ${n}`, 'x'.repeat(100_000));
    const said = await found(client);
    expect(said['Memory']).toMatch(/^cache: it uses (9\d|1\d\d)% of its maxmemory\nused_memory_human:/);
    expect(said['Eviction']).toMatch(/evicted_keys:\d+\nmaxmemory_policy:allkeys-random/);
  });

  test('slow commands, by their name and without their keys', async () => {
    const client = await filled(await serve());
    await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '0');
    await client.set('of ada', 'value');
    await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '10000');
    const said = await found(client);
    expect(said['Slow commands']).toMatch(/commands took longer than 10 ms\n/);
    expect(said['Slow commands']).toMatch(/SET with 2 arguments: [\d.]+ ms at 2/);
    expect(said['Slow commands']).not.toContain('of ada');
  });

  test('no key', async () => {
    const client = (await serve()).client();
    await client.ping();
    expect((await found(client))['Keys']).toContain('cache: it holds no key\nuptime_in_seconds:');
  });

  test('an append-only file that it could not write anew', async () => {
    const server = await serve();
    const client = await filled(server);
    const [, dir = ''] = (await client.call('CONFIG', 'GET', 'dir')) as string[];
    await client.call('CONFIG', 'SET', 'appendonly', 'yes');
    await until(
      async () => String(await client.call('INFO', 'persistence')),
      (info) => info.includes('aof_rewrite_in_progress:0') && info.includes('aof_rewrite_scheduled:0'),
    );
    // Where it would put the new one stands a folder that is not empty.
    await mkdir(join(dir, 'appendonlydir', 'appendonly.aof.2.base.rdb', 'in the way'), { recursive: true });
    await client.call('BGREWRITEAOF');
    const said = await until(
      () => found(client),
      (seen) => seen['AOF'] !== undefined,
    );
    expect(said['AOF']).toContain('aof_last_bgrewrite_status:err');
  });
});

describe('a server that takes no writes since a save failed', () => {
  test('is no side of an upgrade; but it is asked, and told to save, which makes it well', async () => {
    const server = await serve();
    const client = await filled(server);
    const [, dir = ''] = (await client.call('CONFIG', 'GET', 'dir')) as string[];
    await client.call('CONFIG', 'SET', 'save', '3600 1');
    const inTheWay = join(dir, 'dump.rdb');
    await mkdir(join(inTheWay, 'a folder'), { recursive: true });
    const address = { host: server.host, port: server.port };
    const signal = new AbortController().signal;
    const save = () => withClient({ address, name: 'ferry:test' }, (own) => saveNow({ client: own, signal }));
    await expect(save()).rejects.toMatchObject({ type: 'BackupFailed' });
    await expect(client.ping()).rejects.toThrow('MISCONF');
    await expect(describeServer({ address, name: 'ferry:test', signal })).rejects.toMatchObject({
      type: 'ReadOnlyTarget',
      message: expect.stringContaining('its last save to disk failed') as unknown,
    });
    const findings = await withClient({ address, name: 'ferry:test' }, (own) =>
      troubleOn({ client: own, shown: 'cache' }),
    );
    expect(findings.map(({ what }) => what)).toContain('Saving');
    await expect(save()).rejects.toMatchObject({ type: 'BackupFailed' });
    await rm(inTheWay, { recursive: true });
    expect((await save()).seconds).toBeGreaterThanOrEqual(0);
    expect(await client.ping()).toBe('PONG');
    expect((await describeServer({ address, name: 'ferry:test', signal })).persistence.rdbLastSave).toBe(
      'ok',
    );
  });
});
