/** Takes a backup of a server: its snapshot, its settings, its users, and a manifest that says what these are. */
import type { ServerAddress } from '../address.js';
import { shown } from '../address.js';
import { withClient } from '../connect.js';
import { allOf, keyspaceIn, parseInfo, productIn } from '../info.js';
import { MANIFEST } from './manifest.js';
import { checkRdb } from './rdb.js';
import { settingsToKeep, usersToKeep, type Kept } from './settings.js';
import { openSnapshot } from './wire.js';

/** Where the files go; whoever gives it makes them whole or not there. */
export interface BackupFiles {
  /** Where they stand in the end. */
  folder: string;
  receive: (name: string, chunks: AsyncIterable<Buffer>) => Promise<void>;
  read: (name: string) => AsyncIterable<Buffer>;
  /** Where a program may write a file of that name meanwhile. */
  at: (name: string) => string;
  write: (name: string, text: string) => Promise<BackupFile>;
}

export interface BackupFile {
  name: string;
  bytes: number;
  sha256: string;
}

export interface BackupFacts {
  folder: string;
  /** ISO 8601: when the server forked. */
  takenAt: string;
  seconds: number;
  server: string;
  product: string;
  files: BackupFile[];
  keys: number;
  offset: number;
  rdbVersion: number;
  checksum: 'right' | 'off';
}

export interface BackupProgress {
  phase: 'the server writes it' | 'receiving' | 'checking';
  done: number;
  total: number;
}

export const RDB = 'dump.rdb';

/** @throws FerryError; the signal's reason when aborted */
export async function takeBackup(on: {
  address: ServerAddress;
  name: string;
  files: BackupFiles;
  signal: AbortSignal;
  onProgress?: ((progress: BackupProgress) => void) | undefined;
}): Promise<BackupFacts> {
  const { address, name, files, signal, onProgress } = on;
  const began = performance.now();
  const asked = { address, name, signal, commandTimeoutMs: 10_000 };
  const { info, settings, users } = await withClient(asked, async (client) => ({
    info: parseInfo(String(await client.call('INFO'))),
    settings: await settingsToKeep({ client }),
    users: await usersToKeep({ client }),
  }));
  const snapshot = await openSnapshot({ address, name, signal });
  try {
    const takenAt = new Date().toISOString();
    // Asked as close to the fork as can be; exact where nothing is written.
    const keyspace = await withClient(asked, async (client) =>
      keyspaceIn(parseInfo(String(await client.call('INFO', 'keyspace')))),
    );
    onProgress?.({ phase: 'the server writes it', done: 0, total: 0 });
    const length = await snapshot.length();
    await files.receive(
      RDB,
      counted(snapshot.chunks(), (done) => onProgress?.({ phase: 'receiving', done, total: length })),
    );
    // Read back: what counts is what stands on the disk.
    const rdb = await checkRdb({
      chunks: files.read(RDB),
      expected: length,
      onProgress: (done) => {
        signal.throwIfAborted();
        onProgress?.({ phase: 'checking', done, total: length });
      },
    });
    const written: BackupFile[] = [{ name: RDB, bytes: rdb.bytes, sha256: rdb.sha256 }];
    if (settings.value) written.push(await files.write('settings.json', json(settings.value)));
    if (users.value) written.push(await files.write('users.acl', `${users.value.join('\n')}\n`));
    const product = productIn(info);
    await files.write(
      MANIFEST,
      json({
        takenAt,
        server: { address: shown(address), product, runId: info['run_id'] ?? '' },
        replication: { id: snapshot.replicationId, offset: snapshot.offset },
        rdb: { version: rdb.rdbVersion, checksum: rdb.checksum },
        keys: { asOf: 'right after the fork; about right where writes went on', databases: keyspace },
        aof: aofOf({ info, settings }),
        leftOut: leftOut({ settings, users }),
        files: written,
      }),
    );
    return {
      folder: files.folder,
      takenAt,
      seconds: Math.round((performance.now() - began) / 100) / 10,
      server: shown(address),
      product,
      files: written,
      keys: allOf(keyspace),
      offset: snapshot.offset,
      rdbVersion: rdb.rdbVersion,
      checksum: rdb.checksum,
    };
  } finally {
    snapshot.close();
  }
}

/** As files of a backup are written. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

async function* counted(
  chunks: AsyncIterable<Buffer>,
  onBytes: (bytes: number) => void,
): AsyncIterable<Buffer> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    onBytes(bytes);
    yield chunk;
  }
}

/** A server's append-only file can't be read over the wire; the snapshot holds the same at that moment. */
function aofOf(on: { info: Record<string, string>; settings: Kept<Record<string, string>> }) {
  const { info, settings } = on;
  if (info['aof_enabled'] !== '1') return { on: false };
  return {
    on: true,
    fsync: settings.value?.['appendfsync'] ?? 'not known',
    says: 'The append-only file itself is not in here: it can not be read over the network. dump.rdb holds the same at the moment it was taken. Before it is loaded, append-only has to be off, or the server loads its append-only file instead.',
  };
}

function leftOut({ settings, users }: { settings: Kept<unknown>; users: Kept<unknown> }): string[] {
  return [
    settings.why === null
      ? 'the values of passwords in settings.json: "set" or "not set" stands for them'
      : `the settings: CONFIG GET: ${settings.why}`,
    users.why === null
      ? "the hashes of the users' passwords in users.acl"
      : `the users: ACL LIST: ${users.why}`,
  ];
}
