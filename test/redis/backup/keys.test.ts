/* Every key in a file that `redis-cli --pipe` puts back: of a server that gives no snapshot away. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { inBackupFolder } from '../../../src/platform/backup-folder.js';
import { KEYS_FILE, takeKeys, type KeysFile } from '../../../src/redis/backup/keys.js';
import { anyServer, serve, type TestServer } from '../servers.js';

async function taken(server: TestServer): Promise<KeysFile & { path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-keys-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'snapshot');
  const file = await inBackupFolder({
    path,
    hand: '1.1',
    work: (files) =>
      takeKeys({
        address: { host: server.host, port: server.port },
        name: 'ferry:test:1.1',
        files,
        signal: new AbortController().signal,
        onProgress: () => undefined,
      }),
  });
  return { ...file, path: join(path, KEYS_FILE) };
}

async function pipe(server: TestServer, path: string): Promise<string> {
  const { cli } = anyServer('r72', 'r70');
  if (cli === null) throw new Error('no redis-cli here');
  return new Promise((done, fail) => {
    const child = execFile(cli, ['-p', String(server.port), '--pipe'], (error, stdout, stderr) =>
      error ? fail(new Error(`${stdout}${stderr}`)) : done(stdout),
    );
    if (child.stdin) createReadStream(path).pipe(child.stdin);
  });
}

test('what is put back is what was there, in every database, with its expiry', async () => {
  const [from, to] = await Promise.all([serve({ name: 'r70' }), serve({ name: 'r72' })]);
  const [source, other] = [from.client(), from.client(3)];
  const binary = Buffer.from([0, 255, 13, 10, 36]);
  await source.set('text', 'ada');
  await source.set(binary, binary);
  await source.rpush('list', 'a', 'b');
  await source.hset('hash', { a: '1', b: '2' });
  await source.zadd('sorted', 1.5, 'a');
  await source.xadd('stream', '1-1', 'field', 'value');
  await source.set('gone', 'x', 'PX', 1);
  await source.set('expires', 'later', 'PX', 500_000);
  for (let n = 0; n < 1_000; n += 1) await source.set(`many:${n}`, String(n));
  await other.sadd('set', 'x', 'y');
  // Of ours: not the customer's.
  await source.set('ferry:canary:0123456789abcdef01234567', 'x');
  const expiresAt = await source.call('PEXPIRETIME', 'expires');

  const file = await taken(from);
  expect(file.keys).toBe(1_008);
  const bytes = await readFile(file.path);
  expect(bytes.length).toBe(file.bytes);
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(file.sha256);
  expect((await stat(file.path)).mode & 0o777).toBe(0o600);

  // Twice: it replaces.
  for (const _ of [1, 2]) expect(await pipe(to, file.path)).toMatch(/errors: 0, replies: 1010/);
  const [back, third] = [to.client(), to.client(3)];
  expect(await back.dbsize()).toBe(1_007);
  expect(await back.getBuffer(binary)).toEqual(binary);
  expect(await back.lrange('list', 0, -1)).toEqual(['a', 'b']);
  expect(await back.hgetall('hash')).toEqual({ a: '1', b: '2' });
  expect(await back.zscore('sorted', 'a')).toBe('1.5');
  expect(await back.xlen('stream')).toBe(1);
  expect(await back.get('many:999')).toBe('999');
  expect((await third.smembers('set')).toSorted()).toEqual(['x', 'y']);
  // It is asked for as what is left: a few milliseconds of the asking are lost.
  const distance = Number(expiresAt) - Number(await back.call('PEXPIRETIME', 'expires'));
  expect(distance).toBeGreaterThanOrEqual(0);
  expect(distance).toBeLessThan(5_000);
});

test('an empty server gives an empty file', async () => {
  const server = await serve();
  expect(await taken(server)).toMatchObject({ keys: 0, bytes: 0 });
});
