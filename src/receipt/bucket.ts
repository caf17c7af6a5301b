/** Receipts in a bucket, beside those of other workers. */
import type { Receipt } from '../contract.js';
import type { Bucket } from '../inputs/bucket.js';
import { withBucket } from '../platform/bucket.js';
import { entryOf, type HistoryEntry } from './history.js';
import { receiptHtml } from './html.js';
import { fileName, newestFirst, receiptIn } from './write.js';

/** Again: the same objects. @throws FerryError; the signal's reason when aborted */
export async function rememberInBucket(on: {
  receipt: Receipt;
  bucket: Bucket;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { receipt, bucket, signal } = on;
  await withBucket({ bucket, where: 'history.bucket', signal }, async ({ put }) => {
    const name = fileName(receipt);
    await put(`${name}.html`, receiptHtml(receipt), 'text/html; charset=utf-8');
    await put(`${name}.json`, `${JSON.stringify(receipt, null, 2)}\n`, 'application/json');
  });
}

/** How many are read at once. */
const AT_ONCE = 8;

/** What a bucket remembers, the newest first. What is no receipt is left out. @throws FerryError */
export async function readBucketHistory(bucket: Bucket): Promise<HistoryEntry[]> {
  return withBucket({ bucket, where: '--bucket' }, async ({ list, get }) => {
    const keys = (await list('')).filter((key) => key.endsWith('.json'));
    const entries = new Map<string, HistoryEntry>();
    const take = async (): Promise<void> => {
      for (let key = keys.shift(); key !== undefined; key = keys.shift()) {
        const receipt = receiptIn(await get(key));
        if (receipt) entries.set(receipt.runId, entryOf(receipt));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, take));
    return newestFirst(entries.values());
  });
}
