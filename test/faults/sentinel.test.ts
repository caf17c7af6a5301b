/* redisSwitchover of a server that Sentinels watch, with applications that ask them where it is. */
import { writeFile } from 'node:fs/promises';
import { describe, expect, onTestFinished } from 'vitest';
import type { Writer } from '../redis/replication/support.js';
import { PRIMARY, sentinelWriter, startSentinels, type Sentinels } from '../support/sentinel.js';
import { slow } from '../support/slow.js';
import { sleep, world, type Upgrade, type World } from '../support/world.js';
import { at, begun, quickly, replaceWorker, seed, typed } from './support.js';

async function begin(options: { quick?: boolean } = {}): Promise<{ w: World; sentinels: Sentinels }> {
  const fast = ['--repl-diskless-sync-delay', '0'];
  const w = await world({ sourceArgs: fast, targetArgs: fast });
  onTestFinished(() => w.close());
  await w.startWorker();
  await writeFile(w.addressFile, `${w.sourceUrl}\n`);
  await seed(w.redis('source'), 1_000);
  const sentinels = await startSentinels({
    port: w.source.port,
    name: 'r70',
    ...(options.quick ? { quick: true, downAfterMs: 2_000 } : {}),
  });
  return { w, sentinels };
}

const start = (w: World, { spec }: Sentinels, more: object = {}): Promise<Upgrade> =>
  w.startSwitchover({ repoint: spec, soak: '10m', gates: { cutover: 'auto' }, ...more });

async function roles(w: World): Promise<unknown[]> {
  const of = async (side: 'source' | 'target') => (await w.redis(side).role())[0];
  return [await of('source'), await of('target')];
}

async function expectRolesStay(w: World, expected: string[], ms: number): Promise<void> {
  for (const until = Date.now() + ms; Date.now() < until; await sleep(500))
    expect(await roles(w)).toEqual(expected);
}

async function expectWhole(w: World, serving: 'source' | 'target', app: Writer): Promise<string[]> {
  const { acknowledged, errors } = await app.end();
  expect(acknowledged).toBeGreaterThan(100);
  const list = await w.redis(serving).lrange(app.key, 0, -1);
  expect(list).toEqual(Array.from({ length: acknowledged }, (_, n) => String(n)));
  return errors;
}

const ports = (sentinels: Sentinels, port: number) => sentinels.all.map(() => port);

describe('behind Sentinels', { timeout: 180_000 }, () => {
  slow('forward and back: they stand by it past their periods, and no client sees an error', async () => {
    const { w, sentinels } = await begin();
    const app = sentinelWriter(sentinels, 'list');
    const upgrade = await start(w, sentinels);
    const { checks } = await upgrade.until(at('Soak'), 60_000);
    expect(checks.map(({ name }) => name)).toContain('Every Sentinel names the server that serves');
    expect(await sentinels.named()).toEqual(ports(sentinels, w.target.port));
    // They look every 10 s, and set a role right 8 s after they saw it.
    await expectRolesStay(w, ['slave', 'master'], 25_000);
    expect(await sentinels.named()).toEqual(ports(sentinels, w.target.port));
    await upgrade.say('rollback', { by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(await sentinels.named()).toEqual(ports(sentinels, w.source.port));
    await expectRolesStay(w, ['master', 'master'], 25_000);
    expect(await w.redis('target').dbsize()).toBe(0);
    for (const sentinel of sentinels.all) {
      expect(await sentinel.list('REPLICAS')).toEqual([]);
      expect(await sentinel.list('SENTINELS')).toHaveLength(2);
      expect(String(await sentinel.client.call('SENTINEL', 'CKQUORUM', PRIMARY))).toMatch(/^OK 3 usable/);
    }
    expect(await expectWhole(w, 'source', app)).toEqual([]);
  });

  slow('to the end: the old server is left alone', async () => {
    const { w, sentinels } = await begin({ quick: true });
    const app = sentinelWriter(sentinels, 'list');
    const upgrade = await start(w, sentinels, { soak: '3s', gates: { cutover: 'auto', commit: 'auto' } });
    expect(await upgrade.ended(90_000)).toMatchObject({ outcome: 'Completed', blemishes: [] });
    await expectRolesStay(w, ['master', 'master'], 5_000);
    expect(await sentinels.named()).toEqual(ports(sentinels, w.target.port));
    for (const sentinel of sentinels.all) expect(await sentinel.list('REPLICAS')).toEqual([]);
    expect(await expectWhole(w, 'target', app)).toEqual([]);
  });

  slow.each([0, 20])('the worker is killed %i ms into the switch: another finishes it', async (ms) => {
    const { w, sentinels } = await begin();
    const app = sentinelWriter(sentinels, 'list');
    const upgrade = await start(w, sentinels, { soak: '2s', gates: { cutover: 'auto', commit: 'auto' } });
    await quickly(upgrade, begun('Switch the applications over'), 60_000);
    await sleep(ms);
    await replaceWorker(w);
    expect(await upgrade.ended(90_000)).toMatchObject({ outcome: 'Completed', blemishes: [] });
    expect(await sentinels.named()).toEqual(ports(sentinels, w.target.port));
    await expectWhole(w, 'target', app);
  });

  slow(
    'one Sentinel does not answer at the cutover: nothing is paused, and it can be tried again',
    async () => {
      const { w, sentinels } = await begin();
      const app = sentinelWriter(sentinels, 'list');
      const upgrade = await start(w, sentinels, { gates: {} });
      await upgrade.until(
        (state) => state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
        60_000,
      );
      const away = sentinels.all[1]!;
      process.kill(away.pid, 'SIGSTOP');
      onTestFinished(() => void process.kill(away.pid, 'SIGCONT'));
      await upgrade.approve('cutover');
      const asked = await upgrade.until('NeedsDecision', 60_000);
      expect(asked.decision?.problem).toContain(away.place);
      expect(await roles(w)).toEqual(['master', 'slave']);
      process.kill(away.pid, 'SIGCONT');
      await upgrade.say('retry', { by: 'ada' });
      const { breakGlass } = await upgrade.until(at('Soak'), 60_000);
      expect(await sentinels.named()).toEqual(ports(sentinels, w.target.port));
      // The card looks first, and changes nothing where everything is as it should be.
      expect(breakGlass.join('\n')).toContain('__sentinel__:hello');
      await typed(w, breakGlass);
      expect(await sentinels.named()).toEqual(ports(sentinels, w.target.port));
      expect(await roles(w)).toEqual(['slave', 'master']);
      await upgrade.say('rollback', { by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(await expectWhole(w, 'source', app)).toEqual([]);
    },
  );
});
