/* A fleet of real servers, upgraded by worker processes of its own. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { workflowIdOf } from '../../src/contract.js';
import type { FleetRolloutInput } from '../../src/inputs/fleet-rollout.js';
import { startRedis, type RunningRedis } from '../../src/setup/servers.js';
import { binaryOf, killAll, spawnWorker, temporalFor, upgradeOf, type Upgrade } from '../support/world.js';

export interface Fleet {
  workers: ChildProcess[];
  /** `seed:0` to `seed:99` are on each source. */
  pairs: { name: string; source: RunningRedis; target: RunningRedis; file: string }[];
  /** Waves of so many targets each. */
  start(sizes: Record<string, number>, more?: Partial<FleetRolloutInput>): Promise<Upgrade>;
  startWorker(env?: Record<string, string>): Promise<ChildProcess>;
  /** Of each target: how many of its keys the target server holds, and where its applications were sent. */
  standing(): Promise<{ name: string; keys: number; sent: 'target' | 'source' }[]>;
}

/** How many servers start at a time. */
const AT_ONCE = 8;

export async function fleetOf(size: number): Promise<Fleet> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-fleet-'));
  const { connection, client, taskQueue, env: reach } = await temporalFor(folder);
  const name = `f${randomBytes(5).toString('hex')}`;
  const children = new Set<ChildProcess>();
  const pairs: Fleet['pairs'] = [];
  const handles: Upgrade['handle'][] = [];
  onTestFinished(async () => {
    for (const handle of handles) await handle.terminate('the test is over').catch(() => {});
    for (const pair of pairs)
      await client.workflow
        .getHandle(workflowIdOf('redisCopy', pair.name))
        .terminate('the test is over')
        .catch(() => {});
    await killAll(children);
    await Promise.all(pairs.flatMap(({ source, target }) => [source.stop(), target.stop()]));
    await connection.close();
    await rm(folder, { recursive: true, force: true });
  });
  for (let at = 0; at < size; at += AT_ONCE)
    pairs.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(AT_ONCE, size - at) }, async (_, n) => {
          const target = `${name}-${at + n}`;
          const begin = (side: string, binary: string) =>
            startRedis({ binary: binaryOf(binary), dir: join(folder, target, side), args: [] });
          const pair = {
            name: target,
            source: await begin('source', 'r70'),
            target: await begin('target', 'r80'),
            file: join(folder, target, 'url'),
          };
          const redis = new Redis(pair.source.port);
          for (let key = 0; key < 100; key += 1) await redis.set(`seed:${key}`, `${target} ${key}`);
          redis.disconnect();
          return pair;
        }),
      )),
    );
  const self: Fleet = {
    workers: [],
    pairs,
    async startWorker(more = {}) {
      const worker = await spawnWorker({ env: { HOME: folder, ...reach, ...more }, children });
      self.workers.push(worker);
      return worker;
    },
    async start(sizes, more = {}) {
      let taken = 0;
      const input: FleetRolloutInput = {
        name,
        defaults: {
          strategy: 'redisCopy',
          input: {
            writes: 'running',
            watch: '1s',
            onFailure: 'rollback',
            gates: { start: 'auto', cutover: 'auto' },
          },
        },
        waves: Object.entries(sizes).map(([wave, count]) => ({
          name: wave,
          targets: pairs.slice(taken, (taken += count)).map(({ name: target, source, target: to, file }) => ({
            input: {
              name: target,
              source: `redis://127.0.0.1:${source.port}`,
              target: `redis://127.0.0.1:${to.port}`,
              repoint: { kind: 'file', path: file },
            },
          })),
        })),
        gates: Object.fromEntries(['start', ...Object.keys(sizes).slice(1)].map((gate) => [gate, 'auto'])),
        ...more,
      };
      const id = workflowIdOf('fleetRollout', name);
      const handle = await client.workflow.start('fleetRollout', {
        taskQueue,
        workflowId: id,
        args: [input],
      });
      handles.push(handle);
      return upgradeOf(handle, id);
    },
    standing: () =>
      Promise.all(
        pairs.map(async ({ name: target, target: to, file }) => {
          const redis = new Redis(to.port);
          const values = await redis.mget(...Array.from({ length: 100 }, (_, key) => `seed:${key}`));
          redis.disconnect();
          const sent = await readFile(file, 'utf8').catch(() => '');
          return {
            name: target,
            keys: values.filter((value, key) => value === `${target} ${key}`).length,
            sent: sent.includes(`:${to.port}`) ? ('target' as const) : ('source' as const),
          };
        }),
      ),
  };
  return self;
}
