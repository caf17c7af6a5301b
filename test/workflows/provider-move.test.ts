/* providerMove on real servers, under writers: over together, back from every place, and a store that fails. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Estimates } from '../../src/inputs/rehearsal.js';
import type { Moment } from '../../src/receipt/stores.js';
import { NO_POSTGRES, startServers, type Servers } from '../support/postgres.js';
import { open, windowWorld } from '../support/window-world.js';

/** An Update that is not taken. */
async function refused(said: Promise<string> | undefined, because: string): Promise<void> {
  await expect(said).rejects.toMatchObject({
    cause: { message: expect.stringContaining(because) as unknown },
  });
}

const TICKED = { checklist: ['The commands are ready'] };
const AHEAD = { gates: { start: 'auto' as const, checklist: 'auto' as const } };

describe.skipIf(NO_POSTGRES)('providerMove', { timeout: 180_000 }, () => {
  let postgres: Servers;
  beforeAll(async () => {
    postgres = await startServers();
  });
  afterAll(() => postgres.stop());

  test('two Redis and a PostgreSQL: prepared ahead, ticked, approved by two, switched over, verified', async () => {
    const w = await windowWorld(['sessions', 'cache', 'orders'], { postgres });
    await w.startWorker();
    const opensAt = Date.now() + 25_000;
    const upgrade = await w.start({
      ...TICKED,
      checklistBefore: '5s',
      takes: '1m',
      window: {
        opensAt: new Date(opensAt).toISOString(),
        closesAt: new Date(opensAt + 600_000).toISOString(),
      },
    });
    await upgrade.approve('start');
    const ticking = await open(upgrade, 'checklist');
    expect(Date.now()).toBeGreaterThan(opensAt - 5_500);
    expect(ticking.impact).toEqual([]);
    expect(ticking.fleet?.map(({ at }) => at)).toEqual(['ready', 'ready', 'prepared']);
    await refused(upgrade.approve('checklist'), 'nobody has ticked: The commands are ready');
    await upgrade.say('tick', { item: 'The commands are ready', by: 'ada' });
    await upgrade.approve('checklist');
    const asked = await open(upgrade, 'cutover');
    expect(Date.now()).toBeGreaterThan(opensAt);
    expect(asked.fleet?.map(({ at }) => at)).toEqual(['ready', 'ready', 'ready']);
    expect(asked.impact).not.toEqual([]);
    await upgrade.approve('cutover', 'ada');
    await refused(upgrade.approve('cutover', 'Ada'), 'another person');
    // What waits for the window is answered there, and by nobody else.
    const [sessions] = w.upgrades();
    await refused(sessions?.approve('cutover'), `answered by ${upgrade.id}`);
    await upgrade.approve('cutover', 'grace');
    await upgrade.approve('close');
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    expect(Object.values(receipt.facts['stores'] as object)).toMatchObject(
      Array(3).fill({ outcome: 'Completed', clean: true }),
    );
    await w.expectAll('new');
  });

  test.each([
    ['at the barrier', 'checklist'],
    ['in the window, before the switch', 'cutover'],
    ['after it was verified', 'close'],
  ])('goes back %s: every store where it was, with every write', async (_, gate) => {
    const w = await windowWorld(['sessions', 'cache', 'orders'], { postgres });
    await w.startWorker();
    const auto = ['start', 'checklist', 'cutover'].filter((each) => each !== gate);
    const upgrade = await w.start({ gates: Object.fromEntries(auto.map((each) => [each, 'auto'])) });
    const state = await open(upgrade, gate);
    if (gate === 'close') {
      // PostgreSQL has no copy back: what its application writes from now on would stay there.
      expect(state.wayBack).toMatchObject({ possible: true, keepsWrites: false });
      expect(await w.stores['orders']?.serves()).toBe('new');
      await w.stores['orders']?.stop();
    }
    await upgrade.say('rollback', { by: 'ada', acceptLoss: gate === 'close' });
    if (gate === 'close') await w.answer('orders', { choice: 'retry' });
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(receipt.facts['fleet']).toMatchObject(Array(3).fill({ outcome: 'RolledBack' }));
    const { orders, ...redis } = w.stores;
    for (const store of Object.values(redis)) {
      expect([store.name, await store.serves(), await store.missing('old')]).toEqual([store.name, 'old', 0]);
      await store.expectUntouched();
    }
    expect(await orders?.serves()).toBe('old');
    if (gate !== 'close') {
      expect(await orders?.missing('old')).toBe(0);
      await orders?.expectUntouched();
    }
  });

  test('a store that fails: alone where it is independent, else a person decides for all', async () => {
    const w = await windowWorld(['sessions', 'cache']);
    await w.startWorker();
    const [sessions, cache] = [w.stores['sessions']?.store, w.stores['cache']?.store];
    const failing = { probes: [{ command: 'false' }] };
    const upgrade = await w.start({
      ...AHEAD,
      stores: [
        { ...sessions!, input: { ...sessions!.input } },
        { ...cache!, input: { ...cache!.input, ...failing }, independent: true },
      ],
    });
    await upgrade.approve('cutover', 'ada');
    await upgrade.approve('cutover', 'grace');
    await upgrade.approve('close');
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: false });
    expect(receipt.blemishes.join()).toContain('did not move: it ended as RolledBack');
    expect([await w.stores['sessions']?.serves(), await w.stores['sessions']?.missing('new')]).toEqual([
      'new',
      0,
    ]);
    expect([await w.stores['cache']?.serves(), await w.stores['cache']?.missing('old')]).toEqual(['old', 0]);
  });

  test('a store that went back by itself: begun anew, and all go over', async () => {
    const w = await windowWorld(['sessions', 'cache']);
    await w.startWorker();
    const upgrade = await w.start(AHEAD);
    await open(upgrade, 'cutover');
    const [, cache] = w.upgrades();
    await cache?.say('rollback', { by: 'ada' });
    await upgrade.approve('cutover', 'ada');
    await upgrade.approve('cutover', 'grace');
    const { decision } = await upgrade.until('NeedsDecision');
    expect(decision?.problem).toContain('it ended as RolledBack: asked by ada');
    await upgrade.say('decide', { choice: 'retry', by: 'ada' });
    await upgrade.approve('close');
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed' });
    await w.expectAll('new');
  });

  test('in the order given, PostgreSQL afterwards, the application stopped meanwhile', async () => {
    const w = await windowWorld(['sessions', 'cache', 'orders'], { postgres });
    await w.startWorker();
    const log = join(w.folder, 'log');
    const says = (what: string) => ({ command: `echo ${what} >> ${log}` });
    const upgrade = await w.start({
      order: 'given',
      stopWrites: says('stop'),
      startWrites: says('start'),
      probes: [{ command: `echo probe >> ${log}` }],
      gates: { start: 'auto', checklist: 'auto', cutover: 'auto', close: 'auto' },
      stores: Object.entries(w.stores).map(([what, { store }]) => ({
        ...store,
        when: what === 'orders' ? ('afterwards' as const) : ('window' as const),
      })),
    });
    const before = await open(upgrade, 'afterwards');
    expect(before.fleet?.map(({ at }) => at)).toEqual(['switched over', 'switched over', undefined]);
    expect(before.impact).toEqual([]);
    expect(await readFile(log, 'utf8')).toBe('stop\nprobe\nstart\n');
    await upgrade.approve('afterwards');
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    const line = receipt.facts['timeline'] as Moment[];
    const switched = (what: string) =>
      line.findIndex(({ store, step }) => store.endsWith(what) && step === 'Switch the applications over');
    expect(switched('sessions')).toBeLessThan(switched('cache'));
    expect(switched('cache')).toBeLessThan(switched('orders'));
    await w.expectAll('new');
  });

  test.each([
    ['terminated', false],
    ['terminated and deleted in Temporal', true],
  ])('%s with the stores prepared, it is recovered: they go back', async (_, deleted) => {
    const w = await windowWorld(['sessions', 'cache']);
    await w.startWorker();
    const upgrade = await w.start(AHEAD);
    await open(upgrade, 'cutover');
    await upgrade.handle.terminate('by mistake');
    if (deleted) {
      const { client, workflowId } = upgrade.handle;
      await client.workflowService.deleteWorkflowExecution({
        namespace: client.options.namespace,
        workflowExecution: { workflowId },
      });
      await expect
        .poll(() => upgrade.handle.describe().catch((error: Error) => error.name))
        .toBe('WorkflowNotFoundError');
    }
    await w.recover(upgrade);
    await w.expectAll('old');
  });

  test('a whole window is rehearsed on staging: there, and back', async () => {
    const w = await windowWorld(['sessions', 'cache']);
    await w.startWorker();
    const rehearsal = await w.rehearse({ complete: false });
    const receipt = await rehearsal.ended(120_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    const { steps, backMs } = receipt.facts['estimates'] as Estimates;
    expect(steps.map(({ title }) => title)).toEqual(
      expect.arrayContaining(['Prepare the stores', 'Switch the stores over']),
    );
    expect(backMs).toBeGreaterThan(0);
    await w.expectAll('old');
  });
});
