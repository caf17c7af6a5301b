/* The real Heroku CLI against the emulated Heroku. */
import { describe, expect, test } from 'vitest';
import { slow } from '../support/slow.js';
import type { Heroku } from '../support/heroku/index.js';
import { HEROKU_CLI, herokuCli, herokuHere, type Cli } from './support.js';

async function shop(): Promise<Heroku> {
  const heroku = await herokuHere({ timing: { restart: 10 } });
  for (const name of ['shop', 'canary']) heroku.createApp({ name });
  await heroku.createRedis({ app: 'shop', plan: 'premium-0', version: '7.0', name: 'redis-old' });
  return heroku;
}

const fork = (heroku: Heroku) =>
  [
    'addons:create',
    'heroku-redis:premium-0',
    '-a',
    'shop',
    '--name',
    'redis-new',
    '--as',
    'NEW_REDIS',
  ].concat(['--', '--fork', heroku.redis('redis-old').clearUrl ?? '']);

/** A command that has to end well, and what it prints. */
const saysOf =
  (cli: Cli) =>
  async (...words: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cli(...words);
    expect({ words, code, stderr: code === 0 ? '' : stderr }).toEqual({ words, code: 0, stderr: '' });
    return stdout;
  };

describe.skipIf(HEROKU_CLI === null)('the heroku CLI', () => {
  test('forks, waits, says what it is, and talks to nobody else', { timeout: 120_000 }, async () => {
    const heroku = await shop();
    const cli = await herokuCli(heroku);
    expect(await cli(...fork(heroku))).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('redis-new'),
    });
    expect((await cli('redis:wait', 'redis-new', '-a', 'shop', '--wait-interval', '1')).code).toBe(0);
    const { stdout } = await cli('redis:info', 'redis-new', '-a', 'shop', '--json');
    expect(JSON.parse(stdout)).toMatchObject([
      { name: 'redis-new', plan: 'premium-0', config_vars: ['NEW_REDIS_URL'] },
    ]);
    expect(await cli.hosts()).toEqual(['127.0.0.1']);
    expect(
      heroku.requests.every(({ client, status }) => client === 'cli' && status !== null && status < 300),
    ).toBe(true);
  });

  slow('every command that an upgrade by fork needs', { timeout: 300_000 }, async () => {
    const heroku = await shop();
    const cli = await herokuCli(heroku);
    const says = saysOf(cli);
    expect(await says('auth:whoami')).toContain('ada@example.com');
    expect(await says('addons:info', 'redis-old')).toMatch(/State: +created/);
    expect(JSON.parse(await says('addons', '-a', 'shop', '--json'))).toMatchObject([{ name: 'redis-old' }]);
    await says('addons:attach', 'redis-old', '--as', 'OLD_REDIS', '-a', 'shop');
    await says(...fork(heroku));
    await expect.poll(() => heroku.redis('redis-new').status).toBe('available');
    await says('redis:maxmemory', 'redis-new', '-a', 'shop', '--policy', 'volatile-ttl');
    await says('redis:timeout', 'redis-new', '-a', 'shop', '--seconds', '60');
    await says('redis:keyspace-notifications', 'redis-new', '-a', 'shop', '--config', 'AKE');
    expect(heroku.redis('redis-new').settings).toEqual({
      maxmemory_policy: 'volatile-ttl',
      timeout: 60,
      notify_keyspace_events: 'AKE',
    });
    await says('redis:promote', 'redis-new', '-a', 'shop');
    await says('addons:detach', 'NEW_REDIS', '-a', 'shop');
    expect(heroku.snapshot('shop').attachments).toEqual(['OLD_REDIS → redis-old', 'REDIS → redis-new']);
    expect(await says('config', '-a', 'shop')).toContain(heroku.redis('redis-new').url);
    expect(await says('releases', '-a', 'shop')).toContain('Detach NEW_REDIS');
    await says('addons:destroy', 'redis-old', '-a', 'shop', '--confirm', 'shop');
    expect(heroku.billing()).toEqual({ created: ['redis-old', 'redis-new'], existing: ['redis-new'] });
    expect(await cli.hosts()).toEqual(['127.0.0.1']);
  });

  slow('every command that an upgrade in place needs', { timeout: 300_000 }, async () => {
    const heroku = await shop();
    const cli = await herokuCli(heroku);
    const says = saysOf(cli);
    const maintenance = async () => JSON.parse(await says('data:maintenances:info', 'redis-old', '--json'));
    await says('redis:upgrade', 'redis-old', '--version', '7.2', '-a', 'shop', '--confirm', 'shop');
    await expect.poll(maintenance).toMatchObject({ status: 'ready', method: 'failover' });
    expect(JSON.parse(await says('data:maintenances', '-a', 'shop', '--json'))).toHaveLength(1);
    expect(await says('data:maintenances:schedule', 'redis-old', '--weeks', '1')).toContain('changed from');
    await says('maintenance:on', '-a', 'shop');
    await says('ps:scale', 'worker=0', '-a', 'shop');
    expect(JSON.parse(await says('ps', '-a', 'shop', '--json'))).toMatchObject([{ name: 'web.1' }]);
    await says('data:maintenances:run', 'redis-old', '-a', 'shop');
    await expect.poll(maintenance).toMatchObject({ status: 'completed' });
    expect(JSON.parse(await says('data:maintenances:history', 'redis-old', '--json'))).toHaveLength(1);
    await says('ps:scale', 'worker=1', '-a', 'shop');
    await says('maintenance:off', '-a', 'shop');
    expect(heroku.redis('redis-old').version).toBe('7.2');
    expect(await cli.hosts()).toEqual(['127.0.0.1']);
  });

  slow('its traps are here too', { timeout: 300_000 }, async () => {
    const heroku = await shop();
    const cli = await herokuCli(heroku);
    // Without --confirm nothing is done, and nothing is said of it.
    expect((await cli('redis:upgrade', 'redis-old', '--version', '7.2', '-a', 'shop')).code).toBe(0);
    expect((await cli('addons:destroy', 'redis-old', '-a', 'shop')).code).toBe(0);
    expect(
      heroku.requests.filter(({ method, path }) => method !== 'GET' && path !== '/actions/addons/resolve'),
    ).toEqual([]);
    expect((await cli('redis:info', 'nope', '-a', 'shop', '--json')).stdout.trim()).toBe('[]');
    expect(await cli('redis:promote', 'redis-old', '-a', 'canary')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('No Redis instances found'),
    });
    // It sends a POST again when the answer is dropped.
    heroku.faults.add({ method: 'POST', path: /\/addons$/, does: 'drop', after: true });
    const made = await cli(...fork(heroku));
    expect(made).toMatchObject({ code: 2, stderr: expect.stringContaining('already taken') });
    expect(heroku.billing().created).toEqual(['redis-old', 'redis-new']);
    // The fork's own attachment ends in REDIS_URL, so promote takes no second name for the old one.
    expect((await cli('redis:promote', 'redis-new', '-a', 'shop')).stderr).toMatch(/last attachment/);
    heroku.faults.add({ path: /^\/account$/, client: 'cli', does: 'rate-limit', times: 5 });
    expect(await cli('auth:whoami')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('rate_limit'),
    });
    heroku.faults.clear();
    heroku.account.keyIsExpired = true;
    expect(await cli('ps', '-a', 'shop')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('HEROKU_API_KEY is invalid'),
    });
    // Its own code for this, 100, is never reached.
    expect((await cli('auth:whoami')).code).toBe(2);
  });
});
