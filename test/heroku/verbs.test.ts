/* What the strategies do with the Platform API: each verb repeatable, each effect once. */
import { describe, expect, it } from 'vitest';
import {
  addOnInfo,
  addOnsOf,
  createAddOn,
  destroyAddOn,
  findAddOn,
  waitUntilProvisioned,
  type CreateAddOn,
} from '../../src/heroku/add-ons.js';
import { attach, attachmentsOf, attachmentsOn, detach } from '../../src/heroku/attachments.js';
import { dynosOf, waitForRelease, waitUntilStopped } from '../../src/heroku/dynos.js';
import { formationOf, scale } from '../../src/heroku/formation.js';
import { plansOf } from '../../src/heroku/plans.js';
import { newestRelease } from '../../src/heroku/releases.js';
import { resolveEndpoint } from '../../src/platform/secrets.js';
import type { HerokuOptions } from '../support/heroku/index.js';
import { failureOf, pointAt } from './client.js';
import { herokuHere } from './support.js';

const WAIT = { deadline: 30_000, every: 20 };

async function shop(options: Omit<HerokuOptions, 'servers'> = {}) {
  const heroku = await herokuHere(options);
  for (const name of ['shop', 'shop-canary']) heroku.createApp({ name });
  const old = await heroku.createRedis({
    app: 'shop',
    plan: 'premium-0',
    name: 'redis-curly-1',
    as: 'REDIS',
    version: '7.0',
  });
  pointAt(heroku);
  heroku.requests.length = 0;
  return { heroku, old };
}

const asked = (requests: { method: string; path: string }[], method: string): string[] =>
  requests.filter((each) => each.method === method).map(({ path }) => path);

const FORK: CreateAddOn = {
  app: 'shop',
  name: 'shop-fork-1',
  plan: 'heroku-redis:premium-0',
  attachment: 'NEW_REDIS',
};

describe('add-ons', () => {
  it('are found by exactly their name or id', async () => {
    const { old } = await shop();
    const found = await addOnInfo({ addon: 'redis-curly-1' });
    expect(found).toMatchObject({
      id: old.id,
      service: 'heroku-redis',
      plan: 'heroku-redis:premium-0',
      state: 'provisioned',
      billingApp: { name: 'shop' },
      configVars: ['REDIS_URL'],
      price: { cents: 1_500, unit: 'month', contract: false },
    });
    expect(await findAddOn({ addon: old.id })).toEqual(found);
    expect(await findAddOn({ addon: 'redis-curly' })).toBeNull();
    expect(await findAddOn({ addon: 'REDIS' })).toBeNull();
    expect(await failureOf(addOnInfo({ addon: 'redis-curly' }))).toMatchObject({ type: 'NotFound' });
    expect((await addOnsOf({ app: 'shop' })).map(({ name }) => name)).toEqual(['redis-curly-1']);
  });

  it.each([
    ['nothing', null],
    ['a dropped reply', { does: 'drop', after: true }],
    ['an error after the effect', { does: 'error', status: 500, after: true }],
    ['the rate limit', { does: 'rate-limit' }],
  ] as const)('are created once, whatever happens to the reply: %s', async (_, fault) => {
    const { heroku, old } = await shop({ trustsSelfSigned: true });
    if (fault) heroku.faults.add({ ...fault, method: 'POST', path: /^\/apps\/shop\/addons$/ });
    let urls = 0;
    const config = async (): Promise<Record<string, string>> => {
      urls += 1;
      return { fork: old.url };
    };
    await createAddOn({ ...FORK, config });
    const fork = await waitUntilProvisioned({ addon: FORK.name, ...WAIT });
    expect(fork).toMatchObject({ name: FORK.name, configVars: ['NEW_REDIS_URL'] });
    // A second try finds it, and doesn't even ask for the URL.
    expect(await createAddOn({ ...FORK, config })).toMatchObject({ id: fork.id });
    expect(urls).toBe(1);
    expect(heroku.billing().created).toEqual(['redis-curly-1', FORK.name]);
  });

  it.each([
    ['a dropped request', { does: 'drop' }],
    ['an error before the effect', { does: 'error', status: 503 }],
  ] as const)('are made by the next try after %s', async (_, fault) => {
    const { heroku } = await shop();
    heroku.faults.add({ ...fault, method: 'POST', path: /addons$/ });
    expect(await failureOf(createAddOn(FORK))).toMatchObject({ type: 'OutcomeUnknown' });
    await createAddOn(FORK);
    expect(heroku.billing().created).toEqual(['redis-curly-1', FORK.name]);
  });

  it('are known by their name where the look before was a stale one', async () => {
    const { heroku } = await shop();
    await findAddOn({ addon: FORK.name });
    heroku.faults.add({ does: 'drop', after: true, method: 'POST', path: /addons$/ });
    heroku.faults.add({ does: 'stale', path: /^\/addons\/shop-fork-1$/, times: 3 });
    // The look after the lost reply still shows nothing.
    expect(await failureOf(createAddOn(FORK))).toMatchObject({ type: 'OutcomeUnknown' });
    // Nor does the look before the second try: "name taken" says that it is there.
    expect(await createAddOn(FORK)).toMatchObject({ name: FORK.name });
    expect(heroku.billing().created).toEqual(['redis-curly-1', FORK.name]);
  });

  it('of another app or plan are not taken for ours', async () => {
    const { heroku } = await shop();
    expect(
      await failureOf(createAddOn({ ...FORK, app: 'shop-canary', name: 'redis-curly-1' })),
    ).toMatchObject({
      type: 'ProviderRefused',
      message: expect.stringContaining('it belongs to the app shop'),
    });
    expect(
      await failureOf(createAddOn({ ...FORK, name: 'redis-curly-1', plan: 'heroku-redis:mini' })),
    ).toMatchObject({ message: expect.stringContaining('it is of the plan heroku-redis:premium-0') });
    // Nor is an attachment taken away from another add-on on the way.
    expect(await failureOf(createAddOn({ ...FORK, attachment: 'REDIS' }))).toMatchObject({
      type: 'ProviderRefused',
      id: 'confirmation_required',
    });
    expect(heroku.billing().created).toEqual(['redis-curly-1']);
  });

  it('that never come to be are said so', async () => {
    const { heroku } = await shop();
    heroku.faults.fail('provisioning');
    await createAddOn(FORK);
    expect(await failureOf(waitUntilProvisioned({ addon: FORK.name, ...WAIT }))).toMatchObject({
      type: 'ProviderRefused',
    });
  });

  it('are waited for until the deadline, and what was seen last is told', async () => {
    await shop({ timing: { provision: 1_500 } });
    await createAddOn(FORK);
    const seen: string[] = [];
    const late = waitUntilProvisioned({
      addon: FORK.name,
      deadline: 100,
      every: 20,
      beat: (text) => seen.push(text),
    });
    expect(await failureOf(late)).toMatchObject({
      type: 'NotReady',
      message: expect.stringContaining('for shop-fork-1 to be provisioned; last seen: provisioning'),
    });
    expect(seen).toContain('provisioning');
  });

  it.each([
    ['nothing', null],
    ['a dropped reply', { does: 'drop', after: true }],
  ] as const)('are destroyed once: %s', async (_, fault) => {
    const { heroku } = await shop();
    if (fault) heroku.faults.add({ ...fault, method: 'DELETE', path: /./ });
    expect(await destroyAddOn({ addon: 'redis-curly-1' })).toEqual({ was: 'there' });
    expect(await destroyAddOn({ addon: 'redis-curly-1' })).toEqual({ was: 'gone' });
    expect(heroku.billing().existing).toEqual([]);
    expect(asked(heroku.requests, 'DELETE')).toHaveLength(1);
  });

  it('are not destroyed while another app uses them', async () => {
    const { heroku } = await shop();
    heroku.attach({ app: 'shop-canary', addon: 'redis-curly-1', as: 'REDIS' });
    expect(await failureOf(destroyAddOn({ addon: 'redis-curly-1' }))).toMatchObject({
      type: 'ProviderRefused',
      message: expect.stringContaining('attached to other apps'),
    });
    expect(heroku.billing().existing).toEqual(['redis-curly-1']);
  });

  it('have plans with a price', async () => {
    await shop();
    expect(await plansOf({ service: 'heroku-redis' })).toContainEqual({
      name: 'heroku-redis:premium-0',
      title: 'Premium 0',
      price: { cents: 1_500, unit: 'month', contract: false },
      inside: false,
      outside: true,
    });
  });
});

describe('attachments', () => {
  it.each([
    ['nothing', null],
    ['a dropped reply', { does: 'drop', after: true }],
  ] as const)('come and go once: %s', async (_, fault) => {
    const { heroku, old } = await shop();
    if (fault)
      for (const method of ['POST', 'DELETE'])
        heroku.faults.add({ ...fault, method, path: /addon-attachments/ });
    const as = { addon: old, app: 'shop-canary', as: 'OLD_REDIS' };
    expect(await attach(as)).toMatchObject({
      did: true,
      attachment: { name: 'OLD_REDIS', app: 'shop-canary' },
    });
    expect(await attach(as)).toMatchObject({ did: false });
    expect((await attachmentsOf({ addon: old.id })).map(({ app, name }) => `${app}::${name}`)).toEqual([
      'shop::REDIS',
      'shop-canary::OLD_REDIS',
    ]);
    expect(heroku.configVars('shop-canary')['OLD_REDIS_URL']).toBe(old.url);
    expect(await detach(as)).toEqual({ did: true });
    expect(await detach(as)).toEqual({ did: false });
    expect(await attachmentsOn({ app: 'shop-canary' })).toEqual([]);
    expect(asked(heroku.requests, 'POST')).toHaveLength(1);
    expect(asked(heroku.requests, 'DELETE')).toHaveLength(1);
  });

  it('are not taken away from another add-on, in either direction', async () => {
    const { heroku, old } = await shop();
    const other = await heroku.createRedis({ app: 'shop', plan: 'mini', as: 'CACHE' });
    expect(await failureOf(attach({ addon: other, app: 'shop', as: 'REDIS' }))).toMatchObject({
      type: 'ProviderRefused',
      message: expect.stringContaining('that is redis-curly-1 already'),
    });
    expect(await detach({ addon: other, app: 'shop', as: 'REDIS' })).toEqual({ did: false });
    expect(heroku.configVars('shop')['REDIS_URL']).toBe(old.url);
  });

  it('stay, the last one on the billing app, with a clear word', async () => {
    const { old } = await shop();
    expect(await failureOf(detach({ addon: old, app: 'shop', as: 'REDIS' }))).toMatchObject({
      type: 'ProviderRefused',
      message: expect.stringContaining(
        'REDIS is the last attachment of redis-curly-1 on shop, which pays for it',
      ),
    });
  });
});

/** As an upgrade promotes: the old one keeps a name first, as it needs one on the app that pays. */
async function promoted(on: { fork: { id: string; name: string }; old: { id: string; name: string } }) {
  const { fork, old } = on;
  return [
    await attach({ addon: old, app: 'shop', as: 'OLD_REDIS' }),
    await attach({ addon: fork, app: 'shop', as: 'REDIS', replace: true }),
  ].map(({ did }) => did);
}

describe('taking a name from another add-on', () => {
  it.each([
    ['nothing', null, 1],
    ['the reply of the alias dropped', { does: 'drop', after: true }, 1],
    ['the reply of the promotion dropped', { does: 'drop', after: true }, 2],
  ] as const)('keeps the old one under its alias: %s', async (_, fault, nth) => {
    const { heroku, old } = await shop();
    // As a fork is attached: `heroku redis:promote` would find REDIS_URL in NEW_REDIS_URL, and leave out the alias.
    const fork = await heroku.createRedis({ app: 'shop', plan: 'premium-0', as: 'NEW_REDIS' });
    if (fault) heroku.faults.add({ ...fault, nth, method: 'POST', path: /^\/addon-attachments$/ });
    expect(await promoted({ fork, old })).toEqual([true, true]);
    expect(await promoted({ fork, old })).toEqual([false, false]);
    expect(heroku.configVars('shop')).toMatchObject({
      REDIS_URL: fork.url,
      NEW_REDIS_URL: fork.url,
      OLD_REDIS_URL: old.url,
    });
    expect(asked(heroku.requests, 'POST')).toHaveLength(2);
  });

  it('works where neither was attached before', async () => {
    const { heroku, old } = await shop();
    const on = { addon: old, app: 'shop-canary', as: 'REDIS', replace: true };
    expect(await attach(on)).toMatchObject({ did: true });
    expect(heroku.configVars('shop-canary')).toMatchObject({ REDIS_URL: old.url });
  });
});

describe('dynos', () => {
  it('are scaled by one request and restored exactly', async () => {
    const { heroku } = await shop();
    heroku.createApp({
      name: 'jobs',
      formation: [
        { type: 'web', quantity: 1 },
        { type: 'worker', quantity: 2, size: 'Standard-2X' },
        { type: 'clock', quantity: 1 },
      ],
    });
    const before = await formationOf({ app: 'jobs' });
    const off = [
      { type: 'worker', quantity: 0 },
      { type: 'clock', quantity: 0 },
    ];
    heroku.faults.add({ does: 'drop', after: true, method: 'PATCH', path: /formation/ });
    const { was, did } = await scale({ app: 'jobs', to: off });
    expect(did).toBe(true);
    expect(was).toEqual([
      { type: 'clock', quantity: 1, size: 'Standard-1X' },
      { type: 'worker', quantity: 2, size: 'Standard-2X' },
    ]);
    await waitUntilStopped({ app: 'jobs', types: ['worker', 'clock'], ...WAIT });
    expect((await dynosOf({ app: 'jobs' })).map(({ name }) => name)).toEqual(['web.1']);
    expect(await scale({ app: 'jobs', to: off })).toMatchObject({ did: false });
    await scale({ app: 'jobs', to: was });
    expect(await formationOf({ app: 'jobs' })).toEqual(before);
    expect(asked(heroku.requests, 'PATCH')).toHaveLength(2);
  });

  it('are waited for until all of them run the release', async () => {
    const { heroku, old } = await shop({ timing: { restart: 300 } });
    await attach({ addon: old, app: 'shop', as: 'OLD_REDIS' });
    const release = await newestRelease({ app: 'shop' });
    const version = release?.version ?? 0;
    expect(release?.description).toBe('Attach OLD_REDIS (@ref:redis-curly-1)');
    const seen: string[] = [];
    const dynos = await waitForRelease({ app: 'shop', version, ...WAIT, beat: (text) => seen.push(text) });
    expect(dynos.map(({ name, state, release }) => `${name} ${state} v${release}`)).toEqual([
      `web.1 up v${version}`,
      `worker.1 up v${version}`,
    ]);
    expect(seen[0]).toContain(`web.1 is starting on v${version}`);
    const never = waitForRelease({ app: 'shop', version: version + 1, deadline: 60, every: 20 });
    expect(await failureOf(never)).toMatchObject({
      type: 'NotReady',
      message: expect.stringContaining(`web.1 is up on v${version}`),
    });
    expect(heroku.app('shop').dynos).toHaveLength(2);
  });
});

describe('{"herokuConfig": …}', () => {
  it('is a Redis whose address is asked for each time', async () => {
    const { heroku, old } = await shop();
    const endpoint = {
      herokuConfig: { app: 'shop', key: 'REDIS_URL' },
      tls: { insecure: true },
    };
    const { port } = new URL(old.url);
    expect(await resolveEndpoint({ endpoint, where: 'source' })).toMatchObject({
      host: '127.0.0.1',
      port: Number(port),
      password: old.password,
      tls: { insecure: true },
    });
    const fork = await heroku.createRedis({ app: 'shop', plan: 'premium-0', as: 'NEW_REDIS' });
    await promoted({ fork, old });
    expect(await resolveEndpoint({ endpoint, where: 'source' })).toMatchObject({ password: fork.password });
    expect(
      await failureOf(
        resolveEndpoint({ endpoint: { herokuConfig: { app: 'shop', key: 'NO_URL' } }, where: 'source' }),
      ),
    ).toMatchObject({
      type: 'MissingSecret',
      message: 'source: the app shop has no config variable NO_URL',
    });
  });
});
