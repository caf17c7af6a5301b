/* A namespace of a real cluster, the chart in it, and applications that write through a Service: what a Helm upgrade is tried on. */
import { execFile, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished } from 'vitest';
import { workflowIdOf, type Strategy } from '../../src/contract.js';
import { killAll, sleep, spawnWorker, temporalFor, upgradeOf, type Upgrade } from './world.js';

/** What tests of the cluster run against; null where there is none. */
export const CLUSTER = inject('cluster');

export const CHART = resolve('test/cluster/charts/redis');
/** What images there are, oldest first. */
export const R60 = '6.0.16';
export const R70 = '7.0.15';
export const R80 = '8.0.2';

export interface ClusterWorld {
  namespace: string;
  env: Record<string, string>;
  client: Client;
  folder: string;
  taskQueue: string;
  name: string;
  worker: ChildProcess | null;
  startWorker(env?: Record<string, string>): Promise<ChildProcess>;
  kubectl(args: string[], input?: string): Promise<string>;
  helm(args: string[]): Promise<string>;
  /** The chart, until its pods are ready. */
  install(values?: Record<string, unknown>, release?: string): Promise<void>;
  json<T>(...what: string[]): Promise<T>;
  /** A connection to a pod, or through a Service. */
  redis(
    where: { pod: string } | { service: string },
    options?: { password?: string | undefined },
  ): Promise<Redis>;
  writers(options?: { service?: string; clients?: number; password?: string | undefined }): Promise<Writers>;
  /** By the JSON that a person types: what isn't given is the namespace and the chart of this world. */
  start(strategy: Strategy, input: Record<string, unknown>): Promise<Upgrade>;
  /** Its rehearsal, of what is here as the staging target. */
  rehearse(strategy: Strategy, input: Record<string, unknown>): Promise<Upgrade>;
  /** The same as it is: of what isn't a release. */
  startCopy(input: Record<string, unknown> & { name: string }): Promise<Upgrade>;
}

export interface Writers {
  /** Acknowledged so far: key → value. */
  acknowledged: Map<string, string>;
  /** Errors that clients were told, by message. */
  errors: Map<string, number>;
  /** Longest time between two acknowledged writes of one client, in milliseconds. */
  longestGap(): number;
  /** Until so many more are acknowledged. */
  more(count: number, ms?: number): Promise<void>;
  stop(): Promise<void>;
  /** Acknowledged writes that a server lacks, or holds with another value. */
  missing(redis: Redis): Promise<string[]>;
}

export async function clusterWorld(): Promise<ClusterWorld> {
  if (!CLUSTER) throw new Error('there is no cluster');
  const namespace = `t-${randomBytes(5).toString('hex')}`;
  const folder = await mkdtemp(join(tmpdir(), 'ferry-cluster-'));
  const programs = { PATH: `${CLUSTER.bin}:${process.env['PATH'] ?? ''}`, KUBECONFIG: CLUSTER.kubeconfig };
  const run = (program: string, args: string[], input?: string): Promise<string> =>
    new Promise((done, fail) => {
      const child = execFile(
        program,
        args,
        { env: { ...process.env, ...programs }, maxBuffer: 1 << 26 },
        (error, stdout, stderr) => (error ? fail(new Error(`${error.message}\n${stderr}`)) : done(stdout)),
      );
      if (input !== undefined) child.stdin?.end(input);
    });
  const kubectl = (args: string[], input?: string) => run('kubectl', ['-n', namespace, ...args], input);
  const helm = (args: string[]) => run('helm', ['-n', namespace, ...args]);
  const { connection, client, taskQueue, env: reach } = await temporalFor(folder);
  const env = {
    ...reach,
    ...programs,
  };
  const children = new Set<ChildProcess>();
  const connections = new Set<Redis>();
  const handles: WorkflowHandle[] = [];
  onTestFinished(async () => {
    for (const handle of handles) await handle.terminate('the test is over').catch(() => {});
    await killAll(children);
    for (const redis of connections) redis.disconnect();
    await connection.close();
    await kubectl(['delete', 'namespace', namespace, '--wait=false']).catch(() => '');
    await rm(folder, { recursive: true, force: true });
  });
  await run('kubectl', ['create', 'namespace', namespace]);

  const addressOf = async (where: { pod: string } | { service: string }): Promise<string> =>
    'pod' in where
      ? kubectl(['get', 'pod', where.pod, '-o', 'jsonpath={.status.podIP}'])
      : kubectl(['get', 'service', where.service, '-o', 'jsonpath={.spec.clusterIP}']);
  const open = (host: string, password?: string): Redis => {
    const redis = new Redis({
      host,
      port: 6379,
      ...(password === undefined ? {} : { password }),
      retryStrategy: () => 5,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      lazyConnect: true,
      connectTimeout: 2_000,
    });
    redis.on('error', () => {});
    connections.add(redis);
    return redis;
  };
  const begin = async (
    strategy: Strategy,
    input: Record<string, unknown> & { name: string },
  ): Promise<Upgrade> => {
    const workflowId = workflowIdOf(strategy, input.name);
    const handle = await client.workflow.start(strategy, { taskQueue, workflowId, args: [input] });
    handles.push(handle);
    return upgradeOf(handle, workflowId);
  };
  const self: ClusterWorld = {
    namespace,
    env,
    client,
    folder,
    taskQueue,
    name: `t${randomBytes(5).toString('hex')}`,
    worker: null,
    kubectl,
    helm,
    async startWorker(more = {}) {
      self.worker = await spawnWorker({ env: { HOME: folder, ...env, ...more }, children });
      return self.worker;
    },
    async install(values = {}, release = 'redis') {
      const file = join(folder, `${release}.json`);
      await writeFile(file, JSON.stringify(values));
      await helm(['install', release, CHART, '-f', file]);
      await kubectl(['rollout', 'status', `statefulset/${release}`, '--timeout', '180s']);
    },
    json: async <T>(...what: string[]) => JSON.parse(await kubectl(['get', ...what, '-o', 'json'])) as T,
    async redis(where, { password } = {}) {
      const redis = open(await addressOf(where), password);
      await redis.connect().catch(() => {});
      // A Service leads to a pod that has just become ready a moment later.
      for (const limit = Date.now() + 15_000; ; await sleep(50))
        try {
          await redis.ping();
          return redis;
        } catch (error) {
          if (Date.now() > limit) throw error;
        }
    },
    async writers({ service = 'redis', clients = 4, password } = {}) {
      const host = await addressOf({ service });
      // An application would have been there for long: the Service leads to its pod.
      (await self.redis({ service }, { password })).disconnect();
      return writing(Array.from({ length: clients }, () => open(host, password)));
    },
    start: (strategy, input) =>
      begin(strategy, { name: self.name, namespace, release: 'redis', chart: CHART, ...input }),
    rehearse: (strategy, input) => {
      const staging = `${self.name}-staging`;
      handles.push(client.workflow.getHandle(workflowIdOf(strategy, staging)));
      const whole = { name: staging, namespace, release: 'redis', chart: CHART, ...input };
      return begin('rehearsal', { name: self.name, strategy, input: whole, gates: { start: 'auto' } });
    },
    startCopy: (input) => begin('redisCopy', input),
  };
  return self;
}

/** Each client writes one key after another, each key once: what was not acknowledged is not known, and never repeated. */
function writing(clients: Redis[]): Writers {
  const acknowledged = new Map<string, string>();
  const errors = new Map<string, number>();
  let running = true;
  let longest = 0;
  const loops = clients.map(async (redis, client) => {
    let last = 0;
    for (let n = 0; running; n += 1) {
      const [key, value] = [`w:${client}:${n}`, `value ${n}`];
      try {
        if (redis.status === 'wait' || redis.status === 'end') await redis.connect();
        const said = await redis.set(key, value);
        if (said === 'OK') acknowledged.set(key, value);
        const now = performance.now();
        if (last > 0) longest = Math.max(longest, now - last);
        last = now;
      } catch (error) {
        const message =
          error instanceof Error ? error.message.split(' ').slice(0, 6).join(' ') : String(error);
        errors.set(message, (errors.get(message) ?? 0) + 1);
        await sleep(5);
      }
      // Some hundred a second for each: enough to meet every moment, and the machine is left to others.
      await sleep(2);
    }
  });
  return {
    acknowledged,
    errors,
    longestGap: () => Math.round(longest),
    async more(count, ms = 30_000) {
      const then = acknowledged.size;
      await expect.poll(() => acknowledged.size, { timeout: ms }).toBeGreaterThan(then + count);
    },
    async stop() {
      running = false;
      await Promise.all(loops);
    },
    async missing(redis) {
      const lacks: string[] = [];
      const all = [...acknowledged];
      for (let at = 0; at < all.length; at += 1_000) {
        const some = all.slice(at, at + 1_000);
        const values = await redis.mget(some.map(([key]) => key));
        some.forEach(([key, value], index) => {
          if (values[index] !== value) lacks.push(key);
        });
      }
      return lacks;
    },
  };
}
