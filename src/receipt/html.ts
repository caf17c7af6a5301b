/** The receipt as one page that needs nothing else: to print, to mail, to keep. */
import type { Check, Receipt, StepState } from '../contract.js';
import { DEEPEST, findFact } from './find.js';
import { Html, html, prose } from './markup.js';
import { PLOT_STYLE, plots } from './plot.js';
import { between, columnsOf, duration, isPlain, isRecord, label, moment, value } from './words.js';

const OUTCOMES: Record<Receipt['outcome'], { title: string; tone: string }> = {
  Completed: { title: 'Completed', tone: 'good' },
  Planned: { title: 'Planned, nothing changed', tone: 'calm' },
  RolledBack: { title: 'Rolled back', tone: 'calm' },
  Aborted: { title: 'Stopped on the way', tone: 'bad' },
  RollbackFailed: { title: 'Rollback failed', tone: 'bad' },
};

/** The whole page. */
export function receiptHtml(receipt: Receipt): string {
  const outcome = OUTCOMES[receipt.outcome];
  const blemished = receipt.outcome === 'Completed' && !receipt.clean;
  const tone = blemished ? 'warn' : outcome.tone;
  const badge =
    receipt.outcome === 'Completed'
      ? receipt.clean
        ? 'Completed, clean'
        : 'Completed, with blemishes'
      : outcome.title;
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>${receipt.name}: ${badge} (${receipt.strategy})</title>
        <style>
          ${new Html(STYLE + PLOT_STYLE)}
        </style>
      </head>
      <body>
        <header class="${tone}">
          <p class="brand">Redis Ferry · receipt</p>
          <h1>${receipt.name}</h1>
          <p class="badge">
            <span class="seal" aria-hidden="true"
              >${{ good: '✓', warn: '!', calm: '↩', bad: '✗' }[tone] ?? ''}</span
            >${badge}
          </p>
          <p class="reason">${prose(receipt.reason)}</p>
        </header>
        <main>
          ${cards(receipt)} ${box('warn', 'What keeps it from being clean', receipt.blemishes)}
          ${box('bad', 'Still there, to be removed or put back by hand', receipt.left)} ${timeline(receipt)}
          ${plots(receipt.plots ?? [])} ${checks(receipt.checks)} ${answers(receipt)} ${steered(receipt)}
          ${facts(receipt.facts)} ${followUps(receipt)} ${refused(receipt)}
          ${box('plain', 'Troubles that did not stop it', receipt.warnings)}
        </main>
        <footer>
          <dl>
            <dt>Strategy</dt>
            <dd>${receipt.strategy}</dd>
            <dt>Workflow</dt>
            <dd><code>${receipt.workflowId}</code></dd>
            <dt>Run</dt>
            <dd><code>${receipt.runId}</code></dd>
            <dt>Plan</dt>
            <dd><code>${receipt.planHash || 'none'}</code></dd>
          </dl>
          <p>
            The names of people are as they gave them. Numbers, sentences and names only: keys and values of
            the data never enter a receipt, beyond the sample keys of a comparison that found differences.
          </p>
        </footer>
      </body>
    </html> `;
  return page.text;
}

function cards(receipt: Receipt): Html {
  const passed = receipt.checks.filter((check) => check.status === 'pass').length;
  const others = (['warn', 'fail'] as const)
    .map((status) => [status, receipt.checks.filter((check) => check.status === status).length] as const)
    .filter(([, number]) => number > 0)
    .map(
      ([status, number]) =>
        `${number} ${status === 'warn' ? (number === 1 ? 'warning' : 'warnings') : 'failed'}`,
    );
  const people = [...new Set(receipt.approvals.map((approval) => approval.by))];
  const all: [string, string, string][] = [
    [
      'Took',
      duration(receipt.seconds * 1_000),
      `${moment(receipt.startedAt)} to ${sameDay(receipt) ? moment(receipt.endedAt).slice(11) : moment(receipt.endedAt)}`,
    ],
    [
      'Approved by',
      people.length > 0 ? people.join(', ') : 'nobody',
      people.length > 0
        ? `${receipt.approvals.length} ${receipt.approvals.length === 1 ? 'approval' : 'approvals'}`
        : 'gates settled in the input, or not reached',
    ],
    ['Checks', `${passed} of ${receipt.checks.length} passed`, others.join(', ') || 'nothing to remark'],
    ...headline(receipt.facts),
  ];
  return html`<section class="cards">
    ${all.map(
      ([name, text, note]) =>
        html`<div>
          <h2>${name}</h2>
          <p class="big">${text}</p>
          <p class="dim">${note}</p>
        </div>`,
    )}
  </section>`;
}

function sameDay(receipt: Receipt): boolean {
  return receipt.startedAt.slice(0, 10) === receipt.endedAt.slice(0, 10);
}

/** What readers ask first, wherever a strategy has noted it. */
const HEADLINES = ['writePauseMs', 'keysCompared'];

function headline(all: Record<string, unknown>): [string, string, string][] {
  return HEADLINES.flatMap((key): [string, string, string][] => {
    const fact = findFact(all, key);
    return fact === undefined ? [] : [[sentence(label(key)), value(fact, key), '']];
  });
}

function box(tone: 'warn' | 'bad' | 'plain', title: string, lines: readonly string[]): Html | null {
  if (lines.length === 0) return null;
  return html`<section class="box ${tone}">
    <h2>${title}</h2>
    <ul>
      ${lines.map((line) => html`<li>${prose(line)}</li>`)}
    </ul>
  </section>`;
}

const STEP_TONE: Record<StepState['status'], string> = {
  planned: 'idle',
  running: 'run',
  waiting: 'wait',
  done: 'good',
  skipped: 'idle',
  failed: 'bad',
  undoing: 'calm',
  undone: 'calm',
  'undo failed': 'bad',
};
const STEP_MARK: Record<string, string> = { good: '✓', bad: '✗', calm: '↩', idle: '–', run: '▸', wait: '▸' };

/** One row a step, with a bar where it stood in time. */
function timeline(receipt: Receipt): Html | null {
  if (receipt.steps.length === 0) return null;
  const from = Date.parse(receipt.startedAt);
  const whole = Math.max(1, Date.parse(receipt.endedAt) - from);
  const rows = receipt.steps.map((step) => {
    const tone = STEP_TONE[step.status];
    const waits = step.kind === 'gate' || step.kind === 'window';
    return html`<tr class="${tone}">
      <td class="mark" title="${step.status}">${STEP_MARK[tone] ?? ''}</td>
      <td class="what">
        ${step.title}${step.kind === 'point of no return' ? html` <b class="tag warn">no way back from here</b>` : null}${
          step.status === 'done' || step.status === 'planned'
            ? null
            : html` <b class="tag">${step.status}</b>`
        }${step.note ? html`<small>${prose(step.note)}</small>` : null}
      </td>
      <td class="bar">${bar({ step, from, whole, tone: waits && tone === 'good' ? 'wait' : tone })}</td>
      <td class="num">${step.kind === 'point of no return' ? '' : between(step.startedAt, step.endedAt)}</td>
    </tr>`;
  });
  return html`<section>
    <h2>Steps</h2>
    <table class="steps">
      <thead>
        <tr>
          <th></th>
          <th>Step</th>
          <th class="bar">
            <span>${moment(receipt.startedAt).slice(11, 19)}</span
            ><span>${moment(receipt.endedAt).slice(11)}</span>
          </th>
          <th class="num">Took</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
    <p class="legend">
      <span><i class="k good"></i>work</span
      ><span><i class="k wait"></i>waiting for a person or a window</span>${
        receipt.steps.some((step) => STEP_TONE[step.status] === 'calm')
          ? html`<span><i class="k calm"></i>undone</span>`
          : null
      }${receipt.steps.some((step) => STEP_TONE[step.status] === 'bad') ? html`<span><i class="k bad"></i>failed</span>` : null}
    </p>
  </section>`;
}

function bar(options: { step: StepState; from: number; whole: number; tone: string }): Html | null {
  const { step, from, whole, tone } = options;
  if (step.startedAt === undefined) return null;
  const start = clamp((Date.parse(step.startedAt) - from) / whole) * 1_000;
  const end = clamp((Date.parse(step.endedAt ?? step.startedAt) - from) / whole) * 1_000;
  if (Number.isNaN(start) || Number.isNaN(end)) return null;
  // A step of milliseconds in an upgrade of hours still has to be seen.
  const width = Math.max(6, end - start);
  const x = Math.min(start, 1_000 - width);
  return html`<svg
    viewBox="0 0 1000 10"
    preserveAspectRatio="none"
    role="img"
    aria-label="${between(step.startedAt, step.endedAt) || step.status}"
  >
    <rect class="rail" x="0" y="4" width="1000" height="2" />
    <rect class="${tone}" x="${x.toFixed(1)}" y="0" width="${width.toFixed(1)}" height="10" />
  </svg>`;
}

function clamp(part: number): number {
  return Math.min(1, Math.max(0, part));
}

const CHECK_ORDER: Record<Check['status'], number> = { fail: 0, warn: 1, pass: 2 };

function checks(all: readonly Check[]): Html | null {
  if (all.length === 0) return null;
  const sorted = [...all].sort((a, b) => CHECK_ORDER[a.status] - CHECK_ORDER[b.status]);
  return html`<section>
    <h2>Checks</h2>
    <table class="stack">
      <thead>
        <tr>
          <th>Result</th>
          <th>Check</th>
          <th>Expected</th>
          <th>Found</th>
        </tr>
      </thead>
      <tbody>
        ${sorted.map(
          (check) =>
            html`<tr>
              <td data-is="Result">
                <b class="pill ${{ pass: 'good', warn: 'warn', fail: 'bad' }[check.status]}"
                  >${check.status}</b
                >
              </td>
              <td data-is="Check">
                <span>${check.name}</span>${
                  check.waivedBy !== undefined ? html`<small>waived by ${check.waivedBy}</small>` : null
                }
              </td>
              <td data-is="Expected"><span>${prose(check.expected)}</span></td>
              <td data-is="Found">
                <span>${prose(check.actual)}</span>${
                  check.status !== 'pass' && check.next !== undefined
                    ? html`<small>${prose(check.next)}</small>`
                    : null
                }
              </td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

function answers(receipt: Receipt): Html | null {
  const all = [
    ...receipt.approvals.map((answer) => ({ ...answer, said: 'approved', tone: 'good' })),
    ...receipt.rejections.map((answer) => ({ ...answer, said: 'rejected', tone: 'bad' })),
    ...(receipt.withdrawals ?? []).map((answer) => ({ ...answer, said: 'withdrawn', tone: 'bad' })),
  ].sort((a, b) => a.at.localeCompare(b.at));
  if (all.length === 0) return null;
  return html`<section>
    <h2>Approvals</h2>
    <table class="stack">
      <thead>
        <tr>
          <th>Gate</th>
          <th>Answer</th>
          <th>By</th>
          <th>At</th>
          <th>Note</th>
        </tr>
      </thead>
      <tbody>
        ${all.map(
          (answer) =>
            html`<tr>
              <td data-is="Gate">${answer.gate}</td>
              <td data-is="Answer"><b class="pill ${answer.tone}">${answer.said}</b></td>
              <td data-is="By">${answer.by}</td>
              <td data-is="At"><time datetime="${answer.at}">${moment(answer.at)}</time></td>
              <td data-is="Note">${answer.note ?? ''}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

function steered({ steered: changes }: Receipt): Html | null {
  if (!changes?.length) return null;
  return html`<section>
    <h2>Changed while it ran</h2>
    <table class="stack">
      <thead>
        <tr>
          <th>What</th>
          <th>By</th>
          <th>At</th>
          <th>Note</th>
        </tr>
      </thead>
      <tbody>
        ${changes.map(
          ({ what, by, at, note }) =>
            html`<tr>
              <td data-is="What"><span>${what}</span></td>
              <td data-is="By">${by}</td>
              <td data-is="At"><time datetime="${at}">${moment(at)}</time></td>
              <td data-is="Note">${note ?? ''}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

function followUps(receipt: Receipt): Html | null {
  if (receipt.followUps.length === 0) return null;
  return html`<section>
    <h2>Left to do by hand</h2>
    <ul class="todo">
      ${receipt.followUps.map((item) =>
        item.doneBy !== undefined
          ? html`<li class="done">
              ☑ ${item.item}
              <small>${item.doneBy}${item.at !== undefined ? `, ${moment(item.at)}` : ''}</small>
            </li>`
          : html`<li>☐ ${item.item}</li>`,
      )}
    </ul>
  </section>`;
}

function refused(receipt: Receipt): Html | null {
  if (receipt.refused.length === 0) return null;
  return html`<section>
    <h2>Asked for and refused</h2>
    <table class="stack">
      <thead>
        <tr>
          <th>What</th>
          <th>By</th>
          <th>At</th>
          <th>Why not</th>
        </tr>
      </thead>
      <tbody>
        ${receipt.refused.map(
          (refusal) =>
            html`<tr>
              <td data-is="What">${refusal.what}</td>
              <td data-is="By">${refusal.by}</td>
              <td data-is="At">${moment(refusal.at)}</td>
              <td data-is="Why not"><span>${prose(refusal.reason)}</span></td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

function facts(all: Record<string, unknown>): Html | null {
  const entries = Object.entries(all).filter(([, fact]) => fact !== undefined);
  if (entries.length === 0) return null;
  const plain = entries.filter(([, fact]) => isPlain(fact));
  const nested = entries.filter(([, fact]) => !isPlain(fact));
  return html`<section>
    <h2>Measured</h2>
    ${plain.length > 0 ? pairs(plain) : null}${nested.map(
      ([key, fact]) =>
        html`<h3>${sentence(label(key))}</h3>
          ${factOf(fact, key, 1)}`,
    )}
  </section>`;
}

function factOf(fact: unknown, key: string, depth: number): Html {
  if (isPlain(fact)) return plainOf(fact, key);
  if (depth >= DEEPEST) return html`<pre>${JSON.stringify(fact, null, 2)}</pre>`;
  if (Array.isArray(fact)) {
    if (fact.length === 0) return html`<p class="dim">none</p>`;
    const columns = columnsOf(fact);
    if (columns)
      return table(
        columns,
        fact.filter(isRecord).map((row) => ({ row })),
      );
    return html`<ul>
      ${fact.map((item: unknown) => html`<li>${factOf(item, key, depth + 1)}</li>`)}
    </ul>`;
  }
  if (!isRecord(fact)) return plainOf(fact, key);
  const entries = Object.entries(fact).filter(([, inner]) => inner !== undefined);
  if (entries.length === 0) return html`<p class="dim">none</p>`;
  if (entries.every(([, inner]) => isPlain(inner))) return pairs(entries);
  // Databases by number, commands by name: one row each.
  const columns = columnsOf(Object.values(fact));
  if (columns && entries.length > 1)
    return table(
      columns,
      entries.map(([name, inner]) => ({ name, row: isRecord(inner) ? inner : {} })),
    );
  return html`<dl class="nest">
    ${entries.map(
      ([name, inner]) =>
        html`<dt>${label(name)}</dt>
          <dd>${factOf(inner, name, depth + 1)}</dd>`,
    )}
  </dl>`;
}

function plainOf(fact: unknown, key: string): Html {
  const text = value(fact, key);
  if (fact === null || fact === undefined) return html`<span class="dim">${text}</span>`;
  return text.includes('\n') ? html`<pre>${text}</pre>` : html`<span>${prose(text)}</span>`;
}

function pairs(entries: readonly [string, unknown][]): Html {
  return html`<dl>
    ${entries.map(
      ([key, fact]) =>
        html`<dt>${label(key)}</dt>
          <dd>${plainOf(fact, key)}</dd>`,
    )}
  </dl>`;
}

function table(
  columns: readonly string[],
  rows: readonly { name?: string; row: Record<string, unknown> }[],
): Html {
  const named = rows.some((each) => each.name !== undefined);
  const cell = (column: string, row: Record<string, unknown>) =>
    html`<td data-is="${label(column)}" ${typeof row[column] === 'number' ? html` class="num"` : null}>
      ${row[column] === undefined ? '' : plainOf(row[column], column)}
    </td>`;
  const numeric = (column: string) =>
    rows.every(({ row }) => row[column] === undefined || typeof row[column] === 'number');
  return html`<table class="stack">
    <thead>
      <tr>
        ${named ? html`<th></th>` : null}${columns.map(
          (column) => html`<th${numeric(column) ? html` class="num"` : null}>${label(column)}</th>`,
        )}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        ({ name, row }) =>
          html`<tr>
            ${named ? html`<th scope="row">${name ?? ''}</th>` : null}${columns.map((column) => cell(column, row))}
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const STYLE = `
:root{--paper:#fff;--back:#f4f5f7;--ink:#16202c;--dim:#5d6b7a;--line:#e1e5ea;--good:#14804a;--good-back:#e4f5ec;--warn:#8a5a00;--warn-back:#fff4d9;--bad:#b42318;--bad-back:#fdeceb;--calm:#2a5db0;--calm-back:#e8f0fd;--wait:#9aa7b5;--rail:#e9edf1}
@media (prefers-color-scheme:dark){:root{--paper:#161c24;--back:#0e1319;--ink:#e6ebf1;--dim:#97a5b4;--line:#2a333e;--good:#4cc38a;--good-back:#12301f;--warn:#f0b94a;--warn-back:#332609;--bad:#ff8a80;--bad-back:#3a1714;--calm:#82b1ff;--calm-back:#14253f;--wait:#5f6d7c;--rail:#232b35}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:980px;margin:0 auto;padding:0 24px}
header{padding-top:40px;padding-bottom:8px}
.brand{margin:0;color:var(--dim);font-size:13px;letter-spacing:.04em;text-transform:uppercase}
h1{margin:4px 0 12px;font-size:34px;line-height:1.15;letter-spacing:-.01em}
h2{margin:0 0 12px;font-size:17px}
h3{margin:22px 0 8px;font-size:14px;color:var(--dim);font-weight:600}
.badge{display:inline-flex;align-items:center;gap:10px;margin:0;padding:6px 16px 6px 8px;border-radius:99px;font-weight:600;color:var(--tone);background:var(--tone-back)}
.seal{display:inline-grid;place-items:center;width:24px;height:24px;border-radius:50%;background:var(--tone);color:var(--paper);font-size:14px;line-height:1}
.good{--tone:var(--good);--tone-back:var(--good-back)}.warn{--tone:var(--warn);--tone-back:var(--warn-back)}.bad{--tone:var(--bad);--tone-back:var(--bad-back)}.calm{--tone:var(--calm);--tone-back:var(--calm-back)}.wait,.run{--tone:var(--wait);--tone-back:var(--rail)}.idle{--tone:var(--dim);--tone-back:var(--rail)}
.reason{margin:12px 0 0;font-size:17px;max-width:70ch}
section{margin:16px 0;padding:20px 24px;background:var(--paper);border:1px solid var(--line);border-radius:12px}
.cards{display:flex;flex-wrap:wrap;padding:0;background:var(--line);gap:1px;overflow:hidden}
.cards div{flex:1 1 175px;padding:18px 20px;background:var(--paper)}.cards div:first-child{flex-basis:200px}
.cards h2{margin:0;font-size:13px;font-weight:500;color:var(--dim)}
.big{margin:2px 0;font-size:20px;font-weight:600;letter-spacing:-.01em;line-height:1.3}
.cards .dim{margin:0;font-size:13px}
.dim,small{color:var(--dim)}
small{display:block;font-size:13px}
.box{border-left:4px solid var(--tone,var(--line));background:var(--tone-back,var(--paper))}
.box h2{color:var(--tone,inherit);margin-bottom:6px}
ul{margin:0;padding-left:20px}li{margin:3px 0}
table{width:100%;border-collapse:collapse;font-size:14px}
th{text-align:left;font-weight:500;color:var(--dim);font-size:13px;padding:0 12px 6px 0}
td,tbody th{padding:8px 12px 8px 0;border-top:1px solid var(--line);vertical-align:top}
td:last-child,th:last-child{padding-right:0}
tbody th{color:var(--ink);font-size:14px}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.pill{display:inline-block;white-space:nowrap;padding:0 9px;border-radius:99px;font-size:12px;font-weight:600;line-height:20px;color:var(--tone);background:var(--tone-back)}
.steps td{padding-top:7px;padding-bottom:7px}
.steps .mark{width:26px;color:var(--tone);font-weight:700;padding-right:4px}
.steps .what{width:46%}
.steps tr.idle .what{color:var(--dim)}
.steps th.bar span+span{float:right}
.tag{font-size:12px;font-weight:600;color:var(--tone);margin-left:4px;white-space:nowrap}
svg{display:block;width:100%;height:10px;margin-top:6px}
svg .rail{fill:var(--rail)}svg rect{fill:var(--tone)}
.legend{margin:12px 0 0;font-size:13px;color:var(--dim);display:flex;gap:18px;flex-wrap:wrap}
.k{display:inline-block;width:12px;height:8px;margin-right:6px;background:var(--tone)}
dl{display:grid;grid-template-columns:minmax(130px,max-content) 1fr;gap:4px 20px;margin:0;font-size:14px}
dt{color:var(--dim)}dd{margin:0}
.nest>dt{padding-top:2px}
pre{margin:0;padding:10px 12px;background:var(--back);border-radius:8px;font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre-wrap}
code{font:.87em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.todo{list-style:none;padding:0}.todo .done{color:var(--dim)}.todo small{display:inline;margin-left:6px}
footer{padding-top:12px;padding-bottom:48px;color:var(--dim);font-size:13px}
footer dl{font-size:13px}footer p{max-width:75ch}
@media (max-width:640px){
header,main,footer{padding-left:14px;padding-right:14px}header{padding-top:24px}h1{font-size:27px}
section{padding:16px}.cards{padding:0}.cards div{flex-basis:40%;padding:14px 16px}.cards div:first-child{flex-basis:100%}
.steps thead{display:none}.steps tr{display:grid;grid-template-columns:22px 1fr auto;border-top:1px solid var(--line);padding:7px 0}.steps tr:first-child{border:0}.steps td{border:0;padding:0;width:auto}.steps td.bar{grid-column:2/-1;grid-row:2}.steps .what{width:auto;padding-right:10px}
.stack thead{display:none}.stack tr{display:grid;padding:8px 0;border-top:1px solid var(--line)}.stack tr:first-child{border:0}.stack td,.stack tbody th{border:0;padding:1px 0;text-align:left;white-space:normal}
.stack td[data-is]:not(:empty){display:grid;grid-template-columns:88px 1fr;gap:10px}.stack td:empty{display:none}.stack td[data-is]::before{content:attr(data-is);color:var(--dim);font-size:13px}.stack td small{grid-column:2}
.pill{justify-self:start}
dl{grid-template-columns:110px 1fr;gap:3px 12px}dl.nest{grid-template-columns:1fr}.nest>dd{margin:0 0 8px 12px}
}
@media print{
:root{--paper:#fff;--back:#fff;--ink:#000;--dim:#555;--line:#ccc;--good:#14804a;--good-back:#fff;--warn:#8a5a00;--warn-back:#fff;--bad:#b42318;--bad-back:#fff;--calm:#2a5db0;--calm-back:#fff;--wait:#999;--rail:#eee}
body{font-size:11pt}header,main,footer{max-width:none;padding-left:0;padding-right:0}header{padding-top:0}
section{padding:8px 0;border:0;border-radius:0}.cards{background:none;border-top:1px solid var(--line);border-bottom:1px solid var(--line)}.cards div{padding:8px 0}.box{padding-left:12px;border-left:4px solid var(--tone,var(--line))}
tr,dt,dd,li{break-inside:avoid}h2,h3{break-after:avoid}svg,.seal,.pill,.k{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
`;
