/* The worker is killed with -9 in the middle of a handover; a later attempt finishes it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { expect } from 'vitest';
import { roleOf } from '../../../src/redis/replication/role.js';
import { again, couple, losses, writer } from './support.js';

const DIST = resolve(process.env['FERRY_TEST_DIST'] ?? 'dist');

/** Kills at each of the given commands in turn, forth and back between the same two servers. Returns what clients waited at most. */
export async function expectWholeAfterKills(on: {
  names: readonly [string, string];
  at: readonly { when: 'before' | 'after'; command: number }[];
}): Promise<{ kills: number; longest: number }> {
  const pair = await couple(on.names);
  const writers = ['a', 'b'].map((key) => writer(pair, key));
  let kills = 0;
  let attempt = 1;
  for (const die of on.at) {
    // Functions stay behind when it is written as JSON: the child has its own.
    const options = pair.options();
    await rm(pair.toldFile, { force: true });
    const dying = {
      options: { ...options, name: `ferry:test:1.${(attempt += 1)}` },
      dist: DIST,
      portFile: pair.portFile,
      toldFile: pair.toldFile,
      die,
    };
    const child = spawn(
      process.execPath,
      [resolve('test/redis/replication/dying.mjs'), JSON.stringify(dying)],
      {
        stdio: 'inherit',
      },
    );
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
