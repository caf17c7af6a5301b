/* Whatever fails, and whenever: what was done is undone in reverse, and nothing is undone by surprise. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { broken, failed, passed, quietSource, stage, type Parts, type Stage } from './stage.js';

let s: Stage;
beforeAll(async () => {
  s = await stage();
});
afterAll(() => s.close());

const stopped: Partial<RedisCopyInput> = {
  writes: 'stopped',
  stopWrites: { command: ['stop'] },
  startWrites: { command: ['start'] },
  probes: [{ command: ['probe'] }],
};

const START = 'runAction start-writes';
const STOP = 'runAction stop-writes';
const fails = () => broken();
const COPIED = { done: true, checkpoint: {}, counts: { copied: 1 } };

/** Holds an activity until the test has said what it is to meet in the middle of it. */
function later(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((done) => {
    open = done;
  });
  return { opened, open: () => open() };
}
/** Fails the first time only: the same activity is the undo of something else. */
const firstOf = (event: string) => {
  let failing = true;
  return (input: { event: string }) => {
    if (input.event === event && failing) {
      failing = false;
      broken();
    }
  };
};
/** The second comparison is the one while nobody writes. */
const second = () => {
  let count = 0;
  return () =>
    ++count === 2
      ? broken()
      : {
          done: true,
          checkpoint: {},
          keysCompared: 1,
          missing: 0,
          extra: 0,
          type: 0,
          value: 0,
          ttl: 0,
          own: 0,
          moving: 0,
          repaired: 0,
          samples: [],
        };
};

const whole = [
  'copyKeys',
  'compareKeys',
  STOP,
  'compareKeys',
  'switchForward',
  START,
  'runProbes',
  'watchStragglers',
  'settle',
];
const back = {
  copy: ['clearTarget'],
  stop: [START, 'clearTarget'],
  switch: ['switchBack', START, 'clearTarget'],
  start: [STOP, 'switchBack', START, 'clearTarget'],
};

describe.concurrent('a step that fails for good, with onFailure: rollback', () => {
  const cases: [step: string, parts: () => Parts, done: number, undone: string[]][] = [
    ['Copy every key', () => ({ copyKeys: fails }), 1, back.copy],
    ['Compare both sides', () => ({ compareKeys: fails }), 2, back.copy],
    ['Stop the application writing', () => ({ runAction: firstOf('stop-writes') as never }), 3, back.stop],
    ['Compare while nobody writes', () => ({ compareKeys: second() }), 4, back.stop],
    ['Switch the applications over', () => ({ switchForward: fails }), 5, back.switch],
    [
      'Let the application write again',
      () => ({ runAction: firstOf('start-writes') as never }),
      6,
      back.start,
    ],
    [
      'Test the application',
      () => ({ runProbes: () => [{ name: 'probe 1', ok: false, seconds: 1, said: 'no' }] }),
      7,
      back.start,
    ],
    ['Test the application (it can not be run)', () => ({ runProbes: fails }), 7, back.start],
    [
      'Watch for stragglers',
      () => ({
        watchStragglers: () => ({
          done: true,
          checkpoint: { ...quietSource, changed: 3, changedSample: ['a'], fenceHeld: false },
        }),
      }),
      8,
      back.start,
    ],
  ];
  test.for(cases)('%s', async ([step, parts, done, undone]) => {
    const play = await s.play({ ...stopped, onFailure: 'rollback' }, { runProbes: () => [], ...parts() });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('RolledBack');
    expect(receipt.reason).toMatch(/failed/);
    expect(receipt.steps.map(({ title }) => title)).toContain(step.replace(/ \(.*/, ''));
    expect(play.calls).toEqual(['describePair', 'preflight', ...whole.slice(0, done), ...undone]);
    expect(receipt.left).toEqual([]);
    expect(play.journal.at(-1)).toBe('ended RolledBack');
    expect(play.card).toEqual([]);
    const state = await play.state();
    expect(state.impact).toEqual([]);
    expect(state.breakGlass).toEqual([]);
    expect(play.receipts).toBe(1);
  });

  test('nothing fails: nothing is undone', async () => {
    const play = await s.play({ ...stopped, onFailure: 'rollback' }, { runProbes: () => [] });
    const receipt = await play.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    expect(play.calls).toEqual(['describePair', 'preflight', ...whole]);
    expect(play.card).toEqual([]);
    expect((await play.state()).breakGlass).toEqual([]);
  });

  test('the proof before the clean-up fails: there still is a way back', async () => {
    const play = await s.play(
      { cleanup: true, onFailure: 'rollback' },
      { proveSourceUnchanged: () => broken('it changed', 'SourceChanged') },
    );
    expect((await play.ended()).outcome).toBe('RolledBack');
    expect(play.calls.slice(-3)).toEqual(['proveSourceUnchanged', 'switchBack', 'clearTarget']);
  });
});

describe.concurrent('the undo is registered before the step acts', () => {
  test('in the journal, with the commands that do it by hand', async () => {
    const seen: Record<string, string[]> = {};
    const play = await s.play(
      { ...stopped, gates: { start: 'auto', cutover: 'auto' } },
      {
        copyKeys: () => (
          (seen['copy'] = [...play.journal]),
          { done: true, checkpoint: {}, counts: { copied: 1 } }
        ),
        runAction: (({ event }: { event: string }) =>
          void (seen[event] = [...play.journal, ...play.card])) as never,
        switchForward: () => (
          (seen['switch'] = [...play.journal, ...play.card]),
          { targetRunId: 't', writePauseMs: 1 }
        ),
        runProbes: () => [passed('x')].map(() => ({ name: 'x', ok: true, seconds: 0, said: '' })),
      },
    );
    await play.ended();
    expect(seen['copy']).toEqual(['undo-registered Copy every key']);
    expect(seen['stop-writes']).toEqual([
      'undo-registered Copy every key',
      'undo-registered Stop the application writing',
      '# Stop the application writing',
      'start',
    ]);
    expect(seen['switch']).toEqual(
      expect.arrayContaining([
        'undo-registered Switch the applications over',
        'redis-cli unfence',
        'cp before after',
        'start',
      ]),
    );
    // Once the outcome is certain, the undo says so; the first one is struck out.
    expect(play.journal.filter((line) => line.endsWith('Switch the applications over'))).toEqual([
      'undo-registered Switch the applications over',
      'undo-registered Switch the applications over',
      'undone Switch the applications over',
      'undone Switch the applications over',
    ]);
  });

  test('rollback asked while a step is running: that step is undone too', async () => {
    const asked = later();
    const play = await s.play({}, { copyKeys: () => asked.opened.then(() => COPIED) });
    await play.until((state) => state.step === 'Copy every key');
    expect(await play.say('rollback', { by: 'ada', note: 'second thoughts' })).toBe('Rolling back.');
    asked.open();
    const receipt = await play.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', reason: 'second thoughts' });
    expect(play.calls.slice(-2)).toEqual(['copyKeys', 'clearTarget']);
  });

  test("the UI's Cancel is a rollback, and undoing is not cut off by another one", async () => {
    const asked = later();
    const play = await s.play(
      {},
      {
        clearTarget: async () => {
          await play.handle.cancel();
          await new Promise((done) => setTimeout(done, 200));
          return { note: 'cleared' };
        },
        copyKeys: () => asked.opened.then(() => COPIED),
      },
    );
    await play.until((state) => state.step === 'Copy every key');
    await play.handle.cancel();
    asked.open();
    const receipt = await play.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', reason: 'cancelled in Temporal' });
    expect(receipt.steps.find((step) => step.title === 'Copy every key')).toMatchObject({
      status: 'undone',
      note: 'cleared',
    });
  });
});

describe.concurrent('an undo that fails holds', () => {
  const refuses = (times: number) => {
    let left = times;
    return () => (left-- > 0 ? broken('still no') : { note: 'went back' });
  };
  const failing: Partial<RedisCopyInput> = { ...stopped, onFailure: 'rollback' };
  const probes = () => [{ name: 'probe 1', ok: false, seconds: 0, said: 'no' }];

  test('retry: the later undos wait for it', async () => {
    const play = await s.play(failing, { runProbes: probes, switchBack: refuses(1) });
    const state = await play.until('NeedsDecision');
    expect(state.decision).toMatchObject({ about: 'Undo of: Switch the applications over' });
    expect(Object.keys(state.decision?.choices ?? {})).toEqual(['retry', 'continue', 'stop']);
    expect(state.decision?.choices.continue).toBe('leave it and go on with: Stop the application writing');
    expect(play.calls.at(-1)).toBe('switchBack');
    expect(state.impact.map(({ what }) => what)).toEqual(['the application does not write']);
    expect(play.card).toEqual(expect.arrayContaining(['redis-cli unfence', 'start']));
    await expect(play.say('abort', { by: 'ada', leaveAsIs: true })).rejects.toMatchObject({
      cause: { message: expect.stringContaining('rolling back') },
    });
    await play.say('retry', { by: 'ada' });
    expect((await play.ended()).outcome).toBe('RolledBack');
    expect(play.calls.slice(-5)).toEqual([STOP, 'switchBack', 'switchBack', START, 'clearTarget']);
  });

  test('continue: what can be is undone, and it ends as RollbackFailed', async () => {
    const play = await s.play(failing, { runProbes: probes, switchBack: refuses(9) });
    await play.until('NeedsDecision');
    await play.say('decide', { choice: 'continue', by: 'ada' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('RollbackFailed');
    // Nobody knows where the applications are, so the target keeps what they may be using.
    expect(receipt.left).toEqual([
      'Switch the applications over: not undone (still no)',
      expect.stringContaining('keeps its keys'),
    ]);
    expect(play.calls.slice(-2)).toEqual(['switchBack', START]);
    expect(play.card.slice(0, 4)).toEqual([
      '# Switch the applications over',
      'redis-cli unfence',
      'redis-cli CLIENT UNPAUSE',
      'cp before after',
    ]);
    expect(play.card.filter((line) => line.startsWith('#'))).toHaveLength(1);
  });

  test('stop: nothing more is undone, the receipt says what is left and the card stays', async () => {
    const play = await s.play(failing, { runProbes: probes, switchBack: refuses(9) });
    await play.until('NeedsDecision');
    await play.say('decide', { choice: 'stop', by: 'ada' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('RollbackFailed');
    expect(receipt.left).toEqual([
      'Switch the applications over: not undone (still no)',
      'Stop the application writing: not undone',
      'Copy every key: not undone',
    ]);
    expect(play.calls.at(-1)).toBe('switchBack');
    expect(play.card).toEqual(
      expect.arrayContaining(['# Switch the applications over', 'redis-cli unfence', 'cp before after']),
    );
    expect(play.card.slice(-2)).toEqual(['# Stop the application writing', 'start']);
  });
});

describe.concurrent('the point of no return', () => {
  const cleaning = { cleanup: true } as const;

  test('behind it nothing can be undone: not by rollback, not by Cancel, not by a failure', async () => {
    let failing = true;
    const play = await s.play(
      { ...cleaning, onFailure: 'rollback' },
      { clearSource: () => (failing ? broken() : { done: true, checkpoint: {}, deleted: 10 }) },
    );
    const state = await play.until('NeedsDecision');
    expect(state.wayBack).toMatchObject({ possible: false });
    expect(Object.keys(state.decision?.choices ?? {})).toEqual(['retry', 'stop']);
    // What going back would take is no longer offered to whoever recovers a terminated upgrade, nor by hand.
    expect(play.card).toEqual(['# Still to do', 'redis-cli unfence']);
    await expect(play.say('rollback', { by: 'ada' })).rejects.toMatchObject({
      cause: { message: expect.stringContaining('no way back any more') },
    });
    await expect(play.say('rollback', { by: 'ada', acceptLoss: true })).rejects.toThrow();
    await play.signal('rollback', { by: 'bob' });
    await play.handle.cancel();
    const { refused } = await play.until(({ refused }) => refused.length === 2);
    expect(refused).toMatchObject([
      { what: 'rollback', by: 'bob', reason: expect.stringContaining('no way back') },
      { what: 'cancel', by: 'Temporal', reason: expect.stringContaining('no way back') },
    ]);
    failing = false;
    await play.say('retry', { by: 'ada' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.refused).toHaveLength(2);
    expect(play.calls).not.toContain('switchBack');
  });

  test('stopped behind it: the receipt and the card say what is left', async () => {
    const play = await s.play(cleaning, { clearSource: fails });
    await play.until('NeedsDecision');
    await play.say('decide', { choice: 'stop', by: 'ada' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Aborted');
    expect(receipt.left).toEqual([expect.stringContaining('Still to do: lift the fence')]);
    expect(play.card).toEqual(['# Still to do', 'redis-cli unfence']);
  });

  test('the way back is closed before anything is removed that it would need', async () => {
    let asked: unknown;
    const play = await s.play(
      {},
      {
        settle: async () => {
          asked = await play.say('rollback', { by: 'ada' }).catch((error: unknown) => error);
          return {};
        },
      },
    );
    expect((await play.ended()).outcome).toBe('Completed');
    expect(asked).toMatchObject({ cause: { message: expect.stringContaining('no way back') } });
    expect(play.calls).not.toContain('switchBack');
  });
});

describe.concurrent('going back that would lose writes', () => {
  /** Behind the switch, watching for stragglers until released. */
  async function switched() {
    let release = (_refused: unknown) => {};
    const held = new Promise((done) => (release = done));
    const play = await s.play(
      { decideWithin: '1s', onFailure: 'rollback' },
      { watchStragglers: () => held },
      { hold: { pause: false, fence: null, why: 'no pause and no fence' }, fence: null },
    );
    const state = await play.until(({ step }) => step === 'Watch for stragglers');
    expect(state.wayBack).toMatchObject({
      possible: true,
      keepsWrites: false,
      loses: expect.stringContaining('while the applications move back'),
    });
    return { play, release: (more = {}) => release({ done: true, checkpoint: { ...quietSource, ...more } }) };
  }

  test('is asked for in so many words; going on instead is one of the answers', async () => {
    const { play, release } = await switched();
    expect(await play.say('rollback', { by: 'ada' })).toContain('would lose');
    release();
    const state = await play.until('NeedsDecision');
    expect(Object.keys(state.decision?.choices ?? {})).toEqual(['continue', 'rollbackLosingWrites', 'stop']);
    await expect(play.say('rollback', { by: 'ada' })).rejects.toMatchObject({
      cause: { message: expect.stringContaining('rollbackLosingWrites') },
    });
    await play.say('decide', { choice: 'continue', by: 'ada' });
    expect((await play.ended()).outcome).toBe('Completed');
    expect(play.calls).not.toContain('switchBack');
  });

  test('the answer may be yes', async () => {
    const { play, release } = await switched();
    await play.say('rollback', { by: 'ada' });
    release();
    await play.until('NeedsDecision');
    await play.say('decide', { choice: 'rollbackLosingWrites', by: 'ada' });
    expect((await play.ended()).outcome).toBe('RolledBack');
    expect(play.calls.slice(-2)).toEqual(['switchBack', 'clearTarget']);
  });

  test('acceptLoss says it at once', async () => {
    const { play, release } = await switched();
    expect(await play.say('rollback', { by: 'ada', acceptLoss: true })).toBe('Rolling back.');
    release();
    expect((await play.ended()).outcome).toBe('RolledBack');
  });

  test('neither Cancel nor a failed check does it by itself', async () => {
    const { play, release } = await switched();
    await play.handle.cancel();
    release({ changed: 2, fenceHeld: false });
    const state = await play.until('NeedsDecision');
    expect(state.decision?.choices).not.toHaveProperty('rollback');
    expect(play.calls).not.toContain('switchBack');
    await play.say('decide', { choice: 'stop', by: 'ada' });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Aborted');
    expect(receipt.left.join()).toContain('Switch the applications over');
    expect(play.card.join()).toContain('redis-cli unfence');
  });
});

describe.concurrent('what fails outside of any step', () => {
  test('a journal that can not be written: a person decides, and is heard', async () => {
    const play = await s.play({}, { writeJournal: () => broken('the disk is full', 'FileFailed') });
    const state = await play.until('NeedsDecision');
    expect(state.decision?.problem).toContain('the disk is full');
    expect(play.calls).not.toContain('copyKeys');
    await play.say('decide', { choice: 'rollback', by: 'ada' });
    const receipt = await play.ended();
    // Nobody could have recovered it, so nothing was done; but that could not be written down either.
    expect(receipt.outcome).toMatch(/RolledBack|RollbackFailed/);
    expect(receipt.warnings.join()).toContain('the disk is full');
  });

  test('a receipt that can not be written does not take the outcome away', async () => {
    const play = await s.play({}, { saveReceipt: () => broken('the disk is full', 'FileFailed') });
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.files).toBeUndefined();
    expect(receipt.warnings.join()).toContain('the disk is full');
  });

  test('checks that fail after the plan are held, and a failing check ahead of any write rolls back to nothing', async () => {
    const play = await s.play(
      { onFailure: 'rollback' },
      { preflight: () => [failed('Target has room', true)] },
    );
    const receipt = await play.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', reason: 'checks failed: Target has room' });
    expect(play.calls).toEqual(['describePair', 'preflight']);
  });
});
