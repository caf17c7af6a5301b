import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { clean } from '../../src/cli/io.js';
import { rowsOf, width, wrap } from '../../src/cli/layout.js';
import { nextCommands, quote, shortId } from '../../src/cli/next.js';
import { changes, newest, view } from '../../src/cli/view.js';
import { ENDED, type State } from '../../src/contract.js';
import { AT_GATE, before, COPYING, DECIDING, NOW } from './fixtures.js';

const plain = { colours: picocolors.createColors(false), columns: 100 };
const lines = (
  state: State,
  theme: Partial<Parameters<typeof view>[1]> = {},
  rest: Partial<Parameters<typeof view>[0]> = {},
) => view({ state, live: null, now: NOW, ...rest }, { ...plain, ...theme });

describe('the whole view', () => {
  it('shows steps, progress, the way back and what to type', () => {
    expect(lines(COPYING).join('\n')).toMatchInlineSnapshot(`
      "sessions  redisCopy  upgrade/redis/sessions
      ● Running  for 3 min 12 s
        Copying the keys

        ✓ Gather information                800 ms  Redis 6.0.16 → 8.0.2
        ✓ Pre-flight                         1.0 s
        ✓ Approval: start                1 min 6 s  approved by Ana Lima
        ▸ Copy the keys                 3 min 12 s
            ━━━━━━━━━━━━━━━─────────────── 50 %  1,000,000 of 2,000,000 keys
            6,420 a second · about 2 min 34 s left · copied 999,990 · skipped 10
        · Compare both sides
        · Approval: cutover
        · Switch the applications over

        ! Somebody is notified: none, expected a webhook

        Way back      open, loses nothing, takes about 1 s

        ferry pause upgrade/redis/sessions     hold it at the next safe place
        ferry rollback upgrade/redis/sessions  undo everything done so far"
    `);
  });

  it('shows a gate: question, who has approved, what users notice, how to get out by hand', () => {
    expect(lines(AT_GATE).join('\n')).toMatchInlineSnapshot(`
      "sessions  redisCopy  upgrade/redis/sessions
      ● Awaiting approval  for 40 s
        Waits for approval of "cutover"

        ✓ Gather information                800 ms  Redis 6.0.16 → 8.0.2
        ✓ Pre-flight                         1.0 s
        ✓ Approval: start                1 min 6 s  approved by Ana Lima
        ✓ Copy the keys                 2 min 22 s
        ✓ Compare both sides            2 min 22 s
        ? Approval: cutover                   40 s
        · Switch the applications over

        ! Somebody is notified: none, expected a webhook

        Switch the applications to redis-new:6379?
        1 of 2 approvals (Ana Lima); answer within 10 min

        Users notice  writes are stopped, for 45 s

        Way back      open, but it loses about 1,200 writes, takes 2 s

        Break glass: restores service by hand, without Redis Ferry
          redis-cli -u "$OLD_REDIS_URL" CLIENT UNPAUSE
          kubectl scale deployment web --replicas=3 --namespace a-rather-long-namespace-name-for-a-test

        Warnings      The webhook answered 503.
        Refused       approve cutover by Ana Lima: has approved already

        ferry approve upgrade/redis/sessions cutover   go on
        ferry reject upgrade/redis/sessions cutover    roll back
        ferry withdraw upgrade/redis/sessions cutover  take your approval back, if you are Ana Lima
        ferry plan upgrade/redis/sessions              see what it will do"
    `);
  });

  it('shows what is ticked before a gate, and who answers one that another upgrade holds', () => {
    const with_ = (more: object): State => ({
      ...AT_GATE,
      gates: AT_GATE.gates.map((gate) => (gate.status === 'open' ? { ...gate, ...more } : gate)),
    });
    const listed = with_({
      items: [{ item: 'The buddy is here', tickedBy: 'Ana Lima' }, { item: 'Dashboards are open' }],
    });
    expect(lines(listed)).toEqual(
      expect.arrayContaining(['  ☑ The buddy is here (Ana Lima)', '  ☐ Dashboards are open']),
    );
    expect(nextCommands(listed).map(({ command }) => command)).toContain(
      "ferry tick upgrade/redis/sessions 'Dashboards are open'",
    );
    const held = with_({ heldBy: 'upgrade/window/shop' });
    expect(lines(held)).toContain('  answered by upgrade/window/shop, of which this is a part');
    expect(nextCommands(held).map(({ command }) => command)).not.toContain(
      'ferry approve upgrade/redis/sessions cutover',
    );
  });

  it('shows a decision with a command for each choice', () => {
    expect(lines(DECIDING).join('\n')).toMatchInlineSnapshot(`
      "sessions  redisCopy  upgrade/redis/sessions
      ● Needs decision  for 3 min 12 s
        A check failed

        ✓ Gather information                800 ms  Redis 6.0.16 → 8.0.2
        ✓ Pre-flight                         1.0 s
        ✓ Approval: start                1 min 6 s  approved by Ana Lima
        ▸ Copy the keys                 3 min 12 s
        · Compare both sides
        · Approval: cutover
        · Switch the applications over

        ! Somebody is notified: none, expected a webhook

        Pre-flight
        Login page: HTTP 502, expected HTTP 200.
        Answer within 5 min

        Way back      open, loses nothing, takes about 1 s

        ferry decide upgrade/redis/sessions retry         check again
        ferry decide upgrade/redis/sessions rollback      undo everything; takes about 1 s
        ferry decide upgrade/redis/sessions stop          stop here and leave everything as it is
        ferry waive upgrade/redis/sessions 'Ben'\\''s login page'  go on although this check failed; the…"
    `);
  });

  it('never breaks or cuts a break-glass command, however narrow the terminal', () => {
    const shown = lines(AT_GATE, { columns: 40, rows: 30 });
    for (const command of AT_GATE.breakGlass) expect(shown).toContain(`    ${command}`);
  });

  it.each([8, 12, 18, 24, 40])('fits into %i rows, and keeps what to type', (rows) => {
    for (const state of [COPYING, AT_GATE, DECIDING]) {
      const shown = lines(state, { rows });
      expect(shown.reduce((sum, line) => sum + rowsOf(line, 100), 0)).toBeLessThan(rows);
      expect(shown.join('\n')).toContain(nextCommands(state).at(-1)?.command);
    }
  });

  it('prefers what the activity told last', () => {
    const told = COPYING.progress!;
    const fresher = { ...told, done: 1_500_000, at: before(0) };
    expect(newest(told, fresher)).toBe(fresher);
    expect(newest(fresher, told)).toBe(fresher);
    expect(lines(COPYING, {}, { live: fresher }).join('\n')).toContain('75 %');
  });

  it('does not say 100 % before it is all', () => {
    const progress = { ...COPYING.progress!, done: 1_999_999 };
    expect(lines({ ...COPYING, progress }).join('\n')).toContain('99 %');
  });

  it('says when it was ended from outside', () => {
    const cutOff = {
      title: 'Terminated',
      reason: 'It was terminated from outside.',
      next: [{ command: 'ferry recover sessions', does: 'undo' }],
    };
    const shown = lines(COPYING, {}, { cutOff }).join('\n');
    expect(shown).toContain('● Terminated');
    expect(shown).toContain('ferry recover sessions');
    expect(shown).not.toContain('ferry pause');
  });

  it('has colours only where they are wanted', () => {
    expect(lines(AT_GATE).join('')).not.toContain('\u001b');
    expect(lines(AT_GATE, { colours: picocolors.createColors(true) }).join('')).toContain('\u001b[33m');
  });
});

const spoken = () => ({ part: 0, at: NOW });
const seen = (state: State) => ({ state, live: null, now: NOW });
const at = (done: number) => seen({ ...COPYING, progress: { ...COPYING.progress!, done } });

describe('only what changed', () => {
  it('begins with what is done, and what it waits for', () => {
    expect(changes(null, seen(AT_GATE), spoken()).join('\n')).toMatchInlineSnapshot(`
      "02:05:00  ✓ Gather information (800 ms, Redis 6.0.16 → 8.0.2)
      02:05:00  ✓ Pre-flight (1.0 s)
      02:05:00  ✓ Approval: start (1 min 6 s, approved by Ana Lima)
      02:05:00  ✓ Copy the keys (2 min 22 s)
      02:05:00  ✓ Compare both sides (2 min 22 s)
      02:05:00  ? Approval: cutover
      02:05:00  ! Somebody is notified: none, expected a webhook
      02:05:00  ! users notice: writes are stopped
      02:05:00  ! The webhook answered 503.
      02:05:00  ✓ start approved by Ana Lima
      02:05:00  ✓ cutover approved by Ana Lima
      02:05:00  Awaiting approval: Waits for approval of "cutover"
      02:05:00    Switch the applications to redis-new:6379?
      02:05:00    ferry approve upgrade/redis/sessions cutover   (go on)
      02:05:00    ferry reject upgrade/redis/sessions cutover   (roll back)
      02:05:00    ferry withdraw upgrade/redis/sessions cutover   (take your approval back, if you are Ana Lima)
      02:05:00    ferry plan upgrade/redis/sessions   (see what it will do)
      02:05:00  break glass (restores service by hand):
      02:05:00    redis-cli -u "$OLD_REDIS_URL" CLIENT UNPAUSE
      02:05:00    kubectl scale deployment web --replicas=3 --namespace a-rather-long-namespace-name-for-a-test"
    `);
  });

  it('says nothing when nothing changed', () => {
    expect(changes(seen(AT_GATE), seen(AT_GATE), spoken())).toEqual([]);
  });

  it('says steps, approvals, impact and refusals as they come', () => {
    expect(changes(seen(COPYING), seen(AT_GATE), spoken()).join('\n')).toMatchInlineSnapshot(`
      "02:05:00  ✓ Copy the keys (2 min 22 s)
      02:05:00  ✓ Compare both sides (2 min 22 s)
      02:05:00  ? Approval: cutover
      02:05:00  ! users notice: writes are stopped
      02:05:00  ! The webhook answered 503.
      02:05:00  refused: approve cutover by Ana Lima: has approved already
      02:05:00  ✓ cutover approved by Ana Lima
      02:05:00  Awaiting approval: Waits for approval of "cutover"
      02:05:00    Switch the applications to redis-new:6379?
      02:05:00    ferry approve upgrade/redis/sessions cutover   (go on)
      02:05:00    ferry reject upgrade/redis/sessions cutover   (roll back)
      02:05:00    ferry withdraw upgrade/redis/sessions cutover   (take your approval back, if you are Ana Lima)
      02:05:00    ferry plan upgrade/redis/sessions   (see what it will do)
      02:05:00  break glass (restores service by hand):
      02:05:00    redis-cli -u "$OLD_REDIS_URL" CLIENT UNPAUSE
      02:05:00    kubectl scale deployment web --replicas=3 --namespace a-rather-long-namespace-name-for-a-test"
    `);
  });

  it('says progress at every tenth only', () => {
    const memory = { part: 0, at: NOW };
    expect(changes(at(0), at(210_000), memory)).toHaveLength(1);
    expect(changes(at(210_000), at(250_000), memory)).toHaveLength(0);
    expect(changes(at(250_000), at(410_000), memory)).toHaveLength(1);
  });
});

describe('what to type next', () => {
  it('uses the name alone while that is clear, and quotes what a shell would take apart', () => {
    expect(shortId('upgrade/redis/sessions', ['redis'])).toBe('sessions');
    expect(shortId('upgrade/redis/sessions', ['redis', 'heroku'])).toBe('upgrade/redis/sessions');
    expect(shortId('lock/x', ['redis'])).toBe('lock/x');
    expect(quote("Ben's login; rm -rf /")).toBe("'Ben'\\''s login; rm -rf /'");
  });

  it('offers a rollback only where there is a way back, and names the loss', () => {
    const paused = { ...COPYING, phase: 'Paused' } as const;
    expect(nextCommands(paused).map(({ command }) => command)).toEqual([
      'ferry resume upgrade/redis/sessions',
      'ferry rollback upgrade/redis/sessions',
    ]);
    const losing = { ...paused, wayBack: AT_GATE.wayBack };
    expect(nextCommands(losing).at(-1)).toEqual({
      command: 'ferry rollback upgrade/redis/sessions --accept-loss',
      does: 'undo everything, and lose about 1,200 writes',
    });
    const none = { ...paused, wayBack: { ...paused.wayBack, possible: false } };
    expect(nextCommands(none).map(({ command }) => command)).toEqual(['ferry resume upgrade/redis/sessions']);
  });

  it('has something for every end', () => {
    for (const phase of ENDED) expect(nextCommands({ ...COPYING, phase })).not.toEqual([]);
  });
});

describe('a terminal', () => {
  it('is not moved or recoloured by names and notes', () => {
    const hostile = { by: '\u001b[2J\u001b]0;title\u0007Eve\r\u202eevil', notes: ['a\u009b31mb\nc'] };
    expect(clean(hostile)).toEqual({ by: 'Eveevil', notes: ['ab\nc'] });
  });

  it('counts wide characters and leaves long words whole', () => {
    expect(width('日本')).toBe(4);
    expect(width('\u001b[31mred\u001b[39m')).toBe(3);
    expect(wrap('a bb ccccccccccccc d', 5)).toEqual(['a bb', 'ccccccccccccc', 'd']);
  });
});
