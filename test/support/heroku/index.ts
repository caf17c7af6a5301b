/**
 * A Heroku on this machine, for tests: the Platform API and the data API on one port of 127.0.0.1, real Redis servers
 * behind its add-ons, faults on demand. The real `heroku` CLI works against it with `env`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseRoutes } from './data/databases.js';
import { maintenanceRoutes } from './data/maintenances.js';
import {
  postgresAttachment,
  postgresRoutes,
  startStoreOfBackups,
  type PostgresAddon,
  type StoreFaults,
} from './data/pg-backups.js';
import { createFaults, type Faults } from './faults.js';
import { addonRoutes, createAddon, type NewAddon } from './platform/addons.js';
import { appRoutes } from './platform/apps.js';
import { attach, attachmentRoutes } from './platform/attachments.js';
import { catalogueRoutes } from './platform/catalogue.js';
import { release, releaseRoutes } from './platform/releases.js';
import { makeCertificates } from './redis/certificates.js';
import { startServer, type Seen } from './server.js';
import { snapshotOf, type Snapshot } from './snapshot.js';
import {
  addonNamed,
  appNamed,
  configVars,
  isGone,
  newId,
  urlsOf,
  type Account,
  type Addon,
  type App,
  type Timing,
  type World,
} from './state.js';

export interface HerokuOptions {
  /** Version that is offered → its program with TLS, oldest first. */
  servers: Readonly<Record<string, string>>;
  timing?: Partial<Timing>;
  /** Forks from `rediss://` come in sync; otherwise their link stays down, as the certificate is self-signed. */
  trustsSelfSigned?: boolean;
  /** URLs outlast an upgrade in place (default), or get other ports. */
  keepsPorts?: boolean;
}

export interface Heroku {
  /** For the CLI and for API clients; what else they need (HOME, PATH) is not in it. */
  env: Record<string, string>;
  url: string;
  account: Account;
  faults: Faults;
  requests: Seen[];
  createApp(options: NewApp): App;
  /** Returns when it can be used. */
  createRedis(options: Omit<NewAddon, 'app'> & { app: string }): Promise<RedisAddon>;
  /** A database that is there already becomes the app's DATABASE_URL, with backups. */
  addPostgres(options: { app: string; url: string; pgDump: string; as?: string }): PostgresAddon;
  /** Of the store of backups. */
  store: StoreFaults;
  attach(options: { app: string; addon: string; as: string }): void;
  redis(addon: string): RedisAddon;
  app(name: string): App;
  configVars(app: string): Record<string, string>;
  snapshot(app: string): Snapshot;
  /** Add-ons by name: all there ever were, and those of today. */
  billing(): { created: string[]; existing: string[] };
  /** Ends every server and timer. @throws what went wrong in the background */
  close(): Promise<void>;
}

export interface NewApp {
  name: string;
  vars?: Record<string, string>;
  /** Default: one web and one worker. */
  formation?: { type: string; quantity: number; size?: string }[];
  access?: App['access'];
  space?: boolean;
}

/** An add-on as it is when it is looked at. */
export interface RedisAddon extends Pick<
  Addon,
  'name' | 'id' | 'status' | 'version' | 'password' | 'settings'
> {
  /** As in the config var. */
  url: string;
  /** Null without a clear port. */
  clearUrl: string | null;
  tlsUrl: string;
  pid: number;
  /** File that the server prints to; no customer sees it. */
  log: string;
}

const TIMING: Timing = {
  provision: 0,
  restart: 100,
  fork: 0,
  prepare: 0,
  scheduled: 3_600_000,
  required: 14 * 24 * 3_600_000,
  week: 7 * 24 * 3_600_000,
  loss: 0,
};

/** @throws when a program or `openssl` is missing */
export async function startHeroku(options: HerokuOptions): Promise<Heroku> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-heroku-'));
  const timers = new Set<NodeJS.Timeout>();
  const working = new Set<Promise<void>>();
  const problems: unknown[] = [];
  const account: Account = { key: `HRKU-${newId()}`, keyIsExpired: false, remaining: 4_500 };
  const world: World = {
    apps: new Map(),
    addons: new Map(),
    attachments: new Map(),
    billed: [],
    servers: new Map(Object.entries(options.servers)),
    timing: { ...TIMING, ...options.timing },
    certificates: await makeCertificates(folder),
    folder,
    trustsSelfSigned: options.trustsSelfSigned ?? false,
    keepsPorts: options.keepsPorts ?? true,
    faults: createFaults(),
    account,
    background(addon, work) {
      const doing = work()
        .catch((error: unknown) => {
          if (!isGone(addon)) problems.push(error);
        })
        .finally(() => working.delete(doing));
      working.add(doing);
    },
    later(ms, work) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        work();
      }, ms);
      timers.add(timer);
      return timer;
    },
  };
  const requests: Seen[] = [];
  const databases = new Map<string, PostgresAddon>();
  const store: StoreFaults = { cutAfter: null, spoil: false, asked: [] };
  const backups = await startStoreOfBackups(databases, store);
  const server = await startServer(
    world,
    {
      ...appRoutes(world),
      ...releaseRoutes(world),
      ...addonRoutes(world),
      ...catalogueRoutes(),
      ...attachmentRoutes(world, () => [...databases.values()].map(postgresAttachment)),
      ...postgresRoutes(world, databases, () => backups.url),
      ...maintenanceRoutes(world),
      ...databaseRoutes(world),
    },
    requests,
  );
  const url = `http://127.0.0.1:${portOf(server)}`;

  const redis = (name: string): RedisAddon => {
    const addon = addonNamed(world, name);
    const { id, status, version, password, settings, store } = addon;
    const { main, clear, tls } = urlsOf(addon);
    return {
      name: addon.name,
      id,
      status,
      version,
      password,
      settings,
      url: main,
      clearUrl: clear,
      tlsUrl: tls,
      pid: store?.pid ?? 0,
      log: store?.log ?? '',
    };
  };

  return {
    env: {
      HEROKU_HOST: url,
      HEROKU_DATA_HOST: '127.0.0.1',
      HEROKU_PARTICLEBOARD_URL: url,
      HEROKU_API_KEY: account.key,
      DISABLE_TELEMETRY: 'true',
      HEROKU_SKIP_NEW_VERSION_CHECK: '1',
      HEROKU_DISABLE_AUTOUPDATE: '1',
      HEROKU_SKIP_ANALYTICS: '1',
    },
    url,
    account,
    faults: world.faults,
    requests,
    createApp({ name, vars = {}, formation = [], access = 'full', space = false }) {
      const processes =
        formation.length > 0 ? formation : ['web', 'worker'].map((type) => ({ type, quantity: 1 }));
      const app: App = {
        id: newId(),
        name,
        at: new Date(),
        maintenance: false,
        space,
        access,
        vars: new Map(Object.entries(vars)),
        formation: processes.map((each) => ({
          id: newId(),
          command: `node ${each.type}.js`,
          size: 'Standard-1X',
          ...each,
        })),
        dynos: [],
        releases: [],
      };
      world.apps.set(app.id, app);
      release(world, app, 'Initial release');
      return app;
    },
    async createRedis({ app, ...rest }) {
      const addon = createAddon(world, { app: appNamed(world, app), ...rest });
      while (addon.status !== 'available') {
        if (problems.length > 0) throw problems[0];
        await new Promise((done) => setTimeout(done, 10));
      }
      return redis(addon.name);
    },
    addPostgres({ app: name, as = 'DATABASE', ...rest }) {
      const app = appNamed(world, name);
      const addon: PostgresAddon = {
        id: newId(),
        name: `postgresql-round-${databases.size + 10}`,
        app,
        as,
        transfers: [],
        ...rest,
      };
      databases.set(addon.id, addon);
      app.vars.set(`${as}_URL`, rest.url);
      return addon;
    },
    store,
    attach({ app: name, addon, as }) {
      const app = appNamed(world, name);
      attach(world, { app, addon: addonNamed(world, addon), name: as, confirm: app.name });
      release(world, app, `Attach ${as} (@ref:${addon})`);
    },
    redis,
    app: (name) => appNamed(world, name),
    configVars: (name) => configVars(world, appNamed(world, name)),
    snapshot: (name) => snapshotOf(world, name),
    billing: () => ({
      created: [...world.billed],
      existing: [...world.addons.values()].filter((addon) => !isGone(addon)).map(({ name }) => name),
    }),
    async close() {
      for (const each of [server, backups.server]) {
        each.closeAllConnections();
        each.close();
      }
      // What waits for a sync ends with its add-on; what was underway may set another timer or start another server.
      const addons = [...world.addons.values()];
      for (const addon of addons) addon.state = 'deprovisioned';
      for (const timer of timers) clearTimeout(timer);
      while (working.size > 0) await Promise.all(working);
      for (const timer of timers) clearTimeout(timer);
      const stores = addons.flatMap(({ store, maintenances }) => [
        store,
        ...maintenances.map(({ follower }) => follower),
      ]);
      await Promise.all(stores.flatMap((store) => (store ? [store.stop()] : [])));
      await rm(folder, { recursive: true, force: true });
      if (problems.length > 0) throw problems[0];
    },
  };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}
