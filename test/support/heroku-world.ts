/* The emulated Heroku, a worker process that is told of it, and a client: what an upgrade at Heroku is tried on. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { inject, onTestFinished } from 'vitest';
import { workflowIdOf, type Strategy } from '../../src/contract.js';
import { HEROKU_CLI, herokuHere } from '../heroku/support.js';
import type { Heroku, HerokuOptions } from './heroku/index.js';
import type { Snapshot } from './heroku/snapshot.js';
import { killAll, spawnWorker, temporalFor, upgradeOf, type Upgrade } from './world.js';

/** The real CLI; null where there is none, and then there is nothing to try. */
export const CLI: string | null = HEROKU_CLI ?? inject('herokuCli');

export interface HerokuWorld {
  heroku: Heroku;
  client: Client;
  folder: string;
  taskQueue: string;
  name: string;
  env: Record<string, string>;
  worker: ChildProcess | null;
  startWorker(env?: Record<string, string>): Promise<ChildProcess>;
  /** By the JSON that a person types into the Temporal UI: no `name`, or its own. */
  start(strategy: Strategy, input: Record<string, unknown>): Promise<Upgrade>;
  /** Of each app, to be compared before and after. */
  apps(): Record<string, Snapshot>;
}

export interface HerokuWorldOptions extends Omit<HerokuOptions, 'servers'> {
  /** Plan of redis-curly-1, and the version that it runs before. */
  plan?: string;
  version?: string;
  /** Of the worker. */
  env?: Record<string, string>;
  /** Default: one web and two workers on shop; shop-canary the same with one, in maintenance mode. */
  canary?: boolean;
  worker?: boolean;
  /** The apps run in a Private Space. */
  space?: boolean;
}

/**
 * An app `shop` that pays for `redis-curly-1`, and `shop-canary` that uses it too, under another name; with a worker that is ready. Ends with
 * the running test.
 */
export async function herokuWorld(options: HerokuWorldOptions = {}): Promise<HerokuWorld> {
  const {
    plan = 'premium-0',
    version = '7.0',
    canary = true,
    env: more = {},
    worker = true,
    space = false,
    ...rest
  } = options;
  const heroku = await herokuHere(rest);
  heroku.createApp({
    name: 'shop',
    space,
    vars: { SHOP_NAME: 'The shop' },
    formation: [
      { type: 'web', quantity: 2, size: 'Standard-2X' },
      { type: 'worker', quantity: 2 },
      { type: 'mailer', quantity: 0 },
    ],
  });
  await heroku.createRedis({ app: 'shop', plan, version, name: 'redis-curly-1' });
  if (canary) {
    heroku.createApp({ name: 'shop-canary', space });
    heroku.attach({ app: 'shop-canary', addon: 'redis-curly-1', as: 'CACHE' });
  }
  const folder = await mkdtemp(join(tmpdir(), 'ferry-heroku-world-'));
  const { connection, client, taskQueue, env: reach } = await temporalFor(folder);
  const env = {
    ...reach,
    HOME: folder,
    ...heroku.env,
    ...(CLI === null ? {} : { FERRY_HEROKU_CLI: CLI }),
    ...more,
  };
  const children = new Set<ChildProcess>();
  const handles: WorkflowHandle[] = [];
  onTestFinished(async () => {
    for (const handle of handles) await handle.terminate('the test is over').catch(() => {});
    await killAll(children);
    await connection.close();
    await rm(folder, { recursive: true, force: true });
  });
  const self: HerokuWorld = {
    heroku,
    client,
    folder,
    taskQueue,
    name: `t${randomBytes(5).toString('hex')}`,
    env,
    worker: null,
    async startWorker(again = {}) {
      self.worker = await spawnWorker({ env: { ...env, ...again }, children });
      return self.worker;
    },
    async start(strategy, input) {
      const named = { name: self.name, ...input };
      const id = workflowIdOf(strategy, named.name);
      const handle = await client.workflow.start(strategy, { taskQueue, workflowId: id, args: [named] });
      handles.push(handle);
      return upgradeOf(handle, id);
    },
    apps: () =>
      Object.fromEntries(
        ['shop', ...(canary ? ['shop-canary'] : [])].map((app) => [app, heroku.snapshot(app)]),
      ),
  };
  if (worker) await self.startWorker();
  return self;
}
