/* What a worker tells Prometheus, held against the receipt: real processes, killed in the middle. */
import { slow } from '../support/slow.js';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { freePort } from '../../src/setup/servers.js';
import { kill9, seed } from '../faults/support.js';
import { application, sleep, world, type World } from '../support/world.js';

// What waits at a gate is looked at every 5 s.
vi.setConfig({ testTimeout: 150_000 });

let w: World;
let port: number;

beforeEach(async () => {
  port = await freePort();
  w = await world({ env: { FERRY_METRICS: `127.0.0.1:${port}` } });
});
afterEach(() => w.close());

/** Name and labels → value. Labels that all of them carry are looked at once and left out. */
async function scrape(of = port): Promise<Map<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${of}/metrics`)).text();
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value] = /^(ferry_\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (!name) continue;
    expect(labels).toContain('namespace="default"');
    expect(labels).toContain(`taskQueue="${w.taskQueue}"`);
    // Other strategies have series of their own, at 0 here.
    if (/workflowType="(?!redisCopy")/.test(labels)) continue;
    const own = labels.split(',').filter((label) => !/^(namespace|taskQueue|workflowType)=/.test(label));
    found.set(own.length > 0 ? `${name}{${own.sort().join(',')}}` : name, Number(value));
  }
  return found;
}

/** A look that an upgrade keeps waiting for 2 s, as right behind a kill, is made again only after 20 s. */
async function told(name: string, value: number, ms = 45_000, of = port): Promise<void> {
  await expect.poll(async () => (await scrape(of)).get(name), { timeout: ms, interval: 250 }).toBe(value);
}

test(
  'an upgrade from its start to its receipt, over the death of the worker at a gate',
  { timeout: 240_000 },
  async () => {
    await w.startWorker();
    await seed(w.redis('source'), 20_000);
    const silent = await scrape();
    expect(silent.get('ferry_keys_copied_total')).toBe(0);
    expect(silent.get('ferry_upgrades_ended_total{outcome="Completed"}')).toBe(0);

    const upgrade = await w.start();
    await upgrade.until('AwaitingApproval');
    await told('ferry_waiting_approvals{gate="start"}', 1);
    await told('ferry_upgrades{phase="AwaitingApproval"}', 1);

    await kill9(w.worker);
    await w.startWorker();
    await told('ferry_waiting_approvals{gate="start"}', 1);
    const after = await scrape();
    expect(after.get('ferry_upgrades{phase="AwaitingApproval"}')).toBe(1);
    expect(after.get('ferry_approval_wait_seconds{gate="start"}')).toBeGreaterThan(0);
    expect(Date.now() / 1_000 - (after.get('ferry_last_look_timestamp_seconds') ?? 0)).toBeLessThan(15);

    // A second worker tells the same.
    const second = await freePort();
    const first = w.worker;
    const other = await w.startWorker({ FERRY_METRICS: `127.0.0.1:${second}` });
    await told('ferry_waiting_approvals{gate="start"}', 1, 45_000, second);
    await told('ferry_waiting_approvals{gate="start"}', 1);
    await kill9(other);
    w.worker = first;

    await upgrade.approve('start');
    await upgrade.until((state) =>
      state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
    );
    await told('ferry_waiting_approvals{gate="cutover"}', 1);
    await told('ferry_waiting_approvals{gate="start"}', 0);
    // Changes made while people decide are carried over, and the target is in step again.
    const app = application({ world: w });
    await sleep(2_000);
    await expect
      .poll(async () => (await scrape()).get('ferry_changes_carried_total'), { timeout: 60_000 })
      .toBeGreaterThan(100);
    await expect
      .poll(async () => (await scrape()).get('ferry_lag_seconds'), { timeout: 30_000 })
      .toBeLessThan(3);
    await upgrade.approve('cutover');
    const receipt = await upgrade.ended();
    await app.stop();
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });

    // Both are told by one look after the end.
    await told('ferry_upgrades{phase="AwaitingApproval"}', 0);
    await told('ferry_upgrades{phase="Running"}', 0);
    const facts = receipt.facts as {
      copied: { copied: number; bytes: number };
      comparison: { keysCompared: number };
      switch: { writePauseMs: number };
    };
    const last = await scrape();
    expect(last.get('ferry_keys_copied_total')).toBe(facts.copied.copied);
    expect(last.get('ferry_keys_copied_total')).toBe(20_000);
    expect(last.get('ferry_bytes_copied_total')).toBe(facts.copied.bytes);
    expect(last.get('ferry_keys_compared_total')).toBe(facts.comparison.keysCompared);
    expect(last.get('ferry_write_pause_milliseconds_count{direction="forward"}')).toBe(1);
    expect(last.get('ferry_write_pause_milliseconds_sum{direction="forward"}')).toBeCloseTo(
      facts.switch.writePauseMs,
      1,
    );
    expect(last.get('ferry_upgrades_ended_total{outcome="Completed"}')).toBe(1);
    for (const nothing of [
      'ferry_waiting_approvals{gate="cutover"}',
      'ferry_approval_wait_seconds{gate="cutover"}',
      'ferry_upgrades{phase="Running"}',
      'ferry_copies_running',
      'ferry_changed_keys_pending',
      'ferry_lag_seconds',
      'ferry_decisions_asked_total',
      'ferry_rollbacks_total',
    ])
      expect([nothing, last.get(nothing)]).toEqual([nothing, 0]);
  },
);

slow('a copy that is broken off by the death of the worker, a step that fails, a rollback', async () => {
  const KEYS = 20_000;
  await w.startWorker();
  await seed(w.redis('source'), KEYS);
  const upgrade = await w.start({
    rate: 4_000,
    gates: { start: 'auto', cutover: 'auto' },
    repoint: { kind: 'command', command: 'test "$FERRY_DIRECTION" = back' },
  });
  await expect
    .poll(async () => (await scrape()).get('ferry_keys_copied_total'), { timeout: 20_000, interval: 100 })
    .toBeGreaterThan(KEYS / 4);
  const first = await scrape();
  expect(first.get('ferry_copies_running')).toBe(1);
  await kill9(w.worker);
  await w.startWorker();
  const asked = await upgrade.until('NeedsDecision', 60_000);
  expect(asked.decision?.about).toBe('Switch the applications over');
  await told('ferry_upgrades{phase="NeedsDecision"}', 1);
  const second = await scrape();
  // What the first one told before it died, and what the second one did again of that: about a second's worth of copying.
  const both = (first.get('ferry_keys_copied_total') ?? 0) + (second.get('ferry_keys_copied_total') ?? 0);
  expect(both).toBeGreaterThan(KEYS - 8_000);
  expect(both).toBeLessThan(KEYS + 8_000);
  expect(second.get('ferry_keys_copied_total')).toBeLessThan(KEYS);
  expect(second.get('ferry_copies_running')).toBe(0);
  expect(second.get('ferry_decisions_asked_total')).toBe(1);
  expect(second.get('ferry_step_failures_total{during="forward",failure="CommandFailed"}')).toBe(1);

  await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
  expect((await upgrade.ended()).outcome).toBe('RolledBack');
  const last = await scrape();
  expect(last.get('ferry_rollbacks_total')).toBe(1);
  expect(last.get('ferry_upgrades_ended_total{outcome="RolledBack"}')).toBe(1);
  await told('ferry_upgrades{phase="NeedsDecision"}', 0);
});

test('an address that is taken, or none', async () => {
  await w.startWorker();
  await expect(w.startWorker()).rejects.toThrow(
    `Metrics can't be told at 127.0.0.1:${port}: Failed to start prometheus metrics exporter: Address already in use`,
  );
  await expect(w.startWorker({ FERRY_METRICS: 'here' })).rejects.toThrow(
    'FERRY_METRICS: "here" is not an IP address and a port',
  );
});
