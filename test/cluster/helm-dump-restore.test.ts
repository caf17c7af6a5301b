/* helmDumpRestore on a real cluster, under applications that write through the Service. */
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import type { Receipt, State } from '../../src/contract.js';
import { CLUSTER, R60, R70, R80, type ClusterWorld } from '../support/cluster.js';
import { slow } from '../support/slow.js';
import { sleep, type Upgrade } from '../support/world.js';
import { killedInEveryStep } from './faults.js';
import {
  AFTER,
  AOF,
  asksToDecommission,
  BEFORE,
  begun,
  GREEN,
  selectorOf,
  shown,
  standing,
} from './second.js';

const PATIENCE = 400_000;

const input = (more: Record<string, unknown> = {}) => ({
  targetVersion: R80,
  soak: '2s',
  gates: { start: 'auto', cutover: 'auto' },
  ...more,
});

/** Nobody is there to decide, so a question ends the wait. */
async function until(upgrade: Upgrade, reached: (state: State) => boolean): Promise<State> {
  const state = await upgrade.until((now) => now.decision !== null || reached(now), PATIENCE);
  expect(state.decision).toBe(null);
  return state;
}

/** Where it waits for somebody, that is what it should say. */
async function ended(upgrade: Upgrade): Promise<Receipt> {
  let over = false;
  const end = upgrade.ended(PATIENCE).finally(() => {
    over = true;
  });
  const asked = async (): Promise<Receipt> => {
    while (!over) {
      const state = await upgrade.state().catch(() => null);
      if (state?.decision) {
        const { about, problem } = state.decision;
        throw new Error(`it asks at "${state.step}", ${about}: ${problem}`);
      }
      await sleep(500);
    }
    return end;
  };
  return Promise.race([end, asked()]);
}

/** Of the receipt, in milliseconds. */
function pauseOf({ facts }: Receipt): number {
  const { writePauseMs } = facts['switch'] as { writePauseMs: number };
  return writePauseMs;
}

async function soaking(w: ClusterWorld, more: Record<string, unknown> = {}): Promise<Upgrade> {
  const upgrade = await w.start('helmDumpRestore', input({ soak: '1h', ...more }));
  await until(upgrade, ({ step }) => step === 'Soak');
  return upgrade;
}

describe.skipIf(CLUSTER === null)('helmDumpRestore', () => {
  test('from 7.0 to 8.0 under writers, to the end of the old release', { timeout: 600_000 }, async () => {
    const w = await begun();
    const writers = await w.writers();
    const upgrade = await w.start('helmDumpRestore', input({ gates: { cutover: 'auto' } }));
    await upgrade.until('AwaitingApproval', PATIENCE);
    await upgrade.approve('start');
    await until(upgrade, asksToDecommission);
    await writers.stop();
    await upgrade.approve('decommission');
    const receipt = await ended(upgrade);
    shown(receipt);
    console.log(
      'pause',
      pauseOf(receipt),
      'gap',
      writers.longestGap(),
      writers.acknowledged.size,
      writers.errors,
    );
    expect(receipt.outcome).toBe('Completed');
    expect(await selectorOf(w)).toEqual(GREEN);
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    // What the receipt says is what the applications saw.
    expect(pauseOf(receipt)).toBeLessThan(600_000);
    expect(await standing(w)).toEqual(AFTER);
  });

  test('back during the soak: with every write, and nothing is left', { timeout: 600_000 }, async () => {
    const w = await begun();
    const before = await selectorOf(w);
    const writers = await w.writers();
    const upgrade = await soaking(w);
    await writers.more(200);
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await ended(upgrade);
    await writers.stop();
    shown(receipt);
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(await selectorOf(w)).toEqual(before);
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
  });

  slow(
    '6.0 with AOF and a password: as a file, and back with the writes made since',
    { timeout: 900_000 },
    async () => {
      const password = 'secret-one';
      const w = await begun({ image: { tag: R60 }, redis: { config: AOF, password } });
      await variety(await w.redis({ service: 'redis' }, { password }));
      const writers = await w.writers({ clients: 2, password });
      const upgrade = await soaking(w, { targetVersion: R70 });
      await writers.more(200);
      const green = await w.redis({ service: 'redis' }, { password });
      expect(await green.config('GET', 'appendonly')).toEqual(['appendonly', 'yes']);
      expect(await green.zscore('z', 'member 7')).toBe('7');
      expect(await green.pttl('ttl')).toBeGreaterThan(3_000_000);
      await green.hset('h', 'since', 'the cutover');
      await upgrade.say('rollback', { by: 'ada' });
      const receipt = await ended(upgrade);
      await writers.stop();
      shown(receipt);
      expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [], facts: { way: { chosen: 'rdb' } } });
      const old = await w.redis({ pod: 'redis-0' }, { password });
      expect(await writers.missing(old)).toEqual([]);
      expect(await old.hget('h', 'since')).toBe('the cutover');
      await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
    },
  );

  slow(
    '6.0 with AOF and a password, to the end: what is on its volume outlives a restart',
    { timeout: 900_000 },
    async () => {
      const password = 'secret-one';
      const w = await begun({ image: { tag: R60 }, redis: { config: AOF, password } });
      await variety(await w.redis({ service: 'redis' }, { password }));
      const writers = await w.writers({ clients: 2, password });
      const upgrade = await w.start('helmDumpRestore', input({ targetVersion: R70 }));
      await until(upgrade, asksToDecommission);
      await writers.stop();
      await upgrade.approve('decommission');
      const receipt = await ended(upgrade);
      shown(receipt);
      expect(receipt.outcome).toBe('Completed');
      await w.kubectl(['delete', 'pod', 'redis-green-0', '--wait=true']);
      await w.kubectl(['rollout', 'status', 'statefulset/redis-green', '--timeout', '60s']);
      const green = await w.redis({ service: 'redis' }, { password });
      expect(await writers.missing(green)).toEqual([]);
      expect(await green.xlen('x')).toBe(10);
      const files = await w.kubectl(['exec', 'redis-green-0', '--', 'ls', '/data']);
      expect(files).toContain('appendonlydir');
      expect(files).not.toContain('ferry-aside');
      expect(await standing(w)).toEqual(AFTER);
    },
  );

  slow('8.0 to 7.0: key by key, and back', { timeout: 900_000 }, async () => {
    const w = await begun({ image: { tag: R80 } });
    await variety(await w.redis({ service: 'redis' }));
    const writers = await w.writers({ clients: 2 });
    const upgrade = await soaking(w, { targetVersion: R70 });
    const green = await w.redis({ service: 'redis' });
    expect(await green.info('server')).toContain('redis_version:7.0');
    expect(await green.zscore('z', 'member 7')).toBe('7');
    await writers.more(200);
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await ended(upgrade);
    await writers.stop();
    shown(receipt);
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [], facts: { way: { chosen: 'value' } } });
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
  });

  slow(
    'an image that does not exist: nobody was stopped, and nothing is left',
    { timeout: 500_000 },
    async () => {
      const w = await begun();
      const writers = await w.writers({ clients: 1 });
      const upgrade = await w.start('helmDumpRestore', input({ backup: false, targetVersion: '8.0.9' }));
      const { decision, step } = await upgrade.until('NeedsDecision', PATIENCE);
      expect(step).toBe('Wait until it is ready');
      expect(decision?.problem).toContain('its image can not be had');
      await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
      expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
      await writers.stop();
      expect([...writers.errors.keys()]).toEqual([]);
      await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
    },
  );

  slow('nobody answers at the gate "cutover": it goes back by itself', { timeout: 500_000 }, async () => {
    const w = await begun();
    const writers = await w.writers({ clients: 1 });
    const upgrade = await w.start(
      'helmDumpRestore',
      input({ backup: false, decideWithin: '5s', gates: { start: 'auto' } }),
    );
    const { gates, impact } = await upgrade.until('AwaitingApproval', PATIENCE);
    expect(gates.find(({ name }) => name === 'cutover')?.question).toMatch(
      /Writes have been refused for \d+ s/,
    );
    expect(impact).toHaveLength(1);
    expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
    await writers.more(100);
    await writers.stop();
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
  });

  slow(
    'the old server is restarted while writes are stopped: nobody is sent away from it',
    { timeout: 600_000 },
    async () => {
      const w = await begun({ redis: { config: AOF } });
      const writers = await w.writers({ clients: 1 });
      const upgrade = await w.start('helmDumpRestore', input({ backup: false, gates: { start: 'auto' } }));
      await upgrade.until('AwaitingApproval', PATIENCE);
      await w.kubectl(['delete', 'pod', 'redis-0', '--wait=true']);
      await w.kubectl(['rollout', 'status', 'statefulset/redis', '--timeout', '60s']);
      await writers.more(100, 60_000);
      await upgrade.approve('cutover');
      const { decision } = await upgrade.until('NeedsDecision', PATIENCE);
      expect(decision?.problem).toContain('takes writes again');
      await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
      expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
      await writers.stop();
      expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
      await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
    },
  );

  slow('the worker is killed in every step', { timeout: 900_000 }, async () => {
    const w = await begun();
    const writers = await w.writers({ clients: 1 });
    const upgrade = await w.start(
      'helmDumpRestore',
      input({ gates: { start: 'auto', cutover: 'auto', decommission: 'auto' } }),
    );
    const killed = await killedInEveryStep(w, upgrade, async (step) => {
      if (step === 'Point of no return') await writers.stop();
    });
    const state = await upgrade.state();
    await writers.stop();
    // Who still wrote when it looked, before it was stopped, is named; that is no fault of the upgrade.
    expect(state.decision?.problem ?? '').toBe('');
    const receipt = await ended(upgrade);
    shown(receipt);
    console.log('killed in', [...killed]);
    expect(receipt).toMatchObject({ outcome: 'Completed', left: [] });
    expect(killed.size).toBeGreaterThan(10);
    expect(await selectorOf(w)).toEqual(GREEN);
    expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
    expect(await standing(w)).toEqual(AFTER);
  });

  for (const title of [
    'Install green',
    'Wait until it is ready',
    'Stop the writes',
    'Take the snapshot',
    'Restore into green',
    'Wait until it has loaded',
    'Compare both sides',
    'Switch the applications over',
    'Validate',
  ])
    slow(
      `rollback is asked in "${title}": with every write, and nothing is left`,
      { timeout: 600_000 },
      async () => {
        const w = await begun();
        const selector = await selectorOf(w);
        const writers = await w.writers({ clients: 1 });
        const upgrade = await w.start('helmDumpRestore', input({ backup: false, soak: '1h' }));
        await upgrade.until(
          ({ step, steps }) =>
            step === title || steps.some((each) => each.title === title && each.status === 'done'),
          PATIENCE,
        );
        await upgrade.signal('rollback', { by: 'ada' });
        expect(await ended(upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
        await writers.more(50);
        await writers.stop();
        expect(await selectorOf(w)).toEqual(selector);
        expect(await writers.missing(await w.redis({ service: 'redis' }))).toEqual([]);
        await expect.poll(() => standing(w), { timeout: 60_000 }).toEqual(BEFORE);
      },
    );
});

/** A key of each type, one that expires, and one in another database. */
async function variety(redis: Redis): Promise<void> {
  await redis.hset('h', Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`field ${n}`, `${n}`])));
  await redis.zadd('z', ...Array.from({ length: 50 }, (_, n) => [n, `member ${n}`]).flat());
  await redis.rpush('l', ...Array.from({ length: 50 }, (_, n) => `item ${n}`));
  await redis.sadd('s', ...Array.from({ length: 50 }, (_, n) => `one ${n}`));
  for (let n = 0; n < 10; n += 1) await redis.xadd('x', '*', 'n', `${n}`);
  await redis.xgroup('CREATE', 'x', 'group', '0');
  await redis.set('ttl', 'an hour', 'EX', 3_600);
  // Gone by the time that both are compared.
  await redis.set('soon', 'gone', 'EX', 20);
  await redis.select(3);
  await redis.set('elsewhere', 'database 3');
  await redis.select(0);
}
