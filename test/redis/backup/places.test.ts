/* Backups that are tried, copied and removed: on real servers, in real folders and buckets. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Backup, type BackupCopy } from '../../../src/inputs/backup.js';
import { inBackupFolder } from '../../../src/platform/backup-folder.js';
import { copyBackup, pruneBackups, tooOld } from '../../../src/platform/backup-places.js';
import {
  chooseServer,
  loadBackup,
  redisServers,
  type RedisServer,
} from '../../../src/platform/throwaway-redis.js';
import type { Manifest } from '../../../src/redis/backup/manifest.js';
import { takeKeys, type KeysFile } from '../../../src/redis/backup/keys.js';
import { takeBackup, type BackupFacts, type BackupFiles } from '../../../src/redis/backup/take.js';
import { redisBin } from '../../support/redis-bin.js';
import { NO_S3, S3_ENV, startBuckets, type Buckets } from '../../support/s3.js';
import { binaryOf, server, temporaryFolder, versionsHere } from '../engine/servers.js';

const UPGRADE = 'upgrade+redis+sessions';
const NEVER = new AbortController().signal;

function inside<T>(name: string, work: (files: BackupFiles) => Promise<T>): Promise<T> {
  return inBackupFolder({ path: join(temporaryFolder(), UPGRADE, name), hand: '1.1', work });
}

async function taken(name: string, args: string[] = []): Promise<BackupFacts> {
  const from = await server(name, { args });
  const client = from.client();
  await client.mset('a', '1', 'b', '2', 'big', randomBytes(400_000).toString('hex'));
  await client.set('short', '3', 'EX', 1_000);
  if (args.includes('--databases')) await from.client({ db: 20 }).set('far', 'away');
  return inside('backup-0a1b2c3d-before', (files) =>
    takeBackup({ address: from.address, name: 'ferry:test:1.1', files, signal: NEVER }),
  );
}

async function serverOf(name: string): Promise<RedisServer> {
  const product = name.startsWith('v') ? 'valkey' : 'redis';
  vi.stubEnv('FERRY_REDIS_BIN', await redisBin(temporaryFolder(), binaryOf(name) ?? '', product));
  const [found] = await redisServers();
  if (!found) throw new Error(`${name} is not found`);
  return found;
}

/** Of a server that gives no snapshot away. */
async function keysTaken(name: string): Promise<KeysFile> {
  const from = await server(name, {});
  const [client, third] = [from.client(), from.client({ db: 3 })];
  await client.mset('a', '1', 'b', '2', 'big', randomBytes(400_000).toString('hex'));
  await client.set('short', '3', 'EX', 1_000);
  for (let n = 0; n < 500; n += 1) await third.hset(`many:${n}`, { n });
  return inside('snapshot-0a1b2c3d', (files) =>
    takeKeys({
      address: from.address,
      name: 'ferry:test:1.1',
      files,
      signal: NEVER,
      onProgress: () => undefined,
    }),
  );
}

/** As if it had been taken so: the checksum of the manifest is that of what is there. */
async function rewrite(folder: string): Promise<void> {
  const path = join(folder, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as Manifest;
  for (const file of manifest.files) {
    const content = await readFile(join(folder, file.name));
    file.bytes = content.length;
    file.sha256 = createHash('sha256').update(content).digest('hex');
  }
  await writeFile(path, JSON.stringify(manifest));
}

beforeEach(() => {
  for (const [name, value] of Object.entries(S3_ENV)) vi.stubEnv(name, value);
});
afterEach(() => vi.unstubAllEnvs());

describe('a backup is tried', () => {
  test.for(versionsHere(['r60', 'r70', 'v81']))('key by key: %s', async (name) => {
    const { folder, product } = await keysTaken(name);
    const loaded = await loadBackup({ folder, server: await serverOf(name) });
    expect(loaded).toMatchObject({ by: product, keys: 504 });
    expect(await readdir(dirname(folder))).toEqual(['snapshot-0a1b2c3d']);
  });

  test('key by key, by a server that is too old for it, and with a byte that is another', async () => {
    const { folder } = await keysTaken('r80');
    await expect(loadBackup({ folder, server: await serverOf('r62') })).rejects.toThrow(
      /^Redis 6\.2\.\d+ does not take the snapshot: ERR DUMP payload version or checksum are wrong$/,
    );
    const file = join(folder, 'keys.resp');
    const bytes = await readFile(file);
    bytes[bytes.length - 20] = (bytes.at(-20) ?? 0) ^ 1;
    await writeFile(file, bytes);
    const same = await serverOf('r80');
    await expect(loadBackup({ folder, server: same })).rejects.toThrow(/keys\.resp is not as it was written/);
    await rewrite(folder);
    await expect(loadBackup({ folder, server: same })).rejects.toThrow(/does not take the snapshot: ERR/);
  });

  test.for(versionsHere(['r62', 'r70', 'r80', 'v81']))('by the server that wrote it: %s', async (name) => {
    const facts = await taken(name, ['--databases', '32']);
    const before = await readdir(facts.folder);
    const loaded = await loadBackup({ folder: facts.folder, server: await serverOf(name) });
    expect(loaded.keys).toBe(5);
    expect(facts.product).toBe(loaded.by);
    expect(await readdir(facts.folder)).toEqual(before);
    expect(await readdir(dirname(facts.folder))).toEqual(['backup-0a1b2c3d-before']);
  });

  test('one that was cut off is refused, by its checksum and by the server', async () => {
    const { folder } = await taken('r70');
    const by = await serverOf('r80');
    await truncate(join(folder, 'dump.rdb'), 300_000);
    await expect(loadBackup({ folder, server: by })).rejects.toThrow(/dump\.rdb is not as it was written/);
    await rewrite(folder);
    await expect(loadBackup({ folder, server: by })).rejects.toMatchObject({
      type: 'BackupFailed',
      message: expect.stringMatching(/^Redis 8\S+ does not load the backup: .*(?:Short read|Unrecoverable)/),
    });
    expect(await readdir(dirname(folder))).toEqual(['backup-0a1b2c3d-before']);
    await rm(join(folder, 'manifest.json'));
    await expect(loadBackup({ folder, server: by })).rejects.toThrow(/holds no backup/);
  });

  test('a format that the server does not know is refused', async () => {
    const { folder } = await taken('r80');
    await expect(loadBackup({ folder, server: await serverOf('r62') })).rejects.toThrow(
      /^Redis 6\.2\.\d+ does not load the backup: .*RDB format/,
    );
  });

  test('it can be stopped, and leaves nothing', async () => {
    const { folder } = await taken('r70');
    const by = await serverOf('r80');
    const stop = new AbortController();
    const loading = loadBackup({ folder, server: by, signal: stop.signal });
    stop.abort(new Error('stopped by a test'));
    await expect(loading).rejects.toThrow('stopped by a test');
    expect(await readdir(dirname(folder))).toEqual(['backup-0a1b2c3d-before']);
  });

  test('which server reads what', () => {
    const all: RedisServer[] = [
      { path: 'a', product: 'Redis', version: '8.0.2' },
      { path: 'b', product: 'Redis', version: '7.0.5' },
      { path: 'c', product: 'Valkey', version: '8.1.1' },
    ];
    const chosen = (product: string, from = all): string => {
      const found = chooseServer(from, product);
      return 'server' in found ? found.server.path : found.why;
    };
    expect(chosen('Redis 7.0.15')).toBe('b');
    expect(chosen('Redis 7.2.4')).toBe('a');
    expect(chosen('Valkey 8.0.1')).toBe('c');
    expect(chosen('Redis 7.2.4', all.slice(1))).toBe('c');
    expect(chosen('Redis 7.4.1', all.slice(1))).toMatch(
      /^redis-server of Redis 7\.4 or later is needed; here is Redis 7\.0\.5, Valkey 8\.1\.1\. Install it/,
    );
    expect(chosen('Valkey 9.0.0', [])).toMatch(
      /^valkey-server of Valkey 9\.0 or later is needed; there is none/,
    );
  });
});

describe('a backup is copied', () => {
  const copying = (folder: string, more: { onProgress?: (done: number) => void } = {}) => ({
    folder,
    hand: '1.1',
    ...more,
  });

  test('to a folder, byte by byte, and nobody else may read it', async () => {
    const { folder, files } = await taken('r70');
    const copy = { folder: temporaryFolder() };
    const seen: number[] = [];
    await copyBackup(copy, copying(folder, { onProgress: (done) => seen.push(done) }));
    await copyBackup(copy, copying(folder));
    const there = join(copy.folder, UPGRADE, 'backup-0a1b2c3d-before');
    expect((await readdir(there)).toSorted()).toEqual((await readdir(folder)).toSorted());
    for (const name of await readdir(folder))
      expect((await readFile(join(there, name))).equals(await readFile(join(folder, name)))).toBe(true);
    expect((await stat(there)).mode & 0o777).toBe(0o700);
    expect(Math.max(...seen)).toBeGreaterThanOrEqual(files.reduce((sum, { bytes }) => sum + bytes, 0));
  });

  test('not where it differs from what was taken, nor onto itself', async () => {
    const { folder } = await taken('r70');
    const copy = { folder: temporaryFolder() };
    await truncate(join(folder, 'dump.rdb'), 1_000);
    await expect(copyBackup(copy, copying(folder))).rejects.toThrow(
      /dump\.rdb is not what was taken: it has 1000 of \d+ bytes/,
    );
    expect(await readdir(join(copy.folder, UPGRADE))).toEqual([]);
    await expect(copyBackup({ folder: dirname(dirname(folder)) }, copying(folder))).rejects.toThrow(
      /is where the backup itself is/,
    );
    await rm(folder, { recursive: true });
    await expect(copyBackup(copy, copying(folder))).rejects.toThrow(/is not on this worker/);
  });

  describe.skipIf(NO_S3)('to a bucket', () => {
    let s: Buckets;
    beforeAll(async () => {
      s = await startBuckets();
    });
    afterAll(() => s.stop());

    test('where it is read back', async () => {
      const { folder } = await taken('r70');
      const bucket = await s.create('backups');
      await copyBackup({ bucket }, copying(folder));
      await copyBackup({ bucket }, copying(folder));
      const at = `backups/${UPGRADE}/backup-0a1b2c3d-before`;
      expect(await s.keys(bucket)).toEqual((await readdir(folder)).map((name) => `${at}/${name}`).toSorted());
      expect(await s.text(bucket, `${at}/users.acl`)).toBe(await readFile(join(folder, 'users.acl'), 'utf8'));
    });

    test('in parts where it is large', async () => {
      const { folder } = await taken('r70');
      await writeFile(join(folder, 'dump.rdb'), randomBytes(40 * 1024 * 1024));
      await rewrite(folder);
      const bucket = await s.create();
      await copyBackup({ bucket }, copying(folder));
      expect(await s.keys(bucket)).toContain(`${UPGRADE}/backup-0a1b2c3d-before/dump.rdb`);
    });

    test('one that is not as it was taken, or a bucket that is away, is no copy', async () => {
      const { folder } = await taken('r70');
      const bucket = await s.create();
      const away = { ...bucket, endpoint: 'http://127.0.0.1:9' };
      await expect(copyBackup({ bucket: away }, copying(folder))).rejects.toMatchObject({
        type: 'Unreachable',
        message: expect.stringContaining('ECONNREFUSED'),
      });
      await truncate(join(folder, 'dump.rdb'), 1_000);
      await expect(copyBackup({ bucket }, copying(folder))).rejects.toThrow(/is not what was written/);
      expect((await s.keys(bucket)).filter((key) => key.endsWith('manifest.json'))).toEqual([]);
    });

    test('old ones go, those of others stay', async () => {
      const bucket = await s.create('backups');
      const { names, manifest } = await manyRuns(async (name, file, text) =>
        s.put(bucket, `backups/${UPGRADE}/${name}/${file}`, text),
      );
      await s.put(bucket, `backups/upgrade+redis+cache/${names[5]}/manifest.json`, manifest(90));
      await s.put(bucket, `backups/${UPGRADE}/backup-by-hand/dump.rdb`, 'x');
      await s.put(bucket, `backups/${UPGRADE}/${names[4]}/notes.txt`, 'x');
      const { removed, problems } = await prune({ bucket });
      expect(problems).toEqual([]);
      expect(removed.toSorted()).toEqual(names.slice(4, 6).toSorted());
      const left = (await s.keys(bucket)).map((key) => key.replace('backups/', ''));
      expect(left).toContain(`upgrade+redis+cache/${names[5]}/manifest.json`);
      expect(left).toContain(`${UPGRADE}/backup-by-hand/dump.rdb`);
      expect(left.filter((key) => key.includes(`/${names[4]}/`) && key.startsWith(UPGRADE))).toEqual([
        `${UPGRADE}/${names[4]}/notes.txt`,
      ]);
      expect(left.filter((key) => key.startsWith(`${UPGRADE}/${names[3]}/`))).toHaveLength(2);
    });

    test('a bucket that is away is told, and nothing more', async () => {
      const bucket = { ...(await s.create()), endpoint: 'http://127.0.0.1:9' };
      expect(await prune({ bucket })).toEqual({
        removed: [],
        problems: [expect.stringMatching(/^Old backups in s3:.* could not be removed: .*ECONNREFUSED/)],
      });
    });
  });
});

const RUN = '00000000';
const KEEP = { days: 30, atLeast: 2 };
const prune = (place: BackupCopy) => pruneBackups({ place, upgrade: UPGRADE, run: RUN, keep: KEEP });

/** The present run, one of yesterday, and three that are older than the 30 days, of which the newest is one of the last two. */
async function manyRuns(put: (name: string, file: string, text: string) => Promise<void>) {
  const manifest = (days: number): string =>
    JSON.stringify({
      takenAt: new Date(Date.now() - days * 86_400_000).toISOString(),
      server: { product: 'Redis 7.0.15' },
      keys: { databases: {} },
      files: [{ name: 'dump.rdb', bytes: 1, sha256: '0' }],
    });
  const names = [
    `backup-${RUN}-before`,
    'backup-11111111-before',
    'backup-11111111-after',
    'backup-22222222-before',
    'backup-33333333-before',
    'backup-44444444-before',
  ];
  const ages = [0, 40, 29, 20, 50, 60];
  for (const [at, name] of names.entries()) {
    await put(name, 'dump.rdb', 'x');
    await put(name, 'manifest.json', manifest(ages[at] ?? 0));
  }
  return { names, manifest };
}

describe('old backups are removed', () => {
  test('from a folder, those of others stay', async () => {
    const folder = temporaryFolder();
    const root = join(folder, UPGRADE);
    const put = async (name: string, file: string, text: string): Promise<void> => {
      await mkdir(join(root, name), { recursive: true });
      await writeFile(join(root, name, file), text);
    };
    const { names, manifest } = await manyRuns(put);
    await put('backup-by-hand', 'manifest.json', manifest(90));
    await put('evidence-55555555', 'manifest.json', manifest(90));
    await put('snapshot-88888888', 'manifest.json', manifest(90));
    await put('backup-66666666-before', 'dump.rdb', 'without a manifest');
    await put('backup-77777777-before', 'manifest.json', '{"files": [{"name": "../../escape"}]}');
    await put(names[4] ?? '', 'notes.txt', 'of a person');
    await mkdir(join(folder, 'upgrade+redis+cache', names[5] ?? ''), { recursive: true });
    await writeFile(join(folder, 'upgrade+redis+cache', names[5] ?? '', 'manifest.json'), manifest(90));
    // What a clock of the disk says counts for nothing.
    await utimes(join(root, names[0] ?? ''), 0, 0);
    expect(await prune({ folder })).toEqual({
      removed: [names[4], names[5], 'snapshot-88888888'],
      problems: [],
    });
    expect((await readdir(root)).toSorted()).toEqual(
      [
        ...names.slice(0, 5),
        'backup-66666666-before',
        'backup-77777777-before',
        'backup-by-hand',
        'evidence-55555555',
      ].toSorted(),
    );
    expect(await readdir(join(root, names[4] ?? ''))).toEqual(['notes.txt']);
    expect(await readdir(join(folder, 'upgrade+redis+cache'))).toEqual([names[5]]);
  });

  test('never the last ones, however old, nor those of this run', () => {
    const of = (run: string, days: number) => ({
      name: `backup-${run}-before`,
      run,
      manifest: { takenAt: new Date(Date.now() - days * 86_400_000).toISOString() } as Manifest,
    });
    const all = [of('a', 100), of('b', 200), of('c', 300), of('d', 400)];
    const names = (atLeast: number, run: string) =>
      tooOld(all, { days: 1, atLeast, run, now: Date.now() }).map((each) => each.run);
    expect(names(3, 'a')).toEqual(['d']);
    expect(names(1, 'c')).toEqual(['b', 'd']);
    expect(names(9, 'a')).toEqual([]);
  });
});

test.each([
  [{ copies: [] }, /Too small|>=1/],
  [{ copies: [{ folder: 'backups' }] }, /must be an absolute path/],
  [{ copies: [{ bucket: { bucket: 'b', secret: 'x' } }] }, /Unrecognized key/],
  [{ keep: { days: 0 } }, />=1/],
  [{ folders: '/x' }, /Unrecognized key/],
])('an input that can not be meant: %j', (input, says) => {
  expect(JSON.stringify(Backup.safeParse(input).error?.issues)).toMatch(says);
});
