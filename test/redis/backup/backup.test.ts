/* A backup of a real server, taken over the wire and loaded by a fresh one. */
import { copyFile, mkdir, open, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FerryError } from '../../../src/errors.js';
import { inBackupFolder } from '../../../src/platform/backup-folder.js';
import type { ServerAddress } from '../../../src/redis/address.js';
import { crc64 } from '../../../src/redis/backup/crc64.js';
import { checkRdb } from '../../../src/redis/backup/rdb.js';
import { takeBackup, type BackupFacts, type BackupProgress } from '../../../src/redis/backup/take.js';
import { fillWithEverything, readEverything } from '../engine/data.js';
import { server, temporaryFolder, versionsHere, type TestServer } from '../engine/servers.js';

interface Manifest {
  server: { runId: string; product: string };
  replication: { id: string; offset: number };
  rdb: { version: number; checksum: string };
  keys: { databases: Record<string, { keys: number; expires: number }> };
  aof: { on: boolean; fsync?: string };
  leftOut: string[];
  files: { name: string; bytes: number; sha256: string }[];
}

async function backUp(
  address: ServerAddress,
  more: {
    root?: string;
    signal?: AbortSignal;
    onProgress?: (progress: BackupProgress) => void;
    hand?: string;
  } = {},
): Promise<BackupFacts> {
  const { root = temporaryFolder(), signal = new AbortController().signal, onProgress, hand = '1.1' } = more;
  return inBackupFolder({
    path: join(root, 'backup'),
    hand,
    work: (files) => takeBackup({ address, name: 'ferry:test:1.1', files, signal, onProgress }),
  });
}

const debug = (name: string): string[] => (name === 'r62' ? [] : ['--enable-debug-command', 'yes']);

async function restored(name: string, facts: BackupFacts): Promise<TestServer> {
  const dir = temporaryFolder();
  await copyFile(join(facts.folder, 'dump.rdb'), join(dir, 'dump.rdb'));
  return server(name, { dir, args: debug(name) });
}

async function contents(client: Redis, functions: boolean) {
  return {
    digest: await client.call('DEBUG', 'DIGEST'),
    keyspace: (await client.info('keyspace')).replaceAll(/,avg_ttl=\d+(,\S+)?/g, '').trim(),
    values: await readEverything(client),
    functions: functions ? await client.call('FUNCTION', 'LIST', 'WITHCODE') : null,
  };
}

async function failure(of: Promise<unknown>): Promise<FerryError> {
  const error = await of.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FerryError);
  return error as FerryError;
}

async function fill(client: Redis, megabytes: number): Promise<void> {
  for (let mb = 0; mb < megabytes; mb += 10) {
    const pipeline = client.pipeline();
    // Random, so that the file is as large as the data.
    for (let n = 0; n < 10; n += 1) pipeline.set(`big:${mb}:${n}`, randomBytes(1024 * 1024));
    await pipeline.exec();
  }
}

/** No replica, and nothing of ours. */
async function expectNobodyLeft(client: Redis): Promise<void> {
  await expect
    .poll(async () => /connected_slaves:(\d+)/.exec(await client.info('replication'))?.[1], {
      timeout: 60_000,
    })
    .toBe('0');
  await expect
    .poll(async () => String(await client.client('LIST')).includes('name=ferry:'), { timeout: 60_000 })
    .toBe(false);
}

test('the checksum is that of Redis, however the bytes are cut', () => {
  const sum = crc64();
  sum.add(Buffer.from('123456789'));
  expect(sum.bytes().readBigUInt64LE()).toBe(0xe9c6d914c4b8d9can);
  const cut = crc64();
  for (const part of ['12', '', '3456789']) cut.add(Buffer.from(part));
  expect(cut.bytes()).toEqual(sum.bytes());
});

describe.each(versionsHere(['r62', 'r70', 'r80', 'v9']))('%s', { timeout: 120_000 }, (name) => {
  test('loaded by a fresh server, a backup equals the source', async () => {
    const source = await server(name, {
      args: [
        ...debug(name),
        '--appendonly',
        'yes',
        '--requirepass',
        'topsecret',
        '--masterauth',
        'othersecret',
      ],
    });
    const functions = name !== 'r62';
    const [client, other] = [0, 3].map((db) => source.client({ db, password: 'topsecret' })) as [
      Redis,
      Redis,
    ];
    await fillWithEverything(client);
    await other.mset('a', '1', 'b', '2');
    await other.pexpireat('b', 4_102_444_800_777);
    if (functions)
      await client.call(
        'FUNCTION',
        'LOAD',
        "#!lua name=lib\nredis.register_function('f', function() return 1 end)",
      );
    await client.call('ACL', 'SETUSER', 'ada', 'on', '>adasecret', '~*', '+get');
    const facts = await backUp({ ...source.address, password: 'topsecret' });

    const manifest = JSON.parse(await readFile(join(facts.folder, 'manifest.json'), 'utf8')) as Manifest;
    const info = await client.info();
    expect(manifest.server.runId).toBe(/run_id:(\w+)/.exec(info)?.[1]);
    expect(manifest.replication.id).toBe(/master_replid:(\w+)/.exec(info)?.[1]);
    expect(manifest.replication.offset).toBe(Number(/master_repl_offset:(\d+)/.exec(info)?.[1]));
    expect(manifest.rdb.checksum).toBe('right');
    expect(manifest.aof).toMatchObject({ on: true, fsync: 'everysec' });
    expect(manifest.keys.databases['3']).toEqual({ keys: 2, expires: 1 });
    expect(manifest.keys.databases['0']?.keys).toBe(await client.dbsize());
    expect(facts.keys).toBe((await client.dbsize()) + 2);

    const all = await readdir(facts.folder);
    expect(all.toSorted()).toEqual(['dump.rdb', 'manifest.json', 'settings.json', 'users.acl']);
    expect((await stat(facts.folder)).mode & 0o777).toBe(0o700);
    for (const file of all) {
      const [path, listed] = [join(facts.folder, file), manifest.files.find((one) => one.name === file)];
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      const content = await readFile(path);
      if (listed)
        expect(listed).toEqual({
          name: file,
          bytes: content.length,
          sha256: createHash('sha256').update(content).digest('hex'),
        });
      if (file !== 'dump.rdb')
        expect(content.toString()).not.toMatch(/topsecret|othersecret|adasecret|#[0-9a-f]{64}/);
    }
    expect(manifest.files).toHaveLength(3);
    const settings = JSON.parse(await readFile(join(facts.folder, 'settings.json'), 'utf8')) as Record<
      string,
      string
    >;
    expect(settings).toMatchObject({
      requirepass: 'set',
      masterauth: 'set',
      appendonly: 'yes',
    });
    // Where it was built with TLS.
    expect([undefined, 'not set']).toContain(settings['tls-key-file-pass']);
    expect([undefined, 'yes']).toContain(settings['tls-auth-clients']);
    expect(await readFile(join(facts.folder, 'users.acl'), 'utf8')).toMatch(
      /^user ada on .*#\(left out\).* \+get$/m,
    );

    const fresh = await restored(name, facts);
    expect(await contents(fresh.client(), functions)).toEqual(await contents(client, functions));
    expect(await fresh.client({ db: 3 }).get('b')).toBe('2');
    await expectNobodyLeft(client);
  });

  test('one that writes no checksum is told from one that is wrong', async () => {
    const source = await server(name, { args: ['--rdbchecksum', 'no'] });
    await source.client().set('a', '1');
    const facts = await backUp(source.address);
    expect(facts.checksum).toBe('off');
    expect(await (await restored(name, facts)).client().get('a')).toBe('1');
  });
});

describe('what may go wrong', { timeout: 120_000 }, () => {
  test('a file that was changed, cut or is another one is found', async () => {
    const source = await server('r70');
    await fillWithEverything(source.client());
    const facts = await backUp(source.address);
    const path = join(facts.folder, 'dump.rdb');
    const good = await readFile(path);
    const judge = async (bytes: Buffer) => {
      await writeFile(path, bytes);
      return failure(
        checkRdb({ chunks: createReadStream(path, { highWaterMark: 97 }), expected: good.length }),
      );
    };
    for (const at of [20, Math.floor(good.length / 2), good.length - 3]) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ 4;
      expect((await judge(bad)).message).toContain('checksum');
    }
    expect((await judge(good.subarray(0, -1))).message).toContain(`instead of ${good.length}`);
    expect((await judge(Buffer.concat([Buffer.from('X'), good.subarray(1)]))).message).toContain('begin');
    expect((await judge(Buffer.alloc(good.length, 'REDIS0010'))).message).toContain('does not end');
    await writeFile(path, good);
    const facts2 = await checkRdb({
      chunks: createReadStream(path, { highWaterMark: 97 }),
      expected: good.length,
    });
    expect(facts2).toMatchObject({ rdbVersion: 10, checksum: 'right' });
  });

  test('300 MB in flat memory, while writes go on', async () => {
    const source = await server('r70');
    await fill(source.client(), 300);
    const client = source.client();
    let writes = 0;
    const writer = setInterval(() => void client.set('moving', (writes += 1)), 1);
    onTestFinished(() => clearInterval(writer));
    const before = process.memoryUsage().rss;
    let [peak, phases] = [0, new Set<string>()];
    const facts = await backUp(source.address, {
      onProgress: ({ phase }) => {
        phases.add(phase);
        peak = Math.max(peak, process.memoryUsage().rss);
      },
    });
    console.log(
      `300 MB: ${facts.seconds} s, memory +${Math.round((peak - before) / 1e6)} MB, file ${facts.files[0]?.bytes}`,
    );
    expect([...phases]).toEqual(['the server writes it', 'receiving', 'checking']);
    expect(facts.files[0]?.bytes).toBeGreaterThan(300e6);
    expect(peak - before).toBeLessThan(80e6);
    const fresh = (await restored('r70', facts)).client();
    expect(
      await fresh.exists(...Array.from({ length: 300 }, (_, n) => `big:${n - (n % 10)}:${n % 10}`)),
    ).toBe(300);
    expect(
      (await fresh.getBuffer('big:290:9'))?.equals((await client.getBuffer('big:290:9')) as Buffer),
    ).toBe(true);
    expect(Number(await fresh.get('moving'))).toBeLessThan(writes);
  });

  test('the server is killed in the middle of it: nothing is left, and the next one begins anew', async () => {
    let source = await server('r70', { save: '3600 1' });
    await fill(source.client(), 60);
    await source.client().save();
    const root = temporaryFolder();
    let killed = false;
    const broken = await failure(
      backUp(source.address, {
        root,
        onProgress: ({ phase, done }) => {
          if (killed || phase !== 'receiving' || done < 1e6) return;
          killed = process.kill(source.pid, 'SIGKILL');
        },
      }),
    );
    expect(['Unreachable', 'BackupFailed']).toContain(broken.type);
    expect(await readdir(root)).toEqual([]);
    await source.kill9();
    source = await source.again();
    // Of an attempt whose worker died.
    await mkdir(join(root, 'backup.part-1.1'));
    const facts = await backUp(source.address, { root, hand: '1.2' });
    expect(facts.keys).toBe(60);
    expect(await readdir(root)).toEqual(['backup']);
  });

  test('stopped by hand: nothing is left of it, here and there', async () => {
    const source = await server('r70');
    await fill(source.client(), 60);
    const [root, stop] = [temporaryFolder(), new AbortController()];
    await expect(
      backUp(source.address, {
        root,
        signal: stop.signal,
        onProgress: ({ phase }) => {
          if (phase === 'receiving') stop.abort();
        },
      }),
    ).rejects.toMatchObject({ name: 'AbortError' });
    expect(await readdir(root)).toEqual([]);
    await expectNobodyLeft(source.client());
  });

  test('an earlier backup stays until the new one is whole', async () => {
    const source = await server('r70');
    await source.client().set('a', '1');
    const root = temporaryFolder();
    const first = await backUp(source.address, { root });
    await source.client().set('b', '1');
    await failure(backUp({ ...source.address, password: 'no', username: 'ada' }, { root }));
    expect(JSON.parse(await readFile(join(first.folder, 'manifest.json'), 'utf8'))).toMatchObject({
      keys: { databases: { 0: { keys: 1 } } },
    });
    expect((await backUp(source.address, { root })).keys).toBe(2);
  });

  test('a wrong password, and a user who may not', async () => {
    const source = await server('r70', { args: ['--requirepass', 'right'] });
    const root = temporaryFolder();
    expect((await failure(backUp({ ...source.address, password: 'wrong' }, { root }))).type).toBe(
      'WrongPassword',
    );
    const admin = source.client({ password: 'right' });
    await admin.call('ACL', 'SETUSER', 'reader', 'on', '>pw', '~*', '+@all', '-psync');
    const denied = await failure(backUp({ ...source.address, username: 'reader', password: 'pw' }, { root }));
    expect(denied.type).toBe('NotPermitted');
    expect(denied.message).toContain('+psync');
    expect(denied.message).toContain('backup: false');
    expect(await readdir(root)).toEqual([]);
    await admin.call('ACL', 'SETUSER', 'least', 'on', '>pw', '+psync', '+replconf', '+info', '+ping');
    const facts = await backUp({ ...source.address, username: 'least', password: 'pw' });
    expect(await readdir(facts.folder)).toEqual(['dump.rdb', 'manifest.json']);
    const { leftOut } = JSON.parse(await readFile(join(facts.folder, 'manifest.json'), 'utf8')) as Manifest;
    expect(leftOut.join()).toMatch(/CONFIG GET: not permitted.*ACL LIST: not permitted/);
  });

  test('a server that can not write its snapshot says so, and nothing is left', async () => {
    const dir = temporaryFolder();
    const source = await server('r70', { dir });
    await source.client().set('a', '1');
    // A folder stands where the snapshot would be renamed to.
    await mkdir(join(dir, 'dump.rdb', 'x'), { recursive: true });
    onTestFinished(() => rm(join(dir, 'dump.rdb'), { recursive: true }));
    const root = temporaryFolder();
    const broken = await failure(backUp(source.address, { root }));
    expect(broken).toMatchObject({ type: 'BackupFailed' });
    expect(broken.message).toContain('could not write its snapshot');
    expect(await readdir(root)).toEqual([]);
  });

  test('a folder that can not be written is named', async () => {
    const source = await server('r70');
    const root = temporaryFolder();
    await (await open(join(root, 'file'), 'w')).close();
    const denied = await failure(backUp(source.address, { root: join(root, 'file') }));
    expect(denied.type).toBe('FileFailed');
    expect(denied.message).toContain(join(root, 'file'));
  });
});
