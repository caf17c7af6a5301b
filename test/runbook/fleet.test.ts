/* A fleet: waves, the stop at the first target that is not well, and a history that stays short. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lookAtTargets } from '../../src/activities/upgrades.js';
import type { FleetRow, State } from '../../src/contract.js';
import { broken, stage, type Parts, type Stage } from './stage.js';
import { sleep } from '../support/world.js';

let s: Stage;
beforeAll(async () => {
  s = await stage();
});
afterAll(() => s.close());

const TARGET = {
  source: { env: 'A' },
  target: { env: 'B' },
  writes: 'running',
  watch: '1s',
  repoint: { kind: 'file', path: '/somewhere' },
  onFailure: 'rollback',
  gates: { start: 'auto', cutover: 'auto' },
};

/** Waves of so many targets each: `<fleet>-dev0`, `<fleet>-dev1`, … */
function waves(sizes: Record<string, number>) {
  return (name: string) => ({
    defaults: { strategy: 'redisCopy', input: TARGET },
    waves: Object.entries(sizes).map(([wave, size]) => ({
      name: wave,
      targets: Array.from({ length: size }, (_, n) => ({ input: { name: `${name}-${wave}${n}` } })),
    })),
    gates: Object.fromEntries(['start', ...Object.keys(sizes).slice(1)].map((gate) => [gate, 'auto'])),
  });
}

const rowsOf = ({ fleet = [] }: State): FleetRow[] => fleet;
const by = (rows: FleetRow[], status: FleetRow['status']) =>
  rows.filter((row) => row.status === status).map(({ name }) => name.replace(/^.*-/, ''));

describe('a fleet', () => {
  test('wave by wave, never more at a time than it may, in one run each', async () => {
    let running = 0;
    let most = 0;
    const slow: Parts = {
      copyKeys: async () => {
        running += 1;
        most = Math.max(most, running);
        await sleep(300);
        running -= 1;
        return { done: true, checkpoint: {}, counts: { copied: 1 }, resumedFrom: 0, functions: [] };
      },
    };
    const fleet = await s.fleet(
      (name) => ({ ...waves({ dev: 2, staging: 5, production: 1 })(name), maxParallel: 2 }),
      () => slow,
    );
    const receipt = await fleet.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    expect(most).toBe(2);
    const rows = receipt.facts['fleet'] as FleetRow[];
    expect(by(rows, 'done')).toHaveLength(8);
    // No target of a wave has begun before all of the wave before it had ended.
    const times = (wave: string) =>
      rows
        .filter((row) => row.wave === wave)
        .map(({ startedAt = '', endedAt = '' }) => ({ startedAt, endedAt }));
    const [dev, staging, production] = [times('dev'), times('staging'), times('production')];
    const lastEnd = (of: { endedAt: string }[]) =>
      of
        .map(({ endedAt }) => endedAt)
        .toSorted()
        .at(-1) ?? '';
    const firstStart = (of: { startedAt: string }[]) =>
      of.map(({ startedAt }) => startedAt).toSorted()[0] ?? '';
    expect(lastEnd(dev) <= firstStart(staging)).toBe(true);
    expect(lastEnd(staging) <= firstStart(production)).toBe(true);
    // The last run has but the last wave.
    const { runId, historyLength } = await s.client.workflow.getHandle(fleet.id).describe();
    expect(runId).not.toBe(fleet.handle.workflowId);
    expect(receipt.runId).toBe(runId);
    expect(historyLength).toBeLessThan(80);
    expect(receipt.steps.map(({ title, status }) => [title, status])).toEqual([
      ['Gather information', 'done'],
      ['Pre-flight', 'done'],
      ['Gate: start', 'done'],
      ['Wave dev', 'done'],
      ['Gate: staging', 'done'],
      ['Wave staging', 'done'],
      ['Gate: production', 'done'],
      ['Wave production', 'done'],
    ]);
  });

  test('each wave has its gate; who approved stands in the receipt also of waves before', async () => {
    const fleet = await s.fleet((name) => ({ ...waves({ dev: 1, production: 1 })(name), gates: {} }));
    await fleet.approve('start', 'ada');
    const asked = await fleet.until(
      (state) => state.gates.find(({ name }) => name === 'production')?.status === 'open',
    );
    expect(by(rowsOf(asked), 'done')).toEqual(['dev0']);
    expect(by(rowsOf(asked), 'planned')).toEqual(['production0']);
    expect(asked.reason).toContain('1 done');
    await fleet.approve('production', 'bob');
    const receipt = await fleet.ended();
    expect(receipt.approvals.map(({ gate, by: who }) => [gate, who])).toEqual([
      ['start', 'ada'],
      ['production', 'bob'],
    ]);
  });

  test('the first that is not well stops it: none is begun, the others end, a person decides', async () => {
    let failing = true;
    const fleet = await s.fleet(
      (name) => ({ ...waves({ dev: 5 })(name), maxParallel: 2 }),
      (target) => ({
        ...(target === 'dev1' ? { copyKeys: () => (failing ? broken('the disk is full') : copied) } : {}),
        ...(target === 'dev0' ? { copyKeys: () => sleep(1_000).then(() => copied) } : {}),
      }),
    );
    const stopped = await fleet.until('NeedsDecision');
    expect(stopped.decision?.problem).toContain('the disk is full');
    expect(by(rowsOf(stopped), 'failed')).toEqual(['dev1']);
    expect(by(rowsOf(stopped), 'done')).toEqual(['dev0']);
    expect(by(rowsOf(stopped), 'planned')).toEqual(['dev2', 'dev3', 'dev4']);
    failing = false;
    await fleet.say('retry', { by: 'ada' });
    expect(await fleet.ended()).toMatchObject({ outcome: 'Completed', clean: true });
  });

  test('skipped, it stays in the receipt as what it is', async () => {
    const fleet = await s.fleet(waves({ dev: 3 }), (target) =>
      target === 'dev0' ? { copyKeys: () => broken('the disk is full') } : {},
    );
    await fleet.until('NeedsDecision');
    await fleet.say('skip', { by: 'ada' });
    const receipt = await fleet.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: false });
    expect(receipt.blemishes.join()).toMatch(/dev0.*RolledBack.*the disk is full/);
    expect(by(receipt.facts['fleet'] as FleetRow[], 'done')).toEqual(['dev1', 'dev2']);
  });

  test('a target that was not begun is left out by its name; one that was is not', async () => {
    const fleet = await s.fleet(
      (name) => ({ ...waves({ dev: 2 })(name), maxParallel: 1 }),
      () => ({ copyKeys: () => sleep(1_500).then(() => copied) }),
    );
    const state = await fleet.until((now) => by(rowsOf(now), 'running').length === 1);
    const [first, second] = rowsOf(state).map(({ name }) => name);
    await expect(fleet.say('skip', { by: 'ada', target: first })).rejects.toMatchObject({
      cause: { message: expect.stringContaining('running already') as unknown },
    });
    await expect(fleet.say('skip', { by: 'ada', target: 'nobody' })).rejects.toMatchObject({
      cause: { message: 'There is no target "nobody".' },
    });
    expect(await fleet.say('skip', { by: 'ada', target: second })).toContain('left out');
    const receipt = await fleet.ended();
    expect(receipt.blemishes).toEqual([`${second} was left out by ada`]);
  });

  test('paused, it begins none; resumed, it goes on', async () => {
    const fleet = await s.fleet(
      (name) => ({ ...waves({ dev: 3 })(name), maxParallel: 1 }),
      () => ({ copyKeys: () => sleep(800).then(() => copied) }),
    );
    await fleet.until((now) => by(rowsOf(now), 'running').length === 1);
    await fleet.say('pause', { by: 'ada' });
    await fleet.until((now) => by(rowsOf(now), 'done').length === 1);
    await sleep(500);
    expect(by(rowsOf(await fleet.state()), 'planned')).toHaveLength(2);
    await fleet.say('resume', { by: 'ada' });
    expect(await fleet.ended()).toMatchObject({ outcome: 'Completed', clean: true });
  });

  test('a person at a gate of a target is seen in the table', async () => {
    const fleet = await s.fleet((name) => {
      const input = waves({ dev: 1 })(name);
      return { ...input, defaults: { ...input.defaults, input: { ...TARGET, gates: { start: 'auto' } } } };
    });
    const state = await fleet.until((now) => rowsOf(now)[0]?.phase === 'AwaitingApproval');
    const [row] = rowsOf(state);
    expect(row?.reason).toContain('Switch the applications over');
    await s.client.workflow
      .getHandle(row?.workflowId ?? '')
      .executeUpdate('approve', { args: [{ gate: 'cutover', by: 'ada' }] });
    expect(await fleet.ended()).toMatchObject({ outcome: 'Completed', clean: true });
  });

  test('going back takes those back that are under way, and leaves those that are done', async () => {
    const fleet = await s.fleet(waves({ dev: 1, staging: 2 }), (target) =>
      target.startsWith('staging') ? { copyKeys: () => sleep(60_000) } : {},
    );
    await fleet.until((now) => by(rowsOf(now), 'running').length === 2);
    await fleet.say('rollback', { by: 'ada' });
    const receipt = await fleet.ended();
    expect(receipt.outcome).toBe('RolledBack');
    const rows = receipt.facts['fleet'] as FleetRow[];
    expect(rows.map(({ outcome }) => outcome)).toEqual(['Completed', 'RolledBack', 'RolledBack']);
  });

  test('one that runs already is a failed check; waived, it stops the fleet when its turn comes', async () => {
    const other = await s.play({ gates: {} });
    await other.until('AwaitingApproval');
    const fleet = await s.fleet(
      () => ({
        waves: [
          {
            name: 'dev',
            targets: [{ strategy: 'redisCopy', input: { ...TARGET, name: other.id.split('/').at(-1) } }],
          },
        ],
        gates: { start: 'auto' },
      }),
      () => ({ lookAtTargets: () => ({ [other.id]: 'running' }) }),
    );
    const held = await fleet.until('NeedsDecision');
    expect(held.decision?.problem).toContain(other.id);
    await fleet.say('waive', { check: 'No target is being upgraded already', by: 'ada' });
    const stopped = await fleet.until((now) => now.decision?.about.startsWith('Target') === true);
    expect(stopped.decision?.problem).toContain('ended early');
    expect((await other.state()).phase).toBe('AwaitingApproval');
    await fleet.say('rollback', { by: 'ada' });
    await fleet.ended();
  });

  test('targets whose inputs are not right are named, and nothing begins', async () => {
    const targets = (name: string) => [
      { name: 'dev', targets: [{ input: { name: `${name}-a` } }] },
      { name: 'production', targets: [{ input: { name: `${name}-b`, writes: 'perhaps' } }] },
    ];
    const defaults = { strategy: 'redisCopy', input: TARGET };
    const wrong = await s.fleet(
      (name) => ({ defaults, waves: targets(name) }),
      () => ({ lookAtTargets }),
    );
    const { type, message } = await wrong.failure();
    expect(type).toBe('InvalidInput');
    expect(message).toMatch(/waves\.1\.targets\.0\.input is no input of redisCopy: .*writes/);
    const twice = await s.fleet((name) => ({
      defaults,
      waves: [...targets(name), { name: 'again', targets: [{ input: { name: `${name}-a` } }] }],
    }));
    expect((await twice.failure()).message).toMatch(
      /waves\.2\.targets\.0\.input\.name.*is there already, in waves\.0\.targets\.0/,
    );
  });
});

const copied = { done: true, checkpoint: {}, counts: { copied: 1 }, resumedFrom: 0, functions: [] };
