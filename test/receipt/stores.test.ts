/* Receipts in a bucket and in a table: once each, read by `ferry history`, and no upgrade depends on them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Bucket } from '../../src/inputs/bucket.js';
import { insertReceipt, receiptTexts } from '../../src/postgres/receipts.js';
import { readBucketHistory, rememberInBucket } from '../../src/receipt/bucket.js';
import { ferry } from '../cli/io.js';
import { at, NO_POSTGRES, query, startServers, type Servers } from '../support/postgres.js';
import { NO_S3, S3_ENV, startBuckets, type Buckets } from '../support/s3.js';
import { CLEAN } from './fixtures.js';

const LATER = {
  ...CLEAN,
  name: 'cache',
  workflowId: 'upgrade/redis/cache',
  runId: 'another-run',
  endedAt: '2027-03-02T10:00:00.000Z',
};

beforeEach(() => {
  for (const [name, value] of Object.entries(S3_ENV)) vi.stubEnv(name, value);
});
afterEach(() => vi.unstubAllEnvs());

describe.skipIf(NO_S3)('in a bucket', () => {
  let s: Buckets;
  beforeAll(async () => {
    s = await startBuckets();
  });
  afterAll(() => s.stop());

  test('once, below the prefix, whatever else is there; the newest first', async () => {
    const bucket = await s.create('ops/receipts');
    await s.put(bucket, 'ops/receipts/half.json', '{"outcome": "Compl');
    await s.put(bucket, 'elsewhere.json', JSON.stringify({ ...LATER, runId: 'of-others' }));
    for (const receipt of [CLEAN, LATER, CLEAN]) await rememberInBucket({ receipt, bucket });
    expect((await s.keys(bucket)).filter((key) => key.endsWith('.html'))).toHaveLength(2);
    expect((await readBucketHistory(bucket)).map(({ name }) => name)).toEqual(['cache', CLEAN.name]);
  });

  test('`ferry history` reads it by the credentials of the SDK', async () => {
    const bucket = await s.create('receipts');
    for (const receipt of [CLEAN, LATER]) await rememberInBucket({ receipt, bucket });
    vi.stubEnv('AWS_ACCESS_KEY_ID', S3_ENV.S3_ID);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', S3_ENV.S3_SECRET);
    const where = ['--bucket', `s3://${bucket.bucket}/receipts/`, '--endpoint', s.endpoint];
    const { code, out } = await ferry(['history', ...where, '--target', 'cache']);
    expect(code).toBe(0);
    expect(out).toMatch(/2027-03-02 10:00 UTC +cache/);
    expect(out).not.toContain(CLEAN.name);
  });

  test('one that is not there, or not reached, is said in a sentence', async () => {
    const bucket = await s.create();
    const gone = { ...bucket, bucket: 'not-there-at-all' };
    await expect(rememberInBucket({ receipt: CLEAN, bucket: gone })).rejects.toMatchObject({
      type: 'NotFound',
      message: expect.stringMatching(/^s3:\/\/not-there-at-all: NoSuchBucket/),
    });
    const away = { ...bucket, endpoint: 'http://127.0.0.1:9' };
    await expect(rememberInBucket({ receipt: CLEAN, bucket: away })).rejects.toMatchObject({
      type: 'Unreachable',
    });
    vi.stubEnv('S3_SECRET', '');
    await expect(rememberInBucket({ receipt: CLEAN, bucket })).rejects.toThrow(
      /history\.bucket\.credentials\.secretAccessKey: the environment variable S3_SECRET is not set/,
    );
  });
});

test.each([
  [{ bucket: 'Upper' }, /must be the name of a bucket/],
  [{ bucket: 'ops', prefix: '/receipts' }, /must neither begin nor end/],
  [{ bucket: 'ops', endpoint: 'https://me:word@example.com' }, /holds a password/],
  [{ bucket: 'ops', credentials: { accessKeyId: 'AKIA', secretAccessKey: 'x' } }, /Invalid input/],
  [{ bucket: 'ops', key: 'x' }, /Unrecognized key/],
])('a bucket that can not be meant: %j', (input, says) => {
  expect(Bucket.safeParse(input).error?.message).toMatch(says);
});

test('places that can not be meant', async () => {
  expect((await ferry(['history', '--bucket', 's3://ops', '--folder', '/x'])).err).toContain('Give one of');
  expect((await ferry(['history', '--endpoint', 'http://x'])).err).toContain('give --bucket too');
  expect((await ferry(['history', '--bucket', 's3://A/b'])).err).toContain('must be the name of a bucket');
  expect((await ferry(['history', '--postgres', 'NOT_SET_ANYWHERE'])).err).toContain('is not set');
});

describe.skipIf(NO_POSTGRES)('in a table', () => {
  let s: Servers;
  beforeAll(async () => {
    s = await startServers();
  });
  afterAll(() => s.stop());

  test('which is made, each written once, also by several at once', async () => {
    const url = await s.create('new');
    await insertReceipt(at(url), CLEAN);
    await Promise.all([LATER, CLEAN, LATER].map((receipt) => insertReceipt(at(url), receipt)));
    const rows = await query(
      url,
      'SELECT name, outcome, clean, receipt FROM ferry_receipts ORDER BY ended_at',
    );
    expect(rows).toMatchObject([{ name: CLEAN.name, clean: true, receipt: CLEAN }, { name: 'cache' }]);
    vi.stubEnv('RECEIPTS_URL', url);
    const { code, out } = await ferry(['history', '--postgres', 'RECEIPTS_URL', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject([{ name: 'cache' }, { name: CLEAN.name }]);
    expect(out).not.toContain('p%40ss');
  });

  test('by a user who may only insert, and whatever bytes are in a receipt', async () => {
    const root = await s.create('new');
    await insertReceipt(at(root), CLEAN);
    const name = new URL(root).pathname.slice(1);
    await query(
      root,
      `CREATE ROLE w${name} LOGIN PASSWORD 'word'; GRANT INSERT, SELECT ON ferry_receipts TO w${name}`,
    );
    const url = Object.assign(new URL(root), { username: `w${name}`, password: 'word' }).toString();
    await insertReceipt(at(url), { ...LATER, reason: 'a \0 b' });
    expect(await receiptTexts(at(url))).toHaveLength(2);
  });

  test('a database without it is said so', async () => {
    vi.stubEnv('RECEIPTS_URL', await s.create('new'));
    const { err } = await ferry(['history', '--postgres', 'RECEIPTS_URL']);
    expect(err).toMatch(/has no table ferry_receipts\./);
  });
});
