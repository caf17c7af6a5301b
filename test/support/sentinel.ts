/* Real Sentinels that watch a server, each with its configuration file in a folder of its own. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished } from 'vitest';
import { pairsOf } from '../../src/redis/info.js';
import { startRedis, type RunningRedis } from '../../src/setup/servers.js';
import type { Writer } from '../redis/replication/support.js';
import { anyServer } from '../redis/servers.js';

export const PRIMARY = 'mymaster';

export interface Sentinel extends RunningRedis {
  place: string;
  client: Redis;
  /** The port of the server that it names. */
  names(): Promise<number>;
  list(what: 'REPLICAS' | 'SENTINELS'): Promise<Record<string, string>[]>;
  config(): Promise<string>;
}

export interface Sentinels {
  all: Sentinel[];
  places: string[];
  spec: { kind: 'sentinel'; sentinels: string[]; primary: string };
  /** Ports that they name. */
  named(): Promise<number[]>;
}

/** `quick`: they look and act twenty times as often as usual (7.0 and later), so that what they would undo is undone soon. */
export async function startSentinels(on: {
  port: number;
  name?: string;
  count?: number;
  downAfterMs?: number;
  quick?: boolean;
}): Promise<Sentinels> {
  const { port, count = 3, downAfterMs = 5_000 } = on;
  const all = await Promise.all(Array.from({ length: count }, () => startSentinel(on.name)));
  for (const { client } of all) {
    if (on.quick) await client.call('SENTINEL', 'DEBUG', 'INFO-PERIOD', '500', 'PUBLISH-PERIOD', '100');
    await client.call('SENTINEL', 'MONITOR', PRIMARY, '127.0.0.1', port, Math.floor(count / 2) + 1);
    await client.call('SENTINEL', 'SET', PRIMARY, 'down-after-milliseconds', downAfterMs);
  }
  await expect
    .poll(
      async () =>
        (await Promise.all(all.map((sentinel) => sentinel.list('SENTINELS')))).map((peers) => peers.length),
      { timeout: 30_000, interval: 100 },
    )
    .toEqual(all.map(() => count - 1));
  const places = all.map(({ place }) => place);
  return {
    all,
    places,
    spec: { kind: 'sentinel', sentinels: places, primary: PRIMARY },
    named: () => Promise.all(all.map((sentinel) => sentinel.names())),
  };
}

/** One that watches nothing yet. */
export async function startSentinel(name?: string): Promise<Sentinel> {
  const dir = await mkdtemp(join(tmpdir(), 'ferry-sentinel-'));
  const { server } = name === undefined ? anyServer() : anyServer(name);
  const running = await startRedis({ binary: server, dir, args: ['--sentinel'] });
  const client = new Redis({
    port: running.port,
    protocol: 2,
    disableClientInfo: true,
    enableReadyCheck: false,
  });
  client.on('error', () => {});
  onTestFinished(async () => {
    client.disconnect();
    await running.kill9();
    await rm(dir, { recursive: true, force: true });
  });
  return {
    ...running,
    place: `127.0.0.1:${running.port}`,
    client,
    async names() {
      const at = (await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', PRIMARY)) as string[];
      return Number(at[1]);
    },
    async list(what) {
      const entries = (await client.call('SENTINEL', what, PRIMARY)) as unknown[];
      return entries.map((entry) => Object.fromEntries(pairsOf(entry)));
    },
    config: () => readFile(join(dir, 'redis.conf'), 'utf8'),
  };
}

/** An application that asks the Sentinels, and appends numbers to a list. */
export function sentinelWriter({ all }: Sentinels, key: string): Writer {
  const client = new Redis({
    sentinels: all.map(({ port }) => ({ host: '127.0.0.1', port })),
    name: PRIMARY,
    retryStrategy: () => 2,
    sentinelRetryStrategy: () => 10,
    maxRetriesPerRequest: null,
    disableClientInfo: true,
    protocol: 2,
  });
  client.on('error', () => {});
  const errors: string[] = [];
  let [acknowledged, longest, stop] = [0, 0, false];
  const done = (async () => {
    while (!stop) {
      const began = performance.now();
      try {
        await client.rpush(key, acknowledged);
        acknowledged += 1;
      } catch (error) {
        errors.push(String(error));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      longest = Math.max(longest, performance.now() - began);
    }
    client.disconnect();
  })();
  return {
    key,
    async end() {
      stop = true;
      await done;
      return { acknowledged, errors, longest };
    },
  };
}
