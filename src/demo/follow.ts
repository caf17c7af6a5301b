/** Follows the demo's upgrade to its end, and hands on what is said at this terminal. */
import { setTimeout as pause } from 'node:timers/promises';
import { CliError } from '../cli/exit.js';
import type { Session } from '../cli/session.js';
import { look, tell, type Look } from '../cli/upgrade.js';
import { seenOf } from '../cli/watch.js';
import type { Choice, MessageName, Messages, State } from '../contract.js';
import { isRecord } from '../receipt/words.js';
import type { Crew } from './processes.js';
import type { Display, Traffic } from './show.js';

const EVERY = 400;
/** How often `--yes` tries a failed step again before it goes back. */
const RETRIES = 3;
/** How long the new server has served before `--yes` goes back, in milliseconds. */
const SERVED_FOR = 3_000;

export interface Following {
  session: Session;
  workflowId: string;
  /** Who speaks from here. */
  by: string;
  /** Answers everything by itself. */
  yes: boolean;
  /** And goes back once the new server serves. */
  comesBack: boolean;
  crew: Crew;
  display: Display;
  traffic: () => Traffic;
  processes: () => string;
  news: string[];
  leaving: AbortSignal;
}

export interface Follower {
  pressed: (key: string) => void;
  /** The last look, once it has ended; null when it was left on the way. */
  ended: Promise<Look | null>;
}

export function follow(following: Following): Follower {
  const { session, workflowId, by, yes, comesBack, crew, display, news, leaving } = following;
  let last: Look | null = null;
  let speaking = false;
  let wentBack = false;
  const retries = new Map<string, number>();

  /** Gives whether it was heard. */
  async function speak<Name extends MessageName>(name: Name, payload: Messages[Name]): Promise<boolean> {
    if (speaking) return false;
    speaking = true;
    try {
      news.push(await tell(session, workflowId, name, payload));
      return true;
    } catch (error) {
      news.push(error instanceof CliError ? error.message : `Not heard (${reason(error)}); try again`);
      return false;
    } finally {
      speaking = false;
    }
  }

  function approve(state: State): Promise<boolean> | undefined {
    const gate = state.gates.find(({ status }) => status === 'open');
    if (!gate) return undefined;
    return speak('approve', { gate: gate.name, by, ...(state.planHash ? { planHash: state.planHash } : {}) });
  }

  function pressed(key: string): void {
    const state = last?.state;
    if (!state || last?.status !== 'RUNNING') return;
    if (key === 'a') void approve(state);
    if (key === 'r') void speak('rollback', { by });
    if (key === 'p') void speak(state.phase === 'Paused' ? 'resume' : 'pause', { by });
    if (state.phase !== 'NeedsDecision') return;
    const choice = choicesOf(state)[Number(key) - 1];
    if (choice) void speak('decide', { choice, by });
    const check = state.decision?.waivable[0];
    if (key === 'w' && check !== undefined) void speak('waive', { check, by });
  }

  /** What nobody is there to say. Gives a sentence when it is at its wits' end. */
  async function answer(state: State): Promise<string | null> {
    if (state.phase === 'AwaitingApproval') await approve(state);
    const soak = state.steps.find(({ title, status }) => title === 'Soak' && status === 'running');
    if (
      comesBack &&
      !wentBack &&
      state.phase === 'Running' &&
      Date.now() - Date.parse(soak?.startedAt ?? '') > SERVED_FOR
    ) {
      wentBack = await speak('rollback', { by, note: 'to show the way back' });
    }
    if (state.phase === 'Paused') await speak('resume', { by });
    if (state.phase !== 'NeedsDecision') return null;
    const { about = '', problem = '' } = state.decision ?? {};
    const tried = retries.get(about) ?? 0;
    const choices = choicesOf(state);
    if (choices.includes('retry') && tried < RETRIES) {
      retries.set(about, tried + 1);
      news.push(`${about}: ${problem} Trying again.`);
      await pause(1_000 * (tried + 1));
      await speak('decide', { choice: 'retry', by });
      return null;
    }
    if (!choices.includes('rollback')) return `${about}: ${problem}`;
    news.push(`${about}: ${problem} Going back.`);
    await speak('decide', { choice: 'rollback', by });
    return null;
  }

  async function run(): Promise<Look | null> {
    while (!leaving.aborted) {
      crew.failed.throwIfAborted();
      const looked = await lookAgain(session, workflowId, last);
      last = looked;
      const seen = looked && seenOf(looked);
      if (seen) {
        display.show({ seen, traffic: following.traffic(), news, processes: following.processes() });
      }
      if (looked && looked.status !== 'RUNNING') return looked;
      if (yes && looked?.state && looked.trouble === undefined && !speaking) {
        const stuck = await answer(looked.state);
        if (stuck !== null)
          throw new CliError(`It needs a decision: ${stuck}`, { next: ['`npm start` asks you for it.'] });
      }
      await pause(EVERY, undefined, { signal: leaving }).catch(() => undefined);
    }
    return null;
  }

  return { pressed, ended: run() };
}

const choicesOf = (state: State): Choice[] => Object.keys(state.decision?.choices ?? {}) as Choice[];

/** While the server or the worker is away, the last state stays and says that it is old. */
async function lookAgain(session: Session, workflowId: string, last: Look | null): Promise<Look | null> {
  try {
    const looked = await look(session, workflowId);
    return looked.state || !last?.state || looked.status !== 'RUNNING'
      ? looked
      : { ...looked, state: last.state };
  } catch (error) {
    return last && { ...last, trouble: `No answer just now: ${reason(error)}` };
  }
}

function reason(error: unknown): string {
  const details: unknown = isRecord(error) ? error['details'] : undefined;
  if (typeof details === 'string' && details !== '') return details;
  return error instanceof Error ? error.message : String(error);
}
