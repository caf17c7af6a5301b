/** What a strategy's body is given to write its runbook with, and what the ground under it shares. */
import type {
  Check,
  Choice,
  FleetRow,
  Hold,
  Plan,
  Plot,
  Receipt,
  Settings,
  State,
  Steered,
  Strategy,
  Told,
  WayBack,
} from '../contract.js';
import type { GatePolicy, History, MaintenanceWindow } from '../inputs/common.js';
import type { WebhookSpec } from '../inputs/refs.js';
import type { Estimates } from '../inputs/rehearsal.js';
import type { Ledger } from './ledger.js';
import type { Steering } from './wishes.js';
import type { Undo, UndoStack } from './undo.js';
import type { Waiting } from './waiting.js';

/** What every strategy's input has; see inputs/common.ts. */
export interface CommonSettings {
  name: string;
  dryRun: boolean;
  onFailure: 'hold' | 'rollback';
  decideWithin: string;
  window?: MaintenanceWindow | undefined;
  notify?: WebhookSpec | undefined;
  notices?: string[] | undefined;
  rehearsed?: string | undefined;
  contact?: string | undefined;
  followUps: string[];
  history?: History | undefined;
  gates: Partial<Record<string, GatePolicy>>;
  /** Those that a strategy has, which may be changed while it runs. */
  rate?: string | number | undefined;
  maxPause?: string | undefined;
  maxLag?: number | undefined;
}

export interface ReadStep<T> {
  read: () => Promise<T>;
  does?: string[];
  /** Needed after the first write, where planning can't read: what the result stands for. */
  foresee?: T;
  note?: (result: T) => string;
  skippable?: boolean;
}

export interface WriteStep<T> {
  /** Is given what the try before it told of itself when it failed. */
  do: (told?: Told) => Promise<T>;
  /** Sentences for the plan: an approval stands for exactly these. */
  does: string[];
  /** What later steps may count on while planning. */
  foresee: T;
  /** How it is undone, or why it isn't. */
  undo: Undo | { none: string };
  /** How it is undone once its outcome is certain, where that is known better then. */
  certain?: (result: T, on: { leaving: boolean }) => Undo['call'] | null;
  /** The cutover itself: done, its settings can't be changed any more. */
  cutover?: true;
  /** Counts and durations for the plan, which may change without changing it. */
  notes?: string[];
  /** What users notice from its start until it is undone or relieved. */
  impact?: string;
  /** The impacts that end with this step, by the step that brought them. */
  relieves?: string;
  /** What may be lost by it, accepted by name in the input. */
  mayLose?: string;
  note?: (result: T) => string;
  skippable?: boolean;
}

export interface Runbook {
  /** A titled unit of work: `read` changes nothing, `do` changes something and says how that is undone. */
  step<T>(title: string, spec: ReadStep<T> | WriteStep<T>): Promise<T>;
  /** A checklist. Failed checks hold the upgrade until they pass or are waived by name. `does`: sentences for the plan. */
  checks(title: string, read: () => Promise<Check[]>, does?: string[]): Promise<void>;
  /** Waits for approval. False where it is optional and was left out, or where it was over before. */
  gate(name: string, question: string, options?: GateOptions): Promise<boolean>;
  /** Waits for the maintenance window, if there is one; refuses what no longer fits into it. */
  window(title: string, takesMs: number, options?: Attended): Promise<void>;
  /** After it nothing can be undone. A gate stands before it. */
  pointOfNoReturn(title: string, because: string, finish: Undo): Promise<void>;
  /**
   * From here on the only way is forward. What was kept to be undone is dropped, in the journal too: `finish` takes its place, for
   * whoever has to clean up after an upgrade that was terminated from here on.
   */
  closeWayBack(because: string, finish: Undo): Promise<void>;
  /**
   * Runs an activity that makes the cutover in tries, and when cancelled between two of them answers `done: false` with what it
   * knows: it does so only when nothing is held any more, and everything runs on the old side. New settings, a pause and a
   * postponement take hold there. `settle`: try nothing, only make sure of that.
   */
  cutover<Checkpoint, Outcome>(
    start: (on: TriesOn<Checkpoint>) => Promise<Tries<Checkpoint, Outcome>>,
  ): Promise<Outcome>;
  /** Holds what identifies a server, so that two upgrades can't touch one under two names. */
  lock(keys: string[]): Promise<void>;
  /** Runs a long activity that returns its checkpoint when cancelled: pausing and changing the rate restart it from there. */
  resumable<C, R extends { done: boolean; checkpoint: C }>(
    start: (checkpoint: C | undefined) => Promise<R>,
  ): Promise<R>;
  /** Leaves a step as it is from here on: it is not undone any more. A reason, if there is one, goes into the receipt. */
  keep(title: string, because: string | null): Promise<void>;
  /** Says better how an earlier step is undone. */
  undoneBy(title: string, call: Undo['call']): Promise<void>;
  /** Shows how the data goes over. */
  way(way: NonNullable<State['way']>): void;
  wayBack(wayBack: Partial<WayBack>): void;
  /** Notes for the receipt: numbers, sentences and names; never values or URLs. */
  record(facts: Record<string, unknown>): void;
  /** Why the receipt is not clean. */
  blemish(sentence: string): void;
  /** Something measured over time, for the receipt; one of the same title is replaced. */
  plot(plot: Plot): void;
  /** Goes back without being asked to, for what the input named as a reason. Where that would lose writes, a person is asked. */
  goBack(why: string): Promise<void>;
  warn(sentence: string): void;
  /** Something that is left for people to do, beside what the input names. */
  followUp(item: string): void;
  /**
   * Asks a person what the strategy itself can't know. `meanwhile` runs in the background and is stopped, and awaited, once there is
   * an answer; when it ends by itself, the question is withdrawn.
   */
  decide(question: {
    about: string;
    problem: string;
    choices: Partial<Record<Choice, string>>;
    meanwhile?: () => Promise<unknown>;
  }): Promise<Choice | 'waived' | 'withdrawn'>;
  /** What a person may choose at any question. */
  waysOut(): Partial<Record<Choice, string>>;
  /** The targets of a fleet, as they were when it went on as new; `rows` where it has just begun. They are shown as they change. */
  fleet(rows: FleetRow[]): FleetRow[];
  /**
   * Ends this run, and goes on in a new one, whose history is empty: the body begins again, with `wentOn`. For what stands between two
   * steps that leave nothing to be undone.
   */
  goOnAsNew(): Promise<void>;
  /**
   * Where another upgrade holds this one, waits until that lets it go through the gate of this name; else there is no such gate.
   * `close` stands by itself before the way back is closed.
   */
  held(gate: HeldPoint): Promise<void>;
  /** True in a run that another one went on in. */
  wentOn: boolean;
  /** Within a long step: where a pause, a decision to go back, or leaving takes hold. */
  boundary(): Promise<void>;
  /** Something waits for that. */
  isCalled(): boolean;
  /** How the way forward is being left, if it is. */
  leaving(): { how: 'rollback' | 'abort'; by: string } | null;
  /** Hears of targets that are to be left out. */
  onLeaveOut(leaveOut: (target: string, by: string) => () => string): void;
  /** True while the body runs to plan only. */
  planning: boolean;
  /** The rate as it is set now. */
  rate(): string | number | undefined;
  /** What may be changed while it runs, as it is set now. */
  settings(): Readonly<Settings>;
}

/** Where only an upgrade that is held waits, and what for. */
export const HELD_POINTS = {
  maintenance: 'Let the application write again?',
  close: 'Close the way back?',
} as const;
export type HeldPoint = keyof typeof HELD_POINTS;

/** What the tries of a cutover go on with. */
export interface TriesOn<Checkpoint> {
  /** What an attempt that failed, or vanished, told last. */
  told: Told | undefined;
  checkpoint: Checkpoint | undefined;
  settle: boolean;
}

/** Interrupted between two tries, or through. */
export type Tries<Checkpoint, Outcome> =
  { done: false; checkpoint: Checkpoint } | { done: true; outcome: Outcome };

/** A wait for people, or for a moment, that something else may end. */
export interface Attended {
  /** Runs in the background and is stopped, and awaited, before the next step. */
  meanwhile?: () => Promise<unknown>;
  /** True once there is nothing to wait for any more. */
  over?: () => boolean;
}

export interface GateOptions extends Attended {
  /**
   * Looks again, once something was changed already: the sentences of the plan's steps, by title, as they are now. An approval for
   * others is void.
   */
  again?: () => Promise<Record<string, string[]>>;
  /** Where it is rejected it is left out, and the rest goes on. */
  optional?: boolean;
  /** How many different people approve it where the input does not say. */
  approvers?: 2;
  /** Ticked one by one before it can be approved. */
  items?: string[];
}

export type Body<Settings> = (settings: Settings, runbook: Runbook) => Promise<void>;

/** One upgrade under way: what planning and doing share. */
export interface Upgrade {
  strategy: Strategy;
  settings: CommonSettings;
  /** The strategy's body with its settings. */
  body: (runbook: Runbook) => Promise<void>;
  ledger: Ledger;
  steering: Steering;
  undos: UndoStack;
  waiting: Waiting;
  lock: Runbook['lock'];
  /** What planning read, used again by the real run until the first write: the approval was given on just that. */
  seen: Map<string, unknown>;
  facts: Record<string, unknown>;
  blemishes: string[];
  plots: Map<string, Plot>;
  wentOn: boolean;
  /** The upgrade that this one is a part of answers these gates. */
  hold: Hold | null;
  /** What its rehearsal measured, if it names one. */
  estimates: Estimates | null;
}

/** What the next run of an upgrade goes on with. Plain data. */
export interface Carried {
  state: State;
  plan: Plan;
  facts: Record<string, unknown>;
  blemishes: string[];
  startedAt: string;
  rejections: Receipt['rejections'];
  steered: Steered[];
}

/** The check with what people have said of the one that it takes the place of. */
export function carriedOver(check: Check, known: Check | undefined): Check {
  if (check.tickable && known?.tickedBy !== undefined) return ticked(check, known.tickedBy);
  return known?.waivedBy === undefined ? check : { ...check, waivedBy: known.waivedBy };
}

export function ticked(check: Check, by: string): Check {
  const { next: _, ...rest } = check;
  return { ...rest, status: 'pass', actual: `ticked by ${by}`, tickedBy: by, waivable: false };
}

/** Of a gate: who answers it, where that is another upgrade. */
export function holderOf(hold: Hold | null, gate: string): { heldBy?: string } {
  return hold?.gates.includes(gate) ? { heldBy: hold.by } : {};
}

export function gateTitle(name: string): string {
  return `Gate: ${name}`;
}

/** "25 passed, 1 warned". */
export function counted(checks: readonly Check[]): string {
  const of = (status: Check['status']) => checks.filter((check) => check.status === status).length;
  return [
    `${of('pass')} passed`,
    ...(of('warn') > 0 ? [`${of('warn')} warned`] : []),
    ...(of('fail') > 0 ? [`${of('fail')} failed`] : []),
  ].join(', ');
}
