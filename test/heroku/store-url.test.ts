/* Which URL a fork is made from: over TLS, or over the clear port, on plans that have one variable and on those that have two. */
import { expect, test } from 'vitest';
import { leaderUrl, tlsKeyOf } from '../../src/heroku/store-url.js';
import { failureOf, pointAt } from './client.js';
import { herokuHere } from './support.js';

test('the URL of the leader, as it is then', async () => {
  const heroku = await herokuHere();
  pointAt(heroku);
  for (const [app, plan] of [
    ['shop', 'premium-0'],
    ['tiny', 'mini'],
  ] as const) {
    heroku.createApp({ name: app });
    const { clearUrl, tlsUrl } = await heroku.createRedis({ app, plan, name: `redis-${app}` });
    expect(await leaderUrl({ app, as: 'REDIS', over: 'tls' })).toBe(tlsUrl);
    expect(await leaderUrl({ app, as: 'REDIS', over: 'clear' })).toBe(clearUrl);
  }
  expect(await tlsKeyOf({ app: 'shop', as: 'REDIS' })).toBe('REDIS_URL');
  expect(await tlsKeyOf({ app: 'tiny', as: 'REDIS' })).toBe('REDIS_TLS_URL');
  // Detached already: nothing is forked from an empty text.
  const failure = await failureOf(leaderUrl({ app: 'shop', as: 'CACHE', over: 'tls' }));
  expect(failure).toMatchObject({ type: 'MissingSecret' });
  expect(failure.message).toContain('CACHE_URL');
});
