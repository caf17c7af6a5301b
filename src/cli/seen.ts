/** What is known of an upgrade when it is shown, and where it is shown. */
import type { Colors } from 'picocolors/types.js';
import type { Progress, State } from '../contract.js';
import type { NextCommand } from './next.js';

export interface Theme {
  colours: Colors;
  columns: number;
  /** Rows there are; without it nothing is left out. */
  rows?: number;
}

export interface Seen {
  state: State;
  /** Newer than `state.progress`, where an activity has told more since. */
  live: Progress | null;
  /** Milliseconds since the epoch. */
  now: number;
  /** Why this may be old: no worker answers, the server can't be reached. */
  trouble?: string;
  /** It has ended without saying so itself: it failed before its first change, or was ended from outside. */
  cutOff?: CutOff;
}

export interface CutOff {
  /** Stands where the phase would. */
  title: string;
  reason: string;
  next: NextCommand[];
}

/** `AwaitingApproval` → `Awaiting approval`. */
export function phaseWords(phase: string): string {
  const words = phase.replace(
    /([a-z])([A-Z])/g,
    (_, end: string, start: string) => `${end} ${start.toLowerCase()}`,
  );
  return words;
}
