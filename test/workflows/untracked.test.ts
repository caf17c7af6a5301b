/* A source that neither tells what changes nor can be paused or fenced, as many hosted ones: writes are stopped by the application. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { world, type World } from '../support/world.js';

let w: World;
beforeEach(async () => {
  w = await world();
  const admin = w.redis('source');
  await admin.call(
    'ACL',
    'SETUSER',
    'hosted',
    'on',
    '>secret',
    '~*',
    '+@all',
    '-client|tracking',
    '-client|pause',
    '-config',
    '-replicaof',
    '-slaveof',
  );
  await w.startWorker({ OLD_REDIS_URL: `redis://hosted:secret@127.0.0.1:${w.source.port}` });
});
afterEach(() => w.close());

const stopped: Partial<RedisCopyInput> = {
  writes: 'stopped',
  stopWrites: { command: ['true'] },
  startWrites: { command: ['true'] },
  watch: '100ms',
};

test('what changed since the copy is found by comparing, and made good', async () => {
  const [source, target] = [w.redis('source'), w.redis('target')];
  const seed = source.pipeline();
  for (let n = 0; n < 2_000; n += 1) seed.set(`k:${n}`, `v${n}`);
  await seed.exec();
  const upgrade = await w.start({ ...stopped, gates: { start: 'auto' } });
  await upgrade.until((state) =>
    state.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
  );
  await source.set('k:1', 'changed');
  await source.set('k:new', 'new');
  await source.del('k:2');
  await source.pexpire('k:3', 600_000);
  await upgrade.approve('cutover');
  const receipt = await upgrade.ended();
  expect(receipt.outcome).toBe('Completed');
  expect(receipt.facts['comparisonWithWritesStopped']).toMatchObject({
    missing: 1,
    extra: 1,
    value: 1,
    ttl: 1,
    repaired: 4,
  });
  expect(await target.mget('k:1', 'k:new', 'k:2', 'k:4')).toEqual(['changed', 'new', null, 'v4']);
  expect(await target.pexpiretime('k:3')).toBe(await source.pexpiretime('k:3'));
  expect(await target.dbsize()).toBe(2_000);
});

test('with running writes it is refused, unless the loss is accepted by name', async () => {
  await w.redis('source').set('a', '1');
  const upgrade = await w.start({});
  const failure = await upgrade.failure();
  expect(failure.type).toBe('PreflightFailed');
  expect(failure.message).toContain('acceptLoss');
});
