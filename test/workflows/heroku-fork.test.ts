/* herokuFork, from JSON to the receipt: an emulated Heroku with real servers, the real CLI, a real worker. */
import { describe, expect, test } from 'vitest';
import { customer } from '../heroku/support.js';
import { CLI, herokuWorld } from '../support/heroku-world.js';
import { slow } from '../support/slow.js';

const input = {
  app: 'shop',
  addon: 'redis-curly-1',
  targetVersion: '7.2',
  apps: ['shop-canary', 'shop'],
  stuckAfter: '3s',
  keepOldFor: '1s',
};

/** Everything that Temporal stores, with each payload as text. */
function legible(value: unknown): string {
  const exported = JSON.stringify(value, (_, inner: unknown) =>
    inner instanceof Uint8Array
      ? Buffer.from(inner).toString('utf8')
      : typeof inner === 'bigint'
        ? String(inner)
        : inner,
  );
  const data = [...exported.matchAll(/"data":"([A-Za-z0-9+/=]+)"/g)].map(([, text]) =>
    Buffer.from(text ?? '', 'base64').toString('utf8'),
  );
  return [exported, ...data].join('\n');
}

/** Each gate is approved as it opens. */
async function whole(mode: 'maintenance' | 'degraded'): Promise<void> {
  const w = await herokuWorld({ trustsSelfSigned: true });
  const { url, password } = w.heroku.redis('redis-curly-1');
  const redis = customer(url);
  for (let n = 0; n < 500; n += 1) await redis.set(`seed:${n}`, `v${n}`, 'PX', 600_000 + n);
  redis.disconnect();
  const before = w.apps();
  const upgrade = await w.start('herokuFork', { ...input, mode });
  await upgrade.until('AwaitingApproval', 60_000);
  const plan = JSON.stringify(await upgrade.handle.query('plan'));
  expect(plan).toContain('15.00 $ a month for the fork (heroku-redis:premium-0), 15.00 $ a month for redis');
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
  // By the API, from a body; and in nothing that Temporal keeps.
  const [made] = w.heroku.requests.filter(
    ({ method, path }) => method === 'POST' && path === '/apps/shop/addons',
  );
  expect(made).toMatchObject({ client: 'other', body: { config: { fork: url, version: '7.2' } } });
  const history = legible(await upgrade.handle.fetchHistory());
  expect(history).toContain('OLD_REDIS_URL');
  for (const secret of [password, after.password, w.heroku.account.key])
    expect(history).not.toContain(secret);
}

describe.skipIf(CLI === null)('herokuFork', { timeout: 240_000 }, () => {
  test('the whole of it, mode degraded', () => whole('degraded'));
  slow('the whole of it, mode maintenance', () => whole('maintenance'));

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
