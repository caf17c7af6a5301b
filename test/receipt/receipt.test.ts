import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Receipt } from '../../src/contract.js';
import { receiptHtml } from '../../src/receipt/html.js';
import { receiptText } from '../../src/receipt/text.js';
import { between, bytes, duration, label, value } from '../../src/receipt/words.js';
import { writeReceipt } from '../../src/receipt/write.js';
import { BLEMISHED, CLEAN, ROLLBACK_FAILED } from './fixtures.js';

/** Every string of a receipt, its keys too, made hostile. */
function poisoned(thing: unknown, poison: string): unknown {
  if (typeof thing === 'string') return `${thing}${poison}`;
  if (Array.isArray(thing)) return thing.map((item: unknown) => poisoned(item, poison));
  if (typeof thing === 'object' && thing !== null) {
    return Object.fromEntries(Object.entries(thing).map(([key, inner]) => [key, poisoned(inner, poison)]));
  }
  return thing;
}

/** Tags that are not closed where they should be. */
function leftOpen(html: string): string[] {
  const open: string[] = [];
  const body = html.replace(/<!doctype html>|<meta [^>]*>/g, '');
  for (const [, close, tag = '', itself] of body.matchAll(/<(\/)?([a-z0-9]+)(?:[^<>]*?)(\/)?>/g)) {
    if (itself) continue;
    if (!close) open.push(tag);
    else if (open.at(-1) === tag) open.pop();
    else return [...open, `/${tag}`];
  }
  return open;
}

/** Headings, tables and lists of a page, without its text. */
function outline(html: string): string[] {
  return [...html.matchAll(/<h([123])>(.*?)<\/h\1>|<section class="(box \w+)"/g)].map(
    ([, , heading, box]) => heading ?? `[${box}]`,
  );
}

/** The page of a receipt in which every string ends so. */
const page = (suffix: string) => {
  const receipt = poisoned({ ...BLEMISHED, rejections: CLEAN.approvals, left: ['x'] }, suffix) as Receipt;
  return receiptHtml({
    ...receipt,
    outcome: 'Completed',
    startedAt: CLEAN.startedAt,
    endedAt: CLEAN.endedAt,
  });
};

const tags = (text: string) => text.replaceAll(/<\/?code>/g, '').match(/<\w+/g)?.length;

describe('the page', () => {
  it('says first how it ended, what it took, who approved, and what was measured', () => {
    const html = receiptHtml(CLEAN);
    expect(outline(html)).toMatchInlineSnapshot(`
      [
        "sessions",
        "Took",
        "Approved by",
        "Checks",
        "Write pause",
        "Keys compared",
        "Steps",
        "Checks",
        "Approvals",
        "Measured",
        "Versions",
        "Switch",
        "Comparison",
        "Passes",
        "Settings",
        "Left to do by hand",
        "Asked for and refused",
      ]
    `);
    expect(html).toContain('Completed, clean');
    expect(html).toContain('<p class="big">412 ms</p>');
    expect(html).toContain('<p class="big">2,104,332</p>');
  });

  it('puts blemishes and what is left on top', () => {
    expect(outline(receiptHtml(BLEMISHED)).indexOf('[box warn]')).toBeLessThan(
      outline(receiptHtml(BLEMISHED)).indexOf('Steps'),
    );
    const failed = receiptHtml(ROLLBACK_FAILED);
    expect(outline(failed).indexOf('[box bad]')).toBeLessThan(outline(failed).indexOf('Steps'));
    expect(failed).toContain('Rollback failed');
    expect(failed).not.toContain('clean</p>');
  });

  it('needs nothing from anywhere, and runs nothing', () => {
    const html = receiptHtml(CLEAN);
    expect(html).not.toMatch(/\b(src|href)=|<script|@import|url\(/);
    expect(html).toContain("default-src 'none'");
  });

  it.each([
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '</style><script>x</script>',
    '`<b>x</b>`',
    '&lt;',
  ])('escapes %s wherever it stands', (poison) => {
    const html = page(poison);
    expect(html).not.toMatch(/<script|<img|onmouseover='|<b>x/);
    // Not one tag more than with harmless text: nothing of it became markup, bar the code marks that backticks ask for.
    expect(tags(html)).toBe(tags(page('harmless')));
    expect(html).toContain(
      poison
        .replaceAll('`', '')
        .replace('&', '&amp;')
        .replaceAll('<', '&lt;')
        .replaceAll('>', '&gt;')
        .replaceAll('"', '&quot;')
        .replaceAll("'", '&#39;'),
    );
  });

  it('escapes the names of facts', () => {
    const html = receiptHtml({
      ...CLEAN,
      facts: { '<i>': 1, nested: { '<u>': { '<s>': 1 }, '<em>': { '<s>': 2 } } },
    });
    expect(html).not.toMatch(/<(i|u|s|em)>/);
  });

  it('renders facts of any shape', () => {
    const odd = {
      nothing: null,
      missing: undefined,
      empty: {},
      none: [],
      mixed: [1, 'a', { b: [true, null] }, [2]],
      text: 'two\nlines',
      deep: { a: { b: { c: { d: { e: { f: { g: 1 } } } } } } },
      big: 9_007_199_254_740_991,
      notANumber: Number.NaN,
    };
    const html = receiptHtml({ ...CLEAN, facts: odd });
    expect(html).toContain('unknown');
    expect(html).toContain('two\nlines');
    expect(html).toContain('&quot;g&quot;: 1');
    expect(html).not.toMatch(/undefined|NaN|\[object/);
    expect(receiptText({ ...CLEAN, facts: odd })).not.toMatch(/undefined|NaN|\[object/);
  });

  it('bears times that are no times', () => {
    const html = receiptHtml({
      ...CLEAN,
      startedAt: 'then',
      endedAt: '',
      steps: [{ title: 'x', kind: 'read', status: 'done', startedAt: 'never', endedAt: 'ever' }],
    });
    expect(html).not.toMatch(/NaN|Invalid/);
  });

  it('is well formed', () => {
    for (const receipt of [CLEAN, BLEMISHED, ROLLBACK_FAILED])
      expect(leftOpen(receiptHtml(receipt))).toEqual([]);
  });
});

describe('in the terminal', () => {
  it('says the same', () => {
    expect(receiptText(BLEMISHED)).toMatchInlineSnapshot(`
      "Receipt of redisCopy sessions: Completed, not clean
      All 2,104,332 keys are on the target, compared in both directions, and the applications write there.

        took       12 min 44 s, 2026-03-01 02:00:11 UTC to 2026-03-01 02:12:55 UTC
        workflow   upgrade/redis/sessions
        run        0195f0c2-6f3a-7d2e-9c11-3f5a8a2c77aa
        plan       4f1c9be2a7d03

      What keeps it from being clean
        ! The check "Login page" failed and was waived by Ana Lima.
        ! The source could not be paused: writes of the last 40 ms may be lost, as the input accepts.

      Steps
        ✓ Gather information (800 ms, Redis 6.0.16 → 8.0.2, 2,104,332 keys, 3.1 GB)
        ✓ Pre-flight (1.6 s, 17 checks, 1 warning)
        ✓ Approval: start (1 min 2 s, approved by Ana Lima)
        ✓ Copy the keys (5 min 38 s, 2,104,332 keys at 6,226 a second)
        ✓ Copy what changed meanwhile (29 s, 3 passes: 48,211, then 1,920, then 77 keys)
        ✓ Compare both sides (2 min 9 s, no difference)
        ✓ Approval: cutover (52 s, approved by Ana Lima and Ben Okafor)
        ✓ Switch the applications over (1.2 s, writes paused for 412 ms)
        ✓ Run the application's own tests (7.8 s)
        ✓ Watch for clients that still write to the source (1 min, none)
        ✓ Approval: cleanup (58 s, approved by Ana Lima)
        ✓ Point of no return
        ✓ Delete the copied keys from the source (25 s, 2,104,332 keys)

      Checks: 6 of 8 passed
        ! Somebody is notified: none, expected a webhook in \`notify\`
        ✗ Login page: HTTP 502, expected HTTP 200 (waived by Ana Lima)

      Approvals
        ✓ start: Ana Lima, 2026-03-01 02:01:15 UTC: looked at the plan with Ben
        ✓ cutover: Ana Lima, 2026-03-01 02:10:09 UTC
        ✓ cutover: Ben Okafor, 2026-03-01 02:10:23 UTC: dashboards are quiet

      Measured
        method       DUMP/RESTORE, 3 delta passes, final pass under CLIENT PAUSE
        TLS          no
        lost writes  unknown
        versions:
          source  Redis 6.0.16
          target  Redis 8.0.2
        switch:
          write pause  412 ms
          attempts     1
        comparison:
          keys compared  2,104,332
          databases:
               keys       differences  time
            0  2,000,120  0            2 min 1 s
            3  104,212    0            7.4 s
          types:
            string  1,904,112
            hash    150,020
            zset    50,000
            stream  200
          samples:
            none
        passes:
          pass  keys    took
          1     48,211  22 s
          2     1,920   5.1 s
          3     77      190 ms
        settings:
          read back at  2026-03-01 02:10:51 UTC
          changed:
            - maxmemory-policy: volatile-lru → noeviction
            - timeout: 0 → 300

      Left to do by hand
        ☑ Record the new address in Terraform (Ben Okafor)
        ☐ Tell the data team

      Asked for and refused
        approve cutover by Ana Lima: Ana Lima has approved this gate already; a second person has to.

      Troubles that did not stop it
        ! The webhook answered 503 to two notifications.

      Files on the worker
        /var/lib/ferry/receipts/sessions.html
        /var/lib/ferry/receipts/sessions.json
      "
    `);
  });
});

it('says on page and terminal what was changed on the way, and which approvals were taken back', () => {
  const at = CLEAN.startedAt;
  const receipt: Receipt = {
    ...CLEAN,
    withdrawals: [{ gate: 'cutover', by: 'grace', approvedAt: at, at, note: 'wrong week' }],
    steered: [{ what: 'maxPause 500ms → 2s', by: 'ada', at, note: 'a busy evening' }],
  };
  expect(receiptText(receipt)).toMatch(/– cutover: withdrawn by grace, .*: wrong week/);
  expect(receiptText(receipt)).toMatch(
    /Changed while it ran\n {2}maxPause 500ms → 2s, by ada, .*: a busy evening/,
  );
  for (const said of [
    'withdrawn',
    'wrong week',
    'Changed while it ran',
    'maxPause 500ms → 2s',
    'a busy evening',
  ])
    expect(receiptHtml(receipt)).toContain(said);
});

describe('the files', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ferry-receipts-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('are the same two however often they are written, and name themselves', async () => {
    const [first, second] = [
      await writeReceipt({ receipt: CLEAN, folder }),
      await writeReceipt({ receipt: CLEAN, folder }),
    ];
    expect(second).toEqual(first);
    expect(await readdir(folder)).toHaveLength(2);
    expect(JSON.parse(await readFile(first.json, 'utf8'))).toEqual({ ...CLEAN, files: first });
    expect(await readFile(first.html, 'utf8')).toContain('<!doctype html>');
  });

  it('stay in their folder, whatever the names', async () => {
    const { json } = await writeReceipt({
      receipt: { ...CLEAN, workflowId: '../../etc/passwd', runId: '../x' },
      folder,
    });
    expect(join(json, '..')).toBe(folder);
  });
});

describe('words', () => {
  it.each([
    [0, '0 ms'],
    [412, '412 ms'],
    [999.7, '1.0 s'],
    [1_234, '1.2 s'],
    [59_400, '59 s'],
    [192_000, '3 min 12 s'],
    [3_600_000, '1 h'],
    [7_500_000, '2 h 5 min'],
    [273_600_000, '3 d 4 h'],
    [-1, 'unknown'],
  ])('%i ms is %s', (milliseconds, text) => expect(duration(milliseconds)).toBe(text));

  it('knows units by the name of a fact', () => {
    expect([label('writePauseMs'), value(412, 'writePauseMs')]).toEqual(['write pause', '412 ms']);
    expect([label('memoryBytes'), value(3 * 1024 ** 3, 'memoryBytes')]).toEqual(['memory', '3 GB']);
    expect([label('tlsCa'), label('seconds'), label('GET /login')]).toEqual(['TLS CA', 'time', 'GET /login']);
    expect(bytes(1_536)).toBe('1.5 KB');
    expect(value(true)).toBe('yes');
    expect(value('2026-03-01T02:00:11.123Z')).toBe('2026-03-01 02:00:11 UTC');
    expect(between('x', 'y')).toBe('');
  });
});
