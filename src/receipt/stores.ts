/** What the receipt of a window says of each store. Pure: it runs inside the workflow too. */
import type { Receipt } from '../contract.js';
import { findFact } from './find.js';
import { between } from './words.js';

export interface StoreFacts {
  strategy: string;
  outcome: Receipt['outcome'];
  clean: boolean;
  seconds: number;
  /** Milliseconds that writes were held at the switch, where that was measured. */
  writePauseMs?: number;
  blemishes?: string[];
  /** The page of its own receipt, on the worker. */
  receipt?: string;
}

export function storeFacts(receipt: Receipt): StoreFacts {
  const { strategy, outcome, clean, seconds, blemishes, files, facts } = receipt;
  const held = findFact(facts, 'writePauseMs');
  return {
    strategy,
    outcome,
    clean,
    seconds,
    ...(typeof held === 'number' ? { writePauseMs: held } : {}),
    ...(blemishes.length > 0 ? { blemishes } : {}),
    ...(files ? { receipt: files.html } : {}),
  };
}

/** One line of the timeline. */
export interface Moment {
  /** ISO 8601. */
  at: string;
  store: string;
  step: string;
  took: string;
  note: string;
}

/** What happened to all of them, in order. */
export function timeline(receipts: readonly Receipt[]): Moment[] {
  return receipts
    .flatMap(({ name, steps }) =>
      steps.flatMap(({ title, startedAt, endedAt, note = '' }) =>
        startedAt === undefined
          ? []
          : [{ at: startedAt, store: name, step: title, took: between(startedAt, endedAt), note }],
      ),
    )
    .toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at));
}
