import { describe, expect, test } from 'vitest';
import { deleteKeys, type ClearCheckpoint } from '../../../src/redis/clear.js';
import { compareAll, type CompareCheckpoint } from '../../../src/redis/compare.js';
import { copyAll, type CopyCheckpoint, type CopyOptions } from '../../../src/redis/copy.js';
import { fillWithEverything, readEverything } from './data.js';
import { server, type TestServer } from './servers.js';

const never = new AbortController().signal;

function settings(source: TestServer, target: TestServer, more: Partial<CopyOptions> = {}): CopyOptions {
  return {
    source: source.address,
    target: target.address,
    databases: [[0, 0]],
    match: '*',
    ifTargetHasKeys: 'refuse',
    rate: () => 'full',
    bigKey: 8_000_000,
    signal: never,
    ...more,
  };
}

async function fill(one: TestServer, options: { keys: number; db?: number }): Promise<void> {
  const client = one.client({ db: options.db ?? 0 });
  for (let i = 0; i < options.keys; i += 5_000) {
    const pipe = client.pipeline();
    for (let j = i; j < Math.min(options.keys, i + 5_000); j += 1) pipe.set(`key:${j}`, `value ${j}`);
    await pipe.exec();
  }
}

/** Through JSON, as it travels. */
const travelled = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

describe('aborting', () => {
  test.for([
    { bigKey: 8_000_000, way: 'dump' as const },
    { bigKey: 100, way: 'dump' as const },
    { bigKey: 8_000_000, way: 'value' as const },
  ])('and going on copies every key, and never throws ($way, bigKey $bigKey)', async ({ bigKey, way }) => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    await fill(source, { keys: 8_000 });
    await fill(source, { keys: 3_000, db: 2 });
    await fillWithEverything(source.client({ db: 2 }));
    const databases = [
      [0, 0],
      [2, 1],
    ] as const;
    let checkpoint: CopyCheckpoint | undefined;
    let runs = 0;
    for (let done = false; !done; runs += 1) {
      const stop = new AbortController();
      const after = Math.random() * 60;
      const timer = setTimeout(() => stop.abort(), after);
      const result = await copyAll(
        settings(source, target, {
          databases,
          checkpoint,
          bigKey,
          way,
          signal: runs > 40 ? never : stop.signal,
        }),
      );
      clearTimeout(timer);
      done = result.done;
      checkpoint = travelled(result.checkpoint);
      expect(result.counts.copied).toBeGreaterThanOrEqual(0);
    }
    expect(runs).toBeGreaterThan(1);
    expect(await readEverything(target.client({ db: 0 }))).toEqual(
      await readEverything(source.client({ db: 0 })),
    );
    expect(await readEverything(target.client({ db: 1 }))).toEqual(
      await readEverything(source.client({ db: 2 })),
    );
    expect(checkpoint?.counts.copied).toBe(
      (await source.client({ db: 0 }).dbsize()) + (await source.client({ db: 2 }).dbsize()),
    );
    // A finished one stays finished.
    expect(await copyAll(settings(source, target, { databases, checkpoint }))).toMatchObject({
      done: true,
    });
  });

  test('takes no longer than a moment, even when the source hangs', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    await fill(source, { keys: 20_000 });
    const stop = new AbortController();
    const running = copyAll(settings(source, target, { rate: () => 5_000, signal: stop.signal }));
    await new Promise((resolve) => setTimeout(resolve, 200));
    process.kill(source.pid, 'SIGSTOP');
    const start = performance.now();
    stop.abort();
    const result = await running;
    process.kill(source.pid, 'SIGCONT');
    expect(result.done).toBe(false);
    expect(performance.now() - start).toBeLessThan(3_000);
  });

  test('already before the beginning', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    expect(await copyAll(settings(source, target, { signal: AbortSignal.abort() }))).toMatchObject({
      done: false,
    });
  });
});

describe('a server that ends', () => {
  test('kill -9 of the source: its cursor means nothing after the restart', async () => {
    const [source, target] = await Promise.all([
      server('r70', { args: ['--appendonly', 'yes', '--appendfsync', 'always'] }),
      server('r80'),
    ]);
    await fill(source, { keys: 20_000 });
    let checkpoint: CopyCheckpoint | undefined;
    const running = copyAll(
      settings(source, target, { rate: () => 20_000, onProgress: (_, at) => (checkpoint = travelled(at)) }),
    );
    await expect.poll(() => checkpoint?.counts.copied ?? 0).toBeGreaterThan(3_000);
    const failed = running.catch((error: Error) => error);
    await source.kill9();
    expect(await failed).toMatchObject({ type: 'Unreachable' });
    await expect(copyAll(settings(source, target, { checkpoint }))).rejects.toMatchObject({
      type: 'Unreachable',
    });
    const again = await source.again();
    const result = await copyAll(settings(again, target, { checkpoint }));
    expect(result).toMatchObject({ done: true, counts: { copied: 20_000 } });
    expect(result.checkpoint.runId).not.toBe(checkpoint?.runId);
    expect(await readEverything(target.client())).toEqual(await readEverything(again.client()));
  });

  test('kill -9 of the target', async () => {
    const [source, target] = await Promise.all([server('r70'), server('r80')]);
    await fill(source, { keys: 20_000 });
    const running = copyAll(settings(source, target, { rate: () => 20_000 })).catch((error: Error) => error);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await target.kill9();
    expect(await running).toMatchObject({
      type: 'Unreachable',
      message: expect.stringContaining(String(target.port)),
    });
  });
});

describe('a target that refuses', () => {
  test('for want of memory, as a replica, or the format', async () => {
    const source = await server('r70');
    await fill(source, { keys: 5_000 });
    // Strings have no format that could be refused.
    await source.client().hset('hash', 'field', 'value');
    const [full, replica, old] = await Promise.all([
      server('r80', { args: ['--maxmemory', '1100kb'] }),
      server('r80', { args: ['--replicaof', '127.0.0.1 1'] }),
      server('r62'),
    ]);
    await expect(copyAll(settings(source, full))).rejects.toMatchObject({ type: 'TargetOutOfMemory' });
    await expect(copyAll(settings(source, replica))).rejects.toMatchObject({ type: 'ReadOnlyTarget' });
    await expect(copyAll(settings(source, old))).rejects.toMatchObject({
      type: 'FormatRefused',
      message: expect.stringMatching(/Redis 6\.2\.\d+.*Redis 7\.0\.\d+, format 10/),
    });
    // In pieces it takes them all the same.
    expect((await copyAll(settings(source, old, { bigKey: 0 }))).counts.copied).toBe(5_001);
  });
});

test('a comparison goes on where it stopped', async () => {
  const [source, target] = await Promise.all([server('r70'), server('r80')]);
  await fill(source, { keys: 10_000 });
  await fill(source, { keys: 5_000, db: 1 });
  const databases = [
    [0, 0],
    [1, 1],
  ] as const;
  const options = settings(source, target, { databases });
  await copyAll(options);
  await target.client().del('key:1', 'key:2');
  await target.client({ db: 1 }).set('extra', 'v');
  const whole = await compareAll({ ...options, repair: false, checkpoint: undefined, onProgress: undefined });
  expect(whole).toMatchObject({ done: true, keysCompared: 15_000, missing: 2, extra: 1, value: 0 });
  let checkpoint: CompareCheckpoint | undefined;
  let result = whole;
  for (let runs = 0; runs === 0 || !result.done; runs += 1) {
    const signal = runs > 30 ? never : AbortSignal.timeout(Math.ceil(Math.random() * 120));
    result = await compareAll({ ...options, repair: false, checkpoint, signal, onProgress: undefined });
    checkpoint = travelled(result.checkpoint);
  }
  expect(result).toMatchObject({
    done: true,
    keysCompared: 15_000,
    missing: 2,
    extra: 1,
    value: 0,
    digest: whole.digest,
  });
  expect(result.perDatabase).toEqual(whole.perDatabase);
  expect(result.samples).toHaveLength(3);
});

test('deleting goes on where it stopped, and deletes what matches only', async () => {
  const one = await server('r70');
  await fill(one, { keys: 20_000 });
  await fill(one, { keys: 5_000, db: 3 });
  await one.client().set('other', 'v');
  await one.client({ db: 1 }).set('key:1', 'v');
  let checkpoint: ClearCheckpoint | undefined;
  for (let done = false; !done;) {
    const result = await deleteKeys({
      address: one.address,
      databases: [0, 3],
      match: 'key:*',
      checkpoint,
      signal: AbortSignal.timeout(30),
    });
    done = result.done;
    checkpoint = travelled(result.checkpoint);
  }
  expect(checkpoint?.deleted).toBeGreaterThanOrEqual(24_000);
  expect(await one.client().keys('*')).toEqual(['other']);
  expect(await one.client({ db: 3 }).dbsize()).toBe(0);
  expect(await one.client({ db: 1 }).dbsize()).toBe(1);
});
