/**
 * The state as Markdown, for the Temporal UI (tab "User Metadata") and for whoever reads it there at night.
 *
 * The UI keeps line breaks as they are, and runs everything inside an item of a list together: so no lists here, but lines, and wide
 * spaces before what belongs to the line above.
 */
import type { Check, Decision, GateState, Phase, Plan, State, StepState, StepStatus } from '../contract.js';
import { ENDED } from '../contract.js';
import { duration } from '../receipt/words.js';

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

const WORDS: Record<Phase, string> = {
  Running: 'Running',
  AwaitingApproval: 'Waiting for an approval',
  AwaitingWindow: 'Waiting for the maintenance window',
  Paused: 'Paused',
  NeedsDecision: 'Needs a decision',
  RollingBack: 'Rolling back',
  Completed: 'Completed',
  RolledBack: 'Rolled back',
  RollbackFailed: 'Rollback failed',
  Aborted: 'Stopped on the way',
};

const UNDER = '\u2003\u2003· ';
const SEND = 'More Actions → Send an Update';

/** Markdown of at most a few kB. */
export function details(state: State, plan: Plan | null): string {
  const open = state.gates.find((gate) => gate.status === 'open');
  const paragraphs = [
    ...(state.decision
      ? decision(state.decision, state.checks)
      : open
        ? gate(open)
        : [`### ${WORDS[state.phase]}: ${state.reason}`]),
    ...state.impact.map((impact) => `⚠ **Users are affected:** ${impact.what}, since ${impact.since}`),
    state.steps.flatMap((step) => lines(step, ENDED.includes(state.phase) ? null : plan)).join('\n'),
    ...(plan?.mayLose ?? []).map((line) => `⚠ **May be lost:** ${line}`),
    ...progress(state),
    ...wayBack(state),
    ...receipt(state),
    ...checks(state),
    ...(state.breakGlass.length > 0
      ? ['**Break glass: to restore service by hand**', fenced('sh', ...state.breakGlass)]
      : []),
    ...state.refused.slice(-1).map(({ what, by, reason }) => `**Last refusal:** ${what} by ${by}: ${reason}`),
  ];
  return paragraphs
    .filter((paragraph) => paragraph !== '')
    .join('\n\n')
    .slice(0, 18_000);
}

function gate({ name, question, approvals, needs, deadline, heldBy, items = [] }: GateState): string[] {
  if (heldBy !== undefined)
    return [`### Gate "${name}" waits for ${heldBy}`, `**${question}**`, `It is answered there.`];
  const left = items.find(({ tickedBy }) => tickedBy === undefined);
  const so =
    needs > 1
      ? ` (${approvals.length} of ${needs} so far${approvals.map(({ by }) => `, ${by}`).join('')})`
      : '';
  return [
    `### Gate "${name}" waits for ${needs > 1 ? `${needs} approvals${so}` : 'an approval'}`,
    `**${question}**`,
    ...(items.length > 0
      ? [
          items
            .map(({ item, tickedBy }) =>
              tickedBy === undefined ? `☐ ${item}` : `☑ ${item} (ticked by ${tickedBy})`,
            )
            .join('\n'),
        ]
      : []),
    ...(left === undefined
      ? []
      : [
          `First each is ticked: ${SEND} → \`tick\`:`,
          fenced('json', `{"item": ${JSON.stringify(left.item)}, "by": "your name"}`),
        ]),
    `To approve: ${SEND} → \`approve\`. To go back: \`reject\`. Both take${deadline ? `, before ${deadline}` : ''}:`,
    fenced('json', `{"gate": ${JSON.stringify(name)}, "by": "your name"}`),
  ];
}

function decision(
  { about, problem, choices, waivable, deadline }: Decision,
  checks: readonly Check[],
): string[] {
  const [first = 'retry'] = Object.keys(choices);
  return [
    `### Needs a decision: ${about}`,
    problem,
    `To answer: ${SEND} → \`decide\`${deadline ? `, before ${deadline}` : ''}, for example:`,
    fenced('json', `{"choice": "${first}", "by": "your name"}`),
    [
      ...Object.entries(choices).map(([choice, effect]) => `\`${choice}\`: ${effect}`),
      ...waivable.map((name) =>
        checks.some((check) => check.name === name && check.tickable)
          ? `or \`tick\` it, once it is so: \`{"item": ${JSON.stringify(name)}, "by": "your name"}\``
          : `or \`waive\` the check: \`{"check": ${JSON.stringify(name)}, "by": "your name"}\``,
      ),
    ].join('\n'),
  ];
}

/** One line a step; while it can still be decided otherwise, what exactly it will do and how that is undone. */
function lines(step: StepState, plan: Plan | null): string[] {
  const planned =
    step.status === 'planned'
      ? plan?.steps.find(({ title, kind }) => title === step.title && kind === 'write')
      : undefined;
  return [
    `${MARK[step.status]} ${step.title}${step.status === 'skipped' ? ' (skipped)' : ''}${step.note ? `: ${step.note}` : ''}`,
    ...(planned?.does ?? []).map((line) => `${UNDER}${line}`),
    ...(planned?.undo ? [`${UNDER}*undo:* ${planned.undo}`] : []),
  ];
}

function progress({ progress: far, phase }: State): string[] {
  if (!far || ENDED.includes(phase)) return [];
  const { done, total, unit, rate } = far;
  const n = (count: number): string => Math.round(count).toLocaleString('en');
  return [`**Progress:** ${n(done)} of about ${n(total)} ${unit}, ${n(rate)} a second`];
}

function wayBack({ wayBack: back, phase }: State): string[] {
  if (!back.possible) return [`**Way back:** none. ${back.loses}`];
  if (ENDED.includes(phase) || phase === 'RollingBack') return [];
  return [
    `**Way back:** open; it ${back.keepsWrites ? 'loses nothing' : `would lose ${back.loses}`}. It takes ${back.takes}.\nTo go back: Request Cancellation, or ${SEND} → \`rollback\` with \`{"by": "your name"}\`.`,
  ];
}

function receipt({ receipt: given }: State): string[] {
  if (!given) return [];
  const lines = [...given.blemishes, ...given.left.map((left) => `Left as it is: ${left}`)];
  return [
    [
      `**Receipt:** ${given.clean ? 'clean' : 'not clean'}, after ${duration(given.seconds * 1000)}`,
      ...lines,
    ].join('\n'),
  ];
}

function checks(state: State): string[] {
  const found = state.checks.filter((check) => check.status !== 'pass');
  if (found.length === 0) return [];
  return [
    [
      '**Checks to look at**',
      ...found.map(
        ({ status, name, actual, next, waivedBy }) =>
          `${status === 'fail' ? '☒' : '⚠'} ${name}: ${actual}${waivedBy ? ` (waived by ${waivedBy})` : ''}${next ? `. ${next}` : ''}`,
      ),
    ].join('\n'),
  ];
}

function fenced(language: string, ...text: string[]): string {
  return [`\`\`\`${language}`, ...text, '```'].join('\n');
}
