/* The old server at the very end, on real servers: who uses it, and how it is shut down. */
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { shutDown } from '../../../src/redis/decommission/shut-down.js';
import { useOf, usedMore, useSince } from '../../../src/redis/decommission/use.js';
import { server, temporaryFolder, versionsHere } from '../engine/servers.js';

const signal = new AbortController().signal;

/** Names of the checks that failed. */
async function failed(own: Redis, since: Awaited<ReturnType<typeof useOf>>): Promise<string[]> {
  const { checks } = useSince({ since, now: await useOf({ client: own }) });
  return checks.filter(({ status }) => status === 'fail').map(({ name }) => name);
}

const [CONNECTED, WRITTEN, READ] = [
  'Nobody is connected to the old server',
  'Nothing was written to the old server',
  'Nothing was read from the old server',
];

describe.each(versionsHere(['r62', 'r70', 'r80', 'v9']))('%s', { timeout: 60_000 }, (name) => {
  test('who uses it is found; monitors, expiry and what is asked here is not taken for use', async () => {
    const source = await server(name);
    const own = source.client();
    await own.client('SETNAME', 'ferry:test');
    await own.mset('a', '1', 'b', '2');
    await own.set('soon', '1', 'PX', 300);
    const since = await useOf({ client: own });
    expect(await failed(own, since)).toEqual([]);

    const monitor = source.client();
    await monitor.ping();
    await own.dbsize();
    await expect.poll(async () => (await useOf({ client: own })).keys, { timeout: 60_000 }).toBe(2);
    expect(await failed(own, since)).toEqual([]);
    expect((await useOf({ client: own })).monitors).toBe(1);

    const app = source.client();
    await app.client('GETNAME');
    expect(await failed(own, since)).toEqual([CONNECTED]);
    const seen = await useOf({ client: own });
    await app.get('a');
    app.disconnect();
    await expect.poll(async () => failed(own, since)).toEqual([READ]);
    expect(usedMore({ seen, now: await useOf({ client: own }) })).toContain('get ×1');

    // By a connection that is gone before anybody looks.
    const visitor = source.client();
    await visitor.eval("return redis.call('incr', 'c')", 0);
    visitor.disconnect();
    await expect.poll(async () => failed(own, since)).toEqual([WRITTEN, READ]);
    const now = await useOf({ client: own });
    expect(useSince({ since, now }).checks[1]?.actual).toContain('incr ×1');
    expect(usedMore({ seen: now, now: await useOf({ client: own }) })).toBe(null);
  });

  test('a subscriber and a replica use it', async () => {
    const [source, other] = [await server(name), await server(name)];
    const own = source.client();
    await own.client('SETNAME', 'ferry:test');
    const since = await useOf({ client: own });
    const subscriber = source.client();
    await subscriber.subscribe('news');
    expect(await failed(own, since)).toEqual([CONNECTED]);
    subscriber.disconnect();
    await expect.poll(async () => failed(own, since)).toEqual([]);
    await other.client().replicaof('127.0.0.1', source.port);
    await expect.poll(async () => failed(own, since), { timeout: 60_000 }).toEqual([CONNECTED]);
  });

  test('shut down, its data stays where it says', async () => {
    const dir = temporaryFolder();
    const source = await server(name, { dir });
    const client = source.client();
    await client.mset('a', '1', 'b', '2');
    const { runId } = await useOf({ client });
    const on = { address: source.address, name: 'ferry:test', runId, signal, confirm: async () => {} };
    expect(await shutDown(on)).toMatchObject({ stays: [join(dir, 'dump.rdb')], backAgain: false });
    expect(existsSync(join(dir, 'dump.rdb'))).toBe(true);
    // By a later attempt.
    expect(await shutDown(on)).toMatchObject({ backAgain: false });
    const again = await source.again();
    expect(await again.client().mget('a', 'b')).toEqual(['1', '2']);
    // Somebody started it: it is not ended once more.
    expect(await shutDown(on)).toMatchObject({ backAgain: true });
    expect(await again.client().ping()).toBe('PONG');
  });
});

describe('shutting down', { timeout: 60_000 }, () => {
  test('what a supervisor starts again is seen', async () => {
    const source = await server('r70');
    const { runId } = await useOf({ client: source.client() });
    const ending = shutDown({
      address: source.address,
      name: 'ferry:test',
      runId,
      signal,
      confirm: async () => {},
    });
    await expect
      .poll(
        async () =>
          source
            .client()
            .ping()
            .catch(() => 'gone'),
        { timeout: 60_000 },
      )
      .toBe('gone');
    await source.again();
    expect(await ending).toMatchObject({ backAgain: true });
  });

  test('what can not save goes on, and what is not confirmed too', async () => {
    const dir = temporaryFolder();
    const source = await server('r70', { dir, args: ['--dbfilename', 'dump.rdb'] });
    const client = source.client();
    await client.set('a', '1');
    const { runId } = await useOf({ client });
    const on = { address: source.address, name: 'ferry:test', runId, signal };
    await expect(
      shutDown({ ...on, confirm: () => Promise.reject(new Error('somebody came')) }),
    ).rejects.toThrow('somebody came');
    await mkdir(join(dir, 'dump.rdb', 'x'), { recursive: true });
    await expect(shutDown({ ...on, confirm: async () => {} })).rejects.toMatchObject({ type: 'Unclear' });
    expect(await client.get('a')).toBe('1');
    await rm(join(dir, 'dump.rdb'), { recursive: true });
  });
});
