/* Real servers for the tests of src/redis. The only place that knows where their programs are. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { startRedis, type RedisOptions, type RunningRedis } from '../../src/setup/servers.js';

const NAMES = ['r60', 'r62', 'r70', 'r72', 'r74', 'r80', 'r82', 'v81', 'v9'];

interface Installed {
  name: string;
  server: string;
  cli: string | null;
  tls: boolean;
}

function inFolder(folder: string): Installed[] {
  return NAMES.flatMap((name) => {
    const [server, cli] = [join(folder, name, 'bin', 'redis-server'), join(folder, name, 'bin', 'redis-cli')];
    if (!existsSync(server)) return [];
    return [{ name, server, cli: existsSync(cli) ? cli : null, tls: !['r62', 'r82', 'v9'].includes(name) }];
  });
}

const folder = process.env['FERRY_TEST_REDIS_DIR'];

/** Every server there is here, oldest first. */
export const SERVERS: readonly Installed[] = folder ? inFolder(folder) : inject('redisServers');

/** One of a version, or undefined where it isn't installed. */
export function installed(name: string): Installed | undefined {
  return SERVERS.find((server) => server.name === name);
}

/** The first there is; tests that don't care about the version use it. */
export function anyServer(...preferred: string[]): Installed {
  const server = preferred.map(installed).find(Boolean) ?? installed('r70') ?? SERVERS.at(-1);
  if (!server) throw new Error('no Redis server here: set FERRY_TEST_REDIS_DIR');
  return server;
}

export interface TestServer extends RunningRedis {
  host: string;
  /** A plain client, closed with the test. */
  client(database?: number): Redis;
}

/** Starts one; with `stopAfter: 'test'` (default) it ends with the running test. */
export async function serve(
  options: Omit<RedisOptions, 'binary' | 'dir'> & { name?: string; keep?: boolean } = {},
): Promise<TestServer> {
  const { name, keep = false, ...rest } = options;
  const { server } = name ? anyServer(name) : anyServer();
  const dir = await mkdtemp(join(tmpdir(), 'ferry-redis-'));
  const running = await startRedis({ binary: server, dir, ...rest });
  const clients: Redis[] = [];
  const stop = async (): Promise<void> => {
    for (const client of clients) client.disconnect();
    await running.stop();
    await rm(dir, { recursive: true, force: true });
  };
  if (!keep) onTestFinished(stop);
  return {
    ...running,
    stop,
    host: '127.0.0.1',
    client(database = 0) {
      const client = new Redis({
        host: '127.0.0.1',
        port: running.port,
        db: database,
        protocol: 2,
        disableClientInfo: true,
        retryStrategy: null,
      });
      client.on('error', () => undefined);
      clients.push(client);
      return client;
    },
  };
}
