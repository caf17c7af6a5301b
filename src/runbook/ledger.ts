/** The state of one upgrade, and everyone who is told when it changes: queries, the UI's details, the search attribute, the webhook. */
import {
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  setCurrentDetails,
  upsertMemo,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common';
import {
  ENDED,
  PHASE_ATTRIBUTE,
  phaseSignal,
  type Phase,
  type Plan,
  type Refusal,
  type State,
  type StepState,
  type StepStatus,
  type ToldHeld,
} from '../contract.js';
import type { Notice } from '../activities/outside.js';
import type { WebhookSpec } from '../inputs/refs.js';
import { acts, reads } from './acts.js';
import { details } from './details.js';
import { problemOf } from './failure.js';

const PhaseKey = defineSearchAttributeKey(PHASE_ATTRIBUTE, 'KEYWORD');
const SETTLED: readonly StepStatus[] = ['done', 'skipped', 'undone'];
const KEPT_REFUSALS = 10;
const KEPT_WARNINGS = 20;
/** Long enough for a webhook that answers at the second try. */
const SETTLE_MS = 5_000;

type Asks = Pick<Notice, 'question' | 'choices' | 'impact' | 'breakGlass'>;
const NOTHING_ASKED: Asks = { question: null, choices: [], impact: [], breakGlass: [] };

export type Ledger = ReturnType<typeof openLedger>;

export function now(): string {
  return new Date().toISOString();
}

export function openLedger(strategy: string) {
  const info = workflowInfo();
  const state: State = {
    strategy,
    name: '',
    workflowId: info.workflowId,
    phase: 'Running',
    reason: 'Reading its input',
    since: now(),
    step: null,
    steps: [],
    gates: [],
    checks: [],
    decision: null,
    progress: null,
    wayBack: { possible: true, keepsWrites: true, loses: '', takes: 'no time: nothing was changed yet' },
    impact: [],
    breakGlass: [],
    followUps: [],
    refused: [],
    settings: {},
    planHash: '',
    warnings: [],
  };
  /** Whether the server knows the search attribute: an upsert of an unknown one would hang the workflow without a word. */
  let attribute: boolean | undefined;
  let webhook: WebhookSpec | undefined;
  const notices: Promise<unknown>[] = [];
  /** The upgrade that started this one goes by what it is told. */
  let held = false;
  let asked = 0;
  let told = 0;
  let shownPlan: () => Plan | null = () => null;

  function show(): void {
    setCurrentDetails(details(state, shownPlan()));
  }

  function publishPhase(): void {
    if (attribute === true) upsertSearchAttributes([{ key: PhaseKey, value: state.phase }]);
    else if (attribute === false) upsertMemo({ phase: state.phase });
  }

  function tell(): void {
    // One that another upgrade answers asks nobody here.
    const gate = state.gates.find(({ status, heldBy }) => status === 'open' && heldBy === undefined);
    announce(state.phase, state.reason, {
      question: gate ? { gate: gate.name, question: gate.question } : null,
      choices: state.decision ? Object.keys(state.decision.choices) : [],
      impact: state.impact.map((impact) => impact.what),
      breakGlass: state.breakGlass,
    });
  }

  /** Sent in the background: a webhook that is down must not hold an upgrade. */
  function announce(phase: string, reason: string, asks: Asks = NOTHING_ASKED): void {
    if (!webhook) return;
    const spec = webhook;
    // Leaving the way forward must not take the news of it back.
    const notice = CancellationScope.nonCancellable(() =>
      acts({ ...reads, startToCloseTimeout: '2m' }, `Notify: ${phase}`).notify({
        webhook: spec,
        name: state.name,
        strategy,
        workflowId: state.workflowId,
        phase,
        reason,
        ...asks,
        ...(state.contact === undefined ? {} : { contact: state.contact }),
      }),
    ).catch((error: unknown) => warn(`A notification was not delivered: ${problemOf(error).message}`));
    notices.push(notice);
  }

  /** The upgrade that started this one shows how far it is. That it ended it hears from Temporal. */
  function tellParent(): void {
    const { parent } = info;
    if (!parent || ENDED.includes(state.phase)) return;
    void CancellationScope.nonCancellable(() =>
      getExternalWorkflowHandle(parent.workflowId).signal(phaseSignal, {
        workflowId: state.workflowId,
        phase: state.phase,
        reason: state.reason,
        ...(held ? { held: standing() } : {}),
      }),
    ).catch(() => {});
  }

  /** What it goes by is another than a moment ago. */
  function tellHolder(): void {
    if (held) tellParent();
  }

  function standing(): ToldHeld {
    told += 1;
    return {
      nth: told,
      gate: state.gates.find(({ status, heldBy }) => status === 'open' && heldBy !== undefined)?.name ?? null,
      asked,
      done: state.steps.filter(({ status }) => status === 'done').map(({ title }) => title),
      wayBack: { ...state.wayBack },
    };
  }

  function phase(next: Phase, reason: string): void {
    const changed = next !== state.phase;
    const worthTelling = changed || (next !== 'Running' && reason !== state.reason);
    state.phase = next;
    state.reason = reason;
    if (changed) {
      state.since = now();
      publishPhase();
      tellParent();
    }
    // Between two waits "Running" lasts milliseconds; the first and every other phase is news.
    if (worthTelling && next !== 'Running') tell();
    show();
  }

  function warn(warning: string): void {
    if (!state.warnings.includes(warning) && state.warnings.length < KEPT_WARNINGS)
      state.warnings.push(warning);
    show();
  }

  function refuse(refused: Omit<Refusal, 'at'>): void {
    state.refused.push({ ...refused, at: now() });
    if (state.refused.length > KEPT_REFUSALS) state.refused.shift();
    show();
  }

  /** The step of that title, added when the plan didn't have it. */
  function stepOf(title: string, kind: StepState['kind']): StepState {
    let step = state.steps.find((candidate) => candidate.title === title);
    if (!step) {
      step = { title, kind, status: 'planned' };
      // A wait that nobody planned stands before what it holds up.
      const held = kind === 'window' ? state.steps.findIndex(({ status }) => !SETTLED.includes(status)) : -1;
      state.steps.splice(held < 0 ? state.steps.length : held, 0, step);
    }
    return step;
  }

  function mark(step: StepState, status: StepStatus, note?: string): void {
    step.status = status;
    if (status === 'running') {
      step.startedAt ??= now();
      // How far the step before it was says nothing of this one.
      if (state.step !== step.title) state.progress = null;
      state.step = step.title;
    }
    if (status === 'done' || status === 'skipped' || status === 'failed') step.endedAt = now();
    if (note !== undefined) step.note = note;
    if (status === 'done') tellHolder();
    show();
  }

  return {
    state,
    phase,
    tell,
    announce,
    warn,
    refuse,
    stepOf,
    mark,
    show,
    tellHolder,
    /** Where the plan is, once there is one. */
    showPlan(plan: () => Plan | null): void {
      shownPlan = plan;
    },
    /** A gate is open that the upgrade which started this one answers. */
    askParent(): void {
      asked += 1;
      tellParent();
    },
    /** Called once the surroundings and the input are known. */
    publish(known: { attribute: boolean; webhook: WebhookSpec | undefined; held: boolean }): void {
      attribute = known.attribute;
      webhook = known.webhook;
      held = known.held;
      publishPhase();
      show();
    },
    /** Waits until every notification was delivered or given up; not for long, since nothing waits for a webhook. */
    async settle(): Promise<void> {
      const waiting = notices.splice(0);
      if (waiting.length === 0) return;
      let all = false;
      void Promise.all(waiting).then(() => {
        all = true;
      });
      if (!(await condition(() => all, SETTLE_MS, { summary: 'Time for the last notifications' })))
        warn('A notification was not delivered: the webhook has not answered yet');
    },
  };
}
