/**
 * Plots of the receipt: lines are SVG, stretched to the width there is; words are HTML on top of it, so that they keep their size on a
 * phone and on paper. No script: what a reader would point at, the highest value and the marks, is written there.
 */
import type { Plot } from '../contract.js';
import { Html, html } from './markup.js';
import { bytes, count, duration } from './words.js';

export function plots(all: readonly Plot[]): Html | null {
  if (all.length === 0) return null;
  return html`<section>
    <h2>Over time</h2>
    ${all.map(figure)}
  </section>`;
}

interface Point {
  at: number;
  value: number;
}

function figure(plot: Plot): Html {
  const runs = runsOf(plot.points);
  const measured = runs.flat();
  const most = measured.reduce<Point | null>(
    (top, point) => (top && top.value >= point.value ? top : point),
    null,
  );
  if (!most)
    return html`<figure class="plot">
      <figcaption><b>${plot.title}</b></figcaption>
      <p class="dim">Nothing could be measured.</p>
    </figure>`;
  const times = plot.points.map(([at]) => at).filter(Number.isFinite);
  const span = { from: Math.min(...times), to: Math.max(...times) };
  // One moment only: in the middle.
  if (span.from === span.to) Object.assign(span, { from: span.from - 500, to: span.to + 500 });
  const { step, top } = scaleOf(plot.unit, most.value);
  const x = (at: number): number => (at - span.from) / (span.to - span.from);
  const y = (value: number): number => value / top;
  const levels = Array.from({ length: Math.round(top / step) + 1 }, (_, nth) => nth * step);
  const marks = placed(
    plot.marks.filter(({ at }) => at >= span.from && at <= span.to),
    x,
  );
  const { ticks, note } = timesOf(span, marks[0]?.at);
  // Where there is little room every second one goes, but the mark's own stays.
  const zero = Math.max(
    0,
    ticks.findIndex(({ says }) => says === '0'),
  );
  const values = measured.map(({ value }) => value).toSorted((a, b) => a - b);
  const median = values[Math.floor((values.length - 1) / 2)] ?? 0;
  const summary = `most ${inUnit(most.value, plot.unit)}, median ${inUnit(median, plot.unit)}`;
  const rows = Math.max(0, ...marks.map(({ row }) => row + 1));
  return html`<figure class="plot">
    <figcaption><b>${plot.title}</b> <span>${summary}</span></figcaption>
    <div class="plane" style="${new Html(`margin-top:${rows * 20 + 14}px`)}">
      <svg
        viewBox="0 0 1000 1000"
        preserveAspectRatio="none"
        role="img"
        aria-label="${plot.title}: ${summary}"
      >
        ${levels.map((level) => html`<path class="grid" d="${new Html(`M0 ${up(y(level))}H1000`)}" />`)}
        ${runs.map(
          (run) =>
            html`<path class="area" d="${new Html(areaOf(run, x, y))}" /><path
                class="line"
                d="${new Html(lineOf(run, x, y))}"
              />`,
        )}
        ${marks.map(({ at }) => html`<path class="mark" d="${new Html(`M${across(x(at))} 0V1000`)}" />`)}
        <path class="top" d="${new Html(`M${across(x(most.at))} ${up(y(most.value))}h0`)}" />
      </svg>
      ${levels.map(
        (level) =>
          html`<span class="level" style="${new Html(`bottom:${percent(y(level))}`)}"
            >${onAxis(level, plot.unit)}</span
          >`,
      )}
      ${marks.map(
        ({ at, says, row }) =>
          html`<span
            class="${new Html(`says${x(at) > 0.7 ? ' before' : ''}`)}"
            style="${new Html(`${side(x(at))};top:${-20 * (row + 1)}px`)}"
            >${says}</span
          >`,
      )}
      <span
        class="${new Html(`most${x(most.at) > 0.7 ? ' before' : ''}`)}"
        style="${new Html(`${side(x(most.at))};bottom:${percent(y(most.value))}`)}"
        >${inUnit(most.value, plot.unit)}</span
      >
    </div>
    <div class="times">
      ${ticks.map(
        ({ at, says }, nth) =>
          html`<span
            class="${new Html((nth - zero) % 2 === 0 ? '' : 'odd')}"
            style="${new Html(`left:${percent(x(at))}`)}"
            >${says}</span
          >`,
      )}
    </div>
    <p class="dim">${note}</p>
  </figure>`;
}

/** What was measured without a gap between. */
function runsOf(points: Plot['points']): Point[][] {
  const runs: Point[][] = [[]];
  for (const [at, value] of points.toSorted(([a], [b]) => a - b)) {
    if (value !== null && Number.isFinite(value) && Number.isFinite(at))
      runs.at(-1)?.push({ at, value: Math.max(0, value) });
    else if (runs.at(-1)?.length !== 0) runs.push([]);
  }
  return runs.filter((run) => run.length > 0);
}

type Scale = (value: number) => number;

function lineOf(run: readonly Point[], x: Scale, y: Scale): string {
  const line = run.map(({ at, value }) => `${across(x(at))} ${up(y(value))}`).join('L');
  // One by itself has no line: a dot, by its round ends.
  return `M${line}${run.length === 1 ? 'h0' : ''}`;
}

function areaOf(run: readonly Point[], x: Scale, y: Scale): string {
  const [first, last] = [run[0], run.at(-1)];
  if (!first || !last) return '';
  return `${lineOf(run, x, y)}L${across(x(last.at))} 1000L${across(x(first.at))} 1000Z`;
}

const across = (part: number): number => rounded(part * 1_000);
const up = (part: number): number => rounded(1_000 - part * 1_000);
const percent = (part: number): string => `${rounded(part * 100)}%`;
/** Words stand on the side that has room. */
const side = (part: number): string => (part > 0.7 ? `right:${percent(1 - part)}` : `left:${percent(part)}`);

function rounded(number: number): number {
  return Math.round(number * 10) / 10;
}

/** Labels of marks that are close to each other stand in rows above each other. */
function placed(marks: Plot['marks'], x: Scale): (Plot['marks'][number] & { row: number })[] {
  const ends: number[] = [];
  return marks
    .toSorted((a, b) => a.at - b.at)
    .slice(0, 8)
    .map((mark) => {
      const free = ends.findIndex((end) => end < x(mark.at) - 0.3);
      const row = free >= 0 ? free : ends.length;
      ends[row] = x(mark.at);
      return { ...mark, row };
    });
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Steps that people count time in, in milliseconds. */
const TIME_STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 5, 7, 14, 30].map((n) => n * DAY),
];

/** Above the highest value stands what it is. */
const HEADROOM = 1.15;

/** Ticks from 0 to a round number above the highest value. */
function scaleOf(unit: string, most: number): { step: number; top: number } {
  const least = (most > 0 ? most : 1) / 4;
  const step =
    unit === 'bytes'
      ? 2 ** Math.max(0, Math.ceil(Math.log2(least)))
      : unit === 'ms'
        ? timeStep(least)
        : unit === 's' || unit === 'seconds'
          ? timeStep(least * SECOND) / SECOND
          : decimalStep(least);
  return { step, top: step * Math.max(1, Math.ceil((most * HEADROOM) / step)) };
}

function timeStep(least: number): number {
  if (least <= SECOND / 2) return decimalStep(least);
  return TIME_STEPS.find((step) => step >= least) ?? Math.ceil(least / DAY) * DAY;
}

/** 1, 2 or 5 times a power of ten. */
function decimalStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].find((n) => n * power >= least * 0.999_999) ?? 10;
  // 0.1 and not 0.1000…01.
  return Number((step * power).toPrecision(6));
}

function inUnit(value: number, unit: string): string {
  if (unit === 'bytes') return bytes(Math.round(value));
  if (unit === 'ms') return value < SECOND ? `${count(Number(value.toPrecision(3)))} ms` : duration(value);
  if (unit === 's' || unit === 'seconds') return inUnit(value * SECOND, 'ms');
  return unit === '' ? count(value) : `${count(value)} ${unit}`;
}

/** Units that nobody knows by a letter or two stand once, with the highest value. */
function onAxis(value: number, unit: string): string {
  return ['bytes', 'ms', 's', 'seconds'].includes(unit) ? inUnit(value, unit) : count(value);
}

/** Around a mark time is counted from it; otherwise it is what a clock shows. */
function timesOf(
  { from, to }: { from: number; to: number },
  mark: number | undefined,
): { ticks: { at: number; says: string }[]; note: string } {
  const least = (to - from) / 7;
  const step = Math.max(1, timeStep(least));
  const around = mark !== undefined && to - from <= 2 * MINUTE;
  const start = around ? mark - Math.floor((mark - from) / step) * step : Math.ceil(from / step) * step;
  const ticks: { at: number; says: string }[] = [];
  for (let at = start; at <= to; at += step)
    ticks.push({ at, says: around ? sinceMark(at - mark) : clock(at, step) });
  return {
    ticks,
    note: around
      ? `0 is ${iso(mark, 11, 23)} UTC on ${iso(mark, 0, 10)}`
      : `UTC, ${iso(from, 0, 10) === iso(to, 0, 10) ? iso(from, 0, 10) : `${iso(from, 0, 10)} to ${iso(to, 0, 10)}`}`,
  };
}

function sinceMark(ms: number): string {
  if (ms === 0) return '0';
  const length = Math.abs(ms);
  const text =
    length < SECOND
      ? `${count(length)} ms`
      : length < MINUTE
        ? `${count(length / SECOND)} s`
        : duration(length);
  return `${ms < 0 ? '−' : '+'}${text}`;
}

function clock(at: number, step: number): string {
  if (step >= DAY) return iso(at, 5, 10);
  // The first of a day says which.
  if (step >= MINUTE) return at % DAY === 0 ? iso(at, 5, 10) : iso(at, 11, 16);
  return step >= SECOND ? iso(at, 11, 19) : iso(at, 11, 23);
}

function iso(at: number, from: number, to: number): string {
  return Math.abs(at) < 8.64e15 ? new Date(at).toISOString().slice(from, to) : '?';
}

export const PLOT_STYLE = `
.plot{margin:0;padding:14px 0 0;break-inside:avoid}.plot+.plot{margin-top:18px;border-top:1px solid var(--line)}
.plot figcaption{display:flex;flex-wrap:wrap;gap:2px 14px;justify-content:space-between;font-size:14px}.plot figcaption b{font-weight:600}.plot figcaption span{color:var(--dim);font-size:13px;font-variant-numeric:tabular-nums}
.plane{position:relative;height:190px;margin-left:76px}
.plane svg{position:absolute;inset:0;height:100%;margin:0;overflow:visible}
.plane path{fill:none;vector-effect:non-scaling-stroke;stroke-linecap:round;stroke-linejoin:round}
.plane .grid{stroke:var(--line);stroke-width:1}
.plane .area{fill:var(--calm);fill-opacity:.13;stroke:none}
.plane .line{stroke:var(--calm);stroke-width:1.8}
.plane .mark{stroke:var(--warn);stroke-width:1.4;stroke-dasharray:4 4}
.plane .top{stroke:var(--calm);stroke-width:7}
.plane span{position:absolute;white-space:nowrap;font-size:12px;line-height:16px;font-variant-numeric:tabular-nums}
.level{right:100%;margin-right:10px;transform:translateY(50%);color:var(--dim)}
.says{padding:0 6px;color:var(--warn);font-weight:600;border-left:2px solid var(--warn)}.says.before{border-left:0;border-right:2px solid var(--warn)}
.most{margin:0 -4px 7px;padding:0 2px;font-weight:600;color:var(--calm);background:var(--paper);border-radius:4px}
.times{position:relative;height:20px;margin:6px 0 0 76px}.times span{position:absolute;transform:translateX(-50%);white-space:nowrap;font-size:12px;color:var(--dim);font-variant-numeric:tabular-nums}
.plot p{margin:2px 0 0 76px;font-size:12px}
@media (max-width:640px){.plane{height:150px;margin-left:62px}.times,.plot p{margin-left:62px}.times .odd{display:none}.level{margin-right:6px}}
@media print{.plane{height:150px}.plane path{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
`;
