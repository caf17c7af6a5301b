/** The state of an upgrade as a person reads it at 2 am: whole (`view`), and only what changed (`changes`). Pure. */
import type { Colors } from 'picocolors/types.js';
import {
  ENDED,
  type Phase,
  type Progress,
  type State,
  type StepState,
  type StepStatus,
} from '../contract.js';
import { between, bytes, count, duration, label, value } from '../receipt/words.js';
import { fleetChanges, fleetLines } from './fleet.js';
import { cut, pad, rowsOf, width, wrap } from './layout.js';
import { nextCommands } from './next.js';
import { phaseWords, type Seen, type Theme } from './seen.js';

type Paint = (text: string) => string;

const MARKS: Record<StepStatus, string> = {
  planned: '·',
  running: '▸',
  waiting: '?',
  done: '✓',
  skipped: '–',
  failed: '✗',
  undoing: '↩',
  undone: '↩',
  'undo failed': '✗',
};

function stepPaint(status: StepStatus, colours: Colors): Paint {
  switch (status) {
    case 'done':
      return colours.green;
    case 'failed':
    case 'undo failed':
      return colours.red;
    case 'running':
    case 'undoing':
      return colours.cyan;
    case 'waiting':
      return colours.yellow;
    case 'planned':
    case 'skipped':
    case 'undone':
      return colours.dim;
  }
}

function phasePaint(phase: Phase, colours: Colors): Paint {
  switch (phase) {
    case 'Running':
    case 'RollingBack':
      return colours.cyan;
    case 'AwaitingApproval':
    case 'AwaitingWindow':
    case 'Paused':
      return colours.yellow;
    case 'Completed':
      return colours.green;
    case 'RolledBack':
      return colours.blue;
    case 'NeedsDecision':
    case 'RollbackFailed':
    case 'Aborted':
      return colours.red;
  }
}

/** The newer of what the workflow last heard and what the activity last told. */
export function newest(progress: Progress | null, live: Progress | null): Progress | null {
  if (!progress || !live) return live ?? progress;
  return Date.parse(live.at) >= Date.parse(progress.at) ? live : progress;
}

/** Everything, the next commands last, since that is where the eye and the prompt are. */
export function view(seen: Seen, theme: Theme): string[] {
  const parts = {
    head: head(seen, theme),
    steps: steps(seen, theme, 'all'),
    fleet: fleetLines(seen, theme),
    checks: checks(seen, theme),
    gates: gates(seen, theme),
    decision: decision(seen, theme),
    impact: impact(seen, theme),
    wayBack: wayBack(seen, theme),
    breakGlass: breakGlass(seen, theme),
    receipt: receipt(seen, theme),
    notes: notes(seen, theme),
    next: next(seen, theme),
  };
  const compose = () =>
    Object.values(parts)
      .filter((lines) => lines.length > 0)
      .flatMap((lines, at) => (at === 0 ? lines : ['', ...lines]));
  if (theme.rows === undefined) return compose();
  // On a small screen: first fewer steps, then fewer remarks. What to type and how to get out stay.
  const fits = () =>
    compose().reduce((rows, line) => rows + rowsOf(line, theme.columns), 0) < (theme.rows ?? 0);
  if (!fits()) parts.steps = steps(seen, theme, 'near');
  if (!fits()) parts.fleet = fleetLines(seen, theme, 'short');
  if (!fits()) parts.notes = [];
  if (!fits()) parts.checks = [];
  if (!fits()) parts.steps = steps(seen, theme, 'now');
  if (!fits()) parts.wayBack = [];
  const lines = compose();
  while (
    lines.length > 1 &&
    lines.reduce((rows, line) => rows + rowsOf(line, theme.columns), 0) >= theme.rows
  )
    lines.splice(1, 1);
  return lines;
}

function head({ state, now, trouble, cutOff }: Seen, { colours, columns }: Theme): string[] {
  const paint = cutOff ? colours.red : phasePaint(state.phase, colours);
  const since = cutOff || ENDED.includes(state.phase) ? '' : ago(state.since, now);
  return [
    `${colours.bold(state.name)}  ${state.strategy}  ${colours.dim(state.workflowId)}`,
    `${paint(colours.bold(`● ${cutOff?.title ?? `${phaseWords(state.phase)}${ofReceipt(state)}`}`))}${since ? colours.dim(`  for ${since}`) : ''}`,
    ...wrap(cutOff?.reason ?? state.reason, Math.max(30, columns - 2)).map((line) => `  ${line}`),
    ...(trouble === undefined
      ? []
      : wrap(`! ${trouble}`, Math.max(30, columns - 2)).map((line) => `  ${colours.red(line)}`)),
  ];
}

function ofReceipt({ phase, receipt }: State): string {
  if (phase !== 'Completed' || !receipt) return '';
  if (receipt.outcome === 'Planned') return ', plan only';
  return receipt.clean ? ', clean' : ', not clean';
}

function ago(since: string, now: number): string {
  const at = Date.parse(since);
  return Number.isNaN(at) ? '' : duration(Math.max(0, now - at));
}

function steps({ state, live, now, cutOff }: Seen, theme: Theme, which: 'all' | 'near' | 'now'): string[] {
  const { colours, columns } = theme;
  if (state.steps.length === 0) return [];
  const at = Math.max(
    state.steps.findIndex((step) =>
      ['running', 'waiting', 'undoing', 'failed', 'undo failed'].includes(step.status),
    ),
    0,
  );
  const [before, after] = which === 'all' ? [Infinity, Infinity] : which === 'near' ? [3, 3] : [0, 0];
  const shown = state.steps.slice(Math.max(0, at - before), at + after + 1);
  const hiddenBefore = Math.max(0, at - before);
  const hiddenAfter = state.steps.length - hiddenBefore - shown.length;
  const titles = Math.min(46, Math.max(...state.steps.map((step) => width(step.title))));
  const progress = newest(state.progress, live);
  const lines = shown.flatMap((step) => {
    const paint = stepPaint(step.status, colours);
    const took =
      step.kind === 'point of no return'
        ? ''
        : between(
            step.startedAt,
            step.endedAt ?? (active(step) && !cutOff ? new Date(now).toISOString() : undefined),
          );
    const note = [
      step.status === 'done' || active(step) || step.status === 'planned' ? '' : step.status,
      step.note ?? '',
    ]
      .filter(Boolean)
      .join(': ');
    const room = columns - titles - 18;
    const title = pad(cut(step.title, titles), titles);
    const line = `  ${paint(MARKS[step.status])} ${active(step) ? colours.bold(title) : step.status === 'planned' ? colours.dim(title) : title}  ${colours.dim(took.padStart(10))}${
      note ? `  ${colours.dim(room < 12 ? note : cut(note, room))}` : ''
    }`;
    const bar =
      progress &&
      !cutOff &&
      step.status === 'running' &&
      (progress.step === step.title || progress.step === '' || state.step === step.title)
        ? progressLines(progress, theme, now)
        : [];
    return [line.trimEnd(), ...bar];
  });
  return [
    ...(hiddenBefore > 0 ? [colours.dim(`  ✓ ${hiddenBefore} before`)] : []),
    ...lines,
    ...(hiddenAfter > 0 ? [colours.dim(`  · ${hiddenAfter} to come`)] : []),
  ];
}

function active(step: StepState): boolean {
  return step.status === 'running' || step.status === 'undoing' || step.status === 'waiting';
}

const BAR = 30;

function progressLines(progress: Progress, { colours, columns }: Theme, now: number): string[] {
  const { done, total, unit } = progress;
  const amount = (number: number) => (unit === 'bytes' ? bytes(number) : count(Math.round(number)));
  const part = total > 0 ? Math.min(1, Math.max(0, done / total)) : null;
  const first =
    part === null
      ? `${amount(done)}${unit === 'bytes' ? '' : ` ${unit}`}`
      : `${colours.cyan('━'.repeat(Math.round(part * BAR)))}${colours.dim('─'.repeat(BAR - Math.round(part * BAR)))} ${percent(part)}  ${amount(done)} of ${amount(total)}${unit === 'bytes' ? '' : ` ${unit}`}`;
  const told = (now - Date.parse(progress.at)) / 1_000;
  const second = [
    progress.rate > 0 ? `${amount(progress.rate)} a second` : '',
    remaining(progress, told),
    ...Object.entries(progress.counts)
      .filter(([, number]) => number !== 0)
      .map(([name, number]) => (name === 'bytes' ? bytes(number) : `${label(name)} ${value(number, name)}`)),
    told > 15 ? `told ${duration(told * 1_000)} ago` : '',
  ].filter(Boolean);
  return [
    `      ${first}`,
    ...(second.length > 0
      ? [`      ${colours.dim(cut(second.join(' · '), Math.max(30, columns - 6)))}`]
      : []),
  ];
}

/** What is left by the clock: the estimate was made when the progress was told. */
function remaining({ etaSeconds }: Progress, toldSecondsAgo: number): string {
  if (etaSeconds === undefined) return '';
  const seconds = etaSeconds - Math.max(0, toldSecondsAgo || 0);
  return seconds < 1 ? 'nearly done' : `about ${duration(Math.round(seconds) * 1_000)} left`;
}

function percent(part: number): string {
  // Not 100 % before it is all.
  return `${part >= 1 ? 100 : Math.min(99, Math.floor(part * 100))} %`;
}

function checks({ state }: Seen, { colours, columns }: Theme): string[] {
  return state.checks
    .filter((check) => check.status !== 'pass')
    .flatMap((check) => {
      const failed = check.status === 'fail' && check.waivedBy === undefined;
      const text = `${check.name}: ${check.actual}${check.expected ? `, expected ${check.expected}` : ''}${check.waivedBy === undefined ? '' : ` (waived by ${check.waivedBy})`}${
        failed && check.next !== undefined ? `. ${check.next}` : ''
      }`;
      return block(failed ? '✗' : '!', failed ? colours.red : colours.yellow, text, columns);
    });
}

function block(mark: string, paint: Paint, text: string, columns: number): string[] {
  return wrap(text, Math.max(30, columns - 6)).map((line, at) =>
    at === 0 ? `  ${paint(mark)} ${line}` : `    ${line}`,
  );
}

function gates({ state, now, cutOff }: Seen, { colours, columns }: Theme): string[] {
  if (cutOff) return [];
  return state.gates
    .filter((gate) => gate.status === 'open')
    .flatMap((gate) => {
      const said = gate.approvals.map((approval) => approval.by).join(', ');
      const aside = [
        gate.needs > 1 || gate.approvals.length > 0
          ? `${gate.approvals.length} of ${gate.needs} approvals${said ? ` (${said})` : ''}`
          : '',
        gate.deadline === undefined
          ? ''
          : `answer within ${duration(Math.max(0, Date.parse(gate.deadline) - now))}`,
      ].filter(Boolean);
      return [
        // The reason, above, is often the question itself.
        ...(gate.question === state.reason ? [] : wrap(gate.question, Math.max(30, columns - 2))).map(
          (line) => `  ${colours.yellow(colours.bold(line))}`,
        ),
        ...(aside.length > 0 ? [`  ${aside.join('; ')}`] : []),
        ...(gate.heldBy === undefined ? [] : [`  answered by ${gate.heldBy}, of which this is a part`]),
        ...(gate.items ?? []).map(({ item, tickedBy }) =>
          tickedBy === undefined
            ? `  ☐ ${item}`
            : `  ${colours.green('☑')} ${item} ${colours.dim(`(${tickedBy})`)}`,
        ),
      ];
    });
}

function decision({ state, now, cutOff }: Seen, { colours, columns }: Theme): string[] {
  if (!state.decision || cutOff) return [];
  const { about, problem, deadline } = state.decision;
  return [
    `  ${colours.red(colours.bold(about))}`,
    ...wrap(problem, Math.max(30, columns - 2)).map((line) => `  ${line}`),
    ...(deadline === undefined
      ? []
      : [`  ${colours.yellow(`Answer within ${duration(Math.max(0, Date.parse(deadline) - now))}`)}`]),
  ];
}

const LABEL = 14;

function labelled(name: string, text: string, theme: Theme, paint: Paint = (plain) => plain): string[] {
  return wrap(text, Math.max(30, theme.columns - LABEL - 2)).map(
    (line, at) => `  ${theme.colours.dim(pad(at === 0 ? name : '', LABEL))}${paint(line)}`,
  );
}

function impact({ state, now }: Seen, theme: Theme): string[] {
  return state.impact.flatMap((each, at) =>
    labelled(
      at === 0 ? 'Users notice' : '',
      `${each.what}, for ${ago(each.since, now)}`,
      theme,
      theme.colours.red,
    ),
  );
}

function wayBack({ state, cutOff }: Seen, theme: Theme): string[] {
  if (cutOff || ENDED.includes(state.phase)) return [];
  const { possible, keepsWrites, loses, takes } = state.wayBack;
  if (!possible) return labelled('Way back', `none${loses ? `: ${loses}` : ''}`, theme, theme.colours.red);
  const text = `${keepsWrites ? 'open, loses nothing' : `open, but it loses ${loses || 'writes made since'}`}${takes ? `, takes ${takes}` : ''}`;
  return labelled('Way back', text, theme, keepsWrites ? undefined : theme.colours.yellow);
}

function breakGlass({ state }: Seen, { colours }: Theme): string[] {
  if (state.breakGlass.length === 0) return [];
  // As they are, unbroken, so that they can be copied.
  return [
    `  ${colours.dim('Break glass: restores service by hand, without Redis Ferry')}`,
    ...state.breakGlass.map((line) => `    ${line}`),
  ];
}

/** What an upgrade that has ended leaves to be done, and where its receipt is. */
function receipt({ state }: Seen, theme: Theme): string[] {
  const { colours, columns } = theme;
  if (!state.receipt) return [];
  const { blemishes, left, files } = state.receipt;
  return [
    ...left.flatMap((line) => block('✗', colours.red, `left: ${line}`, columns)),
    ...blemishes.flatMap((line) => block('!', colours.yellow, line, columns)),
    ...(files ? labelled('Receipt', files.html, theme) : []),
  ];
}

function notes({ state }: Seen, theme: Theme): string[] {
  const open = state.followUps.filter((item) => item.doneBy === undefined);
  const refusal = state.refused.at(-1);
  return [
    ...(ENDED.includes(state.phase) || state.phase === 'AwaitingApproval'
      ? open.flatMap((item, at) => labelled(at === 0 ? 'By hand' : '', item.item, theme))
      : []),
    ...state.warnings
      .slice(-3)
      .flatMap((warning, at) => labelled(at === 0 ? 'Warnings' : '', warning, theme, theme.colours.yellow)),
    ...(refusal && !ENDED.includes(state.phase)
      ? labelled('Refused', `${refusal.what} by ${refusal.by}: ${refusal.reason}`, theme)
      : []),
    ...(state.contact === undefined ? [] : labelled('Contact', state.contact, theme)),
  ];
}

function next({ state, cutOff }: Seen, { colours, columns }: Theme): string[] {
  const commands = cutOff?.next ?? nextCommands(state);
  const widest = Math.min(48, Math.max(0, ...commands.map(({ command }) => width(command))));
  return commands.map(({ command, does }) => {
    const room = columns - Math.max(widest, width(command)) - 6;
    return `  ${colours.bold(pad(command, widest))}  ${colours.dim(room < 15 ? does : cut(does, room))}`;
  });
}

function refusals(state: State | null): string[] {
  return state?.refused.map((refusal) => `${refusal.what} by ${refusal.by}: ${refusal.reason}`) ?? [];
}

function impacts(state: State | null): string[] {
  return state?.impact.map(({ what }) => what) ?? [];
}

/** What is new since `before`, a line each, for logs and pipes. Progress speaks at every tenth, or after 30 s. */
export function changes(before: Seen | null, after: Seen, spoken: { part: number; at: number }): string[] {
  const { state } = after;
  const old = before?.state ?? null;
  const lines: string[] = [];
  const say = (line: string) => lines.push(`${new Date(after.now).toISOString().slice(11, 19)}  ${line}`);
  if (after.trouble !== before?.trouble)
    say(after.trouble === undefined ? 'answers again' : `! ${after.trouble}`);
  for (const [at, step] of state.steps.entries()) {
    const was = old?.steps[at]?.status ?? 'planned';
    if (was === step.status || step.status === 'planned') continue;
    const took = step.kind === 'point of no return' ? '' : between(step.startedAt, step.endedAt);
    const aside = [took, step.note ?? ''].filter(Boolean).join(', ');
    say(
      `${MARKS[step.status]} ${step.title}${active(step) || step.status === 'done' ? '' : `: ${step.status}`}${!active(step) && aside ? ` (${aside})` : ''}`,
    );
  }
  for (const check of state.checks) {
    const was = old?.checks.find((each) => each.name === check.name);
    if (check.status !== 'pass' && was?.status !== check.status)
      say(
        `${check.status === 'fail' ? '✗' : '!'} ${check.name}: ${check.actual}, expected ${check.expected}`,
      );
    if (check.waivedBy !== undefined && was?.waivedBy === undefined)
      say(`✓ ${check.name}: waived by ${check.waivedBy}`);
  }
  const told = (kind: string, now: readonly string[], then: readonly string[] | undefined) => {
    for (const line of now) if (!then?.includes(line)) say(`${kind}${line}`);
  };
  told('! users notice: ', impacts(state), impacts(old));
  for (const what of impacts(old)) if (!impacts(state).includes(what)) say(`✓ over: ${what}`);
  if (old?.wayBack.possible === true && !state.wayBack.possible && !ENDED.includes(state.phase))
    say('! there is no way back from here');
  for (const line of fleetChanges(state, old)) say(line);
  told('! ', state.warnings, old?.warnings);
  told('refused: ', refusals(state), old ? refusals(old) : refusals(state));
  for (const gate of state.gates) {
    const was = old?.gates.find((each) => each.name === gate.name);
    for (const approval of gate.approvals.slice(was?.approvals.length ?? 0))
      say(
        `✓ ${gate.name} approved by ${approval.by}${approval.note === undefined ? '' : `: ${approval.note}`}`,
      );
    for (const taken of (gate.withdrawn ?? []).slice(was?.withdrawn?.length ?? 0))
      say(
        `– ${gate.name}: approval withdrawn by ${taken.by}${taken.note === undefined ? '' : `: ${taken.note}`}`,
      );
  }
  const { cutOff } = after;
  if (cutOff) {
    say(`${cutOff.title}: ${cutOff.reason}`);
    for (const { command, does } of cutOff.next) say(`  ${command}   (${does})`);
  } else if (old?.phase !== state.phase || old.reason !== state.reason) {
    say(`${phaseWords(state.phase)}: ${state.reason}`);
    for (const gate of state.gates)
      if (gate.status === 'open' && gate.question !== state.reason) say(`  ${gate.question}`);
    if (state.decision) say(`  ${state.decision.about}: ${state.decision.problem}`);
    if (state.phase === 'AwaitingApproval' || state.phase === 'NeedsDecision' || state.phase === 'Paused') {
      for (const { command, does } of nextCommands(state)) say(`  ${command}   (${does})`);
    }
  }
  if (state.breakGlass.join('\n') !== (old?.breakGlass.join('\n') ?? '') && state.breakGlass.length > 0) {
    say('break glass (restores service by hand):');
    for (const line of state.breakGlass) say(`  ${line}`);
  }
  const progress = newest(state.progress, after.live);
  if (progress && progress.total > 0 && state.phase === 'Running') {
    const part = Math.min(1, progress.done / progress.total);
    if (Math.floor(part * 10) !== Math.floor(spoken.part * 10) || after.now - spoken.at >= 30_000) {
      if (Math.abs(part - spoken.part) > 0) {
        say(
          `  ${percent(part)} of ${progress.unit === 'bytes' ? bytes(progress.total) : `${count(progress.total)} ${progress.unit}`}${progress.rate > 0 ? `, ${progress.unit === 'bytes' ? bytes(progress.rate) : count(Math.round(progress.rate))} a second` : ''}${
            progress.etaSeconds === undefined ? '' : `, about ${duration(progress.etaSeconds * 1_000)} left`
          }`,
        );
        spoken.part = part;
        spoken.at = after.now;
      }
    }
  }
  return lines;
}
