/* What people see without asking us: the Temporal UI's details, timeline and search, and the webhook. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MESSAGES, type MessageName } from '../../src/contract.js';
import { parseMessage } from '../../src/inputs/messages.js';
import { broken, failed, stage, type Play, type Stage } from './stage.js';

let s: Stage;
beforeAll(async () => {
  s = await stage();
});
afterAll(() => s.close());

interface Metadata {
  currentDetails: string;
  definition: { queryDefinitions: Named[]; signalDefinitions: Named[]; updateDefinitions: Named[] };
}
interface Named {
  name: string;
  description: string;
}
const metadata = (play: Play) => play.handle.query<Metadata>('__temporal_workflow_metadata');
const shown = async (play: Play) =>
  (await metadata(play)).currentDetails
    .replaceAll(/127\.0\.0\.1:\d+/g, 'HOST')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/, after [\d.]+ \w+$/, ', after a while')
    .replace(/(```sh\n).*(\n```)/s, '$1COMMANDS$2');

const stopped = {
  writes: 'stopped',
  stopWrites: { command: 'stop' },
  startWrites: { command: 'start' },
} as const;

describe.concurrent("the UI's details", () => {
  test('at each phase: what it waits for, what to type, what is off, and the way back', async ({
    expect,
  }) => {
    let failing = true;
    const play = await s.play(
      { ...stopped, gates: { start: { approvers: 2 } } },
      {
        switchForward: () =>
          failing ? broken('the webhook answered 500') : { targetRunId: 't', writePauseMs: 12 },
      },
    );
    await play.until('AwaitingApproval');
    await play.say('approve', { gate: 'start', by: 'ada' });
    expect(await shown(play)).toMatchInlineSnapshot(`
      "### Gate "start" waits for 2 approvals (1 of 2 so far, ada)

      **Copy all keys from HOST (Redis 7.0.0) to HOST (Redis 7.0.0)?**

      To approve: More Actions → Send an Update → \`approve\`. To go back: \`reject\`. Both take:

      \`\`\`json
      {"gate": "start", "by": "your name"}
      \`\`\`

      ☑ Gather information: keys go by DUMP and RESTORE; going back after the switch: by DUMP and RESTORE
      ☑ Pre-flight: 1 passed
      ▸ Gate: start
      ☐ Copy every key
        · copy all keys from HOST (Redis 7.0.0) to HOST (Redis 7.0.0) by DUMP and RESTORE, with their exact expiry
        · slow down when the source gets slower
        · *undo:* remove the copied keys from the target, which was empty before
      ☐ Compare both sides
      ☐ Gate: cutover
      ☐ Stop the application writing
        · run: stop
        · *undo:* let the application write again: run: start
      ☐ Compare while nobody writes
      ☐ Switch the applications over
        · pause writes at HOST for at most 5s
        · carry over and compare the last changes
        · fence HOST, so that it refuses writes (min-replicas-to-write)
        · write the file
        · close the applications' old connections
        · *undo:* switch back to the source, with every write made since
      ☐ Let the application write again
        · run: start
        · *undo:* stop the application writing while it goes back: run: stop
      ☐ Watch for stragglers
      ☐ Close the way back
        · lift the fence of the source: it is an ordinary server again, which nobody uses
        · *undo:* none: the upgrade is complete

      **Way back:** open; it loses nothing. It takes no time: nothing was changed yet.
      To go back: Request Cancellation, or More Actions → Send an Update → \`rollback\` with \`{"by": "your name"}\`."
    `);
    await play.say('approve', { gate: 'start', by: 'bob' });
    await play.approve('cutover');
    await play.until('NeedsDecision');
    expect(await shown(play)).toMatchInlineSnapshot(`
      "### Needs a decision: Switch the applications over

      the webhook answered 500. Run the command by hand where the worker runs, then retry.

      To answer: More Actions → Send an Update → \`decide\`, before TIME, for example:

      \`\`\`json
      {"choice": "retry", "by": "your name"}
      \`\`\`

      \`retry\`: try this step again
      \`rollback\`: undo everything; takes as long as it takes to remove the copied keys from the target; the applications notice nothing
      \`stop\`: stop here and leave everything as it is

      ⚠ **Users are affected:** the application does not write, since TIME

      ⚠ **Users are affected:** writes are held for a moment, since TIME

      ☑ Gather information: keys go by DUMP and RESTORE; going back after the switch: by DUMP and RESTORE
      ☑ Pre-flight: 1 passed
      ☑ Gate: start: approved by ada and bob
      ☑ Copy every key: 10 keys
      ☑ Compare both sides: 10 keys, no difference
      ☑ Gate: cutover: approved by ada
      ☑ Stop the application writing
      ☑ Compare while nobody writes: 10 keys, no difference
      ☒ Switch the applications over: the webhook answered 500
      ☐ Let the application write again
        · run: start
        · *undo:* stop the application writing while it goes back: run: stop
      ☐ Watch for stragglers
      ☐ Close the way back
        · lift the fence of the source: it is an ordinary server again, which nobody uses
        · *undo:* none: the upgrade is complete

      **Way back:** open; it loses nothing. It takes as long as it takes to remove the copied keys from the target; the applications notice nothing.
      To go back: Request Cancellation, or More Actions → Send an Update → \`rollback\` with \`{"by": "your name"}\`.

      **Break glass: to restore service by hand**

      \`\`\`sh
      COMMANDS
      \`\`\`"
    `);
    failing = false;
    await play.say('retry', { by: 'ada' });
    await play.ended();
    expect(await shown(play)).toMatchInlineSnapshot(`
      "### Completed: Every step was done

      ☑ Gather information: keys go by DUMP and RESTORE; going back after the switch: by DUMP and RESTORE
      ☑ Pre-flight: 1 passed
      ☑ Gate: start: approved by ada and bob
      ☑ Copy every key: 10 keys
      ☑ Compare both sides: 10 keys, no difference
      ☑ Gate: cutover: approved by ada
      ☑ Stop the application writing
      ☑ Compare while nobody writes: 10 keys, no difference
      ☑ Switch the applications over: writes were held 12 ms
      ☑ Let the application write again
      ☑ Watch for stragglers: 1 passed
      ☑ Close the way back

      **Way back:** none. The upgrade is complete; copy back with another redisCopy.

      **Receipt:** clean, after a while"
    `);
  });

  test('failed checks, and a refusal', async () => {
    const play = await s.play({}, { preflight: () => [failed('Target has room', true)] });
    await play.until('NeedsDecision');
    await play.signal('approve', { gate: 'start', by: 'bob' });
    await play.until(({ refused }) => refused.length === 1);
    const text = await shown(play);
    expect(text).toContain('or `waive` the check: `{"check": "Target has room", "by": "your name"}`');
    expect(text).toContain('☒ Target has room: it does not');
    expect(text).toContain(
      '**Last refusal:** approve by bob: Gate "start" is not open yet; it is at "Pre-flight".',
    );
  });

  test('every signal, Update and query says what it is for', async () => {
    const play = await s.play({ gates: {} });
    await play.until('AwaitingApproval');
    const { definition } = await metadata(play);
    for (const name of Object.keys(MESSAGES)) {
      for (const all of [definition.signalDefinitions, definition.updateDefinitions]) {
        expect(all.find((one) => one.name === name)?.description, name).toBe(
          MESSAGES[name as keyof typeof MESSAGES],
        );
      }
      // The example in it is one that would be understood.
      const example = /\{.*\}/.exec(MESSAGES[name as MessageName])?.[0] ?? '';
      expect(parseMessage(name as MessageName, JSON.parse(example)), name).toHaveProperty('message');
    }
    for (const name of ['state', 'plan', 'checks', 'progress'])
      expect(definition.queryDefinitions.find((one) => one.name === name)?.description, name).toBeTruthy();
  });

  test('the timeline names the steps', async () => {
    const play = await s.play(
      { ...stopped, cleanup: true, probes: [{ command: 'probe' }] },
      { runProbes: () => [] },
    );
    await play.ended();
    const { events } = await play.handle.fetchHistory();
    const decoder = new TextDecoder();
    const summariesOf = (kind: 'activityTaskScheduledEventAttributes' | 'markerRecordedEventAttributes') =>
      (events ?? []).flatMap((event) =>
        event[kind]
          ? [decoder.decode(event.userMetadata?.summary?.data ?? new Uint8Array()).replaceAll(/\\?"/g, '')]
          : [],
      );
    expect(summariesOf('markerRecordedEventAttributes').slice(0, 3)).toEqual([
      'Look at what this worker and this Temporal can do',
      'Journal: how Copy every key is undone',
      'Journal: how Stop the application writing is undone',
    ]);
    expect(summariesOf('activityTaskScheduledEventAttributes')).toEqual([
      'Ask both servers',
      'Pre-flight checklist',
      'Copy every key',
      'Compare both sides',
      'Stop the application writing',
      'Compare while nobody writes',
      'Switch the applications over',
      'Let the application write again',
      'Run the probes',
      'Watch the source for clients that stayed',
      'Prove the source unchanged',
      "Delete the source's keys",
      'Close the way back',
      'Write the receipt',
    ]);
  });
});

describe.concurrent('search', () => {
  const attribute = async (play: Play) =>
    (await play.handle.describe()).typedSearchAttributes.getAll().find(({ key }) => key.name === 'FerryPhase')
      ?.value;

  test('FerryPhase follows the phase', async () => {
    const play = await s.play({ gates: { start: 'auto' } });
    await play.until('AwaitingApproval');
    await expect.poll(() => attribute(play)).toBe('AwaitingApproval');
    await play.say('pause', { by: 'ada' });
    await play.approve('cutover');
    await expect.poll(() => attribute(play)).toBe('Paused');
    await play.say('rollback', { by: 'ada' });
    await play.ended();
    await expect.poll(() => attribute(play)).toBe('RolledBack');
  });

  test('where the server does not know it, the phase goes to the memo', async () => {
    const play = await s.play(
      { gates: { start: 'auto' } },
      { surroundings: () => ({ phaseAttribute: false }) },
    );
    await play.until('AwaitingApproval');
    expect((await play.handle.describe()).memo?.['phase']).toBe('AwaitingApproval');
    expect(await attribute(play)).toBeUndefined();
    await play.approve('cutover');
    await play.ended();
    expect((await play.handle.describe()).memo?.['phase']).toBe('Completed');
  });

  test('what could not be planned does not stay "Running"', async () => {
    const play = await s.play({}, { describePair: () => broken('no answer', 'WrongPassword') });
    expect(await play.failure()).toMatchObject({
      type: 'WrongPassword',
      message: expect.stringContaining('no answer'),
    });
    await expect.poll(() => attribute(play)).toBe('Aborted');
  });
});

describe.concurrent('notifications', () => {
  const notify = { webhook: 'http://127.0.0.1:9/' };

  test('one for each phase that is news', async () => {
    const play = await s.play({ notify, gates: { start: 'auto' } });
    await play.approve('cutover');
    await play.ended();
    expect(play.told).toEqual(['AwaitingApproval', 'Completed']);

    const back = await s.play({ notify, gates: { start: 'auto' } }, { switchForward: () => broken() });
    await back.approve('cutover');
    await back.until('NeedsDecision');
    await back.say('decide', { choice: 'rollback', by: 'ada' });
    await back.ended();
    expect(back.told).toEqual([
      'AwaitingApproval',
      'NeedsDecision',
      'RollingBack',
      'RollingBack',
      'RollingBack',
      'RolledBack',
    ]);
  });

  test('a webhook that is down, or never answers, holds nothing', async () => {
    const down = await s.play(
      { notify },
      { notify: () => broken('notify: nothing listens there', 'WebhookFailed') },
    );
    const receipt = await down.ended();
    expect(receipt.outcome).toBe('Completed');

    const silent = await s.play({ notify, gates: { start: 'auto' } }, { notify: () => s.cancelled() });
    await silent.approve('cutover');
    const began = Date.now();
    const late = await silent.ended();
    expect(late.outcome).toBe('Completed');
    expect(late.warnings).toEqual([expect.stringContaining('not delivered')]);
    expect(Date.now() - began).toBeLessThan(20_000);
  });

  test('news of the way back is not lost with the way forward', async () => {
    const seen: string[] = [];
    const play = await s.play(
      { notify, gates: { start: 'auto' } },
      {
        notify: (async ({ phase }: { phase: string }) => {
          await new Promise((done) => setTimeout(done, 500));
          seen.push(phase);
        }) as never,
      },
    );
    await play.until('AwaitingApproval');
    await play.say('reject', { gate: 'cutover', by: 'ada' });
    const receipt = await play.ended();
    expect(receipt.warnings).toEqual([]);
    expect(seen[0]).toBe('AwaitingApproval');
    expect(seen.at(-1)).toBe('RolledBack');
  });
});
