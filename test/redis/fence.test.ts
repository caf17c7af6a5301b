import { afterEach, describe, expect, it } from 'vitest';
import type { Redis } from 'ioredis';
import { clientsOf, dropClients } from '../../src/redis/clients.js';
import {
  fence,
  fenceBefore,
  FENCE_BASE,
  fenceStanding,
  isFenced,
  seal,
  unfence,
  unfenceByHand,
} from '../../src/redis/fence.js';
import { pauseWrites, resumeWrites } from '../../src/redis/pause.js';
import { serve, SERVERS } from './servers.js';

async function outcome(act: Promise<unknown>): Promise<string> {
  return act.then(
    () => 'done',
    (error: Error) => /READONLY|NOREPLICAS|EXECABORT/.exec(error.message)?.[0] ?? error.message,
  );
}

const REFUSED = /^(READONLY|NOREPLICAS|EXECABORT)$/;
const REFUSED_ALL = /: (READONLY|NOREPLICAS|EXECABORT)$/;

async function expectRefused(client: Redis, ...commands: string[][]): Promise<void> {
  for (const [name = '', ...args] of commands) {
    expect(`${name}: ${await outcome(client.call(name, ...args))}`).toMatch(REFUSED_ALL);
  }
}

/** Its keys and what they hold. */
async function content(client: Redis): Promise<string> {
  const names = (await client.keys('*')).toSorted();
  const dumps = await Promise.all(names.map((key) => client.dumpBuffer(key)));
  return names.map((key, i) => `${key}=${dumps[i]?.toString('hex')}`).join('\n');
}

let stop: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of stop) await end();
  stop = [];
});

describe.each(SERVERS.map(({ name }) => name))('%s', (name) => {
  const old = name === 'r60';
  const functions = !['r60', 'r62'].includes(name);

  it(
    'refuses every kind of write and answers reads, with a replica attached, until it is lifted',
    { timeout: 30_000 },
    async () => {
      const server = await serve({ name, args: ['--repl-diskless-sync-delay', '0'] });
      await serve({ name, args: ['--replicaof', '127.0.0.1', String(server.port)] });
      const [client, app, queued] = [server.client(), server.client(), server.client()];
      for (let i = 0; i < 100 && !(await client.info('replication')).includes('state=online'); i += 1) {
        await new Promise((done) => setTimeout(done, 50));
      }
      await client.config('SET', 'min-replicas-to-write', '1');
      await client.mset('a', '1', 'b', '2');
      await client.rpush('list', '1');
      await client.sadd('set', 'm');
      await client.xadd('stream', '1-1', 'f', 'v');
      await client.xgroup('CREATE', 'stream', 'group', '0');
      if (functions) {
        await client.call(
          'FUNCTION',
          'LOAD',
          '#!lua name=lib\nredis.register_function("w", function() return redis.call("SET","f","1") end)',
        );
      }
      const before = await content(client);
      await queued.call('MULTI');
      await queued.set('queued', '1');

      const was = await fence({ client });
      expect(await isFenced({ client })).toBe(old ? 'replica-of-itself' : 'min-replicas');
      expect(await fenceStanding({ client })).toBe('fenced');
      expect(await outcome(queued.call('EXEC'))).toMatch(REFUSED);
      await expectRefused(
        app,
        ['SET', 'k', '1'],
        ['DEL', 'a'],
        ['EXPIRE', 'a', '10'],
        ['LPOP', 'list'],
        ['SPOP', 'set'],
        ['FLUSHALL'],
        ['FLUSHDB'],
        ['SWAPDB', '0', '1'],
        ['XREADGROUP', 'GROUP', 'group', 'c', 'STREAMS', 'stream', '>'],
        ['RENAME', 'a', 'z'],
        ['RESTORE', 'r', '0', 'x'],
        ['PFADD', 'p', '1'],
        ...(functions
          ? [
              ['FCALL', 'w', '0'],
              ['FUNCTION', 'FLUSH'],
            ]
          : []),
      );
      // Scripts: that the key isn't there is what counts, since a refusal reads differently in each version.
      for (const script of ['return redis.call("SET","lua","1")', 'return redis.pcall("DEL","a")'])
        await outcome(app.call('EVAL', script, '0'));
      await app.call('MULTI');
      await outcome(app.call('EVAL', 'return redis.call("SET","lua2","1")', '0'));
      await outcome(app.call('EXEC'));
      expect(await content(client)).toBe(before);
      expect(await app.get('a')).toBe('1');
      expect(await app.eval('return redis.call("GET","a")', 0)).toBe('1');

      // Once more is harmless, and keeps what stood before.
      expect(await fence({ client })).toEqual(was);
      await seal({ client });
      await seal({ client });
      expect(await fenceStanding({ client })).toBe('sealed');
      expect(await fenceBefore({ client })).toEqual(was);

      await unfence({ client });
      await unfence({ client, before: was });
      expect(await fenceStanding({ client })).toBe('none');
      const settings = await client.config('GET', 'min-replicas-to-write');
      expect(settings).toContain('1');
      for (let i = 0; i < 100 && !(await client.info('replication')).includes('state=online'); i += 1) {
        await new Promise((done) => setTimeout(done, 50));
      }
      expect(await outcome(app.set('after', '1'))).toBe('done');
      // The replica went on by a partial resync, or never left.
      expect(await client.info('stats')).toContain('sync_full:1\r\n');
    },
  );

  it.skipIf(old)('refuses what a pause held, and needs no record of what stood before', async () => {
    const server = await serve({ name });
    const client = server.client();
    await client.config('SET', 'min-replicas-max-lag', '0');
    await pauseWrites({ client, ms: 5_000 });
    const held = [
      outcome(server.client().set('held', '1')),
      outcome(server.client().call('EVAL', 'return redis.call("SET","held","1")', '0')),
    ];
    await new Promise((done) => setTimeout(done, 100));
    await fence({ client });
    await resumeWrites({ client });
    const [set, script] = await Promise.all(held);
    expect(set).toBe('NOREPLICAS');
    expect(script).not.toBe('done');
    expect(await client.exists('held')).toBe(0);
    await unfence({ client });
    expect(await client.config('GET', 'min-replicas-max-lag')).toContain('0');
    expect(await client.config('GET', 'min-replicas-to-write')).toContain('0');
  });

  it('lets keys expire', async () => {
    const server = await serve({ name });
    const client = server.client();
    await client.set('short', '1', 'PX', 200);
    await fence({ client });
    await new Promise((done) => setTimeout(done, 400));
    expect(await client.get('short')).toBeNull();
  });

  it('lifts by hand', async () => {
    const server = await serve({ name });
    const client = server.client();
    const before = await fence({ client });
    await seal({ client });
    for (const command of unfenceByHand(before)) {
      const [verb = '', ...args] = command.split(' ');
      await client.call(verb, ...args);
    }
    expect(await isFenced({ client })).toBeNull();
    expect(await outcome(client.set('k', '1'))).toBe('done');
  });
});

describe('the fence', () => {
  it('is told from a setting of the owner', async () => {
    const server = await serve();
    const client = server.client();
    await client.config('SET', 'min-replicas-to-write', '2147483');
    expect(await isFenced({ client })).toBeNull();
    await unfence({ client });
    expect(await client.config('GET', 'min-replicas-to-write')).toContain('2147483');
    await client.config('SET', 'min-replicas-to-write', String(FENCE_BASE + 2));
    expect(await isFenced({ client })).toBe('min-replicas');
    await unfence({ client });
    expect(await client.config('GET', 'min-replicas-to-write')).toContain('2');
  });

  it('is not set on a replica, and not sealed where it has fallen', async () => {
    const server = await serve();
    const client = server.client();
    await expect(seal({ client })).rejects.toThrow('has fallen');
    await client.call('REPLICAOF', '127.0.0.1', '1');
    await expect(fence({ client })).rejects.toMatchObject({ type: 'ReadOnlyTarget' });
  });

  it('says which command is not permitted', async () => {
    const server = await serve();
    const admin = server.client();
    await admin.call('ACL', 'SETUSER', 'app', 'on', 'nopass', '~*', '+@all', '-config|set');
    const client = server.client();
    await client.call('AUTH', 'app', 'x');
    await expect(fence({ client })).rejects.toMatchObject({
      type: 'NotPermitted',
      message: expect.stringContaining('CONFIG SET'),
    });
  });
});

describe.each(SERVERS.map(({ name }) => name))('clients of %s', (name) => {
  it('are listed by database and dropped, but for replicas, subscribers and our own', async () => {
    const server = await serve({ name });
    await serve({ name, args: ['--replicaof', '127.0.0.1', String(server.port)] });
    const [client, zero, three, ours, subscriber] = [
      server.client(),
      server.client(),
      server.client(3),
      server.client(),
      server.client(),
    ];
    await ours.client('SETNAME', 'ferry:other:1.1');
    await client.client('SETNAME', 'ferry:me:1.1');
    await zero.client('SETNAME', 'app');
    await zero.set('key-that-must-not-show', 'value-that-must-not-show');
    await three.ping();
    await subscriber.subscribe('news');
    await subscriber.ping().catch(() => undefined);
    // Until it asks for the data, a replica that is starting looks like any client.
    await expect.poll(async () => String(await client.client('LIST'))).toMatch(/flags=S/);
    const all = await clientsOf({ client });
    expect(JSON.stringify(all)).not.toContain('must-not-show');
    expect(all.map(({ database }) => database).toSorted((a, b) => a - b)).toEqual([0, 0, 3]);
    const inThree = await clientsOf({ client, databases: [3] });
    expect(inThree).toHaveLength(1);
    expect(all.find((other) => other.name === 'app')).toMatchObject({ database: 0, command: 'set' });
    const everything = [...String(await client.client('LIST')).matchAll(/^id=(\d+)/gm)].map(
      (match) => match[1] ?? '',
    );
    expect(await dropClients({ client, ids: everything })).toBe(2);
    expect(await dropClients({ client, ids: everything })).toBe(0);
    expect((await clientsOf({ client })).map(({ database }) => database)).toEqual([0]);
    expect(await dropClients({ client, ids: everything, subscribers: true })).toBe(1);
    expect(await ours.ping()).toBe('PONG');
    expect(String(await client.client('LIST'))).toMatch(/flags=S/);
  });
});
