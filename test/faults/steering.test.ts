/* Steering a redisSwitchover on real servers, while its cutover keeps failing. */
import { writeFile } from 'node:fs/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { slow } from '../support/slow.js';
import { application, sleep, world, type Upgrade, type World, type WorldOptions } from '../support/world.js';
import { at, expectWhole, replaceWorker, restart, seed, until, type Application } from './support.js';

async function begin(options: WorldOptions = {}): Promise<World> {
  const w = await world(options);
  onTestFinished(() => w.close());
  await w.startWorker();
  await writeFile(w.addressFile, `${w.sourceUrl}\n`);
  await seed(w.redis('source'), 2_000);
  return w;
}

/** The target goes on answering, and applies nothing of what the source sends it until it is let go. */
async function stall(w: World): Promise<{ letGo: () => Promise<void> }> {
  const client = w.redis('target');
  await client.client('PAUSE', 600_000, 'WRITE');
  return { letGo: async () => void (await client.client('UNPAUSE')) };
}

/** Returns as no write has been answered for a second: much longer than any pause of 60 ms. */
async function writesWait(app: Application): Promise<void> {
  await until(
    'the writes to wait',
    async () => {
      const before = app.acknowledged.size;
      await sleep(1_000);
      return app.acknowledged.size === before;
    },
    60_000,
  );
}

/** As many pauses were given up, as the activity tells. */
async function givenUp(upgrade: Upgrade, n: number): Promise<void> {
  await until(
    `${n} pauses to be given up`,
    async () => ((await upgrade.state()).progress?.counts['pausesGivenUp'] ?? 0) >= n,
    60_000,
    50,
  );
}

/** Writes go through: none is held by a pause that nobody ends. */
async function expectNoPause(w: World): Promise<void> {
  const client = w.redis('source');
  const answered = await Promise.race([
    client.set('probe:of:the:test', '1').then(() => true),
    sleep(5_000).then(() => false),
  ]);
  expect(answered, 'a write is answered').toBe(true);
  await client.del('probe:of:the:test');
}

describe('steering', { timeout: 180_000 }, () => {
  test('the pause is too short for a target that is behind, until it is raised', async () => {
    const w = await begin();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({ maxPause: '60ms', gates: { commit: 'auto' } });
    await upgrade.until('AwaitingApproval', 60_000);
    const target = await stall(w);
    await upgrade.approve('cutover');
    await givenUp(upgrade, 2);
    expect((await upgrade.state()).step).toBe('Switch the applications over');
    await upgrade.say('adjust', { by: 'ada', maxPause: '30s' });
    await writesWait(app);
    await target.letGo();
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
    const { pausesGivenUp, writePauseMs } = receipt.facts['switch'] as {
      pausesGivenUp: number;
      writePauseMs: number;
    };
    expect(pausesGivenUp).toBeGreaterThanOrEqual(2);
    expect(writePauseMs).toBeGreaterThan(1_000);
    expect(receipt.steered).toMatchObject([{ what: 'maxPause 60ms → 30s', by: 'ada' }]);
    console.log(`${pausesGivenUp} pauses given up, then writes were held ${writePauseMs} ms`);
    await expectWhole({ w, app, serving: 'target' });
  });

  slow('a higher lag limit begins the pause that a lower one held back', async () => {
    const w = await begin();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({ maxPause: '30s', maxLag: 1, gates: { commit: 'auto' } });
    await upgrade.until('AwaitingApproval', 60_000);
    const target = await stall(w);
    await until('the target to be behind', async () => (await behind(w)) > 1_000);
    await upgrade.approve('cutover');
    await upgrade.until(at('Switch the applications over'));
    await sleep(1_500);
    await expectNoPause(w);
    await upgrade.say('adjust', { by: 'ada', maxLag: 1024 ** 3 });
    await writesWait(app);
    await target.letGo();
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
    await expectWhole({ w, app, serving: 'target' });
  });

  slow.each(['stays', 'dies'])(
    'postponed while it is tried, and the worker %s: nothing is held, all goes on at the source; later it goes over',
    async (worker) => {
      const w = await begin();
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({ maxPause: '60ms', gates: { commit: 'auto' } });
      await upgrade.until('AwaitingApproval', 60_000);
      const target = await stall(w);
      await upgrade.approve('cutover');
      await givenUp(upgrade, 1);
      await upgrade.say('postpone', { by: 'ada', for: '2h' });
      if (worker === 'dies') await replaceWorker(w);
      expect((await upgrade.until('AwaitingWindow', 60_000)).impact).toEqual([]);
      await expectNoPause(w);
      const before = app.acknowledged.size;
      await until('writes at the source', async () => app.acknowledged.size > before + 100);
      expect((await w.redis('target').role())[0]).toBe('slave');
      await target.letGo();
      await upgrade.say('adjust', { by: 'ada', maxPause: '5s' });
      await upgrade.say('postpone', { by: 'ada', for: '1s' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await expectWhole({ w, app, serving: 'target' });
    },
  );

  slow(
    'a target that stands still while it is tried: what was changed meanwhile takes hold once it answers',
    async () => {
      const w = await begin();
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({ maxPause: '60ms', gates: { commit: 'auto' } });
      await upgrade.until('AwaitingApproval', 60_000);
      const target = await stall(w);
      await upgrade.approve('cutover');
      await givenUp(upgrade, 1);
      process.kill(w.target.pid, 'SIGSTOP');
      try {
        await sleep(3_000);
        await upgrade.say('adjust', { by: 'ada', maxPause: '5s' });
        await sleep(4_000);
        await expectNoPause(w);
      } finally {
        process.kill(w.target.pid, 'SIGCONT');
      }
      await target.letGo();
      const receipt = await upgrade.ended(120_000);
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await expectWhole({ w, app, serving: 'target' });
    },
  );

  slow('rolled back while it is tried: everything goes on at the source', async () => {
    const w = await begin();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({ maxPause: '60ms', gates: { commit: 'auto' } });
    await upgrade.until('AwaitingApproval', 60_000);
    const target = await stall(w);
    await upgrade.approve('cutover');
    await givenUp(upgrade, 1);
    await upgrade.say('rollback', { by: 'ada' });
    await target.letGo();
    expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    await expectWhole({ w, app, serving: 'source' });
  });

  test('the target is replaced by another version while it waits: the approval is for the plan that was looked at', async () => {
    const w = await begin({ target: 'r72' });
    const app = application({ world: w });
    const upgrade = await w.startSwitchover();
    const before = await upgrade.until('AwaitingApproval', 60_000);
    await w.target.stop();
    await restart(w, 'target', { version: 'r74' });
    await upgrade.say('approve', { gate: 'cutover', by: 'ada', planHash: before.planHash });
    const after = await upgrade.until(
      ({ planHash, phase }) => planHash !== before.planHash && phase === 'AwaitingApproval',
      60_000,
    );
    expect(after.refused[0]).toMatchObject({
      what: 'approval of gate "cutover"',
      by: 'ada',
      reason: expect.stringContaining('now: Switch the applications over: from'),
    });
    const again = upgrade.say('approve', { gate: 'cutover', by: 'ada', planHash: before.planHash });
    await expect(again).rejects.toMatchObject({
      cause: { message: expect.stringContaining(`now ${after.planHash}`) as string },
    });
    expect((await w.redis('source').role())[0]).toBe('master');
    await upgrade.say('rollback', { by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack' });
    await expectWhole({ w, app, serving: 'source' });
  });
});

/** Bytes that the target has not applied. */
async function behind(w: World): Promise<number> {
  const number = (text: string, name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(text)?.[1]);
  return (
    number(await w.redis('source').info('replication'), 'master_repl_offset') -
    number(await w.redis('target').info('replication'), 'slave_repl_offset')
  );
}
