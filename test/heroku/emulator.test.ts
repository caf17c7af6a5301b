/* The emulated Heroku keeps Heroku's rules. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parseInfo } from '../../src/redis/info.js';
import type { Heroku, HerokuOptions } from '../support/heroku/index.js';
import { ask, customer, herokuHere } from './support.js';

/** An app with a Redis 7.0. */
async function shop(
  options: Omit<HerokuOptions, 'servers'> & { plan?: string; clear?: boolean } = {},
): Promise<Heroku> {
  const { plan = 'premium-0', clear = true, ...rest } = options;
  const heroku = await herokuHere(rest);
  heroku.createApp({ name: 'shop', vars: { NODE_ENV: 'production' } });
  await heroku.createRedis({ app: 'shop', plan, version: '7.0', name: 'old', clear });
  return heroku;
}

const create = (heroku: Heroku, fork: string | null, more: object = {}) =>
  ask(heroku, 'POST /apps/shop/addons', {
    plan: { name: 'heroku-redis:premium-0' },
    name: 'new',
    attachment: { name: 'NEW_REDIS' },
    config: { version: '7.2', ...(fork === null ? {} : { fork }) },
    ...more,
  });

describe('Key-Value Store', () => {
  test('what a customer may not do is unknown to the server', async () => {
    const heroku = await shop();
    const { url, clearUrl, password } = heroku.redis('old');
    expect(url).toBe(heroku.configVars('shop')['REDIS_URL']);
    const [tls, clear] = [customer(url), customer(clearUrl ?? '')];
    await tls.set('a', 1);
    expect(await clear.get('a')).toBe('1');
    for (const command of ['CONFIG', 'REPLICAOF', 'SLAVEOF', 'ACL', 'SHUTDOWN', 'DEBUG'])
      await expect(tls.call(command, 'x', 'y')).rejects.toThrow(/^ERR unknown command/);
    const { body } = await ask(heroku, 'GET /redis/v0/databases/old');
    expect(body.resource_url).toContain(password);
    expect(
      Object.fromEntries(
        body.info.map((row: { name: string; values: string[] }) => [row.name, row.values[0]]),
      ),
    ).toMatchObject({
      Plan: 'Premium 0',
      Status: 'available',
      Version: '7.0',
      Timeout: '300',
      Maxmemory: 'noeviction',
    });
  });

  test('a fork from the clear port has the data and none of the settings', async () => {
    const heroku = await shop();
    await customer(heroku.redis('old').url).set('a', 1);
    const changed = await ask(heroku, 'PATCH /redis/v0/databases/old/config', {
      maxmemory_policy: 'volatile-ttl',
    });
    expect(changed.body.maxmemory_policy.value).toBe('volatile-ttl');
    const made = await create(heroku, heroku.redis('old').clearUrl);
    expect(made).toMatchObject({
      status: 201,
      body: { name: 'new', state: 'provisioning', plan: { price: { cents: 1500 } } },
    });
    await expect
      .poll(async () => (await ask(heroku, 'GET /redis/v0/databases/new/wait')).body)
      .toMatchObject({ 'waiting?': false });
    const fork = customer(heroku.redis('new').url);
    expect(await fork.get('a')).toBe('1');
    await fork.set('b', 2);
    expect(await customer(heroku.redis('old').url).exists('b')).toBe(0);
    expect(heroku.redis('new')).toMatchObject({
      version: '7.2',
      settings: { maxmemory_policy: 'noeviction' },
    });
    expect(heroku.billing()).toEqual({ created: ['old', 'new'], existing: ['old', 'new'] });
  });

  test('a fork from a self-signed leader stays in progress, with its link down', async () => {
    const heroku = await shop();
    await create(heroku, heroku.redis('old').url);
    await expect.poll(async () => (await ask(heroku, 'GET /addons/new')).body.state).toBe('provisioned');
    const fork = customer(heroku.redis('new').url);
    await expect.poll(() => readFile(heroku.redis('new').log, 'utf8')).toContain('certificate verify failed');
    expect(parseInfo(await fork.info('replication'))['master_link_status']).toBe('down');
    expect((await ask(heroku, 'GET /redis/v0/databases/new/wait')).body).toEqual({
      'waiting?': true,
      message: 'fork in progress',
    });
    expect((await ask(heroku, 'DELETE /apps/shop/addons/new')).body).toMatchObject({ name: 'new' });
    expect(heroku.billing()).toEqual({ created: ['old', 'new'], existing: ['old'] });
  });

  test('it comes in sync where the certificate is trusted', async () => {
    const heroku = await shop({ trustsSelfSigned: true, clear: false });
    expect(heroku.redis('old').clearUrl).toBeNull();
    await create(heroku, heroku.redis('old').url);
    await expect.poll(() => heroku.redis('new').status).toBe('available');
  });
});

describe('apps and attachments', () => {
  test('each change is a release and restarts the dynos; undone, the app is as before', async () => {
    const heroku = await shop();
    const before = heroku.snapshot('shop');
    const [url, release] = [heroku.configVars('shop')['REDIS_URL'], heroku.app('shop').releases.length];
    const attach = (name: string, app = 'shop') =>
      ask(heroku, 'POST /addon-attachments', { addon: 'old', app, name });

    const last = (await ask(heroku, 'GET /apps/shop/addon-attachments/REDIS')).body;
    const refused = await ask(heroku, `DELETE /addon-attachments/${last.id}`);
    expect(refused).toMatchObject({
      status: 422,
      body: { message: expect.stringContaining('last attachment to billing app') },
    });

    expect((await attach('OLD_REDIS')).body).toMatchObject({
      name: 'OLD_REDIS',
      config_vars: ['OLD_REDIS_URL'],
    });
    expect((await ask(heroku, `DELETE /addon-attachments/${last.id}`)).status).toBe(200);
    expect(heroku.configVars('shop')).toEqual({ NODE_ENV: 'production', OLD_REDIS_URL: url });
    expect(heroku.app('shop').releases).toHaveLength(release + 2);
    const dynos = async () =>
      (await ask(heroku, 'GET /apps/shop/dynos')).body.map(
        (dyno: { state: string; release: { version: number } }) => [dyno.state, dyno.release.version],
      );
    await expect.poll(dynos).toEqual([
      ['up', release + 2],
      ['up', release + 2],
    ]);
    expect(heroku.snapshot('shop')).not.toEqual(before);

    await attach('REDIS');
    const old = (await ask(heroku, 'GET /apps/shop/addon-attachments/OLD_REDIS')).body;
    await ask(heroku, `DELETE /addon-attachments/${old.id}`);
    expect(heroku.snapshot('shop')).toEqual(before);
    expect(await ask(heroku, 'PATCH /apps/shop/config-vars', { REDIS_URL: 'x' })).toMatchObject({
      status: 422,
    });
  });

  test('a name that is taken: 423 without confirmation, replaced with it; 422 for an add-on', async () => {
    const heroku = await shop();
    heroku.createApp({ name: 'canary' });
    heroku.attach({ app: 'canary', addon: 'old', as: 'REDIS' });
    await create(heroku, null);
    expect(await create(heroku, null)).toMatchObject({
      status: 422,
      body: { message: 'Name is already taken' },
    });
    const promote = (confirm: string | null) =>
      ask(heroku, 'POST /addon-attachments', {
        addon: { name: 'new' },
        app: { name: 'canary' },
        name: 'REDIS',
        confirm,
      });
    expect(await promote(null)).toMatchObject({ status: 423, body: { id: 'confirmation_required' } });
    expect((await promote('canary')).status).toBe(201);
    expect(heroku.snapshot('canary').attachments).toEqual(['REDIS → new']);
    // It is owned by one app, and attached to both.
    expect((await ask(heroku, 'GET /apps/canary/addons')).body).toMatchObject([
      { name: 'new', app: { name: 'shop' } },
    ]);
    expect((await ask(heroku, 'DELETE /apps/shop/addons/new')).status).toBe(422);
    expect((await ask(heroku, 'DELETE /apps/shop/addons/new', { force: true })).status).toBe(200);
    expect(heroku.snapshot('canary').attachments).toEqual([]);
  });

  test('dynos are scaled as the CLI asks for it; maintenance mode makes no release', async () => {
    const heroku = await shop();
    const releases = heroku.app('shop').releases.length;
    await ask(heroku, 'PATCH /apps/shop', { maintenance: true });
    await ask(heroku, 'PATCH /apps/shop/formation', {
      updates: [
        { type: 'worker', quantity: '+2' },
        { type: 'web', quantity: 0 },
      ],
    });
    expect(heroku.snapshot('shop')).toMatchObject({
      maintenance: true,
      dynos: ['worker.1', 'worker.2', 'worker.3'],
    });
    expect(heroku.app('shop').releases).toHaveLength(releases);
    expect(
      (await ask(heroku, 'PATCH /apps/shop/formation', { updates: [{ type: 'clock', quantity: 1 }] })).status,
    ).toBe(404);
  });
});

describe('upgrades in place', () => {
  const maintenance = async (heroku: Heroku) => (await ask(heroku, 'GET /data/maintenances/v1/old')).body;
  const upgrade = (heroku: Heroku, version: string) =>
    ask(heroku, 'POST /redis/v0/databases/old/upgrade', { version });

  test('prepared, put off, run: a newer server at the same URL with the same data', async () => {
    const heroku = await shop({ timing: { loss: 100 } });
    const before = heroku.redis('old');
    await customer(before.url).set('a', 1);
    await ask(heroku, 'PATCH /redis/v0/databases/old/config', { timeout: 0 });
    expect(await maintenance(heroku)).toMatchObject({ status: 'none' });
    expect((await upgrade(heroku, '9.9')).body.message).toContain('7.2');
    expect((await upgrade(heroku, '6.0')).body.message).toContain('downgrades');
    expect((await upgrade(heroku, '7.2')).body.message).toContain('preparing a maintenance');
    expect((await upgrade(heroku, '7.2')).status).toBe(422);
    await expect.poll(async () => (await maintenance(heroku)).status).toBe('ready');
    const { scheduled_for } = await maintenance(heroku);
    const put = await ask(heroku, 'POST /data/maintenances/v1/old/schedule', { delay_weeks: '1' });
    expect(put.body.previously_scheduled_for).toBe(scheduled_for);
    expect((await ask(heroku, 'POST /data/maintenances/v1/old/schedule', { delay_weeks: '5' })).status).toBe(
      422,
    );
    await ask(heroku, 'POST /data/maintenances/v1/old/run');
    await expect.poll(async () => (await maintenance(heroku)).status).toBe('completed');
    expect((await maintenance(heroku)).duration_seconds).toBeGreaterThan(0);
    const after = heroku.redis('old');
    expect(after).toMatchObject({
      url: before.url,
      version: '7.2',
      status: 'available',
      settings: { timeout: 0 },
    });
    expect(after.pid).not.toBe(before.pid);
    const client = customer(after.url);
    expect(await client.get('a')).toBe('1');
    expect(parseInfo(await client.info('server'))['redis_version']).toMatch(/^7\.2/);
  });

  test('a prepared one runs by itself at its hour; the URL may change', async () => {
    const heroku = await shop({ timing: { scheduled: 300 }, keepsPorts: false });
    const [before, url] = [heroku.app('shop').releases.length, heroku.configVars('shop')['REDIS_URL']];
    await upgrade(heroku, '7.2');
    await expect.poll(() => heroku.redis('old').version).toBe('7.2');
    expect(heroku.configVars('shop')['REDIS_URL']).not.toBe(url);
    expect(heroku.app('shop').releases).toHaveLength(before + 1);
  });

  test('mini: at once, and it can not be forked', async () => {
    const heroku = await shop({ plan: 'mini' });
    const { url, tlsUrl } = heroku.redis('old');
    expect(heroku.configVars('shop')).toMatchObject({ REDIS_URL: url, REDIS_TLS_URL: tlsUrl });
    expect(url).toMatch(/^redis:/);
    expect(await create(heroku, url, { plan: 'heroku-redis:mini' })).toMatchObject({ status: 422 });
    await upgrade(heroku, '7.2');
    await expect.poll(() => heroku.redis('old').version).toBe('7.2');
    expect(await maintenance(heroku)).toMatchObject({ status: 'none' });
  });
});

describe('what goes wrong', () => {
  test('with a request: each fault, once, where it is wanted', async () => {
    const heroku = await shop();
    const path = /^\/apps\/shop$/;
    const get = () => ask(heroku, 'GET /apps/shop');
    const turn = (on: boolean) => ask(heroku, 'PATCH /apps/shop', { maintenance: on });
    heroku.faults.add(
      { method: 'GET', path, does: 'rate-limit' },
      { method: 'GET', path, nth: 2, does: 'error', status: 503 },
    );
    expect(await get()).toMatchObject({ status: 429, body: { id: 'rate_limit' } });
    expect((await get()).status).toBe(503);
    expect((await get()).headers.get('ratelimit-remaining')).toMatch(/^\d+$/);
    heroku.faults.clear();

    heroku.faults.add({ method: 'PATCH', path, does: 'drop' });
    await expect(turn(true)).rejects.toThrow();
    expect(heroku.app('shop').maintenance).toBe(false);
    heroku.faults.clear();
    heroku.faults.add({ method: 'PATCH', path, does: 'drop', after: true });
    await expect(turn(true)).rejects.toThrow();
    expect(heroku.app('shop').maintenance).toBe(true);
    heroku.faults.add({ method: 'GET', path, does: 'stale' });
    expect((await get()).body.maintenance).toBe(false);
    expect((await get()).body.maintenance).toBe(true);

    heroku.account.remaining = 0;
    expect((await get()).status).toBe(429);
    heroku.account.remaining = 100;
    heroku.account.keyIsExpired = true;
    expect((await get()).status).toBe(401);
    heroku.account.keyIsExpired = false;
    heroku.createApp({ name: 'theirs', access: 'forbidden' });
    heroku.createApp({ name: 'secret', access: 'hidden' });
    expect((await ask(heroku, 'GET /apps/theirs')).status).toBe(403);
    expect((await ask(heroku, 'GET /apps/secret')).status).toBe(404);
    expect(heroku.requests.at(-1)).toMatchObject({
      method: 'GET',
      path: '/apps/secret',
      client: 'other',
      status: 404,
    });
    expect(heroku.requests.filter(({ fault }) => fault === 'drop')).toHaveLength(2);
  });

  test('behind a request: a fork that is never promoted, an add-on that never comes, a run that changes nothing', async () => {
    const heroku = await shop();
    heroku.faults.fail('fork');
    await create(heroku, heroku.redis('old').clearUrl);
    await expect.poll(async () => (await ask(heroku, 'GET /addons/new')).body.state).toBe('provisioned');
    const fork = customer(heroku.redis('new').url);
    await expect.poll(async () => parseInfo(await fork.info('replication'))['master_link_status']).toBe('up');
    expect(heroku.redis('new').status).toBe('fork in progress');

    heroku.faults.fail('provisioning');
    await create(heroku, null, { name: 'newer', attachment: { name: 'NEWER' } });
    await expect.poll(async () => (await ask(heroku, 'GET /addons/newer')).body.state).toBe('deprovisioned');

    heroku.faults.fail('maintenance');
    await ask(heroku, 'POST /redis/v0/databases/old/upgrade', { version: '7.2' });
    const status = async () => (await ask(heroku, 'GET /data/maintenances/v1/old')).body.status;
    await expect.poll(status).toBe('ready');
    await ask(heroku, 'POST /data/maintenances/v1/old/run');
    await expect.poll(status).toBe('pending');
    expect(heroku.redis('old')).toMatchObject({ version: '7.0', status: 'available' });
  });
});
