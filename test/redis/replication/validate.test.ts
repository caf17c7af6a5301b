/* The checks after a cutover, on two real servers that are well, and that are not. */
import { expect, test } from 'vitest';
import type { Check } from '../../../src/contract.js';
import { parseInfo } from '../../../src/redis/info.js';
import { errorRepliesOf, type Summary } from '../../../src/redis/replication/metrics.js';
import { measure } from '../../../src/redis/replication/soak.js';
import { validate } from '../../../src/redis/replication/validate.js';
import { installed } from '../servers.js';
import { couple, type Couple } from './support.js';

const signal = new AbortController().signal;

async function checked(
  pair: Couple,
  on: { before?: Partial<Summary>; now?: Partial<Summary>; versions?: string } = {},
): Promise<Record<string, Check>> {
  // The newer one follows: as seen from here it is the old server.
  const [primary, follower] = [pair.one.client(), pair.two.client()];
  const info = async () => parseInfo(await primary.info());
  const versionOf = async (client: typeof primary) => {
    const facts = parseInfo(await client.info());
    return facts['valkey_version'] ? `Valkey ${facts['valkey_version']}` : `Redis ${facts['redis_version']}`;
  };
  const { summary } = await measure({ primary, follower, forMs: 0, signal });
  const targetErrors = errorRepliesOf(await info());
  const versions = {
    primary: on.versions ?? (await versionOf(primary)),
    follower: await versionOf(follower),
  };
  const cutoverAt = Date.now();
  for (let i = 0; i < 20; i += 1) await primary.call('LPUSH', 'key:1', 'x').catch(() => {});
  const checks = await validate({
    primary,
    follower,
    versions,
    before: { summary: { ...summary, ...on.before }, targetErrors },
    now: { ...summary, ...on.now },
    cutoverAt,
    signal,
  });
  return Object.fromEntries(checks.map((check) => [check.name, check]));
}

test.each([['r62', 'r70'] as const, ['r70', 'v9'] as const].filter((pair) => pair.every(installed)))(
  '%s and %s are well: everything passes but the errors that were made, and nothing of ours is left',
  async (...names) => {
    const pair = await couple(names);
    const checks = await checked(pair);
    const { 'Error replies': errors, ...others } = checks;
    expect(Object.values(others).filter(({ status }) => status !== 'pass')).toEqual([]);
    expect(Object.keys(others)).toEqual([
      'Versions after the switch',
      'PING',
      'Roles',
      'The old server follows',
      'Persistence',
      'Write and read',
      'Latency',
      'Throughput',
      'Memory',
    ]);
    expect(errors).toMatchObject({ status: 'warn', actual: '20 since the switch (WRONGTYPE 20)' });
    for (const server of [pair.one, pair.two])
      await expect.poll(() => server.client().keys('ferry:*')).toEqual([]);
  },
);

test('clearly worse than before is said', async () => {
  const pair = await couple(['r70', 'r80']);
  const checks = await checked(pair, {
    before: { latencyP50Ms: 0.2, latencyP99Ms: 1, opsPerSecond: 1_000, memoryBytes: 1, memoryRssBytes: 1 },
    now: { latencyP50Ms: 3, latencyP99Ms: 4, opsPerSecond: 100, evictedPerSecond: 7 },
    versions: 'Redis 9.9.9',
  });
  const statusOf = (name: string) => checks[name]?.status;
  expect(statusOf('Versions after the switch')).toBe('fail');
  expect(checks['Versions after the switch']?.waivable).toBe(true);
  expect(statusOf('Latency')).toBe('warn');
  expect(statusOf('Throughput')).toBe('warn');
  expect(checks['Memory']).toMatchObject({
    status: 'warn',
    actual: expect.stringContaining('7 keys a second') as string,
  });
});

test('a link that is down, a snapshot that failed, and a key that does not arrive fail', async () => {
  const pair = await couple(['r70', 'r80'], ['--enable-protected-configs', 'yes']);
  const [primary, follower] = [pair.one.client(), pair.two.client()];
  // A folder that it can't write to.
  await primary.config('SET', 'save', '');
  await primary.config('SET', 'dir', '/proc');
  // One may be under way for a replica.
  await expect.poll(() => primary.bgsave().then(() => 'begun', String)).toBe('begun');
  await expect
    .poll(async () => parseInfo(await primary.info('persistence'))['rdb_last_bgsave_status'])
    .toBe('err');
  await follower.config('SET', 'masterauth', 'wrong');
  await primary.call('CLIENT', 'KILL', 'TYPE', 'replica');
  await expect
    .poll(async () => parseInfo(await follower.info('replication'))['master_link_status'])
    .toBe('down');
  const checks = await checked(pair);
  for (const name of ['Persistence', 'The old server follows', 'Write and read'])
    expect(checks[name], name).toMatchObject({ status: 'fail', waivable: true });
  expect(checks['Persistence']?.actual).toBe('the last snapshot failed');
  expect(checks['Write and read']?.actual).toContain('has not arrived');
});
