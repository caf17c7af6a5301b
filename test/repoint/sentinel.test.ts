/* Real Sentinels are told of another primary, and stand by it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { slow } from '../support/slow.js';
import type { Check } from '../../src/contract.js';
import { Repoint } from '../../src/inputs/repoint.js';
import { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { describe as describeServer } from '../../src/redis/describe.js';
import { sentinelsAgree } from '../../src/redis/preflight/sentinels.js';
import { handOver } from '../../src/redis/replication/handover.js';
import {
  checkRepoint,
  forgetServer,
  forgetServerByHand,
  prepareRepoint,
  repoint,
  repointByHand,
  watchersOf,
} from '../../src/repoint/index.js';
import { couple, losses, type Couple } from '../redis/replication/support.js';
import { serve, SERVERS } from '../redis/servers.js';
import {
  PRIMARY,
  sentinelWriter,
  startSentinel,
  startSentinels,
  type Sentinels,
} from '../support/sentinel.js';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** Those that know SENTINEL MYID. */
const VERSIONS = SERVERS.map(({ name }) => name).filter((name) => name !== 'r60');

const pairUp = () => couple(['r70', 'r80'], ['--repl-diskless-sync-delay', '0']);

/** The side that follows takes over, and the Sentinels are told. */
async function switchOver(pair: Couple, { spec }: Sentinels): Promise<void> {
  const forward = pair.sides.to.at.port === pair.two.port;
  const to = (direction: 'forward' | 'back', { address }: { address: { host: string; port: number } }) => ({
    spec,
    direction,
    name: 'test',
    serving: { address, database: 0 },
  });
  const { from, to: next } = pair.sides;
  const there = { ...to(forward ? 'forward' : 'back', next), leaving: from.address };
  const back = { ...to(forward ? 'back' : 'forward', from), leaving: next.address };
  const ready = await prepareRepoint(there);
  try {
    await handOver({
      ...pair.options(),
      repoint: () => repoint({ ...there, ready }),
      repointBack: () => repoint({ ...back, ready }),
    });
  } finally {
    ready.end();
  }
  pair.exchange();
}

async function roles({ one, two }: Couple): Promise<unknown[]> {
  const of = async (server: Couple['one']) => ((await server.client().role()) as unknown[])[0];
  return [await of(one), await of(two)];
}

async function promote(pair: Couple): Promise<void> {
  await pair.two.client().replicaof('NO', 'ONE');
}

async function known(sentinels: Sentinels, port: number): Promise<void> {
  const ready = await prepareRepoint({
    spec: sentinels.spec,
    direction: 'forward',
    name: 'test',
    serving: { address: { host: '127.0.0.1', port }, database: 0 },
  });
  ready.end();
}

const told = (pair: Couple, { spec }: Sentinels) =>
  repoint({
    spec,
    direction: 'forward',
    name: 'test',
    serving: { address: { host: '127.0.0.1', port: pair.two.port }, database: 0 },
    leaving: { host: '127.0.0.1', port: pair.one.port },
  });

/** Two switches under writers. */
async function forthAndBack(name: string): Promise<void> {
  const pair = await pairUp();
  const sentinels = await startSentinels({ port: pair.one.port, name });
  const settings = [
    ['auth-pass', 'n0t-told'],
    ['failover-timeout', '60000'],
    ['parallel-syncs', '3'],
    ['down-after-milliseconds', '4000'],
  ] as const;
  for (const { client } of sentinels.all)
    for (const [setting, value] of settings) await client.call('SENTINEL', 'SET', PRIMARY, setting, value);
  const writers = [1, 2, 3, 4].map((n) => sentinelWriter(sentinels, `list:${n}`));
  await switchOver(pair, sentinels);
  expect(await sentinels.named()).toEqual(sentinels.all.map(() => pair.two.port));
  expect(await roles(pair)).toEqual(['slave', 'master']);
  expect(await told(pair, sentinels)).toContain('already');
  await sleep(300);
  await switchOver(pair, sentinels);
  expect(await sentinels.named()).toEqual(sentinels.all.map(() => pair.one.port));
  expect(await roles(pair)).toEqual(['master', 'slave']);
  for (const sentinel of sentinels.all) {
    const config = await sentinel.config();
    for (const [setting, value] of settings)
      expect(config).toMatch(new RegExp(`^sentinel ${setting} "?${PRIMARY}"? "?${value}"?$`, 'm'));
    expect(config).toMatch(
      new RegExp(`^sentinel monitor "?${PRIMARY}"? "?127.0.0.1"? ${pair.one.port} 2$`, 'm'),
    );
    expect(await sentinel.list('SENTINELS')).toHaveLength(2);
  }
  for (const each of writers) {
    const { acknowledged, errors } = await each.end();
    expect(errors).toEqual([]);
    expect(acknowledged).toBeGreaterThan(50);
    expect(await losses({ server: pair.one, key: each.key, acknowledged })).toEqual({
      missing: 0,
      twice: 0,
    });
  }
}

describe('told', { timeout: 120_000 }, () => {
  test.each(VERSIONS.slice(0, 1))('Sentinels of %s: forth and back, with every setting they had', (name) =>
    forthAndBack(name),
  );
  slow.each(VERSIONS.slice(1))('Sentinels of %s: forth and back, with every setting they had', (name) =>
    forthAndBack(name),
  );

  slow('they keep to it: past every period of theirs the roles are as they were', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({
      port: pair.one.port,
      name: 'r70',
      downAfterMs: 1_000,
      quick: true,
    });
    for (const expected of [
      ['slave', 'master'],
      ['master', 'slave'],
    ]) {
      await switchOver(pair, sentinels);
      // Forty of their looks, and eight times what they wait before they set a role right.
      for (let i = 0; i < 40; i += 1) {
        await sleep(100);
        expect(await roles(pair)).toEqual(expected);
      }
    }
    const epochs = sentinels.all.map(async ({ client }) => {
      const entry = (await client.call('SENTINEL', 'MASTER', PRIMARY)) as string[];
      return entry[entry.indexOf('config-epoch') + 1];
    });
    // Those of ours, and no other: nobody failed over.
    expect(await Promise.all(epochs)).toEqual(['2', '2', '2']);
  });

  slow('who was away in that moment hears of it from the others', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({ port: pair.one.port });
    await known(sentinels, pair.two.port);
    const [, , away] = sentinels.all;
    await promote(pair);
    process.kill(away!.pid, 'SIGSTOP');
    try {
      expect(await told(pair, sentinels)).toMatch(/^2 Sentinels name .*one hears it from them/);
    } finally {
      process.kill(away!.pid, 'SIGCONT');
    }
    await pair.one.client().replicaof('127.0.0.1', pair.two.port);
    const [asked] = await checkRepoint({
      spec: sentinels.spec,
      address: { host: '127.0.0.1', port: pair.two.port },
    });
    expect(asked).toMatchObject({ status: 'pass', actual: 'all 3 do' });
    expect(await sentinels.named()).toEqual([pair.two.port, pair.two.port, pair.two.port]);
  });

  slow('an attempt that told only one of them is finished by the next', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({ port: pair.one.port });
    await known(sentinels, pair.two.port);
    await promote(pair);
    const [first] = sentinels.all;
    const [peer] = await first!.list('SENTINELS');
    const hello = `${peer!['ip']},${peer!['port']},${peer!['runid']},1,${PRIMARY},127.0.0.1,${pair.two.port},1`;
    await first!.client.call('PUBLISH', '__sentinel__:hello', hello);
    await told(pair, sentinels);
    expect(await sentinels.named()).toEqual([pair.two.port, pair.two.port, pair.two.port]);
  });

  test('a third server that took over meanwhile is not overruled', async () => {
    const pair = await pairUp();
    const third = await serve({ name: 'r70', args: ['--replicaof', `127.0.0.1 ${pair.one.port}`] });
    const sentinels = await startSentinels({ port: pair.one.port });
    await known(sentinels, third.port);
    await known(sentinels, pair.two.port);
    await third.client().replicaof('NO', 'ONE');
    await repoint({
      spec: sentinels.spec,
      direction: 'forward',
      name: 'test',
      serving: { address: { host: '127.0.0.1', port: third.port }, database: 0 },
    });
    await promote(pair);
    await expect(told(pair, sentinels)).rejects.toMatchObject({
      type: 'SentinelsNotReady',
      message: expect.stringContaining(`takes 127.0.0.1:${third.port} for the primary`),
    });
    expect(await sentinels.named()).toEqual([third.port, third.port, third.port]);
  });

  test('fewer than most of them: nobody is told', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({ port: pair.one.port });
    await known(sentinels, pair.two.port);
    const [first, ...others] = sentinels.all;
    for (const { kill9 } of others) await kill9();
    await promote(pair);
    await expect(told(pair, sentinels)).rejects.toMatchObject({
      type: 'SentinelsNotReady',
      message: expect.stringContaining('only 1 of 3 Sentinels answer'),
    });
    expect(await first!.names()).toBe(pair.one.port);
  });

  slow('a single one, in its own name', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({ port: pair.one.port, count: 1 });
    await switchOver(pair, sentinels);
    expect(await sentinels.named()).toEqual([pair.two.port]);
    const [only] = sentinels.all;
    expect(await only!.list('SENTINELS')).toEqual([]);
    await switchOver(pair, sentinels);
    expect(await sentinels.named()).toEqual([pair.one.port]);
    expect(await only!.client.call('SENTINEL', 'CKQUORUM', PRIMARY)).toMatch(/^OK 1 usable/);
  });

  test('a replica is never named', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({ port: pair.one.port });
    await expect(told(pair, sentinels)).rejects.toMatchObject({ type: 'ReadOnlyTarget' });
  });

  slow('a server that they do not know is refused before anything is paused', async () => {
    const pair = await pairUp();
    const stranger = await serve({ name: 'r80' });
    const sentinels = await startSentinels({ port: pair.one.port });
    await expect(known(sentinels, stranger.port)).rejects.toMatchObject({
      type: 'SentinelsNotReady',
      message: expect.stringContaining(`does not know 127.0.0.1:${stranger.port} as a replica`),
    });
  });

  test('with a password and a user of their own', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({ port: pair.one.port });
    for (const { client } of sentinels.all)
      await client.call('ACL', 'SETUSER', 'ferry', 'on', '>s3nt1nel-pw', '+@all', '~*', '&*');
    process.env['SENTINEL_PASSWORD'] = 's3nt1nel-pw';
    const spec = { ...sentinels.spec, username: 'ferry', password: { env: 'SENTINEL_PASSWORD' } };
    await known({ ...sentinels, spec }, pair.two.port);
    for (const { client } of sentinels.all) await client.call('ACL', 'SETUSER', 'ferry', '-publish');
    const seen = await watchersOf({ spec });
    expect(seen?.facts.map(({ deaf }) => deaf)).toEqual(
      sentinels.all.map(() => expect.stringContaining('publish')),
    );
    process.env['SENTINEL_PASSWORD'] = 'wr0ng-pw';
    const refused = await watchersOf({ spec });
    expect(refused?.failures).toHaveLength(3);
    expect(JSON.stringify(refused)).not.toMatch(/s3nt1nel-pw|wr0ng-pw/);
  });
});

describe('a server that was left', { timeout: 120_000 }, () => {
  const quick = { name: 'r70', downAfterMs: 1_000, quick: true };
  const expectLeft = async (pair: Couple, sentinels: Sentinels): Promise<void> => {
    for (let i = 0; i < 40; i += 1) {
      await sleep(100);
      expect(await roles(pair)).toEqual(['master', 'master']);
    }
    for (const sentinel of sentinels.all) {
      expect(await sentinel.list('REPLICAS')).toEqual([]);
      expect(await sentinel.list('SENTINELS')).toHaveLength(2);
    }
  };

  slow('is made to follow again by Sentinels that were not asked to forget it', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({ port: pair.one.port, ...quick });
    await switchOver(pair, sentinels);
    await pair.one.client().replicaof('NO', 'ONE');
    await expect.poll(() => roles(pair), { timeout: 30_000 }).toEqual(['slave', 'master']);
  });

  slow('is forgotten, and left alone', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({ port: pair.one.port, ...quick });
    await switchOver(pair, sentinels);
    await pair.one.client().replicaof('NO', 'ONE');
    const gone = { host: '127.0.0.1', port: pair.one.port };
    await forgetServer({ spec: sentinels.spec, gone });
    await expectLeft(pair, sentinels);
    expect(await sentinels.named()).toEqual([pair.two.port, pair.two.port, pair.two.port]);
    await forgetServer({ spec: sentinels.spec, gone });
  });

  slow('one Sentinel away: the others forget it, and it is said', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({ port: pair.one.port, ...quick });
    await switchOver(pair, sentinels);
    await sentinels.all[2]!.kill9();
    await pair.one.client().replicaof('NO', 'ONE');
    await expect(
      forgetServer({ spec: sentinels.spec, gone: { host: '127.0.0.1', port: pair.one.port } }),
    ).rejects.toMatchObject({ type: 'Unreachable', message: expect.stringContaining('follow again') });
    for (const sentinel of sentinels.all.slice(0, 2)) expect(await sentinel.list('REPLICAS')).toEqual([]);
  });
});

const cli = SERVERS.find((server) => server.cli !== null)?.cli;

describe.skipIf(!cli)('by hand', { timeout: 120_000 }, () => {
  const sh = (lines: string[]) =>
    promisify(execFile)('/bin/sh', ['-euc', lines.join('\n')], {
      env: {
        PATH: `${cli?.replace(/\/redis-cli$/, '')}:${process.env['PATH']}`,
        SENTINEL_PASSWORD: `p'w $x`,
      },
    });

  test('the lines of the card do the same', async () => {
    const pair = await pairUp();
    const sentinels = await startSentinels({
      port: pair.one.port,
      name: 'r70',
      downAfterMs: 1_000,
      quick: true,
    });
    for (const { client } of sentinels.all)
      await client.call('ACL', 'SETUSER', 'ferry', 'on', `>p'w $x`, '+@all', '~*', '&*');
    await known(sentinels, pair.two.port);
    await promote(pair);
    const spec = Repoint.parse({
      ...sentinels.spec,
      username: 'ferry',
      password: { env: 'SENTINEL_PASSWORD' },
    });
    const lines = repointByHand({
      spec,
      direction: 'forward',
      name: 'test',
      serving: { address: { host: '127.0.0.1', port: pair.two.port }, database: 0 },
      endpoint: { env: 'NEW_REDIS_URL' },
    });
    await sentinels.all[1]!.kill9();
    await sh(lines);
    const left = [sentinels.all[0]!, sentinels.all[2]!];
    for (const sentinel of left) expect(await sentinel.names()).toBe(pair.two.port);
    await sh(forgetServerByHand(spec));
    for (const sentinel of left) expect(await sentinel.list('REPLICAS')).toEqual([]);
  });
});

describe('the checklist', { timeout: 120_000 }, () => {
  async function checks(on: {
    pair: { one: { port: number }; two: { port: number } };
    spec: Repoint;
    maxPauseMs?: number;
  }): Promise<Check[]> {
    const of = (port: number) => describeServer({ address: { host: '127.0.0.1', port }, name: 'ferry:test' });
    return sentinelsAgree({
      source: await of(on.pair.one.port),
      target: await of(on.pair.two.port),
      watchers: await watchersOf({ spec: on.spec }),
      maxPauseMs: on.maxPauseMs ?? 500,
    });
  }
  const wrong = (list: Check[]) =>
    Object.fromEntries(
      list.filter(({ status }) => status !== 'pass').map(({ name, actual }) => [name, actual]),
    );

  async function two() {
    const [one, other] = [await serve({ name: 'r70' }), await serve({ name: 'r80' })];
    return { one, two: other };
  }

  test('passes for those that watch the source; without them it refuses', async () => {
    const pair = await two();
    const { spec, all } = await startSentinels({ port: pair.one.port });
    await expect.poll(async () => wrong(await checks({ pair, spec }))).toEqual({});
    expect(await checks({ pair, spec })).toHaveLength(5);
    const file = Repoint.parse({ kind: 'file', path: '/tmp/x' });
    expect(wrong(await checks({ pair, spec: file }))).toEqual({
      'No Sentinel watches either': expect.stringMatching(/connections/),
    });
    expect(await checks({ pair: await two(), spec: file })).toMatchObject([{ status: 'pass' }]);
    expect(all).toHaveLength(3);
  });

  test('one that does not answer, and one that was not given', async () => {
    const pair = await two();
    const { spec, all, places } = await startSentinels({ port: pair.one.port });
    // On a busy machine one may not answer another for a moment, which is said, too.
    await expect
      .poll(async () => wrong(await checks({ pair, spec: { ...spec, sentinels: places.slice(0, 2) } })))
      .toEqual({ 'No other Sentinel watches either': `a Sentinel at ${places[2]}` });
    await all[2]!.kill9();
    expect(wrong(await checks({ pair, spec }))).toMatchObject({
      'Every Sentinel can be told': expect.stringContaining(places[2]!),
    });
  });

  test('a name that they do not watch, a server that is no Sentinel, one of the wrong server', async () => {
    const pair = await two();
    const { spec, places } = await startSentinels({ port: pair.one.port });
    expect(wrong(await checks({ pair, spec: { ...spec, primary: 'cache' } }))).toMatchObject({
      'Every Sentinel can be told': expect.stringContaining('watches no "cache", only mymaster'),
    });
    expect(
      wrong(await checks({ pair, spec: { ...spec, sentinels: [`127.0.0.1:${pair.two.port}`] } })),
    ).toMatchObject({ 'Every Sentinel can be told': expect.stringContaining('is no Sentinel') });
    const turned = { one: pair.two, two: pair.one };
    expect(wrong(await checks({ pair: turned, spec }))['The Sentinels watch the source']).toContain(
      `the Sentinel at ${places[0]} watches 127.0.0.1:${pair.one.port}, the target`,
    );
  });

  test('a second name for the source, a pause that they do not outwait, different quorums', async () => {
    const pair = await two();
    const { spec, all, places } = await startSentinels({ port: pair.one.port, downAfterMs: 1_200 });
    await all[0]!.client.call('SENTINEL', 'MONITOR', 'second', '127.0.0.1', pair.one.port, '1');
    await all[1]!.client.call('SENTINEL', 'SET', PRIMARY, 'quorum', '3');
    await expect
      .poll(async () => wrong(await checks({ pair, spec })))
      .toEqual({
        'No other Sentinel watches either': `the Sentinel at ${places[0]} watches 127.0.0.1:${pair.one.port} as second too`,
        'The Sentinels are at rest': expect.stringContaining('different quorums'),
        'The Sentinels outwait the pause': '1200',
      });
  });

  test('a quorum that is not there', async () => {
    const pair = await two();
    const { spec, all } = await startSentinels({ port: pair.one.port, downAfterMs: 1_000 });
    for (const { client } of all) await client.call('SENTINEL', 'SET', PRIMARY, 'quorum', '4');
    expect(wrong(await checks({ pair, spec }))['The Sentinels are at rest']).toContain('NOQUORUM');
  });

  test('Sentinels of a version that can not be told apart', async () => {
    if (!SERVERS.some(({ name }) => name === 'r60')) return;
    const pair = await two();
    const { spec } = await startSentinels({ port: pair.one.port, name: 'r60' });
    expect(wrong(await checks({ pair, spec }))['Every Sentinel can be told']).toContain('older than 6.2');
  });

  test('an address that is named twice under two names', async () => {
    const pair = await two();
    const { spec, places, all } = await startSentinels({ port: pair.one.port, count: 1 });
    const twice = [...places, `localhost:${all[0]!.port}`];
    expect(
      wrong(await checks({ pair, spec: { ...spec, sentinels: twice } }))['No other Sentinel watches either'],
    ).toContain('are one Sentinel');
  });

  test('one that watches nothing', async () => {
    const pair = await two();
    const idle = await startSentinel('r70');
    expect(
      wrong(await checks({ pair, spec: { kind: 'sentinel', sentinels: [idle.place], primary: PRIMARY } })),
    ).toMatchObject({ 'Every Sentinel can be told': expect.stringContaining('watches no "mymaster"') });
  });
});

describe('the input', () => {
  const spec = { kind: 'sentinel', sentinels: ['10.0.0.7:26379'], primary: 'mymaster' };
  test.each([
    [{ sentinels: [] }, /must name the Sentinels/],
    [{ sentinels: ['10.0.0.7'] }, /host:port/],
    [{ sentinels: ['10.0.0.7:1', '10.0.0.7:1'] }, /twice/],
    [{ primary: 'my master' }, /without spaces/],
    [{ primary: `m'$(x)` }, /without spaces/],
    [{ password: 'in clear' }, /input/i],
  ])('%j is refused', (more, message) => {
    const parsed = Repoint.safeParse({ ...spec, ...more });
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error?.issues)).toMatch(message);
  });

  test('redisCopy has no use for Sentinels, and says why', () => {
    const parsed = RedisCopyInput.safeParse({
      name: 'sessions',
      source: { env: 'A' },
      target: { env: 'B' },
      writes: 'running',
      repoint: spec,
    });
    expect(JSON.stringify(parsed.error?.issues)).toMatch(/use redisSwitchover/);
  });
});
