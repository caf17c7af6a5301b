/** The state as Markdown, for the Temporal UI (tab "User Metadata") and for whoever reads it there at night. */
import type { Plan, State, StepStatus } from '../contract.js';
import { ENDED } from '../contract.js';

// Of the plain symbols that every font has.
const MARK: Record<StepStatus, string> = {
  planned: '☐',
  running: '▸',
  waiting: '▸',
  done: '☑',
  skipped: '☐',
  failed: '☒',
  undoing: '↩',
  undone: '↩',
  'undo failed': '☒',
};

/** Markdown of at most a few kB. */
export function details(state: State, plan: Plan | null): string {
  const open = state.gates.find((gate) => gate.status === 'open');
  const lines = [`### ${state.phase}${open ? '' : `: ${state.reason}`}`, ''];
  if (state.decision) {
    lines.push(`**Needs a decision: ${state.decision.about}**`, '', state.decision.problem, '');
    for (const [choice, effect] of Object.entries(state.decision.choices))
      lines.push(`- \`${choice}\`: ${effect}`);
    for (const check of state.decision.waivable) lines.push(`- or waive the check \`${check}\``);
    if (state.decision.deadline) lines.push('', `Answer before ${state.decision.deadline}.`);
    lines.push('');
  }
  if (open) {
    lines.push(
      `**Gate \`${open.name}\`: ${open.question}**`,
      '',
      `Approve with the Update \`approve\`: \`{"gate":"${open.name}","by":"your name"}\` (${open.approvals.length} of ${open.needs} so far${open.approvals.map((a) => `, ${a.by}`).join('')}).`,
      '',
    );
  }
  for (const impact of state.impact)
    lines.push(`⚠ **Users are affected:** ${impact.what}, since ${impact.since}`, '');
  for (const step of state.steps) {
    lines.push(
      `- ${MARK[step.status]} ${step.title}${step.status === 'skipped' ? ' (skipped)' : ''}${step.note ? `: ${step.note}` : ''}`,
    );
    // While it can still be decided otherwise: what exactly will be done, and how that is undone.
    const planned =
      step.status === 'planned'
        ? plan?.steps.find(({ title, kind }) => title === step.title && kind === 'write')
        : undefined;
    for (const line of planned?.does ?? []) lines.push(`    - ${line}`);
    if (planned?.undo) lines.push(`    - *undo:* ${planned.undo}`);
  }
  for (const line of plan?.mayLose ?? []) lines.push('', `⚠ **May be lost:** ${line}`);
  lines.push('');
  if (state.progress && !ENDED.includes(state.phase)) {
    const { done, total, unit, rate } = state.progress;
    lines.push(
      `Progress: ${done.toLocaleString('en')} of about ${total.toLocaleString('en')} ${unit}, ${Math.round(rate).toLocaleString('en')} a second`,
      '',
    );
  }
  const { wayBack } = state;
  lines.push(
    wayBack.possible
      ? `Way back: open, takes ${wayBack.takes}; ${wayBack.keepsWrites ? 'loses nothing' : `would lose ${wayBack.loses}`}.`
      : `Way back: none. ${wayBack.loses}`,
    '',
  );
  const failed = state.checks.filter((check) => check.status !== 'pass');
  if (failed.length > 0) {
    lines.push('**Checks to look at**', '');
    for (const check of failed)
      lines.push(
        `- ${check.status}: ${check.name}: ${check.actual}${check.waivedBy ? ` (waived by ${check.waivedBy})` : ''}`,
      );
    lines.push('');
  }
  if (state.breakGlass.length > 0)
    lines.push('**Break glass: to restore service by hand**', '', '```sh', ...state.breakGlass, '```', '');
  const last = state.refused.at(-1);
  if (last) lines.push(`Last refusal: ${last.what} by ${last.by}: ${last.reason}`, '');
  return lines.join('\n').slice(0, 18_000);
}
