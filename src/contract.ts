/**
 * The names that cross borders: what a script, the CLI, the UI and the workflows call things by.
 * Imports neither workflows nor activities, so that a script can import it alone.
 */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';

/** The task queue that workers listen on unless told otherwise. */
export const TASK_QUEUE = 'redis-ferry';

/** Search attribute (Keyword) that holds the phase. Strategy is the WorkflowType, target is in the WorkflowId. */
export const PHASE_ATTRIBUTE = 'FerryPhase';

/** Workflow types that can be started, with the part of the workflow ID that stands between `upgrade/` and the name. */
export const STRATEGIES = {
  redisCopy: 'redis',
  redisSwitchover: 'redis',
  herokuInPlace: 'heroku',
  herokuFork: 'heroku',
  helmInPlace: 'kubernetes',
  helmRolling: 'kubernetes',
  helmBlueGreen: 'kubernetes',
  helmDumpRestore: 'kubernetes',
  postgresMove: 'postgres',
  fleetRollout: 'fleet',
  providerMove: 'window',
  rehearsal: 'rehearsal',
} as const;
export type Strategy = keyof typeof STRATEGIES;

/** `upgrade/<provider>/<name>`: one target, one upgrade at a time. */
export function workflowIdOf(strategy: Strategy, name: string): string {
  return `upgrade/${STRATEGIES[strategy]}/${name}`;
}

/** Workflow type of a pre-flight by itself, as a schedule starts it. */
export const PREFLIGHT = 'preflight';

/** `preflight/<provider>/<name>`: the schedule's ID. Its workflows have the time behind it. */
export function preflightIdOf(strategy: Strategy, name: string): string {
  return `preflight/${STRATEGIES[strategy]}/${name}`;
}

/** Of Temporal's list filter: upgrades, and not the plans that pre-flights make. */
export const UPGRADES_ONLY = "WorkflowId STARTS_WITH 'upgrade/'";

export type Phase =
  | 'Running'
  | 'AwaitingApproval'
  | 'AwaitingWindow'
  | 'Paused'
  | 'NeedsDecision'
  | 'RollingBack'
  | 'Completed'
  | 'RolledBack'
  | 'RollbackFailed'
  | 'Aborted';

/** Phases of an upgrade that runs. */
export const OPEN: readonly Phase[] = [
  'Running',
  'AwaitingApproval',
  'AwaitingWindow',
  'Paused',
  'NeedsDecision',
  'RollingBack',
];

/** Phases after which nothing happens any more. */
export const ENDED: readonly Phase[] = ['Completed', 'RolledBack', 'RollbackFailed', 'Aborted'];

/** The phase by search attribute, else by memo; null when neither is there (yet). */
export function phaseOf(info: {
  searchAttributes: Record<string, unknown>;
  memo?: Record<string, unknown>;
}): string | null {
  const attribute = info.searchAttributes[PHASE_ATTRIBUTE];
  const phase: unknown = (Array.isArray(attribute) ? attribute[0] : attribute) ?? info.memo?.['phase'];
  return typeof phase === 'string' ? phase : null;
}

export type CheckStatus = 'pass' | 'warn' | 'fail';

/** One line of a checklist. A failed check holds the upgrade; one that is `waivable` a person may waive by its name. */
export interface Check {
  name: string;
  status: CheckStatus;
  expected: string;
  actual: string;
  /** What to do about it, when it isn't `pass`. */
  next?: string;
  waivable: boolean;
  waivedBy?: string;
  /** No program can see it: a person ticks it by its name, and it passes. */
  tickable?: true;
  tickedBy?: string;
}

export type StepStatus =
  'planned' | 'running' | 'waiting' | 'done' | 'skipped' | 'failed' | 'undoing' | 'undone' | 'undo failed';

export interface StepState {
  title: string;
  kind: 'read' | 'write' | 'checks' | 'gate' | 'window' | 'point of no return';
  status: StepStatus;
  /** ISO 8601. */
  startedAt?: string;
  endedAt?: string;
  /** What came of it, in a few words. */
  note?: string;
}

export interface Approval {
  by: string;
  at: string;
  note?: string;
}

export interface GateState {
  name: string;
  question: string;
  status: 'planned' | 'open' | 'approved' | 'rejected';
  needs: number;
  approvals: Approval[];
  /** Settled ahead in the input. */
  auto: boolean;
  /** Rejecting it leaves out what it stands before, and takes nothing back. */
  optional?: true;
  /** When it stops waiting, while users are affected. */
  deadline?: string;
  /** Approvals that were taken back before they were used. Missing where none was. */
  withdrawn?: Withdrawal[];
  /** The upgrade that this one is a part of, which alone answers it. */
  heldBy?: string;
  /** A checklist: each is ticked by its name before the gate can be approved. */
  items?: ChecklistItem[];
}

export interface ChecklistItem {
  item: string;
  tickedBy?: string;
  at?: string;
}

/** An approval that was taken back. */
export interface Withdrawal {
  by: string;
  /** When it was given. */
  approvedAt: string;
  /** When it was taken back. */
  at: string;
  note?: string;
}

export type Choice = 'retry' | 'skip' | 'continue' | 'rollback' | 'rollbackLosingWrites' | 'stop';

/** What a person is asked in phase NeedsDecision. */
export interface Decision {
  about: string;
  problem: string;
  /** Each choice with what it does. */
  choices: Partial<Record<Choice, string>>;
  /** Names of failed checks that may be waived. */
  waivable: string[];
  since: string;
  deadline?: string;
}

/** Going back, as it stands now. */
export interface WayBack {
  possible: boolean;
  keepsWrites: boolean;
  /** What going back now would lose; empty when nothing. */
  loses: string;
  /** How long it takes, in words. */
  takes: string;
}

/** How data goes one way. */
export interface ChosenWay {
  /** As the strategy calls it: for `redisCopy` "dump", "value" or "none". */
  chosen: string;
  /** Why it is no better one; empty when there is none. */
  because: string;
}

/** Something that is off for users, and since when. */
export interface Impact {
  what: string;
  since: string;
  /** The step that brought it. */
  step: string;
}

/** How far the running step is. Rates are per second; sizes are bytes. */
export interface Progress {
  step: string;
  done: number;
  total: number;
  unit: string;
  rate: number;
  etaSeconds?: number;
  counts: Record<string, number>;
  at: string;
}

/** A signal, Update or Cancel that was not taken. */
export interface Refusal {
  what: string;
  by: string;
  reason: string;
  at: string;
}

export interface FollowUp {
  item: string;
  doneBy?: string;
  at?: string;
}

/** Settings that may change while it runs. */
export interface Settings {
  /** How fast keys are copied and compared. */
  rate?: string | number;
  window?: { opensAt: string; closesAt: string };
  /** The longest that writes may wait in the cutover: "500ms". */
  maxPause?: string;
  /** Bytes that the target may be behind for a pause to be begun. */
  maxLag?: number;
  /** The cutover was postponed until then, by whom it says. Gone once it has come. */
  notBefore?: string;
  postponedBy?: string;
}

/** A setting that was changed, or the cutover postponed, while it ran. */
export interface Steered {
  /** Such as "maxPause 500ms → 2s". */
  what: string;
  by: string;
  at: string;
  note?: string;
}

export interface PlanStep {
  title: string;
  kind: StepState['kind'];
  /** What it will do. An approval stands for exactly these sentences. */
  does: string[];
  /** How it is undone, or why it can't be. */
  undo: string;
  /** Counts, sizes and durations as they are now: they may change without changing the plan. */
  notes: string[];
}

export interface Plan {
  strategy: string;
  name: string;
  steps: PlanStep[];
  /** What users will notice. */
  impact: string[];
  /** What may be lost, which the input accepts by name; empty when nothing. */
  mayLose: string[];
  checks: Check[];
  contact?: string;
  window?: { opensAt: string; closesAt: string };
  /** Names the steps as planned. It goes with every approval. */
  hash: string;
}

/** One target of a fleet, or one store of a window. */
export interface FleetRow {
  /** Of a window: "window" or "afterwards". */
  wave: string;
  name: string;
  strategy: string;
  workflowId: string;
  /** "failed": it ended otherwise than the fleet goes on after, see `outcome` and `reason`. */
  status: 'planned' | 'running' | 'done' | 'failed' | 'skipped';
  /** While it runs: what it told last. */
  phase?: Phase;
  reason?: string;
  /** Of a window: how far it is, "preparing" to "watched". */
  at?: string;
  outcome?: Receipt['outcome'];
  clean?: boolean;
  /** ISO 8601. */
  startedAt?: string;
  endedAt?: string;
  /** Who left it out, or went on although it failed. */
  by?: string;
}

export interface State {
  /** The workflow type. */
  strategy: string;
  /** The `name` of the input. */
  name: string;
  /** `upgrade/<provider>/<name>`. */
  workflowId: string;
  /** What it is doing, or waiting for. */
  phase: Phase;
  /** Why it is in this phase. */
  reason: string;
  /** Since when it is in this phase. */
  since: string;
  /** Title of the step it is at; null between steps and at the end. */
  step: string | null;
  /** The runbook, in order: what was done, what is done now, what is still planned. */
  steps: StepState[];
  /** Every gate, and who approved it. */
  gates: GateState[];
  /** The checklists so far: pre-flight, the application's own tests, stragglers. */
  checks: Check[];
  /** What a person is asked, in phase NeedsDecision. */
  decision: Decision | null;
  /** How far the running step is; told sparsely (`ferry state --watch` also reads the heartbeats). */
  progress: Progress | null;
  /** How the data goes over, once that is known, and `back` with the writes made since. */
  way?: ChosenWay & { back: ChosenWay };
  /** Whether it can go back now, and what that would lose. */
  wayBack: WayBack;
  /** What is off for users now, and since when; empty when nothing. */
  impact: Impact[];
  /** Commands that restore service by hand, without Redis Ferry. Empty when nothing needs restoring. */
  breakGlass: string[];
  /** What is left to do by hand afterwards, and who has ticked it. */
  followUps: FollowUp[];
  /** The last ten things that were said and not taken. */
  refused: Refusal[];
  /** Settings that may be changed while it runs. */
  settings: Settings;
  /** Names the plan that approvals are for. */
  planHash: string;
  /** Who to call. */
  contact?: string;
  /** Of `fleetRollout`: every target, in order. Of `providerMove`: every store. Of `rehearsal`: every pass. */
  fleet?: FleetRow[];
  /** Notifications that could not be delivered, and other troubles that did not stop the upgrade. */
  warnings: string[];
  /** At the end. */
  receipt?: Receipt;
}

/** What a failed or cancelled activity last told of itself; the workflow hands it to whoever goes on, or undoes it. */
export interface Told {
  checkpoint?: unknown;
}

/** What an undo activity may answer. */
export interface UndoResult {
  note?: string;
  /** Titles of earlier steps that must stay as they are now, and why. */
  keep?: { steps: string[]; because: string };
  /** What can't be undone and is still there, in sentences for the receipt. */
  left?: string[];
  /** For the receipt, as a strategy's own: what was measured on the way back. */
  facts?: Record<string, unknown>;
  blemishes?: string[];
  plots?: Plot[];
  /** What became of stores or targets that went back. */
  fleet?: (Partial<FleetRow> & { workflowId: string })[];
}

/** Something measured over time. At most 200 points, so that it fits into a state. */
export interface Plot {
  title: string;
  /** Of the values: "ms", "bytes", "commands/s". */
  unit: string;
  /** Milliseconds since 1970, and the value; null where it could not be measured. */
  points: [number, number | null][];
  /** Moments worth a line, such as the switch: milliseconds since 1970. */
  marks: { at: number; says: string }[];
}

/** Something that `diagnose` found, with what shows it. */
export interface Finding {
  /** A short name, such as "RDB version". */
  what: string;
  /** What is wrong, in a sentence. */
  says: string;
  /** Lines of logs, events and replies, without secrets. */
  evidence: string[];
  /** What to do next, which loses nothing. */
  next: string;
  /** It won't pass by itself. */
  lasting: boolean;
}

/** What `diagnose` answers. */
export interface Diagnosis {
  of: string;
  /** ISO 8601. */
  at: string;
  /** Empty: nothing was found. */
  findings: Finding[];
  /** Servers that were asked, and what they run. */
  servers: string[];
}

/** What a pre-flight by itself answers; one that fails fails its workflow. */
export interface Preflight {
  strategy: Strategy;
  name: string;
  /** "Skipped": the upgrade itself runs. */
  outcome: 'Passed' | 'Skipped';
  reason: string;
  planHash: string;
}

/** What an upgrade leaves behind. */
export interface Receipt {
  strategy: string;
  name: string;
  workflowId: string;
  runId: string;
  outcome: 'Completed' | 'RolledBack' | 'RollbackFailed' | 'Aborted' | 'Planned';
  /** True only when everything was verified and nothing was lost, waived or left over. */
  clean: boolean;
  /** Why it isn't clean. */
  blemishes: string[];
  reason: string;
  startedAt: string;
  endedAt: string;
  seconds: number;
  approvals: (Approval & { gate: string })[];
  rejections: (Approval & { gate: string })[];
  /** Approvals that were taken back before they were used. Missing where none was. */
  withdrawals?: (Withdrawal & { gate: string })[];
  /** What was changed while it ran. Missing where nothing was. */
  steered?: Steered[];
  steps: StepState[];
  checks: Check[];
  followUps: FollowUp[];
  refused: Refusal[];
  warnings: string[];
  /** What is still there that wasn't before, when it ended on the way. */
  left: string[];
  planHash: string;
  /** What the strategy measured: versions, comparison, write pause, probes, settings. Numbers, sentences and names only. */
  facts: Record<string, unknown>;
  /** What was measured over time, for the page. Missing where nothing was. */
  plots?: Plot[];
  /** The files of the receipt on the worker. */
  files?: { json: string; html: string };
}

// What can be said to a running upgrade. Each is a signal and an Update of the same name; the Update answers with a refusal.

export interface GateAnswer {
  gate: string;
  by: string;
  note?: string;
  /** The `hash` of the plan that was looked at; refused when the plan has changed since. */
  planHash?: string;
}
export interface Decide {
  choice: Choice;
  by: string;
  note?: string;
}
export interface Waive {
  check: string;
  by: string;
  note?: string;
}
export interface Tick {
  item: string;
  by: string;
}
export interface Say {
  by: string;
  note?: string;
}
export interface Rollback extends Say {
  /** Go back although writes made since the cutover are lost by it. */
  acceptLoss?: boolean;
}
export interface Abort extends Say {
  /** Needed once something was changed: stop here and undo nothing. */
  leaveAsIs?: boolean;
}
export interface Adjust extends Say {
  rate?: 'yield' | 'full' | number;
  window?: { opensAt: string; closesAt: string };
  /** The longest that writes may wait in the cutover: "20ms" to "1m". */
  maxPause?: string;
  /** Bytes that the target may be behind for a pause to be begun; `redisSwitchover` only. */
  maxLag?: number;
}
/** Either a moment or a length of time from now. */
export interface Postpone extends Say {
  /** ISO 8601, with a zone. */
  until?: string;
  /** Such as "30m". */
  for?: string;
}
export interface Skip extends Say {
  /** Of a fleet: this target is left out. */
  target?: string;
}
export interface Withdraw extends Say {
  gate: string;
}

/** Everything that can be said, by name: the payload and what it is for. */
export interface Messages {
  approve: GateAnswer;
  reject: GateAnswer;
  decide: Decide;
  waive: Waive;
  tick: Tick;
  skip: Skip;
  retry: Say;
  pause: Say;
  resume: Say;
  rollback: Rollback;
  abort: Abort;
  adjust: Adjust;
  postpone: Postpone;
  withdraw: Withdraw;
}
export type MessageName = keyof Messages;

// Each holds an example that can be copied: the Temporal UI shows these sentences in its dialogs.
export const MESSAGES: Record<MessageName, string> = {
  approve: 'Approve an open gate: {"gate": "start", "by": "your name"}; "note" and "planHash" may be added',
  reject: 'Reject an open gate, which rolls back: {"gate": "start", "by": "your name"}; "note" may be added',
  decide:
    'Answer a decision: {"choice": "retry", "by": "your name"}; "note" may be added. The choices are in state.decision',
  waive:
    'Waive a failed check by its name: {"check": "Target has room", "by": "your name"}; "note" may be added',
  tick: 'Tick a follow-up, or an item of the checklist, by its name: {"item": "Terraform", "by": "your name"}',
  skip: 'Skip the step that failed, where the decision offers it: {"by": "your name"}; or a target of a fleet that was not begun: "target": "its name"; "note" may be added',
  retry: 'Try the failed step again: {"by": "your name"}; "note" may be added',
  pause:
    'Pause before the next step, or the copy at its checkpoint: {"by": "your name"}; "note" may be added',
  resume: 'Go on after a pause: {"by": "your name"}; "note" may be added',
  rollback: 'Undo everything done so far: {"by": "your name"}; "note" and "acceptLoss": true may be added',
  abort: 'Stop here and undo nothing: {"by": "your name"}; "note" and "leaveAsIs": true may be added',
  adjust:
    'Change settings while it runs: {"by": "your name", "rate": "full"}; or "maxPause": "1s", "maxLag": bytes, a "window" with "opensAt" and "closesAt"; "note" may be added',
  postpone:
    'Begin the cutover later, or earlier than that: {"for": "30m", "by": "your name"}, or "until": "2026-03-01T02:00:00Z"; "note" may be added',
  withdraw:
    'Take back your approval before it is used: {"gate": "cutover", "by": "your name"}; "note" may be added',
};

export const signals = {
  approve: defineSignal<[GateAnswer]>('approve'),
  reject: defineSignal<[GateAnswer]>('reject'),
  decide: defineSignal<[Decide]>('decide'),
  waive: defineSignal<[Waive]>('waive'),
  tick: defineSignal<[Tick]>('tick'),
  skip: defineSignal<[Skip]>('skip'),
  retry: defineSignal<[Say]>('retry'),
  pause: defineSignal<[Say]>('pause'),
  resume: defineSignal<[Say]>('resume'),
  rollback: defineSignal<[Rollback]>('rollback'),
  abort: defineSignal<[Abort]>('abort'),
  adjust: defineSignal<[Adjust]>('adjust'),
  postpone: defineSignal<[Postpone]>('postpone'),
  withdraw: defineSignal<[Withdraw]>('withdraw'),
};

/** Each Update answers with one sentence that says what was taken. */
export const updates = {
  approve: defineUpdate<string, [GateAnswer]>('approve'),
  reject: defineUpdate<string, [GateAnswer]>('reject'),
  decide: defineUpdate<string, [Decide]>('decide'),
  waive: defineUpdate<string, [Waive]>('waive'),
  tick: defineUpdate<string, [Tick]>('tick'),
  skip: defineUpdate<string, [Skip]>('skip'),
  retry: defineUpdate<string, [Say]>('retry'),
  pause: defineUpdate<string, [Say]>('pause'),
  resume: defineUpdate<string, [Say]>('resume'),
  rollback: defineUpdate<string, [Rollback]>('rollback'),
  abort: defineUpdate<string, [Abort]>('abort'),
  adjust: defineUpdate<string, [Adjust]>('adjust'),
  postpone: defineUpdate<string, [Postpone]>('postpone'),
  withdraw: defineUpdate<string, [Withdraw]>('withdraw'),
};

export const queries = {
  state: defineQuery<State>('state'),
  plan: defineQuery<Plan | null>('plan'),
  checks: defineQuery<Check[]>('checks'),
  progress: defineQuery<Progress | null>('progress'),
};

/** What an upgrade tells the one that started it of itself; not for people. */
export interface ToldPhase {
  workflowId: string;
  phase: Phase;
  reason: string;
  /** Where that one holds it. */
  held?: ToldHeld;
}
export interface ToldHeld {
  /** Counts up: signals may overtake each other. */
  nth: number;
  /** The gate that is open and waits for it; null where none is. */
  gate: string | null;
  /** How often a gate was opened for it so far. */
  asked: number;
  /** Titles of the steps that are done. */
  done: string[];
  wayBack: WayBack;
}
export const phaseSignal = defineSignal<[ToldPhase]>('phase');

/** In the memo of an upgrade that is a part of another one: these gates are that one's to answer. */
export interface Hold {
  by: string;
  gates: string[];
}
export const HOLD_MEMO = 'hold';

/** Lets an upgrade that is held go through a gate, which may not be open yet; not for people. */
export interface Release {
  gate: string;
  /** Who approved it there. */
  by: string;
}
export const releaseSignal = defineSignal<[Release]>('release');

/** Sent by the activities to the workflow that runs them, sparsely; not for people. */
export const progressSignal = defineSignal<[Progress]>('progress');
