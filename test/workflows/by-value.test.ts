/* Targets that don't read the source's format, what they have no place for, function libraries, and imports of others. */
import { describe, test, type TestContext } from 'vitest';
import { queries, type Plan } from '../../src/contract.js';
import { readEverything, fillWithEverything } from '../redis/engine/data.js';
import { application, world, type Upgrade, type World, type WorldOptions } from '../support/world.js';
import { ferryConnections, locks, seed, soon, standing } from './support.js';

async function open({ onTestFinished }: TestContext, options: WorldOptions): Promise<World> {
  const w = await world(options);
  onTestFinished(() => w.close());
  await w.startWorker();
  return w;
}

const auto = { start: 'auto', cutover: 'auto' } as const;
const atWatch = async (upgrade: Upgrade) =>
  upgrade.until((state) => state.step === 'Watch for stragglers', 60_000);

async function nothingLeft(w: World): Promise<void> {
  await soon(async () => (await ferryConnections(w)).length === 0 && (await locks(w)).length === 0);
}

const LIBRARY = (value: number) =>
  `#!lua name=mylib\nredis.register_function('answer', function() return ${value} end)`;

describe.concurrent('by value', () => {
  test('8.0 → 7.0 under writes, and back again with the writes made since', async (t) => {
    const { expect } = t;
    const w = await open(t, { source: 'r80', target: 'r70' });
    const [source, target] = [w.redis('source'), w.redis('target')];
    await fillWithEverything(source, target);
    await seed(w, 'source', 2_000);
    await source.call('FUNCTION', 'LOAD', LIBRARY(42));
    const before = await standing(w);
    const app = application({ world: w });
    const upgrade = await w.start({ watch: '10m', gates: { start: 'auto' } });
    const state = await upgrade.until((s) =>
      s.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
    );
    const because = 'Redis 7.0.15 reads RDB versions up to 10, and Redis 8.0';
    expect(state.way).toMatchObject({
      chosen: 'value',
      because: expect.stringContaining(because),
      back: { chosen: 'dump', because: '' },
    });
    expect(state.steps[0]?.note).toContain(`keys go by value (${because}`);
    expect(state.steps[0]?.note).toContain('going back after the switch: by DUMP and RESTORE');
    const plan = (await upgrade.handle.query(queries.plan)) as Plan;
    const does = plan.steps.find(({ title }) => title === 'Copy every key')?.does.join('\n');
    expect(does).toContain(`by value (${because}`);
    expect(does).toContain('load its function libraries there: mylib');
    // By a reader of its own, not by the comparison.
    const ignore = /^(app|ferry)/;
    expect(await readEverything(target, { ignore })).toEqual(await readEverything(source, { ignore }));
    expect(await target.call('FCALL', 'answer', 0)).toBe(42);
    await upgrade.approve('cutover');
    const switched = await atWatch(upgrade);
    expect(switched.wayBack).toMatchObject({ possible: true, keepsWrites: true, loses: '' });
    await target.set('written since', 'yes');
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended();
    await app.stop();
    expect(receipt).toMatchObject({
      outcome: 'RolledBack',
      left: [],
      facts: {
        way: { chosen: 'value', because: expect.stringContaining(because), back: { chosen: 'dump' } },
      },
    });
    expect(await app.missing(source)).toEqual([]);
    expect(await source.get('written since')).toBe('yes');
    expect(await target.dbsize()).toBe(0);
    expect(await target.call('FUNCTION', 'LIST')).toEqual([]);
    expect((await standing(w)).settings).toEqual(before.settings);
    await nothingLeft(w);
  });

  test('7.0 → 8.0, and back with the writes made since, though 7.0 does not read the format of 8.0', async (t) => {
    const { expect } = t;
    const w = await open(t, { source: 'r70', target: 'r80' });
    const [source, target] = [w.redis('source'), w.redis('target')];
    await fillWithEverything(source);
    const app = application({ world: w });
    const upgrade = await w.start({ watch: '10m', gates: auto });
    const switched = await atWatch(upgrade);
    expect(switched.wayBack).toMatchObject({
      possible: true,
      keepsWrites: true,
      loses: '',
      takes: expect.stringContaining(
        '(hash fields that were given an expiry since would stop it, with nothing lost)',
      ),
    });
    await target.rpush('list small', 'written since');
    await target.zadd('zset small', '0.1', 'written since');
    await target.del('hash table');
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended();
    await app.stop();
    expect(receipt).toMatchObject({
      outcome: 'RolledBack',
      left: [],
      facts: { way: { chosen: 'dump', back: { chosen: 'value' } } },
    });
    expect(await app.missing(source)).toEqual([]);
    expect(await source.lrange('list small', -1, -1)).toEqual(['written since']);
    expect(Number(await source.zscore('zset small', 'written since'))).toBe(0.1);
    expect(await source.exists('hash table')).toBe(0);
    await nothingLeft(w);
  });

  test('what the old server has no place for stops the way back by name; without it, it goes on', async (t) => {
    const { expect } = t;
    const w = await open(t, { source: 'r70', target: 'r80' });
    await seed(w, 'source', 50);
    const upgrade = await w.start({ watch: '10m', gates: auto });
    await atWatch(upgrade);
    const target = w.redis('target');
    await target.hset('session', 'token', 't');
    await target.call('HPEXPIRE', 'session', 600_000, 'FIELDS', 1, 'token');
    await upgrade.say('rollback', { by: 'ada' });
    const held = await upgrade.until('NeedsDecision');
    expect(held.decision?.problem).toMatch(
      /Redis 7\.0.*has no hash fields that expire, which the key session has/,
    );
    // The applications are where they were, and can write.
    expect((await standing(w)).address).toContain(String(w.target.port));
    await target.set('still', 'served');
    await target.call('HPERSIST', 'session', 'FIELDS', 1, 'token');
    await upgrade.say('retry', { by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    const source = w.redis('source');
    expect(await source.hgetall('session')).toEqual({ token: 't' });
    expect(await source.get('still')).toBe('served');
    await nothingLeft(w);
  });
});

describe.concurrent('what the target has no place for', () => {
  test('hash fields that expire, vector sets: found in pre-flight, by name', async (t) => {
    const { expect } = t;
    const w = await open(t, { source: 'r80', target: 'r70' });
    const source = w.redis('source');
    await seed(w, 'source', 300);
    await source.hset('session:1', 'token', 't', 'user', 'u');
    await source.call('HPEXPIRE', 'session:1', 600_000, 'FIELDS', 1, 'token');
    await source.call('VADD', 'vectors', 'VALUES', 2, 1, 2, 'one');
    const refused = await (await w.start({ gates: auto })).failure();
    expect(refused.type).toBe('PreflightFailed');
    expect(refused.message).toMatch(
      /Modules: 1 key of type vectorset, for example vectors, which the target refuses/,
    );
    expect(refused.message).toMatch(
      /Hash fields that expire: 1 hash with such fields, for example session:1/,
    );
    expect(refused.message).toMatch(/HPERSIST/);
    expect(await w.redis('target').dbsize()).toBe(0);

    await source.del('vectors');
    await source.call('HPERSIST', 'session:1', 'FIELDS', 1, 'token');
    expect(await (await w.start({ gates: auto })).ended()).toMatchObject({ outcome: 'Completed' });
    expect(await w.redis('target').dbsize()).toBe(301);
  });

  test('what comes only during the copy stops it, and nothing is lost', async (t) => {
    const { expect } = t;
    const w = await open(t, { source: 'r80', target: 'r70' });
    await seed(w, 'source', 100);
    const upgrade = await w.start({ gates: { start: 'auto' } });
    await upgrade.until((s) => s.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'));
    const source = w.redis('source');
    await source.hset('late', 'token', 't');
    await source.call('HPEXPIRE', 'late', 600_000, 'FIELDS', 1, 'token');
    await upgrade.approve('cutover');
    const held = await upgrade.until('NeedsDecision');
    expect(held.decision?.problem).toContain('which the key late has at the source');
    await source.call('HPERSIST', 'late', 'FIELDS', 1, 'token');
    await upgrade.say('retry', { by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed' });
    expect(await w.redis('target').hgetall('late')).toEqual({ token: 't' });
    await nothingLeft(w);
  });
});

describe.concurrent('function libraries', () => {
  test('other code under the same name is refused; changes until the switch come along', async (t) => {
    const { expect } = t;
    const w = await open(t, { source: 'r70', target: 'r80' });
    const [source, target] = [w.redis('source'), w.redis('target')];
    await seed(w, 'source', 50);
    await source.call('FUNCTION', 'LOAD', LIBRARY(1));
    await target.call('FUNCTION', 'LOAD', LIBRARY(2));
    expect(await (await w.start({ gates: auto })).failure()).toMatchObject({
      message: expect.stringMatching(/Functions: other code under the same name: mylib/),
    });
    await target.call('FUNCTION', 'FLUSH');
    const upgrade = await w.start({ gates: { start: 'auto' } });
    await upgrade.until((s) => s.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'));
    expect(await target.call('FCALL', 'answer', 0)).toBe(1);
    await source.call('FUNCTION', 'LOAD', 'REPLACE', LIBRARY(3));
    await upgrade.approve('cutover');
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', facts: { comparison: { functions: ['mylib'] } } });
    expect(await target.call('FCALL', 'answer', 0)).toBe(3);
  });

  test('into a server without functions: only with a waiver', async (t) => {
    const { expect } = t;
    const w = await open(t, { source: 'r70', target: 'r62' });
    await seed(w, 'source', 50);
    await w.redis('source').call('FUNCTION', 'LOAD', LIBRARY(1));
    const upgrade = await w.start({ gates: auto });
    const state = await upgrade.until('NeedsDecision');
    expect(state.decision).toMatchObject({
      waivable: ['Functions'],
      problem: expect.stringContaining('stay behind'),
    });
    await upgrade.say('waive', { check: 'Functions', by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed' });
    expect(await w.redis('target').dbsize()).toBe(50);
  });
});

describe.concurrent('way: "none"', () => {
  /** What a provider's import does: a copy as of now. */
  async function imported(w: World): Promise<void> {
    const [source, target] = [w.redis('source'), w.redis('target')];
    for (const key of await source.keys('*'))
      await target.restore(
        key,
        Math.max(0, Number(await source.call('PEXPIRETIME', key))),
        (await source.dumpBuffer(key)) ?? '',
        'ABSTTL',
      );
  }

  test('an import that is whole: verified, repointed, and left alone by going back', async (t) => {
    const { expect } = t;
    const w = await open(t, {});
    const [source, target] = [w.redis('source'), w.redis('target')];
    await seed(w, 'source', 500);
    const empty = await w.start({ way: 'none', gates: auto });
    expect(await empty.failure()).toMatchObject({
      message: expect.stringMatching(/Target holds the import: .*Run the import first/),
    });
    await imported(w);
    const upgrade = await w.start({ way: 'none', watch: '10m', gates: { start: 'auto' } });
    const state = await upgrade.until((s) =>
      s.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
    );
    expect(state.steps.map(({ title }) => title)).not.toContain('Copy every key');
    expect(state.steps[0]?.note).toContain('nothing is copied (way "none")');
    // What changes while people decide comes along, deletions too.
    await source.set('new', 'n');
    await source.del('seed:0');
    await upgrade.approve('cutover');
    await atWatch(upgrade);
    expect(await target.get('new')).toBe('n');
    expect(await target.exists('seed:0')).toBe(0);
    await target.set('written since', 'yes');
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [], facts: { way: { chosen: 'none' } } });
    expect(await source.get('written since')).toBe('yes');
    expect(await target.dbsize()).toBe(501);
    await nothingLeft(w);

    const second = await w.start({ way: 'none', gates: auto });
    expect(await second.ended()).toMatchObject({ outcome: 'Completed', clean: true });
    expect((await standing(w)).address).toContain(String(w.target.port));
    await nothingLeft(w);
  });

  test('an import that the source has gone on from: it holds, or makes that good where it is told to', async (t) => {
    const { expect } = t;
    const w = await open(t, {});
    const [source, target] = [w.redis('source'), w.redis('target')];
    await seed(w, 'source', 100);
    await imported(w);
    await source.mset('seed:1', 'changed', 'new', 'n');
    await target.set('extra', 'e');
    const upgrade = await w.start({ way: 'none', gates: auto });
    const held = await upgrade.until('NeedsDecision');
    expect(held.decision?.problem).toMatch(
      /3 of \d+ keys differ: 1 missing, 1 extra, 1 value.*ifTargetHasKeys: "replace"/,
    );
    expect(await target.get('new')).toBeNull();
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack' });
    expect(await target.get('extra')).toBe('e');
    expect(await target.dbsize()).toBe(101);
    await nothingLeft(w);

    const second = await w.start({ way: 'none', ifTargetHasKeys: 'replace', gates: auto });
    const again = await second.until('NeedsDecision');
    expect(again.decision?.problem).toMatch(/1 of \d+ keys differ: .*1 extra.*2 made good.*are not touched/);
    expect(await target.get('extra')).toBe('e');
    await target.del('extra');
    await second.say('retry', { by: 'ada' });
    expect(await second.ended()).toMatchObject({ outcome: 'Completed' });
    expect(await target.mget('seed:1', 'new')).toEqual(['changed', 'n']);
    await nothingLeft(w);
  });
});
