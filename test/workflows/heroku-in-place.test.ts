/* An upgrade in place at the emulated Heroku, by the real CLI: from the JSON that a person types to the receipt. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { State } from '../../src/contract.js';
import { ask, customer } from '../heroku/support.js';
import { CLI, herokuWorld, type HerokuWorld } from '../support/heroku-world.js';
import { files, legible, spellings, watchProcesses } from '../support/leaks.js';
import { slow } from '../support/slow.js';
import { redisBin } from '../support/redis-bin.js';
import { binaryOf, type Upgrade } from '../support/world.js';

const CONFIRMED = ['schedulerOff', 'writersPaused', 'clientsSpeakTls'];
const INPUT = { app: 'shop', addon: 'redis-curly-1', targetVersion: '7.2' };
const LONG = { timeout: 300_000 };

const open = (gate: string) => (state: State) =>
  state.gates.some(({ name, status }) => name === gate && status === 'open');

async function fill(w: HerokuWorld): Promise<void> {
  const client = customer(w.heroku.redis('redis-curly-1').url);
  await client.mset({ cart: 'two apples', user: 'ada' });
  await client.set('session', 'short', 'EX', 3_600);
  await client.rpush('jobs', 'one', 'two');
  client.disconnect();
}

async function valuesOf(w: HerokuWorld): Promise<unknown> {
  const client = customer(w.heroku.redis('redis-curly-1').url);
  const values = [await client.mget('cart', 'user', 'session'), await client.lrange('jobs', 0, -1)];
  client.disconnect();
  return values;
}

const VALUES = [
  ['two apples', 'ada', 'short'],
  ['one', 'two'],
];

const changing = (w: HerokuWorld) =>
  w.heroku.requests.filter(({ method, path }) => method !== 'GET' && !path.startsWith('/actions/'));

/** Up to gate "run", or, with `run: true`, through it. */
async function begun(
  w: HerokuWorld,
  input: Record<string, unknown> = {},
  gates: Record<string, string> = { start: 'auto' },
): Promise<Upgrade> {
  return w.start('herokuInPlace', { ...INPUT, confirmed: CONFIRMED, snapshot: false, gates, ...input });
}

describe.skipIf(CLI === null)('herokuInPlace', () => {
  test('a production plan, from JSON to receipt', { timeout: 180_000 }, async () => {
    const w = await herokuWorld({ worker: false });
    await w.startWorker({ FERRY_REDIS_BIN: await redisBin(w.folder, binaryOf('r70') ?? '') });
    await fill(w);
    const copies = join(w.folder, 'copies');
    const { name, password } = w.heroku.redis('redis-curly-1');
    const before = w.apps();
    const seen = watchProcesses();

    const upgrade = await w.start('herokuInPlace', {
      ...INPUT,
      confirmed: ['schedulerOff', 'writersPaused'],
      snapshot: { copies: [{ folder: copies }], keep: {}, verify: true },
    });
    const { decision, checks } = await upgrade.until('NeedsDecision', 90_000);
    expect(decision?.waivable).toEqual(['Clients speak TLS']);
    expect(checks.filter(({ status }) => status === 'fail')).toHaveLength(1);
    await upgrade.say('tick', { item: 'Clients speak TLS', by: 'ada' });
    const start = await upgrade.until(open('start'), 60_000);
    expect(start.gates[0]?.question).toContain("can't be taken back");
    expect(start.impact).toEqual([]);
    await upgrade.approve('start');

    const run = await upgrade.until(open('run'), 90_000);
    expect(run.gates[1]?.question).toMatch(/would run by itself at \d{4}-.* \(required by .*\); 1h before/);
    expect(run.wayBack).toMatchObject({ possible: true, keepsWrites: true });
    expect(run.wayBack.takes).toContain('stays');
    // Nothing was done to the apps yet.
    const [copy = ''] = await readdir(join(copies, `upgrade+heroku+${w.name}`));
    expect((await readdir(join(copies, `upgrade+heroku+${w.name}`, copy))).toSorted()).toEqual([
      'keys.resp',
      'manifest.json',
    ]);
    expect(w.apps()).toEqual(before);
    await upgrade.approve('run');

    const resting = await upgrade.until(({ step }) => step === 'Run the upgrade', 60_000);
    expect(w.apps()).toMatchObject({
      shop: { maintenance: true, dynos: ['web.1', 'web.2'] },
      'shop-canary': { maintenance: true, dynos: ['web.1'] },
    });
    expect(resting.impact.map(({ what }) => what)).toEqual([
      'visitors of shop, shop-canary get the maintenance page',
      'no worker of shop, shop-canary runs: jobs wait',
      'connections to redis-curly-1 are cut',
    ]);
    expect(resting.breakGlass).toEqual(
      expect.arrayContaining([
        'heroku ps:scale worker=2:standard-1x -a shop',
        'heroku ps:scale worker=1:standard-1x -a shop-canary',
        'heroku maintenance:off -a shop',
        'heroku maintenance:off -a shop-canary',
      ]),
    );

    const receipt = await upgrade.ended(90_000);
    expect(receipt).toMatchObject({
      outcome: 'Completed',
      clean: true,
      left: [],
      facts: {
        heroku: { addon: name, from: '7.0', to: '7.2', account: 'ada@example.com' },
        snapshot: {
          keys: 4,
          loaded: { by: expect.stringMatching(/^Redis 7\.0/) as string, keys: 4 },
          copies: [copies],
          removed: [],
        },
        upgrade: { version: '7.2' },
        after: { version: '7.2', maxmemoryPolicy: 'noeviction' },
      },
    });
    expect(w.apps()).toEqual(before);
    expect(w.heroku.redis(name).version).toBe('7.2');
    expect(w.heroku.billing().created).toEqual([name]);
    expect(await valuesOf(w)).toEqual(VALUES);

    // No password, no key: in the history, in the files, in what `ps` shows.
    const { lines, environments } = await seen();
    const history = legible(await upgrade.handle.fetchHistory());
    const kept = await files(join(w.folder, 'home'), (file) => !file.endsWith('keys.resp'));
    expect(kept).toContain('undo-registered');
    expect(lines).toContain('data:maintenances:run');
    // The CLI gets its key by the environment.
    for (const text of [history, JSON.stringify(receipt), kept, lines])
      for (const secret of [password, w.heroku.account.key])
        for (const spelling of spellings(secret)) expect(text.includes(spelling)).toBe(false);
    for (const spelling of spellings(password)) expect(environments.includes(spelling)).toBe(false);
  });

  test('what an input may have wrong ends it with nothing changed', { timeout: 120_000 }, async () => {
    const w = await herokuWorld();
    const before = w.apps();
    const asked = changing(w).length;
    const failure = async (input: Record<string, unknown>, name = w.name) =>
      (await w.start('herokuInPlace', { ...INPUT, ...input, name })).failure();

    expect(await failure({ app: 'Shop!', targetVersion: 'newest' })).toMatchObject({
      type: 'InvalidInput',
      message: expect.stringMatching(
        /`app` must be an app's name.*`targetVersion` must be a version/,
      ) as string,
    });
    expect(await failure({ addon: 'redis-unknown-1' })).toMatchObject({
      type: 'NotFound',
      message: expect.stringContaining('Heroku has no add-on redis-unknown-1') as string,
    });
    // Another app than those that use it; an older version; one maintenance too many: all in one list.
    w.heroku.createApp({ name: 'blog' });
    const refused = await failure({ app: 'blog', targetVersion: '6.0' });
    expect(refused.type).toBe('PreflightFailed');
    expect(refused.message).toContain('Add-on: redis-curly-1 is of heroku-redis, used by shop, shop-canary');
    expect(refused.message).toContain('Target version: 6.0 is older, expected newer than 7.0');

    w.heroku.account.keyIsExpired = true;
    expect(await failure({})).toMatchObject({
      type: 'CredentialsRefused',
      message: expect.stringContaining('HEROKU_API_KEY is missing or expired') as string,
    });
    w.heroku.account.keyIsExpired = false;
    w.worker?.kill('SIGKILL');
    await w.startWorker({ HEROKU_API_KEY: '' });
    expect(await failure({})).toMatchObject({ type: 'MissingSecret' });

    expect(w.apps()).toEqual(before);
    expect(changing(w)).toHaveLength(asked);
  });

  slow('a mini plan is upgraded at once, with the apps at rest before', LONG, async () => {
    const w = await herokuWorld({ plan: 'mini' });
    await fill(w);
    const before = w.apps();
    const upgrade = await w.start('herokuInPlace', { ...INPUT, confirmed: CONFIRMED });
    await upgrade.approve('start');
    const receipt = await upgrade.ended(180_000);
    expect(receipt).toMatchObject({
      outcome: 'Completed',
      clean: true,
      facts: { upgrade: { version: '7.2' } },
    });
    expect(receipt.approvals.map(({ gate }) => gate)).toEqual(['start']);
    expect(w.apps()).toEqual(before);
    expect(await valuesOf(w)).toEqual(VALUES);
    // Both apps were at rest when it was asked for.
    const order = changing(w).map(({ method, path }) => `${method} ${path}`);
    const at = (what: RegExp) => order.findIndex((each) => what.test(each));
    expect(order.filter((each) => /PATCH \/apps\/shop(-canary)?$/.test(each))).toHaveLength(4);
    expect(at(/formation$/)).toBeGreaterThan(at(/PATCH \/apps\/shop-canary$/));
    expect(at(/upgrade$/)).toBeGreaterThan(at(/shop-canary\/formation$/));
  });

  slow.each([['premium-0'], ['mini']])('a version that is not offered, on %s', LONG, async (plan) => {
    const w = await herokuWorld({ plan });
    const before = w.apps();
    const upgrade = await w.start('herokuInPlace', {
      ...INPUT,
      targetVersion: '9.9',
      confirmed: CONFIRMED,
      snapshot: false,
    });
    await upgrade.approve('start');
    const receipt = await upgrade.ended(180_000);
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(receipt.reason).toMatch(/Heroku does not offer 9\.9 for redis-curly-1\. It offers .*7\.0, 7\.2/);
    expect(w.apps()).toEqual(before);
    expect(w.heroku.redis('redis-curly-1').version).toBe('7.0');
  });

  slow('a maintenance under way: refused, or taken over where it is of an earlier run', LONG, async () => {
    const w = await herokuWorld();
    const first = await begun(w);
    await first.until(open('run'), 120_000);
    await first.say('reject', { gate: 'run', by: 'ada' });
    const rolledBack = await first.ended(120_000);
    expect(rolledBack.outcome).toBe('RolledBack');
    expect(rolledBack.left).toEqual([
      expect.stringMatching(
        /upgrades it to 7\.2 is ready and can not be withdrawn: it runs by itself at 20/,
      ) as string,
    ]);
    const again = await begun(w, {}, { start: 'auto', run: 'auto' });
    const { decision } = await again.until('NeedsDecision', 120_000);
    expect(decision?.problem).toContain('No maintenance is under way: one is ready (customer_request)');
    await again.say('waive', { check: 'No maintenance is under way', by: 'ada' });
    expect(await again.ended(180_000)).toMatchObject({
      outcome: 'Completed',
      facts: { upgrade: { version: '7.2' } },
    });
    expect(changing(w).filter(({ path }) => path.endsWith('/upgrade'))).toHaveLength(1);
  });

  slow('it is put off before its hour, and then runs by itself all the same', LONG, async () => {
    const w = await herokuWorld({ timing: { scheduled: 150_000, week: 300_000 } });
    await fill(w);
    const before = w.apps();
    const upgrade = await begun(w, { postponeBefore: '140s' });
    const put = await upgrade.until(
      ({ warnings }) => warnings.some((each) => each.includes('was put off to')),
      300_000,
    );
    expect(w.heroku.redis('redis-curly-1').version).toBe('7.0');
    const { question } = (await upgrade.until(open('run'))).gates[1] ?? {};
    expect(question).toContain(put.warnings[0]?.match(/put off to (\S+):/)?.[1]);
    // Somebody runs it from elsewhere.
    await upgrade.until(({ warnings }) => warnings.some((each) => each.includes('put off')), 120_000);
    await ask(w.heroku, 'POST /data/maintenances/v1/redis-curly-1/run');
    const receipt = await upgrade.ended(180_000);
    expect(receipt).toMatchObject({
      outcome: 'Completed',
      clean: false,
      facts: { upgrade: { version: '7.2' } },
    });
    expect(receipt.blemishes.join()).toContain('has run by itself, before gate "run" was approved');
    expect(receipt.steps.find(({ title }) => title === 'Turn maintenance mode on')?.status).toBe('skipped');
    expect(w.apps()).toEqual(before);
    expect(changing(w).filter(({ path }) => path.startsWith('/apps/'))).toEqual([]);
    expect(await valuesOf(w)).toEqual(VALUES);
  });

  slow('it can not be put off beyond the day it is required by', LONG, async () => {
    const w = await herokuWorld({ timing: { scheduled: 100_000, required: 3_600_000 } });
    const before = w.apps();
    const upgrade = await begun(w, { postponeBefore: '95s' });
    const state = await upgrade.until(
      ({ gates }) =>
        gates.some(
          ({ name, status, question }) =>
            name === 'run' && status === 'open' && question.includes("can't be put off any more"),
        ),
      120_000,
    );
    expect(state.warnings.join()).toContain("can't be put off any more: it runs by itself at");
    // And then it does.
    const receipt = await upgrade.ended(180_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: false });
    expect(w.apps()).toEqual(before);
    expect(w.heroku.redis('redis-curly-1').version).toBe('7.2');
  });

  slow.each([['rollback'], ['retry']])('the maintenance fails: %s', LONG, async (choice) => {
    const w = await herokuWorld();
    const before = w.apps();
    w.heroku.faults.fail('maintenance');
    const upgrade = await begun(w, {}, { start: 'auto', run: 'auto' });
    const { decision } = await upgrade.until('NeedsDecision', 180_000);
    expect(decision?.about).toBe('Run the upgrade');
    expect(decision?.problem).toMatch(/started at .* and did not complete/);
    expect(decision?.deadline).toBeDefined();
    await upgrade.say('decide', { choice, by: 'ada' });
    const receipt = await upgrade.ended(180_000);
    expect(receipt.outcome).toBe(choice === 'retry' ? 'Completed' : 'RolledBack');
    expect(w.heroku.redis('redis-curly-1').version).toBe(choice === 'retry' ? '7.2' : '7.0');
    if (choice === 'rollback') expect(receipt.left.join()).toContain('can not be withdrawn');
    expect(w.apps()).toEqual(before);
  });
});
