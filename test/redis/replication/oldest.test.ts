/* Redis 6.0, which can't pause writes alone, hands over in its own way, under writers. */
import { expect, test } from 'vitest';
import { handOver } from '../../../src/redis/replication/handover.js';
import { roleOf } from '../../../src/redis/replication/role.js';
import { installed } from '../servers.js';
import { couple, losses, writer } from './support.js';

const PAIRS = [
  ['r60', 'r60'],
  ['r60', 'r62'],
  ['r60', 'r70'],
] as const;

test.each(PAIRS.filter((pair) => pair.every(installed)))(
  '%s → %s and back, three times',
  async (...names) => {
    // The old one is looked for by its cron, up to a second later.
    const pair = await couple(names, ['--repl-backlog-size', '64mb']);
    const writers = ['a', 'b', 'c', 'd'].map((key) => writer(pair, key));
    const results = [];
    for (let i = 0; i < 6; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      results.push(await handOver({ ...pair.options(), tries: 10 }));
      pair.exchange();
    }
    for (const each of writers) {
      const { acknowledged, errors } = await each.end();
      // Between the fence and the repoint a write is refused, never lost.
      expect(errors.filter((error) => !/READONLY/.test(error))).toEqual([]);
      expect(acknowledged).toBeGreaterThan(100);
      const { missing } = await losses({ server: pair.one, key: each.key, acknowledged });
      expect(missing).toBe(0);
    }
    expect(results.every(({ partial }) => partial)).toBe(true);
    const [was, is] = [
      await roleOf({ client: pair.one.client() }),
      await roleOf({ client: pair.two.client() }),
    ];
    expect([was.role, is.role]).toEqual(['primary', 'replica']);
    expect(was.syncs.full + is.syncs.full).toBe(1);
  },
);
