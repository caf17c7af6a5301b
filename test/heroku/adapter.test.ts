/* The real Heroku CLI through our adapter. A call takes seconds: `npm test` holds one way through, the sweep the rest. */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { heroku as cli, herokuCli } from '../../src/heroku/cli.js';
import {
  setStoreSettings,
  storeInfo,
  upgradeStore,
  waitUntilAvailable,
} from '../../src/heroku/key-value-store.js';
import {
  maintenanceHistory,
  maintenanceInfo,
  postponeMaintenance,
  runMaintenance,
  waitUntilCompleted,
} from '../../src/heroku/maintenances.js';
import { waitUntilReady } from '../../src/heroku/upgrade.js';
import { resolveEndpoint } from '../../src/platform/secrets.js';
import { breakGlassPrefix } from '../../src/redis/break-glass.js';
import { anyServer } from '../redis/servers.js';
import type { HerokuOptions } from '../support/heroku/index.js';
import { HEROKU } from '../../src/setup/heroku.js';
import { installCli } from '../../src/setup/provider-cli.js';
import { slow } from '../support/slow.js';
import { failureOf, pointAt } from './client.js';
import { HEROKU_CLI, herokuHere } from './support.js';

/** Where the CLI could not be had, the set-up has said so. */
const missing = HEROKU_CLI === null;

const OF = { addon: 'redis-curly-1', app: 'shop' };
const WAIT = { deadline: 60_000, every: 100 };

async function shop(options: Omit<HerokuOptions, 'servers'> & { plan?: string } = {}) {
  const { plan = 'premium-0', ...rest } = options;
  const heroku = await herokuHere(rest);
  heroku.createApp({ name: 'shop' });
  await heroku.createRedis({ app: 'shop', plan, name: OF.addon, as: 'REDIS', version: '7.0' });
  pointAt(heroku);
  heroku.requests.length = 0;
  return heroku;
}

describe('the CLI', () => {
  it('sees a private HOME, its key, and nothing else of the worker', async () => {
    await shop();
    const folder = await mkdtemp(join(tmpdir(), 'ferry-adapter-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const script = join(folder, 'heroku');
    // Stands where the CLI is looked for, to note what it is given.
    await writeFile(
      script,
      `#!/bin/sh\n[ "$1" = --version ] && { echo heroku/11.10.0 linux; exit 0; }\nenv > ${folder}/env; tty > ${folder}/tty\nprintf '%s' "$*" > ${folder}/argv; echo '[]'\n`,
    );
    await chmod(script, 0o755);
    vi.stubEnv('FERRY_HEROKU_CLI', script);
    vi.stubEnv('TEMPORAL_API_KEY', 'not-for-the-cli');
    vi.stubEnv('HEROKU_HEADERS', '{"x": "not-for-the-cli"}');
    await cli({ args: ['redis:info', 'redis-curly-1', '--app', 'shop'], changes: false });
    const env = await readFile(join(folder, 'env'), 'utf8');
    expect(env).not.toContain('not-for-the-cli');
    expect(env).toContain('DISABLE_TELEMETRY=true');
    expect(env).toMatch(/^HEROKU_DATA_HOST=127\.0\.0\.1$/m);
    expect(env).not.toContain(`HOME=${process.env['HOME']}\n`);
    expect(await readFile(join(folder, 'tty'), 'utf8')).toContain('not a tty');
    expect(await readFile(join(folder, 'argv'), 'utf8')).toBe('redis:info redis-curly-1 --app shop');
  });

  it.each([
    [
      'heroku/10.2.1 linux-x64 node-v20.0.0',
      /\(FERRY_HEROKU_CLI\) is 10\.2\.1, older than 11\.0\.0\. Update it/,
    ],
    ['heroku-toolbelt/3.43', /does not run: it does not tell its version\. Update it/],
  ])('that is named and does not do is refused, and no other one is taken: %s', async (says, expected) => {
    const folder = await mkdtemp(join(tmpdir(), 'ferry-adapter-'));
    onTestFinished(async () => {
      vi.unstubAllEnvs();
      await rm(folder, { recursive: true, force: true });
    });
    const script = join(folder, 'heroku');
    await writeFile(script, `#!/bin/sh\necho '${says}'\n`);
    await chmod(script, 0o755);
    vi.stubEnv('FERRY_HEROKU_CLI', script);
    expect(await failureOf(herokuCli())).toMatchObject({
      type: 'ToolMissing',
      message: expect.stringMatching(expected),
    });
  });
});

describe('npm', () => {
  slow('gives the pinned one, to two who ask at once by one installation', async () => {
    const cache = await mkdtemp(join(tmpdir(), 'ferry-adapter-'));
    onTestFinished(() => rm(cache, { recursive: true, force: true }));
    const said: string[] = [];
    const [one, two] = await Promise.all(
      [1, 2].map(() => installCli(HEROKU, (line) => said.push(line), cache)),
    );
    expect(one).toMatchObject({ version: '11.10.0' });
    expect(two?.command).toEqual(one?.command);
    expect(said.filter((line) => line.startsWith('Heroku CLI 11.10.0 from npm ('))).toHaveLength(1);
    expect(await readdir(join(cache, 'tmp'))).toEqual([]);
    expect((await installCli(HEROKU, (line) => said.push(line), cache)).from).toBe('npm (cache)');
  });
});

describe.skipIf(missing)('upgrade in place', () => {
  slow('is asked for, prepared, run and completed', async () => {
    const heroku = await shop();
    expect(await upgradeStore({ ...OF, version: '7.2' })).toMatchObject({ kind: 'maintenance', did: true });
    const seen: string[] = [];
    const ready = await waitUntilReady({ ...OF, version: '7.2', ...WAIT, beat: (text) => seen.push(text) });
    expect(ready.hour.status).toBe('ready');
    expect(await runMaintenance(OF)).toEqual({ did: true });
    expect(await waitUntilCompleted({ ...OF, ...WAIT })).toMatchObject({ status: 'completed' });
    expect(heroku.redis(OF.addon).version).toBe('7.2');
    // Whoever comes again finds it done.
    expect(await upgradeStore({ ...OF, version: '7.2' })).toEqual({ kind: 'upgraded', did: false });
    expect(
      heroku.requests.filter(({ method, client }) => method === 'POST' && client === 'cli'),
    ).toHaveLength(
      // Each `data:maintenances:*` resolves the add-on by a POST.
      heroku.requests.filter(({ path }) => path === '/actions/addons/resolve').length + 2,
    );
  });

  slow('is asked for once, although the CLI repeats a POST whose reply got lost', async () => {
    const heroku = await shop({ timing: { prepare: 5_000 } });
    heroku.faults.add({ does: 'drop', after: true, method: 'POST', path: /upgrade$/ });
    // The second POST is refused: there is a maintenance already.
    expect(await upgradeStore({ ...OF, version: '7.2' })).toMatchObject({ kind: 'maintenance', did: true });
    expect(heroku.requests.filter(({ path }) => path.endsWith('/upgrade'))).toHaveLength(2);
    expect(await upgradeStore({ ...OF, version: '7.2' })).toMatchObject({ kind: 'maintenance', did: false });
  });

  slow('is at once for a mini plan', async () => {
    const heroku = await shop({ plan: 'mini' });
    const { kind } = await upgradeStore({ ...OF, version: '7.2' });
    expect(['upgrading', 'upgraded']).toContain(kind);
    await waitUntilAvailable({ ...OF, version: '7.2', ...WAIT });
    expect(heroku.redis(OF.addon).version).toBe('7.2');
  });

  slow('to what is not offered is refused in the words of Heroku', async () => {
    await shop();
    expect(await failureOf(upgradeStore({ ...OF, version: '9.9' }))).toMatchObject({
      type: 'ProviderRefused',
      message: expect.stringContaining('Version 9.9 is not available'),
    });
    expect(await failureOf(upgradeStore({ ...OF, version: '6.0' }))).toMatchObject({
      message: expect.stringContaining('downgrades are not supported'),
    });
    expect(await maintenanceInfo(OF)).toMatchObject({ status: 'none' });
    expect(await failureOf(runMaintenance(OF))).toMatchObject({ type: 'ProviderRefused' });
    expect(await maintenanceHistory({ ...OF, count: 5 })).toEqual([]);
  });

  slow('that fails is told from one that still waits', async () => {
    const heroku = await shop();
    await upgradeStore({ ...OF, version: '7.2' });
    await waitUntilReady({ ...OF, version: '7.2', ...WAIT });
    heroku.faults.fail('maintenance');
    await runMaintenance(OF);
    expect(await failureOf(waitUntilCompleted({ ...OF, ...WAIT }))).toMatchObject({
      type: 'MaintenanceFailed',
      message: expect.stringContaining('did not complete: it is pending again'),
    });
    // It can be run once more.
    expect(await runMaintenance(OF)).toEqual({ did: true });
    expect(await waitUntilCompleted({ ...OF, ...WAIT })).toMatchObject({ status: 'completed' });
  });

  slow('is put off once, by whoever still sees the old hour', async () => {
    await shop();
    await upgradeStore({ ...OF, version: '7.2' });
    const { scheduledFor: seen } = (await waitUntilReady({ ...OF, version: '7.2', ...WAIT })).hour;
    const put = await postponeMaintenance({ ...OF, weeks: 1, seen });
    expect(put.did).toBe(true);
    expect(Date.parse(put.scheduledFor ?? '') - Date.parse(seen ?? '')).toBe(7 * 24 * 3_600_000);
    expect(await postponeMaintenance({ ...OF, weeks: 1, seen })).toEqual({ ...put, did: false });
    expect(await failureOf(postponeMaintenance({ ...OF, weeks: 40, seen: put.scheduledFor }))).toMatchObject({
      type: 'ProviderRefused',
      message: expect.stringContaining('is required by'),
    });
    const back = await postponeMaintenance({ ...OF, weeks: -1, seen: put.scheduledFor });
    expect(back).toEqual({ did: true, scheduledFor: seen });
  });
});

describe.skipIf(missing)('by hand', () => {
  slow('the URL is asked of Heroku when the command runs', async () => {
    const heroku = await shop({ plan: 'mini' });
    const endpoint = { herokuConfig: { app: 'shop', key: 'REDIS_URL' } };
    const address = await resolveEndpoint({ endpoint, where: 'source' });
    const line = breakGlassPrefix({ address, endpoint });
    expect(line).toContain('heroku config:get REDIS_URL -a shop');
    expect(line).not.toContain(heroku.redis(OF.addon).password);
    // As on the machine of whoever types it.
    const folder = await mkdtemp(join(tmpdir(), 'ferry-adapter-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await symlink(process.env['FERRY_HEROKU_CLI'] ?? '', join(folder, 'heroku'));
    await symlink(anyServer('r70').cli ?? '', join(folder, 'redis-cli'));
    const { stdout } = await promisify(execFile)('sh', ['-c', `${line} PING`], {
      env: { ...heroku.env, HOME: folder, PATH: `${folder}:${process.env['PATH']}` },
    });
    expect(stdout).toBe('PONG\n');
  });
});

describe.skipIf(missing)('a Key-Value Store', () => {
  it('is told of by the real CLI', async () => {
    const heroku = await shop();
    const store = await storeInfo(OF);
    expect(store).toMatchObject({ name: OF.addon, status: 'available', version: '7.0', timeout: 300 });
    expect(JSON.stringify(store)).not.toContain(heroku.redis(OF.addon).password);
    expect(heroku.requests.filter(({ client }) => client === 'cli').map(({ path }) => path)).toEqual([
      '/apps/shop/addons',
      '/redis/v0/databases/redis-curly-1',
    ]);
  });

  slow('is found by its own name among others that hold it', async () => {
    const heroku = await shop();
    await heroku.createRedis({ app: 'shop', plan: 'mini', name: 'redis-curly-12', as: 'CACHE' });
    // `redis-curly-1` finds both, REDIS_URL one of them.
    expect(await storeInfo(OF)).toMatchObject({ name: 'redis-curly-1', plan: 'Premium 0' });
    await setStoreSettings({ ...OF, to: { timeout: 30 } });
    expect(heroku.redis('redis-curly-1').settings.timeout).toBe(30);
    expect(heroku.redis('redis-curly-12').settings.timeout).toBe(300);
    heroku.attach({ app: 'shop', addon: 'redis-curly-12', as: 'OLD_REDIS' });
    expect(await failureOf(storeInfo(OF))).toMatchObject({
      type: 'ProviderRefused',
      message: expect.stringContaining('can not tell redis-curly-1 from the other'),
    });
    expect(await failureOf(storeInfo({ ...OF, addon: 'redis-curly' }))).toMatchObject({ type: 'NotFound' });
  });

  slow('is given its settings, and shows them', async () => {
    const heroku = await shop();
    const to = { maxmemoryPolicy: 'volatile-ttl', timeout: 60, keyspaceNotifications: 'KEA' };
    const was = { maxmemoryPolicy: 'noeviction', timeout: 300, keyspaceNotifications: '' };
    expect(await setStoreSettings({ ...OF, to })).toEqual({ was, did: true });
    expect(await setStoreSettings({ ...OF, to })).toMatchObject({ did: false });
    expect(heroku.redis(OF.addon).settings).toEqual({
      maxmemory_policy: 'volatile-ttl',
      timeout: 60,
      notify_keyspace_events: 'KEA',
    });
    await setStoreSettings({ ...OF, to: was });
    expect(await storeInfo(OF)).toMatchObject(was);
  });

  slow(
    'is read, and given its settings, although Heroku answers each request of the CLI by 500 once',
    async () => {
      const heroku = await shop();
      heroku.faults.hitEach([{ does: 'error', status: 500 }]);
      expect(await maintenanceInfo(OF)).toMatchObject({ status: 'none' });
      const to = { maxmemoryPolicy: 'volatile-ttl', timeout: 60, keyspaceNotifications: 'KEA' };
      expect(await setStoreSettings({ ...OF, to })).toMatchObject({ did: true });
      heroku.faults.clear();
      expect(await storeInfo(OF)).toMatchObject(to);
      // What must not be done twice is left to whoever looks first.
      heroku.faults.add({ does: 'error', status: 500, method: 'POST', path: /upgrade$/ });
      const asked = cli({
        args: ['redis:upgrade', OF.addon, '--app', 'shop', '--version', '7.2', '--confirm', 'shop'],
        changes: true,
      });
      expect(await failureOf(asked)).toMatchObject({ type: 'OutcomeUnknown' });
      expect(heroku.requests.filter(({ path }) => path.endsWith('/upgrade'))).toHaveLength(1);
    },
  );

  slow('is not to be had with an expired key, and is not shown when it is rate-limited', async () => {
    const heroku = await shop();
    heroku.faults.add({ does: 'rate-limit', client: 'cli', path: /./ });
    expect(await failureOf(storeInfo(OF))).toMatchObject({ type: 'ProviderUnavailable', retryable: true });
    heroku.account.keyIsExpired = true;
    const error = await failureOf(cli({ args: ['redis:info', '--app', 'shop'], changes: false }));
    expect(error).toMatchObject({ type: 'CredentialsRefused' });
    expect(error.message).not.toContain(heroku.account.key);
  });

  slow('ends with the signal', async () => {
    const heroku = await shop();
    heroku.faults.add({ does: 'slow', ms: 30_000, client: 'cli', path: /./ });
    const stop = new AbortController();
    const asked = storeInfo({ ...OF, signal: stop.signal });
    await expect.poll(() => heroku.requests.some(({ client }) => client === 'cli')).toBe(true);
    stop.abort(new Error('rolled back'));
    await expect(asked).rejects.toThrow('rolled back');
  });
});
