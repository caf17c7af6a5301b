/* What an upgrade leaves in stores elsewhere, and that it ends well where these are away. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NO_POSTGRES, query, startServers, type Servers } from '../support/postgres.js';
import { postgresWorld, SMALL, type PostgresWorld } from '../support/postgres-world.js';
import { NO_S3, S3_ENV, startBuckets, type Buckets } from '../support/s3.js';

describe.skipIf(NO_POSTGRES || NO_S3)('history in stores', { timeout: 120_000 }, () => {
  let [s, buckets]: [Servers?, Buckets?] = [];
  beforeAll(async () => {
    [s, buckets] = await Promise.all([startServers(), startBuckets()]);
  });
  afterAll(async () => {
    await s?.stop();
    await buckets?.stop();
  });

  async function inWorld(use: (w: PostgresWorld, on: { s: Servers; buckets: Buckets }) => Promise<void>) {
    if (!s || !buckets) throw new Error('they have not begun');
    const w = await postgresWorld(s, { env: { ...S3_ENV, RECEIPTS_URL: s.new.url('postgres') } });
    try {
      await query(w.source, SMALL);
      await w.startWorker();
      await use(w, { s, buckets });
    } finally {
      await w.close();
    }
  }
  const gates = { start: 'auto', cutover: 'auto' } as const;

  test('the receipt is in the bucket and in the table', () =>
    inWorld(async (w, on) => {
      const bucket = await on.buckets.create('receipts');
      const upgrade = await w.start({ gates, history: { bucket, postgres: { env: 'RECEIPTS_URL' } } });
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, warnings: [] });
      const keys = await on.buckets.keys(bucket);
      expect(keys).toEqual([expect.stringMatching(/\.html$/), expect.stringMatching(/\.json$/)]);
      expect(JSON.parse(await on.buckets.text(bucket, keys[1] ?? ''))).toMatchObject({
        runId: receipt.runId,
      });
      const rows = await query(on.s.new.url('postgres'), `SELECT name, outcome FROM ferry_receipts`);
      expect(rows).toEqual([{ name: w.name, outcome: 'Completed' }]);
      const { events } = await upgrade.handle.fetchHistory();
      const all = JSON.stringify(events, (_, value: unknown) =>
        value instanceof Uint8Array ? Buffer.from(value).toString() : value,
      );
      expect(all).not.toContain(S3_ENV.S3_SECRET);
    }));

  test('stores that are away are warned of, in the receipt on the worker too, and the upgrade has ended well', () =>
    inWorld(async (w, on) => {
      const bucket = { ...(await on.buckets.create()), endpoint: 'http://127.0.0.1:9' };
      const upgrade = await w.start({ gates, history: { bucket, postgres: { env: 'NOT_SET_ANYWHERE' } } });
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({
        outcome: 'Completed',
        clean: true,
        warnings: [
          expect.stringMatching(/could not be kept elsewhere: s3:.*ECONNREFUSED/),
          expect.stringMatching(/kept elsewhere: history\.postgres: .*NOT_SET_ANYWHERE is not set/),
        ],
      });
      const kept: unknown = JSON.parse(await readFile(receipt.files?.json ?? '', 'utf8'));
      expect(kept).toMatchObject({ warnings: receipt.warnings });
    }));
});
