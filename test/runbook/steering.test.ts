/* What people say to a running upgrade: taken, or refused with a reason, by Update and by signal. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { updates } from '../../src/contract.js';
import { broken, failed, passed, stage, type Play, type Stage } from './stage.js';

let s: Stage;
beforeAll(async () => {
  s = await stage();
});
afterAll(() => s.close());

/** The reason that an Update was refused with. */
async function refusal(said: Promise<unknown>): Promise<string> {
  const error: unknown = await said.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Error) || !(error.cause instanceof Error))
    throw new Error(`not refused: ${String(error)}`);
  return error.cause.message;
}

async function events(play: Play, type: string): Promise<number> {
  const { events: all = [] } = await play.handle.fetchHistory();
  return (all ?? []).filter((event) => Object.hasOwn(event, type)).length;
}

const open = { gates: {} } as const;

describe.concurrent('gates', () => {
  const wrong: [what: string, message: object, reason: RegExp][] = [
    ['an unknown gate', { gate: 'begin', by: 'ada' }, /There is no gate "begin"\. Gates: start, cutover/],
    [
      'a gate that is not open yet',
      { gate: 'cutover', by: 'ada' },
      /Gate "cutover" is not open yet.*"gates": \{"cutover": "auto"\}/,
    ],
    ['nobody', { gate: 'start', by: ' ' }, /`by` must say who speaks/],
    ['no gate', { by: 'ada' }, /`gate` is missing/],
    [
      'an unknown field',
      { gate: 'start', by: 'ada', force: true },
      /`force` is not a known field.*It takes \{"gate": "start", "by": "your name"\}/,
    ],
    [
      'another plan',
      { gate: 'start', by: 'ada', planHash: '0000000000000' },
      /The plan has changed since it was looked at \(0000000000000, now [0-9a-f]{13}\)/,
    ],
  ];
  test('an approval that is refused by Update leaves nothing in the history; by signal it is kept with its reason', async () => {
    const play = await s.play(open);
    await play.until('AwaitingApproval');
    for (const [, message, reason] of wrong)
      expect(await refusal(play.handle.executeUpdate(updates.approve, { args: [message as never] }))).toMatch(
        reason,
      );
    expect(await refusal(play.handle.executeUpdate('approve', { args: ['ada'] }))).toMatch(/`the input`/);
    expect(await events(play, 'workflowExecutionUpdateAcceptedEventAttributes')).toBe(0);
    expect((await play.state()).refused).toEqual([]);

    for (const [, message] of wrong) await play.signal('approve', message);
    await play.handle.signal('approve', 'ada');
    const { refused, phase } = await play.until((state) => state.refused.length === wrong.length + 1);
    expect(phase).toBe('AwaitingApproval');
    expect(refused.map(({ what }) => what)).toEqual(
      Array.from({ length: wrong.length + 1 }, () => 'approve'),
    );
    for (const [index, [, , reason]] of wrong.entries()) expect(refused[index]?.reason).toMatch(reason);
    expect(refused[0]).toMatchObject({ by: 'ada' });
    expect(refused.at(-1)).toMatchObject({ by: 'somebody' });
    expect(play.calls).toEqual(['describePair', 'preflight']);

    const { planHash } = await play.state();
    expect(await play.say('approve', { gate: 'start', by: 'ada', planHash })).toBe(
      'Gate "start" is approved.',
    );
    await play.until((state) =>
      state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
    );
    expect(await refusal(play.say('approve', { gate: 'start', by: 'bob' }))).toBe(
      'Gate "start" is approved already.',
    );
    await play.signal('approve', { gate: 'cutover', by: 'ada' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.approvals.map(({ gate, by }) => `${gate} ${by}`)).toEqual(['start ada', 'cutover ada']);
    expect(receipt.refused).toHaveLength(7);
  });

  test('only the last ten refusals are kept', async () => {
    const play = await s.play(open);
    await play.until('AwaitingApproval');
    for (let n = 0; n < 12; n += 1) await play.signal('approve', { gate: `g${n}`, by: 'ada' });
    const { refused } = await play.until((state) => state.refused.at(-1)?.reason.includes('"g11"') === true);
    expect(refused).toHaveLength(10);
    expect(refused[0]?.reason).toContain('"g2"');
  });

  test('a gate for two people', async () => {
    const play = await s.play({ gates: { start: { approvers: 2 }, cutover: 'auto' } });
    await play.until('AwaitingApproval');
    expect(await play.say('approve', { gate: 'start', by: 'Ada Lovelace' })).toContain(
      'needs 1 more approval by another person',
    );
    expect(await refusal(play.say('approve', { gate: 'start', by: ' ada  lovelace ' }))).toContain(
      'has approved gate "start" already; it needs another person too',
    );
    await play.signal('approve', { gate: 'start', by: 'ADA LOVELACE' });
    const state = await play.until(({ refused }) => refused.length === 1);
    expect(state).toMatchObject({
      phase: 'AwaitingApproval',
      gates: [{ needs: 2, approvals: [{ by: 'Ada Lovelace' }] }, {}],
    });
    expect(play.calls).not.toContain('copyKeys');
    await play.say('approve', { gate: 'start', by: 'Bob' });
    const receipt = await play.ended();
    expect(receipt.approvals.map(({ by }) => by)).toEqual(['Ada Lovelace', 'Bob', 'the input']);
    expect(receipt.steps.find(({ title }) => title === 'Gate: start')?.note).toBe(
      'approved by Ada Lovelace and Bob',
    );
  });

  test('reject rolls back, and says who did it and why', async () => {
    const play = await s.play({ gates: { start: 'auto' } });
    await play.until('AwaitingApproval');
    expect(await refusal(play.say('reject', { gate: 'start', by: 'ada' }))).toContain('is approved already');
    await play.say('reject', { gate: 'cutover', by: 'ada', note: 'not today' });
    const receipt = await play.ended();
    expect(receipt).toMatchObject({
      outcome: 'RolledBack',
      reason: 'gate "cutover" rejected by ada: not today',
      rejections: [{ gate: 'cutover', by: 'ada', note: 'not today' }],
    });
    expect(play.calls.at(-1)).toBe('clearTarget');
    expect((await play.state()).gates.find(({ name }) => name === 'cutover')?.status).not.toBe('open');
  });

  test('a plan that changed while it waited voids the approvals, and says why', async () => {
    let says = ['write the file'];
    const play = await s.play({ gates: { start: { approvers: 2 }, cutover: 'auto' } });
    const parts = s.partsOf(play);
    const usual = parts.describePair as unknown as () => object;
    parts.describePair = () => ({ ...usual(), repointSays: says });
    const before = await play.until('AwaitingApproval');
    await play.say('approve', { gate: 'start', by: 'ada', planHash: before.planHash });
    says = ['write another file'];
    await play.say('approve', { gate: 'start', by: 'bob', planHash: before.planHash });
    const after = await play.until(
      ({ planHash, phase }) => planHash !== before.planHash && phase === 'AwaitingApproval',
    );
    expect(after.gates[0]).toMatchObject({ status: 'open', approvals: [] });
    expect(after.refused).toMatchObject([
      {
        what: 'approval of gate "start"',
        by: 'ada',
        reason: expect.stringContaining('now: Switch the applications over: write another file'),
      },
      {
        what: 'approval of gate "start"',
        by: 'bob',
        reason: expect.stringContaining('no longer: Switch the applications over: write the file'),
      },
    ]);
    expect(
      await refusal(play.say('approve', { gate: 'start', by: 'ada', planHash: before.planHash })),
    ).toContain('The plan has changed');
    expect(play.calls).not.toContain('copyKeys');
    for (const by of ['ada', 'bob'])
      await play.say('approve', { gate: 'start', by, planHash: after.planHash });
    expect((await play.ended()).outcome).toBe('Completed');
  });

  test('a check that fails while it waited asks a person; mended, the approval given stands', async () => {
    let checks = [passed('Versions')];
    const play = await s.play({ gates: { cutover: 'auto' } }, { preflight: () => checks });
    await play.until('AwaitingApproval');
    checks = [failed('Target is empty', false)];
    await play.say('approve', { gate: 'start', by: 'ada' });
    const state = await play.until('NeedsDecision');
    expect(state.decision).toMatchObject({
      about: 'Looking again before the first change',
      problem: expect.stringContaining('Target is empty'),
    });
    expect(play.calls).not.toContain('copyKeys');
    checks = [passed('Versions')];
    await play.say('retry', { by: 'ada' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.approvals[0]).toMatchObject({ gate: 'start', by: 'ada' });
  });
});

describe.concurrent('checks', () => {
  test('a failed check is waived by its name, and the receipt says by whom', async () => {
    const play = await s.play(
      {},
      { preflight: () => [passed('Versions'), failed('Target has room', true), failed('Modules', true)] },
    );
    const state = await play.until('NeedsDecision');
    expect(state.decision).toMatchObject({ about: 'Pre-flight', waivable: ['Target has room', 'Modules'] });
    expect(await refusal(play.say('waive', { check: 'Room', by: 'ada' }))).toContain(
      'There is no check "Room". Checks: Versions',
    );
    expect(await refusal(play.say('waive', { check: 'Versions', by: 'ada' }))).toContain('did not fail');
    await play.say('waive', { check: 'Target has room', by: 'ada' });
    expect((await play.state()).phase).toBe('NeedsDecision');
    await play.signal('waive', { check: 'Modules', by: 'bob' });
    const receipt = await play.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: false });
    expect(receipt.blemishes).toEqual([
      'The check "Target has room" was waived by ada: it does not',
      'The check "Modules" was waived by bob: it does not',
    ]);
  });

  test('one that can not be waived fails at once while nothing was changed', async () => {
    const play = await s.play(
      {},
      { preflight: () => [failed('Target has room', true), failed('Target is empty', false)] },
    );
    expect(await play.failure()).toMatchObject({
      type: 'PreflightFailed',
      message: expect.stringMatching(/Target is empty.*Nothing was changed/),
    });
    const state = await play.state();
    expect(state).toMatchObject({ phase: 'Aborted', step: null });
    expect(state.steps.find(({ title }) => title === 'Pre-flight')?.status).toBe('failed');
  });

  test('retry looks at the servers again', async () => {
    let memory = 1;
    const play = await s.play(
      {},
      { preflight: () => (memory > 1 ? [passed('Target has room')] : [failed('Target has room', true)]) },
    );
    await play.until('NeedsDecision');
    memory = 2;
    await play.say('retry', { by: 'ada' });
    const receipt = await play.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    expect(play.calls.filter((call) => call === 'describePair')).toHaveLength(2);
  });

  test('a waiver stands when the plan is made again', async () => {
    const play = await s.play(
      { gates: { cutover: 'auto' } },
      { preflight: () => [failed('Target has room', true)] },
    );
    await play.until('NeedsDecision');
    await play.say('waive', { check: 'Target has room', by: 'ada' });
    await play.approve('start');
    expect((await play.ended()).outcome).toBe('Completed');
  });
});

describe.concurrent('decisions', () => {
  test('what is not offered, and what nobody asked for, is refused', async () => {
    const play = await s.play(open, { copyKeys: () => broken('out of memory', 'TargetOutOfMemory') });
    await play.until('AwaitingApproval');
    expect(await refusal(play.say('retry', { by: 'ada' }))).toBe('Nothing is waiting for a decision.');
    expect(await refusal(play.say('resume', { by: 'ada' }))).toBe('It is not paused.');
    await play.say('approve', { gate: 'start', by: 'ada' });
    const state = await play.until('NeedsDecision');
    expect(state.decision?.problem).toBe('out of memory. Give the target more memory, then retry.');
    expect(await refusal(play.say('skip', { by: 'ada' }))).toBe(
      '"skip" is not offered. Choices: retry, rollback, stop.',
    );
    expect(await refusal(play.say('decide', { choice: 'hope', by: 'ada' } as never))).toContain('`choice`');
    await play.say('decide', { choice: 'rollback', by: 'ada' });
    expect((await play.ended()).outcome).toBe('RolledBack');
  });

  test('retry goes on where it failed', async () => {
    let tries = 0;
    const play = await s.play(
      {},
      {
        copyKeys: () => ((tries += 1) < 3 ? broken() : { done: true, checkpoint: {}, counts: { copied: 1 } }),
      },
    );
    for (const expected of [1, 2]) {
      await play.until((state) => state.phase === 'NeedsDecision' && tries === expected);
      await play.say('retry', { by: 'ada' });
    }
    expect((await play.ended()).outcome).toBe('Completed');
    expect(play.calls.filter((call) => call === 'describePair')).toHaveLength(1);
  });

  test('while users are affected it waits for decideWithin only, then goes back where nothing is lost by it', async () => {
    const play = await s.play(
      {
        writes: 'stopped',
        stopWrites: { command: 'stop' },
        startWrites: { command: 'start' },
        decideWithin: '1s',
      },
      { switchForward: () => broken('no answer', 'WebhookFailed') },
    );
    const state = await play.until('NeedsDecision');
    expect(Date.parse(state.decision?.deadline ?? '')).toBeLessThanOrEqual(Date.now() + 1_000);
    expect(state.impact.map(({ what }) => what)).toEqual([
      'the application does not write',
      'writes are held for a moment',
    ]);
    const receipt = await play.ended();
    expect(receipt).toMatchObject({
      outcome: 'RolledBack',
      reason: 'nobody answered within 1s while users were affected',
    });
    expect(play.calls.slice(-3)).toEqual(['switchBack', 'runAction start-writes', 'clearTarget']);
  });

  test('while nobody is affected it waits for as long as it takes', async () => {
    const play = await s.play({ decideWithin: '1ms' }, { copyKeys: () => broken() });
    const state = await play.until('NeedsDecision');
    expect(state.decision?.deadline).toBeUndefined();
    await new Promise((done) => setTimeout(done, 500));
    expect((await play.state()).phase).toBe('NeedsDecision');
  });
});

describe.concurrent('pause, abort, follow-ups, adjust', () => {
  test('pause takes hold between two steps, and resume goes on', async () => {
    const play = await s.play(open);
    await play.until('AwaitingApproval');
    await play.say('pause', { by: 'ada' });
    expect(await refusal(play.say('pause', { by: 'bob' }))).toBe('It was paused by ada already.');
    await play.say('approve', { gate: 'start', by: 'ada' });
    const state = await play.until('Paused');
    expect(state.reason).toBe('Paused by ada');
    expect(play.calls).not.toContain('copyKeys');
    await play.say('resume', { by: 'bob' });
    await play.approve('cutover');
    expect((await play.ended()).outcome).toBe('Completed');
  });

  test('abort: at any time before the first write, and only as it is from a decision afterwards', async () => {
    const early = await s.play(open);
    await early.until('AwaitingApproval');
    expect(await early.say('abort', { by: 'ada', note: 'wrong day' })).toBe('Stopped. Nothing was changed.');
    expect(await early.ended()).toMatchObject({ outcome: 'Aborted', reason: 'wrong day', left: [] });
    expect(early.journal).toEqual(['ended Aborted']);

    const late = await s.play({ gates: { start: 'auto' } }, { switchForward: () => broken() });
    await late.until('AwaitingApproval');
    expect(await refusal(late.say('abort', { by: 'ada' }))).toContain(
      'Something was changed already: roll back instead',
    );
    expect(await refusal(late.say('abort', { by: 'ada', leaveAsIs: true }))).toContain(
      'Something was changed already',
    );
    await late.signal('abort', { by: 'bob' });
    await late.until(({ refused }) => refused.length === 1);
    await late.approve('cutover');
    await late.until('NeedsDecision');
    expect(await refusal(late.say('abort', { by: 'ada' }))).toContain('say leaveAsIs: true');
    await late.say('abort', { by: 'ada', leaveAsIs: true });
    const receipt = await late.ended();
    expect(receipt.outcome).toBe('Aborted');
    expect(receipt.left).toEqual([
      expect.stringContaining('Switch the applications over: to undo'),
      expect.stringContaining('Copy every key: to undo'),
    ]);
    expect(late.calls.at(-1)).toBe('switchForward');
    expect(late.card.join()).toContain('cp before after');
  });

  test('follow-ups are ticked by name; those that were not are to do', async () => {
    const play = await s.play({ followUps: ['Terraform', 'the wiki'], gates: { start: 'auto' } });
    await play.until('AwaitingApproval');
    expect(await refusal(play.say('tick', { item: 'terraform', by: 'ada' }))).toContain(
      'There is no follow-up "terraform". Follow-ups: Terraform, the wiki.',
    );
    expect(await play.say('tick', { item: 'Terraform', by: 'ada' })).toBe('Ticked: Terraform.');
    expect(await refusal(play.say('tick', { item: 'Terraform', by: 'bob' }))).toContain('was ticked by ada');
    await play.approve('cutover');
    const receipt = await play.ended();
    expect(receipt.followUps).toMatchObject([{ item: 'Terraform', doneBy: 'ada' }, { item: 'the wiki' }]);
    expect(receipt.blemishes).toEqual(['To do by hand: the wiki']);
  });

  test('adjust: the rate of a running copy, from its checkpoint on', async () => {
    const rates: unknown[] = [];
    const play = await s.play(
      {},
      {
        copyKeys: (async ({ sides, checkpoint }: { sides: { rate: unknown }; checkpoint?: unknown }) => {
          rates.push([sides.rate, checkpoint]);
          if (rates.length > 1) return { done: true, checkpoint: 'end', counts: { copied: 2 } };
          await s.cancelled();
          return { done: false, checkpoint: 'half', counts: { copied: 1 } };
        }) as never,
      },
    );
    await play.until(() => rates.length === 1);
    expect(await refusal(play.say('adjust', { by: 'ada' }))).toContain(
      'changes nothing: give `rate`, `window`, `maxPause` or `maxLag`',
    );
    expect(await refusal(play.say('adjust', { by: 'ada', rate: -1 } as never))).toContain('`rate`');
    expect(await play.say('adjust', { by: 'ada', rate: 'full' })).toBe('Adjusted: rate full.');
    expect((await play.ended()).outcome).toBe('Completed');
    expect(rates).toEqual([
      ['yield', undefined],
      ['full', 'half'],
    ]);
  });

  test('after the end everything is refused by Temporal itself', async () => {
    const play = await s.play();
    await play.ended();
    await expect(play.say('rollback', { by: 'ada' })).rejects.toThrow();
    expect((await play.state()).phase).toBe('Completed');
  });
});

describe.concurrent('the maintenance window', () => {
  const at = (ms: number) => new Date(Date.now() + ms).toISOString();

  test('the cutover waits for it', async () => {
    // Later than a busy machine takes to get there.
    const opensAt = at(12_000);
    const play = await s.play({ window: { opensAt, closesAt: at(600_000) } });
    const state = await play.until('AwaitingWindow');
    expect(state.reason).toBe(`The window opens at ${opensAt}`);
    expect(play.calls).not.toContain('switchForward');
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    const switched = receipt.steps.find(({ title }) => title === 'Switch the applications over');
    expect(Date.parse(switched?.startedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(opensAt));
  });

  test('what no longer fits is held; a later window and retry go on', async () => {
    const play = await s.play({ window: { opensAt: at(-1_000), closesAt: at(10_000) } });
    const state = await play.until('NeedsDecision');
    expect(state.decision).toMatchObject({
      about: 'Maintenance window',
      problem: expect.stringContaining('no longer fits. Give a later one with `adjust`'),
    });
    expect(play.calls).not.toContain('switchForward');
    await play.say('retry', { by: 'ada' });
    await play.until(({ decision }) => decision !== null && decision.since !== state.decision?.since);
    expect(
      await refusal(play.say('adjust', { by: 'ada', window: { opensAt: at(9_000), closesAt: at(0) } })),
    ).toContain('closes before it opens');
    await play.say('adjust', { by: 'ada', window: { opensAt: at(0), closesAt: at(600_000) } });
    await play.say('retry', { by: 'ada' });
    expect((await play.ended()).outcome).toBe('Completed');
  });

  test('a window that is moved while it waits', async () => {
    const play = await s.play({ window: { opensAt: at(3_600_000), closesAt: at(7_200_000) } });
    await play.until('AwaitingWindow');
    await play.say('adjust', { by: 'ada', window: { opensAt: at(-1), closesAt: at(7_200_000) } });
    expect((await play.ended()).outcome).toBe('Completed');
  });

  test('rollback while it waits', async () => {
    const play = await s.play({ window: { opensAt: at(3_600_000), closesAt: at(7_200_000) } });
    await play.until('AwaitingWindow');
    await play.say('rollback', { by: 'ada' });
    expect((await play.ended()).outcome).toBe('RolledBack');
  });
});

describe.concurrent('dry run', () => {
  test('gives the plan as its result, opens no gate and changes nothing', async () => {
    const play = await s.play({ dryRun: true, gates: {}, cleanup: true, followUps: ['Terraform'] });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Planned');
    expect(receipt.facts['plan']).toMatchObject({
      hash: receipt.planHash,
      steps: expect.arrayContaining([
        expect.objectContaining({ title: "Delete the source's keys", undo: expect.stringContaining('none') }),
      ]),
    });
    expect(receipt.approvals).toEqual([]);
    expect(play.calls).toEqual(['describePair', 'preflight']);
    expect(play.journal).toEqual([]);
    expect(play.told).toEqual([]);
  });
});
