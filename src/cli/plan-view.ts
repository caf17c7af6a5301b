/** The plan as a person reads it before saying yes. */
import type { Check, Plan } from '../contract.js';
import { wrap } from './layout.js';
import type { Theme } from './seen.js';

export function planLines(plan: Plan, { colours, columns }: Theme): string[] {
  const room = Math.max(40, columns - 8);
  const lines = [
    `${colours.bold(`Plan of ${plan.strategy} ${plan.name}`)}  ${colours.dim(`hash ${plan.hash}`)}`,
    '',
  ];
  for (const [at, step] of plan.steps.entries()) {
    const kind = step.kind === 'write' ? 'changes something' : step.kind;
    const paint =
      step.kind === 'point of no return'
        ? colours.red
        : step.kind === 'gate'
          ? colours.yellow
          : (plain: string) => plain;
    lines.push(`${String(at + 1).padStart(3)}. ${paint(colours.bold(step.title))}  ${colours.dim(kind)}`);
    for (const sentence of step.does) lines.push(...hanging('- ', sentence, room));
    for (const note of step.notes) lines.push(...hanging('  ', note, room).map(colours.dim));
    if (step.kind === 'write' || step.kind === 'point of no return')
      lines.push(...hanging('undo: ', step.undo, room).map(colours.dim));
  }
  const list = (title: string, items: readonly string[], paint = (plain: string) => plain) => {
    if (items.length > 0)
      lines.push('', colours.bold(title), ...items.flatMap((item) => hanging('- ', item, room).map(paint)));
  };
  list('Users will notice', plan.impact);
  list('May be lost', plan.mayLose, colours.red);
  list(
    'Checks to look at',
    plan.checks.filter((check) => check.status !== 'pass').map(checkSentence),
    colours.yellow,
  );
  const passed = plan.checks.filter((check) => check.status === 'pass').length;
  if (plan.checks.length > 0) lines.push('', colours.dim(`${passed} of ${plan.checks.length} checks pass`));
  if (plan.window) lines.push(colours.dim(`Window: ${plan.window.opensAt} to ${plan.window.closesAt}`));
  if (plan.contact !== undefined) lines.push(colours.dim(`Contact: ${plan.contact}`));
  return lines;
}

function checkSentence(check: Check): string {
  return `${check.name}: ${check.actual}, expected ${check.expected}${check.next === undefined ? '' : `. ${check.next}`}`;
}

function hanging(mark: string, text: string, room: number): string[] {
  return wrap(text, room - mark.length).map(
    (line, at) => `     ${at === 0 ? mark : ' '.repeat(mark.length)}${line}`,
  );
}
