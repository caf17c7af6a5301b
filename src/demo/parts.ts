/** What the demo consists of: Temporal, two Redis servers, a worker and an application. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Connection } from '@temporalio/client';
import { Redis } from 'ioredis';
import { freePort, startRedis, startTemporal } from '../setup/servers.js';
import { writeWhole, type Run, type Side } from './folder.js';
import { paths } from './orders.js';
import { startScript, type Part } from './processes.js';

const HOST = '127.0.0.1';
const WORKER = fileURLToPath(new URL('../worker.js', import.meta.url));
const APP = fileURLToPath(new URL('./app.js', import.meta.url));
export const CHECK = fileURLToPath(new URL('./check-app.js', import.meta.url));

export const runFolder = (folder: string, run: Run): string => join(folder, `run-${run.id}`);
export const appFolder = (folder: string, run: Run): string => join(runFolder(folder, run), 'app');
const workerHome = (folder: string): string => join(folder, 'worker');

export function urlOf({ port, password }: Side): string {
  return `redis://:${password}@${HOST}:${port}/0`;
}

export const nameOf = ({ product, version }: Pick<Side, 'product' | 'version'>): string =>
  `${product === 'valkey' ? 'Valkey' : 'Redis'} ${version}`;

export const shown = ({ port }: Side): string => `${HOST}:${port}`;

// ── Temporal ─────────────────────────────────────────────────────────────────────────────────────

export interface Ports {
  port: number;
  uiPort: number;
}

/** Where `ferry` looks when it is told nothing, and the UI's usual place. */
export const USUAL: Ports = { port: 7233, uiPort: 8233 };

/** `ports` are tried in their order; afterwards free ones are taken, unless `strict`. `took` learns what it became. */
export function temporalPart(options: {
  folder: string;
  binary: string;
  ports: readonly Ports[];
  strict: boolean;
  took: (ports: Ports) => void;
}): Part {
  const { folder, binary, ports, strict, took } = options;
  const log = join(folder, 'temporal.log');
  const pidFile = join(folder, 'temporal.pid');
  // Started again, it must come back where the others look for it.
  let known: Ports | null = null;
  const take = (found: Ports) => {
    known = found;
    took(found);
  };
  return {
    name: 'Temporal',
    pidFile,
    log,
    async start() {
      const candidates = known ? [known] : ports;
      for (const [at, each] of [...candidates, null].entries()) {
        try {
          const free = each ?? { port: await freePort(), uiPort: await freePort() };
          const server = await startTemporal({
            binary,
            log,
            dbFile: join(folder, 'temporal.db'),
            pidFile,
            ...free,
          });
          take(free);
          return server.pid;
        } catch (error) {
          const last = at === candidates.length || ((strict || known) && at === candidates.length - 1);
          if (last || !isPortTaken(error)) throw error;
        }
      }
      throw new Error('No port is free for Temporal.');
    },
    usable({ port, secondPort }) {
      if (secondPort === null) return false;
      take({ port, uiPort: secondPort });
      return true;
    },
    ready: async () => {
      const connection = await Connection.connect({
        address: `${HOST}:${known?.port}`,
        connectTimeout: 1_000,
      });
      try {
        await connection.workflowService.describeNamespace({ namespace: 'default' });
      } finally {
        await connection.close();
      }
    },
  };
}

function isPortTaken(error: unknown): boolean {
  return error instanceof Error && /taken by another program|address already in use/i.test(error.message);
}

// ── Redis ────────────────────────────────────────────────────────────────────────────────────────

export function redisPart(options: { folder: string; run: Run; which: 'old' | 'new' }): Part {
  const { run, which } = options;
  const side = run[which];
  const dir = join(runFolder(options.folder, run), which);
  const pidFile = join(dir, 'redis.pid');
  return {
    name: `the ${which} ${side.product === 'valkey' ? 'Valkey' : 'Redis'}`,
    pidFile,
    log: join(dir, 'server.log'),
    async start() {
      configure(dir, side.password);
      const { server: binary, port } = side;
      try {
        return (await startRedis({ binary, dir, port, pidFile })).pid;
      } catch (error) {
        if (!isPortTaken(error)) throw error;
        throw new Error(
          `Port ${port}, which the ${which} server of this demo has, is taken by another program now. End that one, or begin anew with \`npm start -- --fresh\`.`,
          { cause: error },
        );
      }
    },
    usable: (left) => left.port === side.port,
    // With the password: without it, a server that still loads its data would seem ready.
    ready: () => ping(urlOf(side)),
  };
}

/**
 * Each write is handed to the system before it is acknowledged: nothing that the application was told is safe goes with a kill -9.
 * (`everysec` may put a write off while it syncs; `always` would survive a power cut too, but makes this old server slow.) The
 * password stands in the file, since a command line can be read by everyone on the machine.
 */
function configure(dir: string, password: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const conf = join(dir, 'redis.conf');
  if (existsSync(conf)) return;
  const lines = [
    `bind ${HOST}`,
    `dir ${JSON.stringify(dir)}`,
    'save ""',
    'appendonly yes',
    'appendfsync no',
    // No further replica is going to come within five seconds.
    'repl-diskless-sync-delay 0',
    `requirepass ${password}`,
  ];
  writeWhole(conf, `${lines.join('\n')}\n`);
}

async function ping(url: string): Promise<void> {
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 1_000,
    commandTimeout: 1_000,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.ping();
  } finally {
    client.disconnect();
  }
}

// ── Worker and application ───────────────────────────────────────────────────────────────────────

export function workerPart(options: {
  folder: string;
  run: Run;
  /** How it reaches Temporal, and its queue. */
  env: NodeJS.ProcessEnv;
  /** It was started for the Temporal that runs now. */
  keep: boolean;
}): Part {
  const { folder, run, env, keep } = options;
  const pidFile = join(runFolder(folder, run), 'worker.pid');
  const log = join(runFolder(folder, run), 'worker.log');
  return {
    name: 'the worker',
    pidFile,
    log,
    start: () =>
      startScript({
        script: WORKER,
        // It reads no arguments: this one tells whose worker it is.
        args: [runFolder(folder, run)],
        log,
        pidFile,
        env: {
          ...env,
          FERRY_HOME: workerHome(folder),
          OLD_REDIS_URL: urlOf(run.old),
          NEW_REDIS_URL: urlOf(run.new),
        },
      }),
    // One of an earlier build would go on with the earlier code.
    usable: () => keep && statSync(pidFile).mtimeMs > statSync(WORKER).mtimeMs,
  };
}

export function appPart(options: { folder: string; run: Run }): Part {
  const { folder, run } = options;
  const dir = appFolder(folder, run);
  const pidFile = join(dir, 'app.pid');
  const log = join(dir, 'app.log');
  return {
    name: 'the application',
    pidFile,
    log,
    async start() {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const { address } = paths(dir);
      // Only at the very first start: later on it is the upgrade that writes it.
      if (!existsSync(address)) writeWhole(address, `${urlOf(run.old)}\n`);
      return startScript({ script: APP, args: [dir], log, pidFile, env: process.env });
    },
  };
}
