/*
 * The Temporal UI as docs/temporal-ui.md describes it: a real browser, the real UI, and the JSON of that page. With FERRY_SCREENSHOTS it
 * also takes the page's pictures (`npm run screenshots`).
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { TASK_QUEUE, workflowIdOf } from '../../src/contract.js';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { startTemporal, type RunningTemporal } from '../../src/setup/servers.js';
import { upgradeOf, world, type Upgrade, type World } from '../support/world.js';
import { openUi, PICTURES, type TemporalUi } from './temporal-ui.js';

const PAGE = readFileSync('docs/temporal-ui.md', 'utf8');
/** The JSON of the page, in its order: the input, then what is said at the gates. */
const [input, approveStart, approveCutover] = [...PAGE.matchAll(/^```json\n(.*?)^```/gms)].map(
  ([, json]) => JSON.parse(json ?? '') as Record<string, unknown>,
) as [RedisCopyInput, Gate, Gate];
/** Everything is there within seconds, on a busy machine within more of them. */
const PATIENT = { timeout: 45_000 };
interface Gate {
  gate: string;
  by: string;
}

test("the README starts the same upgrade as the UI's page", () => {
  const [, json] = /--input '(\{.*?\})'/s.exec(readFileSync('README.md', 'utf8')) ?? [];
  expect(JSON.parse(json ?? '')).toEqual(input);
});

// Said by the set-up when there is none (src/setup/browser.ts).
const tools = inject('ui');

describe.skipIf(tools === null)('the Temporal UI', { timeout: PICTURES ? 300_000 : 180_000 }, () => {
  let folder: string;
  let temporal: RunningTemporal;
  let w: World;
  let ui: TemporalUi;
  const started: Upgrade[] = [];

  beforeAll(async () => {
    if (!tools) throw new Error('there is no browser');
    folder = mkdtempSync(join(tmpdir(), 'ferry-ui-'));
    // Of its own, for the shared one has no UI; so the names can be those of the docs.
    temporal = await startTemporal({
      binary: tools.temporal,
      log: join(folder, 'temporal.log'),
      uiPort: 0,
    });
    ui = await openUi({ browser: tools.browser, url: `http://127.0.0.1:${temporal.uiPort}` });
  });
  afterAll(async () => {
    await ui?.close();
    await temporal?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    w = await world({ temporal: { address: temporal.address, taskQueue: TASK_QUEUE } });
    const source = w.redis('source');
    for (let n = 0; n < 500; n += 1) await source.set(`session:${n}`, `of user ${n}`);
    source.disconnect();
    await w.startWorker();
    return async () => {
      // A worker of the next test would go on with it.
      for (const { handle } of started.splice(0)) await handle.terminate('the test is over').catch(() => {});
      await w.close();
    };
  });

  /** Fills the form with the JSON of the page; only the file is another, as /etc is not ours, and stragglers are watched for shorter. */
  async function start(name: string, picture?: string): Promise<Upgrade> {
    const id = workflowIdOf('redisCopy', name);
    const whole = {
      ...input,
      name,
      repoint: { ...input.repoint, path: w.addressFile },
      ...(PICTURES ? {} : { watch: '1s' }),
    };
    await ui.start({ id, taskQueue: TASK_QUEUE, type: 'redisCopy', input: whole }, picture);
    const upgrade = upgradeOf(w.client.workflow.getHandle(id), id);
    started.push(upgrade);
    return upgrade;
  }

  test('an upgrade is started, refused what is wrong, approved by Update and by signal, and completes', async () => {
    expect(workflowIdOf('redisCopy', input.name)).toBe('upgrade/redis/sessions');
    const upgrade = await start(input.name, 'start');

    // The runbook, with the question and what to answer.
    await upgrade.until('AwaitingApproval', PATIENT.timeout);
    await ui.tab('User Metadata');
    await expect.poll(() => ui.details(), PATIENT).toMatch(/^Gate .start. waits for an approval/);
    const shown = await ui.details();
    expect(shown).toMatch(/Copy all keys from \S+ \(Redis 7\.0\.\d+\) to \S+ \(Redis 8\.0\.\d+\)\?/);
    expect(shown).toContain('{"gate": "start", "by": "your name"}');
    expect(shown).toMatch(
      /^☑ Gather information.*\n☑ Pre-flight: \d+ passed.*\n▸ Gate: start\n☐ Copy every key$/m,
    );
    await ui.picture('gate', { height: 1520 });

    // Refusals are read where they are sent from.
    const early = await ui.say('update', 'approve', { ...approveStart, gate: 'cutover' });
    expect(await ui.refusal(early, 'refusal')).toMatch(
      /^Gate "cutover" is not open yet; it is at "Gate: start"\. To approve ahead, start with "gates": \{"cutover": "auto"\}\.$/,
    );
    const nobody = await ui.say('update', 'approve', { gate: approveStart.gate });
    expect(await ui.refusal(nobody)).toMatch(
      /^approve: `by` is missing\. It takes \{"gate": "start", "by": "your name"\}/,
    );
    expect((await upgrade.state()).gates[0]).toMatchObject({ status: 'open', approvals: [] });

    const update = await ui.say('update', 'approve', approveStart);
    await ui.picture('approve', { part: update });
    await ui.submit(update);
    await upgrade.until((state) => state.gates[1]?.status === 'open', PATIENT.timeout);
    const late = await ui.say('update', 'approve', approveStart);
    expect(await ui.refusal(late)).toBe('Gate "start" is approved already.');

    // State, by query.
    const state = await ui.query('state');
    expect(state).toContain('"phase": "AwaitingApproval"');
    expect(state).toContain('"reason": "Switch the applications over to');
    await ui.picture('query');

    await ui.submit(await ui.say('signal', 'approve', approveCutover));
    const receipt = await upgrade.ended(120_000);
    expect(receipt).toMatchObject({
      clean: true,
      approvals: [
        { gate: 'start', by: approveStart.by },
        { gate: 'cutover', by: approveCutover.by },
      ],
    });
    await ui.status('Completed');
    await ui.tab('Timeline');
    // It draws only what is in view.
    await ui.page.setViewportSize({ width: 1280, height: 1600 });
    for (const summary of [
      'Ask both servers',
      'Pre-flight checklist',
      'Copy every key',
      'Compare both sides',
    ])
      await ui.page.getByText(` • ${summary}`).first().waitFor();
    await ui.picture('timeline', { height: 1600 });
    await ui.tab('User Metadata');
    await expect.poll(() => ui.details(), PATIENT).toMatch(/^Completed/);
    expect(await ui.details()).toMatch(/☑ Switch the applications over: writes were held \S+ ms/);
    await ui.picture('completed', { height: 1000 });
  });

  test('one that is cancelled goes back', async () => {
    const upgrade = await start('carts');
    await upgrade.approve(approveStart.gate, approveStart.by);
    await upgrade.until((state) => state.gates[1]?.status === 'open', PATIENT.timeout);
    const target = w.redis('target');
    expect(await target.dbsize()).toBe(500);

    await ui.requestCancellation();
    expect(await upgrade.failure()).toMatchObject({ type: 'RolledBack' });
    await ui.status('Failed');
    await ui.tab('User Metadata');
    await expect.poll(() => ui.details(), PATIENT).toMatch(/^Rolled back: cancelled in Temporal/);
    expect(await ui.details()).toMatch(/^↩ Copy every key: 500 copied keys removed from the target$/m);
    await ui.picture('rolled-back', { height: 1000 });
    expect(await target.dbsize()).toBe(0);
    expect(await w.redis('source').dbsize()).toBe(500);
  });
});
