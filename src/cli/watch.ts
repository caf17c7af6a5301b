/** Follows an upgrade: redrawn in place on a terminal, a line for each change elsewhere. Heavy: import it lazily. */
import { setTimeout as pause } from 'node:timers/promises';
import { ENDED } from '../contract.js';
import { receiptText } from '../receipt/text.js';
import { EXIT, exitCodeOf, type ExitCode } from './exit.js';
import type { Io } from './io.js';
import { liveScreen, type Screen } from './screen.js';
import type { Session } from './session.js';
import { shortId } from './next.js';
import { look, type Look } from './upgrade.js';
import type { Seen } from './seen.js';
import { changes, view } from './view.js';

const EVERY = 1_000;

export interface WatchOptions {
  /** Ends also when somebody is asked: an approval or a decision. */
  untilAsked: boolean;
  /** Shows nothing on the way. */
  silent: boolean;
}

/** Follows until it has ended (or somebody is asked), and gives the exit code. Ctrl-C stops looking, not the upgrade. */
export async function watch(
  io: Io,
  session: Session,
  workflowId: string,
  options: WatchOptions,
): Promise<ExitCode> {
  const interrupted = io.interrupted();
  const screen = io.tty && !options.silent ? liveScreen(io) : null;
  const spoken = { part: 0, at: 0 };
  let before: Seen | null = null;
  let last: Look | null = null;
  let told: string | undefined;
  try {
    for (;;) {
      const looked = await lookAgain(session, workflowId, last);
      last = looked;
      const seen = seenOf(looked);
      if (seen) {
        if (screen) screen.draw(view(seen, { colours: io.colours, ...io.size() }));
        else if (!options.silent) for (const line of changes(before, seen, spoken)) io.print(line);
        before = seen;
      } else if (looked.trouble !== undefined && !options.silent) {
        if (screen) screen.draw([`${workflowId}: ${looked.trouble}`]);
        else if (looked.trouble !== told) io.warn(looked.trouble);
        told = looked.trouble;
      }
      if (looked.status !== 'RUNNING') return finish(io, looked, { screen, silent: options.silent });
      const phase = looked.state?.phase;
      if (
        options.untilAsked &&
        looked.trouble === undefined &&
        (phase === 'AwaitingApproval' || phase === 'NeedsDecision')
      )
        return exitCodeOf(phase);
      if (interrupted.aborted) break;
      await pause(EVERY, undefined, { signal: interrupted }).catch(() => undefined);
      if (interrupted.aborted) break;
    }
  } finally {
    screen?.end();
  }
  io.warn(`It goes on without you. To look again: ferry state ${shortId(workflowId)} --watch`);
  return last?.state ? exitCodeOf(last.state.phase) : EXIT.done;
}

/** A server or worker that is away for a while ends nothing: the last state stays, and says that it is old. */
async function lookAgain(session: Session, workflowId: string, last: Look | null): Promise<Look> {
  try {
    const looked = await look(session, workflowId);
    return looked.state || !last?.state || looked.status !== 'RUNNING'
      ? looked
      : { ...looked, state: last.state };
  } catch (error) {
    if (!last) throw error;
    return {
      ...last,
      trouble: `No answer just now: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

export function seenOf(looked: Look): Seen | null {
  if (!looked.state) return null;
  return {
    state: looked.state,
    live: looked.live,
    now: Date.now(),
    ...(looked.trouble === undefined ? {} : { trouble: looked.trouble }),
    ...(looked.cutOff === undefined ? {} : { cutOff: looked.cutOff }),
  };
}

/** How a workflow that has ended counts: by its receipt, its last phase, or its failure. */
export function endCode(looked: Look): ExitCode {
  const outcome = looked.end?.receipt?.outcome;
  if (outcome === 'Planned') return EXIT.done;
  if (outcome !== undefined) return exitCodeOf(outcome);
  if (looked.end?.failure) return EXIT.error;
  return looked.state && ENDED.includes(looked.state.phase) ? exitCodeOf(looked.state.phase) : EXIT.error;
}

function finish(io: Io, looked: Look, options: { screen: Screen | null; silent: boolean }): ExitCode {
  const receipt = looked.end?.receipt ?? looked.state?.receipt;
  // What was drawn or said above has said it already.
  const said = !options.silent && looked.cutOff !== undefined;
  if (!receipt && !said) io.warn(failureOf(looked));
  else if (receipt && !options.silent && !options.screen) io.print(`\n${receiptText(receipt).trimEnd()}`);
  return endCode(looked);
}

function failureOf({ end, cutOff }: Look): string {
  if (cutOff)
    return [`${cutOff.title}: ${cutOff.reason}`, ...cutOff.next.map(({ command }) => command)].join('\n');
  return end?.failure ? `${end.failure.type}: ${end.failure.message}` : 'It ended without a receipt.';
}

/** One look, printed. */
export function printLook(io: Io, looked: Look): ExitCode {
  const seen = seenOf(looked);
  if (seen) {
    io.print(view(seen, { colours: io.colours, columns: io.tty ? io.size().columns : 120 }).join('\n'));
  } else if (looked.end?.receipt) {
    io.print(receiptText(looked.end.receipt).trimEnd());
  } else {
    if (looked.trouble !== undefined) io.warn(looked.trouble);
    if (looked.end) io.warn(failureOf(looked));
  }
  return codeOf(looked);
}

/** Exit code of what was found; an answer that may be old is an error. */
export function codeOf(looked: Look): ExitCode {
  if (looked.status !== 'RUNNING') return endCode(looked);
  return looked.state && looked.trouble === undefined ? exitCodeOf(looked.state.phase) : EXIT.error;
}
