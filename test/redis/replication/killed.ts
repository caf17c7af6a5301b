/* A worker is killed with -9, or sleeps, in the middle of a handover; a later attempt finishes it. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import { parseInfo } from '../../../src/redis/info.js';
import { roleOf } from '../../../src/redis/replication/role.js';
import { until } from '../../faults/support.js';
import { again, couple, losses, writer, type Couple } from './support.js';

const DIST = resolve(process.env['FERRY_TEST_DIST'] ?? 'dist');

export interface Instant {
  when: 'before' | 'after';
  /** Which of the commands that it sends, from 1. */
  command: number;
}

/** An attempt in a process of its own, which kills or stops itself at that instant. */
async function attemptThat(on: {
  pair: Couple;
  by: 'SIGKILL' | 'SIGSTOP';
  at: Instant;
  attempt: number;
}): Promise<ChildProcess> {
  const { pair, by, at, attempt } = on;
  const name = `ferry:test:1.${attempt}`;
  await rm(pair.toldFile, { force: true });
  await writeFile(pair.currentFile, name);
  const { portFile, toldFile, currentFile } = pair;
  const dying = {
    // Functions stay behind when it is written as JSON: the child has its own.
    options: { ...pair.options(), name },
    dist: DIST,
    portFile,
    toldFile,
    currentFile,
    die: { ...at, by },
  };
  const child = spawn(
    process.execPath,
    [resolve('test/redis/replication/dying.mjs'), JSON.stringify(dying)],
    {
      // Whoever wakes up behind the other one says what it met.
      stdio: ['ignore', 'inherit', by === 'SIGSTOP' ? 'ignore' : 'inherit'],
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** Kills at each of the given commands in turn, forth and back between the same two servers. Returns what clients waited at most. */
export async function expectWholeAfterKills(on: {
  names: readonly [string, string];
  at: readonly Instant[];
}): Promise<{ kills: number; longest: number }> {
  const pair = await couple(on.names);
  const writers = ['a', 'b'].map((key) => writer(pair, key));
  let kills = 0;
  let attempt = 1;
  for (const die of on.at) {
    const child = await attemptThat({ pair, by: 'SIGKILL', at: die, attempt: (attempt += 1) });
    const [, how] = (await once(child, 'exit')) as [number | null, string | null];
    if (how === 'SIGKILL') {
      kills += 1;
      await again(pair, (attempt += 1));
    }
    pair.exchange();
    const [serves, follows] = [
      pair.sides.from.at.port === pair.one.port ? pair.one : pair.two,
      pair.sides.from.at.port === pair.one.port ? pair.two : pair.one,
    ];
    const [was, is] = await Promise.all([
      roleOf({ client: serves.client() }),
      roleOf({ client: follows.client() }),
    ]);
    expect([die, was.role, is.role, is.follows?.linkUp]).toEqual([die, 'primary', 'replica', true]);
    // Nobody is held any more.
    await serves.client().set('free', '1');
  }
  let longest = 0;
  for (const each of writers) {
    const end = await each.end();
    const server = pair.sides.from.at.port === pair.one.port ? pair.one : pair.two;
    expect(await losses({ server, key: each.key, acknowledged: end.acknowledged })).toMatchObject({
      missing: 0,
    });
    longest = Math.max(longest, end.longest);
  }
  return { kills, longest };
}

/**
 * An attempt sleeps at each of the given commands in turn, a later one finishes the handover, and the first wakes up: it changes
 * nothing any more. Gives how many slept.
 */
export async function expectSleepersHarmless(on: {
  names: readonly [string, string];
  at: readonly Instant[];
}): Promise<number> {
  const pair = await couple(on.names);
  const app = writer(pair, 'a');
  let slept = 0;
  let attempt = 1;
  for (const at of on.at) {
    const child = await attemptThat({ pair, by: 'SIGSTOP', at, attempt: (attempt += 1) });
    const ended = once(child, 'exit');
    const sleeps = await until('it to sleep or to end', async () =>
      child.exitCode !== null ? 'ended' : (await stateOf(child)).startsWith('T') && 'sleeps',
    );
    if (sleeps === 'sleeps') {
      slept += 1;
      // What it sent last closes connections, also behind a pause; Temporal waits for longer than this.
      await sleep(300);
      await again(pair, (attempt += 1));
      const before = await picture(pair);
      child.kill('SIGCONT');
      await ended;
      expect([at, await picture(pair)]).toEqual([at, before]);
    }
    pair.exchange();
    // Nobody is held.
    await (pair.sides.from.at.port === pair.one.port ? pair.one : pair.two).client().set('free', '1');
  }
  const { acknowledged } = await app.end();
  const server = pair.sides.from.at.port === pair.one.port ? pair.one : pair.two;
  expect(await losses({ server, key: app.key, acknowledged })).toMatchObject({ missing: 0 });
  return slept;
}

async function stateOf({ pid }: ChildProcess): Promise<string> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'state=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }));
  return stdout.trim();
}

/** What a handover changes: who is what, every setting, every user, and where the applications were sent. */
async function picture(pair: Couple) {
  const sides = await Promise.all(
    [pair.one, pair.two].map(async (server) => {
      const client = server.client();
      const { role, replId, replId2, follows, syncs } = await roleOf({ client });
      const { connected_slaves } = parseInfo(await client.info('replication'));
      return {
        role,
        replId,
        replId2,
        follows,
        syncs,
        connected_slaves,
        settings: await client.call('CONFIG', 'GET', '*'),
        users: await client.call('ACL', 'LIST'),
      };
    }),
  );
  return { sides, port: await readFile(pair.portFile, 'utf8') };
}
