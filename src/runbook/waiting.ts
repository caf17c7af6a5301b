/** Waiting for people: bounded while users are affected, for ever otherwise. */
import { condition } from '@temporalio/workflow';
import type { Choice } from '../contract.js';
import { milliseconds } from '../inputs/refs.js';
import { tally } from './counters.js';
import { now, type Ledger } from './ledger.js';
import type { Steering } from './wishes.js';

const REMIND_EVERY = 5 * 60_000;
/** After an hour of reminders every 5 minutes, one an hour: a forgotten upgrade must not fill its history. */
const FREQUENT_REMINDERS = 12;
const LATER_REMINDERS = 60 * 60_000;

export interface Question {
  about: string;
  problem: string;
  choices: Partial<Record<Choice, string>>;
  /** Names of failed checks: waiving them all answers too. */
  waivable?: string[];
  /** True once there is nothing to ask any more. */
  withdrawn?: () => boolean;
}
export type Waiting = ReturnType<typeof waiting>;
export type Decide = (question: Question) => Promise<Choice | 'waived' | 'withdrawn'>;

export function waiting(ledger: Ledger, steering: Steering, settings: () => { decideWithin: string }) {
  const { state } = ledger;

  /** When a person must have answered, while users are affected. */
  function deadline(): number | null {
    if (state.impact.length === 0) return null;
    const limits = [Date.now() + milliseconds(settings().decideWithin)];
    if (state.settings.window) limits.push(Date.parse(state.settings.window.closesAt));
    return Math.max(Math.min(...limits), Date.now());
  }

  /** Waits until `answered`. Past the deadline it goes back where nothing is lost by that, else reminds. */
  async function untilAnswered(answered: () => boolean, limit: number | null): Promise<void> {
    if (limit === null) return condition(answered);
    const patience = { summary: 'Time to answer, while users are affected' };
    if (await condition(answered, Math.max(limit - Date.now(), 1), patience)) return;
    if (!steering.undoing && state.wayBack.possible && state.wayBack.keepsWrites) {
      steering.leave(
        'the deadline',
        `nobody answered within ${settings().decideWithin} while users were affected`,
      )();
      return condition(answered);
    }
    for (let reminders = 1; ; reminders += 1) {
      ledger.tell();
      const next = reminders <= FREQUENT_REMINDERS ? REMIND_EVERY : LATER_REMINDERS;
      if (await condition(answered, next, { summary: 'Until the next reminder' })) return;
    }
  }

  /** Asks a person. Going back and stopping are taken by the steering; every other choice is returned. */
  const decide: Decide = async ({ about, problem, choices, waivable = [], withdrawn = () => false }) => {
    const limit = deadline();
    // While undoing there is nothing to fall back on: past the limit it only reminds.
    state.decision = {
      about,
      problem,
      choices,
      waivable,
      since: now(),
      ...(limit === null || steering.undoing ? {} : { deadline: new Date(limit).toISOString() }),
    };
    steering.answer = null;
    tally.decision();
    ledger.phase('NeedsDecision', `${about}: ${problem}`);
    const waived = () =>
      waivable.length > 0 &&
      waivable.every((name) =>
        state.checks.some(
          (check) => check.name === name && (check.waivedBy !== undefined || check.status === 'pass'),
        ),
      );
    try {
      // Leaving cancels the scope around most questions, but not of those that are asked outside of it.
      await untilAnswered(
        () =>
          steering.answer !== null ||
          (steering.leaving !== null && !steering.undoing) ||
          waived() ||
          withdrawn(),
        limit,
      );
    } finally {
      state.decision = null;
    }
    const choice = steering.answer as { choice: Choice } | null;
    steering.answer = null;
    ledger.phase(
      steering.undoing ? 'RollingBack' : 'Running',
      choice
        ? `Decided: ${choice.choice}`
        : waived()
          ? 'The failed checks were ticked or waived'
          : 'There is nothing to decide any more',
    );
    return choice?.choice ?? (waived() ? 'waived' : 'withdrawn');
  };

  /** The ways out that a person has at any question. */
  function waysOut(): Partial<Record<Choice, string>> {
    const { wayBack } = state;
    return {
      ...(wayBack.possible && wayBack.keepsWrites
        ? { rollback: `undo everything; takes ${wayBack.takes}` }
        : {}),
      ...(wayBack.possible && !wayBack.keepsWrites
        ? { rollbackLosingWrites: `undo everything and lose ${wayBack.loses}; takes ${wayBack.takes}` }
        : {}),
      stop: 'stop here and leave everything as it is',
    };
  }

  return { deadline, untilAnswered, decide, waysOut };
}
