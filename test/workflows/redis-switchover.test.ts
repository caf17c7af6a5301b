/* redisSwitchover from its start to its receipt, forward and back, on real servers. */
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { application, world, type World } from '../support/world.js';

let w: World;
beforeEach(async () => {
  w = await world();
  await w.startWorker();
});
afterEach(() => w.close());

async function seed(): Promise<void> {
  const seeded = w.redis('source').pipeline();
  for (let n = 0; n < 5_000; n += 1) seeded.set(`seed:${n}`, `v${n}`, 'PX', 600_000 + n);
  await seeded.exec();
}

describe('redisSwitchover', () => {
  test('forward under writes: every acknowledged write is on the new server', async () => {
    await seed();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({ backup: true, canary: {} });
    await upgrade.approve('cutover');
    await upgrade.approve('commit');
    const receipt = await upgrade.ended();
    await app.stop();
    if (process.env['SHOW']) console.log(JSON.stringify(receipt, null, 1), app.errors, app.longestMs);
    expect(receipt.blemishes).toEqual([]);
    expect(receipt.outcome).toBe('Completed');
    expect(app.url).toContain(String(w.target.port));
    expect(await app.missing(w.redis('target'))).toEqual([]);
  });

  test('from Redis 6.0, and back: its own way, said in the plan', async () => {
    const old = await world({ source: 'r60', target: 'r70' });
    onTestFinished(() => old.close());
    await old.startWorker();
    const app = application({ world: old });
    const upgrade = await old.startSwitchover({ soak: '10m', gates: { cutover: 'auto' } });
    await upgrade.until((state) => state.step === 'Soak');
    const plan = JSON.stringify(await upgrade.handle.query('plan'));
    expect(plan).toContain('pause everything there');
    expect(plan).toContain('can only pause everything');
    const before = app.acknowledged.size;
    await expect.poll(() => app.acknowledged.size).toBeGreaterThan(before + 200);
    // A 6.0 doesn't understand how newer ones replicate SET with an expiry, and says nothing: that has to be accepted.
    expect((await upgrade.state()).wayBack).toMatchObject({ possible: true, keepsWrites: false });
    await upgrade.signal('rollback', { by: 'ada' });
    expect((await upgrade.until('NeedsDecision')).decision?.problem).toContain('written with an expiry');
    await upgrade.say('decide', { choice: 'rollbackLosingWrites', by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    await expect.poll(() => app.url).toContain(String(old.source.port));
    await app.stop();
    expect(await app.missing(old.redis('source'))).toEqual([]);
  });

  test('back during the soak: every write made since is on the old server, and the new one is empty again', async () => {
    await seed();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({ soak: '10m', gates: { cutover: 'auto' } });
    await upgrade.until((state) => state.step === 'Soak');
    expect((await upgrade.state()).wayBack).toMatchObject({ possible: true, keepsWrites: true });
    const before = app.acknowledged.size;
    await expect.poll(() => app.acknowledged.size).toBeGreaterThan(before + 200);
    await upgrade.signal('rollback', { by: 'ada' });
    const receipt = await upgrade.ended();
    await expect.poll(() => app.url).toContain(String(w.source.port));
    await app.stop();
    if (process.env['SHOW']) console.log(JSON.stringify(receipt, null, 1), app.errors, app.longestMs);
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(await app.missing(w.redis('source'))).toEqual([]);
    expect(await w.redis('target').dbsize()).toBe(0);
    expect(await w.redis('source').info('replication')).toMatch(/role:master[^]*connected_slaves:0/);
    expect(await w.redis('target').info('replication')).toMatch(/role:master/);
  });
});
