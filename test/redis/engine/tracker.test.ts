import { describe, expect, test } from 'vitest';
import { startTracking } from '../../../src/redis/tracker.js';
import { server, versionsHere } from './servers.js';

type Words = (string | number)[];

const STREAM: Words[] = [
  ['XADD', 'k', '1-1', 'a', 'b'],
  ['XADD', 'k', '2-1', 'a', 'b'],
  ['XGROUP', 'CREATE', 'k', 'g', '0'],
];
const READ: Words[] = [...STREAM, ['XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', 'k', '>']];
const HASH: Words[] = [['HSET', 'k', 'f', 'v', 'g', 'v']];
const SET: Words[] = [['SET', 'k', 'v']];

/** What is done before, then the command; a version that doesn't know it leaves the line out. */
const REPORTED: [Words[], Words][] = [
  [[], ['SET', 'k', 'v']],
  [[], ['MSET', 'k', '1', 'z', '2']],
  [SET, ['DEL', 'k']],
  [SET, ['UNLINK', 'k']],
  [SET, ['EXPIRE', 'k', 100]],
  [SET, ['PEXPIREAT', 'k', 1]],
  [[['SET', 'k', 'v', 'EX', 100]], ['PERSIST', 'k']],
  [SET, ['GETEX', 'k', 'EX', 100]],
  [SET, ['GETDEL', 'k']],
  [SET, ['APPEND', 'k', 'w']],
  [SET, ['SETRANGE', 'k', 0, 'w']],
  [SET, ['BITFIELD', 'k', 'SET', 'u8', 0, 5]],
  [SET, ['MOVE', 'k', 5]],
  [SET, ['RENAME', 'k', 'z']],
  [[['SET', 'z', 'v']], ['COPY', 'z', 'k']],
  [SET, ['COPY', 'k', 'k', 'DB', 6]],
  [[['RPUSH', 'z', 2, 1]], ['SORT', 'z', 'STORE', 'k']],
  [[], ['PFADD', 'k', 'a']],
  [[['PFADD', 'k', 'a']], ['PFCOUNT', 'k']],
  [[['RPUSH', 'k', 1, 2]], ['LMOVE', 'k', 'z', 'LEFT', 'RIGHT']],
  [[['SADD', 'z', 'a', 'b']], ['SMOVE', 'z', 'k', 'a']],
  [[['ZADD', 'z', 1, 'a']], ['ZRANGESTORE', 'k', 'z', 0, -1]],
  [HASH, ['HEXPIRE', 'k', 100, 'FIELDS', 1, 'f']],
  [HASH, ['HPEXPIREAT', 'k', 1, 'FIELDS', 2, 'f', 'g']],
  [
    [...HASH, ['HEXPIRE', 'k', 100, 'FIELDS', 1, 'f']],
    ['HPERSIST', 'k', 'FIELDS', 1, 'f'],
  ],
  [HASH, ['HGETEX', 'k', 'EX', 100, 'FIELDS', 1, 'f']],
  [STREAM, ['XADD', 'k', '3-1', 'a', 'b']],
  [STREAM, ['XDEL', 'k', '1-1']],
  [STREAM, ['XTRIM', 'k', 'MAXLEN', 1]],
  [[], ['XGROUP', 'CREATE', 'k', 'g', '0', 'MKSTREAM']],
  [READ, ['XACKDEL', 'k', 'g', 'IDS', 1, '1-1']],
  [[], ['EVAL', "redis.call('SET','k','v')", 0]],
];

/** Which is why streams are watched. */
const SILENT: [Words[], Words][] = [
  [STREAM, ['XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', 'k', '>']],
  [READ, ['XACK', 'k', 'g', '1-1']],
  [READ, ['XCLAIM', 'k', 'g', 'c2', 0, '1-1']],
  [READ, ['XAUTOCLAIM', 'k', 'g', 'c2', 0, '0']],
  [STREAM.slice(0, 2), ['XGROUP', 'CREATE', 'k', 'g', '0']],
  [STREAM, ['XGROUP', 'SETID', 'k', 'g', '1-1']],
  [STREAM, ['XGROUP', 'DESTROY', 'k', 'g']],
  [READ, ['XGROUP', 'DELCONSUMER', 'k', 'g', 'c']],
  [STREAM, ['XSETID', 'k', '9-1']],
];

describe.for(versionsHere())('%s', (version) => {
  test('reports every change but those of stream groups', async () => {
    const one = await server(version);
    const client = one.client();
    const tracker = await startTracking({ address: one.address, match: '*' });
    const missed: string[] = [];
    const told: string[] = [];
    const run = async (words: Words): Promise<boolean> => {
      const [name, ...args] = words;
      return client.call(String(name), ...args).then(
        () => true,
        () => false,
      );
    };
    for (const [list, wanted] of [
      [REPORTED, true],
      [SILENT, false],
    ] as const) {
      for (const [before, command] of list) {
        await client.del('k', 'z');
        let known = true;
        for (const words of before) known = (await run(words)) && known;
        await tracker.barrier();
        tracker.take(10);
        if (!known || !(await run(command))) continue;
        await tracker.barrier();
        if (tracker.has(Buffer.from('k')) !== wanted) (wanted ? missed : told).push(command.join(' '));
      }
    }
    expect(missed).toEqual([]);
    // Should a version begin to report these, the watching can be given up for it.
    expect(told).toEqual([]);
    expect(tracker.lost()).toBeNull();

    // Expiry and eviction, which no command does.
    do {
      await client.set('k', 'v', 'PX', 200);
      await tracker.barrier();
      tracker.take(10);
      // On a busy machine it is over by now, and what was taken is that it is.
    } while ((await client.pttl('k')) <= 0);
    await expect.poll(() => tracker.has(Buffer.from('k'))).toBe(true);
    tracker.close();
  });

  test('a barrier leaves no change behind', async () => {
    const one = await server(version);
    const client = one.client();
    const tracker = await startTracking({ address: one.address, match: 'k:*' });
    for (let i = 0; i < 200; i += 1) {
      await Promise.all([client.set(`k:${i}`, 'v'), client.set(`other:${i}`, 'v')]);
      await tracker.barrier();
      expect(tracker.take(10).map(String)).toEqual([`k:${i}`]);
    }
    tracker.close();
  });

  test('knows when it can’t know', async () => {
    const one = await server(version);
    const client = one.client();
    const start = () => startTracking({ address: one.address, match: '*', maxKeys: 100 });
    const flushed = await start();
    await client.flushdb();
    await flushed.barrier();
    expect(flushed.lost()).toMatch(/flushed/);

    const swapped = await start();
    await client.call('SWAPDB', 3, 4);
    await swapped.barrier();
    expect(swapped.lost()).toMatch(/SWAPDB/);

    const full = await start();
    await client.mset(Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`k${i}`, 'v'])));
    await full.barrier();
    expect(full.lost()).toMatch(/100 keys/);
    expect(full.pending()).toBe(0);

    const cut = await start();
    await one.kill9();
    await cut.barrier();
    expect(cut.lost()).toMatch(/closed|reset/);
  });
});
