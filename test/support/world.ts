/* Two real servers, a worker process of its own, and a client: what an upgrade is tried on. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { Redis } from 'ioredis';
import { inject } from 'vitest';
import {
  queries,
  signals,
  updates,
  workflowIdOf,
  type Phase,
  type Receipt,
  type State,
  type Strategy,
} from '../../src/contract.js';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import type { RedisSwitchoverInput } from '../../src/inputs/redis-switchover.js';
import { startRedis, type RunningRedis } from '../../src/setup/servers.js';

export interface World {
  folder: string;
  client: Client;
  taskQueue: string;
  source: RunningRedis;
  target: RunningRedis;
  sourceUrl: string;
  targetUrl: string;
  env: Record<string, string>;
  /** A file that says where the applications' Redis is. */
  addressFile: string;
  name: string;
  startWorker(env?: Record<string, string>): Promise<ChildProcess>;
  worker: ChildProcess | null;
  /** Connections that are closed with the world. */
  redis(side: 'source' | 'target', db?: number): Redis;
  start(input?: Partial<RedisCopyInput>): Promise<Upgrade>;
  startSwitchover(input?: Partial<RedisSwitchoverInput>): Promise<Upgrade>;
  close(): Promise<void>;
}

export interface Upgrade {
  handle: WorkflowHandle;
  id: string;
  state(): Promise<State>;
  until(what: Phase | ((state: State) => boolean), ms?: number): Promise<State>;
  approve(gate: string, by?: string): Promise<string>;
  say<Name extends keyof typeof updates>(name: Name, message: object): Promise<string>;
  signal<Name extends keyof typeof signals>(name: Name, message: object): Promise<void>;
  /** The receipt, however it ended. */
  ended(ms?: number): Promise<Receipt>;
  /** The failure's type and message, when it failed without a receipt. */
  failure(): Promise<{ type: string; message: string }>;
}

export interface WorldOptions {
  source?: string;
  target?: string;
  sourceArgs?: string[];
  targetArgs?: string[];
  password?: string;
  env?: Record<string, string>;
  /** A Temporal server other than the one that all tests share, and the queue that the docs name. */
  temporal?: { address: string; taskQueue: string };
}

export function binaryOf(name: string): string {
  const servers = inject('redisServers');
  const found = servers.find((server) => server.name === name);
  if (!found)
    throw new Error(`no ${name} here; there are ${servers.map((server) => server.name).join(', ')}`);
  return found.server;
}

export async function world(options: WorldOptions = {}): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-world-'));
  const auth = options.password === undefined ? [] : ['--requirepass', options.password];
  const login = options.password === undefined ? '' : `:${encodeURIComponent(options.password)}@`;
  const [source, target] = await Promise.all([
    startRedis({
      binary: binaryOf(options.source ?? 'r70'),
      dir: join(folder, 'source'),
      args: [...auth, ...(options.sourceArgs ?? [])],
    }),
    startRedis({
      binary: binaryOf(options.target ?? 'r80'),
      dir: join(folder, 'target'),
      args: [...auth, ...(options.targetArgs ?? [])],
    }),
  ]);
  const { connection, client, taskQueue, env: reach } = await temporalFor(folder, options.temporal);
  const urls = {
    source: `redis://${login}127.0.0.1:${source.port}`,
    target: `redis://${login}127.0.0.1:${target.port}`,
  };
  const env = {
    ...reach,
    OLD_REDIS_URL: urls.source,
    NEW_REDIS_URL: urls.target,
    ...options.env,
  };
  const children = new Set<ChildProcess>();
  const connections = new Set<Redis>();
  const handles: WorkflowHandle[] = [];
  async function begin(strategy: Strategy, input: { name: string }): Promise<Upgrade> {
    const id = workflowIdOf(strategy, input.name);
    const handle = await client.workflow.start(strategy, { taskQueue, workflowId: id, args: [input] });
    handles.push(handle);
    return upgradeOf(handle, id);
  }
  const self: World = {
    folder,
    client,
    taskQueue,
    source,
    target,
    sourceUrl: urls.source,
    targetUrl: urls.target,
    env,
    addressFile: join(folder, 'redis-url'),
    name: `t${randomBytes(5).toString('hex')}`,
    worker: null,
    async startWorker(more = {}) {
      self.worker = await spawnWorker({ env: { HOME: folder, ...env, ...more }, children });
      return self.worker;
    },
    redis(side, db = 0) {
      const client = new Redis(`${urls[side]}/${db}`, { lazyConnect: false, maxRetriesPerRequest: null });
      client.on('error', () => {});
      connections.add(client);
      return client;
    },
    start: (input = {}) =>
      begin('redisCopy', {
        name: self.name,
        source: { env: 'OLD_REDIS_URL' },
        target: { env: 'NEW_REDIS_URL' },
        writes: 'running',
        watch: '1s',
        repoint: { kind: 'file', path: self.addressFile },
        ...input,
      } as RedisCopyInput),
    startSwitchover: (input = {}) =>
      begin('redisSwitchover', {
        name: self.name,
        source: { env: 'OLD_REDIS_URL' },
        target: { env: 'NEW_REDIS_URL' },
        soak: '2s',
        measureFor: '1s',
        // Each has its own tests.
        backup: false,
        canary: false,
        repoint: { kind: 'file', path: self.addressFile },
        ...input,
      }),
    async close() {
      for (const handle of handles) await handle.terminate('the test is over').catch(() => {});
      await killAll(children);
      for (const client of connections) client.disconnect();
      // Those of now: a test may have started one again.
      await Promise.all([self.source.stop(), self.target.stop(), connection.close()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
  return self;
}

/** A client, and what a worker is told of Temporal: the server that all tests share and a queue of its own, unless others are given. */
export async function temporalFor(folder: string, given?: { address: string; taskQueue: string }) {
  const address = given?.address ?? inject('temporalAddress');
  const taskQueue = given?.taskQueue ?? `test-${randomBytes(6).toString('hex')}`;
  const connection = await Connection.connect({ address });
  return {
    connection,
    client: new Client({ connection }),
    taskQueue,
    env: {
      TEMPORAL_ADDRESS: address,
      FERRY_TASK_QUEUE: taskQueue,
      FERRY_HOME: join(folder, 'home'),
      FERRY_LOG: 'ERROR',
    },
  };
}

/** A worker process of its own that is ready; it is in `children` for as long as it lives. */
export async function spawnWorker({
  env,
  children,
}: {
  env: Record<string, string>;
  children: Set<ChildProcess>;
}): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(process.env['FERRY_TEST_DIST'] ?? 'dist', 'worker.js')], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.add(child);
  child.on('exit', () => children.delete(child));
  let said = '';
  await new Promise<void>((ready, fail) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('worker ready')) ready();
      else if (process.env['FERRY_TEST_LOUD']) process.stderr.write(chunk);
    });
    child.on('exit', (code) => fail(new Error(`the worker ended (${code}): ${said}`)));
  });
  return child;
}

/** Ends them, and returns when they have gone. */
export async function killAll(children: ReadonlySet<ChildProcess>): Promise<void> {
  for (const child of children) {
    child.kill('SIGKILL');
    await new Promise((gone) =>
      child.exitCode === null && child.signalCode === null ? child.once('exit', gone) : gone(undefined),
    );
  }
}

export function upgradeOf(handle: WorkflowHandle, id: string): Upgrade {
  const self: Upgrade = {
    handle,
    id,
    state: () => handle.query(queries.state),
    async until(what, ms = 90_000) {
      const reached = typeof what === 'function' ? what : (state: State) => state.phase === what;
      const limit = Date.now() + ms;
      for (;;) {
        const state = await handle.query(queries.state).catch(() => null);
        if (state && reached(state)) return state;
        if (Date.now() > limit)
          throw new Error(`waited ${ms} ms for ${String(what)}; it is ${JSON.stringify(state, null, 1)}`);
        await sleep(50);
      }
    },
    async approve(gate, by = 'ada') {
      await self.until((state) =>
        state.gates.some((candidate) => candidate.name === gate && candidate.status === 'open'),
      );
      return handle.executeUpdate(updates.approve, { args: [{ gate, by }] });
    },
    say: (name, message) => handle.executeUpdate(updates[name] as never, { args: [message] } as never),
    signal: (name, message) => handle.signal(signals[name] as never, ...([message] as never)),
    async ended(ms = 90_000) {
      try {
        return (await within(ms, handle.result())) as Receipt;
      } catch (error) {
        if (error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure) {
          const receipt = error.cause.details?.[0];
          if (receipt && typeof receipt === 'object' && 'outcome' in receipt) return receipt as Receipt;
          throw new Error(`it failed as ${error.cause.type}: ${error.cause.message}`);
        }
        throw error;
      }
    },
    async failure() {
      try {
        await within(60_000, handle.result());
      } catch (error) {
        if (error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure)
          return { type: error.cause.type ?? '', message: error.cause.message };
        throw error;
      }
      throw new Error('it did not fail');
    },
  };
  return self;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  return Promise.race([
    promise,
    new Promise<never>((_, fail) => (timer = setTimeout(() => fail(new Error(`not within ${ms} ms`)), ms))),
  ]).finally(() => clearTimeout(timer));
}

/** An application: writes unique keys, as fast as it is told to, where the file says; remembers what was acknowledged. */
export function application(input: { world: Pick<World, 'sourceUrl' | 'addressFile'>; perSecond?: number }) {
  const { world: w, perSecond = 500 } = input;
  const acknowledged = new Map<string, string>();
  let running = true;
  let errors = 0;
  let longest = 0;
  let url = w.sourceUrl;
  const connect = () => {
    const client = new Redis(url, {
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      retryStrategy: () => null,
      lazyConnect: true,
    });
    client.on('error', () => {});
    return client;
  };
  const loop = (async () => {
    let client = connect();
    await client.connect().catch(() => {});
    for (let n = 0; running; n += 1) {
      const [key, value] = [`app:${n}`, randomBytes(8).toString('hex')];
      const began = Date.now();
      for (;;) {
        try {
          await client.set(key, value);
          acknowledged.set(key, value);
          break;
        } catch {
          errors += 1;
          client.disconnect();
          // Without the file it is where it was deployed for.
          url = (await readFile(w.addressFile, 'utf8').catch(() => w.sourceUrl)).trim() || url;
          await sleep(5);
          if (!running) break;
          client = connect();
          await client.connect().catch(() => {});
        }
      }
      longest = Math.max(longest, Date.now() - began);
      if (n % Math.ceil(perSecond / 200) === 0) await sleep(5);
    }
    client.disconnect();
  })();
  return {
    acknowledged,
    get errors() {
      return errors;
    },
    get longestMs() {
      return longest;
    },
    get url() {
      return url;
    },
    async stop() {
      running = false;
      await loop;
    },
    /** Acknowledged writes that are not there. */
    async missing(client: Redis): Promise<string[]> {
      const lost: string[] = [];
      const keys = [...acknowledged.keys()];
      for (let at = 0; at < keys.length; at += 1000) {
        const part = keys.slice(at, at + 1000);
        const values = await client.mget(part);
        for (const [index, key] of part.entries())
          if (values[index] !== acknowledged.get(key)) lost.push(key);
      }
      return lost;
    },
  };
}
