/** Keys that change while they are copied, followed and compared. */
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { compareAll } from '../../../src/redis/compare.js';
import { copyAll, type CopyOptions } from '../../../src/redis/copy.js';
import { copyChanged, type ChangedOptions } from '../../../src/redis/delta.js';
import { openConnection } from '../../../src/redis/resp.js';
import { startTracking } from '../../../src/redis/tracker.js';
import { fillWithEverything, readEverything } from './data.js';
import { pairsHere, server, type TestServer } from './servers.js';
import { cases } from '../../support/slow.js';

const never = new AbortController().signal;

const common = (source: TestServer, target: TestServer) => ({
  source: source.address,
  target: target.address,
  databases: [[0, 0]] as const,
  match: '*',
  ifTargetHasKeys: 'refuse' as const,
  rate: () => 'full' as const,
  bigKey: 200_000,
  signal: never,
});
const copying = (source: TestServer, target: TestServer, more: Partial<CopyOptions> = {}): CopyOptions => ({
  ...common(source, target),
  ...more,
});

/** Writes of every kind, as fast as it can, until stopped. */
function writers(clients: readonly Redis[], spread: number): { stop(): Promise<number> } {
  const stop = new AbortController();
  let writes = 0;
  const pick = (kind: string): string => `${kind}:${Math.floor(Math.random() * spread)}`;
  const kinds: ((redis: Redis) => Promise<unknown>)[] = [
    (redis) => redis.set(pick('s'), String(Math.random())),
    (redis) => redis.incr(pick('n')),
    (redis) => redis.set(pick('t'), 'v', 'PX', 5 + Math.floor(Math.random() * 1_000)),
    (redis) => redis.pexpire(pick('s'), 600_000),
    (redis) => redis.persist(pick('s')),
    (redis) => redis.del(pick('s')),
    (redis) => redis.hset(pick('h'), pick('f'), Math.random()),
    (redis) => redis.hdel(pick('h'), pick('f')),
    (redis) => redis.rpush(pick('l'), Math.random()),
    (redis) => redis.lpop(pick('l')),
    (redis) => redis.sadd(pick('set'), Math.random()),
    (redis) => redis.zincrby(pick('z'), 0.1, pick('m')),
    (redis) => redis.rename(pick('s'), pick('s')).catch(() => {}),
    (redis) => redis.eval("redis.call('SET', KEYS[1], ARGV[1])", 1, pick('s'), Math.random()),
    (redis) => redis.hset('big hash', pick('f'), Math.random()),
    (redis) => redis.lpush('big list', Math.random()),
    (redis) => redis.xadd(pick('x'), 'MAXLEN', 50, '*', 'f', 'v'),
    (redis) => redis.xgroup('CREATE', pick('x'), 'g', '0', 'MKSTREAM').catch(() => {}),
    (redis) => redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', 3, 'STREAMS', pick('x'), '>').catch(() => {}),
  ];
  const running = clients.map(async (redis) => {
    while (!stop.signal.aborted) {
      await Promise.all(
        Array.from({ length: 8 }, async () => kinds[Math.floor(Math.random() * kinds.length)]?.(redis)),
      );
      writes += 8;
      // Leaves the engine, which lives in the same process, some of it.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  });
  return {
    async stop() {
      stop.abort();
      await Promise.all(running);
      return writes;
    },
  };
}

async function fill(client: Redis, other?: Redis): Promise<void> {
  const pipe = client.pipeline();
  for (let i = 0; i < 3_000; i += 1)
    pipe
      .set(`s:${i}`, `v${i}`)
      .hset(`h:${i % 300}`, `f:${i}`, i)
      .rpush(`l:${i % 300}`, i)
      .zadd(`z:${i % 300}`, i, `m:${i}`);
  for (let i = 0; i < 20_000; i += 1)
    pipe.hset('big hash', `f:${i}`, `value ${i}`.repeat(3)).rpush('big list', `element ${i}`.repeat(3));
  await pipe.exec();
  await fillWithEverything(client, other);
}

describe.for([
  ...pairsHere(
    cases<[string, string]>(
      [['r70', 'r80']],
      [
        ['r62', 'r70'],
        ['v81', 'v9'],
      ],
    ),
  ).map(([from, to]) => ({ from, to, way: 'dump' as const })),
  // What these write the other one doesn't read.
  ...pairsHere(
    cases<[string, string]>(
      [
        ['r80', 'r70'],
        ['v9', 'r80'],
      ],
      [['r70', 'r62']],
    ),
  ).map(([from, to]) => ({ from, to, way: 'value' as const })),
])('$from → $to, $way', ({ from, to, way }) => {
  test('under writers: copied, followed, compared, and equal in the end', async () => {
    const [source, target] = await Promise.all([server(from), server(to)]);
    await fill(source.client(), target.client());
    const tracker = await startTracking({ address: source.address, match: '*' });
    const writing = writers([source.client(), source.client(), source.client()], 400);
    const changed: ChangedOptions = {
      ...common(source, target),
      way,
      tracker,
      watched: false,
      verify: false,
    };

    const copied = await copyAll(copying(source, target, { way, tracker }));
    expect(copied.done).toBe(true);
    for (let pass = 0; pass < 3; pass += 1) {
      let batches = 0;
      await copyChanged({ ...changed, until: () => ++batches >= 3 });
    }
    const during = await compareAll({ ...common(source, target), way, tracker, repair: false });
    // Nothing is called different only because it is being written to.
    expect(during).toMatchObject({ done: true, missing: 0, extra: 0, type: 0, value: 0, ttl: 0 });

    const writes = await writing.stop();
    expect(writes).toBeGreaterThan(500);
    await tracker.barrier();
    const last = await copyChanged({ ...changed, watched: true, verify: true });
    expect(last).toMatchObject({ done: true, pending: 0, lost: null, different: 0, samples: [] });
    // Let what is about to expire expire: the two servers don't do it in the same instant.
    await expect.poll(async () => (await source.client().keys('t:*')).length).toBe(0);
    const streamCounters = !/r6/.test(from + to);
    const expected = await readEverything(source.client(), { streamCounters });
    expect(await readEverything(target.client(), { streamCounters })).toEqual(expected);
    expect(await compareAll({ ...common(source, target), repair: false })).toMatchObject({
      missing: 0,
      extra: 0,
      type: 0,
      value: 0,
      ttl: 0,
    });
    tracker.close();
  });
});

test('the last pass is quick: a few hundred keys on open connections', async () => {
  const [source, target] = await Promise.all([server('r70'), server('r80')]);
  await fill(source.client());
  const tracker = await startTracking({ address: source.address, match: '*' });
  await copyAll(copying(source, target, { tracker }));
  const [from, to] = await Promise.all(
    [source, target].map(({ address }) => openConnection({ address, name: 'test' })),
  );
  const times: number[] = [];
  for (let round = 0; round < 10; round += 1) {
    const pipe = source.client().pipeline();
    for (let i = 0; i < 300; i += 1) pipe.set(`s:${i}`, `round ${round}`);
    await pipe.exec();
    await tracker.barrier();
    const start = performance.now();
    const result = await copyChanged({
      ...common(source, target),
      source: from ?? source.address,
      target: to ?? target.address,
      tracker,
      watched: true,
      verify: true,
    });
    times.push(performance.now() - start);
    expect(result).toMatchObject({ done: true, different: 0 });
    expect(result.counts.verified).toBeGreaterThanOrEqual(300);
  }
  // Not a measurement (others share this machine), but a guard against seconds.
  expect(Math.min(...times)).toBeLessThan(100);
  from?.close();
  to?.close();
  tracker.close();
});

describe('changes during the copy', () => {
  test('expiries renewed or taken away, keys deleted, a database flushed', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    const client = source.client();
    const pipe = client.pipeline();
    for (let i = 0; i < 5_000; i += 1) pipe.set(`k:${i}`, 'v', 'PX', 700);
    await pipe.exec();
    const tracker = await startTracking({ address: source.address, match: '*' });
    const copy = copyAll(copying(source, target, { tracker, rate: () => 10_000 }));
    await client.pipeline(Array.from({ length: 1_000 }, (_, i) => ['pexpire', `k:${i}`, 3_600_000])).exec();
    await client.pipeline(Array.from({ length: 1_000 }, (_, i) => ['persist', `k:${i + 1_000}`])).exec();
    await client.pipeline(Array.from({ length: 1_000 }, (_, i) => ['del', `k:${i + 2_000}`])).exec();
    const { counts } = await copy;
    // Which keys the listing met before they were deleted is chance.
    expect(counts.copied + counts.gone + counts.expired).toBeGreaterThanOrEqual(4_000);
    await new Promise((resolve) => setTimeout(resolve, 800));
    await tracker.barrier();
    const changed = { ...common(source, target), tracker, watched: true, verify: true };
    expect(await copyChanged(changed)).toMatchObject({ done: true, different: 0 });
    expect(await readEverything(target.client())).toEqual(await readEverything(client));
    expect(await client.keys('*')).toHaveLength(2_000);

    await client.flushdb();
    await client.set('after', 'v');
    await tracker.barrier();
    expect(await copyChanged(changed)).toMatchObject({
      done: false,
      lost: expect.stringContaining('flushed'),
    });
    // Only a reconcile helps then.
    expect(await compareAll({ ...common(source, target), repair: true })).toMatchObject({
      extra: 2_000,
      missing: 1,
      repaired: 2_001,
    });
    expect(await readEverything(target.client())).toEqual(await readEverything(client));
    tracker.close();
  });

  test('of streams’ groups, which nobody reports', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    const client = source.client();
    for (let i = 1; i <= 100; i += 1) await client.xadd('x', `${i}-0`, 'f', 'v'.repeat(3_000));
    await client.xgroup('CREATE', 'x', 'g', '0');
    for (const bigKey of [100, 8_000_000]) {
      const tracker = await startTracking({ address: source.address, match: '*' });
      await copyAll(copying(source, target, { tracker, bigKey }));
      await client.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10, 'STREAMS', 'x', '>');
      await client.xack('x', 'g', '1-0');
      await tracker.barrier();
      expect(tracker.pending()).toBe(0);
      expect(await compareAll({ ...common(source, target), repair: false, bigKey })).toMatchObject({
        value: 1,
      });
      const last = { ...common(source, target), bigKey, tracker, watched: true, verify: true };
      expect(await copyChanged(last)).toMatchObject({ done: true, different: 0, counts: { copied: 1 } });
      expect(await readEverything(target.client())).toEqual(await readEverything(client));
      // A big one isn't copied again when nothing happened to it.
      expect(await copyChanged(last)).toMatchObject({
        done: true,
        different: 0,
        counts: { copied: bigKey === 100 ? 0 : 1, verified: 1 },
      });
      tracker.close();
    }
  });

  test('in several databases, though only names are told', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    const databases = [
      [0, 3],
      [1, 4],
    ] as const;
    for (const db of [0, 1]) await source.client({ db }).mset('k', 'v', 'gone', 'v');
    const tracker = await startTracking({ address: source.address, match: '*' });
    await copyAll(copying(source, target, { databases, tracker }));
    await source.client({ db: 1 }).set('k', 'new');
    await source.client({ db: 0 }).del('gone');
    await source.client({ db: 1 }).call('MOVE', 'gone', 0);
    await source.client({ db: 7 }).set('elsewhere', 'v');
    await tracker.barrier();
    await copyChanged({ ...common(source, target), databases, tracker, watched: true, verify: true });
    for (const [db, to] of databases)
      expect(await readEverything(target.client({ db: to }))).toEqual(
        await readEverything(source.client({ db })),
      );
    tracker.close();
  });

  test('what fails goes back into the tracker', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    const tracker = await startTracking({ address: source.address, match: '*' });
    await source.client().mset('a', '1', 'b', '2');
    await tracker.barrier();
    await target.kill9();
    const changed = { ...common(source, target), tracker, watched: true, verify: true };
    await expect(copyChanged(changed)).rejects.toMatchObject({ type: 'Unreachable' });
    const back = await target.again();
    await back.client().config('SET', 'maxmemory', '1');
    await expect(copyChanged(changed)).rejects.toMatchObject({ type: 'TargetOutOfMemory' });
    expect(tracker.pending()).toBe(2);
    expect(await copyChanged({ ...changed, signal: AbortSignal.abort() })).toMatchObject({
      done: false,
      pending: 2,
    });
    await back.client().config('SET', 'maxmemory', '0');
    expect(await copyChanged({ ...changed, deadline: Date.now() - 1 })).toMatchObject({
      done: false,
      pending: 2,
    });
    expect(await copyChanged(changed)).toMatchObject({ done: true, counts: { copied: 2, verified: 2 } });
    tracker.close();
  });

  test('keys that the target had of its own are left to it', async () => {
    for (const mode of ['replace', 'skip'] as const) {
      const [source, target] = await Promise.all([server('r70'), server('r80')]);
      await source.client().mset('both', 'source', 'both too', 'source', 'ours', 'source');
      await target
        .client()
        .mset('both', 'target', 'both too', 'target', 'theirs', 'target', 'theirs too', 'target');
      const tracker = await startTracking({ address: source.address, match: '*' });
      const options = { ...common(source, target), ifTargetHasKeys: mode };
      await copyAll({ ...options, tracker });
      await source.client().mset('both', 'changed', 'ours', 'changed', 'new', 'v');
      await source.client().del('both too');
      // In another database of the source: here it must not delete the target's own.
      await source.client({ db: 5 }).set('theirs', 'v');
      await tracker.barrier();
      expect(await copyChanged({ ...options, tracker, watched: true, verify: true })).toMatchObject({
        done: true,
        different: 0,
      });
      const values = Object.fromEntries(
        Object.entries(await readEverything(target.client(), { ignore: /^ferry:/ })).map(
          ([key, { value }]) => [key, value],
        ),
      );
      expect(values).toEqual(
        mode === 'replace'
          ? { both: 'changed', ours: 'changed', new: 'v', theirs: 'target', 'theirs too': 'target' }
          : {
              both: 'target',
              'both too': 'target',
              ours: 'changed',
              new: 'v',
              theirs: 'target',
              'theirs too': 'target',
            },
      );
      expect(await compareAll({ ...options, repair: true })).toMatchObject({
        missing: 0,
        extra: 0,
        value: 0,
        repaired: 0,
      });
      tracker.close();
    }
  });
});

test('each kind of difference is found, named and repaired', async () => {
  const [source, target] = await Promise.all([server('r62'), server('r80')]);
  await fillWithEverything(source.client());
  await copyAll(copying(source, target));
  const client = target.client();
  await client.del('int', 'list small', 'ключ');
  await client.mset('extra', 'v', Buffer.from([1, 255]) as unknown as string, 'v');
  await client.del('set list');
  await client.set('set list', 'v');
  await client.set('raw', 'other');
  await client.hset('hash small', 'f', 'other');
  await client.lset('list quick', 7, 'other');
  await client.zincrby('zset small', 1e-300, 'm3');
  await client.srem('set table', 'member 5');
  await client.xack('stream', 'g1', '7-1');
  await client.persist('expiring');
  await client.pexpire('ttl:1', 5_000);
  const now = Number(await client.call('PEXPIRETIME', 'ttl:2'));
  await client.call('PEXPIREAT', 'ttl:2', now + 1);
  const options = { ...common(source, target), repair: false, bigKey: 8_000_000 };
  const found = await compareAll(options);
  expect(found).toMatchObject({ done: true, missing: 3, extra: 2, type: 1, value: 6, ttl: 3, repaired: 0 });
  expect(found.samples).toContainEqual({ database: 0, key: 'int', what: 'missing' });
  expect(found.samples).toContainEqual({ database: 0, key: '\\x01\\xff', what: 'extra' });
  expect(found.samples).toContainEqual({ database: 0, key: 'ttl:2', what: 'ttl' });
  expect(JSON.stringify(found)).not.toContain('other');
  expect(await compareAll({ ...options, bigKey: 0 })).toMatchObject({
    missing: 3,
    extra: 2,
    type: 1,
    value: 6,
    ttl: 3,
  });
  expect(await compareAll({ ...options, repair: true })).toMatchObject({
    missing: 3,
    extra: 2,
    type: 1,
    value: 6,
    ttl: 3,
    repaired: 15,
  });
  const clean = await compareAll(options);
  expect(clean).toMatchObject({ missing: 0, extra: 0, type: 0, value: 0, ttl: 0, samples: [] });
  // The fingerprint is the source's: the same while nothing is written to it.
  expect(clean.digest).toBe(found.digest);
  await source.client().set('int', '12346');
  expect((await compareAll(options)).digest).not.toBe(found.digest);
});

/** How often a server was asked to choose a database. */
async function selected(client: Redis): Promise<number> {
  const stats = await client.info('commandstats');
  return Number(/^cmdstat_select:calls=(\d+)/m.exec(stats)?.[1] ?? 0);
}

test('a changed key is looked for where either side holds anything, and nowhere else', async () => {
  const [source, target] = await Promise.all([server('r70'), server('r80')]);
  const at = (which: TestServer, db: number): Redis => which.client({ db });
  await at(source, 0).set('kept', '1');
  await at(source, 5).set('last', '1');
  await at(target, 5).set('last', '1');
  const tracker = await startTracking({ address: source.address, match: '*' });
  // The first one in its database, one that only the target has any more, and one that came and went.
  await at(source, 0).set('changed', '2');
  await at(source, 3).set('first', '3');
  await at(source, 5).del('last');
  await at(source, 9).set('brief', '4');
  await at(source, 9).del('brief');
  await tracker.barrier();
  const before = await selected(source.client());
  const result = await copyChanged({
    ...common(source, target),
    databases: Array.from({ length: 16 }, (_, n) => [n, n] as const),
    tracker,
    watched: false,
    verify: true,
  });
  // `selected` itself may choose one; three databases were looked in.
  expect((await selected(source.client())) - before).toBeLessThan(8);
  expect(result).toMatchObject({ done: true, different: 0, counts: { looked: 4, verified: 4 * 16 } });
  expect(await at(target, 0).get('changed')).toBe('2');
  expect(await at(target, 3).get('first')).toBe('3');
  expect(await at(target, 5).exists('last')).toBe(0);
  expect(await target.client().info('keyspace')).not.toMatch(/db[59]:/);
  tracker.close();
});
