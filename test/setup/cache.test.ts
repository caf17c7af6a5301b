import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cacheFolder, download, installOnce, withLock } from '../../src/setup/cache.js';
import { compareVersions, pause } from '../../src/setup/run.js';

let cache: string;
beforeEach(() => (cache = mkdtempSync(join(tmpdir(), 'ferry-cache-'))));
afterEach(() => rmSync(cache, { recursive: true, force: true }));

test('the cache folder is the one named, else the desktop standard, else below HOME', () => {
  expect(cacheFolder({ FERRY_CACHE: '/a', XDG_CACHE_HOME: '/b', HOME: '/c' })).toBe('/a');
  expect(cacheFolder({ XDG_CACHE_HOME: '/b', HOME: '/c' })).toBe('/b/redis-ferry');
  expect(cacheFolder({ HOME: '/c' })).toBe('/c/.cache/redis-ferry');
});

test('versions are compared by their numbers', () => {
  expect(compareVersions('7.0.15', '7.0.9')).toBe(1);
  expect(compareVersions('7.4', '7.4.0')).toBe(0);
  expect(compareVersions('6.2.14', '10.0')).toBe(-1);
});

describe('installOnce', () => {
  test('fills a folder once, and names the final place beforehand', async () => {
    let filled = 0;
    const fill = async (folder: string, final: string) => {
      filled += 1;
      expect(folder).not.toBe(final);
      writeFileSync(join(folder, 'x'), final);
    };
    const folder = await installOnce({ name: 'a/b', cache, fill });
    expect(await installOnce({ name: 'a/b', cache, fill })).toBe(folder);
    expect(filled).toBe(1);
    expect(readFileSync(join(folder, 'x'), 'utf8')).toBe(folder);
  });

  test('leaves nothing when filling fails, and tries again the next time', async () => {
    const failing = installOnce({
      name: 'a',
      cache,
      fill: async (folder) => {
        writeFileSync(join(folder, 'half'), '');
        throw new Error('no network');
      },
    });
    await expect(failing).rejects.toThrow('no network');
    expect(existsSync(join(cache, 'a'))).toBe(false);
    expect(readdirSync(join(cache, 'tmp'))).toEqual([]);
    expect(readdirSync(join(cache, 'locks'))).toEqual([]);
    const folder = await installOnce({
      name: 'a',
      cache,
      fill: async (f) => writeFileSync(join(f, 'whole'), ''),
    });
    expect(readdirSync(folder)).toEqual(['whole']);
  });

  test('two at once do the work once', async () => {
    let filled = 0;
    const fill = async () => {
      filled += 1;
      await pause(200);
    };
    await Promise.all([installOnce({ name: 'a', cache, fill }), installOnce({ name: 'a', cache, fill })]);
    expect(filled).toBe(1);
  });

  test('what a killed process left is swept away, what a living one works on is not', async () => {
    const dead = await deadPid();
    mkdirSync(join(cache, 'tmp', `${dead}-left`), { recursive: true });
    mkdirSync(join(cache, 'tmp', `${process.pid}-other`), { recursive: true });
    mkdirSync(join(cache, 'locks', 'a'), { recursive: true });
    writeFileSync(join(cache, 'locks', 'a', 'owner'), `${dead} long ago`);
    await installOnce({ name: 'a', cache, fill: async () => {} });
    expect(readdirSync(join(cache, 'tmp'))).toEqual([`${process.pid}-other`]);
    expect(existsSync(join(cache, 'a'))).toBe(true);
  });
});

describe('withLock', () => {
  test('makes others wait and says so once', async () => {
    const order: string[] = [];
    const said: string[] = [];
    const first = withLock({ name: 'x', cache }, async () => {
      await pause(300);
      order.push('first');
    });
    await pause(50);
    await withLock(
      { name: 'x', cache, say: (line) => said.push(line) },
      async () => void order.push('second'),
    );
    await first;
    expect(order).toEqual(['first', 'second']);
    expect(said).toEqual([`waiting for another set-up (process ${process.pid})`]);
  });

  test('is void when its number now belongs to a younger process', async () => {
    mkdirSync(join(cache, 'locks', 'x'), { recursive: true });
    writeFileSync(join(cache, 'locks', 'x', 'owner'), `${process.pid} another birth`);
    expect(await withLock({ name: 'x', cache }, async () => 'entered')).toBe('entered');
  });
});

describe('download', () => {
  const body = 'a server';
  const sha256 = createHash('sha256').update(body).digest('hex');

  test('keeps only the file that was pinned', async () => {
    const server = createServer((_, reply) => reply.end(body)).listen(0, '127.0.0.1');
    await new Promise((done) => server.once('listening', done));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    await download({ url, to: join(cache, 'good'), sha256 });
    expect(readFileSync(join(cache, 'good'), 'utf8')).toBe(body);
    await expect(download({ url, to: join(cache, 'bad'), sha256: '0'.repeat(64) })).rejects.toThrow(
      'not the file expected',
    );
    expect(readdirSync(cache)).toEqual(['good']);
    server.close();
  });

  test('gives up on a server that says nothing', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((done) => server.once('listening', done));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    await expect(download({ url, to: join(cache, 'x'), answerMs: 200 })).rejects.toThrow(
      'no answer after 0.2 s',
    );
    server.closeAllConnections();
    server.close();
  });
});

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '']);
  await new Promise((done) => child.once('close', done));
  return child.pid!;
}
