/* redisSwitchover when the servers, Temporal and the link between them fail: at the gate, in the switch, in the soak. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, inject, test, type TestContext } from 'vitest';
import { slow } from '../support/slow.js';
import { freePort, startTemporal } from '../../src/setup/servers.js';
import { link } from '../support/link.js';
import { application, sleep, world, type Upgrade, type World, type WorldOptions } from '../support/world.js';
import { at, begun, expectWhole, quickly, restart, seed, until } from './support.js';

const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];

/** What is run when the test is over; with several at a time only the test's own context knows which. */
type AtEnd = TestContext['onTestFinished'];

async function begin(atEnd: AtEnd, options: WorldOptions = {}): Promise<World> {
  const w = await world(options);
  atEnd(() => w.close());
  await w.startWorker();
  await seed(w.redis('source'), 2_000);
  return w;
}

/** Both servers reach each other over links that can fail. */
async function linked(w: World, atEnd: AtEnd) {
  const [toSource, toTarget] = [await link(w.source.port, atEnd), await link(w.target.port, atEnd)];
  const both = [toSource, toTarget];
  return {
    reach: { source: toSource.at, target: toTarget.at },
    sever: () => both.forEach((each) => each.sever()),
    cut: () => both.forEach((each) => each.cut()),
    mend: () => both.forEach((each) => each.mend()),
    delay: (ms: number) => both.forEach((each) => each.delay(ms)),
  };
}

const gateOpen = (upgrade: Upgrade, name: string) =>
  upgrade.until((state) => state.gates.some((gate) => gate.name === name && gate.status === 'open'), 60_000);

/** Written where it serves, until some more were acknowledged. */
async function moreWrites(app: ReturnType<typeof application>, n = 200): Promise<void> {
  const before = app.acknowledged.size;
  await until('more writes', async () => app.acknowledged.size > before + n);
}

const roleOf = async (w: World, side: 'source' | 'target') =>
  String((await w.redis(side).role())[0]) === 'master' ? 'primary' : 'replica';

describe.concurrent('redisSwitchover', { timeout: 180_000 }, () => {
  slow(
    'partitioned at the gate: nothing is promoted, and once the link is mended it switches',
    async ({ onTestFinished: atEnd }) => {
      const w = await begin(atEnd);
      const network = await linked(w, atEnd);
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({ reach: network.reach, gates: { commit: 'auto' } });
      await gateOpen(upgrade, 'cutover');
      network.cut();
      await upgrade.approve('cutover');
      await moreWrites(app, 500);
      expect(await roleOf(w, 'target')).toBe('replica');
      network.mend();
      const end = await upgrade.until(
        ({ phase }) => phase === 'NeedsDecision' || phase === 'Completed',
        120_000,
      );
      // It may have asked meanwhile; nothing has happened, so it is simply tried again.
      if (end.phase === 'NeedsDecision') await upgrade.say('decide', { choice: 'retry', by: 'ada' });
      expect(await upgrade.ended(90_000)).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await expectWhole({ w, app, serving: 'target' });
    },
  );

  slow(
    'a link that is slow: it waits for the last byte, and loses none',
    async ({ onTestFinished: atEnd }) => {
      const w = await begin(atEnd);
      const network = await linked(w, atEnd);
      const app = application({ world: w });
      network.delay(40);
      const upgrade = await w.startSwitchover({
        reach: network.reach,
        gates: { cutover: 'auto', commit: 'auto' },
      });
      const receipt = await upgrade.ended(120_000);
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      // The last byte, by such a link.
      expect((receipt.facts['switch'] as { drainMs: number }).drainMs).toBeGreaterThan(35);
      await expectWhole({ w, app, serving: 'target' });
    },
  );

  slow(
    'partitioned in the soak, under writes: the old one catches up, and going back keeps them all',
    async ({ onTestFinished: atEnd }) => {
      const w = await begin(atEnd);
      const network = await linked(w, atEnd);
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({
        reach: network.reach,
        soak: '10m',
        gates: { cutover: 'auto' },
      });
      await upgrade.until(at('Soak'), 60_000);
      network.cut();
      await moreWrites(app, 1_000);
      network.mend();
      const follower = w.redis('source');
      await until('the link', async () =>
        (await follower.info('replication')).includes('master_link_status:up'),
      );
      await upgrade.say('rollback', { by: 'ada' });
      expect(await upgrade.ended(90_000)).toMatchObject({ outcome: 'RolledBack', left: [] });
      await expectWhole({ w, app, serving: 'source' });
    },
  );

  slow(
    'away for longer than the backlog holds: the old one keeps its keys, and a person is asked',
    async ({ onTestFinished: atEnd }) => {
      const w = await begin(atEnd);
      const network = await linked(w, atEnd);
      const upgrade = await w.startSwitchover({
        reach: network.reach,
        soak: '10m',
        gates: { cutover: 'auto' },
      });
      await upgrade.until(at('Soak'), 60_000);
      const next = w.redis('target');
      await next.config('SET', 'repl-backlog-size', '32kb');
      // Seen by both: what a replica that seems to be there has not taken yet is kept beside the backlog.
      network.sever();
      for (let n = 0; n < 200; n += 1) await next.set(`large:${n}`, 'x'.repeat(10_000));
      network.mend();
      const asked = await upgrade.until('NeedsDecision', 60_000);
      expect(asked.decision?.problem).toMatch(/everything anew|the link was down/);
      expect(asked.wayBack).toMatchObject({ keepsWrites: false });
      expect(asked.decision?.choices).not.toHaveProperty('rollback');
      // 8.0 writes what 7.0 can't read: its keys are the old ones, all of them.
      expect(await w.redis('source').dbsize()).toBeGreaterThanOrEqual(2_000);
      await upgrade.say('waive', { check: 'The way back is open', by: 'ada' });
      await upgrade.approve('commit');
      expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed' });
    },
  );

  test('the new server comes back empty in the soak: the old one is not wiped, and a person is asked', async ({
    onTestFinished: atEnd,
  }) => {
    const w = await begin(atEnd, { targetArgs: ['--save', ''] });
    const upgrade = await w.startSwitchover({ soak: '10m', gates: { cutover: 'auto' } });
    await upgrade.until(at('Soak'), 60_000);
    await w.target.kill9();
    // The backup has left one.
    await rm(join(w.folder, 'target', 'dump.rdb'), { force: true });
    await restart(w, 'target', { version: 'r80', args: ['--save', ''] });
    expect(await w.redis('target').dbsize()).toBe(0);
    const asked = await upgrade.until('NeedsDecision', 60_000);
    expect(asked.decision?.problem).toMatch(/restarted|the link was down/);
    await sleep(3_000);
    expect(await w.redis('source').dbsize()).toBeGreaterThanOrEqual(2_000);
    // What it held is all there is: the way back is taken by somebody who says so.
    await upgrade.say('rollback', { by: 'ada', acceptLoss: true });
    await upgrade.until(({ phase }) => phase === 'NeedsDecision' || phase === 'RolledBack', 60_000);
    expect(await w.redis('source').dbsize()).toBeGreaterThanOrEqual(2_000);
  });

  slow(
    'the old server dies at the gate: nothing is promoted without a person; back with its file, it goes on',
    async ({ onTestFinished: atEnd }) => {
      const w = await begin(atEnd, { sourceArgs: DURABLE });
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({ gates: { commit: 'auto' } });
      await gateOpen(upgrade, 'cutover');
      await moreWrites(app);
      await w.source.kill9();
      await upgrade.approve('cutover');
      const asked = await upgrade.until('NeedsDecision', 120_000);
      // Before anything is paused both servers are looked at once more.
      expect(asked.decision?.about).toBe('Gate: cutover');
      expect(await roleOf(w, 'target')).toBe('replica');
      await restart(w, 'source', { version: 'r70', args: DURABLE });
      // Its memory is gone, and with it the user that the new one logs in as: it is not wiped by whatever came back.
      await moreWrites(app);
      expect(await roleOf(w, 'target')).toBe('replica');
      await upgrade.say('rollback', { by: 'ada' });
      expect(await upgrade.ended(90_000)).toMatchObject({ outcome: 'RolledBack' });
      await expectWhole({ w, app, serving: 'source' });
    },
  );

  slow(
    'the new server dies while writes are paused for it: everything resumes on the old one',
    async ({ onTestFinished: atEnd }) => {
      const w = await begin(atEnd);
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({ canary: {} });
      await gateOpen(upgrade, 'cutover');
      await upgrade.approve('cutover');
      // It gets no further byte, so no pause is long enough.
      await quickly(upgrade, begun('Switch the applications over'), 60_000);
      process.kill(w.target.pid, 'SIGSTOP');
      await until('pauses', async () =>
        String(await w.redis('source').info('commandstats')).includes('cmdstat_client|pause'),
      );
      await moreWrites(app);
      await w.target.kill9();
      const asked = await upgrade.until('NeedsDecision', 120_000);
      expect(asked.decision?.about).toBe('Switch the applications over');
      await moreWrites(app);
      await app.stop();
      expect(app.url).toContain(`:${w.source.port}`);
      expect(await app.missing(w.redis('source'))).toEqual([]);
    },
  );

  test.skipIf(inject('ui') === null)(
    'Temporal dies in the switch and comes back: it is finished',
    async ({ onTestFinished: atEnd }) => {
      const binary = inject('ui')?.temporal ?? '';
      const folder = (await begin(atEnd)).folder;
      const port = await freePort();
      const start = () =>
        startTemporal({
          binary,
          log: join(folder, 'temporal.log'),
          dbFile: join(folder, 'temporal.db'),
          port,
        });
      let temporal = await start();
      atEnd(() => temporal.stop());
      const w = await begin(atEnd, { temporal: { address: `127.0.0.1:${port}`, taskQueue: 'redis-ferry' } });
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({ canary: {}, gates: { cutover: 'auto', commit: 'auto' } });
      await quickly(upgrade, begun('Switch the applications over'), 60_000);
      await temporal.kill9();
      await moreWrites(app);
      temporal = await start();
      expect(await upgrade.ended(120_000)).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await expectWhole({ w, app, serving: 'target' });
    },
  );
});
