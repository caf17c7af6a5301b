/** What was done and can be undone, newest last. Registered before a step acts, so that an unclear outcome is undone too. */
import type { StepState, Told, UndoResult } from '../contract.js';
import { locally, perform, undoing, type Call } from './acts.js';
import { tally } from './counters.js';
import { problemOf, toldBy, whole } from './failure.js';
import { now, type Ledger } from './ledger.js';
import type { Steering } from './wishes.js';
import type { Decide } from './waiting.js';

/** How a step is undone. Plain data: shown in the plan, kept in the journal, run by the rollback or by `recover`. */
export interface Undo {
  /** What it does, for the plan. */
  says: string;
  call: Call;
  /** The same by hand, as shell commands: the step's part of the break-glass card. */
  byHand: string[];
  /** What users notice while it goes back, until the named step is undone. */
  brings?: { what: string; step: string };
  /** Titles of earlier steps that must stay as they are when this could not be undone, and why. */
  holds?: { steps: string[]; because: string };
  /** When it fails, the undos of earlier steps may run all the same. */
  independent?: boolean;
}

interface Registered {
  step: StepState;
  undo: Undo;
  /** Its number in the journal. */
  seq: number;
}

/** What the Temporal UI calls an entry of the journal. */
const ENTRY = {
  'undo-registered': (title: string) => `how "${title}" is undone`,
  undone: (title: string) => `nothing more to undo of "${title}"`,
  'undo-failed': (title: string) => `"${title}" could not be undone`,
  ended: (outcome: string) => `the end, ${outcome}`,
};

/** Stands in the journal for what is left to do once the way back is closed. */
export const FINISH = 'Still to do';

export type UndoStack = ReturnType<typeof undoStack>;

export function undoStack(
  ledger: Ledger,
  identity: { workflowId: string; runId: string },
  /** What an undo has measured goes into the receipt. */
  learn: (result: UndoResult) => void,
) {
  const stack: Registered[] = [];
  /** What could not be undone and was left: the card keeps telling how it is done by hand. */
  const abandoned: Registered[] = [];
  const left: string[] = [];
  let seq = 0;

  /** The journal and the break-glass card outlive Temporal's history; both are written before anything happens. */
  async function journal(
    kind: keyof typeof ENTRY,
    title: string,
    more: { undo?: Undo; of?: number } = {},
  ): Promise<void> {
    const { undo, of } = more;
    ledger.state.breakGlass = [...abandoned, ...stack]
      .toReversed()
      .flatMap(({ step, undo: { byHand } }) => (byHand.length > 0 ? [`# ${step.title}`, ...byHand] : []));
    seq += 1;
    await locally(`Journal: ${ENTRY[kind](title)}`).writeJournal({
      ...identity,
      seq,
      kind,
      title,
      ...(of === undefined ? {} : { of }),
      ...(undo
        ? {
            undo: { ...undo.call, says: undo.says, byHand: undo.byHand },
          }
        : {}),
      card: ledger.state.breakGlass,
    });
    ledger.show();
  }

  /** Of what has been done already: when it can't be written down, undoing it once more does no harm. */
  async function note(kind: 'undone' | 'undo-failed', title: string, of: number | undefined): Promise<void> {
    await journal(kind, title, of === undefined ? {} : { of }).catch((error: unknown) =>
      ledger.warn(`The journal could not be written: ${problemOf(error).message}`),
    );
  }

  async function register(step: StepState, undo: Undo): Promise<void> {
    stack.push({ step, undo, seq: seq + 1 });
    await journal('undo-registered', step.title, { undo });
  }

  /** Says better how a step is undone, now that its outcome is known. */
  async function settle(step: StepState, call: Call): Promise<void> {
    const entry = stack.find((candidate) => candidate.step === step);
    if (!entry) return;
    const of = entry.seq;
    entry.undo = { ...entry.undo, call };
    entry.seq = seq + 1;
    await journal('undo-registered', step.title, { undo: entry.undo });
    await note('undone', step.title, of);
  }

  /** The undo learns how far the step, or an earlier try of itself, got. */
  function tell(step: StepState, told: Told | undefined): void {
    const entry = stack.find((candidate) => candidate.step === step);
    if (entry && told && typeof entry.undo.call.args === 'object')
      entry.undo = { ...entry.undo, call: { ...entry.undo.call, args: { ...entry.undo.call.args, told } } };
  }

  /** Says better how a step is undone, where there is no time to write that down: it is undone next. */
  function know(step: StepState, call: Call): void {
    const entry = stack.find((candidate) => candidate.step === step);
    if (entry) entry.undo = { ...entry.undo, call };
  }

  /** Nothing is undone any more; only what `finish` does is left to do. */
  async function close(finish: Undo): Promise<void> {
    const dropped = stack.splice(0);
    await register({ title: FINISH, kind: 'write', status: 'planned' }, finish);
    for (const { step, seq: of } of dropped.toReversed()) await note('undone', step.title, of);
  }

  /** The card stays where something is left to do by hand. */
  async function ended(outcome: 'Completed' | 'RolledBack' | 'RollbackFailed' | 'Aborted'): Promise<void> {
    if (outcome === 'Completed' || outcome === 'RolledBack') stack.length = 0;
    await journal('ended', outcome);
  }

  /** Takes a step out of the undo: it stays as it is, and the receipt says so. */
  async function keep(title: string, because: string | null): Promise<void> {
    const index = stack.findIndex(({ step }) => step.title === title);
    if (index < 0) return;
    const [entry] = stack.splice(index, 1);
    if (because !== null) left.push(because);
    await note('undone', title, entry?.seq);
  }

  /** Undoes everything in reverse. A failing undo asks, since the next one could take down what still serves. */
  async function rollBack(steering: Steering, decide: Decide): Promise<'RolledBack' | 'RollbackFailed'> {
    steering.undoing = true;
    let failed = false;
    for (let entry = stack.pop(); entry; entry = stack.pop()) {
      const { step, undo } = entry;
      ledger.mark(step, 'undoing');
      const { brings } = undo;
      if (brings && !ledger.state.impact.some((impact) => impact.step === brings.step))
        ledger.state.impact.push({ ...brings, since: now() });
      ledger.phase('RollingBack', undo.says);
      try {
        const result = (await perform(undoing(undo.call), `Undo: ${step.title}`, undo.call)) as
          UndoResult | null | undefined;
        ledger.mark(step, 'undone', result?.note);
        if (result) learn(result);
        ledger.state.impact = ledger.state.impact.filter((impact) => impact.step !== step.title);
        for (const title of result?.keep?.steps ?? []) await keep(title, result?.keep?.because ?? '');
        for (const each of result?.left ?? []) if (!left.includes(each)) left.push(each);
        await note('undone', step.title, entry.seq);
        continue;
      } catch (error) {
        const problem = problemOf(error);
        tally.failure(problem.type, 'rollback');
        ledger.mark(step, 'undo failed', problem.message);
        if (undo.independent) {
          failed = true;
          left.push(`${step.title}: not undone (${problem.message})`);
          abandoned.push(entry);
          await note('undo-failed', step.title, entry.seq);
          continue;
        }
        stack.push(entry);
        tell(step, toldBy(error));
        const rest = stack
          .slice(0, -1)
          .toReversed()
          .filter((other) => !undo.holds?.steps.includes(other.step.title));
        const choice = await decide({
          about: `Undo of: ${step.title}`,
          problem: whole(problem),
          choices: {
            retry: 'try this undo again',
            ...(rest.length > 0
              ? { continue: `leave it and go on with: ${rest.map((other) => other.step.title).join(', ')}` }
              : {}),
            stop: 'stop here; the break-glass card says what is left to do by hand',
          },
        });
        if (choice === 'retry') continue;
        failed = true;
        left.push(`${step.title}: not undone (${problem.message})`);
        if (choice === 'stop') {
          for (const other of stack.slice(0, -1).toReversed()) left.push(`${other.step.title}: not undone`);
          await note('undo-failed', step.title, entry.seq);
          return 'RollbackFailed';
        }
        stack.pop();
        abandoned.push(entry);
        await note('undo-failed', step.title, entry.seq);
        for (const title of undo.holds?.steps ?? []) await keep(title, undo.holds?.because ?? '');
      }
    }
    return failed ? 'RollbackFailed' : 'RolledBack';
  }

  return {
    register,
    settle,
    tell,
    know,
    keep,
    rollBack,
    close,
    ended,
    left,
    pending: () =>
      stack
        .toReversed()
        .map(({ step, undo }) =>
          step.title === FINISH ? `${FINISH}: ${undo.says}` : `${step.title}: to undo: ${undo.says}`,
        ),
  };
}
