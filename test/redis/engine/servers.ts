/** Real servers for the engine's tests. The only place that knows where their binaries come from. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, inject } from 'vitest';
import type { ServerAddress } from '../../../src/redis/address.js';
import {
  startRedis,
  type RedisOptions as ServerOptions,
  type RunningRedis,
} from '../../../src/setup/servers.js';

export interface TestServer extends RunningRedis {
  name: string;
  address: ServerAddress;
  /** An independent client: ioredis, not the engine's own. */
  client(options?: { db?: number; password?: string }): Redis;
  /** The same folder and port again, after stop or kill9. */
  again(): Promise<TestServer>;
  rss(): number;
}

/** By name: `r70` is a Redis 7.0, `v9` a Valkey 9. */
export function binaryOf(name: string): string | null {
  const folder = process.env['FERRY_TEST_REDIS_DIR'];
  if (folder) {
    const binary = join(folder, name, 'bin', 'redis-server');
    return existsSync(binary) ? binary : null;
  }
  return inject('redisServers').find((server) => server.name === name)?.server ?? null;
}

const ALL = ['r60', 'r62', 'r70', 'r72', 'r74', 'r80', 'r82', 'v81', 'v9'];

/** Those of the wanted versions that are on this machine. */
export function versionsHere(wanted: readonly string[] = ALL): string[] {
  return wanted.filter((name) => binaryOf(name) !== null);
}

export function pairsHere(wanted: readonly (readonly [string, string])[]): (readonly [string, string])[] {
  return wanted.filter(([a, b]) => binaryOf(a) !== null && binaryOf(b) !== null);
}

const folders: string[] = [];
const servers: RunningRedis[] = [];
const clients: Redis[] = [];

afterAll(async () => {
  for (const client of clients) client.disconnect();
  await Promise.all(servers.map((server) => server.kill9()));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ferry-engine-'));
  folders.push(folder);
  return folder;
}

export async function server(name: string, options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const binary = binaryOf(name);
  if (binary === null) throw new Error(`no ${name} here`);
  const settings = { binary, dir: options.dir ?? temporaryFolder(), ...options };
  const running = await startRedis(settings);
  servers.push(running);
  const address: ServerAddress = { host: '127.0.0.1', port: running.port };
  return {
    ...running,
    name,
    address,
    client(more = {}) {
      const client = new Redis({ ...more, host: '127.0.0.1', port: running.port, maxRetriesPerRequest: 1 });
      client.on('error', () => {});
      clients.push(client);
      return client;
    },
    again: () => server(name, { ...settings, port: running.port }),
    rss: () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${running.pid}/status`, 'utf8'))?.[1] ?? 0) * 1024,
  };
}
