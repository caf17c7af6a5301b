/* redisSwitchover under its canary: what the receipt says of it, whatever happens to the worker and to the canary. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import type { Receipt } from '../../src/contract.js';
import { pathFor } from '../../src/platform/home.js';
import { startHaproxy } from '../support/haproxy.js';
import { slow } from '../support/slow.js';
import { application, world, type Upgrade, type World } from '../support/world.js';
import { at, begun, expectWhole, kill9, quickly, seed, slowRepoint, until } from './support.js';

async function begin(): Promise<World> {
  const w = await world();
  onTestFinished(() => w.close());
  await w.startWorker();
  await writeFile(w.addressFile, `${w.sourceUrl}\n`);
  await seed(w.redis('source'), 1_000);
  return w;
}

/** Canaries whose facts are in this world's folder, by process ID. */
async function canaries(w: World, upgrade: Upgrade): Promise<number[]> {
  const folder = folderOf(w, upgrade);
  const names = (await readdir(folder).catch(() => [])).filter((name) => /\.canary-.*\.json$/.test(name));
  const pids = await Promise.all(
    names.map(async (name) =>
      Number((JSON.parse(await readFile(join(folder, name), 'utf8')) as { pid: number }).pid),
    ),
  );
  return pids;
}

function folderOf(w: World, upgrade: Upgrade): string {
  return join(w.env['FERRY_HOME'] ?? '', pathFor(upgrade.id).split('/').at(-1) ?? '');
}

async function expectNoneLeft(w: World, upgrade: Upgrade): Promise<void> {
  for (const pid of await canaries(w, upgrade))
    await until(`the end of ${pid}`, async () => !runs(pid), 20_000);
  for (const side of ['source', 'target'] as const)
    await until(
      `no key on the ${side}`,
      async () => (await w.redis(side).keys('ferry:canary:*')).length === 0,
    );
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function saw(receipt: Receipt, which: 'canary' | 'canaryBack' = 'canary'): Record<string, number> {
  return receipt.facts[which] as Record<string, number>;
}

function expectAllThere(receipt: Receipt, which: 'canary' | 'canaryBack' = 'canary'): void {
  const facts = saw(receipt, which);
  expect(facts).toMatchObject({ missing: 0, duplicated: 0, unansweredPresent: 0, errors: 0, notReadBack: 0 });
  expect(facts['acknowledged']).toBeGreaterThan(10);
  expect(facts['present']).toBe(facts['acknowledged']);
  expect(facts['longestWaitMs']).toBeGreaterThan(0);
}

describe('the canary', { timeout: 120_000 }, () => {
  slow('forward: every acknowledged write is there; the receipt shows how long they waited', async () => {
    const w = await begin();
    const upgrade = await w.startSwitchover({ canary: {}, gates: { cutover: 'auto', commit: 'auto' } });
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
    expectAllThere(receipt);
    expect(receipt.checks).toContainEqual(
      expect.objectContaining({ name: "The canary's writes", status: 'pass' }),
    );
    const plot = receipt.plots?.find(({ title }) => title === "Waiting time of the canary's writes");
    expect(plot?.points.length).toBeGreaterThan(10);
    expect(plot?.points.length).toBeLessThanOrEqual(200);
    expect(plot?.marks[0]?.says).toBe('the switch');
    const page = await readFile(receipt.files?.html ?? '', 'utf8');
    expect(page).toContain('the switch');
    expect(page).toContain('<figure class="plot">');
    expect((await upgrade.state()).receipt?.files).toEqual(receipt.files);
    await expectNoneLeft(w, upgrade);
  });

  test('forward and back: both ways are told, and nothing is left on either server', async () => {
    const w = await begin();
    const upgrade = await w.startSwitchover({ canary: {}, soak: '10m', gates: { cutover: 'auto' } });
    await upgrade.until(at('Soak'), 60_000);
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expectAllThere(receipt, 'canary');
    expectAllThere(receipt, 'canaryBack');
    expect(receipt.plots?.map(({ title }) => title)).toContain(
      "Waiting time of the canary's writes on the way back",
    );
    const step = receipt.steps.find(({ title }) => title === 'Switch the applications over');
    expect(step?.note).toContain('all there');
    await expectNoneLeft(w, upgrade);
  });

  slow('the worker is killed in the middle of the switch: what the canary saw still arrives', async () => {
    const w = await begin();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({
      canary: {},
      gates: { cutover: 'auto', commit: 'auto' },
      repoint: slowRepoint(w, { before: 2 }),
    });
    const next = w.redis('target');
    await quickly(upgrade, begun('Switch the applications over'), 60_000);
    await until('the promotion', async () => (await next.role())[0] === 'master', 60_000);
    const before = await canaries(w, upgrade);
    expect(before).toHaveLength(1);
    await kill9(w.worker);
    expect(runs(before[0] ?? 0), 'it outlives its worker').toBe(true);
    await w.startWorker();
    const receipt = await upgrade.ended(90_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
    expect(await canaries(w, upgrade), 'the later attempt went on with the same').toEqual(before);
    expectAllThere(receipt);
    // It was there from before the pause until after the switch.
    expect(saw(receipt)['longestWaitMs']).toBeGreaterThan(1_500);
    await expectNoneLeft(w, upgrade);
    await expectWhole({ w, app, serving: 'target' });
  });

  slow('a canary that can not connect does not stop the switch, and the receipt says unknown', async () => {
    const w = await begin();
    const upgrade = await w.startSwitchover({
      gates: { cutover: 'auto', commit: 'auto' },
      canary: { endpoint: 'redis://127.0.0.1:1' },
    });
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: false });
    expect(receipt.facts['canary']).toMatchObject({ acknowledged: null, missing: null, longestWaitMs: null });
    expect(receipt.blemishes).toEqual(["The canary's writes are unknown: it could not write: ECONNREFUSED"]);
    await expectNoneLeft(w, upgrade);
  });

  slow('a canary that was killed tells nothing: unknown, and not zero', async () => {
    const w = await begin();
    const upgrade = await w.startSwitchover({
      canary: {},
      gates: { cutover: 'auto', commit: 'auto' },
      repoint: slowRepoint(w, { before: 2 }),
    });
    await quickly(upgrade, begun('Switch the applications over'), 60_000);
    await until('the promotion', async () => (await w.redis('target').role())[0] === 'master', 60_000);
    const [pid = 0] = await canaries(w, upgrade);
    process.kill(pid, 'SIGKILL');
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: false });
    expect(receipt.facts['canary']).toMatchObject({ acknowledged: null, missing: null });
    expect(receipt.blemishes).toEqual([
      "The canary's writes are unknown: it was ended before it could read back what it had written",
    ]);
    expect(
      await w.redis('target').pttl((await w.redis('target').keys('ferry:canary:*'))[0] ?? ''),
    ).toBeGreaterThan(0);
  });

  slow('without one: nothing is started, written or said', async () => {
    const w = await begin();
    const upgrade = await w.startSwitchover({ gates: { cutover: 'auto', commit: 'auto' }, canary: false });
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
    expect(receipt.facts).not.toHaveProperty('canary');
    expect(await canaries(w, upgrade)).toEqual([]);
  });

  slow('Ctrl-C of the worker in the middle, and nobody comes: no canary stays', async () => {
    const w = await begin();
    const upgrade = await w.startSwitchover({
      canary: {},
      gates: { cutover: 'auto' },
      repoint: slowRepoint(w, { before: 2 }),
    });
    await quickly(upgrade, begun('Switch the applications over'), 60_000);
    await until('the promotion', async () => (await w.redis('target').role())[0] === 'master', 60_000);
    const [pid = 0] = await canaries(w, upgrade);
    expect(runs(pid)).toBe(true);
    w.worker?.kill('SIGINT');
    await until('the end of the worker', async () => w.worker?.exitCode !== null);
    await until('the end of the canary', async () => !runs(pid), 20_000);
  });

  slow('through HAProxy, where the applications connect', async ({ skip }) => {
    skip(inject('haproxy') === null, 'no HAProxy here');
    const w = await begin();
    const haproxy = await startHaproxy({ source: w.source.port, target: w.target.port });
    onTestFinished(() => haproxy.stop());
    const upgrade = await w.startSwitchover({
      soak: '10m',
      gates: { cutover: 'auto' },
      canary: { endpoint: `redis://127.0.0.1:${haproxy.port}` },
      repoint: {
        kind: 'haproxy',
        socket: haproxy.socket,
        backend: 'redis',
        servers: { source: 'source', target: 'target' },
      },
    });
    await upgrade.until(at('Soak'), 60_000);
    await upgrade.say('rollback', { by: 'ada' });
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expectAllThere(receipt, 'canary');
    expectAllThere(receipt, 'canaryBack');
    await expectNoneLeft(w, upgrade);
  });
});
