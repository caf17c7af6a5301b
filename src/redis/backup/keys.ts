/**
 * Every key into one file, for a server that gives no snapshot away: a managed one permits neither PSYNC nor SAVE. Key by key while clients
 * go on, so it is not of one moment. The file is what `redis-cli --pipe` sends: RESTORE, with the moment that the key expires at.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { shown, type ServerAddress } from '../address.js';
import { withClient } from '../connect.js';
import { allOf, keyspaceIn, parseInfo, productIn } from '../info.js';
import { isOurs } from '../our-keys.js';
import { MANIFEST } from './manifest.js';
import { json, type BackupFiles } from './take.js';

export interface KeysFile {
  folder: string;
  /** "Redis 7.0.15" */
  product: string;
  name: string;
  keys: number;
  bytes: number;
  sha256: string;
  seconds: number;
}

export const KEYS_FILE = 'keys.resp';

/** Keys that are asked for in one go: what is in flight is that many values. */
const AT_ONCE = 20;

/** @throws FerryError, as `withClient`, and what `files` throws */
export async function takeKeys(options: {
  address: ServerAddress;
  name: string;
  files: BackupFiles;
  signal: AbortSignal;
  /** Keys so far, of how many there were when it began. */
  onProgress: (done: number, total: number) => void;
}): Promise<KeysFile> {
  const { address, name, files, signal, onProgress } = options;
  const began = Date.now();
  const digest = createHash('sha256');
  const count = { keys: 0, bytes: 0 };
  const info = await withClient({ address, name, signal, commandTimeoutMs: 60_000 }, async (client) => {
    const asked = parseInfo(String(await client.call('INFO')));
    const databases = keyspaceIn(asked);
    const total = allOf(databases);
    async function* chunks(): AsyncGenerator<Buffer> {
      for (const database of Object.keys(databases)) {
        await client.select(Number(database));
        yield command(['SELECT', database]);
        for await (const keys of batches(client)) {
          const restores = await restoresOf(client, keys);
          count.keys += restores.length;
          onProgress(count.keys, total);
          yield Buffer.concat(restores);
        }
      }
    }
    async function* counted(): AsyncGenerator<Buffer> {
      for await (const chunk of chunks()) {
        digest.update(chunk);
        count.bytes += chunk.length;
        yield chunk;
      }
    }
    await files.receive(KEYS_FILE, counted());
    return asked;
  });
  const product = productIn(info);
  const file = { name: KEYS_FILE, bytes: count.bytes, sha256: digest.digest('hex') };
  await files.write(
    MANIFEST,
    json({
      takenAt: new Date(began).toISOString(),
      server: { address: shown(address), product, runId: info['run_id'] ?? '' },
      keys: { asOf: 'as it was begun; it is not of one moment', databases: keyspaceIn(info) },
      files: [file],
    }),
  );
  const seconds = Math.round((Date.now() - began) / 1_000);
  return { folder: files.folder, product, ...file, keys: count.keys, seconds };
}

async function* batches(client: Redis): AsyncGenerator<Buffer[]> {
  let cursor = '0';
  do {
    const [next, found] = await client.scanBuffer(cursor, 'COUNT', 200);
    const keys = found.filter((key) => !isOurs(key));
    for (let at = 0; at < keys.length; at += AT_ONCE) yield keys.slice(at, at + AT_ONCE);
    cursor = next.toString();
  } while (cursor !== '0');
}

/** Without those that have gone since they were listed. */
async function restoresOf(client: Redis, keys: readonly Buffer[]): Promise<Buffer[]> {
  const now = Date.now();
  const answers = await Promise.all(
    keys.map(async (key) => ({ key, dump: await client.dumpBuffer(key), ttl: await client.pttl(key) })),
  );
  return answers.flatMap(({ key, dump, ttl }) =>
    // The client's own types don't say that there may be none.
    (dump as Buffer | null) === null || ttl === -2
      ? []
      : [
          command([
            'RESTORE',
            key,
            ttl < 0 ? '0' : String(now + ttl),
            dump,
            'REPLACE',
            ...(ttl < 0 ? [] : ['ABSTTL']),
          ]),
        ],
  );
}

function command(words: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat([
    Buffer.from(`*${words.length}\r\n`),
    ...words.flatMap((word) => {
      const bytes = typeof word === 'string' ? Buffer.from(word) : word;
      return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')];
    }),
  ]);
}
