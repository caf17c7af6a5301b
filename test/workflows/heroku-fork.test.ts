/* herokuFork, from JSON to the receipt: an emulated Heroku with real servers, the real CLI, a real worker. */
import { describe, expect, test } from 'vitest';
import { customer } from '../heroku/support.js';
import { CLI, herokuWorld } from '../support/heroku-world.js';

const input = {
  app: 'shop',
  addon: 'redis-curly-1',
  targetVersion: '7.2',
  apps: ['shop-canary', 'shop'],
  stuckAfter: '3s',
  keepOldFor: '1s',
};

describe.skipIf(CLI === null)('herokuFork', { timeout: 120_000 }, () => {
  for (const mode of ['maintenance', 'degraded'] as const)
    test(`the whole of it, mode ${mode}`, async () => {
      const w = await herokuWorld({ trustsSelfSigned: true });
      const redis = customer(w.heroku.redis('redis-curly-1').url);
      for (let n = 0; n < 500; n += 1) await redis.set(`seed:${n}`, `v${n}`, 'PX', 600_000 + n);
      redis.disconnect();
      const before = w.apps();
      const upgrade = await w.start('herokuFork', { ...input, mode });
      await upgrade.approve('start');
      await upgrade.approve('promote');
      await upgrade.approve('destroy');
      const receipt = await upgrade.ended();
      if (process.env['SHOW']) console.log(JSON.stringify(receipt, null, 1));
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
      const after = customer(w.heroku.redis(fork).url);
      expect(await after.dbsize()).toBe(500);
    });
});
