/**
 * The emulated Heroku as a process of its own: two apps that share a Redis, for trying out. Prints one line of JSON when it
 * is ready, and ends with SIGTERM or SIGINT. `tsc -p test/support/heroku` builds it into .build-heroku.
 */
import { findRedisPair } from '../../../src/setup/redis.js';
import { startHeroku } from './index.js';
import { versionOf } from './versions.js';

const { from, to } = await findRedisPair((line) => console.error(line));
const heroku = await startHeroku({
  servers: Object.fromEntries([from, to].map(({ name, server }) => [versionOf(name), server])),
  timing: { provision: 2_000, restart: 1_000, fork: 2_000, prepare: 5_000, scheduled: 600_000 },
});
const apps = ['shop', 'shop-canary'];
for (const name of apps) heroku.createApp({ name });
const addon = await heroku.createRedis({
  app: 'shop',
  plan: 'premium-0',
  version: versionOf(from.name),
  name: 'redis-curly-1',
});
heroku.attach({ app: 'shop-canary', addon: addon.name, as: 'REDIS' });

const end = async (): Promise<void> => {
  await heroku.close();
  process.exit();
};
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end());

const { version } = addon;
console.log(
  JSON.stringify({ env: heroku.env, apps, addon: addon.name, version, target: versionOf(to.name) }),
);
