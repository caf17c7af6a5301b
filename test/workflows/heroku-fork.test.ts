/* herokuFork, from JSON to the receipt: an emulated Heroku with real servers, the real CLI, a real worker. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { customer } from '../heroku/support.js';
import { CLI, herokuWorld, type HerokuWorldOptions } from '../support/heroku-world.js';
import { files, legible, spellings, watchProcesses } from '../support/leaks.js';
import { slow } from '../support/slow.js';

const input = {
  app: 'shop',
  addon: 'redis-curly-1',
  targetVersion: '7.2',
  apps: ['shop-canary', 'shop'],
  stuckAfter: '3s',
  keepOldFor: '1s',
};

/** Each gate is approved as it opens. */
async function whole(
  mode: 'maintenance' | 'degraded',
  {
    more = {},
    price = '15.00 $ a month for the fork (heroku-redis:premium-0), 15.00 $ a month for redis-curly-1',
    ...options
  }: HerokuWorldOptions & { more?: object; price?: string } = {},
): Promise<void> {
  const w = await herokuWorld({
    trustsSelfSigned: true,
    worker: false,
    env: { FERRY_LOG: 'DEBUG' },
    ...options,
  });
  let log = '';
  (await w.startWorker()).stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const seen = watchProcesses();
  const { url, tlsUrl, password } = w.heroku.redis('redis-curly-1');
  const redis = customer(url);
  for (let n = 0; n < 500; n += 1) await redis.set(`seed:${n}`, `v${n}`, 'PX', 600_000 + n);
  redis.disconnect();
  const before = w.apps();
  const upgrade = await w.start('herokuFork', { ...input, mode, ...more });
  await upgrade.until('AwaitingApproval', 60_000);
  const plan = JSON.stringify(await upgrade.handle.query('plan'));
  expect(plan).toContain(price);
  expect(plan).toContain(mode === 'degraded' ? 'the apps run without Redis' : 'the maintenance page');
  for (const gate of ['start', 'promote', 'destroy']) {
    await upgrade.until(
      ({ gates }) => gates.some(({ name, status }) => name === gate && status === 'open'),
      120_000,
    );
    await upgrade.approve(gate);
  }
  const receipt = await upgrade.ended();
  expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
  const [fork = ''] = w.heroku.billing().existing;
  expect(w.heroku.billing().existing).toEqual([fork]);
  const named = (text: string) => text.replace('redis-curly-1', fork);
  for (const [app, was] of Object.entries(before)) {
    const now = w.apps()[app];
    expect(now).toMatchObject({
      maintenance: was.maintenance,
      formation: was.formation,
      dynos: was.dynos,
      attachments: was.attachments.map(named),
    });
  }
  const after = w.heroku.redis(fork);
  expect(await customer(after.url).dbsize()).toBe(500);
  // By the API, from a body.
  const [made] = w.heroku.requests.filter(
    ({ method, path }) => method === 'POST' && path === '/apps/shop/addons',
  );
  expect(made).toMatchObject({ client: 'other', body: { config: { fork: tlsUrl, version: '7.2' } } });

  const { lines, environments } = await seen();
  const places: Record<string, string> = {
    history: legible(await upgrade.handle.fetchHistory()),
    state: JSON.stringify(await upgrade.state()),
    plan,
    receipt: JSON.stringify(receipt),
    'journal, card and receipts': await files(join(w.folder, 'home')),
    'the log of the worker': log,
    'command lines': lines,
    environments,
  };
  // Each was really looked into.
  expect(places['history']).toMatch(/OLD_REDIS_(TLS_)?URL/);
  expect(places['journal, card and receipts']).toContain('undo-registered');
  expect(log).not.toBe('');
  expect(lines).toContain('redis:info');
  for (const [place, text] of Object.entries(places)) {
    // The CLI gets its key by the environment.
    const keys = place === 'environments' ? [] : [w.heroku.account.key];
    for (const secret of [password, after.password, url, tlsUrl, after.url, ...keys])
      for (const spelling of spellings(secret))
        expect(text.includes(spelling), `${place} holds ${spelling}`).toBe(false);
  }
}

describe.skipIf(CLI === null)('herokuFork', { timeout: 240_000 }, () => {
  test('the whole of it, mode degraded', () => whole('degraded'));
  slow('the whole of it, mode maintenance', () => whole('maintenance'));

  slow('a mini plan is forked into a larger one', () =>
    whole('maintenance', {
      plan: 'mini',
      more: { plan: 'premium-0' },
      price:
        '15.00 $ a month for the fork (heroku-redis:premium-0), 3.00 $ a month for redis-curly-1 (heroku-redis:mini)',
    }),
  );

  slow('a plan of a Private Space', () =>
    whole('degraded', {
      plan: 'private-7',
      space: true,
      price: '1000.00 $ a month for the fork (heroku-redis:private-7), 1000.00 $ a month for redis-curly-1',
    }),
  );

  slow('a plan that is not for where the app runs is refused, and nothing is changed', async () => {
    for (const [space, plan, wanted, said] of [
      [
        false,
        'premium-0',
        'private-7',
        /private-7, which is only for apps in a Private Space; shop is in none.*: premium-0, premium-1\./,
      ],
      [
        true,
        'private-7',
        'premium-0',
        /premium-0, which is not for apps in a Private Space; shop is in space.*: private-7\./,
      ],
    ] as const) {
      const w = await herokuWorld({ space, plan });
      const before = w.apps();
      const upgrade = await w.start('herokuFork', { ...input, mode: 'degraded', plan: wanted });
      const { type, message } = await upgrade.failure();
      expect(type).toBe('PreflightFailed');
      expect(message).toMatch(said);
      expect(w.apps()).toEqual(before);
      expect(w.heroku.billing().created).toEqual(['redis-curly-1']);
    }
  });

  test('bad input: nothing is changed, and each is said', async () => {
    const w = await herokuWorld({ plan: 'mini' });
    const before = w.apps();
    const start = (name: string, more: Record<string, unknown>) =>
      w.start('herokuFork', { ...input, mode: 'degraded', name: `${w.name}-${name}`, ...more });
    const mode = await start('mode', { mode: 'quick' });
    expect(await mode.failure()).toMatchObject({ type: 'InvalidInput' });
    const unknown = await start('addon', { addon: 'redis-nobody-9' });
    expect(await unknown.failure()).toMatchObject({ type: 'NotFound' });
    // The whole list at once.
    const many = await start('many', { app: 'shopp', apps: ['shop'], targetVersion: '6.0' });
    const { type, message } = await many.failure();
    expect(type).toBe('PreflightFailed');
    expect(message).toContain('it is attached to shop, shop-canary');
    expect(message).toContain('shop-canary would go on writing to the old one');
    expect(message).toContain('6.0, which is older');
    expect(message).toMatch(/heroku-redis:mini, which does not.*premium-0, premium-1/);
    w.heroku.account.keyIsExpired = true;
    const expired = await start('key', {});
    expect(await expired.failure()).toMatchObject({ type: 'CredentialsRefused' });
    w.heroku.account.keyIsExpired = false;
    expect(w.apps()).toEqual(before);
    expect(w.heroku.billing().created).toEqual(['redis-curly-1']);
  });
});
