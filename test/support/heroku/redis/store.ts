/* A real server behind an add-on: what the customer may not do there, and what the operator can. */
import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort, startRedis, type RunningRedis } from '../../../../src/setup/servers.js';
import { planOfAddon, type Addon, type World } from '../state.js';

/** What `redis:maxmemory`, `redis:timeout` and `redis:keyspace-notifications` set. */
export interface Settings {
  maxmemory_policy: string;
  /** Seconds; 0 is never. */
  timeout: number;
  notify_keyspace_events: string;
}

export const DEFAULTS: Readonly<Settings> = {
  maxmemory_policy: 'noeviction',
  timeout: 300,
  notify_keyspace_events: '',
};

export interface Store {
  version: string;
  pid: number;
  /** What the server prints; no customer sees it. */
  log: string;
  /** Nobody listens there when the add-on has no clear port. */
  port: number;
  /** One above the clear port, as at Heroku. */
  tlsPort: number;
  /** Runs commands with the operator's rights. */
  operate<T>(work: (call: Operator) => Promise<T>): Promise<T>;
  stop(): Promise<void>;
  /** The same data at other ports. */
  moveTo(ports: Ports): Promise<Store>;
}

type Operator = (...words: string[]) => Promise<unknown>;
type Ports = Pick<Store, 'port' | 'tlsPort'>;

/** To the customer these are `ERR unknown command`; the operator knows them by another name. */
const WITHHELD =
  'ACL BGREWRITEAOF BGSAVE CLUSTER CONFIG DEBUG FAILOVER MODULE REPLICAOF SAVE SHUTDOWN SLAVEOF'.split(' ');

/** Starts an empty server of that version for the add-on. */
export async function startStore(world: World, addon: Addon, version: string): Promise<Store> {
  const binary = world.servers.get(version);
  if (binary === undefined) throw new Error(`no server of version ${version} here`);
  const dir = join(world.folder, `${addon.name}-${randomBytes(3).toString('hex')}`);
  const prefix = randomBytes(6).toString('hex');
  await mkdir(dir, { recursive: true });
  // In a file, not as arguments: those are for everybody to see.
  await writeFile(join(dir, 'redis.conf'), configuration({ addon, version, dir, prefix }), { mode: 0o600 });
  const { cert, key, trustsServers, trustsNone } = world.certificates;
  const ca = world.trustsSelfSigned ? trustsServers : trustsNone;
  const start = ({ port, tlsPort }: Ports): Promise<RunningRedis> =>
    startRedis({ binary, dir, port, tls: { cert, key, ca, port: tlsPort, only: !addon.clear } });

  const standing = (running: RunningRedis, { port, tlsPort }: Ports): Store => {
    const operate: Store['operate'] = async (work) => {
      const client = new Redis({
        host: '127.0.0.1',
        ...(addon.clear ? { port } : { port: tlsPort, tls: { rejectUnauthorized: false } }),
        password: addon.password,
        protocol: 2,
        disableClientInfo: true,
        enableReadyCheck: false,
        retryStrategy: null,
      });
      client.on('error', () => undefined);
      try {
        return await work((command = '', ...words) =>
          client.call(WITHHELD.includes(command) ? `${prefix}-${command}` : command, ...words),
        );
      } finally {
        client.disconnect();
      }
    };
    return {
      version,
      pid: running.pid,
      log: running.log,
      port,
      tlsPort,
      operate,
      async stop() {
        await running.stop();
        await rm(dir, { recursive: true, force: true });
      },
      async moveTo(ports) {
        await operate((call) => call('SAVE'));
        await running.stop();
        return standing(await start(ports), ports);
      },
    };
  };

  for (let left = 5; ; left -= 1) {
    const ports = await twoPorts();
    try {
      return standing(await start(ports), ports);
    } catch (error) {
      // Another process may have been faster.
      if (left === 0) throw error;
    }
  }
}

function configuration(on: { addon: Addon; version: string; dir: string; prefix: string }): string {
  const { addon, version, dir, prefix } = on;
  const { memoryMb, connections } = planOfAddon(addon);
  // A server does not start when it is to rename what it doesn't know.
  const withheld = WITHHELD.filter((command) => command !== 'FAILOVER' || version !== '6.0');
  return [
    'bind 127.0.0.1',
    `dir ${JSON.stringify(dir)}`,
    'save ""',
    `requirepass ${addon.password}`,
    `maxmemory ${memoryMb}mb`,
    // Some are kept for the operator and for replicas.
    `maxclients ${connections + 10}`,
    'repl-diskless-sync-delay 0',
    ...withheld.map((command) => `rename-command ${command} ${prefix}-${command}`),
    '',
  ].join('\n');
}

/** Two neighbours that are free now. */
async function twoPorts(): Promise<Ports> {
  for (;;) {
    const port = await freePort();
    const free = await new Promise<boolean>((done) => {
      const probe = createServer();
      probe.on('error', () => done(false));
      probe.listen(port + 1, '127.0.0.1', () => probe.close(() => done(true)));
    });
    if (free) return { port, tlsPort: port + 1 };
  }
}

export async function applySettings(store: Store, settings: Settings): Promise<void> {
  await store.operate(async (call) => {
    await call('CONFIG', 'SET', 'maxmemory-policy', settings.maxmemory_policy);
    await call('CONFIG', 'SET', 'timeout', String(settings.timeout));
    await call('CONFIG', 'SET', 'notify-keyspace-events', settings.notify_keyspace_events);
  });
}
