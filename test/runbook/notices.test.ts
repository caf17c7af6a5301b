/* Advance notices of the maintenance window, as a webhook of its own hears them. */
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest';
import { notify } from '../../src/activities/outside.js';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { hook, soon, type Hook } from '../workflows/support.js';
import { kill9 } from '../faults/support.js';
import { sleep, world } from '../support/world.js';
import { stage, type Parts, type Play, type Stage } from './stage.js';

let s: Stage;
beforeAll(async () => {
  s = await stage();
});
afterAll(() => s.close());

const HOUR = 3_600_000;
const at = (ms: number): string => new Date(Date.now() + ms).toISOString();

/** Nothing but notices: what they are about, and the whole text. */
function notices(h: Hook): { what: string; text: string }[] {
  return h.heard
    .map(({ body }) => String(body['text']))
    .flatMap((text) => {
      const what = /^\S+: maintenance (\w+)\./.exec(text)?.[1];
      return what === undefined ? [] : [{ what, text }];
    });
}

const kinds = (h: Hook): string[] => notices(h).map(({ what }) => what);

async function heard(h: Hook, ...what: string[]): Promise<string[]> {
  await soon(async () => kinds(h).length >= what.length, 20_000);
  expect(kinds(h)).toEqual(what);
  return notices(h).map(({ text }) => text);
}

async function announced(
  { onTestFinished }: TestContext,
  input: Partial<RedisCopyInput>,
  parts: Parts = {},
): Promise<{ h: Hook; play: Play }> {
  const h = await hook();
  onTestFinished(() => h.close());
  const play = await s.play(
    { notify: { webhook: h.url }, gates: { start: 'auto', cutover: 'auto' }, ...input },
    { notify: notify as never, ...parts },
  );
  return { h, play };
}

describe.concurrent('advance notices', () => {
  test('of those that are past only the latest is sent, the others in their time, none once the cutover has begun', async (t) => {
    const window = { opensAt: at(12_000), closesAt: at(HOUR) };
    const { h, play } = await announced(t, {
      window,
      notices: ['24h', '1h', '4s', '2s'],
      contact: 'Ada, 555-0100',
      maxPause: '2s',
    });
    const [first] = await heard(h, 'announced');
    expect(first).toContain(
      `redisCopy of ${play.id.split('/').at(-1)}: from ${window.opensAt.slice(0, 19).replace('T', ' ')} UTC to ${window.closesAt.slice(0, 19).replace('T', ' ')} UTC, in `,
    );
    expect(first).toMatch(
      /Users notice: writes are held for a moment, from "Switch the applications over" on\./,
    );
    expect(first).toMatch(/It takes at most about 1 min 2 s, and writes wait for at most 2s of it\./);
    expect(first).toMatch(/Rollback plan: switch back to the source, with every write made since/);
    expect(JSON.stringify(h.heard)).toContain('Contact: Ada, 555-0100');
    expect(await play.ended()).toMatchObject({ outcome: 'Completed', warnings: [] });
    const [, second, third] = await heard(h, 'announced', 'announced', 'announced');
    expect(second).toMatch(/in [1-4]\.\d s\./);
    expect(third).toMatch(/in (\d+ ms|[12]\.\d s)\./);
  });

  test('a window that is moved, and a postponement: a notice says so, and the times are those of the new one', async (t) => {
    const { h, play } = await announced(t, {
      window: { opensAt: at(HOUR), closesAt: at(2 * HOUR) },
      notices: ['2h', '2s'],
      gates: { start: 'auto' },
    });
    await heard(h, 'announced');
    await play.until('AwaitingApproval');
    const window = { opensAt: at(8_000), closesAt: at(3 * HOUR) };
    await play.say('adjust', { by: 'ada', window });
    const [, moved] = await heard(h, 'announced', 'moved');
    expect(moved).toMatch(/redisCopy was moved: it was to begin at .* UTC\.\nredisCopy of .* in \d\.\d s/);
    await heard(h, 'announced', 'moved', 'announced');
    await play.approve('cutover');
    await play.until('AwaitingWindow');
    const until = at(2 * HOUR);
    await play.say('postpone', { by: 'grace', until });
    const told = await heard(h, 'announced', 'moved', 'announced', 'moved');
    expect(told[3]).toContain('was moved by grace');
    expect(told[3]).toContain(`from ${until.slice(0, 19).replace('T', ' ')} UTC`);
    // To before the window opens: nothing is different for anybody.
    await play.say('postpone', { by: 'grace', for: '1s' });
    expect((await play.ended()).outcome).toBe('Completed');
    expect(kinds(h).slice(0, 4)).toEqual(['announced', 'moved', 'announced', 'moved']);
    expect(kinds(h)).not.toContain('cancelled');
  });

  test('nobody was told yet: a window that is moved is announced anew, without a word of the old one', async (t) => {
    const { h, play } = await announced(t, {
      window: { opensAt: at(3 * HOUR), closesAt: at(4 * HOUR) },
      notices: ['1h'],
      gates: { start: 'auto' },
    });
    await play.until('AwaitingApproval');
    await play.say('adjust', { by: 'ada', window: { opensAt: at(HOUR / 2), closesAt: at(HOUR) } });
    await heard(h, 'announced');
    await play.say('rollback', { by: 'ada', note: 'the release is late' });
    expect((await play.ended()).outcome).toBe('RolledBack');
    const [, cancelled] = await heard(h, 'announced', 'cancelled');
    expect(cancelled).toMatch(/was to begin at .* UTC and won't: the release is late\./);
  });

  test('none was sent: going back cancels nothing', async (t) => {
    const { h, play } = await announced(t, {
      window: { opensAt: at(3 * HOUR), closesAt: at(4 * HOUR) },
      notices: ['1h'],
      gates: {},
    });
    await play.until('AwaitingApproval');
    await play.say('abort', { by: 'ada' });
    expect((await play.ended()).outcome).toBe('Aborted');
    expect(kinds(h)).toEqual([]);
  });

  test('going back once the cutover has begun cancels no notice', async (t) => {
    const { h, play } = await announced(
      t,
      { window: { opensAt: at(1_500), closesAt: at(HOUR) }, notices: ['1h'], probes: [{ command: 'probe' }] },
      { runProbes: () => [{ name: 'probe 1', ok: false, seconds: 0, said: 'no' }] },
    );
    await play.until('NeedsDecision');
    await play.say('rollback', { by: 'ada' });
    expect((await play.ended()).outcome).toBe('RolledBack');
    expect(kinds(h)).toEqual(['announced']);
  });

  test('a webhook that fails is a warning, and stops nothing', async (t) => {
    const { h, play } = await announced(t, {
      window: { opensAt: at(1_500), closesAt: at(HOUR) },
      notices: ['1h'],
    });
    h.answers.set('/', 500);
    const receipt = await play.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.warnings.join()).toMatch(/A notification was not delivered: .* answered 500/);
  });

  test('a dry run gives no notice, and neither does what switches nothing', async (t) => {
    const window = { opensAt: at(HOUR), closesAt: at(2 * HOUR) };
    const dry = await announced(t, { window, notices: ['2h'], dryRun: true });
    expect((await dry.play.ended()).outcome).toBe('Planned');
    const copy = await announced(t, {
      window,
      notices: ['2h'],
      repoint: undefined as never,
    });
    const receipt = await copy.play.ended();
    expect(receipt.warnings).toEqual(['It switches nothing, so there is no window to give notice of.']);
    expect([...kinds(dry.h), ...kinds(copy.h)]).toEqual([]);
  });

  test('without a webhook or a window, and with what is no time ahead, the input is refused', async () => {
    const window = { opensAt: at(HOUR), closesAt: at(2 * HOUR) };
    const wrong: [Partial<RedisCopyInput>, RegExp][] = [
      [{ notices: ['1h'], window }, /`notices` needs `notify`/],
      [{ notices: ['1h'], notify: { webhook: 'http://127.0.0.1:1' } }, /`notices` needs `window`/],
      [{ notices: ['soon'] }, /`notices\.0` must be a duration/],
      [{ notices: ['0s'] }, /`notices\.0` must be more than 0/],
    ];
    for (const [input, reason] of wrong) {
      const { type, message } = await (await s.play(input)).failure();
      expect(type).toBe('InvalidInput');
      expect(message).toMatch(reason);
      expect(message).toContain('Nothing was changed');
    }
  });

  test('a cutover that is postponed between two of its tries: it is said that it moved, once it holds', async ({
    onTestFinished,
  }) => {
    const h = await hook();
    onTestFinished(() => h.close());
    let through = false;
    const outcome = { pausedMs: 5, drainMs: 1, pausesGivenUp: 0, droppedClients: 0, slipped: 0 };
    const play = await s.switchover(
      {
        notify: { webhook: h.url },
        notices: ['1h'],
        window: { opensAt: at(-1_000), closesAt: at(4 * HOUR) },
        gates: { cutover: 'auto', commit: 'auto' },
      },
      {
        notify: notify as never,
        handOverForward: async () => {
          if (through) return { done: true, outcome: { ...outcome, partial: true, durable: true } };
          await s.cancelled();
          return { done: false, checkpoint: { pausesGivenUp: 2 } };
        },
      },
    );
    await play.until(({ step }) => step === 'Switch the applications over');
    await heard(h, 'announced');
    await play.say('postpone', { by: 'ada', for: '2h' });
    await play.until('AwaitingWindow');
    const [, moved] = await heard(h, 'announced', 'moved');
    expect(moved).toContain('was moved by ada');
    through = true;
    await play.say('postpone', { by: 'ada', for: '2s' });
    expect((await play.ended()).outcome).toBe('Completed');
    expect(kinds(h)).toEqual(['announced', 'moved', 'moved']);
  });

  test('its worker is killed before one is due: it is sent late, and once', async ({ onTestFinished }) => {
    const h = await hook();
    onTestFinished(() => h.close());
    const w = await world();
    onTestFinished(() => w.close());
    await w.startWorker();
    const opens = Date.now() + 20_000;
    const upgrade = await w.start({
      window: { opensAt: new Date(opens).toISOString(), closesAt: at(HOUR) },
      notify: { webhook: h.url },
      notices: ['12s'],
      gates: { start: 'auto', cutover: 'auto' },
    });
    await upgrade.until('AwaitingWindow');
    await kill9(w.worker);
    await sleep(Math.max(0, opens - 11_000 - Date.now()));
    await w.startWorker();
    await heard(h, 'announced');
    expect((await upgrade.ended()).outcome).toBe('Completed');
    expect(kinds(h)).toEqual(['announced']);
  });
});
