/* The options of redisCopy on real servers: stopped writes, mapped databases, shared servers, clean-up, probes, notifications. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'vitest';
import type { Plan } from '../../src/contract.js';
import { queries } from '../../src/contract.js';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { world, type Upgrade, type World, type WorldOptions } from '../support/world.js';
import { ferryConnections, hook, locks, seed, soon, standing } from './support.js';

/** Tests run side by side, so each ends its own world by its own context. */
async function open({ onTestFinished }: TestContext, options: WorldOptions = {}): Promise<World> {
  const w = await world(options);
  onTestFinished(() => w.close());
  await w.startWorker();
  return w;
}

const auto = { start: 'auto', cutover: 'auto' } as const;
const passedGate = (name: string) => (state: Awaited<ReturnType<Upgrade['state']>>) =>
  state.gates.some((gate) => gate.name === name && gate.status === 'open');

/** Nothing of us is left on either server, nor in Temporal. */
async function nothingLeft(w: World): Promise<void> {
  await soon(async () => (await ferryConnections(w)).length === 0 && (await locks(w)).length === 0);
}

describe.concurrent('writes: "stopped"', () => {
  test('webhooks stop and start the application, repoint it, probe it, and tell people', async (t) => {
    const { expect } = t;
    const h = await hook();
    t.onTestFinished(() => h.close());
    const w = await open(t, {
      env: { TELL_URL: `${h.url}/T0K3N-in-the-path`, FERRY_UI_URL: 'http://127.0.0.1:8233' },
    });
    await seed(w, 'source', 200);
    const before = await standing(w);
    h.answers.set('/health', 500);
    const upgrade = await w.start({
      writes: 'stopped',
      stopWrites: { webhook: `${h.url}/stop` },
      startWrites: { webhook: `${h.url}/start` },
      repoint: { kind: 'webhook', webhook: `${h.url}/repoint` },
      probes: [
        { http: `${h.url}/health`, name: 'health', timeout: '2s' },
        { command: 'echo fine', name: 'login' },
      ],
      notify: { webhook: { env: 'TELL_URL' } },
      contact: 'Ada, 555-0100',
      databases: { '0': 3 },
      followUps: ['Terraform'],
      gates: { start: 'auto' },
    });
    await upgrade.approve('cutover');
    const held = await upgrade.until('NeedsDecision');
    expect(held.decision).toMatchObject({
      about: 'Test the application',
      waivable: ['health'],
      problem: expect.stringContaining('answered 500, expected 200'),
    });
    // The application writes again, whatever its test says.
    expect(held.impact).toEqual([]);
    await upgrade.say('waive', { check: 'health', by: 'ada' });
    await upgrade.say('tick', { item: 'Terraform', by: 'ada' }).catch(() => undefined);
    const receipt = await upgrade.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.blemishes[0]).toContain('The check "health" was waived by ada');

    const paths = h.heard.map(({ path }) => path).filter((path) => !path.includes('T0K3N'));
    expect(paths).toEqual(['/stop', '/repoint', '/start', '/health']);
    expect(h.heard.find(({ path }) => path === '/stop')?.body).toEqual({
      event: 'stop-writes',
      name: w.name,
    });
    expect(h.heard.find(({ path }) => path === '/repoint')?.body).toEqual({
      event: 'repoint',
      name: w.name,
      direction: 'forward',
      host: '127.0.0.1',
      port: w.target.port,
      database: 3,
      tls: false,
    });
    const told = h.heard
      .filter(({ path }) => path.includes('T0K3N'))
      .map(
        ({ body }) =>
          body as { text: string; blocks: { type: string; text?: { type: string; text: string } }[] },
      );
    expect(told.map(({ text }) => text.replace(/^\S+: /, '').replace(/\..*/s, ''))).toEqual([
      expect.stringMatching(/^awaiting approval/),
      expect.stringMatching(/^needs decision/),
      expect.stringMatching(/^completed/),
    ]);
    for (const { text, blocks } of told) {
      expect(typeof text).toBe('string');
      for (const block of blocks) expect(['section', 'context']).toContain(block.type);
    }
    expect(JSON.stringify(told[0])).toContain(`ferry approve ${upgrade.id} cutover`);
    expect(JSON.stringify(told[0])).toContain('Ada, 555-0100');
    expect(JSON.stringify(told[0])).toContain(encodeURIComponent(upgrade.id));
    expect(JSON.stringify(told[1])).toContain(`ferry decide ${upgrade.id} `);

    expect(await w.redis('target', 3).dbsize()).toBe(200);
    expect(await w.redis('target', 0).dbsize()).toBe(0);
    expect((await standing(w)).settings).toEqual(before.settings);
    await nothingLeft(w);
  });

  test('on again on every way out', async (t) => {
    const { expect } = t;
    // One version on both sides, or the source could not take back what the target writes.
    const w = await open(t, { target: 'r70' });
    const log = join(w.folder, 'log');
    const flag = join(w.folder, 'broken');
    await writeFile(log, '');
    await seed(w, 'source', 50);
    const before = await standing(w);
    const line = (what: string) => `echo ${what} >> '${log}'; test ! -e '${flag}-${what}'`;
    const input: Partial<RedisCopyInput> = {
      writes: 'stopped',
      stopWrites: { command: line('stop') },
      startWrites: { command: ['sh', '-c', line('start')] },
      probes: [{ command: line('probe'), name: 'probe' }],
      gates: auto,
    };
    const said = async () => {
      const lines = (await readFile(log, 'utf8')).trim().split('\n');
      await writeFile(log, '');
      return lines.join(' ');
    };
    // Stopping fails: whatever it stopped goes on again.
    await writeFile(`${flag}-stop`, '');
    const first = await w.start({ ...input, onFailure: 'rollback' });
    const failed = await first.ended();
    expect(failed).toMatchObject({
      outcome: 'RolledBack',
      reason: expect.stringContaining('stopWrites ended with exit code 1'),
    });
    expect(await said()).toBe('stop start');
    expect(await standing(w)).toEqual(before);
    await nothingLeft(w);

    // Its own test fails behind the switch: back, with what was written meanwhile.
    await writeFile(`${flag}-probe`, '');
    await rm(`${flag}-stop`);
    const second = await w.start(input);
    const state = await second.until('NeedsDecision');
    expect(state.wayBack).toMatchObject({ possible: true, keepsWrites: true });
    await w.redis('target').set('written since', 'yes');
    await second.say('decide', { choice: 'rollback', by: 'ada' });
    const back = await second.ended();
    expect(back).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(await said()).toBe('stop start probe stop start');
    expect(await w.redis('source').get('written since')).toBe('yes');
    expect(await w.redis('target').dbsize()).toBe(0);
    expect((await standing(w)).settings).toEqual(before.settings);
    expect((await standing(w)).address).toBeNull();
    await nothingLeft(w);

    // Nothing fails.
    await rm(`${flag}-probe`);
    const third = await w.start(input);
    expect(await third.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
    expect(await said()).toBe('stop start probe');
    await nothingLeft(w);
  });
});

describe.concurrent('one server, or a shared one', () => {
  test('another database of the same server', async (t) => {
    const { expect } = t;
    const w = await open(t);
    await seed(w, 'source', 100);
    const before = await standing(w);
    const input = {
      target: { env: 'OLD_REDIS_URL' },
      databases: { '0': 3 },
      writes: 'stopped',
      stopWrites: { command: 'true' },
      startWrites: { command: 'true' },
      gates: auto,
    } as const;
    const back = await w.start({ ...input, probes: [{ command: 'exit 1', name: 'probe' }] });
    await back.until('NeedsDecision');
    expect((await readFile(w.addressFile, 'utf8')).trim()).toBe(`redis://127.0.0.1:${w.source.port}/3`);
    await w.redis('source', 3).set('written since', 'yes');
    await back.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await back.ended()).toMatchObject({ outcome: 'RolledBack' });
    expect(await w.redis('source', 0).get('written since')).toBe('yes');
    expect(await w.redis('source', 3).dbsize()).toBe(0);
    expect((await standing(w)).settings).toEqual(before.settings);

    const upgrade = await w.start(input);
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed' });
    expect(await w.redis('source', 3).dbsize()).toBe(101);
    expect(await w.redis('source', 0).dbsize()).toBe(101);
    expect((await standing(w)).settings).toEqual(before.settings);
    await nothingLeft(w);
  });

  test('writes: "running" beside others: it must be accepted, the plan names them, the receipt says so', async (t) => {
    const { expect } = t;
    const w = await open(t);
    await seed(w, 'source', 100);
    await seed(w, 'source', 7, 4, 'theirs');
    const input = { databases: { '0': 0 }, gates: { cutover: 'auto' } } as const;
    const refused = await w.start(input);
    expect(await refused.failure()).toMatchObject({
      type: 'PreflightFailed',
      message: expect.stringMatching(/Writes can be held.*others use the source.*acceptLoss: true/s),
    });

    const upgrade = await w.start({ ...input, acceptLoss: true });
    await upgrade.until('AwaitingApproval');
    const plan = (await upgrade.handle.query(queries.plan)) as Plan;
    expect(plan.impact.join()).toContain('database 4');
    expect(plan.mayLose.join()).toContain('others use the source');
    expect(plan.steps.find(({ title }) => title === 'Switch the applications over')?.does.join()).toContain(
      '(database 4)',
    );
    expect(plan.steps.flatMap(({ does }) => does).join()).not.toContain('fence');
    // The others write all the while, and none of it is refused.
    const theirs = w.redis('source', 4);
    let writing = true;
    let errors = 0;
    const writer = (async () => {
      for (let n = 0; writing; n += 1) await theirs.set(`theirs:${n}`, 'x').catch(() => (errors += 1));
    })();
    await upgrade.approve('start');
    const receipt = await upgrade.ended();
    writing = false;
    await writer;
    expect(errors).toBe(0);
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: false });
    expect(receipt.blemishes.join()).toContain('May have been lost, as the input accepts');
    expect(await w.redis('target').dbsize()).toBe(100);
    expect(await w.redis('target', 4).dbsize()).toBe(0);
    await nothingLeft(w);
  });

  test('clean-up is refused where nothing can show that the source stayed as it was', async (t) => {
    const { expect } = t;
    const w = await open(t);
    await seed(w, 'source', 10);
    await seed(w, 'source', 1, 4, 'theirs');
    const upgrade = await w.start({ databases: { '0': 0 }, acceptLoss: true, cleanup: true });
    expect(await upgrade.failure()).toMatchObject({
      type: 'PreflightFailed',
      message: expect.stringMatching(/Clean-up can be proven safe.*Start without `cleanup`/s),
    });
  });
});

describe.concurrent('which keys', () => {
  test('a pattern; and into a target that has keys of its own, replacing or skipping them; without repoint', async (t) => {
    const { expect } = t;
    const w = await open(t);
    await seed(w, 'source', 20, 0, 'app');
    await seed(w, 'source', 5, 0, 'other');
    const target = w.redis('target');
    await target.set('app:1', 'the target has its own');
    await target.set('mine', 'stays');
    const before = await standing(w);

    const skipping = await w.start({
      match: 'app:*',
      ifTargetHasKeys: 'skip',
      repoint: undefined,
      gates: { start: 'auto' },
    } as never);
    const first = await skipping.ended();
    expect(first).toMatchObject({ outcome: 'Completed' });
    expect(first.approvals.map(({ gate }) => gate)).toEqual(['start']);
    expect(await target.get('app:1')).toBe('the target has its own');
    expect(await target.dbsize()).toBe(21);

    const replacing = await w.start({
      match: 'app:*',
      ifTargetHasKeys: 'replace',
      repoint: undefined,
      gates: { start: 'auto' },
    } as never);
    expect(await replacing.ended()).toMatchObject({ outcome: 'Completed' });
    expect(await target.get('app:1')).toBe('v1');
    expect(await target.get('mine')).toBe('stays');
    expect(await target.exists('other:0')).toBe(0);
    expect(await target.dbsize()).toBe(21);

    const after = await standing(w);
    expect(after.keys.source).toBe(before.keys.source);
    expect(after.settings).toEqual(before.settings);
    expect(after.address).toBeNull();
    await nothingLeft(w);
  });

  test('clean-up: behind its own gate, and only then the source is emptied', async (t) => {
    const { expect } = t;
    const w = await open(t);
    await seed(w, 'source', 300);
    await seed(w, 'source', 10, 2);
    const before = await standing(w);
    const upgrade = await w.start({ cleanup: true, gates: auto });
    const state = await upgrade.until(passedGate('cleanup'));
    expect(state.wayBack.possible).toBe(true);
    expect(await w.redis('source').dbsize()).toBe(300);
    await upgrade.approve('cleanup');
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({
      outcome: 'Completed',
      blemishes: [],
      facts: { cleanup: { deleted: 310 } },
    });
    expect(await w.redis('source').dbsize()).toBe(0);
    expect(await w.redis('source', 2).dbsize()).toBe(0);
    expect(await w.redis('target').dbsize()).toBe(300);
    expect(await w.redis('target', 2).dbsize()).toBe(10);
    expect((await standing(w)).settings).toEqual(before.settings);
    await nothingLeft(w);
  });

  test('clean-up rejected at its gate: back to the source', async (t) => {
    const { expect } = t;
    const w = await open(t, { target: 'r70' });
    await seed(w, 'source', 30);
    const before = await standing(w);
    const upgrade = await w.start({ cleanup: true, gates: auto });
    await upgrade.until(passedGate('cleanup'));
    await upgrade.say('reject', { gate: 'cleanup', by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack' });
    expect(await standing(w)).toEqual(before);
    await nothingLeft(w);
  });
});

describe.concurrent('a worker that comes and goes', () => {
  test('a window that opens later is waited for over a restart; a pause of the copy too', async (t) => {
    const { expect } = t;
    const w = await open(t);
    await seed(w, 'source', 3_000);
    // However long a busy machine takes until then, it is still closed; it is moved nearer once it is waited for.
    const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();
    const upgrade = await w.start({
      rate: 1_500,
      gates: { start: 'auto', cutover: 'auto' },
      window: { opensAt: inMs(600_000), closesAt: inMs(1_200_000) },
    });
    await upgrade.until(({ step }) => step === 'Copy every key');
    await soon(async () => (await w.redis('target').dbsize()) > 0);
    await upgrade.say('pause', { by: 'ada' });
    const paused = await upgrade.until('Paused');
    expect(paused.step).toBe('Copy every key');
    const copied = await w.redis('target').dbsize();
    expect(copied).toBeLessThan(3_000);
    w.worker?.kill('SIGKILL');
    await w.startWorker();
    expect(await w.redis('target').dbsize()).toBe(copied);
    await upgrade.say('adjust', { by: 'ada', rate: 'full' });
    await upgrade.say('resume', { by: 'ada' });
    await upgrade.until('AwaitingWindow');
    const opensAt = inMs(3_000);
    await upgrade.say('adjust', { by: 'ada', window: { opensAt, closesAt: inMs(900_000) } });
    w.worker?.kill('SIGKILL');
    await w.startWorker();
    const receipt = await upgrade.ended();
    expect(receipt.outcome).toBe('Completed');
    const began =
      receipt.steps.find(({ title }) => title === 'Switch the applications over')?.startedAt ?? '';
    expect(Date.parse(began)).toBeGreaterThanOrEqual(Date.parse(opensAt));
    expect(receipt.facts['copied']).toMatchObject({ resumedFrom: expect.any(Number) });
    await nothingLeft(w);
  });

  test('what changes while the gate waits: keys on the target, found before anything is written', async (t) => {
    const { expect } = t;
    const w = await open(t);
    await seed(w, 'source', 20);
    const upgrade = await w.start({ gates: { cutover: 'auto' } });
    await upgrade.until('AwaitingApproval');
    await seed(w, 'target', 2, 0, 'somebody');
    await upgrade.approve('start');
    const state = await upgrade.until('NeedsDecision');
    expect(state.decision?.problem).toContain('Target is empty: database 0 has 2 keys');
    await w.redis('target').flushall();
    await upgrade.say('retry', { by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
  });

  test('a failed check that was mended is looked at again', async (t) => {
    const { expect } = t;
    const w = await open(t, { targetArgs: ['--maxmemory', '1500000'] });
    await seed(w, 'source', 500);
    await w.redis('source').set('big', 'x'.repeat(2_000_000));
    const upgrade = await w.start({ gates: auto });
    const state = await upgrade.until('NeedsDecision');
    expect(state.decision).toMatchObject({ about: 'Pre-flight', waivable: ['Target has room'] });
    await w.redis('target').config('SET', 'maxmemory', '200000000');
    await upgrade.say('retry', { by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
  });
});
