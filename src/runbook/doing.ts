/** Doing: the body's steps for real. Between two of them people are heard; a step that fails asks what to do. */
import { CancellationScope, CancelledFailure, isCancellation } from '@temporalio/workflow';
import type { Check, GateState, Phase, StepState, Told } from '../contract.js';
import {
  carriedOver,
  counted,
  gateTitle,
  HELD_POINTS,
  holderOf,
  type GateOptions,
  type Runbook,
  type Upgrade,
} from './api.js';
import { tally } from './counters.js';
import { inBackground } from './background.js';
import { cuttingOver } from './cutover.js';
import { problemOf, toldBy, whole } from './failure.js';
import { now } from './ledger.js';
import type { Planning } from './planning.js';

/** Unwinds the body, which begins again in a new run. */
export class GoingOnAsNew extends Error {}

export function doing(upgrade: Upgrade, { planAnew, amend }: Planning): Runbook {
  const { settings, ledger, steering, undos, seen, facts, blemishes } = upgrade;
  const { state } = ledger;
  const { deadline, untilAnswered, decide, waysOut } = upgrade.waiting;
  /** What the last try of a step told of itself, by the step's title. */
  const told = new Map<string, Told>();
  /** How a gate is asked again, by its name. */
  const askers = new Map<string, () => Promise<boolean>>();

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
      if (steering.reopened !== null) {
        const ask = askers.get(steering.reopened);
        steering.reopened = null;
        await ask?.();
        continue;
      }
      if (!steering.paused) return;
      const before: [Phase, string] = [state.phase, state.reason];
      ledger.phase('Paused', `Paused by ${steering.paused.by}`);
      await untilAnswered(
        () => steering.paused === null || steering.wantsBack !== null || steering.reopened !== null,
        deadline(),
      );
      ledger.phase(...before);
    }
  }

  /** Runs one step's work until it succeeds, is skipped by a person, or the way forward is left. */
  async function attempt<T>(
    step: StepState,
    work: () => Promise<T>,
    skipped: { value: T } | null,
  ): Promise<T> {
    for (;;) {
      try {
        const result = await work();
        // An activity that finishes despite its cancellation returns normally.
        if (steering.leaving) throw new Error('Leaving');
        return result;
      } catch (error) {
        if (error instanceof GoingOnAsNew) throw error;
        const last = toldBy(error);
        if (last) told.set(step.title, last);
        undos.tell(step, last);
        if (steering.leaving) throw error;
        const problem = problemOf(error);
        tally.failure(problem.type, 'forward');
        ledger.mark(step, 'failed', problem.message);
        if (settings.onFailure === 'rollback' && state.wayBack.possible && state.wayBack.keepsWrites) {
          steering.leave('onFailure', `step "${step.title}" failed: ${problem.message}`)();
          throw error;
        }
        const choice = await decide({
          about: step.title,
          problem: whole(problem),
          choices: {
            retry: 'try this step again',
            ...(skipped ? { skip: 'go on without it' } : {}),
            ...waysOut(),
          },
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

  async function holdOnChecks(
    title: string,
    step: StepState,
    read: () => Promise<Check[]>,
    first: Check[] | null,
  ): Promise<Check[]> {
    for (let found = first; ; found = null) {
      const fresh = found ?? (await attempt(step, read, null));
      const names = new Set(fresh.map((check) => check.name));
      const known = new Map(state.checks.map((check) => [check.name, check]));
      state.checks = [
        ...state.checks.filter((check) => !names.has(check.name)),
        ...fresh.map((check) => carriedOver(check, known.get(check.name))),
      ];
      const failed = state.checks.filter(
        (check) => names.has(check.name) && check.status === 'fail' && check.waivedBy === undefined,
      );
      const checked = () => state.checks.filter((check) => names.has(check.name));
      if (failed.length === 0) return checked();
      ledger.mark(step, 'failed', failed.map((check) => check.name).join(', '));
      if (settings.onFailure === 'rollback' && state.wayBack.possible && state.wayBack.keepsWrites) {
        steering.leave('onFailure', `checks failed: ${failed.map((check) => check.name).join(', ')}`)();
        throw new Error('Leaving');
      }
      const choice = await decide({
        about: title,
        problem: failed
          .map(
            (check) =>
              `${check.name}: ${check.actual}, expected ${check.expected}.${check.next ? ` ${check.next}` : ''}`,
          )
          .join(' '),
        choices: { retry: 'check again', ...waysOut() },
        waivable: failed.every((check) => check.waivable) ? failed.map((check) => check.name) : [],
      });
      if (choice === 'waived') return checked();
      // What the checks look at was gathered while planning.
      if (!steering.written) await planAnew();
      ledger.mark(step, 'running');
    }
  }

  async function untilApproved(gate: GateState, step: StepState, options: GateOptions): Promise<boolean> {
    const { meanwhile, again, over = () => false } = options;
    const limits = (): string => `${state.settings.maxPause} ${state.settings.maxLag}`;
    /** Looks again, once something was changed. True when the plan is another one, and the approvals are void. */
    const changed = async (): Promise<boolean> => {
      if (!again || !steering.written) return false;
      ledger.phase('Running', 'Looking again whether the plan still holds');
      return amend(gate, await attempt(step, again, null));
    };
    do {
      const background = meanwhile ? inBackground(meanwhile) : null;
      try {
        for (;;) {
          // Its approval was withdrawn while it looked again: it was then asked at that boundary, and answered.
          if (isApproved(gate)) break;
          const limit = deadline();
          const before = limits();
          // Where a limit was changed, whoever approves has to see the new one.
          const outdated = () => again !== undefined && limits() !== before;
          gate.status = 'open';
          if (limit !== null) gate.deadline = new Date(limit).toISOString();
          step.startedAt ??= now();
          state.step = step.title;
          ledger.mark(step, 'waiting');
          ledger.phase('AwaitingApproval', gate.question);
          if (gate.heldBy !== undefined) ledger.askParent();
          await untilAnswered(
            () => isApproved(gate) || isLeftOut(gate) || steering.wantsBack !== null || outdated() || over(),
            limit,
          );
          if (over() && !isApproved(gate) && !steering.leaving) {
            gate.status = 'planned';
            ledger.mark(step, 'skipped', 'there was nothing left to approve');
            ledger.phase('Running', `Gate "${gate.name}" is not needed as it was asked`);
            return false;
          }
          if (isLeftOut(gate)) {
            const by = steering.rejections.findLast((answer) => answer.gate === gate.name)?.by ?? 'somebody';
            ledger.mark(step, 'skipped', `left out by ${by}`);
            ledger.phase('Running', `Gate "${gate.name}" was rejected: it is left out`);
            return false;
          }
          if (isApproved(gate)) break;
          await boundary();
          if (outdated()) await changed();
        }
      } finally {
        await background?.stop();
      }
      // Days may have passed. While nothing was changed, the plan is made once more: the approval stands only for the same.
      if (!steering.written) await planAnew();
    } while ((await changed()) || !isApproved(gate));
    return gateDone(step, gate);
  }

  function gateDone(step: StepState, gate: GateState): true {
    ledger.mark(
      step,
      'done',
      gate.auto
        ? 'settled ahead in the input'
        : `approved by ${gate.approvals.map((approval) => approval.by).join(' and ')}`,
    );
    if (!gate.auto) ledger.phase('Running', `Gate "${gate.name}" was approved`);
    return true;
  }

  const api: Runbook = {
    lock: upgrade.lock,
    warn: (sentence) => ledger.warn(sentence),
    followUp: (item) =>
      void (state.followUps.some((each) => each.item === item) || state.followUps.push({ item })),
    rate: () => state.settings.rate,
    settings: () => state.settings,
    planning: false,
    async step(title, spec) {
      await boundary();
      const step = ledger.stepOf(title, 'do' in spec ? 'write' : 'read');
      if (!('do' in spec)) {
        // Read while planning: the step was done then.
        if (!steering.written && seen.has(title))
          return seen.get(title) as Awaited<ReturnType<typeof spec.read>>;
        ledger.mark(step, 'running');
        ledger.phase('Running', title);
        const result = await attempt(
          step,
          spec.read,
          spec.skippable && spec.foresee !== undefined ? { value: spec.foresee } : null,
        );
        if (step.status === 'running') ledger.mark(step, 'done', spec.note?.(result));
        return result;
      }
      steering.written = true;
      ledger.mark(step, 'running');
      ledger.phase('Running', title);
      if (!('none' in spec.undo)) await undos.register(step, spec.undo);
      await boundary();
      steering.spend();
      if (spec.impact !== undefined) state.impact.push({ what: spec.impact, since: now(), step: title });
      const work = async () => {
        const outcome = await spec.do(told.get(title));
        // It may be done although the way forward was left meanwhile.
        const known = steering.leaving ? spec.certain?.(outcome, { leaving: true }) : null;
        if (known) undos.know(step, known);
        return outcome;
      };
      const result = await attempt(step, work, spec.skippable ? { value: spec.foresee } : null);
      if (spec.cutover && steering.cutover) steering.cutover.standing = 'done';
      const known = step.status === 'running' ? spec.certain?.(result, { leaving: false }) : null;
      if (known) await undos.settle(step, known);
      if (spec.relieves !== undefined)
        state.impact = state.impact.filter((impact) => impact.step !== spec.relieves);
      if (step.status === 'running') ledger.mark(step, 'done', spec.note?.(result));
      return result;
    },
    async checks(title, read) {
      await boundary();
      const step = ledger.stepOf(title, 'checks');
      ledger.mark(step, 'running');
      const known = steering.written ? null : ((seen.get(title) as Check[] | undefined) ?? null);
      if (!known) ledger.phase('Running', title);
      const held = await holdOnChecks(title, step, read, known);
      ledger.mark(step, 'done', counted(held));
    },
    async gate(name, question, options = {}) {
      await boundary();
      const step = ledger.stepOf(gateTitle(name), 'gate');
      let gate = state.gates.find((candidate) => candidate.name === name);
      if (!gate) {
        gate = {
          name,
          question,
          status: 'planned',
          needs: 1,
          approvals: [],
          auto: settings.gates[name] === 'auto',
          ...holderOf(upgrade.hold, name),
        };
        state.gates.push(gate);
      }
      gate.question = question;
      if (options.optional) gate.optional = true;
      if (options.items) gate.items ??= options.items.map((item) => ({ item }));
      const asked = gate;
      askers.set(name, () => untilApproved(asked, step, options));
      // Approved, and the plan was made anew since.
      if (gate.status === 'approved') return gateDone(step, gate);
      if (gate.auto) {
        gate.status = 'approved';
        gate.approvals.push({ by: 'the input', at: now(), note: 'settled ahead' });
        return gateDone(step, gate);
      }
      return untilApproved(gate, step, options);
    },
    ...cuttingOver(upgrade, { boundary, told }),
    async pointOfNoReturn(title, because, finish) {
      await api.closeWayBack(because, finish);
      ledger.mark(ledger.stepOf(title, 'point of no return'), 'done', because);
    },
    async resumable(start) {
      const title = state.step ?? '';
      // A try that failed for good has told how far it got.
      type Checkpoint = Awaited<ReturnType<typeof start>>['checkpoint'];
      for (let checkpoint = told.get(title)?.checkpoint as Checkpoint | undefined; ;) {
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
        // Stopped in the background: what cancelled it was no pause, and it must not begin again.
        if (CancellationScope.current().consideredCancelled)
          throw new CancelledFailure('It is not needed any more');
      }
    },
    async keep(title, because) {
      await undos.keep(title, because);
    },
    async undoneBy(title, call) {
      const step = state.steps.find((each) => each.title === title);
      if (step) await undos.settle(step, call);
    },
    async held(name) {
      if (upgrade.hold?.gates.includes(name)) await api.gate(name, HELD_POINTS[name]);
    },
    async closeWayBack(because, finish) {
      await api.held('close');
      await boundary();
      steering.spend();
      // No await between the two: whoever asks to go back from here on is refused.
      state.wayBack = { possible: false, keepsWrites: false, loses: because, takes: '' };
      await undos.close(finish);
    },
    way(way) {
      state.way = way;
    },
    wayBack(next) {
      state.wayBack = { ...state.wayBack, ...next };
      ledger.tellHolder();
      ledger.show();
    },
    record: (more) => void Object.assign(facts, more),
    // A checklist that is read again finds the same again.
    blemish: (sentence) => void (blemishes.includes(sentence) || blemishes.push(sentence)),
    plot: (plot) => void upgrade.plots.set(plot.title, plot),
    async goBack(why) {
      steering.leave('the input', why)();
      await boundary();
    },
    async decide({ meanwhile, ...question }) {
      if (!meanwhile) return decide(question);
      let over = false;
      const background = inBackground(async () => {
        await meanwhile().finally(() => {
          over = true;
        });
      });
      let answer;
      try {
        answer = await decide({ ...question, withdrawn: () => over });
      } finally {
        await background.stop();
      }
      const failure = answer === 'withdrawn' ? background.failure() : null;
      if (failure instanceof Error) throw failure;
      return answer;
    },
    waysOut,
    fleet(rows) {
      state.fleet ??= rows;
      return state.fleet;
    },
    async goOnAsNew() {
      await boundary();
      throw new GoingOnAsNew();
    },
    wentOn: upgrade.wentOn,
    boundary,
    isCalled: () =>
      steering.leaving !== null ||
      steering.wantsBack !== null ||
      steering.paused !== null ||
      steering.reopened !== null,
    leaving: () => steering.leaving,
    onLeaveOut(leaveOut) {
      steering.leaveOut = leaveOut;
    },
  };

  return api;
}

/** A handler may have changed it since the compiler last looked. */
function isApproved(gate: GateState): boolean {
  return gate.status === 'approved';
}

/** Rejected, where that takes nothing back. */
function isLeftOut(gate: GateState): boolean {
  return gate.optional === true && gate.status === 'rejected';
}
