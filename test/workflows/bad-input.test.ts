/* Bad input of any kind fails at once, names the field or the host and what to do, and changes nothing. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort, startRedis, type RunningRedis } from '../../src/setup/servers.js';
import { binaryOf, upgradeOf, world, type World } from '../support/world.js';
import { ferryConnections, locks, seed, soon, standing, type Standing } from './support.js';

let w: World;
let cluster: RunningRedis;
let before: Standing;

beforeAll(async () => {
  const nowhere = await freePort();
  w = await world({
    password: 'S3cr3t-of-both',
    env: {
      NOWHERE_URL: `redis://127.0.0.1:${nowhere}`,
      NO_HOST_URL: 'redis://no-such-host.invalid:6379',
      BROKEN_URL: 'redis//S3cr3t-of-both@',
      NOT_A_WEBHOOK: 'ftp://S3cr3t-of-both/',
    },
  });
  Object.assign(w.env, { WRONG_URL: w.sourceUrl.replace('S3cr3t-of-both', 'wr0ng-Password') });
  cluster = await startRedis({
    binary: binaryOf('r80'),
    dir: join(w.folder, 'cluster'),
    args: ['--cluster-enabled', 'yes'],
  });
  Object.assign(w.env, { CLUSTER_URL: `redis://127.0.0.1:${cluster.port}`, NOWHERE_PORT: String(nowhere) });
  await writeFile(w.addressFile, 'redis://as-it-was:6379\n');
  await seed(w, 'source', 50);
  await w.startWorker();
  before = await standing(w);
});
afterAll(async () => {
  await cluster.stop();
  await w.close();
});

/** It fails as `type` with these words, and everything is as it was. */
async function refused(input: object, type: string, ...words: (string | RegExp)[]): Promise<string> {
  const began = Date.now();
  const upgrade = await w.start(input as never);
  const failure = await upgrade.failure();
  expect(failure.type, failure.message).toBe(type);
  for (const word of words) expect(failure.message).toMatch(word);
  expect(failure.message).toContain('Nothing was changed');
  expect(failure.message).not.toContain('S3cr3t-of-both');
  expect(failure.message).not.toContain('wr0ng-Password');
  // At once: a server that can't be reached is tried a few times.
  expect(Date.now() - began).toBeLessThan(15_000);
  return failure.message;
}

async function nothingChanged(): Promise<void> {
  expect(await standing(w)).toEqual(before);
  expect(await ferryConnections(w)).toEqual([]);
  await soon(async () => (await locks(w)).length === 0);
}

describe('what the input says', () => {
  const bad: [what: string, input: object, ...words: (string | RegExp)[]][] = [
    ['an unknown field', { speed: 3 }, /`speed` is not a known field/],
    [
      'an unknown field inside',
      { repoint: { kind: 'file', path: '/tmp/x', mode: 7 } },
      /`repoint.mode` is not a known field/,
    ],
    ['a missing field', { target: undefined }, /`target` is missing/],
    ['writes left out', { writes: undefined }, /`writes` is missing/],
    ['a wrong type', { dryRun: 'yes' }, /`dryRun` .*expected boolean/],
    ['a wrong type of a needed field', { source: 6379 }, /`source`/],
    [
      'a URL with a password',
      { source: 'redis://:S3cr3t-of-both@127.0.0.1:6379' },
      /`source` holds a password.*\{"env": "NAME"\}/,
    ],
    [
      'a webhook with a password',
      { notify: { webhook: 'https://u:S3cr3t-of-both@example.com/' } },
      /`notify.webhook` holds a password/,
    ],
    [
      'a Slack webhook',
      { notify: { webhook: 'https://hooks.slack.com/services/T/B/S3cr3t-of-both' } },
      /`notify.webhook` is a Slack webhook.*environment variable/,
    ],
    ['an unknown gate', { gates: { begin: 'auto' } }, /`gates.*begin/],
    ['three approvers', { gates: { start: { approvers: 3 } } }, /`gates.start`/],
    ['a bad duration', { maxPause: '5 parsecs' }, /`maxPause` must be a duration such as/],
    [
      'a window that closes before it opens',
      { window: { opensAt: '2030-01-02T00:00:00Z', closesAt: '2030-01-01T00:00:00Z' } },
      /`window` closes before it opens/,
    ],
    [
      'an instant without a zone',
      { window: { opensAt: '2030-01-02T00:00:00', closesAt: '2030-01-03T00:00:00Z' } },
      /`window.opensAt` must be a date and time with a zone/,
    ],
    ['a name that no ID can hold', { name: 'a b' }, /`name` must be/],
    ['stopped writes without a way to stop them', { writes: 'stopped' }, /`stopWrites` is needed/],
    [
      'a relative path',
      { repoint: { kind: 'file', path: 'redis-url' } },
      /`repoint.path` must be an absolute path/,
    ],
    ['cleanup without repoint', { cleanup: true, repoint: undefined }, /`cleanup` needs `repoint`/],
    [
      'two databases into one',
      { databases: { '0': 3, '1': 3 } },
      /`databases` maps two databases to the same one/,
    ],
    [
      'a database that is no number',
      { databases: { zero: 1 } },
      /`databases.*zero`? .*must be a database number/,
    ],
    ['an empty list', { followUps: [''] }, /`followUps.0`/],
  ];
  test.for(bad)('%s', async ([, input, ...words]) => {
    await refused(input, 'InvalidInput', ...words);
  });

  test('nothing at all, and something else altogether', async () => {
    for (const input of [null, 'redis://127.0.0.1', 7, []]) {
      const id = `upgrade/redis/${w.name}`;
      const handle = await w.client.workflow.start('redisCopy', {
        taskQueue: w.taskQueue,
        workflowId: id,
        args: [input],
      });
      const { type, message } = await upgradeOf(handle, id).failure();
      expect(type).toBe('InvalidInput');
      expect(message).toContain('the input');
    }
  });

  test("a workflow ID that isn't its own", async () => {
    const id = `somewhere/else/${w.name}`;
    const handle = await w.client.workflow.start('redisCopy', {
      taskQueue: w.taskQueue,
      workflowId: id,
      args: [
        {
          name: w.name,
          source: { env: 'OLD_REDIS_URL' },
          target: { env: 'NEW_REDIS_URL' },
          writes: 'running',
        },
      ],
    });
    const { type, message } = await upgradeOf(handle, id).failure();
    expect(type).toBe('WrongWorkflowId');
    expect(message).toContain(`"upgrade/redis/${w.name}"`);
  });

  test('nothing was changed by any of them', nothingChanged);
});

describe('what the references hold, and what the servers are', () => {
  test('an unreachable host', async () => {
    await refused(
      { target: { env: 'NOWHERE_URL' } },
      'Unreachable',
      `127.0.0.1:${w.env['NOWHERE_PORT']}`,
      /Check that the server runs/,
    );
    await refused({ source: { env: 'NO_HOST_URL' } }, 'Unreachable', /no-such-host\.invalid/);
  });
  test('a wrong password', async () => {
    await refused(
      { source: { env: 'WRONG_URL' } },
      'WrongPassword',
      `127.0.0.1:${w.source.port}`,
      /Check the user and the password/,
    );
  });
  test('no password where one is needed', async () => {
    await refused(
      { source: `redis://127.0.0.1:${w.source.port}` },
      'WrongPassword',
      `127.0.0.1:${w.source.port}`,
    );
  });
  test('a variable that is not set', async () => {
    await refused(
      { target: { env: 'FORGOTTEN_URL' } },
      'MissingSecret',
      /target: the environment variable FORGOTTEN_URL is not set on the worker/,
    );
  });
  test('a file that is not there', async () => {
    await refused(
      { target: { file: '/no/such/file' } },
      'MissingSecret',
      /target: the file \/no\/such\/file does not exist/,
    );
  });
  test('something else than a URL behind a reference', async () => {
    await refused(
      { target: { env: 'BROKEN_URL' } },
      'InvalidInput',
      /target: what BROKEN_URL holds is not a Redis URL/,
      /redis:\/\/host:6379/,
    );
  });
  test('the same source and target', async () => {
    await refused(
      { target: { env: 'OLD_REDIS_URL' } },
      'PreflightFailed',
      /Two different places: the same server/,
      /Give a target that is another server/,
    );
  });
  test('a target that is not empty', async () => {
    await seed(w, 'target', 3);
    await refused({}, 'PreflightFailed', /Target is empty: database 0 has 3 keys/, /ifTargetHasKeys/);
    expect(await w.redis('target').dbsize()).toBe(3);
    await w.redis('target').flushall();
  });
  test('a target that evicts and has no room', async () => {
    const target = w.redis('target');
    const [, memory] = (await target.config('GET', 'maxmemory')) as [string, string];
    await target.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await target.config('SET', 'maxmemory', '1500000');
    await refused(
      {},
      'PreflightFailed',
      /Target evicts nothing: allkeys-lru/,
      /CONFIG SET maxmemory-policy noeviction/,
    );
    await target.config('SET', 'maxmemory', memory);
    await target.config('SET', 'maxmemory-policy', 'noeviction');
  });
  test('a target that is a read-only replica', async () => {
    const target = w.redis('target');
    await target.call('REPLICAOF', '127.0.0.1', w.env['NOWHERE_PORT'] ?? '');
    await refused(
      {},
      'PreflightFailed',
      /Target takes writes: a replica of 127\.0\.0\.1/,
      /REPLICAOF NO ONE/,
    );
    await target.call('REPLICAOF', 'NO', 'ONE');
  });
  test('a server in cluster mode', async () => {
    await refused(
      { target: { env: 'CLUSTER_URL' } },
      'PreflightFailed',
      /Target is a single server: cluster, expected standalone/,
      /Move each shard by itself/,
    );
    await refused({ source: { env: 'CLUSTER_URL' } }, 'PreflightFailed', /Source is a single server/);
  });
  test('a webhook behind a reference that is none: the upgrade goes on, and says so', async () => {
    const upgrade = await w.start({ notify: { webhook: { env: 'NOT_A_WEBHOOK' } }, dryRun: true });
    const receipt = await upgrade.ended();
    expect(receipt.outcome).toBe('Planned');
    expect(receipt.warnings.join()).not.toContain('S3cr3t-of-both');
  });
  test('nothing was changed by any of them', nothingChanged);
});

describe('one target, one upgrade at a time', () => {
  test('a second start under the same ID is refused; under another name it says who holds the servers', async () => {
    const first = await w.start();
    await first.until('AwaitingApproval');
    await expect(w.start()).rejects.toThrow(WorkflowExecutionAlreadyStartedError);

    const second = await w.start({ name: `${w.name}-again` });
    const { type, message } = await second.failure();
    expect(type).toBe('Locked');
    expect(message).toContain(`upgrade/redis/${w.name} `);
    expect(message).toContain('127.0.0.1');
    expect(message).toContain('Nothing was changed');

    // Only one of the two servers is the same.
    const third = await w.start({
      name: `${w.name}-other`,
      source: { env: 'NEW_REDIS_URL' },
      target: { env: 'OLD_REDIS_URL' },
    });
    expect((await third.failure()).type).toBe('Locked');

    expect((await first.state()).phase).toBe('AwaitingApproval');
    await first.say('abort', { by: 'ada' });
    expect((await first.ended()).outcome).toBe('Aborted');
    await nothingChanged();
  });

  test('the lock of a terminated upgrade goes with it', async () => {
    const first = await w.start();
    await first.until('AwaitingApproval');
    await first.handle.terminate('test');
    const second = await w.start({ name: `${w.name}-after` });
    await second.until('AwaitingApproval');
    await second.say('rollback', { by: 'ada' });
    expect((await second.ended()).outcome).toBe('RolledBack');
    await nothingChanged();
  });
});
