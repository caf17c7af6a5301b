/*
 * Real servers, started and ended by us: for the demo and for the tests.
 *
 * Two lives are possible. By default a server dies with the process that started it, however that ends. With a
 * `pidFile` it outlives it, kill -9 included; the next start finds it by that file, and uses it again (`reattach`)
 * or ends it (`endLeftover`). Only a process that is provably the one of the file is ever signalled.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, connect } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { birthOf, commandOf, isAlive, pause, which } from './run.js';

export type Running = {
  /** Where it answers; always on 127.0.0.1. */
  port: number;
  pid: number;
  /** Everything it printed. */
  log: string;
  /** SIGTERM, and SIGKILL when that doesn't end it in time. Harmless when it is gone. */
  stop: () => Promise<void>;
  kill9: () => Promise<void>;
};

export type RunningRedis = Running & {
  /** Where it answers with TLS, when it was asked to. */
  tlsPort: number | null;
};

export type RunningTemporal = Running & {
  address: string;
  /** The web UI, when it was asked for. */
  uiPort: number | null;
};

export type RedisOptions = {
  binary: string;
  /** Its data and its redis.conf. Started again in the same folder, it goes on with both. */
  dir: string;
  port?: number;
  /** Further settings, as on its command line: `['--appendonly', 'yes']`. */
  args?: readonly string[];
  /** When it saves by itself; by default never. */
  save?: string;
  tls?: { cert: string; key: string; ca: string; port?: number; only?: boolean };
  pidFile?: string;
};

export type TemporalOptions = {
  binary: string;
  /** Where it prints to. */
  log: string;
  /** Keeps its state in this file; otherwise in memory only. */
  dbFile?: string;
  port?: number;
  /** Gives it the web UI, at this port or (0) at a free one. */
  uiPort?: number;
  pidFile?: string;
};

const HOST = '127.0.0.1';

/** Below those that systems give to outgoing connections, of which one could take the port of a server that is about to be started again. */
const PORTS = [10_000, 32_768] as const;

/** A port that nobody listens on now. Another process may be faster, so a start that fails over it is repeated. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = randomInt(...PORTS);
    if (await isFree(port)) return port;
  }
  throw new Error(`No port from ${PORTS[0]} to ${PORTS[1] - 1} is free at ${HOST}.`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.on('error', () => done(false));
    server.listen(port, HOST, () => server.close(() => done(true)));
  });
}

/** Starts a Redis or Valkey and waits until it has loaded its data and answers. */
export async function startRedis(options: RedisOptions): Promise<RunningRedis> {
  const { binary, args = [], save = '', tls } = options;
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  // A file rather than arguments only, or `CONFIG REWRITE` would be refused and roles could not be made to last.
  const conf = join(dir, 'redis.conf');
  if (!existsSync(conf)) {
    writeFileSync(conf, `bind ${HOST}\ndir ${JSON.stringify(dir)}\nsave ${JSON.stringify(save)}\n`);
  }
  return repeatWhilePortTaken(options.port !== undefined, async () => {
    const port = options.port ?? (await freePort());
    const tlsPort = tls ? (tls.port ?? (await freePort())) : null;
    const ofTls = tls
      ? ['--tls-port', String(tlsPort), '--tls-cert-file', tls.cert, '--tls-key-file', tls.key].concat([
          '--tls-ca-cert-file',
          tls.ca,
          '--tls-auth-clients',
          'no',
        ])
      : [];
    const life = await launch({
      program: binary,
      args: [conf, '--port', tls?.only ? '0' : String(port), ...ofTls, ...args],
      log: join(dir, 'server.log'),
      ports: { port: tls?.only ? tlsPort! : port, second: tlsPort },
      pidFile: options.pidFile,
      // Where it looks for a module named without a path, and where a core dump would go.
      cwd: dir,
    });
    await waitFor(life, 60_000, () =>
      answersPing({ pid: life.pid, port: tls?.only ? tlsPort! : port, tls: tls?.only === true }),
    );
    return { ...running(life), tlsPort };
  });
}

/** Starts Temporal's dev server and waits until its namespace and our search attribute can be used. */
export async function startTemporal(options: TemporalOptions): Promise<RunningTemporal> {
  const { binary, log, dbFile } = options;
  if (dbFile) mkdirSync(dirname(resolve(dbFile)), { recursive: true });
  return repeatWhilePortTaken(options.port !== undefined || Boolean(options.uiPort), async () => {
    const port = options.port ?? (await freePort());
    const uiPort = options.uiPort === undefined ? null : options.uiPort || (await freePort());
    const life = await launch({
      program: binary,
      args: ['server', 'start-dev', '--ip', HOST, '--port', String(port)]
        .concat(uiPort === null ? ['--headless'] : ['--ui-ip', HOST, '--ui-port', String(uiPort)])
        .concat(dbFile ? ['--db-filename', resolve(dbFile)] : [])
        .concat(['--search-attribute', 'FerryPhase=Keyword', '--log-level', 'warn']),
      log,
      ports: { port, second: uiPort },
      pidFile: options.pidFile,
      env: { ...process.env, TEMPORAL_VERSION_CHECK_DISABLED: '1' },
    });
    await waitFor(life, 60_000, () => temporalIsReady(`${HOST}:${port}`));
    return { ...running(life), address: `${HOST}:${port}`, uiPort };
  });
}

/** A server that an earlier process left running with this pid file; null (and no file) when there is none. */
export async function reattach(pidFile: string): Promise<(Running & { secondPort: number | null }) | null> {
  const life = await lifeOf(pidFile);
  return life && { ...running(life), secondPort: life.ports.second };
}

/** Ends the server that an earlier process left running with this pid file. Says whether there was one. */
export async function endLeftover(pidFile: string): Promise<boolean> {
  const life = await lifeOf(pidFile);
  if (!life) return false;
  await end(life, 'SIGTERM');
  return true;
}

// ── Life and death ───────────────────────────────────────────────────────────────────────────────

type Ports = { port: number; second: number | null };

/** What a pid file holds. `birth` tells the process from a later one with the same number. */
type Life = {
  pid: number;
  birth: string;
  program: string;
  ports: Ports;
  log: string;
  /** How long the log was before: what stands behind it is of this life. */
  logFrom: number;
  pidFile: string | null;
};

const mine = new Map<number, Life>();
let watching = false;

async function launch(options: {
  program: string;
  args: readonly string[];
  log: string;
  ports: Ports;
  pidFile?: string | undefined;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}): Promise<Life> {
  const { program, args, ports, env = process.env, cwd } = options;
  const log = resolve(options.log);
  const pidFile = options.pidFile ? resolve(options.pidFile) : null;
  mkdirSync(dirname(log), { recursive: true });
  if (pidFile) await endLeftover(pidFile);
  for (const port of [ports.port, ports.second]) {
    if (port !== null && !(await isFree(port)))
      throw new PortTaken(`port ${port} is taken by another program`);
  }

  // Linux itself ends it when we die, even by kill -9, if asked through this small tool.
  const leash = pidFile === null && process.platform === 'linux' ? which('setpriv') : null;
  const [command, words] = leash ? [leash, ['--pdeathsig', 'KILL', program, ...args]] : [program, args];
  const logFrom = existsSync(log) ? statSync(log).size : 0;
  const out = openSync(log, 'a');
  // In a group of its own: a Ctrl-C in the terminal is for us, and we decide in which order things end.
  const child = spawn(command, words, {
    detached: true,
    stdio: ['ignore', out, out],
    env,
    ...(cwd ? { cwd } : {}),
  });
  closeSync(out);
  const failed = new Promise<Error>((done) => child.once('error', done));
  if (child.pid === undefined)
    throw new Error(`${basename(program)} can not be started: ${(await failed).message}`);
  child.unref();
  const life: Life = { pid: child.pid, birth: '', program, ports, log, logFrom, pidFile };
  if (pidFile === null) {
    watchOverMine();
    mine.set(life.pid, life);
    child.once('exit', () => mine.delete(life.pid));
  }
  life.birth = (await birthOf(life.pid)) ?? '';
  if (pidFile) {
    mkdirSync(dirname(pidFile), { recursive: true });
    writeFileSync(`${pidFile}.new`, JSON.stringify(life));
    renameSync(`${pidFile}.new`, pidFile);
  }
  return life;
}

async function lifeOf(pidFile: string): Promise<Life | null> {
  let life: Life;
  try {
    life = JSON.parse(readFileSync(pidFile, 'utf8')) as Life;
  } catch {
    return null;
  }
  if (await isStillIt(life)) return { ...life, pidFile: resolve(pidFile) };
  rmSync(pidFile, { force: true });
  return null;
}

/** The same process as then, and one that runs the program we started: nothing else may be signalled. */
async function isStillIt(life: Life): Promise<boolean> {
  if (!isAlive(life.pid) || life.birth === '' || (await birthOf(life.pid)) !== life.birth) return false;
  return (await commandOf(life.pid))?.includes(basename(life.program)) === true;
}

function running(life: Life): Running {
  return {
    port: life.ports.port,
    pid: life.pid,
    log: life.log,
    stop: () => end(life, 'SIGTERM'),
    kill9: () => end(life, 'SIGKILL'),
  };
}

async function end(life: Life, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  // A dump to disk at the end may take a while; then it is enough.
  for (const [each, patience] of signal === 'SIGTERM'
    ? ([
        ['SIGTERM', 10_000],
        ['SIGKILL', 5_000],
      ] as const)
    : ([['SIGKILL', 5_000]] as const)) {
    if (!(await isStillIt(life))) break;
    send(life.pid, each);
    const until = Date.now() + patience;
    while (isAlive(life.pid) && Date.now() < until) await pause(10);
  }
  // One that is just dying has no command line any more, and still holds its port.
  for (const until = Date.now() + 5_000; life.birth !== '' && Date.now() < until; await pause(10))
    if (!isAlive(life.pid) || (await birthOf(life.pid)) !== life.birth) break;
  mine.delete(life.pid);
  if (life.pidFile) rmSync(life.pidFile, { force: true });
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself in between.
  }
}

function watchOverMine(): void {
  if (watching) return;
  watching = true;
  const killMine = () => {
    for (const pid of mine.keys()) send(pid, 'SIGKILL');
  };
  process.on('exit', killMine);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const onSignal = () => {
      // A program with a handler of its own still has to end in order, and may need its servers for that;
      // when it exits, the line above ends them.
      if (process.listenerCount(signal) > 1) return;
      killMine();
      process.off(signal, onSignal);
      process.kill(process.pid, signal);
    };
    process.on(signal, onSignal);
  }
}

// ── Waiting ──────────────────────────────────────────────────────────────────────────────────────

class PortTaken extends Error {}

async function repeatWhilePortTaken<T>(portIsGiven: boolean, start: () => Promise<T>): Promise<T> {
  for (let left = 3; ; left -= 1) {
    try {
      return await start();
    } catch (error) {
      if (portIsGiven || left === 0 || !(error instanceof PortTaken)) throw error;
    }
  }
}

async function waitFor(life: Life, patienceMs: number, ready: () => Promise<boolean>): Promise<void> {
  const until = Date.now() + patienceMs;
  while (true) {
    // Looked at first: a stranger who took the port would answer in its place.
    const dead = !isAlive(life.pid);
    if (!dead && (await ready()) && isAlive(life.pid)) return;
    if (dead || Date.now() > until) {
      await end(life, 'SIGKILL');
      const said = readFileSync(life.log)
        .subarray(life.logFrom)
        .toString()
        .trim()
        .split('\n')
        .slice(-6)
        .join('\n');
      const message = `${basename(life.program)} ${dead ? 'ended at once' : `did not answer in ${patienceMs / 1000} s`} (${life.log}):\n${said}`;
      throw /address already in use|can't set .*port|Failed listening/i.test(said)
        ? new PortTaken(message)
        : new Error(message);
    }
    await pause(20);
  }
}

/** Whether this Redis answers and has loaded its data. A refusal for want of a password is an answer. */
/** Somebody does there. */
export async function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const stream = connect({ host: HOST, port });
    stream.on('connect', () => {
      stream.destroy();
      done(true);
    });
    stream.on('error', () => done(false));
  });
}

function answersPing(at: { pid: number; port: number; tls: boolean }): Promise<boolean> {
  return new Promise((done) => {
    const socket = at.tls
      ? connectTls({ host: HOST, port: at.port, rejectUnauthorized: false })
      : connect({ host: HOST, port: at.port });
    const finish = (answer: boolean) => {
      socket.destroy();
      done(answer);
    };
    let reply = '';
    socket.setTimeout(1_000, () => finish(false));
    socket.on('error', () => finish(false));
    socket.on('close', () => done(false));
    socket.on(at.tls ? 'secureConnect' : 'connect', () => socket.write('PING\r\nINFO server\r\n'));
    socket.on('data', (data) => {
      reply += data.toString('latin1');
      if (/^-(LOADING|NOAUTH)/.test(reply)) return finish(reply.startsWith('-NOAUTH'));
      // Another Redis may hold the port while ours is about to find that out.
      const pid = /process_id:(\d+)\r/.exec(reply)?.[1];
      if (pid !== undefined) finish(Number(pid) === at.pid);
    });
  });
}

async function temporalIsReady(address: string): Promise<boolean> {
  // Loaded here, not above: starting a Redis shouldn't wait for the SDK.
  const { Connection } = await import('@temporalio/client');
  const connection = await Connection.connect({ address, connectTimeout: 1_000 }).catch(() => null);
  if (!connection) return false;
  try {
    await connection.workflowService.describeNamespace({ namespace: 'default' });
    const known = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
    return known.customAttributes?.['FerryPhase'] !== undefined;
  } catch {
    return false;
  } finally {
    await connection.close();
  }
}
