import { describe, expect, it } from 'vitest';
import { pauseWrites, resumeWrites } from '../../src/redis/pause.js';
import { serve, SERVERS } from './servers.js';

const wait = (ms: number) => new Promise((done) => setTimeout(done, ms));

describe.each(SERVERS.filter(({ name }) => name !== 'r60').map(({ name }) => name))('%s', (name) => {
  it('holds writes, also of scripts, in every database, and answers reads', async () => {
    const server = await serve({ name });
    const client = server.client();
    await client.set('a', '1');
    const pause = await pauseWrites({ client, ms: 5_000 });
    expect(pause.remaining()).toBeGreaterThan(4_000);
    expect(pause.remaining()).toBeLessThanOrEqual(5_000);
    let held = 0;
    const writes = [
      server.client().set('a', '2'),
      server.client(5).set('b', '2'),
      server.client().eval('return redis.call("SET","c","2")', 0),
    ].map((write) => write.then(() => (held += 1)));
    await wait(150);
    expect(held).toBe(0);
    expect(await client.get('a')).toBe('1');
    await resumeWrites({ client });
    await Promise.all(writes);
    expect(await client.mget('a', 'c')).toEqual(['2', '2']);
  });

  it('ends by itself, whatever became of us', async () => {
    const server = await serve({ name });
    const client = server.client();
    const pause = await pauseWrites({ client, ms: 300 });
    client.disconnect();
    const began = performance.now();
    await server.client().set('a', '1');
    expect(performance.now() - began).toBeLessThan(2_000);
    // By our own count it ended no later than by the server's.
    expect(pause.remaining()).toBe(0);
  });

  it('ending it is harmless when there is none', async () => {
    const client = (await serve({ name })).client();
    await resumeWrites({ client });
    await expect(resumeWrites({ client })).resolves.toBeUndefined();
  });
});

describe.runIf(SERVERS.some(({ name }) => name === 'r60'))('Redis 6.0', () => {
  it('says that it can not, and holds nothing', async () => {
    const server = await serve({ name: 'r60' });
    const client = server.client();
    await expect(pauseWrites({ client, ms: 5_000 })).rejects.toMatchObject({
      type: 'NotPermitted',
      message: expect.stringMatching(
        /127\.0\.0\.1:\d+ can not pause writes alone \(that came with Redis 6\.2\): the fence/,
      ),
    });
    await client.set('a', '1');
    expect(await client.info()).toContain('redis_version:6.0');
    await resumeWrites({ client });
  });
});
