/* Handing over between two real servers, under writers. */
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { fenceBefore } from '../../../src/redis/fence.js';
import { admit, follow, followBefore, linkUp, replicationUser } from '../../../src/redis/replication/follow.js';
import { handOver, type HandoverSide } from '../../../src/redis/replication/handover.js';
import { roleOf } from '../../../src/redis/replication/role.js';
import { installed, serve, type TestServer } from '../servers.js';

const PAIRS = [
  ['r62', 'r70'],
  ['r70', 'r72'],
  ['r70', 'r80'],
  ['r72', 'r74'],
  ['r72', 'v81'],
  ['r70', 'v9'],
  ['v81', 'v9'],
] as const;

const USER = replicationUser('test');

async function sideOf(server: TestServer): Promise<HandoverSide> {
  const client = server.client();
  return {
    address: { host: '127.0.0.1', port: server.port },
    at: { host: '127.0.0.1', port: server.port },
    follow: await followBefore({ client }),
    fence: await fenceBefore({ client }),
  };
}

/** Keeps writing to wherever `port` says; counts what was acknowledged. */
function writer(on: { port: () => number; id: number }) {
  let n = 0;
  let errors = 0;
  let longest = 0;
  let stop = false;
  const client = new Redis({ host: '127.0.0.1', port: on.port(), retryStrategy: () => 2, maxRetriesPerRequest: null });
  client.on('error', () => {});
  client.on('close', () => {
    client.options.port = on.port();
  });
  const done = (async () => {
    while (!stop) {
      const began = performance.now();
      try {
        await client.rpush(`list:${on.id}`, n);
        n += 1;
      } catch {
        errors += 1;
      }
      longest = Math.max(longest, performance.now() - began);
    }
    client.disconnect();
  })();
  return {
    async end() {
      stop = true;
      await done;
      return { acknowledged: n, errors, longest };
    },
  };
}

test.each(PAIRS.filter((pair) => pair.every(installed)))('%s → %s and back, five times', async (a, b) => {
  const [one, two] = [await serve({ name: a }), await serve({ name: b })];
  let [from, to] = [await sideOf(one), await sideOf(two)];
  const old = one.client();
  const next = two.client();
  for (let i = 0; i < 1000; i += 1) void old.set(`key:${i}`, 'x'.repeat(100));
  await old.ping();
  await admit({ primary: old, follower: next, address: from.address, before: to.follow, user: USER });
  await follow({ client: next, at: from.at });
  await linkUp({ client: next, timeoutMs: 10_000, signal: AbortSignal.timeout(20_000) });

  let port = one.port;
  const writers = [0, 1, 2, 3].map((id) => writer({ port: () => port, id }));
  const results = [];
  for (let i = 0; i < 10; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const [here, there] = [from.address.port, to.address.port];
    results.push(
      await handOver({
        from,
        to,
        capMs: 500,
        tries: 3,
        name: 'ferry:test:1.1',
        user: USER,
        signal: new AbortController().signal,
        stillCurrent: async () => {},
        repoint: async () => {
          port = there;
        },
        repointBack: async () => {
          port = here;
        },
      }),
    );
    [from, to] = [to, from];
  }
  const ends = await Promise.all(writers.map((each) => each.end()));
  console.log(a, b, results.map((r) => `${r.pausedMs}/${r.drainMs}`).join(' '), JSON.stringify(ends), JSON.stringify(results[0]));
  for (const [id, { acknowledged, errors }] of ends.entries()) {
    expect(errors).toBe(0);
    const present = await one.client().lrange(`list:${id}`, 0, -1);
    expect(present).toEqual(Array.from({ length: acknowledged }, (_, i) => String(i)));
  }
  expect(results.every(({ partial }) => partial)).toBe(true);
  const [was, is] = [await roleOf({ client: one.client() }), await roleOf({ client: two.client() })];
  expect([was.role, is.role]).toEqual(['primary', 'replica']);
  expect(was.syncs.full + is.syncs.full).toBe(1);
});
