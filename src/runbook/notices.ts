/**
 * Advance notices: users are told of the maintenance window at chosen times before it opens. Durable timers beside the upgrade, which
 * follow a window that is moved, and fall silent once the cutover has begun.
 */
import { condition } from '@temporalio/workflow';
import type { Plan, Settings } from '../contract.js';
import { milliseconds } from '../inputs/refs.js';
import { duration, moment } from '../receipt/words.js';
import type { Upgrade } from './api.js';

/** When users may notice something. Milliseconds since 1970. */
interface Span {
  from: number;
  to: number;
}

/** Begins to send them. The returned function ends it, once the last one is on its way. */
export function announcing(upgrade: Upgrade): () => Promise<void> {
  const { ledger, steering, settings, strategy, estimates } = upgrade;
  const { state } = ledger;
  const aheads = (settings.notices ?? []).map(milliseconds);
  if (aheads.length === 0) return async () => {};
  if (!steering.cutover) {
    ledger.warn('It switches nothing, so there is no window to give notice of.');
    return async () => {};
  }
  let ended = false;
  const ahead = () => steering.cutover?.standing === 'ahead';
  const over = () => ended || steering.leaving !== null || steering.cutover?.standing === 'done';

  function send(what: 'Announced' | 'Moved' | 'Cancelled', lines: string[]): void {
    ledger.announce(`Maintenance${what}`, lines.join('\n'));
  }

  async function run(): Promise<void> {
    /** What people were told last. */
    let told: Span | null = null;
    /** Notices that were due until then are behind it. */
    let until = 0;
    while (!over()) {
      const known = state.settings;
      const { window, notBefore } = known;
      const span = spanOf(known);
      if (span && ahead()) {
        const now = Date.now();
        const due = aheads.map((before) => span.from - before);
        if (told && moved(told, span)) {
          send('Moved', [
            `${strategy} was moved${known.postponedBy === undefined ? '' : ` by ${known.postponedBy}`}: it was to begin at ${shown(told.from)}.`,
            ...noticeOf(span),
          ]);
          told = span;
        } else if (now < span.to && due.some((at) => at > until && at <= now)) {
          // Of several that are due only one is news.
          send('Announced', noticeOf(span));
          told = span;
        }
        until = now;
        const next = Math.min(...due.filter((at) => at > now));
        const changed = () =>
          over() || !ahead() || state.settings.window !== window || state.settings.notBefore !== notBefore;
        if (Number.isFinite(next))
          await condition(changed, next - now, { summary: `Notice at ${new Date(next).toISOString()}` });
        else await condition(changed);
        // Of a window that nobody was told of, every notice is still to be looked at.
        if (!told) until = 0;
      } else await condition(() => over() || ahead());
    }
    if (told && steering.leaving && ahead())
      send('Cancelled', [
        `${strategy} was to begin at ${shown(told.from)} and won't: ${steering.leaving.why}. Users notice nothing.`,
      ]);
  }

  function noticeOf({ from, to }: Span): string[] {
    const { plan, cutover } = steering;
    const early = from - Date.now();
    const { maxPause } = state.settings;
    return [
      `${strategy} of ${state.name}: from ${shown(from)} to ${shown(to)}${early > 0 ? `, in ${duration(early)}` : ''}.`,
      `Users notice: ${plan && plan.impact.length > 0 ? plan.impact.join('; ') : 'nothing'}.`,
      `It takes at most about ${duration(cutover?.takesMs ?? 0)}${maxPause === undefined ? '' : `, and writes wait for at most ${maxPause} of it`}.`,
      ...(plan?.mayLose ?? []).map((line) => `May be lost: ${line}.`),
      ...(estimates
        ? [
            `In its rehearsal it took ${duration(estimates.cutoverMs)}${estimates.backMs === null ? '' : `, and going back ${duration(estimates.backMs)}`}.`,
          ]
        : []),
      `Rollback plan: ${plan ? rollbackOf(plan) : ''}.`,
    ];
  }

  const running = run();
  return async () => {
    ended = true;
    await running;
  };
}

function spanOf({ window, notBefore }: Settings): Span | null {
  if (!window) return null;
  const opens = Date.parse(window.opensAt);
  return {
    from: notBefore === undefined ? opens : Math.max(opens, Date.parse(notBefore)),
    to: Date.parse(window.closesAt),
  };
}

/** A moment that has come is no news: a postponement is forgotten then. */
function moved(told: Span, now: Span): boolean {
  return told.to !== now.to || (told.from !== now.from && now.from > Date.now());
}

/** How what happens in the window is undone. */
function rollbackOf({ steps }: Plan): string {
  const behind = steps.slice(steps.findIndex(({ kind }) => kind === 'window') + 1);
  const last = behind.findIndex(({ kind }) => kind === 'point of no return');
  const undone = behind
    .slice(0, last < 0 ? behind.length : last)
    .filter(({ kind, undo }) => kind === 'write' && !undo.startsWith('none'))
    .map(({ undo }) => undo)
    .toReversed();
  return undone.length === 0 ? 'none, see the plan' : undone.join('; ');
}

function shown(at: number): string {
  return moment(new Date(at).toISOString());
}
