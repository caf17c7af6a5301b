/* Handing over between two real servers, under writers. */
import { expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../../../src/setup/servers.js';
import { handOver } from '../../../src/redis/replication/handover.js';
import { roleOf } from '../../../src/redis/replication/role.js';
import { anyServer, installed, serve } from '../servers.js';
import { couple, losses, sideOf, writer } from './support.js';
import { cases } from '../../support/slow.js';

const PAIRS = cases<readonly [string, string]>(
  [
    ['r62', 'r70'],
    ['r70', 'r80'],
    ['r72', 'v81'],
    ['v81', 'v9'],
  ],
  [
    ['r70', 'r72'],
    ['r72', 'r74'],
    ['r70', 'v9'],
  ],
);

test.each(PAIRS.filter((pair) => pair.every(installed)))('%s → %s and back, five times', async (...names) => {
  const pair = await couple(names);
  const writers = ['a', 'b', 'c', 'd'].map((key) => writer(pair, key));
  const results = [];
  for (let i = 0; i < 10; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    results.push(await handOver(pair.options()));
    pair.exchange();
  }
  for (const each of writers) {
    const { acknowledged, errors } = await each.end();
    expect(errors).toEqual([]);
    expect(acknowledged).toBeGreaterThan(100);
    expect(await losses({ server: pair.one, key: each.key, acknowledged })).toEqual({ missing: 0, twice: 0 });
  }
  expect(results.map(({ partial, guard, durable }) => ({ partial, guard, durable }))).toEqual(
    results.map(() => ({ partial: true, guard: 'run-time user', durable: expect.any(Boolean) as boolean })),
  );
  const [was, is] = [
    await roleOf({ client: pair.one.client() }),
    await roleOf({ client: pair.two.client() }),
  ];
  expect([was.role, is.role]).toEqual(['primary', 'replica']);
  expect(was.syncs.full + is.syncs.full).toBe(1);
});

test('a repoint that fails: the old one takes over again, with what was written meanwhile', async () => {
  const pair = await couple(['r70', 'r80']);
  const writers = ['a', 'b'].map((key) => writer(pair, key));
  const options = pair.options();
  await expect(
    handOver({
      ...options,
      repoint: async () => {
        await options.repoint();
        // Long enough for somebody to move.
        await new Promise((resolve) => setTimeout(resolve, 200));
        throw new Error('half of the applications could not be told');
      },
    }),
  ).rejects.toThrow('half of the applications');
  await new Promise((resolve) => setTimeout(resolve, 200));
  for (const each of writers) {
    const { acknowledged, errors } = await each.end();
    expect(errors).toEqual([]);
    expect(await losses({ server: pair.one, key: each.key, acknowledged })).toEqual({ missing: 0, twice: 0 });
  }
  const [was, is] = [
    await roleOf({ client: pair.one.client() }),
    await roleOf({ client: pair.two.client() }),
  ];
  expect([was.role, is.role]).toEqual(['primary', 'replica']);
  expect(await pair.one.client().config('GET', 'min-replicas-to-write')).toEqual([
    'min-replicas-to-write',
    '0',
  ]);
});

test('a repoint that takes long, with another replica that is sent a PING each second: nothing slips behind the fence', async () => {
  const pair = await couple(['r70', 'r80']);
  const { one } = pair;
  await one.client().config('SET', 'repl-ping-replica-period', '1');
  pair.sides.from = await sideOf(one);
  const other = await serve({ name: 'r70', args: ['--replicaof', `127.0.0.1 ${one.port}`] });
  await expect.poll(async () => (await roleOf({ client: other.client() })).follows?.linkUp).toBe(true);
  const writers = ['a', 'b'].map((key) => writer(pair, key));
  const options = pair.options();
  const result = await handOver({
    ...options,
    repoint: async () => {
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      await options.repoint();
    },
  });
  expect(result).toMatchObject({ partial: true, slipped: 0 });
  for (const each of writers) {
    const { acknowledged, errors } = await each.end();
    expect(errors).toEqual([]);
    expect(await losses({ server: pair.two, key: each.key, acknowledged })).toEqual({ missing: 0, twice: 0 });
  }
  expect(await one.client().config('GET', 'repl-ping-replica-period')).toEqual([
    'repl-ping-replica-period',
    '1',
  ]);
});

test('the new one was restarted as a primary before the switch: it is taken for no promoted one', async () => {
  const pair = await couple(['r70', 'r80']);
  const { two } = pair;
  // As a pod whose configuration names no primary: what it followed stands in the file that it saves at its end.
  pair.sides.to.runId = (await roleOf({ client: two.client() })).runId;
  const [, dir = ''] = (await two.client().config('GET', 'dir')) as string[];
  await two
    .client()
    .call('SHUTDOWN', 'SAVE')
    .catch(() => undefined);
  const restarted = await startRedis({ binary: anyServer('r80').server, dir, port: two.port });
  onTestFinished(restarted.stop);
  await pair.one.client().set('written since', 'x');
  const [was, will] = [await roleOf({ client: pair.one.client() }), await roleOf({ client: two.client() })];
  expect([will.role, will.replId2]).toEqual(['primary', was.replId]);
  await expect(handOver(pair.options())).rejects.toThrow('does not follow it');
  expect((await roleOf({ client: pair.one.client() })).role).toBe('primary');
  expect(await pair.one.client().set('and after', 'x')).toBe('OK');
});
