/**
 * The ground that every strategy stands on: it parses the input, registers the handlers, runs the strategy's body
 * once to plan and once for real, and undoes in reverse order what was done when the way forward is left.
 */
import {
  ApplicationFailure,
  CancellationScope,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  condition,
  isCancellation,
  sleep,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { z } from 'zod';
import type { Check, Choice, GateState, Phase, Plan, PlanStep, Receipt, StepState, Strategy, Told, WayBack } from '../contract.js';
import { workflowIdOf } from '../contract.js';
import type { GatePolicy, MaintenanceWindow } from '../inputs/common.js';
import { sentences } from '../inputs/messages.js';
import type { WebhookSpec } from '../inputs/refs.js';
import { buildReceipt } from '../receipt/build.js';
import { acts, local, reads } from './acts.js';
import { ending, problemOf, toldBy } from './failure.js';
import { now, openLedger } from './ledger.js';
import { planChanges, planHash } from './plan.js';
import { steer } from './steering.js';
import { undoStack, type Undo } from './undo.js';
import { waiting } from './waiting.js';

/** What every strategy's input has; see inputs/common.ts. */
export interface CommonSettings {
  name: string;
  dryRun: boolean;
  onFailure: 'hold' | 'rollback';
  decideWithin: string;
  window?: MaintenanceWindow | undefined;
  notify?: WebhookSpec | undefined;
  contact?: string | undefined;
  followUps: string[];
  gates: Partial<Record<string, GatePolicy>>;
}

interface ReadStep<T> {
  read: () => Promise<T>;
  does?: string[];
  /** Needed after the first write, where planning can't read: what the result stands for. */
  foresee?: T;
  note?: (result: T) => string;
  skippable?: boolean;
}

interface WriteStep<T> {
  /** Is given what the try before it told of itself when it failed. */
  do: (told?: Told) => Promise<T>;
  /** Sentences for the plan: an approval stands for exactly these. */
  does: string[];
  /** What later steps may count on while planning. */
  foresee: T;
  /** How it is undone, or why it isn't. */
  undo: Undo | { none: string };
  /** How it is undone once its outcome is certain, where that is known better then. */
  certain?: (result: T) => Undo['call'];
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
  /** A checklist. Failed checks hold the upgrade until they pass or are waived by name. */
  checks(title: string, read: () => Promise<Check[]>): Promise<void>;
  /** Waits for approval. `meanwhile` runs in the background and is stopped, and awaited, before the next step. */
  gate(name: string, question: string, options?: { meanwhile?: () => Promise<unknown> }): Promise<void>;
  /** Waits for the maintenance window, if there is one; refuses what no longer fits into it. */
  window(title: string, takesMs: number): Promise<void>;
  /** After it nothing can be undone. A gate stands before it. */
  pointOfNoReturn(title: string, because: string, finish: Undo): Promise<void>;
  /**
   * From here on the only way is forward. What was kept to be undone is dropped, in the journal too: `finish` takes its place, for
   * whoever has to clean up after an upgrade that was terminated from here on.
   */
  closeWayBack(because: string, finish: Undo): Promise<void>;
  /** Holds what identifies a server, so that two upgrades can't touch one under two names. */
  lock(keys: string[]): Promise<void>;
  /** Runs a long activity that returns its checkpoint when cancelled: pausing and changing the rate restart it from there. */
  resumable<C, R extends { done: boolean; checkpoint: C }>(start: (checkpoint: C | undefined) => Promise<R>): Promise<R>;
  /** Leaves a step as it is from here on: it is not undone any more. A reason, if there is one, goes into the receipt. */
  keep(title: string, because: string | null): Promise<void>;
  wayBack(wayBack: Partial<WayBack>): void;
  /** Notes for the receipt: numbers, sentences and names; never values or URLs. */
  record(facts: Record<string, unknown>): void;
  /** Why the receipt is not clean. */
  blemish(sentence: string): void;
  warn(sentence: string): void;
  /** Asks a person what the strategy itself can't know. */
  decide(question: { about: string; problem: string; choices: Partial<Record<Choice, string>> }): Promise<Choice | 'waived'>;
  /** True while the body runs to plan only. */
  planning: boolean;
  /** The rate as it is set now. */
  rate(): string | number | undefined;
}

type Body<Settings> = (settings: Settings, runbook: Runbook) => Promise<void>;

/** Runs a strategy. Returns the receipt when it completed; every other end fails the workflow with the receipt as details. */
export async function runbook<S extends z.ZodType<CommonSettings>>(
  strategy: Strategy,
  schema: S,
  raw: unknown,
  body: Body<z.output<S>>,
): Promise<Receipt> {
  const startedAt = now();
  const ledger = openLedger(strategy);
  const { state } = ledger;
  const steering = steer(ledger);
  const info = workflowInfo();
  // The values tell a missing field from one of the wrong type; the sentences don't hold them.
  const parsed = schema.safeParse(raw, { reportInput: true });
  if (!parsed.success) throw ending('InvalidInput', `The input of ${strategy} can't be used: ${sentences(parsed.error)}. Nothing was changed.`);
  const settings = parsed.data;
  const properId = workflowIdOf(strategy, settings.name);
  if (info.workflowId !== properId && !info.parent) {
    throw ending('WrongWorkflowId', `This workflow's ID is "${info.workflowId}", but an upgrade of "${settings.name}" must be "${properId}", so that one target has one upgrade at a time. Start it again under that ID. Nothing was changed.`);
  }
  state.name = settings.name;
  if (settings.window) state.settings.window = settings.window;
  if (settings.contact !== undefined) state.contact = settings.contact;
  state.followUps = settings.followUps.map((item) => ({ item }));

  const identity = { workflowId: info.workflowId, runId: info.runId };
  const undos = undoStack(ledger, identity);
  const { deadline, untilAnswered, decide } = waiting(ledger, steering, () => settings);
  const facts: Record<string, unknown> = {};
  const blemishes: string[] = [];
  /** What planning read, used again by the real run until the first write: the approval was given on just that. */
  const seen = new Map<string, unknown>();
  const locks = new Set<string>();
  /** What the last try of a step told of itself, by the step's title. */
  const told = new Map<string, Told>();

  let gatesOfPlan: GateState[] = [];

  async function run(): Promise<Receipt> {
    const surroundings = await local.surroundings();
    ledger.publish({ attribute: surroundings.phaseAttribute, webhook: settings.notify });

    try {
      adopt(await makePlan());
    } catch (error) {
      throw await refused(error);
    }
    if (settings.dryRun) {
      facts['plan'] = steering.plan;
      return finish('Planned', 'The plan was made; nothing was changed');
    }
    try {
      const forward = new CancellationScope({ cancellable: true });
      steering.forward = forward;
      await forward.run(async () => {
        await boundary();
        while (!(await wholeBody()));
        await boundary();
      });
    } catch (error) {
      if (!steering.leaving) {
        if (isCancellation(error)) throw error;
        // A bug in a strategy, or a failure outside any step: a person decides, nothing is undone by surprise.
        const problem = problemOf(error);
        steering.forward = null;
        while (!steering.leaving) {
          await decide({ about: state.step ?? 'The upgrade', problem: `${problem.message} ${problem.next}`, choices: waysOut() });
        }
      }
    }
    if (steering.leaving) return leaveBy(steering.leaving.how, steering.leaving.why);
    for (const step of state.steps) if (step.status === 'planned') ledger.mark(step, 'skipped');
    return finish('Completed', 'Every step was done');
  }

  /** False: the plan was made anew, and the body begins again with what was found then. Nothing was changed yet. */
  async function wholeBody(): Promise<boolean> {
    try {
      await body(settings, doing);
      return true;
    } catch (error) {
      if (error instanceof PlannedAnew) return false;
      throw error;
    }
  }

  /** It can't be planned: fails at once, under the type of what is wrong. Nothing was changed. */
  async function refused(error: unknown): Promise<Error> {
    const { type, message, next } = problemOf(error);
    const problem = message.includes('Nothing was changed') ? message : `${message}${/[.!?]$/.test(message) ? '' : '.'} ${next}${next.includes('Nothing was changed') ? '' : ' Nothing was changed.'}`;
    const running = state.steps.find((step) => step.status === 'running');
    if (running) ledger.mark(running, 'failed', message);
    state.step = null;
    ledger.phase('Aborted', problem);
    await ledger.settle();
    return ending(type, problem, error instanceof ApplicationFailure ? (error.details ?? []) : []);
  }

  async function leaveBy(how: 'rollback' | 'abort', why: string): Promise<Receipt> {
    const running = state.steps.find((step) => step.status === 'running' || step.status === 'waiting');
    if (running) ledger.mark(running, 'skipped', 'left');
    for (const gate of state.gates) if (gate.status === 'open') gate.status = 'planned';
    if (how === 'abort') {
      undos.left.push(...undos.pending());
      return finish('Aborted', why);
    }
    ledger.phase('RollingBack', why);
    return finish(await undos.rollBack(steering, decide), why);
  }

  async function finish(outcome: Receipt['outcome'], reason: string): Promise<Receipt> {
    state.progress = null;
    await ledger.settle();
    const receipt = buildReceipt({
      state,
      outcome,
      reason,
      runId: info.runId,
      startedAt,
      endedAt: now(),
      rejections: steering.rejections,
      facts,
      blemishes,
      left: undos.left,
    });
    try {
      if (outcome !== 'Planned') await undos.ended(outcome);
    } catch (error) {
      receipt.warnings.push(`The end could not be written to the journal: ${problemOf(error).message}`);
    }
    try {
      receipt.files = await acts({ ...reads, startToCloseTimeout: '1m' }, 'Write the receipt').saveReceipt({ receipt });
    } catch (error) {
      receipt.warnings.push(`The receipt's files could not be written: ${problemOf(error).message}`);
    }
    state.receipt = receipt;
    state.step = null;
    ledger.phase(outcome === 'Planned' ? 'Completed' : outcome, reason);
    await ledger.settle();
    if (outcome === 'Completed' || outcome === 'Planned') return receipt;
    throw ending(outcome, `${outcome}: ${reason}${receipt.left.length > 0 ? `. Left as it is: ${receipt.left.join('; ')}` : ''}`, [receipt]);
  }

  const shared = {
    lock: async (keys: string[]) => {
      // In a fixed order, so that two upgrades of the same pair can't each hold one.
      for (const key of [...new Set(keys)].sort()) if (!locks.has(key)) await takeLock(key);
    },
    warn: (sentence: string) => ledger.warn(sentence),
    rate: () => state.settings.rate,
  };

  // ---- planning

  async function makePlan(): Promise<Plan> {
    const planned = { steps: [] as PlanStep[], impact: [] as string[], mayLose: [] as string[], checks: [] as Check[], gates: [] as GateState[] };
    seen.clear();
    let written = false;
    const add = (title: string, kind: PlanStep['kind'], rest: Partial<PlanStep>) =>
      planned.steps.push({ title, kind, does: [], undo: '', notes: [], ...rest });
    const planner: Runbook = {
      ...shared,
      planning: true,
      async step(title, spec) {
        if ('do' in spec) {
          add(title, 'write', { does: spec.does, undo: 'none' in spec.undo ? `none: ${spec.undo.none}` : spec.undo.says, notes: spec.notes ?? [] });
          if (spec.impact !== undefined) planned.impact.push(`${spec.impact}, from "${title}" on`);
          if (spec.mayLose !== undefined) planned.mayLose.push(spec.mayLose);
          written = true;
          return spec.foresee;
        }
        add(title, 'read', { does: spec.does ?? [] });
        if (written) return spec.foresee as Awaited<ReturnType<typeof spec.read>>;
        const step = ledger.stepOf(title, 'read');
        ledger.mark(step, 'running');
        const result = await spec.read();
        ledger.mark(step, 'done', spec.note?.(result));
        seen.set(title, result);
        return result;
      },
      async checks(title, read) {
        add(title, 'checks', {});
        if (written) return;
        const step = ledger.stepOf(title, 'checks');
        ledger.mark(step, 'running');
        const found = await read();
        ledger.mark(step, 'done', counted(found));
        seen.set(title, found);
        planned.checks.push(...found);
        const refused = found.filter((check) => check.status === 'fail' && !check.waivable);
        if (refused.length > 0) {
          throw ending(
            'PreflightFailed',
            `${refused.map((check) => `${check.name}: ${check.actual}, expected ${check.expected}.${check.next ? ` ${check.next}` : ''}`).join(' ')} Nothing was changed.`,
            [{ checks: found }],
          );
        }
      },
      gate: async (name, question) => {
        const policy = settings.gates[name];
        const needs = typeof policy === 'object' ? policy.approvers : 1;
        add(gateTitle(name), 'gate', { does: [policy === 'auto' ? 'settled ahead in the input' : `asks ${needs === 1 ? 'one person' : `${needs} different people`}: ${question}`] });
        planned.gates.push({ name, question, status: 'planned', needs, approvals: [], auto: policy === 'auto' });
      },
      window: async (title) => {
        const { window } = state.settings;
        if (window) add(title, 'window', { does: [`not before ${window.opensAt}, and only if it ends before ${window.closesAt}`] });
      },
      pointOfNoReturn: async (title, because) => {
        add(title, 'point of no return', { does: [because], undo: 'none: from here on nothing can be undone' });
      },
      resumable: () => Promise.reject(new Error('A plan moves nothing')),
      keep: async () => {},
      closeWayBack: async () => {},
      wayBack: () => {},
      record: () => {},
      blemish: () => {},
      decide: () => Promise.reject(new Error('A plan asks nothing')),
    };
    await body(settings, planner);
    gatesOfPlan = planned.gates;
    const plan: Omit<Plan, 'hash'> = {
      strategy,
      name: settings.name,
      steps: planned.steps,
      impact: planned.impact,
      mayLose: planned.mayLose,
      checks: planned.checks,
      ...(settings.contact === undefined ? {} : { contact: settings.contact }),
      ...(state.settings.window ? { window: state.settings.window } : {}),
    };
    return { ...plan, hash: planHash(plan) };
  }

  /** The plan as it would be made now. */
  async function replan(): Promise<Plan> {
    for (;;) {
      try {
        return await makePlan();
      } catch (error) {
        if (steering.leaving) throw error;
        const problem = problemOf(error);
        await decide({ about: 'Looking again before the first change', problem: `${problem.message} ${problem.next}`, choices: { retry: 'look again', ...waysOut() } });
      }
    }
  }

  /** Looks at everything again, and begins the body again with what it finds. Only while nothing was changed. */
  async function planAnew(): Promise<never> {
    ledger.phase('Running', 'Looking again before the first change');
    adopt(await replan());
    throw new PlannedAnew();
  }

  /** Makes the plan the one that approvals are for. Steps under way keep their standing. */
  function adopt(plan: Plan): void {
    const last = steering.plan;
    if (last && last.hash !== plan.hash) voidApprovals(planChanges(last, plan));
    steering.plan = plan;
    state.planHash = plan.hash;
    const before = new Map(state.steps.map((step) => [step.title, step]));
    state.steps = plan.steps.map((step): StepState => {
      const known = before.get(step.title);
      return known && known.status !== 'running' ? known : { title: step.title, kind: step.kind, status: 'planned' };
    });
    const gates = new Map(state.gates.map((gate) => [gate.name, gate]));
    state.gates = gatesOfPlan.map((gate) => gates.get(gate.name) ?? gate);
    const waivers = new Map(state.checks.map((check) => [check.name, check.waivedBy]));
    state.checks = plan.checks.map((check) => {
      const waivedBy = waivers.get(check.name);
      return waivedBy === undefined ? check : { ...check, waivedBy };
    });
    ledger.show();
  }

  /** An approval stands for the plan that it was given for, and for no other. */
  function voidApprovals(changes: string[]): void {
    for (const gate of state.gates) {
      if (gate.auto || gate.approvals.length === 0) continue;
      for (const { by } of gate.approvals) ledger.refuse({ what: `approval of gate "${gate.name}"`, by, reason: `the plan has changed since: ${changes.join('; ')}` });
      gate.approvals = [];
      gate.status = 'planned';
    }
  }

  // ---- doing

  function waysOut(): Partial<Record<Choice, string>> {
    const { wayBack } = state;
    return {
      ...(wayBack.possible && wayBack.keepsWrites ? { rollback: `undo everything; takes ${wayBack.takes}` } : {}),
      ...(wayBack.possible && !wayBack.keepsWrites ? { rollbackLosingWrites: `undo everything and lose ${wayBack.loses}; takes ${wayBack.takes}` } : {}),
      stop: 'stop here and leave everything as it is',
    };
  }

  /** Between two steps: where a pause, a decision to go back, or leaving takes hold. */
  async function boundary(): Promise<void> {
    for (;;) {
      if (steering.leaving) throw new Error('Leaving');
      if (steering.wantsBack) {
        const { by } = steering.wantsBack;
        steering.wantsBack = null;
        await decide({
          about: 'Going back now would lose writes',
          problem: `${by} asked to go back. That would lose ${state.wayBack.loses}.`,
          choices: { continue: 'go on forward', ...waysOut() },
        });
        continue;
      }
      if (!steering.paused) return;
      const before: [Phase, string] = [state.phase, state.reason];
      ledger.phase('Paused', `Paused by ${steering.paused.by}`);
      await untilAnswered(() => steering.paused === null || steering.wantsBack !== null, deadline());
      ledger.phase(...before);
    }
  }

  /** Runs one step's work until it succeeds, is skipped by a person, or the way forward is left. */
  async function attempt<T>(step: StepState, work: () => Promise<T>, skipped: { value: T } | null): Promise<T> {
    for (;;) {
      try {
        const result = await work();
        // An activity that finishes despite its cancellation returns normally.
        if (steering.leaving) throw new Error('Leaving');
        return result;
      } catch (error) {
        const last = toldBy(error);
        if (last) told.set(step.title, last);
        undos.tell(step, last);
        if (steering.leaving) throw error;
        const problem = problemOf(error);
        ledger.mark(step, 'failed', problem.message);
        if (settings.onFailure === 'rollback' && state.wayBack.possible && state.wayBack.keepsWrites) {
          steering.leave('onFailure', `step "${step.title}" failed: ${problem.message}`)();
          throw error;
        }
        const choice = await decide({
          about: step.title,
          problem: `${problem.message} ${problem.next}`,
          choices: { retry: 'try this step again', ...(skipped ? { skip: 'go on without it' } : {}), ...waysOut() },
        });
        if (choice === 'skip' && skipped) {
          ledger.mark(step, 'skipped', 'skipped by a person');
          blemishes.push(`"${step.title}" failed and was skipped: ${problem.message}`);
          return skipped.value;
        }
        ledger.mark(step, 'running');
      }
    }
  }

  async function holdOnChecks(title: string, step: StepState, read: () => Promise<Check[]>, first: Check[] | null): Promise<Check[]> {
    for (let found = first; ; found = null) {
      const fresh = found ?? (await attempt(step, read, null));
      const names = new Set(fresh.map((check) => check.name));
      const waivers = new Map(state.checks.map((check) => [check.name, check.waivedBy]));
      state.checks = [
        ...state.checks.filter((check) => !names.has(check.name)),
        ...fresh.map((check) => {
          const waivedBy = waivers.get(check.name);
          return waivedBy === undefined ? check : { ...check, waivedBy };
        }),
      ];
      const failed = state.checks.filter((check) => names.has(check.name) && check.status === 'fail' && check.waivedBy === undefined);
      const checked = () => state.checks.filter((check) => names.has(check.name));
      if (failed.length === 0) return checked();
      ledger.mark(step, 'failed', failed.map((check) => check.name).join(', '));
      if (settings.onFailure === 'rollback' && state.wayBack.possible && state.wayBack.keepsWrites) {
        steering.leave('onFailure', `checks failed: ${failed.map((check) => check.name).join(', ')}`)();
        throw new Error('Leaving');
      }
      const choice = await decide({
        about: title,
        problem: failed.map((check) => `${check.name}: ${check.actual}, expected ${check.expected}.${check.next ? ` ${check.next}` : ''}`).join(' '),
        choices: { retry: 'check again', ...waysOut() },
        waivable: failed.every((check) => check.waivable) ? failed.map((check) => check.name) : [],
      });
      if (choice === 'waived') return checked();
      // What the checks look at was gathered while planning.
      if (!steering.written) await planAnew();
      ledger.mark(step, 'running');
    }
  }

  /** Takes the lock of each key, or fails saying who has it. A child workflow ends with its parent, however that ends. */
  async function takeLock(key: string): Promise<void> {
    const workflowId = `lock/${key}`;
    for (let tries = 1; ; tries += 1) {
      try {
        await CancellationScope.nonCancellable(() =>
          startChild('lock', {
            workflowId,
            args: [{ holder: info.workflowId }],
            memo: { holder: info.workflowId },
            parentClosePolicy: ParentClosePolicy.TERMINATE,
            cancellationType: ChildWorkflowCancellationType.ABANDON,
            staticSummary: `Lock of ${key}, held by ${info.workflowId}`,
          }),
        );
        locks.add(key);
        return;
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        // The lock of an upgrade that has just ended goes a moment after it.
        if (tries < 4) {
          await sleep(500);
          continue;
        }
        const holder = await acts(reads, 'Who holds the lock').whoHolds({ workflowId }).catch(() => null);
        throw ending('Locked', `${key} is in the hands of another upgrade${holder === null ? '' : `: ${holder}`} (see workflow ${workflowId}). Nothing was changed.`);
      }
    }
  }

  function gateDone(step: StepState, gate: GateState): void {
    ledger.mark(step, 'done', gate.auto ? 'settled ahead in the input' : `approved by ${gate.approvals.map((approval) => approval.by).join(' and ')}`);
    if (!gate.auto) ledger.phase('Running', `Gate "${gate.name}" was approved`);
  }

  const doing: Runbook = {
    ...shared,
    planning: false,
    async step(title, spec) {
      await boundary();
      const step = ledger.stepOf(title, 'do' in spec ? 'write' : 'read');
      if (!('do' in spec)) {
        const known = !steering.written && seen.has(title);
        ledger.mark(step, 'running');
        if (!known) ledger.phase('Running', title);
        const result = known
          ? (seen.get(title) as Awaited<ReturnType<typeof spec.read>>)
          : await attempt(step, spec.read, spec.skippable && spec.foresee !== undefined ? { value: spec.foresee } : null);
        if (step.status === 'running') ledger.mark(step, 'done', spec.note?.(result));
        return result;
      }
      steering.written = true;
      ledger.mark(step, 'running');
      ledger.phase('Running', title);
      if (!('none' in spec.undo)) await undos.register(step, spec.undo);
      await boundary();
      if (spec.impact !== undefined) state.impact.push({ what: spec.impact, since: now(), step: title });
      const work = async () => {
        const outcome = await spec.do(told.get(title));
        // It may be done although the way forward was left meanwhile.
        if (spec.certain && steering.leaving) undos.know(step, spec.certain(outcome));
        return outcome;
      };
      const result = await attempt(step, work, spec.skippable ? { value: spec.foresee } : null);
      if (spec.certain && step.status === 'running') await undos.settle(step, spec.certain(result));
      if (spec.relieves !== undefined) state.impact = state.impact.filter((impact) => impact.step !== spec.relieves);
      if (step.status === 'running') ledger.mark(step, 'done', spec.note?.(result));
      return result;
    },
    async checks(title, read) {
      await boundary();
      const step = ledger.stepOf(title, 'checks');
      ledger.mark(step, 'running');
      const known = steering.written ? null : ((seen.get(title) as Check[] | undefined) ?? null);
      const held = await holdOnChecks(title, step, read, known);
      ledger.mark(step, 'done', counted(held));
    },
    async gate(name, question, options = {}) {
      await boundary();
      const step = ledger.stepOf(gateTitle(name), 'gate');
      let gate = state.gates.find((candidate) => candidate.name === name);
      if (!gate) {
        gate = { name, question, status: 'planned', needs: 1, approvals: [], auto: settings.gates[name] === 'auto' };
        state.gates.push(gate);
      }
      gate.question = question;
      // Approved, and the plan was made anew since.
      if (gate.status === 'approved') return gateDone(step, gate);
      if (gate.auto) {
        gate.status = 'approved';
        gate.approvals.push({ by: 'the input', at: now(), note: 'settled ahead' });
        return gateDone(step, gate);
      }
      const background = options.meanwhile ? inBackground(options.meanwhile) : null;
      try {
        for (;;) {
          const limit = deadline();
          gate.status = 'open';
          if (limit !== null) gate.deadline = new Date(limit).toISOString();
          step.startedAt ??= now();
          state.step = step.title;
          ledger.mark(step, 'waiting');
          ledger.phase('AwaitingApproval', question);
          await untilAnswered(() => isApproved(gate) || steering.wantsBack !== null, limit);
          if (!isApproved(gate)) {
            await boundary();
            continue;
          }
          break;
        }
      } finally {
        await background?.stop();
      }
      // Days may have passed. Nothing was changed yet, so the plan is made once more: the approval stands only for the same.
      if (!steering.written) await planAnew();
      gateDone(step, gate);
    },
    async window(title, takesMs) {
      await boundary();
      if (!state.settings.window) return;
      const step = ledger.stepOf(title, 'window');
      for (;;) {
        const { opensAt, closesAt } = state.settings.window;
        if (Date.now() + takesMs > Date.parse(closesAt)) {
          ledger.mark(step, 'failed', 'does not fit into the window any more');
          await decide({
            about: title,
            problem: `The window closes at ${closesAt}; what is left takes about ${Math.ceil(takesMs / 1000)} s and no longer fits. Give a later one with \`adjust\`, then retry.`,
            choices: { retry: 'look at the window again', ...waysOut() },
          });
          continue;
        }
        const early = Date.parse(opensAt) - Date.now();
        if (early <= 0) break;
        ledger.mark(step, 'waiting');
        ledger.phase('AwaitingWindow', `The window opens at ${opensAt}`);
        const window = state.settings.window;
        await condition(() => steering.wantsBack !== null || steering.paused !== null || state.settings.window !== window, early);
        await boundary();
      }
      ledger.mark(step, 'done', undefined);
      ledger.phase('Running', 'The window is open');
    },
    async pointOfNoReturn(title, because, finish) {
      await doing.closeWayBack(because, finish);
      ledger.mark(ledger.stepOf(title, 'point of no return'), 'done', because);
    },
    async resumable(start) {
      const title = state.step ?? '';
      // A try that failed for good has told how far it got.
      type Checkpoint = Awaited<ReturnType<typeof start>>['checkpoint'];
      for (let checkpoint = told.get(title)?.checkpoint as Checkpoint | undefined; ; ) {
        const scope = new CancellationScope({ cancellable: true });
        steering.running = scope;
        try {
          const result = await scope.run(() => start(checkpoint));
          if (result.done) {
            told.delete(title);
            return result;
          }
          checkpoint = result.checkpoint;
        } catch (error) {
          // Cancelled between two attempts, when nobody was there to hand back a checkpoint: start from the last one known.
          if (steering.leaving || !isCancellation(error)) throw error;
          checkpoint = (toldBy(error)?.checkpoint as Checkpoint | undefined) ?? checkpoint;
        } finally {
          steering.running = null;
        }
        await boundary();
      }
    },
    async keep(title, because) {
      await undos.keep(title, because);
    },
    async closeWayBack(because, finish) {
      await boundary();
      // No await between the two: whoever asks to go back from here on is refused.
      state.wayBack = { possible: false, keepsWrites: false, loses: because, takes: '' };
      await undos.close(finish);
    },
    wayBack(next) {
      state.wayBack = { ...state.wayBack, ...next };
      ledger.show();
    },
    record: (more) => void Object.assign(facts, more),
    blemish: (sentence) => void blemishes.push(sentence),
    decide,
  };

  // The outer scope can't be cancelled: a Cancel is a request like any other, and undoing must not be cut off by it.
  return CancellationScope.nonCancellable(run);
}

/** Unwinds the body, which then begins again. */
class PlannedAnew extends Error {}

function counted(checks: readonly Check[]): string {
  const of = (status: Check['status']) => checks.filter((check) => check.status === status).length;
  return [`${of('pass')} passed`, ...(of('warn') > 0 ? [`${of('warn')} warned`] : []), ...(of('fail') > 0 ? [`${of('fail')} failed`] : [])].join(', ');
}

/** A handler may have changed it since the compiler last looked. */
function isApproved(gate: GateState): boolean {
  return gate.status === 'approved';
}

function gateTitle(name: string): string {
  return `Gate: ${name}`;
}

/** Runs beside a wait, in a scope of its own; `stop` cancels it and waits for its end. */
function inBackground(work: () => Promise<unknown>): { stop: () => Promise<void>; failure: () => unknown } {
  const scope = new CancellationScope({ cancellable: true });
  let failure: unknown = null;
  const ended = scope.run(work).catch((error: unknown) => {
    if (!isCancellation(error)) failure = error;
  });
  return {
    stop: async () => {
      scope.cancel();
      // Awaited where a cancel of the way forward can't cut it short: the next step must not meet it.
      await CancellationScope.nonCancellable(async () => {
        await ended;
      });
    },
    failure: () => failure,
  };
}
