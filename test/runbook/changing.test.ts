/* What can be changed while it runs: when the cutover begins, its limits, and an approval that wasn't used yet. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { broken, coupleOf, stage, type Play, type Stage } from './stage.js';

let s: Stage;
beforeAll(async () => {
  s = await stage();
});
afterAll(() => s.close());

const SWITCH = 'Switch the applications over';
const at = (ms: number): string => new Date(Date.now() + ms).toISOString();

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

const gateIs = (status: string) => (state: Awaited<ReturnType<Play['state']>>) =>
  state.gates.some((gate) => gate.name === 'cutover' && gate.status === status);

interface Try {
  capMs: number;
  maxLag: number;
  checkpoint?: { pausesGivenUp: number };
  settle: boolean;
}

/** A cutover whose tries fail until it is told otherwise: what it was started with, and how many pauses it gave up. */
function failing(through: (on: Try) => boolean = () => false) {
  const tries: Try[] = [];
  const outcome = {
    pausedMs: 5,
    drainMs: 1,
    pausesGivenUp: 0,
    droppedClients: 0,
    finishedLater: false,
    slipped: 0,
    partial: true,
    durable: true,
    guard: 'run-time user',
  };
  return {
    tries,
    handOverForward: (async (on: Try) => {
      tries.push(on);
      if (through(on)) return { done: true, outcome };
      await s.cancelled();
      return { done: false, checkpoint: { pausesGivenUp: (on.checkpoint?.pausesGivenUp ?? 0) + 2 } };
    }) as never,
  };
}

describe.concurrent('postpone', () => {
  test('bad input is refused, and so is what would not fit into the window', async () => {
    const play = await s.switchover({ window: { opensAt: at(-1_000), closesAt: at(3_600_000) } });
    await play.until('AwaitingApproval');
    const wrong: [message: object, reason: RegExp][] = [
      [{ by: 'ada' }, /must hold either `until` or `for`.*It takes \{"for": "30m"/],
      [{ by: 'ada', until: at(60_000), for: '1m' }, /must hold either `until` or `for`/],
      [{ by: 'ada', for: '30 parsecs' }, /`for` must be a duration such as/],
      [{ by: 'ada', for: '0s' }, /`for` must be more than 0/],
      [{ by: 'ada', until: 'tomorrow' }, /`until` must be a date and time with a zone/],
      [{ by: 'ada', until: '2020-01-01T00:00:00Z' }, /2020-01-01T00:00:00.000Z lies in the past/],
      [{ by: 'ada', for: '91d' }, /more than 90 days ahead/],
      [{ by: ' ', for: '1m' }, /`by` must say who speaks/],
      [{ by: 'ada', for: '2h' }, /The window closes at .* would not fit\. Give a later window with `adjust`/],
    ];
    for (const [message, reason] of wrong)
      expect(await refusal(play.say('postpone', message))).toMatch(reason);
    await play.signal('postpone', { by: 'ada', for: '2h' });
    const { refused, settings } = await play.until((state) => state.refused.length === 1);
    expect(refused[0]).toMatchObject({ what: 'postpone', by: 'ada' });
    expect(settings).toMatchObject({ maxPause: '500ms', maxLag: 1_048_576, rate: 'yield' });
    expect(settings.notBefore).toBeUndefined();

    const until = at(1_800_000);
    await play.say('postpone', { by: 'ada', until });
    expect(
      await refusal(play.say('adjust', { by: 'ada', window: { opensAt: at(0), closesAt: at(600_000) } })),
    ).toContain('Postpone it to an earlier moment first.');
    await play.approve('cutover');
    expect(await play.until('AwaitingWindow')).toMatchObject({
      reason: `Postponed by ada: it does not begin before ${until}`,
      settings: { notBefore: until },
    });
    await play.say('postpone', { by: 'grace', for: '1ms' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.steered?.map(({ what, by }) => `${by}: ${what.replace(/2\d.*/, '')}`)).toEqual([
      'ada: postponed until ',
      'grace: postponed until ',
    ]);
  });

  test.each(['redisCopy', 'redisSwitchover'] as const)(
    '%s without a window: before the approval and after it, by signal too, and again to an earlier moment',
    async (strategy) => {
      const play =
        strategy === 'redisCopy' ? await s.play({ gates: { start: 'auto' } }) : await s.switchover();
      await play.until(gateIs('open'));
      expect(await play.say('postpone', { by: 'ada', for: '2h' })).toMatch(
        /^Postponed: the cutover does not begin before /,
      );
      await play.approve('cutover');
      const waiting = await play.until('AwaitingWindow');
      const titles = waiting.steps.map(({ title }) => title);
      expect(titles.indexOf('Maintenance window')).toBe(titles.indexOf(SWITCH) - 1);
      expect(waiting.impact).toEqual([]);
      const later = at(7_200_000);
      await play.signal('postpone', { by: 'grace', until: later });
      await play.until(({ settings }) => settings.notBefore === later);
      expect(play.calls.filter((call) => /Forward/.test(call))).toEqual([]);
      await play.say('postpone', { by: 'ada', for: '1s' });
      const receipt = await play.ended();
      expect(receipt.outcome).toBe('Completed');
      expect((await play.state()).settings.notBefore).toBeUndefined();
    },
  );

  test('while it waits: pause, resume and rollback are heard as before', async () => {
    const play = await s.switchover({ gates: { cutover: 'auto', commit: 'auto' } }, failing());
    await play.until(({ step }) => step !== null);
    await play.until((state) => state.planHash !== '');
    await play.say('postpone', { by: 'ada', for: '2h' });
    await play.until('AwaitingWindow');
    await play.say('pause', { by: 'ada' });
    await play.until('Paused');
    await play.say('postpone', { by: 'ada', for: '3h' });
    await play.say('resume', { by: 'ada' });
    await play.until('AwaitingWindow');
    await play.say('rollback', { by: 'ada' });
    expect(await play.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(play.calls).not.toContain('handOverForward');
    expect(play.calls.at(-1)).toBe('stopReplication');
  });

  test('between two tries: it stops, nobody is affected, and it goes on later', async () => {
    const parts = failing(({ checkpoint }) => checkpoint !== undefined);
    const play = await s.switchover(
      { gates: { cutover: 'auto', commit: 'auto' }, decideWithin: '1s' },
      { handOverForward: parts.handOverForward },
    );
    await play.until(() => parts.tries.length === 1);
    expect(await play.say('postpone', { by: 'ada', for: '3s' })).toContain('between two tries it stops');
    const waiting = await play.until('AwaitingWindow');
    expect(waiting.impact).toEqual([]);
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(parts.tries.map(({ checkpoint }) => checkpoint)).toEqual([undefined, { pausesGivenUp: 2 }]);
  });

  test('one that came too late is refused with its reason, and after the cutover so is every one', async () => {
    const play = await s.switchover(
      { gates: { cutover: 'auto' } },
      {
        handOverForward: (async () => {
          await s.cancelled();
          return { done: true, outcome: { pausedMs: 5, partial: true, slipped: 0 } };
        }) as never,
      },
    );
    await play.until(({ step }) => step === SWITCH);
    await play.until(() => play.calls.includes('handOverForward'));
    await play.say('postpone', { by: 'ada', for: '2h' });
    const state = await play.until('AwaitingApproval');
    expect(state.refused).toMatchObject([
      { what: 'postpone', by: 'ada', reason: 'the cutover went through before it took hold' },
    ]);
    expect(state.settings.notBefore).toBeUndefined();
    expect(await refusal(play.say('postpone', { by: 'ada', for: '2h' }))).toContain(
      'The cutover is behind it',
    );
    expect(await refusal(play.say('adjust', { by: 'ada', maxPause: '1s' }))).toContain(
      'The cutover is behind it',
    );
  });

  test('where it was given up it may be put off before it is tried again; where its outcome is unknown it may not', async () => {
    let fails: 'PauseTooLong' | 'Unclear' = 'Unclear';
    let good = false;
    const parts = failing(() => good);
    const play = await s.switchover(
      { gates: { cutover: 'auto', commit: 'auto' } },
      {
        handOverForward: ((on: Try) =>
          good ? (parts.handOverForward as (on: Try) => unknown)(on) : broken('no', fails)) as never,
      },
    );
    await play.until('NeedsDecision');
    expect(await refusal(play.say('postpone', { by: 'ada', for: '2h' }))).toContain(
      'answer the decision instead',
    );
    fails = 'PauseTooLong';
    await play.say('retry', { by: 'ada' });
    await play.until(({ decision }) => decision?.problem.startsWith('no. Everything resumed') === true);
    await play.say('postpone', { by: 'ada', for: '2h' });
    await play.say('adjust', { by: 'ada', maxPause: '2s' });
    good = true;
    await play.say('retry', { by: 'ada' });
    await play.until('AwaitingWindow');
    await play.say('postpone', { by: 'ada', for: '1s' });
    expect((await play.ended()).outcome).toBe('Completed');
    expect(parts.tries).toMatchObject([{ capMs: 2_000 }]);
  });

  test('a copy that switches nothing has nothing to postpone', async () => {
    const play = await s.play({ gates: {}, repoint: undefined as never });
    await play.until('AwaitingApproval');
    expect(await refusal(play.say('postpone', { by: 'ada', for: '2h' }))).toContain(
      'It switches nothing, so there is no cutover to postpone.',
    );
  });

  test('from the moment on that the application is stopped it is refused', async () => {
    let stopped = false;
    const play = await s.play(
      { writes: 'stopped', stopWrites: { command: 'stop' }, startWrites: { command: 'start' } },
      { runAction: () => (stopped ? {} : broken()) },
    );
    await play.until('NeedsDecision');
    expect(await refusal(play.say('postpone', { by: 'ada', for: '2h' }))).toContain('The cutover has begun');
    stopped = true;
    await play.say('retry', { by: 'ada' });
    expect((await play.ended()).outcome).toBe('Completed');
  });
});

describe.concurrent('limits of the cutover', () => {
  test('bad ones are refused, and so is what changes nothing', async () => {
    const play = await s.switchover();
    await play.until('AwaitingApproval');
    const wrong: [message: object, reason: RegExp][] = [
      [{ maxPause: '10ms' }, /`maxPause` must be between 20ms and 1m/],
      [{ maxPause: '61s' }, /`maxPause` must be between 20ms and 1m/],
      [{ maxPause: '1 fortnight' }, /`maxPause` must be a duration/],
      [{ maxLag: 0 }, /`maxLag` must be at least 1 byte/],
      [{ maxLag: 1.5 }, /`maxLag` must be a whole number of bytes/],
      [{ maxLag: '4mb' }, /`maxLag` invalid input: expected number/],
      [{ maxPause: '500ms', maxLag: 1_048_576, rate: 'yield' }, /It is so already/],
    ];
    for (const [message, reason] of wrong)
      expect(await refusal(play.say('adjust', { by: 'ada', ...message }))).toMatch(reason);
    const copy = await s.play({ gates: {} });
    await copy.until('AwaitingApproval');
    expect(await refusal(copy.say('adjust', { by: 'ada', maxLag: 1 }))).toBe('redisCopy has no `maxLag`.');
  });

  test('an input beyond them is refused', async () => {
    const play = await s.switchover({ maxPause: '5ms', maxLag: -1 });
    expect((await play.failure()).message).toMatch(
      /`maxPause` must be between 20ms and 1m; `maxLag` must be at least 1 byte/,
    );
  });

  test('at an open gate they change the plan: whoever looked at the other one has to look again', async () => {
    const parts = failing(() => true);
    const play = await s.switchover(
      { gates: { cutover: { approvers: 2 }, commit: 'auto' } },
      { handOverForward: parts.handOverForward },
    );
    const before = await play.until('AwaitingApproval');
    await play.say('approve', { gate: 'cutover', by: 'grace', planHash: before.planHash });
    await play.say('adjust', { by: 'ada', maxPause: '2s', maxLag: 4_096 });
    const after = await play.until(
      ({ planHash, phase }) => planHash !== before.planHash && phase === 'AwaitingApproval',
    );
    expect(after.gates[0]).toMatchObject({ status: 'open', approvals: [] });
    expect(after.refused[0]?.reason).toContain('at most 2s, until');
    expect(
      await refusal(play.say('approve', { gate: 'cutover', by: 'ada', planHash: before.planHash })),
    ).toContain(`now ${after.planHash}`);
    for (const by of ['ada', 'grace']) await play.approve('cutover', by);
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(parts.tries).toMatchObject([{ capMs: 2_000, maxLag: 4_096 }]);
    expect(receipt.steered).toMatchObject([
      { what: 'maxPause 500ms → 2s', by: 'ada' },
      { what: 'maxLag 1048576 → 4096 bytes', by: 'ada' },
    ]);
    // Going back would use what it took to get over.
    expect((await play.state()).settings).toMatchObject({ maxPause: '2s', maxLag: 4_096 });
  });

  test('while it is being tried: from the next try on, with the pauses that were given up', async () => {
    const parts = failing(({ capMs }) => capMs === 3_000);
    const play = await s.switchover(
      { gates: { cutover: 'auto', commit: 'auto' } },
      { handOverForward: parts.handOverForward },
    );
    await play.until(() => parts.tries.length === 1);
    expect(await play.say('adjust', { by: 'ada', maxLag: 9_000 })).toBe(
      'Adjusted: maxLag 9000 bytes, from the next try on.',
    );
    await play.until(() => parts.tries.length === 2);
    // The rate is nothing to a cutover: it goes on.
    await play.say('adjust', { by: 'ada', rate: 'full' });
    await play.say('adjust', { by: 'ada', maxPause: '3s' });
    expect((await play.ended()).outcome).toBe('Completed');
    expect(parts.tries.map(({ capMs, maxLag, checkpoint }) => [capMs, maxLag, checkpoint])).toEqual([
      [500, 1_048_576, undefined],
      [500, 9_000, { pausesGivenUp: 2 }],
      [3_000, 9_000, { pausesGivenUp: 4 }],
    ]);
  });

  test('an attempt that vanished while it was cancelled is settled before anything is waited for', async () => {
    const tries: Try[] = [];
    const play = await s.switchover(
      { gates: { cutover: 'auto', commit: 'auto' } },
      {
        handOverForward: (async (on: Try) => {
          tries.push(on);
          if (tries.length === 1) {
            await s.cancelled();
            // Cancelled without an answer of its own.
            await Promise.reject(await s.cancellation());
          }
          return on.settle
            ? { done: false, checkpoint: { pausesGivenUp: 0 } }
            : { done: true, outcome: { pausedMs: 5, partial: true, slipped: 0 } };
        }) as never,
      },
    );
    await play.until(() => tries.length === 1);
    await play.say('pause', { by: 'ada' });
    await play.until('Paused');
    expect(tries.map(({ settle }) => settle)).toEqual([false, true]);
    await play.say('resume', { by: 'ada' });
    expect((await play.ended()).outcome).toBe('Completed');
    expect(tries.map(({ settle }) => settle)).toEqual([false, true, false]);
  });

  test('pause holds between two tries, rollback goes back from there', async () => {
    const parts = failing();
    const play = await s.switchover(
      { gates: { cutover: 'auto', commit: 'auto' }, decideWithin: '1s' },
      { handOverForward: parts.handOverForward },
    );
    await play.until(() => parts.tries.length === 1);
    await play.say('pause', { by: 'ada' });
    expect((await play.until('Paused')).impact).toEqual([]);
    await play.say('resume', { by: 'ada' });
    await play.until(() => parts.tries.length === 2);
    await play.say('rollback', { by: 'ada' });
    expect(await play.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(play.calls.slice(-2)).toEqual(['handOverBack', 'stopReplication']);
  });

  test('the rate reaches a comparison that runs', async () => {
    const rates: unknown[] = [];
    const play = await s.switchover(
      { rate: 1_000, gates: { cutover: 'auto', commit: 'auto' } },
      {
        compareKeys: (async ({ sides, checkpoint }: { sides: { rate: unknown }; checkpoint?: unknown }) => {
          rates.push([sides.rate, checkpoint]);
          const counts = { keysCompared: 1, missing: 0, extra: 0, type: 0, value: 0, ttl: 0, repaired: 0 };
          if (rates.length > 1) return { done: true, checkpoint: {}, ...counts };
          await s.cancelled();
          return { done: false, checkpoint: 'half', ...counts };
        }) as never,
      },
    );
    await play.until(() => rates.length === 1);
    await play.say('adjust', { by: 'ada', rate: 'full' });
    expect((await play.ended()).outcome).toBe('Completed');
    expect(rates).toEqual([
      [1_000, undefined],
      ['full', 'half'],
    ]);
  });

  test('a script that never stops is stopped, long before the history is full', async () => {
    const parts = failing(({ capMs }) => capMs === 50_000);
    const play = await s.switchover(
      { gates: { cutover: 'auto', commit: 'auto' } },
      { handOverForward: parts.handOverForward },
    );
    await play.until(() => parts.tries.length === 1);
    let reason = '';
    for (let n = 0; n < 250 && reason === ''; n += 1)
      reason = await play.say('adjust', { by: 'ada', maxLag: 2_000 + n }).then(
        () => '',
        (error: Error) => (error.cause as Error).message,
      );
    expect(reason).toContain('It was changed 200 times already');
    // Changes that come between the same two tries are one.
    expect(parts.tries.length).toBeLessThan(200);
    const { events } = await play.handle.fetchHistory();
    expect(events?.length).toBeLessThan(5_000);
    await play.say('rollback', { by: 'ada' });
    expect((await play.ended()).outcome).toBe('RolledBack');
  }, 120_000);
});

describe.concurrent('withdraw', () => {
  test('at a gate for two: one approval less, and the receipt says who took it back', async () => {
    const play = await s.switchover({ gates: { cutover: { approvers: 2 }, commit: 'auto' } });
    await play.until('AwaitingApproval');
    await play.say('approve', { gate: 'cutover', by: 'Ada' });
    expect(await refusal(play.say('withdraw', { gate: 'cutover', by: 'grace' }))).toBe(
      'grace has not approved gate "cutover"; Ada did.',
    );
    expect(await refusal(play.say('withdraw', { gate: 'takeoff', by: 'ada' }))).toContain(
      'There is no gate "takeoff". Gates: cutover, commit.',
    );
    expect(await refusal(play.say('withdraw', { by: 'ada' }))).toContain('`gate` is missing');
    expect(await play.say('withdraw', { gate: 'cutover', by: ' ada', note: 'wrong week' })).toBe(
      'Withdrawn: gate "cutover" needs 2 approvals more.',
    );
    expect((await play.state()).gates[0]).toMatchObject({ status: 'open', approvals: [] });
    await play.approve('cutover', 'grace');
    await play.approve('cutover', 'Ada');
    const receipt = await play.ended();
    expect(receipt.approvals.map(({ gate, by }) => `${gate} ${by}`)).toEqual([
      'cutover grace',
      'cutover Ada',
      'commit the input',
    ]);
    expect(receipt.withdrawals).toMatchObject([{ gate: 'cutover', by: 'Ada', note: 'wrong week' }]);
  });

  test('while it waits for its moment: the gate asks again, and the wait goes on afterwards', async () => {
    const play = await s.switchover();
    await play.until('AwaitingApproval');
    await play.say('postpone', { by: 'ada', for: '2h' });
    await play.approve('cutover');
    await play.until('AwaitingWindow');
    await play.say('withdraw', { gate: 'cutover', by: 'ada' });
    await play.until('AwaitingApproval');
    expect(await refusal(play.say('withdraw', { gate: 'cutover', by: 'ada' }))).toContain(
      'ada has not approved gate "cutover".',
    );
    await play.say('postpone', { by: 'ada', for: '1s' });
    await new Promise((done) => setTimeout(done, 1_500));
    expect(play.calls).not.toContain('handOverForward');
    await play.approve('cutover', 'grace');
    expect((await play.ended()).outcome).toBe('Completed');
  });

  test('while it is paused behind the gate, by signal; then rejected', async () => {
    const play = await s.play({ gates: { start: 'auto' } });
    await play.until('AwaitingApproval');
    await play.say('pause', { by: 'ada' });
    await play.approve('cutover');
    await play.until('Paused');
    await play.signal('withdraw', { gate: 'cutover', by: 'ada' });
    await play.until('AwaitingApproval');
    // The target is kept in step while it is asked again.
    await play.until(() => play.calls.filter((call) => call === 'followKeys').length === 2);
    await play.approve('cutover', 'grace');
    await play.until('Paused');
    await play.say('withdraw', { gate: 'cutover', by: 'grace' });
    await play.until('AwaitingApproval');
    await play.say('reject', { gate: 'cutover', by: 'grace' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('RolledBack');
    expect(receipt.withdrawals?.map(({ by }) => by)).toEqual(['ada', 'grace']);
    expect(play.calls).not.toContain('switchForward');
  });

  test('while nothing was changed yet: the first gate of a copy', async () => {
    const play = await s.play({ gates: { cutover: 'auto' } });
    await play.until('AwaitingApproval');
    await play.say('pause', { by: 'ada' });
    await play.approve('start');
    await play.until('Paused');
    await play.say('withdraw', { gate: 'start', by: 'ada' });
    await play.until('AwaitingApproval');
    await play.say('resume', { by: 'ada' });
    expect(play.calls).not.toContain('copyKeys');
    await play.approve('start', 'grace');
    expect((await play.ended()).outcome).toBe('Completed');
  });

  test('while it looks again on that approval: it is asked for once more, and the next one counts', async () => {
    const play = await s.switchover();
    await play.until('AwaitingApproval');
    await play.say('pause', { by: 'ada' });
    await play.say('approve', { gate: 'cutover', by: 'ada' });
    await play.say('withdraw', { gate: 'cutover', by: 'ada' });
    await play.say('resume', { by: 'ada' });
    await play.approve('cutover');
    expect((await play.ended()).outcome).toBe('Completed');
  });

  test('a limit is changed and it is approved while it looks again: that approval counts, or is void', async () => {
    const play = await s.switchover();
    await play.until('AwaitingApproval');
    await Promise.all([
      play.say('adjust', { by: 'ada', maxLag: 5_000 }),
      play.say('approve', { gate: 'cutover', by: 'ada' }),
    ]);
    const { gates, phase } = await play.until(
      ({ phase: now, gates: [gate], refused }) =>
        now === 'Completed' || (gate?.status === 'open' && gate.approvals.length === 0 && refused.length > 0),
    );
    if (phase !== 'Completed') {
      expect(gates[0]?.approvals).toEqual([]);
      await play.approve('cutover', 'grace');
    }
    expect((await play.ended()).outcome).toBe('Completed');
  });

  test('while the cutover is tried it is refused; between two tries, postponed, it is taken', async () => {
    const parts = failing(({ checkpoint }) => checkpoint !== undefined);
    const play = await s.switchover({}, { handOverForward: parts.handOverForward });
    await play.approve('cutover');
    await play.until(() => parts.tries.length === 1);
    expect(await refusal(play.say('withdraw', { gate: 'cutover', by: 'ada' }))).toContain(
      '`postpone` or `pause` it, then withdraw',
    );
    await play.say('postpone', { by: 'ada', for: '2h' });
    await play.until('AwaitingWindow');
    await play.say('withdraw', { gate: 'cutover', by: 'ada' });
    expect((await play.until('AwaitingApproval')).impact).toEqual([]);
    await play.say('postpone', { by: 'ada', for: '1ms' });
    await play.approve('cutover', 'grace');
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.approvals.map(({ by }) => by)).toEqual(['grace', 'the input']);
    expect(parts.tries).toHaveLength(2);
  });

  test('used, or settled by the input: refused', async () => {
    const play = await s.switchover({ gates: {} });
    await play.approve('cutover');
    await play.until(({ gates }) => gates.some(({ name, status }) => name === 'commit' && status === 'open'));
    expect(await refusal(play.say('withdraw', { gate: 'cutover', by: 'ada' }))).toContain('was used already');
    const auto = await s.switchover({ gates: { cutover: 'auto' } });
    await auto.until('AwaitingApproval');
    expect(await refusal(auto.say('withdraw', { gate: 'cutover', by: 'the input' }))).toContain(
      'settled ahead in the input',
    );
  });
});

test('a target of another version while it waits: the approval given for the other one is void', async () => {
  const play = await s.switchover({ gates: { commit: 'auto' } });
  const before = await play.until('AwaitingApproval');
  const parts = s.partsOf(play);
  const ports = (parts.describeCouple as unknown as () => ReturnType<typeof coupleOf>)();
  const port = (shown: string): number => Number(shown.split(':')[1]);
  parts.describeCouple = () => coupleOf([port(ports.source.shown), port(ports.target.shown)], '8.2.0');
  await play.say('approve', { gate: 'cutover', by: 'ada', planHash: before.planHash });
  const after = await play.until(
    ({ planHash, phase }) => planHash !== before.planHash && phase === 'AwaitingApproval',
  );
  expect(after.refused[0]).toMatchObject({ by: 'ada', reason: expect.stringContaining('8.2.0') });
  expect(play.calls).not.toContain('handOverForward');
  expect(
    await refusal(play.say('approve', { gate: 'cutover', by: 'ada', planHash: before.planHash })),
  ).toContain(`now ${after.planHash}`);
  await play.say('approve', { gate: 'cutover', by: 'ada', planHash: after.planHash });
  expect((await play.ended()).outcome).toBe('Completed');
});
