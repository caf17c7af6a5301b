/** The stores of a window: whether their inputs are right, the apps around them, and taking them back. */
import { setTimeout as pause } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { queries, releaseSignal, signals, type Receipt, type UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import { storeFacts, timeline } from '../receipt/stores.js';
import { problemsOfStores } from '../inputs/schemas.js';
import type { StoreSettings } from '../inputs/provider-move.js';
import { border, type Border } from './border.js';
import { restingApps, type Resting } from './heroku-apps.js';

/** How often it is looked whether a store has come back. In milliseconds. */
const LOOK_EVERY = 250;
/** A message that was refused, since a decision was open just then, is said again. */
const SAY_AGAIN_AFTER = 10_000;

/**
 * @throws FerryError InvalidInput where the input of a store is not right; NotFound where an app may not be seen
 */
export async function lookAtStores(input: {
  stores: StoreSettings[];
  maintenance: string[];
}): Promise<{ resting: Resting | null }> {
  return border(async (b) => {
    const problems = problemsOfStores(input.stores);
    if (problems.length > 0) throw new FerryError('InvalidInput', problems.join('; '));
    return { resting: input.maintenance.length > 0 ? await restingApps(b, input.maintenance) : null };
  });
}

export interface StoreBack {
  name: string;
  workflowId: string;
  /** Its way back may lose writes: the input accepts that. */
  mayLoseWrites: boolean;
}

/**
 * Every store goes back, and this waits until it has. Those that went back by themselves, or were never begun, are well.
 *
 * @throws FerryError OutcomeUnknown where one could not go back: it says what is left by its own receipt
 */
export async function rollBackStores(input: {
  stores: StoreBack[];
  /** One after the other, the last one first. */
  inTurn: boolean;
}): Promise<UndoResult> {
  return border(async (b) => {
    const accepted = await lossIsAccepted(b.workflowId);
    const one = (store: StoreBack) => back(b, store, accepted || store.mayLoseWrites);
    const ends: End[] = [];
    if (input.inTurn) for (const store of input.stores.toReversed()) ends.push(await one(store));
    else ends.push(...(await Promise.all(input.stores.map(one))));
    const stuck = ends.filter(({ how }) => how === 'RollbackFailed');
    if (stuck.length > 0)
      throw new FerryError(
        'OutcomeUnknown',
        stuck.map(({ name, says }) => `${name} could not go back: ${says}`).join('; '),
      );
    return {
      left: ends
        .filter(({ how }) => how === 'Completed' || how === 'Aborted')
        .map(
          ({ name, how, says }) =>
            `${name} stays as it is: it ${how === 'Completed' ? 'was completed' : `was stopped (${says})`}`,
        ),
      facts: {
        stores: Object.fromEntries(
          ends.flatMap(({ name, receipt }) => (receipt ? [[name, storeFacts(receipt)]] : [])),
        ),
        timeline: timeline(ends.flatMap(({ receipt }) => (receipt ? [receipt] : []))),
      },
      fleet: ends.flatMap(({ workflowId, receipt }) =>
        receipt === null
          ? []
          : [
              {
                workflowId,
                status: receipt.outcome === 'Completed' ? 'done' : 'failed',
                outcome: receipt.outcome,
                clean: receipt.clean,
                reason: receipt.reason,
                endedAt: receipt.endedAt,
              },
            ],
      ),
    };
  });
}

/** Whoever takes a move back that would lose writes has said so; one that was terminated, or is forgotten, nobody took back. */
async function lossIsAccepted(workflowId: string): Promise<boolean> {
  const state = await Context.current()
    .client.workflow.getHandle(workflowId)
    .query(queries.state)
    .catch((error: unknown) => {
      if (error instanceof WorkflowNotFoundError) return null;
      throw error;
    });
  return state !== null && state.phase === 'RollingBack' && !state.wayBack.keepsWrites;
}

/** What is left to do once the way back is closed: no store waits for its window any more. */
export async function closeStores({ stores }: { stores: string[] }): Promise<void> {
  return border(async (b) => {
    for (const workflowId of stores)
      await Context.current()
        .client.workflow.getHandle(workflowId)
        .signal(releaseSignal, { gate: 'close', by: b.workflowId })
        .catch((error: unknown) => {
          if (!(error instanceof WorkflowNotFoundError)) throw error;
        });
  });
}

interface End {
  name: string;
  workflowId: string;
  how: Receipt['outcome'] | 'none';
  says: string;
  receipt: Receipt | null;
}

async function back(
  b: Pick<Border<never>, 'workflowId' | 'signal'>,
  { name, workflowId }: StoreBack,
  acceptLoss: boolean,
): Promise<End> {
  const handle = Context.current().client.workflow.getHandle(workflowId);
  for (let said = 0; ;) {
    const running = await handle.describe().then(
      ({ status }) => status.name === 'RUNNING',
      (error: unknown) => {
        if (error instanceof WorkflowNotFoundError) return null;
        throw error;
      },
    );
    if (running === null) return { name, workflowId, how: 'none', says: '', receipt: null };
    if (!running) break;
    if (Date.now() - said > SAY_AGAIN_AFTER) {
      said = Date.now();
      await handle
        .signal(signals.rollback, { by: b.workflowId, note: 'the whole move goes back', acceptLoss })
        .catch((error: unknown) => {
          // It has ended meanwhile.
          if (!(error instanceof WorkflowNotFoundError)) throw error;
        });
    }
    await pause(LOOK_EVERY, undefined, { signal: b.signal });
  }
  try {
    const receipt = (await handle.result()) as Receipt;
    // Of a plan only: nothing was begun.
    if (receipt.outcome === 'Planned') return { name, workflowId, how: 'none', says: '', receipt: null };
    return { name, workflowId, how: receipt.outcome, says: '', receipt };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    const receipt =
      cause instanceof ApplicationFailure ? (cause.details?.[0] as Receipt | undefined) : undefined;
    // Without a receipt it was refused before it changed anything, or somebody terminated it.
    if (receipt?.outcome === undefined) {
      const terminated = !(cause instanceof ApplicationFailure);
      return {
        name,
        workflowId,
        how: terminated ? 'RollbackFailed' : 'none',
        says: terminated ? `it was ended in Temporal; undo it with \`ferry recover ${workflowId}\`` : '',
        receipt: null,
      };
    }
    return { name, workflowId, how: receipt.outcome, says: receipt.reason, receipt };
  }
}
