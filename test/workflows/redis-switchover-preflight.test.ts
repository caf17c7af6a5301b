/* What pre-flight finds holds an upgrade, or is told before anybody approves it, on real servers. */
import { expect, onTestFinished, test } from 'vitest';
import type { Check, State } from '../../src/contract.js';
import { world } from '../support/world.js';

function checkOf({ checks }: State, name: string): Check {
  const found = checks.find((check) => check.name === name);
  if (!found) throw new Error(`no check "${name}" in ${checks.map((check) => check.name).join(', ')}`);
  return found;
}

test(
  'a command in use that the target lacks holds the upgrade until it is waived',
  { timeout: 120_000 },
  async () => {
    const w = await world({ targetArgs: ['--rename-command', 'GETSET', ''] });
    onTestFinished(() => w.close());
    await w.startWorker();
    const client = w.redis('source');
    await client.getset('a', '1');
    const upgrade = await w.startSwitchover({ gates: { cutover: 'auto', commit: 'auto' } });
    const held = await upgrade.until('NeedsDecision');
    expect(held.decision).toMatchObject({ about: 'Pre-flight', waivable: ['Commands in use'] });
    expect(checkOf(held, 'Commands in use').actual).toBe('not known there: GETSET (1 call)');
    expect(await w.redis('target').info('replication')).toContain('role:master');
    await upgrade.say('waive', { check: 'Commands in use', by: 'ada' });
    expect(await upgrade.ended(90_000)).toMatchObject({
      outcome: 'Completed',
      blemishes: [expect.stringContaining('The check "Commands in use" was waived by ada')],
    });
  },
);

test(
  'who is connected is told before the cutover is approved, and counted in the receipt',
  { timeout: 120_000 },
  async () => {
    const w = await world({ source: 'r72', target: 'v9' });
    onTestFinished(() => w.close());
    await w.startWorker();
    const waiting = w.redis('source');
    waiting.blpop('nothing', 0).catch(() => undefined);
    await w.redis('source').subscribe('news');
    const looking = w.redis('source');
    await expect
      .poll(async () => String(await looking.call('CLIENT', 'LIST')))
      .toMatch(/lib-name=ioredis[^]*lib-name=ioredis[^]*lib-name=ioredis/);
    await expect.poll(async () => String(await looking.call('CLIENT', 'LIST'))).toContain('cmd=blpop');
    const upgrade = await w.startSwitchover();
    const open = await upgrade.until(
      (state) => state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
      60_000,
    );
    expect(checkOf(open, 'Clients')).toMatchObject({ status: 'warn' });
    expect(checkOf(open, 'Clients').actual).toMatch(/3 ioredis .*1 in BLPOP; 1 subscriber/);
    expect(checkOf(open, 'The old server can come back').actual).toContain('until the first hash field');
    expect(checkOf(open, 'Version notes').actual).toContain('Valkey 7.2');
    await upgrade.approve('cutover');
    await upgrade.approve('commit');
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({
      outcome: 'Completed',
      facts: {
        clients: { total: 3, byLibrary: { ioredis: 3 }, waiting: 1, subscribers: 1, inTransaction: 0 },
      },
    });
  },
);
