/* The canary's process by itself, on real servers: what it tells, and that nothing of it is left. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { CanaryFacts, CanaryOrder } from '../../src/canary/facts.js';
import { serve, type TestServer } from '../redis/servers.js';
import { until } from '../faults/support.js';

const PROGRAM = join(resolve(process.env['FERRY_TEST_DIST'] ?? 'dist'), 'canary', 'main.js');
const ID = '0123456789abcdef01234567';
const KEY = `ferry:canary:${ID}`;

async function canary(places: Pick<TestServer, 'port'>[], more: Partial<CanaryOrder> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-canary-'));
  const order: CanaryOrder = {
    id: ID,
    connection: 'ferry:test:canary',
    places: places.map(({ port }) => ({ host: '127.0.0.1', port })),
    facts: join(folder, 'facts.json'),
    told: join(folder, 'told'),
    leaseMs: 600_000,
    ...more,
  };
  await writeFile(order.told, 'run\n');
  const child = spawn(process.execPath, [PROGRAM], { stdio: ['pipe', 'ignore', 'ignore'] });
  child.stdin.end(JSON.stringify(order));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });
  const facts = async (): Promise<CanaryFacts | null> =>
    readFile(order.facts, 'utf8').then(
      (text) => JSON.parse(text) as CanaryFacts,
      () => null,
    );
  return {
    child,
    order,
    folder,
    facts,
    writes: (more = 20) =>
      until('writes', async () => {
        const now = await facts();
        return now && now.acknowledged >= more ? now : null;
      }),
    async ended(): Promise<CanaryFacts> {
      await gone(child);
      const last = await facts();
      if (!last) throw new Error('it left no facts');
      return last;
    },
  };
}

function gone(child: ChildProcess): Promise<unknown> {
  return until('its end', async () => child.exitCode !== null || child.signalCode !== null);
}

test('it writes, reads back, removes its key and ends when told', async () => {
  const server = await serve();
  const bird = await canary([server]);
  await bird.writes();
  const ttl = await server.client().pttl(KEY);
  expect(ttl, 'its key expires, whatever becomes of it').toBeGreaterThan(0);
  await writeFile(bird.order.told, 'end\n');
  const facts = await bird.ended();
  expect(facts).toMatchObject({ state: 'done', duplicated: 0, errors: 0, unanswered: 0 });
  expect(facts.acknowledged).toBeGreaterThanOrEqual(20);
  expect(facts.present).toBe(facts.acknowledged);
  expect(facts.points.length).toBeGreaterThan(1);
  expect(await server.client().dbsize()).toBe(0);
  expect(await readdir(bird.folder)).toEqual(['facts.json']);
});

test('what a server loses is missing, what is there twice is told', async () => {
  const server = await serve();
  const client = server.client();
  const bird = await canary([server]);
  await bird.writes();
  // Numbers 1 and 2 get lost, and somebody adds another 4.
  await client.ltrim(KEY, 2, -1);
  await client.rpush(KEY, 4);
  await writeFile(bird.order.told, 'end\n');
  const facts = await bird.ended();
  expect(facts.acknowledged - (facts.present ?? 0)).toBe(2);
  expect(facts.duplicated).toBe(1);
});

test('sent away from a server that takes no writes any more, it goes to the other one', async () => {
  const [one, two] = [await serve(), await serve()];
  await two.client().call('REPLICAOF', '127.0.0.1', String(one.port));
  await until('the link', async () =>
    (await two.client().info('replication')).includes('master_link_status:up'),
  );
  const bird = await canary([one, two]);
  await bird.writes();
  await two.client().call('REPLICAOF', 'NO', 'ONE');
  await one.client().call('REPLICAOF', '127.0.0.1', String(two.port));
  const before = (await bird.writes()).acknowledged;
  await bird.writes(before + 20);
  await until('it to be there', async () =>
    String(await two.client().client('LIST')).includes('ferry:test:canary'),
  );
  await bird.writes((await bird.writes()).acknowledged + 20);
  await writeFile(bird.order.told, 'end\n');
  const facts = await bird.ended();
  // Between the two commands both took writes, without a handover: whatever fell into that is rightly missed.
  expect(facts.moves.length).toBeGreaterThan(0);
  expect(facts.errorKinds).toHaveProperty('READONLY');
  expect(facts.longestWaitMs).toBeGreaterThan(0);
  expect(await two.client().exists(KEY)).toBe(0);
});

test('where it can not connect it says why, and ends by itself', async () => {
  const server = await serve();
  await server.stop();
  const bird = await canary([server]);
  expect(await bird.ended()).toMatchObject({
    state: 'done',
    acknowledged: 0,
    present: null,
    because: 'it could not write: ECONNREFUSED',
  });
});

test('a user without the right to write its keys: it says so', async () => {
  const server = await serve({ name: 'r62' });
  const client = server.client();
  await client.call('ACL', 'SETUSER', 'app', 'on', '>planted', '~app:*', '+@all');
  const bird = await canary([], {
    places: [{ host: '127.0.0.1', port: server.port, username: 'app', password: 'planted' }],
  });
  const facts = await bird.ended();
  expect(facts).toMatchObject({ acknowledged: 0, because: 'it could not write: NOPERM' });
  expect(JSON.stringify(facts)).not.toContain('planted');
});

test.each<[string, (path: string) => Promise<void>]>([
  ['nobody touches its file any more', (path) => utimes(path, new Date(0), new Date(0))],
  ['its file is gone', (path) => rm(path)],
])('it ends by itself when %s, with what it has seen', async (_, leave) => {
  const server = await serve();
  const bird = await canary([server], { leaseMs: 60_000 });
  await bird.writes();
  await leave(bird.order.told);
  const facts = await bird.ended();
  expect(facts.present).toBe(facts.acknowledged);
  expect(await server.client().dbsize()).toBe(0);
});

test('left behind a pause that nobody ends, it gives its write up, reads back and ends', async () => {
  const server = await serve();
  const bird = await canary([server]);
  await bird.writes();
  await server.client().call('CLIENT', 'PAUSE', '600000', 'WRITE');
  await rm(bird.order.told);
  const facts = await bird.ended();
  expect(facts).toMatchObject({ state: 'done', duplicated: 0, unansweredPresent: 0 });
  expect(facts.present).toBe(facts.acknowledged);
});
