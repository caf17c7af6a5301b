/*
 * What happens to herokuFork on its way: rollback asked, the worker killed, Heroku failing, a fork that is stuck, clients that stay. Each
 * app is then exactly as before, or exactly upgraded; one fork at most; nothing is billed twice; no acknowledged write is lost.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ask, customer } from '../heroku/support.js';
import type { Fault } from '../support/heroku/faults.js';
import { CLI, herokuWorld, type HerokuWorld } from '../support/heroku-world.js';
import { sleep, type Upgrade } from '../support/world.js';
import {
  beginFork as begin,
  expectAsBefore,
  expectUpgraded,
  FORK as INPUT,
  goBack,
  OLD,
  reached,
  type Mode,
} from './heroku.js';
import { begun, kill9 } from './support.js';

/** Of each mode, from the first that changes something to the last before the point of no return. */
const STEPS: Record<Mode, string[]> = {
  maintenance: [
    'Turn maintenance mode on',
    'Scale down the workers',
    'Keep the old one as OLD_REDIS',
    'Make the fork',
    'Carry over the settings',
    'Compare both sides',
    'Promote the fork',
    'Detach the temporary name',
    'Scale the workers back',
    'Turn maintenance mode off',
    'Validate',
    'Watch for stragglers',
  ],
  degraded: [
    'Keep the old one as OLD_REDIS',
    'Take Redis away from the apps',
    'Make the fork',
    'Carry over the settings',
    'Compare both sides',
    'Promote on the first app',
    'Promote the fork',
    'Detach the temporary name',
    'Validate',
    'Watch for stragglers',
  ],
};

/** However long it takes to get there. */
async function approve(upgrade: Upgrade, gate: string): Promise<void> {
  await reached(upgrade, ({ gates }) => gates.some(({ name, status }) => name === gate && status === 'open'));
  await upgrade.approve(gate);
}

describe.skipIf(CLI === null)('herokuFork', { timeout: 240_000 }, () => {
  for (const mode of ['maintenance', 'degraded'] as const) {
    for (const step of STEPS[mode])
      test(`${mode}: rollback asked in "${step}"`, async () => {
        const on = await begin(mode, { input: { keepOldFor: '10m' } });
        await reached(on.upgrade, begun(step));
        expect(await goBack(on.upgrade)).toMatchObject({ outcome: 'RolledBack', left: [] });
        expectAsBefore(on);
      });

    for (const step of [...STEPS[mode], 'Destroy the old add-on'])
      test(`${mode}: the worker is killed in "${step}"`, async () => {
        const on = await begin(mode, {
          input: { gates: { start: 'auto', promote: 'auto', destroy: 'auto' }, keepOldFor: '3s' },
        });
        await reached(on.upgrade, begun(step));
        await kill9(on.w.worker);
        await on.w.startWorker();
        expect(await on.upgrade.ended(150_000)).toMatchObject({ outcome: 'Completed', blemishes: [] });
        await expectUpgraded(on, { destroyed: true });
        expect(on.w.heroku.billing().created).toHaveLength(2);
      });
  }

  const CHANGES: Pick<Fault, 'method' | 'path'>[] = [
    { method: 'POST', path: /^\/apps\/[^/]+\/addons$/ },
    { method: 'DELETE', path: /^\/apps\/[^/]+\/addons\// },
    { method: 'POST', path: /^\/addon-attachments$/ },
    { method: 'DELETE', path: /^\/addon-attachments\// },
    { method: 'PATCH', path: /^\/apps\/[^/]+$/ },
    { method: 'PATCH', path: /\/formation$/ },
    { method: 'PATCH', path: /\/config$/ },
  ];
  for (const [title, effect] of [
    ['answers 500 and does nothing', { does: 'error', status: 500 }],
    ['answers 503 and has done it', { does: 'error', status: 503, after: true }],
    ['drops the connection before', { does: 'drop' }],
    ['drops the reply', { does: 'drop', after: true }],
    ['lets it wait (429)', { does: 'rate-limit' }],
    ['answers what was so before', { does: 'stale' }],
  ] as const)
    for (const mode of ['maintenance', 'degraded'] as const)
      test(`${mode}: Heroku ${title}, at the first and third request of each kind`, async () => {
        const on = await begin(mode, {
          input: { gates: { start: 'auto', promote: 'auto', destroy: 'auto' } },
          worker: false,
        });
        const kinds =
          effect.does === 'stale' ? [{ method: 'GET', path: /attachments|formation|addons/ }] : CHANGES;
        for (const kind of kinds)
          for (const nth of effect.does === 'stale' ? [9, 17, 31, 43] : [1, 3])
            on.w.heroku.faults.add({ ...kind, ...effect, nth, client: 'other' });
        await on.w.startWorker();
        expect(await on.upgrade.ended(200_000)).toMatchObject({ outcome: 'Completed' });
        await expectUpgraded(on, { destroyed: true });
        expect(on.w.heroku.billing().created).toHaveLength(2);
      });

  test('a stuck fork, with leave for the clear port: the first is destroyed, then one more is made', async () => {
    const on = await begin('degraded', { trustsSelfSigned: false, input: { forkOverClearPort: true } });
    await approve(on.upgrade, 'destroy');
    const receipt = await on.upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', facts: { fork: { over: 'clear' } } });
    expect(receipt.warnings.join()).toContain('self-signed');
    await expectUpgraded(on, { destroyed: true });
    const { created } = on.w.heroku.billing();
    expect(created).toHaveLength(3);
    const posts = on.w.heroku.requests.filter(
      ({ method, path }) => (method === 'POST' || method === 'DELETE') && /^\/apps\/[^/]+\/addons/.test(path),
    );
    // Made, destroyed, made; and the old one at the end.
    expect(posts.map(({ method }) => method)).toEqual(['POST', 'DELETE', 'POST', 'DELETE']);
  });

  test('a stuck fork, without leave: it says why and asks; back, or on by a word', async () => {
    const on = await begin('maintenance', { trustsSelfSigned: false });
    const { decision } = await on.upgrade.until('NeedsDecision', 90_000);
    expect(decision?.problem).toContain('it has never heard of its leader');
    expect(Object.keys(decision?.choices ?? {})).toEqual(
      expect.arrayContaining(['retry', 'continue', 'rollback']),
    );
    await on.upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await on.upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    expectAsBefore(on);
    const again = await begin('maintenance', { trustsSelfSigned: false });
    await again.upgrade.until('NeedsDecision', 90_000);
    await again.upgrade.say('decide', { choice: 'continue', by: 'ada' });
    await approve(again.upgrade, 'destroy');
    expect(await again.upgrade.ended()).toMatchObject({ outcome: 'Completed' });
    await expectUpgraded(again, { destroyed: true });
  });

  test('a fork that never parts from its leader is not promoted', async () => {
    const on = await begin('degraded', { worker: false, input: { forkWithin: '5s' } });
    on.w.heroku.faults.fail('fork');
    await on.w.startWorker();
    const { decision } = await on.upgrade.until('NeedsDecision', 90_000);
    expect(decision?.problem).toContain('it is in sync, and still a replica');
    await on.upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await on.upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    expectAsBefore(on);
  });

  test('a version that is not offered: it goes back by itself, and lists those that are', async () => {
    const on = await begin('degraded', { input: { targetVersion: '9.9' } });
    const receipt = await on.upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(receipt.reason).toMatch(/9\.9 is not supported: supported are .*7\.2/);
    expectAsBefore(on);
  });

  test('what can not be upgraded is refused, with all reasons at once', async () => {
    const w = await herokuWorld({ timing: { scheduled: 3_600_000 } });
    w.heroku.createApp({ name: 'partner' });
    w.heroku.attach({ app: 'partner', addon: OLD, as: 'REDIS' });
    w.heroku.app('partner').access = 'hidden';
    const asked = await ask(w.heroku, `POST /redis/v0/databases/${OLD}/upgrade`, { version: '7.2' });
    expect(asked.status).toBe(200);
    const before = w.apps();
    const { apps: _, ...all } = INPUT;
    const upgrade = await w.start('herokuFork', { ...all, mode: 'degraded', plan: 'premium-99' });
    const { type, message } = await upgrade.failure();
    expect(type).toBe('PreflightFailed');
    expect(message).toContain('not to partner');
    expect(message).toContain('premium-99, which is not offered');
    expect(message).toMatch(/it runs by itself at .*; Heroku requires it by /);
    expect(message).toContain(`heroku data:maintenances:schedule ${OLD} -a shop`);
    expect(w.apps()).toEqual(before);
  });

  test('who still writes to the old one is seen, and it is not destroyed', async () => {
    const on = await begin('degraded', { input: { keepOldFor: '6s' } });
    await reached(on.upgrade, begun('Watch for stragglers'));
    const stray = customer(on.w.heroku.redis(OLD).url);
    for (let n = 0; n < 30; n += 1) {
      await stray.set(`stray:${n}`, 'lost');
      await sleep(100);
    }
    const { decision } = await on.upgrade.until('NeedsDecision', 60_000);
    expect(decision?.problem).toContain('stray:');
    await on.upgrade.say('waive', { check: 'Nobody writes to the old add-on any more', by: 'ada' });
    await approve(on.upgrade, 'destroy');
    const asked = await on.upgrade.until('NeedsDecision', 60_000);
    expect(asked.decision?.problem).toContain('set ×30');
    expect(on.w.heroku.billing().existing).toContain(OLD);
  });

  test('a write to the old one after the comparison stops the promotion', async () => {
    const on = await begin('maintenance', { input: { gates: { start: 'auto' } } });
    await on.upgrade.until(
      (state) => state.gates.some(({ name, status }) => name === 'promote' && status === 'open'),
      90_000,
    );
    const stray = customer(on.w.heroku.redis(OLD).url);
    await stray.set('stray', 'would be lost');
    await approve(on.upgrade, 'promote');
    const { decision } = await on.upgrade.until('NeedsDecision', 60_000);
    expect(decision?.problem).toContain('was used although no app should write to it');
    expect(on.w.heroku.snapshot('shop').attachments).toContain(`REDIS → ${OLD}`);
    await on.upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await on.upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    expectAsBefore(on);
    expect(await stray.get('stray')).toBe('would be lost');
  });

  test('settings that a fork does not bring along are carried over', async () => {
    const on = await begin('maintenance', { worker: false });
    const { settings } = on.w.heroku.redis(OLD);
    Object.assign(settings, {
      maxmemory_policy: 'volatile-ttl',
      timeout: 600,
      notify_keyspace_events: 'KEA',
    });
    await on.w.startWorker();
    await approve(on.upgrade, 'destroy');
    const receipt = await on.upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed' });
    const fork = await expectUpgraded(on, { destroyed: true });
    expect(on.w.heroku.redis(fork).settings).toEqual(settings);
    expect(receipt.facts['settings']).toContain('timeout: 300 → 600');
  });

  for (const mode of ['maintenance', 'degraded'] as const)
    test(`${mode}, terminated before the promotion: the card restores service, and recover the rest`, async () => {
      const on = await begin(mode, { input: { gates: { start: 'auto' } } });
      const { w, upgrade, before } = on;
      const state = await reached(upgrade, ({ gates }) =>
        gates.some(({ name, status }) => name === 'promote' && status === 'open'),
      );
      await upgrade.handle.terminate('to see what is left');
      // Not one of what was there is taken for how things are.
      const second = await w.start('herokuFork', { ...INPUT, mode, name: `${w.name}-2` });
      expect((await second.failure()).message).toContain('ferry recover');
      await byHand(w, state.breakGlass);
      // A size that was typed stands there as it was typed.
      const lower = (text: string) => text.toLowerCase();
      for (const [app, was] of Object.entries(before)) {
        const now = w.apps()[app];
        expect(now?.maintenance).toBe(was.maintenance);
        expect(now?.formation.map(lower)).toEqual(was.formation.map(lower));
        expect(now?.attachments).toEqual(expect.arrayContaining(was.attachments));
      }
      await w.client.workflow.execute('recover', {
        taskQueue: w.taskQueue,
        workflowId: `recover/${upgrade.id}`,
        args: [{ workflowId: upgrade.id, by: 'ada' }],
      });
      expect(lower(JSON.stringify(w.apps()))).toBe(lower(JSON.stringify(before)));
      expect(w.heroku.billing().existing).toEqual([OLD]);
    });

  test('rejecting the destruction leaves the old one, as OLD_REDIS', async () => {
    const on = await begin('maintenance');
    await on.upgrade.until(
      (state) => state.gates.some(({ name, status }) => name === 'destroy' && status === 'open'),
      90_000,
    );
    await on.upgrade.say('reject', { gate: 'destroy', by: 'ada' });
    expect(await on.upgrade.ended()).toMatchObject({ outcome: 'Completed' });
    await expectUpgraded(on, { destroyed: false });
  });

  for (const mode of ['maintenance', 'degraded'] as const)
    test(`${mode}, with apps that write throughout: no acknowledged write is lost`, async () => {
      const on = await begin(mode, { worker: false });
      const dynos = ['shop', 'shop-canary'].map((app) => dyno(on.w, app));
      await sleep(500);
      await on.w.startWorker();
      await approve(on.upgrade, 'destroy');
      expect(await on.upgrade.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await sleep(500);
      for (const each of dynos) await each.stop();
      const fork = await expectUpgraded(on, { destroyed: true });
      const redis = customer(on.w.heroku.redis(fork).url);
      for (const { acknowledged } of dynos) {
        expect(acknowledged.size).toBeGreaterThan(20);
        for (const [key, value] of acknowledged) expect(await redis.get(key)).toBe(value);
      }
    });

  test('back after the promotion: what was written meanwhile stays on the fork, or is carried back first', async () => {
    const on = await begin('degraded', { input: { keepOldFor: '10m' } });
    const { w, upgrade } = on;
    await reached(upgrade, begun('Watch for stragglers'));
    const url = () => w.heroku.configVars('shop')['REDIS_URL'] ?? '';
    const app = customer(url());
    await app.set('session:new', 'made since');
    await upgrade.signal('rollback', { by: 'ada' });
    const { decision } = await upgrade.until('NeedsDecision', 60_000);
    const copy: unknown = JSON.parse(/--input '(\{.*?\})'/.exec(decision?.problem ?? '')?.[1] ?? 'null');
    expect(copy).not.toBeNull();
    // As it says: nobody writes, then the copy, then back.
    const reverse = await w.start('redisCopy', {
      ...(copy as Record<string, unknown>),
      gates: { start: 'auto' },
    });
    expect(await reverse.ended()).toMatchObject({ outcome: 'Completed' });
    await upgrade.say('decide', { choice: 'rollbackLosingWrites', by: 'ada' });
    const receipt = await upgrade.ended(120_000);
    expect(receipt.outcome).toBe('RolledBack');
    expect(receipt.left.join()).toContain('is kept as NEW_REDIS of shop');
    expect(url()).toBe(w.heroku.redis(OLD).url);
    expect(await customer(url()).get('session:new')).toBe('made since');
    expect(w.heroku.billing().existing).toHaveLength(2);
  });
});

/** The card as a person types it: what is so already is said, and the next line is typed. */
async function byHand(w: HerokuWorld, lines: readonly string[]): Promise<void> {
  expect(lines.join()).toContain('heroku ');
  // A person has it as `heroku` on PATH.
  const folder = await mkdtemp(join(tmpdir(), 'ferry-heroku-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'heroku'), `#!/bin/sh\nexec '${process.execPath}' '${CLI ?? ''}' "$@"\n`, {
    mode: 0o755,
  });
  const { PATH = '' } = process.env;
  await promisify(execFile)('sh', ['-c', `${lines.join('\n')}\ntrue`], {
    env: { ...w.env, PATH: `${folder}:${PATH}` },
  });
}

/** A dyno that writes: it reads its config variable when it is started, as it is with every release. */
function dyno(w: HerokuWorld, app: string) {
  const acknowledged = new Map<string, string>();
  let running = true;
  const releases = () => w.heroku.app(app).releases.length;
  const loop = (async () => {
    for (let n = 0; running;) {
      const release = releases();
      const { REDIS_URL, CACHE_URL } = w.heroku.configVars(app);
      const url = REDIS_URL ?? CACHE_URL;
      const client = url === undefined ? null : customer(url);
      while (running && release === releases()) {
        // Behind the maintenance page nobody asks it for anything.
        if (client !== null && !w.heroku.app(app).maintenance) {
          n += 1;
          const said = await client.set(`${app}:${n}`, `value ${n}`).catch(() => null);
          if (said === 'OK') acknowledged.set(`${app}:${n}`, `value ${n}`);
        }
        await sleep(20);
      }
      client?.disconnect();
    }
  })();
  return {
    acknowledged,
    stop: async () => {
      running = false;
      await loop;
    },
  };
}
