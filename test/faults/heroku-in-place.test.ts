/*
 * An upgrade in place that is disturbed: asked to go back, or its worker killed, at each step in turn; the API of Heroku failing. Whatever
 * happens, every app is as it was before, and the store is of the one version or of the other.
 */
import { describe, expect } from 'vitest';
import type { Receipt, State } from '../../src/contract.js';
import { CLI, herokuWorld, type HerokuWorld } from '../support/heroku-world.js';
import type { Effect, Fault } from '../support/heroku/faults.js';
import { slow } from '../support/slow.js';
import { sleep, type Upgrade } from '../support/world.js';

const LONG = { timeout: 400_000 };
const ADDON = 'redis-curly-1';

function start(
  w: HerokuWorld,
  gates: Record<string, string> = { start: 'auto', run: 'auto' },
): Promise<Upgrade> {
  return w.start('herokuInPlace', {
    app: 'shop',
    addon: ADDON,
    targetVersion: '7.2',
    confirmed: ['schedulerOff', 'writersPaused', 'clientsSpeakTls'],
    gates,
  });
}

/** What a step is held up by, where it would be over before anybody could be faster; most are slow enough by the CLI. */
const HELD: Record<string, Fault> = {
  'Turn maintenance mode on': { does: 'slow', ms: 4_000, method: 'PATCH', path: /^\/apps\/shop-canary$/ },
  'Scale down the workers': {
    does: 'slow',
    ms: 4_000,
    method: 'PATCH',
    path: /^\/apps\/shop-canary\/formation$/,
  },
  // The way forward gives back the formation first.
  'Scale the workers back': {
    does: 'slow',
    ms: 4_000,
    method: 'PATCH',
    path: /^\/apps\/shop\/formation$/,
    nth: 2,
  },
};

/** Steps before the version is another one. */
const BEFORE = [
  'Ask for the upgrade',
  'Wait until it is prepared',
  'Turn maintenance mode on',
  'Scale down the workers',
  'Run the upgrade',
];

const at = (title: string) => (state: State) =>
  state.step === title && state.steps.some((step) => step.title === title && step.status === 'running');

function maintenances(w: HerokuWorld): number {
  const posts = w.heroku.requests.filter(
    ({ method, path, status }) => method === 'POST' && path.endsWith('/upgrade') && status === 200,
  );
  return posts.length;
}

function hold(w: HerokuWorld, title: string): void {
  const fault = HELD[title];
  if (fault) w.heroku.faults.add(fault);
}

/** Returns once Heroku was asked to. */
async function isChanging(w: HerokuWorld, what: string): Promise<void> {
  await expect
    .poll(() => w.heroku.requests.some(({ method, path }) => method === 'PATCH' && path === what))
    .toBe(true);
}

/** Wholly old or wholly new, and nothing billed twice. */
function isWhole(w: HerokuWorld, before: ReturnType<HerokuWorld['apps']>, receipt: Receipt): void {
  expect(w.apps()).toEqual(before);
  expect(w.heroku.billing().created).toEqual([ADDON]);
  const { version, status } = w.heroku.redis(ADDON);
  expect(status).toBe('available');
  expect(['7.0', '7.2']).toContain(version);
  if (receipt.outcome === 'Completed') expect(version).toBe('7.2');
  // It says of itself what can't be undone.
  else if (version === '7.2') expect(receipt.left.join()).toContain('runs 7.2');
  expect(maintenances(w)).toBeLessThanOrEqual(1);
}

describe.skipIf(CLI === null)('herokuInPlace, disturbed', () => {
  slow.each(BEFORE)('asked to go back at "%s"', LONG, async (title) => {
    const w = await herokuWorld();
    const before = w.apps();
    hold(w, title);
    const upgrade = await start(w);
    await upgrade.until(at(title), 180_000);
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended(180_000);
    expect(receipt.outcome).toBe('RolledBack');
    isWhole(w, before, receipt);
    if (maintenances(w) > 0) expect(receipt.left).not.toEqual([]);
  });

  slow('asked to go back once it has run: it is refused, and the apps are given back', LONG, async () => {
    const w = await herokuWorld();
    const before = w.apps();
    hold(w, 'Scale the workers back');
    const upgrade = await start(w);
    await upgrade.until(at('Scale the workers back'), 180_000);
    await expect(upgrade.say('rollback', { by: 'ada' })).rejects.toThrow();
    const receipt = await upgrade.ended(180_000);
    expect(receipt.outcome).toBe('Completed');
    isWhole(w, before, receipt);
  });

  slow.each([...BEFORE, 'Scale the workers back', 'Validate'])(
    'its worker killed at "%s"',
    LONG,
    async (title) => {
      const w = await herokuWorld();
      const before = w.apps();
      hold(w, title);
      const upgrade = await start(w);
      await upgrade.until(at(title), 180_000);
      w.worker?.kill('SIGKILL');
      await w.startWorker();
      const receipt = await upgrade.ended(240_000);
      expect(receipt).toMatchObject({ outcome: 'Completed', left: [] });
      isWhole(w, before, receipt);
    },
  );

  slow('its worker told to stop in the middle of a call that is never cut off', LONG, async () => {
    const w = await herokuWorld();
    const before = w.apps();
    w.heroku.faults.add({ does: 'slow', ms: 25_000, method: 'PATCH', path: /^\/apps\/shop-canary$/ });
    const upgrade = await start(w);
    await upgrade.until(at('Turn maintenance mode on'), 180_000);
    await isChanging(w, '/apps/shop-canary');
    const stopped = w.worker;
    let said = '';
    stopped?.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const gone = new Promise<number | null>((done) => stopped?.once('exit', done));
    stopped?.kill('SIGTERM');
    expect(await gone).toBe(1);
    expect(said).toContain('stopped in the middle of a call that is never cut off');
    await w.startWorker();
    const receipt = await upgrade.ended(240_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', left: [] });
    isWhole(w, before, receipt);
  });

  slow('a worker that slept through its turn changes nothing any more', LONG, async () => {
    const w = await herokuWorld();
    const before = w.apps();
    w.heroku.faults.add({ does: 'slow', ms: 4_000, method: 'PATCH', path: /^\/apps\/shop\/formation$/ });
    const upgrade = await start(w);
    await upgrade.until(at('Scale down the workers'), 180_000);
    await isChanging(w, '/apps/shop/formation');
    const asleep = w.worker;
    asleep?.kill('SIGSTOP');
    await w.startWorker();
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended(180_000);
    expect(receipt.outcome).toBe('RolledBack');
    asleep?.kill('SIGCONT');
    await sleep(8_000);
    isWhole(w, before, receipt);
  });

  slow('terminated with the apps at rest: `recover` gives them back', LONG, async () => {
    const w = await herokuWorld();
    const before = w.apps();
    const upgrade = await start(w);
    await upgrade.until(at('Run the upgrade'), 180_000);
    await upgrade.handle.terminate('by somebody');
    // What is at rest is not taken for what the apps have.
    const refused = await (await start(w)).failure();
    expect(refused).toMatchObject({ type: 'PreflightFailed' });
    expect(refused.message).toContain('"Turn maintenance mode on" of upgrade/heroku/');
    const recovery = await w.client.workflow.execute('recover', {
      taskQueue: w.taskQueue,
      workflowId: `recover/${upgrade.id}`,
      args: [{ workflowId: upgrade.id, by: 'ada' }],
    });
    expect(recovery).toMatchObject({ kept: [] });
    expect(w.apps()).toEqual(before);
  });

  const EFFECTS: [string, Effect][] = [
    ['429', { does: 'rate-limit' }],
    ['500 before its effect', { does: 'error', status: 500 }],
    ['500 after its effect', { does: 'error', status: 500, after: true }],
    ['dropped before its effect', { does: 'drop' }],
    ['dropped after its effect', { does: 'drop', after: true }],
  ];
  slow.each(EFFECTS)('each kind of request failing once: %s', LONG, async (_, effect) => {
    const w = await herokuWorld();
    const before = w.apps();
    w.heroku.faults.add(
      ...[
        { method: 'GET', path: /^\/account$/ },
        { method: 'GET', path: /^\/addons\/[^/]+$/ },
        { method: 'GET', path: /addon-attachments$/ },
        { method: 'GET', path: /^\/apps\/shop$/ },
        { method: 'GET', path: /formation$/ },
        { method: 'GET', path: /dynos$/ },
        { method: 'GET', path: /config-vars$/ },
        { method: 'GET', path: /^\/redis\/v0\/databases\/[^/]+$/ },
        { method: 'GET', path: /^\/data\/maintenances\/v1\/[^/]+$/ },
        { method: 'GET', path: /releases$/ },
        { method: 'POST', path: /\/upgrade$/ },
        { method: 'POST', path: /\/run$/ },
        { method: 'PATCH', path: /^\/apps\/shop$/ },
        { method: 'PATCH', path: /^\/apps\/shop-canary$/, nth: 2 },
        { method: 'PATCH', path: /^\/apps\/shop\/formation$/ },
        { method: 'PATCH', path: /^\/apps\/shop-canary\/formation$/, nth: 2 },
      ].map((where): Fault => ({ ...effect, ...where })),
    );
    const upgrade = await start(w);
    const receipt = await upgrade.ended(300_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', left: [] });
    isWhole(w, before, receipt);
  });

  slow.each(EFFECTS)('while it goes back: %s', LONG, async (_, effect) => {
    const w = await herokuWorld();
    const before = w.apps();
    const upgrade = await start(w);
    await upgrade.until(at('Run the upgrade'), 180_000);
    w.heroku.faults.add(
      ...[
        { method: 'GET', path: /^\/redis\/v0\/databases\/[^/]+$/ },
        { method: 'PATCH', path: /^\/apps\/shop$/ },
        { method: 'PATCH', path: /^\/apps\/shop\/formation$/ },
        { method: 'GET', path: /^\/apps\/shop-canary$/ },
      ].map((where): Fault => ({ ...effect, ...where })),
    );
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended(300_000);
    expect(receipt.outcome).toBe('RolledBack');
    isWhole(w, before, receipt);
  });
});
