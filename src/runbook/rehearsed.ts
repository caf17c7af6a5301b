/** What a rehearsal measured: put together at its end, and shown where the upgrade itself is planned. */
import type { Check, Receipt, Settings, Strategy } from '../contract.js';
import type { Estimates } from '../inputs/rehearsal.js';
import { entryOf } from '../receipt/history.js';
import { duration } from '../receipt/words.js';
import { acts, reads } from './acts.js';
import type { Runbook } from './api.js';

/** `forth`: there and back. `whole`: to the end, where it went there once more. */
export function estimatesOf(measured: {
  rehearsal: string;
  forth: Receipt;
  whole: Receipt | null;
  cutover: readonly string[];
  backMs: number | null;
}): Estimates {
  const { rehearsal, forth, whole, cutover, backMs } = measured;
  const taken = new Map<string, number>();
  // Of two times the longer one.
  for (const { steps } of [forth, ...(whole ? [whole] : [])])
    for (const { title, kind, startedAt, endedAt } of steps)
      if (kind !== 'gate' && kind !== 'window' && startedAt !== undefined && endedAt !== undefined)
        taken.set(title, Math.max(taken.get(title) ?? 0, Date.parse(endedAt) - Date.parse(startedAt)));
  return {
    rehearsal,
    strategy: forth.strategy,
    of: forth.workflowId,
    at: (whole ?? forth).endedAt,
    steps: [...taken].map(([title, ms]) => ({ title, ms })),
    cutoverMs: cutover.reduce((sum, title) => sum + (taken.get(title) ?? 0), 0),
    backMs,
    downtime: entryOf(whole ?? forth).downtime ?? entryOf(forth).downtime,
  };
}

export async function readEstimates(name: string, strategy: Strategy): Promise<Estimates> {
  return acts(reads, `Read what the rehearsal ${name} measured`).readRehearsal({ name, strategy });
}

/** For the plan; it names no step anew, so that approvals stand. */
export function notesOf({ rehearsal, at, steps }: Estimates, title: string): string[] {
  const step = steps.find((each) => each.title === title);
  return step ? [`took ${duration(step.ms)} in the rehearsal "${rehearsal}" of ${at.slice(0, 10)}`] : [];
}

/** The same runbook, whose first checklist also looks whether the window is long enough. */
export function withEstimates(r: Runbook, estimates: Estimates): Runbook {
  let first = true;
  return {
    ...r,
    checks(title, read, does) {
      if (!first) return r.checks(title, read, does);
      first = false;
      return r.checks(title, async () => [...(await read()), ...windowFits(estimates, r.settings())], does);
    },
  };
}

function windowFits(estimates: Estimates, { window }: Readonly<Settings>): Check[] {
  if (!window) return [];
  const { rehearsal, cutoverMs, backMs } = estimates;
  const length = Date.parse(window.closesAt) - Date.parse(window.opensAt);
  const needs = cutoverMs + (backMs ?? 0);
  const fits = length >= needs;
  return [
    {
      name: 'The window is long enough',
      status: fits ? 'pass' : 'fail',
      expected: `at least ${duration(needs)}, as the rehearsal "${rehearsal}" took: ${duration(cutoverMs)} for the cutover${backMs === null ? '' : ` and ${duration(backMs)} to go back`}`,
      actual: `a window of ${duration(length)}`,
      waivable: true,
      ...(fits ? {} : { next: 'Give a longer one with `adjust`, then retry; or waive it.' }),
    },
  ];
}
