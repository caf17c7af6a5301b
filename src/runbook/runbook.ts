/**
 * The ground that every strategy stands on: it parses the input, registers the handlers, runs the strategy's body
 * once to plan and once for real, and undoes in reverse order what was done when the way forward is left.
 */
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  makeContinueAsNewFunc,
  workflowInfo,
} from '@temporalio/workflow';
import type { z } from 'zod';
import { HOLD_MEMO, workflowIdOf, type Hold, type Phase, type Receipt, type Strategy } from '../contract.js';
import { commonProblems } from '../inputs/common.js';
import { sentences } from '../inputs/messages.js';
import { buildReceipt } from '../receipt/build.js';
import { acts, keeps, locally, reads } from './acts.js';
import type { Body, Carried, CommonSettings, Upgrade } from './api.js';
import { tally } from './counters.js';
import { doing, GoingOnAsNew } from './doing.js';
import { ending, problemOf, whole } from './failure.js';
import { now, openLedger } from './ledger.js';
import { locks } from './locks.js';
import { announcing } from './notices.js';
import { PlannedAnew, planning } from './planning.js';
import { readEstimates, withEstimates } from './rehearsed.js';
import { steer } from './steering.js';
import { undoStack } from './undo.js';
import { waiting } from './waiting.js';

/** Runs a strategy. Returns the receipt when it completed; every other end fails the workflow with the receipt as details. */
export async function runbook<S extends z.ZodType<CommonSettings>>(
  strategy: Strategy,
  schema: S,
  raw: unknown,
  body: Body<z.output<S>>,
  carried?: Carried,
): Promise<Receipt> {
  const startedAt = carried?.startedAt ?? now();
  const ledger = openLedger(strategy);
  const { state } = ledger;
  const steering = steer(ledger);
  const info = workflowInfo();
  const hold = (info.memo?.[HOLD_MEMO] as Hold | undefined) ?? null;
  // The values tell a missing field from one of the wrong type; the sentences don't hold them.
  const parsed = schema.safeParse(raw, { reportInput: true });
  if (!parsed.success)
    throw ending(
      'InvalidInput',
      `The input of ${strategy} can't be used: ${sentences(parsed.error)}. Nothing was changed.`,
    );
  const settings = parsed.data;
  const problems = commonProblems(settings);
  if (problems.length > 0)
    throw ending(
      'InvalidInput',
      `The input of ${strategy} can't be used: ${problems.join('; ')}. Nothing was changed.`,
    );
  const properId = workflowIdOf(strategy, settings.name);
  if (info.workflowId !== properId && !info.parent) {
    throw ending(
      'WrongWorkflowId',
      `This workflow's ID is "${info.workflowId}", but an upgrade of "${settings.name}" must be "${properId}", so that one target has one upgrade at a time. Start it again under that ID. Nothing was changed.`,
    );
  }
  // A pre-flight by itself: it keeps nobody out, and leaves no receipt among those of upgrades.
  const aside = settings.dryRun && info.workflowId !== properId;
  state.name = settings.name;
  if (settings.window) state.settings.window = settings.window;
  const { rate, maxPause, maxLag } = settings;
  if (rate !== undefined) state.settings.rate = rate;
  if (maxPause !== undefined) state.settings.maxPause = maxPause;
  if (maxLag !== undefined) state.settings.maxLag = maxLag;
  if (settings.contact !== undefined) state.contact = settings.contact;
  state.followUps = settings.followUps.map((item) => ({ item }));

  if (carried) {
    Object.assign(state, carried.state, { phase: 'Running' satisfies Phase });
    steering.plan = carried.plan;
    steering.written = true;
    steering.rejections.push(...carried.rejections);
    steering.steered.push(...carried.steered);
  }

  const undos = undoStack(
    ledger,
    { workflowId: info.workflowId, runId: info.runId },
    ({ facts: measured = {}, blemishes: flaws = [], plots = [], fleet = [] }) => {
      Object.assign(facts, measured);
      for (const flaw of flaws) if (!blemishes.includes(flaw)) blemishes.push(flaw);
      for (const plot of plots) upgrade.plots.set(plot.title, plot);
      for (const row of fleet)
        Object.assign(state.fleet?.find(({ workflowId }) => workflowId === row.workflowId) ?? {}, row);
    },
  );
  const asking = waiting(ledger, steering, () => settings);
  const upgrade: Upgrade = {
    strategy,
    settings,
    body: (api) => body(settings, upgrade.estimates ? withEstimates(api, upgrade.estimates) : api),
    ledger,
    steering,
    undos,
    waiting: asking,
    lock: aside ? async () => {} : locks(),
    seen: new Map(),
    facts: { ...carried?.facts },
    blemishes: [...(carried?.blemishes ?? [])],
    plots: new Map(),
    wentOn: carried !== undefined,
    hold,
    estimates: null,
  };
  const { facts, blemishes } = upgrade;
  const plans = planning(upgrade);
  const forwards = doing(upgrade, plans);
  let endNotices = async (): Promise<void> => {};

  async function run(): Promise<Receipt> {
    const surroundings = await locally('Look at what this worker and this Temporal can do').surroundings();
    ledger.publish({ attribute: surroundings.phaseAttribute, webhook: settings.notify, held: hold !== null });

    if (!carried)
      try {
        if (settings.rehearsed !== undefined)
          upgrade.estimates = await readEstimates(settings.rehearsed, strategy);
        plans.adopt(await plans.makePlan());
      } catch (error) {
        throw await refused(error);
      }
    if (settings.dryRun) {
      facts['plan'] = steering.plan;
      return finish('Planned', 'The plan was made; nothing was changed');
    }
    endNotices = announcing(upgrade);
    try {
      const forward = new CancellationScope({ cancellable: true });
      steering.forward = forward;
      await forward.run(async () => {
        await forwards.boundary();
        while (!(await wholeBody()));
        await forwards.boundary();
      });
    } catch (error) {
      if (!steering.leaving) {
        if (error instanceof GoingOnAsNew) return goOnAsNew();
        if (isCancellation(error)) throw error;
        // A bug in a strategy, or a failure outside any step: a person decides, nothing is undone by surprise.
        const problem = problemOf(error);
        steering.forward = null;
        while (!steering.leaving) {
          await asking.decide({
            about: state.step ?? 'The upgrade',
            problem: whole(problem),
            choices: asking.waysOut(),
          });
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
      await upgrade.body(forwards);
      return true;
    } catch (error) {
      if (error instanceof PlannedAnew) return false;
      throw error;
    }
  }

  /** What was said meanwhile is answered here; what is said from here on the next run hears. */
  async function goOnAsNew(): Promise<never> {
    await ledger.settle();
    await condition(allHandlersFinished);
    const { plan, rejections, steered } = steering;
    if (!plan) throw new Error('It goes on without a plan');
    const next: Carried = { state, plan, facts, blemishes, startedAt, rejections, steered };
    return makeContinueAsNewFunc<(raw: unknown, carried: Carried) => Promise<Receipt>>()(raw, next);
  }

  /** It can't be planned: fails at once, under the type of what is wrong. Nothing was changed. */
  async function refused(error: unknown): Promise<Error> {
    const problem = problemOf(error);
    const { type, message } = problem;
    const said = message.includes('Nothing was changed') ? message : whole(problem);
    const reason = said.includes('Nothing was changed') ? said : `${said} Nothing was changed.`;
    const running = state.steps.find((step) => step.status === 'running');
    if (running) ledger.mark(running, 'failed', message);
    state.step = null;
    tally.end('Refused');
    ledger.phase('Aborted', reason);
    await ledger.settle();
    return ending(type, reason, error instanceof ApplicationFailure ? (error.details ?? []) : []);
  }

  async function leaveBy(how: 'rollback' | 'abort', why: string): Promise<Receipt> {
    const running = state.steps.find((step) => step.status === 'running' || step.status === 'waiting');
    if (running)
      ledger.mark(running, 'skipped', how === 'abort' ? 'it was stopped here' : 'it went back from here');
    for (const gate of state.gates) if (gate.status === 'open') gate.status = 'planned';
    if (how === 'abort') {
      undos.left.push(...undos.pending());
      return finish('Aborted', why);
    }
    tally.rollback();
    ledger.phase('RollingBack', why);
    return finish(await undos.rollBack(steering, asking.decide), why);
  }

  async function finish(outcome: Receipt['outcome'], reason: string): Promise<Receipt> {
    state.progress = null;
    await endNotices();
    await ledger.settle();
    const receipt = buildReceipt({
      state,
      outcome,
      reason,
      runId: info.runId,
      startedAt,
      endedAt: now(),
      rejections: steering.rejections,
      steered: steering.steered,
      facts,
      blemishes,
      plots: [...upgrade.plots.values()],
      left: undos.left,
    });
    try {
      if (outcome !== 'Planned') await undos.ended(outcome);
    } catch (error) {
      receipt.warnings.push(`The end could not be written to the journal: ${problemOf(error).message}`);
    }
    if (outcome !== 'Planned') await keepElsewhere(receipt);
    try {
      if (!aside)
        receipt.files = await acts({ ...reads, startToCloseTimeout: '1m' }, 'Write the receipt').saveReceipt({
          receipt,
          ...(settings.history === undefined || outcome === 'Planned' ? {} : { history: settings.history }),
        });
    } catch (error) {
      receipt.warnings.push(`The receipt's files could not be written: ${problemOf(error).message}`);
    }
    state.receipt = receipt;
    tally.end(outcome);
    state.step = null;
    ledger.phase(outcome === 'Planned' ? 'Completed' : outcome, reason);
    await ledger.settle();
    if (outcome === 'Completed' || outcome === 'Planned') return receipt;
    throw ending(
      outcome,
      `${outcome}: ${reason}${receipt.left.length > 0 ? `. Left as it is: ${receipt.left.join('; ')}` : ''}`,
      [receipt],
    );
  }

  /** One after the other: the next one is told of what failed before. */
  async function keepElsewhere(receipt: Receipt): Promise<void> {
    const { bucket, postgres } = settings.history ?? {};
    const stores = [...(bucket ? [{ bucket }] : []), ...(postgres ? [{ postgres }] : [])];
    for (const store of stores)
      try {
        await acts(keeps, 'Keep the receipt').keepReceipt({ receipt, store });
      } catch (error) {
        receipt.warnings.push(`The receipt could not be kept elsewhere: ${problemOf(error).message}`);
      }
  }

  // The outer scope can't be cancelled: a Cancel is a request like any other, and undoing must not be cut off by it.
  return CancellationScope.nonCancellable(run);
}
