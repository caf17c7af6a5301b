/* The soak on real servers: what brings it back by itself, what it asks, and what it keeps through pauses and dead workers. */
import { connect as tcp, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Plot, State } from '../../src/contract.js';
import { at, expectOrdinary, replaceWorker, until } from '../faults/support.js';
import { slow } from '../support/slow.js';
import { application, sleep, world, type Upgrade, type World } from '../support/world.js';
import { hook, seed } from './support.js';

async function begin(): Promise<World> {
  const w = await world();
  onTestFinished(() => w.close());
  await w.startWorker();
  await seed(w, 'source', 1_000);
  return w;
}

/** Clients that do nothing. */
async function crowd(url: string, size: number): Promise<() => void> {
  const clients = Array.from(
    { length: size },
    () => new Redis(url, { retryStrategy: null, lazyConnect: true }),
  );
  for (const client of clients) client.on('error', () => {});
  await Promise.all(clients.map((client) => client.connect()));
  const close = () => clients.forEach((client) => client.disconnect());
  onTestFinished(close);
  return close;
}

/** A way between two servers that can be cut and mended. */
async function wire(port: number) {
  const sockets = new Set<Socket>();
  let whole = true;
  const server = createServer((near) => {
    if (!whole) return void near.destroy();
    const far = tcp(port, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    reach: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      whole = false;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      whole = true;
    },
  };
}

const soaking = (upgrade: Upgrade) => upgrade.until(at('Soak'), 60_000);
const named = (state: State, name: string) => state.checks.find((check) => check.name === name);

/** What the activity that runs tells in its heartbeats: newer than the state. */
async function soakSeen(
  upgrade: Upgrade,
): Promise<{ seconds: number; series: { from: number; bins: unknown[] } } | null> {
  const description = await upgrade.handle.describe();
  const payload = description.raw.pendingActivities?.[0]?.heartbeatDetails?.payloads?.[0];
  if (!payload?.data) return null;
  const { checkpoint } = JSON.parse(Buffer.from(payload.data).toString()) as { checkpoint?: never };
  return checkpoint ?? null;
}

describe('rollbackWhen', { timeout: 120_000 }, () => {
  test('a clear breach goes back by itself, and no write is lost', async () => {
    const w = await begin();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({
      soak: '10m',
      gates: { cutover: 'auto' },
      rollbackWhen: [
        { metric: 'connections', above: 30, for: '3s' },
        { metric: 'latencyP99Ms', above: 60_000, for: '1s' },
      ],
    });
    await soaking(upgrade);
    const plan = await upgrade.handle.query<{ steps: { title: string; does: string[] }[] }>('plan');
    expect(plan.steps.find(({ title }) => title === 'Soak')?.does.join('\n')).toContain(
      'connections above 30 for 3s',
    );
    await until('writes on the new server', async () => app.url.includes(`:${w.target.port}`));
    const before = app.acknowledged.size;
    await until('more writes', async () => app.acknowledged.size > before + 100);
    const close = await crowd(w.targetUrl, 40);
    const receipt = await upgrade.ended(90_000);
    close();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(receipt.reason).toContain('connections above 30 for 3s');
    await until('writes on the old server', async () => app.url.includes(`:${w.source.port}`));
    await app.stop();
    expect(await app.missing(w.redis('source'))).toEqual([]);
    for (const side of ['source', 'target'] as const) await expectOrdinary(w.redis(side));
    const lag = receipt.plots?.find(({ title }) => title === 'Replication lag') as Plot;
    expect(lag.marks.map(({ says }) => says)).toEqual(['switch', 'connections above 30 for 3s']);
  });

  slow(
    'one that was there before asks once; waived, the soak goes on to its end without asking again',
    async () => {
      const w = await begin();
      await crowd(w.sourceUrl, 20);
      const upgrade = await w.startSwitchover({
        soak: '15s',
        gates: { cutover: 'auto', commit: 'auto' },
        rollbackWhen: [{ metric: 'connections', above: 10, for: '2s' }],
      });
      await soaking(upgrade);
      expect((await upgrade.state()).warnings.join('\n')).toContain('in breach before the cutover');
      await crowd(w.targetUrl, 20);
      const asked = await upgrade.until('NeedsDecision');
      const name = 'rollbackWhen: connections above 10 for 2s';
      expect(asked.decision).toMatchObject({ waivable: [name] });
      expect(asked.decision?.problem).toContain('in breach too');
      expect(asked.decision?.choices).toHaveProperty('rollback');
      await upgrade.say('waive', { check: name, by: 'ada' });
      const receipt = await upgrade.ended(90_000);
      expect(receipt.outcome).toBe('Completed');
      expect(receipt.blemishes).toEqual([expect.stringContaining(`"${name}" was waived by ada`)]);
      expect(receipt.checks.find((check) => check.name === 'The way back is open')?.status).toBe('pass');
      const facts = receipt.facts['soak'] as { seconds: number; connections: number };
      expect(facts.seconds).toBeGreaterThanOrEqual(15);
      expect(facts.connections).toBeGreaterThan(10);
    },
  );
});

describe('the way back', { timeout: 180_000 }, () => {
  slow(
    'the link is cut: a person is told in time with the seconds that are left, and the question passes with the threat',
    async () => {
      const w = await begin();
      const [link, webhook] = [await wire(w.target.port), await hook()];
      onTestFinished(() => webhook.close());
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({
        soak: '10m',
        gates: { cutover: 'auto' },
        reach: { target: link.reach },
        notify: { webhook: `${webhook.url}/told` },
      });
      await soaking(upgrade);
      await until('writes on the new server', async () => app.url.includes(`:${w.target.port}`));
      await sleep(3_000);
      link.cut();
      const asked = await upgrade.until('NeedsDecision', 60_000);
      expect(asked.decision?.problem).toMatch(
        /link between both servers has been down for \d+ s.*closes in about \d+ s/,
      );
      expect(Object.keys(asked.decision?.choices ?? {})).toEqual(
        expect.arrayContaining(['continue', 'skip', 'rollback']),
      );
      expect(asked.warnings).toContain('During the soak the link between both servers was down');
      expect(asked.wayBack).toMatchObject({ possible: true, keepsWrites: true });
      await until('the notification', async () => JSON.stringify(webhook.heard).includes('closes in about'));
      // Still watched while it asks: the seconds that are left become fewer.
      const left = async (): Promise<number | undefined> => {
        const { progress } = await upgrade.state();
        return progress?.step === 'Soak' && (progress.counts['linkDownSeconds'] ?? 0) > 0
          ? progress.counts['linkMayBeDownSeconds']
          : undefined;
      };
      const first = await until('the seconds that are left', left);
      await until('fewer of them', async () => ((await left()) ?? first) < first, 60_000, 200);
      link.mend();
      await upgrade.until((state) => state.phase === 'Running' && state.decision === null, 60_000);
      await upgrade.say('rollback', { by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
      await until('writes on the old server', async () => app.url.includes(`:${w.source.port}`));
      await app.stop();
      expect(await app.missing(w.redis('source'))).toEqual([]);
    },
  );

  slow('threatened, a person closes it before it is lost', async () => {
    const w = await begin();
    const link = await wire(w.target.port);
    const upgrade = await w.startSwitchover({
      soak: '10m',
      gates: { cutover: 'auto' },
      reach: { target: link.reach },
    });
    await soaking(upgrade);
    link.cut();
    await upgrade.until('NeedsDecision', 60_000);
    await upgrade.say('decide', { choice: 'skip', by: 'ada' });
    const open = await upgrade.until('AwaitingApproval');
    expect(named(open, 'The way back is open')).toMatchObject({
      status: 'warn',
      actual: expect.stringContaining('down') as string,
    });
    await upgrade.approve('commit');
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed' });
    for (const side of ['source', 'target'] as const) expect((await w.redis(side).role())[0]).toBe('master');
  });

  slow(
    'the link stays down for longer than the changes are kept: a person is asked, and no way back is promised',
    async () => {
      const w = await begin();
      const link = await wire(w.target.port);
      const upgrade = await w.startSwitchover({
        soak: '10m',
        gates: { cutover: 'auto' },
        reach: { target: link.reach },
      });
      await soaking(upgrade);
      const next = w.redis('target');
      await next.config('SET', 'repl-backlog-size', '1mb');
      await sleep(1_500);
      link.cut();
      const value = 'x'.repeat(100_000);
      for (let i = 0; i < 40; i += 1) await next.set(`big:${i}`, value);
      const asked = await upgrade.until((state) => state.decision?.waivable.length === 1, 60_000);
      expect(asked.decision?.problem).toContain('does not keep any more what the old one needs');
      expect(asked.wayBack).toMatchObject({ possible: true, keepsWrites: false });
      expect(asked.decision?.choices).not.toHaveProperty('rollback');
      expect(asked.decision?.choices).toHaveProperty('rollbackLosingWrites');
    },
  );
});

slow(
  'paused, resumed, and through a dead worker: the soak keeps what it measured',
  { timeout: 120_000 },
  async () => {
    const w = await begin();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({ soak: '15s', gates: { cutover: 'auto', commit: 'auto' } });
    await soaking(upgrade);
    await until('some seconds', async () => ((await soakSeen(upgrade))?.seconds ?? 0) >= 3);
    const first = (await soakSeen(upgrade))?.series;
    await upgrade.say('pause', { by: 'ada' });
    await upgrade.until('Paused');
    await sleep(3_000);
    await upgrade.say('resume', { by: 'ada' });
    await until('it goes on', async () => ((await soakSeen(upgrade))?.seconds ?? 0) >= 5);
    await replaceWorker(w);
    await until('it goes on', async () => ((await soakSeen(upgrade))?.seconds ?? 0) >= 8, 60_000);
    const seen = await soakSeen(upgrade);
    expect(seen?.series.from).toBe(first?.from);
    expect(JSON.stringify(seen).length).toBeLessThan(12_000);
    const receipt = await upgrade.ended(90_000);
    await app.stop();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    expect((receipt.facts['soak'] as { seconds: number }).seconds).toBeGreaterThanOrEqual(15);
    const titles = ['Latency of a PING, p99', 'Commands', 'Replication lag'];
    expect(receipt.plots?.map(({ title }) => title)).toEqual(titles);
    for (const { points, marks } of receipt.plots ?? []) {
      const [mark] = marks;
      expect(points.length).toBeLessThanOrEqual(200);
      expect(points.map(([when]) => when)).toEqual(points.map(([when]) => when).toSorted((a, b) => a - b));
      expect(points.some(([when, value]) => value !== null && when < (mark?.at ?? 0))).toBe(true);
      expect(points.some(([when, value]) => value !== null && when > (mark?.at ?? Infinity))).toBe(true);
      // The pause is a gap of its own, behind the one of the switch.
      const after = points.filter(([when]) => when > (mark?.at ?? 0));
      expect(after.some(([, value]) => value === null)).toBe(true);
      expect(after.at(-1)?.[1]).not.toBeNull();
    }
    expect(await app.missing(w.redis('target'))).toEqual([]);
  },
);
