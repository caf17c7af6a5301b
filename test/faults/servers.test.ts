/* Servers die, come back, run full and turn away; connections are cut; commands fail; two attempts overlap. */
import { rm, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { Redis } from 'ioredis';
import { application, sleep, world, type Upgrade, type World, type WorldOptions } from '../support/world.js';
import { addressIn, approveAll, expectWhole, restart, seed, until } from './support.js';

const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];

async function inWorld(options: WorldOptions, use: (w: World) => Promise<void>): Promise<void> {
  const w = await world(options);
  try {
    await w.startWorker();
    await use(w);
  } finally {
    await w.close();
  }
}

const cutoverOpen = (upgrade: Upgrade) =>
  upgrade.until(
    (state) => state.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
    60_000,
  );

async function partOfCopy(reader: Redis, keys: number): Promise<void> {
  await until('a part of the copy', async () => (await reader.dbsize().catch(() => 0)) > keys);
}

async function expectCompletes(
  upgrade: Upgrade,
  w: World,
  app: ReturnType<typeof application>,
): Promise<void> {
  await cutoverOpen(upgrade);
  await upgrade.approve('cutover');
  expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
  await expectWhole({ w, app, serving: 'target' });
}

async function killOurs(client: Redis, which: RegExp): Promise<number> {
  const list = String(await client.client('LIST'));
  const ids = list
    .split('\n')
    .flatMap((line) =>
      which.test(/ name=(\S*)/.exec(line)?.[1] ?? '') ? [/^id=(\d+)/.exec(line)?.[1] ?? ''] : [],
    );
  for (const id of ids) await client.call('CLIENT', 'KILL', 'ID', id);
  return ids.length;
}

describe.concurrent('in the copy', { timeout: 120_000 }, () => {
  for (const side of ['source', 'target'] as const) {
    test(`the ${side} is killed and comes back with its data`, () =>
      inWorld({ sourceArgs: DURABLE, targetArgs: DURABLE }, async (w) => {
        await seed(w.redis('source'), 30_000);
        const app = application({ world: w });
        const upgrade = await w.start({ rate: 8_000 });
        await upgrade.approve('start');
        await partOfCopy(w.redis('target'), 8_000);
        await w[side].kill9();
        await sleep(1_000);
        await restart(w, side, { version: side === 'source' ? 'r70' : 'r80', args: DURABLE });
        await expectCompletes(upgrade, w, app);
      }));
  }

  test('our connections are cut again and again', () =>
    inWorld({}, async (w) => {
      await seed(w.redis('source'), 30_000);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 8_000 });
      await upgrade.approve('start');
      await partOfCopy(w.redis('target'), 5_000);
      let cut = 0;
      for (const side of ['source', 'target', 'source'] as const) {
        cut += await killOurs(w.redis(side), /^ferry:/);
        await sleep(1_500);
      }
      expect(cut).toBeGreaterThan(2);
      await expectCompletes(upgrade, w, app);
    }));

  test('it is paused, goes on and changes its rate: from its checkpoint each time', () =>
    inWorld({}, async (w) => {
      const keys = 30_000;
      await seed(w.redis('source'), keys);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 4_000 });
      await upgrade.approve('start');
      const reader = w.redis('target');
      await partOfCopy(reader, 4_000);
      await upgrade.say('pause', { by: 'ada' });
      await upgrade.until('Paused');
      // Changes go on being followed or not: the copy itself stands still.
      const still = await reader.dbsize();
      await sleep(1_000);
      expect(await reader.dbsize()).toBe(still);
      await upgrade.say('resume', { by: 'ada' });
      await partOfCopy(reader, still + 2_000);
      await upgrade.say('adjust', { by: 'ada', rate: 'full' });
      await cutoverOpen(upgrade);
      await upgrade.approve('cutover');
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      const { resumedFrom, copied } = receipt.facts['copied'] as { resumedFrom: number; copied: number };
      expect(resumedFrom).toBeGreaterThan(4_000);
      expect(copied).toBeLessThan(keys + 2_000 + app.acknowledged.size);
      await expectWhole({ w, app, serving: 'target' });
    }));

  test('the target runs full: a person is asked, gives it memory, and it goes on from its checkpoint', () =>
    inWorld({}, async (w) => {
      await seed(w.redis('source'), 30_000);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 8_000 });
      await upgrade.approve('start');
      const reader = w.redis('target');
      await partOfCopy(reader, 8_000);
      await reader.config('SET', 'maxmemory', '3mb');
      const asked = await upgrade.until('NeedsDecision');
      expect(asked.decision).toMatchObject({ about: 'Copy every key' });
      expect(asked.decision?.problem).toMatch(/memory limit/);
      await reader.config('SET', 'maxmemory', '0');
      await upgrade.say('retry', { by: 'ada' });
      await cutoverOpen(upgrade);
      await upgrade.approve('cutover');
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      expect((receipt.facts['copied'] as { resumedFrom: number }).resumedFrom).toBeGreaterThan(4_000);
      await expectWhole({ w, app, serving: 'target' });
    }));

  test('the target becomes a read-only replica: a person is asked, makes it a primary again, and everything is there', () =>
    inWorld({}, async (w) => {
      await seed(w.redis('source'), 20_000);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 6_000 });
      await upgrade.approve('start');
      const reader = w.redis('target');
      await partOfCopy(reader, 5_000);
      // A primary that isn't there leaves the replica as it is.
      await reader.call('REPLICAOF', '127.0.0.1', '1');
      const asked = await upgrade.until('NeedsDecision');
      expect(asked.decision?.problem).toMatch(/read-only/);
      await reader.call('REPLICAOF', 'NO', 'ONE');
      await upgrade.say('retry', { by: 'ada' });
      await expectCompletes(upgrade, w, app);
    }));
});

describe.concurrent('around the switch', { timeout: 120_000 }, () => {
  test('the source is restarted while people decide', () =>
    inWorld({ sourceArgs: DURABLE }, async (w) => {
      await seed(w.redis('source'), 3_000);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 'full' });
      await upgrade.approve('start');
      await cutoverOpen(upgrade);
      await w.source.kill9();
      await restart(w, 'source', { version: 'r70', args: DURABLE });
      await sleep(500);
      await expectCompletes(upgrade, w, app);
    }));

  test('the tracking connection is lost while people decide: everything is compared again', () =>
    inWorld({}, async (w) => {
      await seed(w.redis('source'), 3_000);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 'full' });
      await upgrade.approve('start');
      await cutoverOpen(upgrade);
      // Changes of this moment are told to nobody.
      const client = w.redis('source');
      expect(await killOurs(client, /:tracking$/)).toBeGreaterThan(0);
      await client.set('unseen', '1');
      await upgrade.approve('cutover');
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      expect(await w.redis('target').get('unseen')).toBe('1');
      await expectWhole({ w, app, serving: 'target' });
    }));

  test('the repoint fails: everything resumes on the source, with what was written by those who had moved; then it works', () =>
    inWorld({ target: 'r70' }, async (w) => {
      await seed(w.redis('source'), 3_000);
      const app = application({ world: w });
      const broken = `${w.folder}/broken`;
      await writeFile(broken, '');
      // Tells the application, and fails then.
      const command = `printf '%s' "$FERRY_URL" > '${w.addressFile}'; if [ "$FERRY_DIRECTION" = forward ] && [ -e '${broken}' ]; then sleep 1; exit 1; fi`;
      const upgrade = await w.start({ rate: 'full', repoint: { kind: 'command', command } });
      await approveAll(upgrade);
      const asked = await upgrade.until('NeedsDecision');
      expect(asked.decision?.about).toBe('Switch the applications over');
      expect(asked.wayBack).toMatchObject({ possible: true, keepsWrites: true });
      await until('the application to come back', async () => app.url.includes(`:${w.source.port}`));
      const before = app.acknowledged.size;
      await until('writes on the source', async () => app.acknowledged.size > before + 100);
      const source = w.redis('source');
      const sofar = [...app.acknowledged];
      const lost = (
        await Promise.all(sofar.map(async ([key, value]) => ((await source.get(key)) === value ? '' : key)))
      ).filter(Boolean);
      expect(lost).toEqual([]);
      await rm(broken);
      await upgrade.say('retry', { by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await expectWhole({ w, app, serving: 'target' });
    }));

  test('the pause is too short: the source goes on, and a person is asked', () =>
    inWorld({ target: 'r70' }, async (w) => {
      await seed(w.redis('source'), 3_000);
      const app = application({ world: w });
      await writeFile(w.addressFile, w.sourceUrl);
      const upgrade = await w.start({ rate: 'full', maxPause: '1ms' });
      await approveAll(upgrade);
      const asked = await upgrade.until('NeedsDecision');
      expect(asked.decision?.problem).toContain('did not fit into a pause of 1 ms');
      const before = app.acknowledged.size;
      await until('writes on the source', async () => app.acknowledged.size > before + 100, 5_000);
      await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(await addressIn(w)).toBe(w.sourceUrl);
      await expectWhole({ w, app, serving: 'source' });
    }));
});
