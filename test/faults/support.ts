/* What the attacks share: data, kills at a chosen moment, and what must hold afterwards whatever happened. */
import { execFile, type ChildProcess } from 'node:child_process';
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import type { Redis } from 'ioredis';
import { expect, inject } from 'vitest';
import type { State } from '../../src/contract.js';
import { startRedis, type RunningRedis } from '../../src/setup/servers.js';
import { binaryOf, sleep, type application, type Upgrade, type World } from '../support/world.js';

export type Side = 'source' | 'target';
export type Application = ReturnType<typeof application>;

/** Small strings, each with a value of its own. */
export async function seed(client: Redis, keys: number): Promise<void> {
  for (let at = 0; at < keys; at += 5_000) {
    const pipeline = client.pipeline();
    for (let n = at; n < Math.min(at + 5_000, keys); n += 1) pipeline.set(`seed:${n}`, `value ${n}`);
    await pipeline.exec();
  }
}

export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | null | false>,
  ms = 30_000,
  every = 10,
): Promise<T> {
  const limit = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > limit) throw new Error(`waited ${ms} ms for ${what}`);
    if (every > 0) await sleep(every);
  }
}

export function at(title: string) {
  return (state: State): boolean => state.step === title;
}

/** It has begun, and may be over: a switch takes less than a look at it on a busy machine. */
export function begun(title: string) {
  return (state: State): boolean =>
    state.steps.some((step) => step.title === title && step.startedAt !== undefined);
}

export async function kill9(worker: ChildProcess | null): Promise<void> {
  if (!worker || worker.exitCode !== null || worker.signalCode !== null) return;
  const gone = new Promise((resolve) => worker.once('exit', resolve));
  worker.kill('SIGKILL');
  await gone;
}

/** Ends the worker without a word and starts another one. */
export async function replaceWorker(w: World): Promise<void> {
  await kill9(w.worker);
  await w.startWorker();
}

/** Looks at the state quickly: a switch takes some 50 ms. */
export async function quickly(
  upgrade: Upgrade,
  reached: (state: State) => boolean,
  ms = 30_000,
): Promise<State> {
  return until(
    'a state',
    async () => {
      const state = await upgrade.state().catch(() => null);
      return state && reached(state) ? state : null;
    },
    ms,
  );
}

/** Returns as the switch pauses the writes there (from 7.0 on, which tells the subcommand). */
export async function writesPaused(server: Redis): Promise<void> {
  await until(
    'the pause',
    async () => / name=ferry:\S+ .* cmd=client\|pause /.test(String(await server.client('LIST'))),
    60_000,
    0,
  );
}

/** Returns as the fence stands there: 'fenced' may still be lifted, behind 'sealed' the applications are told. */
export async function fenceStands(server: Redis, how: 'fenced' | 'sealed' = 'sealed'): Promise<void> {
  const least = how === 'sealed' ? 337_800_000 : 337_790_000;
  const value = async () => Number((await server.config('GET', 'min-replicas-to-write')).at(1));
  await until(how, async () => (await value()) >= least, 60_000, 0);
}

/** The way through with both gates approved; returns once the switch was asked for. */
export async function approveAll(upgrade: Upgrade): Promise<void> {
  await upgrade.approve('start');
  await upgrade.until(
    (state) => state.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
    60_000,
  );
  await upgrade.approve('cutover');
}

/** Neither fence nor pause nor mark nor connection of ours is left, and it takes writes. */
export async function expectOrdinary(client: Redis): Promise<void> {
  expect(await client.config('GET', 'min-replicas-to-write')).toContain('0');
  expect(await client.config('GET', 'min-replicas-max-lag')).toContain('10');
  expect(await client.info('replication')).toContain('role:master');
  const began = Date.now();
  await client.set('probe:of:the:test', '1');
  await client.del('probe:of:the:test');
  expect(Date.now() - began, 'milliseconds that a write took').toBeLessThan(1_000);
  // A worker closes its connections a moment after the last answer.
  const names = async () =>
    String(await client.client('LIST'))
      .split('\n')
      .flatMap((line) => / name=(ferry:\S*)/.exec(line)?.[1] ?? []);
  await until('the connections of ferry to go', async () => (await names()).length === 0, 5_000).catch(
    async () => expect(await names()).toEqual([]),
  );
}

/** What must hold at the end, looked at by readers of the test's own. */
export async function expectWhole(input: { w: World; app: Application; serving: Side }): Promise<void> {
  const { w, app, serving } = input;
  // It goes on writing where it is, and a busy machine may have kept it from beginning.
  await until('writes of the application', async () => app.acknowledged.size > 50);
  await app.stop();
  expect(app.url).toContain(`:${w[serving].port}`);
  expect(await app.missing(w.redis(serving)), 'acknowledged writes that are missing').toEqual([]);
  await expectOrdinary(w.redis('source'));
  await expectOrdinary(w.redis('target'));
}

/** The content of the address file, null when there is none. */
export async function addressIn(w: World): Promise<string | null> {
  return readFile(w.addressFile, 'utf8').catch(() => null);
}

/** The same server once more, on its port and its data. */
export async function restart(
  w: World,
  side: Side,
  options: { version: string; args?: string[] },
): Promise<RunningRedis> {
  const { version, args = [] } = options;
  const again = await startRedis({
    binary: binaryOf(version),
    dir: `${w.folder}/${side}`,
    port: w[side].port,
    args,
  });
  w[side] = again;
  return again;
}

/** Repoints by a command that takes its time: `seconds` before and after it writes the file. */
export function slowRepoint(w: World, seconds: { before?: number; after?: number }) {
  const { before = 0, after = 0 } = seconds;
  return {
    kind: 'command' as const,
    command: `sleep ${before}; if [ "$FERRY_DIRECTION" = back ] && [ ! -e '${w.addressFile}' ]; then exit 0; fi; printf '%s\\n' "$FERRY_URL" > '${w.addressFile}.new' && mv '${w.addressFile}.new' '${w.addressFile}'; sleep ${after}`,
  };
}

/** The card as a script, with a real redis-cli on the PATH and the variables that the references name. */
export async function typed(w: World, lines: readonly string[]): Promise<void> {
  const cli = inject('redisServers')
    .map((server) => server.cli)
    .find((path) => path !== null && basename(path) === 'redis-cli');
  if (cli === undefined || cli === null) throw new Error('no redis-cli here');
  const bin = join(w.folder, 'bin');
  await mkdir(bin, { recursive: true });
  await symlink(cli, join(bin, 'redis-cli')).catch(() => {});
  const { stdout } = await promisify(execFile)('sh', ['-e', '-c', lines.join('\n')], {
    env: {
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      OLD_REDIS_URL: w.sourceUrl,
      NEW_REDIS_URL: w.targetUrl,
    },
  });
  expect(stdout).not.toMatch(/ERR|NOAUTH|WRONGPASS/);
}
