/* Real servers: they start, answer, survive what they should and nothing else. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { isAlive, pause } from '../../src/setup/run.js';
import { endLeftover, freePort, reattach, startRedis, type Running } from '../../src/setup/servers.js';

const redis = inject('redisServers');
const [older, newer] = [redis[0]!, redis.at(-1)!];
let dir: string;
let started: Running[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ferry servers-'));
  started = [];
});
afterEach(async () => {
  for (const server of started) await server.kill9();
  rmSync(dir, { recursive: true, force: true });
});

async function start(options: Omit<Parameters<typeof startRedis>[0], 'binary'> & { binary?: string }) {
  const server = await startRedis({ binary: older.server, ...options });
  started.push(server);
  return server;
}

function say(port: number, command: string): Promise<string> {
  return new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.on('error', fail);
    socket.once('data', (reply) => {
      socket.destroy();
      done(reply.toString().trim());
    });
  });
}

test('two versions run side by side', async () => {
  const [a, b] = await Promise.all([
    start({ dir: join(dir, 'a') }),
    start({ binary: newer.server, dir: join(dir, 'b') }),
  ]);
  expect(a.port).not.toBe(b.port);
  expect(await say(a.port, 'PING')).toBe('+PONG');
  expect(await say(b.port, 'PING')).toBe('+PONG');
  await a.stop();
  expect(isAlive(a.pid)).toBe(false);
  await a.stop();
});

test('started again in its folder, it goes on with its data and its rewritten settings', async () => {
  const first = await start({ dir, args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  await say(first.port, 'SET k v');
  await say(first.port, 'CONFIG SET maxmemory-policy allkeys-lru');
  expect(await say(first.port, 'CONFIG REWRITE')).toBe('+OK');
  await first.kill9();
  const again = await start({ dir, port: first.port });
  expect(again.port).toBe(first.port);
  expect(await say(again.port, 'GET k')).toContain('v');
  expect(await say(again.port, 'CONFIG GET maxmemory-policy')).toContain('allkeys-lru');
});

test('one with a password counts as ready', async () => {
  const server = await start({ dir, args: ['--requirepass', 'secret'] });
  expect(await say(server.port, 'PING')).toMatch(/^-NOAUTH/);
});

test('one that can not start says why', async () => {
  await expect(start({ dir, args: ['--no-such-setting', '1'] })).rejects.toThrow(
    /ended at once[^]*no-such-setting/,
  );
  const port = await freePort();
  const holder = await start({ dir: join(dir, 'holder'), port });
  await expect(start({ dir: join(dir, 'b'), port })).rejects.toThrow(`port ${port} is taken`);
  expect(await say(holder.port, 'PING')).toBe('+PONG');
});

describe('with a pid file', () => {
  test('it is found again and ended by a later process', async () => {
    const pidFile = join(dir, 'pids/redis.pid');
    const server = await start({ dir, pidFile });
    expect(await reattach(pidFile)).toMatchObject({ pid: server.pid, port: server.port });
    expect(await endLeftover(pidFile)).toBe(true);
    expect(isAlive(server.pid)).toBe(false);
    expect(existsSync(pidFile)).toBe(false);
    expect(await endLeftover(pidFile)).toBe(false);
  });

  test('a stranger with the same number is left alone', async () => {
    const pidFile = join(dir, 'redis.pid');
    await start({ dir, pidFile });
    const life = JSON.parse(readFileSync(pidFile, 'utf8')) as object;
    const stranger = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
    writeFileSync(pidFile, JSON.stringify({ ...life, pid: stranger.pid }));
    expect(await endLeftover(pidFile)).toBe(false);
    expect(isAlive(stranger.pid!)).toBe(true);
    stranger.kill();
  });
});

test.runIf(process.platform === 'linux')(
  'without one, it dies with the process that started it',
  async () => {
    // Plain JavaScript of the same module: the test may not rely on a build.
    const stripped = join(dir, 'starter.mjs');
    const { build } = await import('vite');
    await build({
      logLevel: 'silent',
      configFile: false,
      build: {
        ssr: join(import.meta.dirname, '../../src/setup/servers.ts'),
        outDir: dir,
        emptyOutDir: false,
        rolldownOptions: { output: { entryFileNames: 'starter.mjs' } },
      },
    });
    for (const end of ['exit', 'SIGTERM', 'SIGKILL'] as const) {
      const code = `
      const { startRedis } = await import(${JSON.stringify(stripped)});
      const server = await startRedis({ binary: ${JSON.stringify(older.server)}, dir: ${JSON.stringify(join(dir, end))} });
      console.log(server.pid);
      setTimeout(() => process.exit(0), ${end === 'exit' ? 0 : 60_000});`;
      const starter = spawn(process.execPath, ['--input-type=module', '-e', code], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const pid = await new Promise<number>((done) =>
        starter.stdout.once('data', (text: Buffer) => done(Number(text))),
      );
      expect(isAlive(pid) || end === 'exit').toBe(true);
      if (end !== 'exit') starter.kill(end);
      for (let left = 100; isAlive(pid) && left > 0; left -= 1) await pause(20);
      expect(isAlive(pid), end).toBe(false);
    }
  },
);
