/**
 * Handing over from one server to another and back, again and again, under writers behind HAProxy; beside the FAILOVER command, in
 * turn, on a pair of its own.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { connect } from '../../src/redis/connect.js';
import { admit, follow, followBefore, linkUp, replicationUser } from '../../src/redis/replication/follow.js';
import { handOver, type HandoverSide } from '../../src/redis/replication/handover.js';
import { roleOf } from '../../src/redis/replication/role.js';
import { repoint, type Direction } from '../../src/repoint/index.js';
import { findHaproxy, startHaproxy } from '../../src/setup/haproxy.js';
import { startTool } from '../child.js';
import { atMost, collect, median, mediansOf, ratiosOf, rounded, type Result } from '../measure.js';
import type { Place } from '../place.js';
import type { Wait } from '../tools/writers.js';

const HANDOVERS = 50;
const FAILOVERS = 10;
const WRITES_PER_SECOND = 5_000;
/** Beside the FAILOVERs only as many as make the server do its work. */
const FEW_WRITES = 500;
const USER = replicationUser('bench');
const NEVER = new AbortController().signal;

export async function cutover(place: Place): Promise<Result> {
  const ours = await pair(place, WRITES_PER_SECOND);
  const theirs = await pair(place, FEW_WRITES);
  await pause(1_000);
  const ms = collect();
  const began: number[] = [];
  for (let i = 0; i < HANDOVERS; i += 1) {
    began.push(Date.now());
    const { pausedMs } = await ours.handOver();
    ms.add('ferry', pausedMs ?? Number.NaN);
    if (i % (HANDOVERS / FAILOVERS) === 0) {
      const took = await theirs.failover();
      ms.add('failover', took);
      place.say(`handover ${i + 1}: ${pausedMs} ms; FAILOVER ${took.toFixed(1)} ms`);
    }
    await pause(500);
  }
  const { clients } = await ours.stopWriters();
  await theirs.stopWriters();

  let lost = 0;
  const serves = ours.serving();
  for (const { key, acknowledged } of clients) {
    const present = new Set((await serves.lrange(key, 0, -1)).map(Number));
    for (let n = 0; n < acknowledged; n += 1) if (!present.has(n)) lost += 1;
  }
  const errors = clients.reduce((sum, client) => sum + client.errors.length, 0);
  const seen = (kind: 'default' | 'quick'): number[] =>
    began.map((at) =>
      Math.max(0, ...clients.filter((c) => c.kind === kind).flatMap((c) => longestAround(c.waits, at))),
    );
  for (const value of seen('default')) ms.add('seen by ioredis as it comes', value);
  for (const value of seen('quick')) ms.add('seen by ioredis, reconnecting at once', value);
  const most = (name: string): number => Math.max(...(ms.samples.get(name) ?? [Number.NaN]));
  const ratios = ratiosOf(ms.samples, [['ferry', 'failover']]);
  const fullSyncs = await ours.fullSyncs();
  return {
    name: 'cutover',
    rounds: HANDOVERS,
    medians: mediansOf(ms.samples),
    unit: 'ms',
    ratios,
    exact: lost === 0 && errors === 0,
    lost,
    errors,
    fullSyncs,
    goals: [
      ...atMost('write pause, p50 in ms', median(ms.samples.get('ferry') ?? []), 10),
      ...atMost('write pause, max in ms', most('ferry'), 50),
      ...atMost('ferry/failover', ratios['ferry/failover'], 0.1),
      ...atMost('ioredis as it comes, p50 in ms', median(seen('default')), 230),
      ...atMost('ioredis reconnecting at once, p50 in ms', median(seen('quick')), 25),
      ...atMost(
        'ioredis reconnecting at once, max in ms',
        most('seen by ioredis, reconnecting at once'),
        100,
      ),
      ...atMost('acknowledged writes lost', lost, 0),
      ...atMost("clients' errors", errors, 0),
      ...atMost('full syncs', fullSyncs, 1),
    ],
    more: {
      'write pause, max': rounded(most('ferry')),
      'writes acknowledged': clients.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
      'seen by ioredis, reconnecting at once, max': rounded(most('seen by ioredis, reconnecting at once')),
    },
  };
}

/** Of the writes that were under way when it began, or sent within the next 300 ms. */
function longestAround(waits: readonly Wait[], at: number): number[] {
  return waits.filter((wait) => wait.at + wait.took > at && wait.at < at + 300).map(({ took }) => took);
}

/** Two servers, the second following the first, behind HAProxy, under writers. */
async function pair(place: Place, perSecond: number) {
  const haproxyProgram = await findHaproxy(place.say);
  if (!haproxyProgram) throw new Error('this bench needs HAProxy');
  const servers = [await place.start('from'), await place.start('to')] as const;
  const haproxy = await startHaproxy({
    binary: haproxyProgram.path,
    source: servers[0].port,
    target: servers[1].port,
  });
  place.finally(() => haproxy.stop());
  const clients = new Map<number, Redis>();
  const sideOf = async (port: number): Promise<HandoverSide> => {
    const client = new Redis({ port, protocol: 2, retryStrategy: () => 5, maxRetriesPerRequest: null });
    client.on('error', () => {});
    clients.set(port, client);
    place.finally(() => client.disconnect());
    const address = { host: '127.0.0.1', port };
    return { address, at: address, follow: await followBefore({ client }) };
  };
  let [from, to] = [await sideOf(servers[0].port), await sideOf(servers[1].port)];
  const [old, next] = [
    await connect({ address: from.address, name: 'bench' }),
    await connect({ address: to.address, name: 'bench' }),
  ];
  await old.config('SET', 'repl-backlog-size', '64mb');
  await next.config('SET', 'repl-backlog-size', '64mb');
  await admit({ primary: old, follower: next, address: from.address, before: to.follow, user: USER });
  await follow({ client: next, at: from.at });
  await linkUp({ client: next, stalledMs: 20_000, signal: NEVER });
  old.disconnect();
  next.disconnect();
  const stopFile = join(place.folder, `stop-${haproxy.port}`);
  const writing = startTool('writers', { port: haproxy.port, perSecond, stopFile });
  const move = (direction: Direction) =>
    repoint({
      spec: {
        kind: 'haproxy',
        socket: haproxy.socket,
        backend: 'redis',
        servers: { source: 'source', target: 'target' },
      },
      direction,
      name: 'bench',
      serving: { address: to.address, database: 0 },
    });
  const direction = (): Direction => (to.at.port === servers[1].port ? 'forward' : 'back');
  return {
    serving: () => clientOf(from),
    async handOver() {
      const way = direction();
      const result = await handOver({
        from,
        to,
        capMs: 500,
        tries: 5,
        name: 'ferry:bench:1.1',
        user: USER,
        signal: NEVER,
        stillCurrent: async () => {},
        promotedBefore: false,
        repoint: () => move(way),
        repointBack: null,
      });
      [from, to] = [to, from];
      return result;
    },
    /** From the command to the moment that the other one takes writes. */
    async failover(): Promise<number> {
      const began = performance.now();
      await clientOf(from).call('FAILOVER', 'TO', '127.0.0.1', String(to.at.port), 'TIMEOUT', '10000');
      while ((await roleOf({ client: clientOf(to) })).role !== 'primary') await pause(1);
      const took = performance.now() - began;
      await move(direction());
      // The follower logs in as the default user from here on.
      await clientOf(from).config('SET', 'masteruser', '');
      await clientOf(from).config('SET', 'masterauth', '');
      await clientOf(to).config('SET', 'masteruser', '');
      await clientOf(to).config('SET', 'masterauth', '');
      [from, to] = [to, from];
      await linkUp({ client: clientOf(to), stalledMs: 20_000, signal: NEVER });
      return took;
    },
    async stopWriters() {
      writeFileSync(stopFile, '');
      return (await writing.ended).facts;
    },
    async fullSyncs(): Promise<number> {
      const roles = await Promise.all([from, to].map((side) => roleOf({ client: clientOf(side) })));
      return roles.reduce((sum, role) => sum + role.syncs.full, 0);
    },
  };

  function clientOf(side: HandoverSide): Redis {
    const client = clients.get(side.at.port);
    if (!client) throw new Error('no such server');
    return client;
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
