/* The client against an emulated Heroku that breaks on demand: what is tried again, and what never is. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { z } from 'zod';
import { FerryError } from '../../src/errors.js';
import { addOnInfo, createAddOn } from '../../src/heroku/add-ons.js';
import { path, request, requestList } from '../../src/heroku/api.js';
import { appInfo, setMaintenanceMode } from '../../src/heroku/apps.js';
import { configVar, configVarNames } from '../../src/heroku/config-vars.js';
import { newestRelease } from '../../src/heroku/releases.js';
import { redact } from '../../src/platform/redact.js';
import { failureOf, pointAt } from './client.js';
import { herokuHere } from './support.js';

const SECRET = 'https://ada:s3cret-of-the-app@hooks.example/x';

async function shop() {
  const heroku = await herokuHere();
  heroku.createApp({ name: 'shop', vars: { HOOK: SECRET, REGION: 'eu' } });
  pointAt(heroku);
  heroku.requests.length = 0;
  return heroku;
}

describe('what reads', () => {
  it.each([
    ['an error of Heroku', { does: 'error', status: 500 }],
    ['a dropped connection', { does: 'drop' }],
    ['a dropped reply', { does: 'drop', after: true }],
    ['the rate limit', { does: 'rate-limit' }],
  ] as const)('is asked again after %s', async (_, fault) => {
    const heroku = await shop();
    heroku.faults.add({ ...fault, path: /^\/apps\/shop$/, times: 1 });
    expect(await appInfo({ app: 'shop' })).toMatchObject({ name: 'shop', maintenance: false });
    expect(heroku.requests).toHaveLength(2);
  });

  it('ends by saying that Heroku is not available', async () => {
    const heroku = await shop();
    heroku.faults.add({ does: 'error', status: 503, path: /./, times: 99 });
    expect(await failureOf(appInfo({ app: 'shop' }))).toMatchObject({
      type: 'ProviderUnavailable',
      message:
        'asked to look at the app shop, Heroku answered 503 (Heroku is temporarily unavailable. (service_unavailable))',
    });
    expect(heroku.requests).toHaveLength(4);
  });

  it('ends at once when it is told to', async () => {
    const heroku = await shop();
    heroku.faults.add({ does: 'rate-limit', path: /./, times: 99 });
    const stop = new AbortController();
    const asked = appInfo({ app: 'shop', signal: stop.signal });
    await expect.poll(() => heroku.requests.length).toBeGreaterThan(0);
    stop.abort(new Error('rolled back'));
    await expect(asked).rejects.toThrow();
  });
});

describe('what changes something', () => {
  it('is not cut off: nothing takes effect after its end', async () => {
    const heroku = await shop();
    heroku.faults.add({ does: 'slow', ms: 500, method: 'PATCH', path: /^\/apps\/shop$/ });
    const stop = new AbortController();
    const asked = setMaintenanceMode({ app: 'shop', on: true, signal: stop.signal });
    await expect.poll(() => heroku.requests.some(({ method }) => method === 'PATCH')).toBe(true);
    stop.abort(new Error('rolled back'));
    await asked.catch(() => undefined);
    expect(heroku.app('shop').maintenance).toBe(true);
  });

  it.each([
    ['an error of Heroku', { does: 'error', status: 500 }],
    ['a dropped connection', { does: 'drop' }],
  ] as const)('is asked once, and unknown after %s', async (_, fault) => {
    const heroku = await shop();
    heroku.faults.add({ ...fault, method: 'PATCH', path: /^\/apps\/shop$/ });
    const error = await failureOf(setMaintenanceMode({ app: 'shop', on: true }));
    expect(error).toMatchObject({ type: 'OutcomeUnknown', retryable: true });
    expect(heroku.requests.filter(({ method }) => method === 'PATCH')).toHaveLength(1);
    expect(heroku.app('shop').maintenance).toBe(false);
    // The caller's retry looks, and acts.
    expect(await setMaintenanceMode({ app: 'shop', on: true })).toEqual({ was: false });
    expect(heroku.app('shop').maintenance).toBe(true);
  });

  it.each([
    ['an error of Heroku', { does: 'error', status: 500, after: true }],
    ['a dropped reply', { does: 'drop', after: true }],
  ] as const)('is seen to be done after %s', async (_, fault) => {
    const heroku = await shop();
    heroku.faults.add({ ...fault, method: 'PATCH', path: /^\/apps\/shop$/ });
    expect(await setMaintenanceMode({ app: 'shop', on: true })).toEqual({ was: false });
    expect(heroku.requests.filter(({ method }) => method === 'PATCH')).toHaveLength(1);
  });

  it('waits for the rate limit: nothing was done', async () => {
    const heroku = await shop();
    heroku.faults.add({ does: 'rate-limit', method: 'PATCH', path: /./ });
    expect(await setMaintenanceMode({ app: 'shop', on: true })).toEqual({ was: false });
    expect(heroku.app('shop').maintenance).toBe(true);
  });

  it('was never asked for where nothing listens', async () => {
    const heroku = await shop();
    await new Promise<void>((done) => {
      const taken = createServer().listen(0, '127.0.0.1', () => {
        vi.stubEnv('HEROKU_HOST', `http://127.0.0.1:${(taken.address() as AddressInfo).port}`);
        taken.close(() => done());
      });
    });
    const error = await failureOf(
      request({
        method: 'PATCH',
        path: path('apps', 'shop'),
        body: {},
        reply: z.unknown(),
        to: 'change the app shop',
      }),
    );
    expect(error).toMatchObject({
      type: 'ProviderUnavailable',
      message: 'asked to change the app shop, Heroku could not be reached (ECONNREFUSED). Nothing was done',
    });
    expect(heroku.requests).toHaveLength(0);
  });
});

describe('refusals', () => {
  it('tells an unknown app from one that is not ours, in the words of Heroku', async () => {
    const heroku = await shop();
    heroku.createApp({ name: 'theirs', access: 'forbidden' });
    expect(await failureOf(appInfo({ app: 'shopp' }))).toMatchObject({
      type: 'NotFound',
      status: 404,
      message: "asked to look at the app shopp, Heroku refused: Couldn't find that app. (not_found)",
    });
    expect(await failureOf(appInfo({ app: 'theirs' }))).toMatchObject({
      type: 'ProviderRefused',
      status: 403,
    });
    // A name is a part of the path, whatever stands in it.
    expect(await failureOf(appInfo({ app: '../account' }))).toMatchObject({ type: 'NotFound' });
  });

  it('says that the key is missing or expired', async () => {
    const heroku = await shop();
    heroku.account.keyIsExpired = true;
    const error = await failureOf(appInfo({ app: 'shop' }));
    expect(error).toMatchObject({
      type: 'CredentialsRefused',
      retryable: false,
      message: 'asked to look at the app shop, Heroku says that HEROKU_API_KEY is missing or expired',
    });
    expect(heroku.requests).toHaveLength(1);
  });
});

describe('replies', () => {
  it('come in pages', async () => {
    const heroku = await shop();
    for (let version = 2; version <= 7; version += 1)
      await fetch(`${heroku.url}/apps/shop/config-vars`, {
        method: 'PATCH',
        headers: { authorization: `Bearer ${heroku.account.key}` },
        body: JSON.stringify({ N: String(version) }),
      });
    heroku.requests.length = 0;
    const all = await requestList({
      path: path('apps', 'shop', 'releases'),
      // As a list of more than 200 would.
      headers: { range: 'version ..; max=3' },
      item: z.object({ version: z.number() }),
      to: 'list the releases of shop',
    });
    expect(all.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(heroku.requests).toHaveLength(3);
    expect(await newestRelease({ app: 'shop' })).toMatchObject({
      version: 7,
      status: 'succeeded',
      description: 'Set N config vars',
    });
  });

  it('that are not understood are told, without secrets', async () => {
    await shop();
    await answering((path) => (path.endsWith('config-vars') ? '{"HOOK": ["half-a-secret"]}' : PAGE));
    const page = await failureOf(appInfo({ app: 'shop' }));
    expect(page).toMatchObject({ type: 'UnexpectedReply' });
    expect(page.message).toContain('<p>We are');
    expect(page.message).toContain('redis://***@');
    expect(page.message).not.toContain('planted');
    // What stands where a config variable should be is shown in no form.
    const vars = await failureOf(configVarNames({ app: 'shop' }));
    expect(vars.message).toMatch(
      /^asked to list the config variables of shop, Heroku answered 200 with what/,
    );
    expect(vars.message).not.toContain('half-a-secret');
  });

  it('never send the key elsewhere', async () => {
    const heroku = await shop();
    const keys: string[] = [];
    const elsewhere = await answering(
      () => '{}',
      (key) => keys.push(key),
    );
    await answering(() => '', undefined, elsewhere);
    expect((await failureOf(appInfo({ app: 'shop' }))).type).toBe('ProviderRefused');
    expect(keys).toEqual([]);
    expect(heroku.requests).toHaveLength(0);
  });
});

describe('secrets', () => {
  it('are read and never shown', async () => {
    const heroku = await shop();
    expect(await configVar({ app: 'shop', key: 'HOOK' })).toBe(SECRET);
    expect(await configVar({ app: 'shop', key: 'NONE' })).toBeNull();
    expect(await configVarNames({ app: 'shop' })).toEqual(['HOOK', 'REGION']);
    expect(redact(`it is ${SECRET}, s3cret-of-the-app`)).toBe('it is ***, ***');
    const error = await failureOf(
      createAddOn({
        app: 'shop',
        name: 'redis-1',
        plan: 'heroku-redis:premium-0',
        attachment: 'NEW_REDIS',
        config: async () => ({ fork: 'nonsense-planted' }),
      }),
    );
    expect(error).toMatchObject({ type: 'ProviderRefused', id: 'invalid_params', status: 422 });
    expect(error.message).not.toContain('planted');
    expect(error.message).not.toContain(heroku.account.key);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(heroku.account.key);
    expect(await failureOf(addOnInfo({ addon: 'redis-1' }))).toBeInstanceOf(FerryError);
  });
});

const PAGE = '<html><p>We are sorry: redis://:planted-pass@10.0.0.1:6379</p></html>';

/** Something that is no Heroku takes its place. Gives its address. */
async function answering(
  body: (path: string) => string,
  hears?: (key: string) => void,
  redirectsTo?: string,
): Promise<string> {
  const server: Server = createServer((asked, reply) => {
    hears?.(asked.headers.authorization ?? '');
    reply.writeHead(redirectsTo === undefined ? 200 : 307, redirectsTo ? { location: redirectsTo } : {});
    reply.end(body(asked.url ?? ''));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  vi.stubEnv('HEROKU_HOST', address);
  return address;
}
