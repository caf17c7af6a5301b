/* The emulated Heroku keeps Heroku's rules. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { parseInfo } from '../../src/redis/info.js';
import type { Heroku, HerokuOptions } from '../support/heroku/index.js';
import { ask, customer, herokuHere } from './support.js';

type Options = Omit<HerokuOptions, 'servers'> & { plan?: string; clear?: boolean };

/** An app with a Redis 7.0. */
async function shop({ plan = 'premium-0', clear = true, ...options }: Options = {}): Promise<Heroku> {
  const heroku = await herokuHere(options);
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

const set = (heroku: Heroku, settings: object) =>
  ask(heroku, 'PATCH /redis/v0/databases/old/config', settings);

async function provisioned(heroku: Heroku): Promise<void> {
  await expect.poll(() => ask(heroku, 'GET /addons/new')).toMatchObject({ body: { state: 'provisioned' } });
}

async function info(url: string, section: string): Promise<Record<string, string>> {
  return parseInfo(await customer(url).info(section));
}

describe('Key-Value Store', () => {
  test('what a customer may not do is unknown to the server', async () => {
    const heroku = await shop();
    const { url, clearUrl } = heroku.redis('old');
    expect(heroku.configVars('shop')).toEqual({ NODE_ENV: 'production', REDIS_URL: url });
    const [tls, clear] = [customer(url), customer(clearUrl ?? '')];
    await tls.set('a', 1);
    expect(await clear.get('a')).toBe('1');
    for (const command of ['CONFIG', 'REPLICAOF', 'SLAVEOF', 'ACL', 'SHUTDOWN', 'DEBUG'])
      await expect(tls.call(command, 'x', 'y')).rejects.toThrow(/^ERR unknown command/);
    expect(await ask(heroku, 'GET /redis/v0/databases/old')).toMatchObject({
      body: {
        resource_url: url,
        info: expect.arrayContaining([
          { name: 'Status', values: ['available'] },
          { name: 'Maxmemory', values: ['noeviction'] },
        ]),
      },
    });
  });

  test('a fork from the clear port has the data and none of the settings', async () => {
    const heroku = await shop();
    await customer(heroku.redis('old').url).set('a', 1);
    expect(await set(heroku, { maxmemory_policy: 'volatile-ttl' })).toMatchObject({
      body: { maxmemory_policy: { value: 'volatile-ttl' }, timeout: { value: 300 } },
    });
    expect(await create(heroku, heroku.redis('old').clearUrl)).toMatchObject({
      status: 201,
      body: { name: 'new', state: 'provisioning', plan: { price: { cents: 1500 } } },
    });
    await expect
      .poll(() => ask(heroku, 'GET /redis/v0/databases/new/wait'))
      .toMatchObject({ body: { 'waiting?': false } });
    const { url, version, settings } = heroku.redis('new');
    expect([version, settings.maxmemory_policy]).toEqual(['7.2', 'noeviction']);
    const fork = customer(url);
    expect(await fork.get('a')).toBe('1');
    await fork.set('b', 2);
    expect(await customer(heroku.redis('old').url).exists('b')).toBe(0);
    expect(heroku.billing()).toEqual({ created: ['old', 'new'], existing: ['old', 'new'] });
  });

  test('a fork from a self-signed leader stays in progress, with its link down', async () => {
    const heroku = await shop();
    await create(heroku, heroku.redis('old').url);
    await provisioned(heroku);
    const { url, log } = heroku.redis('new');
    await expect.poll(() => readFile(log, 'utf8')).toContain('certificate verify failed');
    expect(await info(url, 'replication')).toMatchObject({ role: 'slave', master_link_status: 'down' });
    expect(await ask(heroku, 'GET /redis/v0/databases/new/wait')).toMatchObject({
      body: { 'waiting?': true, message: 'fork in progress' },
    });
    expect((await ask(heroku, 'DELETE /apps/shop/addons/new')).status).toBe(200);
    expect(heroku.billing()).toEqual({ created: ['old', 'new'], existing: ['old'] });
  });

  test('it comes in sync where the certificate is trusted', async () => {
    const heroku = await shop({ trustsSelfSigned: true, clear: false });
    expect(heroku.redis('old').clearUrl).toBeNull();
    await create(heroku, heroku.redis('old').url);
    await provisioned(heroku);
    await expect.poll(() => heroku.redis('new').status).toBe('available');
  });
});

describe('apps and attachments', () => {
  const attach = (heroku: Heroku, name: string) =>
    ask(heroku, 'POST /addon-attachments', { addon: 'old', app: 'shop', name });
  const detach = async (heroku: Heroku, name: string) => {
    const { body } = await ask(heroku, `GET /apps/shop/addon-attachments/${name}`);
    return ask(heroku, `DELETE /addon-attachments/${z.object({ id: z.string() }).parse(body).id}`);
  };

  test('each change is a release and restarts the dynos; undone, the app is as before', async () => {
    const heroku = await shop();
    const before = heroku.snapshot('shop');
    const { url } = heroku.redis('old');
    const releases = heroku.app('shop').releases.length;
    expect(await detach(heroku, 'REDIS')).toMatchObject({
      status: 422,
      body: { message: expect.stringContaining('last attachment to billing app') },
    });
    expect(await attach(heroku, 'OLD_REDIS')).toMatchObject({ body: { config_vars: ['OLD_REDIS_URL'] } });
    expect((await detach(heroku, 'REDIS')).status).toBe(200);
    expect(heroku.configVars('shop')).toEqual({ NODE_ENV: 'production', OLD_REDIS_URL: url });
    const up = { state: 'up', release: { version: releases + 2 } };
    await expect.poll(() => ask(heroku, 'GET /apps/shop/dynos')).toMatchObject({ body: [up, up] });
    expect(heroku.snapshot('shop')).not.toEqual(before);
    await attach(heroku, 'REDIS');
    await detach(heroku, 'OLD_REDIS');
    expect(heroku.snapshot('shop')).toEqual(before);
    expect((await ask(heroku, 'PATCH /apps/shop/config-vars', { REDIS_URL: 'x' })).status).toBe(422);
  });

  test('a name that is taken: 423 without confirmation, replaced with it; 422 for an add-on', async () => {
    const heroku = await shop();
    heroku.createApp({ name: 'canary' });
    heroku.attach({ app: 'canary', addon: 'old', as: 'REDIS' });
    await create(heroku, null);
    expect(await create(heroku, null)).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
    const promote = (confirm: string | null) =>
      ask(heroku, 'POST /addon-attachments', { addon: 'new', app: 'canary', name: 'REDIS', confirm });
    expect(await promote(null)).toMatchObject({ status: 423, body: { id: 'confirmation_required' } });
    expect((await promote('canary')).status).toBe(201);
    expect(heroku.snapshot('canary').attachments).toEqual(['REDIS → new']);
    expect(await ask(heroku, 'GET /apps/canary/addons')).toMatchObject({
      body: [{ name: 'new', app: { name: 'shop' } }],
    });
    expect((await ask(heroku, 'DELETE /apps/shop/addons/new')).status).toBe(422);
    expect((await ask(heroku, 'DELETE /apps/shop/addons/new', { force: true })).status).toBe(200);
    expect(heroku.snapshot('canary').attachments).toEqual([]);
  });

  test('dynos are scaled; neither that nor maintenance mode makes a release', async () => {
    const heroku = await shop();
    const releases = heroku.app('shop').releases.length;
    const scale = (type: string, quantity: number | string) =>
      ask(heroku, 'PATCH /apps/shop/formation', { updates: [{ type, quantity }] });
    await ask(heroku, 'PATCH /apps/shop', { maintenance: true });
    await scale('worker', '+2');
    await scale('web', 0);
    expect(heroku.snapshot('shop')).toMatchObject({
      maintenance: true,
      dynos: ['worker.1', 'worker.2', 'worker.3'],
    });
    expect(heroku.app('shop').releases).toHaveLength(releases);
    expect((await scale('clock', 1)).status).toBe(404);
  });
});

describe('upgrades in place', () => {
  const maintenance = async (heroku: Heroku) => (await ask(heroku, 'GET /data/maintenances/v1/old')).body;
  const upgrade = (heroku: Heroku, version: string) =>
    ask(heroku, 'POST /redis/v0/databases/old/upgrade', { version });
  const putOff = (heroku: Heroku, weeks: string) =>
    ask(heroku, 'POST /data/maintenances/v1/old/schedule', { delay_weeks: weeks });

  test('refused: what is not offered, not newer, or under way already', async () => {
    const heroku = await shop();
    expect(await upgrade(heroku, '9.9')).toMatchObject({
      status: 422,
      body: { message: expect.stringContaining('7.2') },
    });
    expect((await upgrade(heroku, '6.0')).status).toBe(422);
    expect((await upgrade(heroku, '7.0')).status).toBe(422);
    expect((await upgrade(heroku, '7.2')).status).toBe(200);
    expect((await upgrade(heroku, '7.2')).status).toBe(422);
  });

  test('prepared, put off, run: newer, at the same URL, without what was written during the failover', async () => {
    const heroku = await shop({ timing: { loss: 200 } });
    const before = heroku.redis('old');
    await set(heroku, { timeout: 0 });
    expect(await maintenance(heroku)).toMatchObject({ status: 'none' });
    await upgrade(heroku, '7.2');
    await expect.poll(() => maintenance(heroku)).toMatchObject({ status: 'ready' });
    expect(await putOff(heroku, '1')).toMatchObject({
      body: { previously_scheduled_for: expect.stringMatching(/\+00:00$/) },
    });
    expect((await putOff(heroku, '5')).status).toBe(422);
    const client = customer(before.url);
    await client.set('a', 1);
    // It is on the follower.
    expect(await client.wait(1, 10_000)).toBe(1);
    let acknowledged = 0;
    const write = async (): Promise<never> => {
      for (;;) acknowledged = await client.incr('n');
    };
    const cut = expect(write()).rejects.toThrow();
    await ask(heroku, 'POST /data/maintenances/v1/old/run');
    await cut;
    await expect
      .poll(() => maintenance(heroku))
      .toMatchObject({ status: 'completed', duration_seconds: expect.any(Number) });
    const after = heroku.redis('old');
    expect(after).toMatchObject({ url: before.url, version: '7.2', settings: { timeout: 0 } });
    expect(await info(after.url, 'server')).toMatchObject({
      redis_version: expect.stringMatching(/^7\.2/),
      process_id: String(after.pid),
    });
    expect(await customer(after.url).get('a')).toBe('1');
    expect(Number(await customer(after.url).get('n'))).toBeLessThan(acknowledged);
  });

  test('a prepared one runs by itself at its hour; the URL may change', async () => {
    const heroku = await shop({ timing: { scheduled: 300 }, keepsPorts: false, clear: false });
    const releases = heroku.app('shop').releases.length;
    const { url } = heroku.redis('old');
    await customer(url).set('a', 1);
    await upgrade(heroku, '7.2');
    await expect.poll(() => heroku.redis('old').version).toBe('7.2');
    expect(heroku.redis('old').url).not.toBe(url);
    expect(await customer(heroku.redis('old').url).get('a')).toBe('1');
    expect(heroku.app('shop').releases).toHaveLength(releases + 1);
  });

  test('mini: at once, and it can not be forked', async () => {
    const heroku = await shop({ plan: 'mini' });
    const { url, tlsUrl } = heroku.redis('old');
    expect(url).toMatch(/^redis:/);
    expect(heroku.configVars('shop')).toMatchObject({ REDIS_URL: url, REDIS_TLS_URL: tlsUrl });
    expect((await create(heroku, url, { plan: 'heroku-redis:mini' })).status).toBe(422);
    await upgrade(heroku, '7.2');
    await expect.poll(() => heroku.redis('old').version).toBe('7.2');
    expect(await maintenance(heroku)).toMatchObject({ status: 'none' });
  });
});

describe('what goes wrong', () => {
  const look = (heroku: Heroku) => ask(heroku, 'GET /apps/shop');
  const turnOn = (heroku: Heroku) => ask(heroku, 'PATCH /apps/shop', { maintenance: true });
  const path = /^\/apps\/shop$/;

  test('a request that is refused, or answered late, wrongly or not at all, where that is wanted', async () => {
    const heroku = await shop();
    heroku.faults.add(
      { method: 'GET', path, does: 'rate-limit' },
      { method: 'GET', path, nth: 2, does: 'error', status: 503 },
      { method: 'PATCH', path, does: 'drop' },
      { method: 'PATCH', path, nth: 2, does: 'drop', after: true },
      { method: 'GET', path, nth: 4, does: 'stale' },
      { method: 'GET', path, nth: 5, does: 'slow', ms: 20 },
    );
    expect(await look(heroku)).toMatchObject({ status: 429, body: { id: 'rate_limit' } });
    expect((await look(heroku)).status).toBe(503);
    await expect(turnOn(heroku)).rejects.toThrow();
    expect(await look(heroku)).toMatchObject({ status: 200, body: { maintenance: false } });
    await expect(turnOn(heroku)).rejects.toThrow();
    expect(heroku.app('shop').maintenance).toBe(true);
    expect(await look(heroku)).toMatchObject({ body: { maintenance: false } });
    expect(await look(heroku)).toMatchObject({ body: { maintenance: true } });
    expect(heroku.requests.map(({ method, status, fault }) => [method, status, fault])).toEqual([
      ['GET', 429, 'rate-limit'],
      ['GET', 503, 'error'],
      ['PATCH', null, 'drop'],
      ['GET', 200, null],
      ['PATCH', null, 'drop'],
      ['GET', 200, 'stale'],
      ['GET', 200, 'slow'],
    ]);
  });

  test('each request fails once, by turns, and passes when it is asked again', async () => {
    const heroku = await shop();
    heroku.faults.hitEach([{ does: 'error', status: 500 }, { does: 'drop' }]);
    expect((await look(heroku)).status).toBe(500);
    await expect(turnOn(heroku)).rejects.toThrow();
    expect(heroku.app('shop').maintenance).toBe(false);
    expect((await turnOn(heroku)).status).toBe(200);
    expect((await look(heroku)).status).toBe(200);
    expect((await look(heroku)).status).toBe(500);
    // What changes something only, after its effect; by its ordinal among all of these.
    heroku.faults.clear();
    heroku.faults.hitEach([{ does: 'error', status: 503, after: true }], { writes: true });
    expect((await look(heroku)).status).toBe(200);
    const off = () => ask(heroku, 'PATCH /apps/shop', { maintenance: false });
    expect((await off()).status).toBe(503);
    expect(heroku.app('shop').maintenance).toBe(false);
    heroku.faults.clear();
    heroku.faults.add({ does: 'error', status: 500, path: /./, writes: true, nth: 2 });
    expect((await look(heroku)).status).toBe(200);
    expect((await off()).status).toBe(200);
    expect((await look(heroku)).status).toBe(200);
    expect((await off()).status).toBe(500);
  });

  test('a key that is used up, expired, or not for that app', async () => {
    const heroku = await shop();
    heroku.createApp({ name: 'theirs', access: 'forbidden' });
    heroku.createApp({ name: 'secret', access: 'hidden' });
    expect((await ask(heroku, 'GET /apps/theirs')).status).toBe(403);
    expect((await ask(heroku, 'GET /apps/secret')).status).toBe(404);
    heroku.account.remaining = 1;
    expect((await look(heroku)).headers.get('ratelimit-remaining')).toBe('0');
    expect((await look(heroku)).status).toBe(429);
    heroku.account.keyIsExpired = true;
    expect((await look(heroku)).status).toBe(401);
  });

  test('a fork that is never promoted, an add-on that never comes, a run that changes nothing', async () => {
    const heroku = await shop();
    heroku.faults.fail('fork');
    await create(heroku, heroku.redis('old').clearUrl);
    await provisioned(heroku);
    const { url } = heroku.redis('new');
    await expect.poll(() => info(url, 'replication')).toMatchObject({ master_link_status: 'up' });
    expect(heroku.redis('new').status).toBe('fork in progress');

    heroku.faults.fail('provisioning');
    await create(heroku, null, { name: 'newer', attachment: { name: 'NEWER' } });
    await expect
      .poll(() => ask(heroku, 'GET /addons/newer'))
      .toMatchObject({ body: { state: 'deprovisioned' } });

    heroku.faults.fail('maintenance');
    await ask(heroku, 'POST /redis/v0/databases/old/upgrade', { version: '7.2' });
    const maintenance = () => ask(heroku, 'GET /data/maintenances/v1/old');
    await expect.poll(maintenance).toMatchObject({ body: { status: 'ready' } });
    await ask(heroku, 'POST /data/maintenances/v1/old/run');
    await expect.poll(maintenance).toMatchObject({ body: { status: 'pending' } });
    expect(heroku.redis('old')).toMatchObject({ version: '7.0', status: 'available' });
  });
});
