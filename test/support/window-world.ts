/* Several stores that move in one window: two Redis, a PostgreSQL and, where it is asked for, a store at an emulated Heroku; under writers. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished } from 'vitest';
import { workflowIdOf } from '../../src/contract.js';
import type { ProviderMoveInput } from '../../src/inputs/provider-move.js';
import { startRedis } from '../../src/setup/servers.js';
import { customer } from '../heroku/support.js';
import { herokuWorld } from './heroku-world.js';
import { application as rows, expectOrdinary, objectsIn, SMALL } from './postgres-world.js';
import { query, type Servers } from './postgres.js';
import {
  application as keys,
  binaryOf,
  killAll,
  spawnWorker,
  temporalFor,
  upgradeOf,
  type Upgrade,
} from './world.js';

type StoreInput = NonNullable<ProviderMoveInput['stores']>[number];

export type Side = 'old' | 'new';

/** A store with its application. */
export interface MovingStore {
  name: string;
  store: StoreInput;
  /** Where the application was sent last. */
  serves(): Promise<Side>;
  /** Ends the application. */
  stop(): Promise<void>;
  /** Ends the application. Acknowledged writes that are not on that side. */
  missing(side: Side): Promise<number>;
  /** So many were acknowledged. */
  acknowledged(): number;
  /** The other server is as if nothing had been: where it went back, or was not begun. */
  expectUntouched(): Promise<void>;
}

export interface WindowWorld {
  name: string;
  folder: string;
  stores: Record<string, MovingStore>;
  worker: ChildProcess | null;
  startWorker(): Promise<ChildProcess>;
  start(input?: Partial<ProviderMoveInput>): Promise<Upgrade>;
  /** The same as a rehearsal. */
  rehearse(more?: object): Promise<Upgrade>;
  /** The upgrades of the stores, in order. */
  upgrades(): Upgrade[];
  /** Answers the next question of a store. */
  answer(store: string, decide: { choice: string }): Promise<void>;
  /** `ferry recover`, to its end. */
  recover(upgrade: Upgrade): Promise<void>;
  /** Every store serves from that side, with every acknowledged write. */
  expectAll(side: Side): Promise<void>;
}

/** Of `names`: "sessions" (redisSwitchover, 7.0 to Valkey 8), "cache" (redisCopy, 7.0 to 8.0), "orders" (PostgreSQL), "queue" (Heroku). */
export async function windowWorld(
  names: readonly string[],
  { postgres }: { postgres?: Servers } = {},
): Promise<WindowWorld> {
  const atHeroku = names.includes('queue')
    ? await herokuWorld({ trustsSelfSigned: true, worker: false })
    : null;
  const folder = await mkdtemp(join(tmpdir(), 'ferry-window-'));
  const { connection, client, taskQueue, env } = await temporalFor(folder);
  const name = `t${randomBytes(5).toString('hex')}`;
  const children = new Set<ChildProcess>();
  const ids = [workflowIdOf('providerMove', name)];
  const ends: (() => Promise<unknown>)[] = [];
  onTestFinished(async () => {
    for (const id of ids)
      await client.workflow
        .getHandle(id)
        .terminate('the test is over')
        .catch(() => {});
    await killAll(children);
    await Promise.all(ends.map((end) => end()));
    await connection.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function redisPair(what: 'sessions' | 'cache'): Promise<MovingStore> {
    const begin = (side: string, binary: string) =>
      startRedis({ binary: binaryOf(binary), dir: join(folder, what, side), args: [] });
    const [source, target] = await Promise.all([
      begin('old', 'r70'),
      begin('new', what === 'sessions' ? 'v81' : 'r80'),
    ]);
    const url = { old: `redis://127.0.0.1:${source.port}`, new: `redis://127.0.0.1:${target.port}` };
    const addressFile = join(folder, `${what}-url`);
    const redis = { old: new Redis(url.old), new: new Redis(url.new) };
    for (let key = 0; key < 300; key += 1) await redis.old.set(`seed:${key}`, `${what} ${key}`);
    const app = keys({ world: { sourceUrl: url.old, addressFile }, perSecond: 200 });
    ends.push(
      () => app.stop(),
      async () => {
        redis.old.disconnect();
        redis.new.disconnect();
      },
      () => source.stop(),
      () => target.stop(),
    );
    const shared = {
      name: `${name}-${what}`,
      source: url.old,
      target: url.new,
      repoint: { kind: 'file' as const, path: addressFile },
    };
    return {
      name: shared.name,
      store:
        what === 'cache'
          ? { strategy: 'redisCopy', input: { ...shared, writes: 'running', watch: '1s' } }
          : {
              strategy: 'redisSwitchover',
              input: { ...shared, soak: '2s', measureFor: '1s', backup: false, canary: false },
            },
      serves: async () =>
        (await readFile(addressFile, 'utf8').catch(() => '')).includes(`:${target.port}`) ? 'new' : 'old',
      stop: () => app.stop(),
      async missing(side) {
        await app.stop();
        const seeds = await redis[side].mget(Array.from({ length: 300 }, (_, key) => `seed:${key}`));
        return (
          (await app.missing(redis[side])).length +
          seeds.filter((value, key) => value !== `${what} ${key}`).length
        );
      },
      acknowledged: () => app.acknowledged.size,
      async expectUntouched() {
        expect(await redis.new.dbsize()).toBe(0);
        for (const side of [redis.new, redis.old])
          expect(((await side.call('ROLE')) as unknown[])[0]).toBe('master');
      },
    };
  }

  async function database(s: Servers): Promise<MovingStore> {
    const url = { old: await s.create('old'), new: await s.create('new') };
    await query(url.old, SMALL);
    const addressFile = join(folder, 'orders-url');
    const app = rows({ source: url.old, addressFile });
    ends.push(() => app.stop());
    const input = {
      name: `${name}-orders`,
      source: { env: 'OLD_DATABASE_URL' },
      target: { env: 'NEW_DATABASE_URL' },
      repoint: { kind: 'file' as const, path: addressFile },
      soak: '1s',
    };
    Object.assign(env, { FERRY_POSTGRES_BIN: s.bin, OLD_DATABASE_URL: url.old, NEW_DATABASE_URL: url.new });
    return {
      name: input.name,
      store: { strategy: 'postgresMove', input },
      serves: async () =>
        (await readFile(addressFile, 'utf8').catch(() => '')).trim() === url.new ? 'new' : 'old',
      stop: () => app.stop(),
      async missing(side) {
        await app.stop();
        return (await app.missing(url[side])).length;
      },
      acknowledged: () => app.acknowledged.size,
      async expectUntouched() {
        await expectOrdinary(url.old);
        expect(await objectsIn(url.new)).toBe(0);
      },
    };
  }

  /** At rest, nobody writes: what was there before is what counts. */
  async function fork(w: NonNullable<typeof atHeroku>): Promise<MovingStore> {
    const old = w.heroku.redis('redis-curly-1');
    const redis = customer(old.url);
    for (let key = 0; key < 300; key += 1) await redis.set(`seed:${key}`, `queue ${key}`);
    redis.disconnect();
    const before = w.apps();
    Object.assign(env, { ...w.env, ...env });
    return {
      name: `${name}-queue`,
      store: {
        strategy: 'herokuFork',
        input: {
          name: `${name}-queue`,
          app: 'shop',
          addon: 'redis-curly-1',
          targetVersion: '7.2',
          mode: 'maintenance',
          apps: ['shop-canary', 'shop'],
          keepOldFor: '1s',
          gates: { destroy: 'auto' },
        },
      },
      serves: async () =>
        w.apps()['shop']?.attachments.join(' ') === before['shop']?.attachments.join(' ') ? 'old' : 'new',
      stop: async () => {},
      async missing(side) {
        const addon = side === 'old' ? 'redis-curly-1' : (w.heroku.billing().existing.at(-1) ?? '');
        const now = customer(w.heroku.redis(addon).url);
        const values = await now.mget(Array.from({ length: 300 }, (_, key) => `seed:${key}`));
        return values.filter((value, key) => value !== `queue ${key}`).length;
      },
      acknowledged: () => 300,
      async expectUntouched() {
        expect(w.apps()).toEqual(before);
        expect(w.heroku.billing().existing).toEqual(['redis-curly-1']);
      },
    };
  }

  const stores: Record<string, MovingStore> = {};
  for (const each of names) {
    if (each === 'queue' && atHeroku) stores[each] = await fork(atHeroku);
    else if (each === 'orders' && postgres) stores[each] = await database(postgres);
    else stores[each] = await redisPair(each as 'sessions' | 'cache');
    ids.push(...Object.values(stores).map(({ store, name: id }) => workflowIdOf(store.strategy, id)));
  }
  const self: WindowWorld = {
    name,
    folder,
    stores,
    worker: null,
    async startWorker() {
      self.worker = await spawnWorker({ env: { HOME: folder, ...env }, children });
      return self.worker;
    },
    async start(input = {}) {
      const whole: ProviderMoveInput = {
        name,
        stores: Object.values(stores).map(({ store }) => store),
        ...input,
      };
      const id = workflowIdOf('providerMove', name);
      const handle = await client.workflow.start('providerMove', {
        taskQueue,
        workflowId: id,
        args: [whole],
      });
      return upgradeOf(handle, id);
    },
    async rehearse(more = {}) {
      const id = workflowIdOf('rehearsal', name);
      ids.push(id);
      const input = { name, stores: Object.values(stores).map(({ store }) => store) };
      const handle = await client.workflow.start('rehearsal', {
        taskQueue,
        workflowId: id,
        args: [{ name, strategy: 'providerMove', input, gates: { start: 'auto' }, ...more }],
      });
      return upgradeOf(handle, id);
    },
    upgrades: () =>
      Object.values(stores).map(({ store, name: each }) => {
        const id = workflowIdOf(store.strategy, each);
        return upgradeOf(client.workflow.getHandle(id), id);
      }),
    async answer(store, decide) {
      const upgrade = self.upgrades()[Object.keys(stores).indexOf(store)];
      await upgrade?.until('NeedsDecision');
      await upgrade?.say('decide', { ...decide, by: 'ada' });
    },
    async recover(upgrade) {
      await client.workflow.execute('recover', {
        taskQueue,
        workflowId: `recover/${upgrade.id}`,
        args: [{ workflowId: upgrade.id }],
      });
    },
    async expectAll(side) {
      for (const [what, store] of Object.entries(stores)) {
        expect([what, await store.serves()]).toEqual([what, side]);
        expect([what, await store.missing(side)]).toEqual([what, 0]);
        expect(store.acknowledged()).toBeGreaterThan(20);
        if (side === 'old') await store.expectUntouched();
      }
    },
  };
  return self;
}

/** The gate is open. */
export async function open(upgrade: Upgrade, gate: string, ms = 90_000) {
  return upgrade.until(
    ({ gates }) => gates.some(({ name, status }) => name === gate && status === 'open'),
    ms,
  );
}
