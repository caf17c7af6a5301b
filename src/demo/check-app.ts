/**
 * `node dist/demo/check-app.js FOLDER`: whether every write that the application was told is safe is on the server that serves it
 * now. The demo's upgrade runs it as its probe.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { paths, readLedger, writeOf } from './orders.js';

export interface Checked {
  acknowledged: number;
  present: number;
  missing: number;
  /** At most five keys. */
  sample: string[];
}

const BATCH = 1_000;

/** Reads the ledger first, so that what is written meanwhile does not count. */
export async function checkApp(folder: string): Promise<Checked> {
  const highest = readLedger(folder);
  const client = new Redis(readFileSync(paths(folder).address, 'utf8').trim(), {
    lazyConnect: true,
    connectTimeout: 5_000,
    commandTimeout: 10_000,
    connectionName: 'shop-check',
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  });
  client.on('error', () => undefined);
  const result: Checked = { acknowledged: 0, present: 0, missing: 0, sample: [] };
  const found = (key: string, present: number, missing: number) => {
    result.present += present;
    result.missing += missing;
    if (missing > 0 && result.sample.length < 5) result.sample.push(key);
  };
  try {
    await client.connect();
    for (const [till, last] of highest) {
      result.acknowledged += last;
      let counted = 0;
      let counter = '';
      /** How often each was written, and what last. */
      const latest = new Map<string, { field: string; value: number; times: number }>();
      let orders: { key: string; value: string }[] = [];
      const look = async () => {
        const values = orders.length > 0 ? await client.mget(orders.map(({ key }) => key)) : [];
        for (const [at, { key, value }] of orders.entries())
          found(key, values[at] === value ? 1 : 0, values[at] === value ? 0 : 1);
        orders = [];
      };
      for (let number = 1; number <= last; number += 1) {
        const write = writeOf(till, number);
        if (write.kind === 'count') {
          counted += 1;
          counter = write.key;
        } else if (write.kind === 'latest') {
          const times = (latest.get(write.key)?.times ?? 0) + 1;
          latest.set(write.key, { field: write.field, value: number, times });
        } else {
          orders.push(write);
          if (orders.length === BATCH) await look();
        }
      }
      await look();
      for (const [key, { field, value, times }] of latest) {
        const stale = Number((await client.hget(key, field)) ?? 0) < value;
        // The field shows the last write only, so no more than that one can be told to be missing.
        found(key, stale ? times - 1 : times, stale ? 1 : 0);
      }
      if (counted > 0) {
        const value = Math.min(counted, Number((await client.get(counter)) ?? 0));
        found(counter, value, counted - value);
      }
    }
  } finally {
    client.disconnect();
  }
  return result;
}

const Status = z.object({ serving: z.string(), switchWait: z.number().nullable() });

/** Which server the application uses, and how long a write waited when it moved; nulls before its first write. */
export function readStatus(folder: string): { serving: string | null; switchWait: number | null } {
  try {
    return Status.parse(JSON.parse(readFileSync(paths(folder).status, 'utf8')));
  } catch {
    return { serving: null, switchWait: null };
  }
}

async function main(folder: string | undefined): Promise<void> {
  if (folder === undefined) throw new Error('Give the folder of the application.');
  const { acknowledged, present, missing, sample } = await checkApp(folder);
  console.log(`acknowledged ${acknowledged}, present ${present}, missing ${missing}`);
  if (missing > 0) {
    console.error(
      `acknowledged ${acknowledged}, present ${present}, missing ${missing}: ${sample.join(', ')}`,
    );
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(process.argv[2]).catch((error: unknown) => {
    console.error(`The writes can't be checked: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  });
}
