/** Planning: the body is run once with its writes left out, and what it would do is written down. */
import type { Check, GateState, Plan, PlanStep, StepState } from '../contract.js';
import { carriedOver, counted, gateTitle, HELD_POINTS, holderOf, type Runbook, type Upgrade } from './api.js';
import { ending, problemOf, whole } from './failure.js';
import { notesOf } from './rehearsed.js';
import { planChanges, planHash } from './plan.js';

/** Unwinds the body, which then begins again with what was found anew. */
export class PlannedAnew extends Error {}

export type Planning = ReturnType<typeof planning>;

export function planning(upgrade: Upgrade) {
  const { strategy, settings, body, ledger, steering, waiting, seen } = upgrade;
  const { state } = ledger;
  let gatesOfPlan: GateState[] = [];

  async function makePlan(): Promise<Plan> {
    const planned = {
      steps: [] as PlanStep[],
      impact: [] as string[],
      mayLose: [] as string[],
      checks: [] as Check[],
      gates: [] as GateState[],
    };
    seen.clear();
    let written = false;
    const add = (title: string, kind: PlanStep['kind'], rest: Partial<PlanStep>) =>
      planned.steps.push({ title, kind, does: [], undo: '', notes: [], ...rest });
    const planner: Runbook = {
      lock: upgrade.lock,
      warn: (sentence) => ledger.warn(sentence),
      followUp: () => {},
      rate: () => state.settings.rate,
      settings: () => state.settings,
      planning: true,
      async step(title, spec) {
        if ('do' in spec) {
          add(title, 'write', {
            does: spec.does,
            undo: 'none' in spec.undo ? `none: ${spec.undo.none}` : spec.undo.says,
            notes: spec.notes ?? [],
          });
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
      async checks(title, read, does = []) {
        add(title, 'checks', { does });
        if (written) return;
        const step = ledger.stepOf(title, 'checks');
        ledger.mark(step, 'running');
        const found = await read();
        ledger.mark(step, 'done', counted(found));
        seen.set(title, found);
        planned.checks.push(...found);
        const refused = found.filter((check) => check.status === 'fail' && !check.waivable);
        if (refused.length > 0) {
          state.checks = found;
          ledger.mark(step, 'failed');
          throw ending(
            'PreflightFailed',
            `${refused.map((check) => `${check.name}: ${check.actual}, expected ${check.expected}.${check.next ? ` ${check.next}` : ''}`).join(' ')} Nothing was changed.`,
            [{ checks: found }],
          );
        }
      },
      gate: async (name, question, { approvers = 1, items } = {}) => {
        const by = holderOf(upgrade.hold, name);
        const policy = by.heldBy === undefined ? settings.gates[name] : undefined;
        const needs = typeof policy === 'object' ? policy.approvers : approvers;
        add(gateTitle(name), 'gate', {
          does: [
            by.heldBy !== undefined
              ? `waits for ${by.heldBy}: ${question}`
              : policy === 'auto'
                ? 'settled ahead in the input'
                : `asks ${needs === 1 ? 'one person' : `${needs} different people`}: ${question}`,
            ...(items ?? []).map((item) => `to be ticked first: ${item}`),
          ],
        });
        planned.gates.push({
          ...by,
          ...(items ? { items: items.map((item) => ({ item })) } : {}),
          name,
          question,
          status: 'planned',
          needs,
          approvals: [],
          auto: policy === 'auto',
        });
        return true;
      },
      window: async (title, takesMs) => {
        steering.cutover = { title, takesMs, standing: 'ahead', reached: false };
        const { window } = state.settings;
        if (window)
          add(title, 'window', {
            does: [`not before ${window.opensAt}, and only if it ends before ${window.closesAt}`],
          });
      },
      async held(name) {
        const known = planned.gates.some((gate) => gate.name === name);
        if (upgrade.hold?.gates.includes(name) && !known) await planner.gate(name, HELD_POINTS[name]);
      },
      pointOfNoReturn: async (title, because) => {
        await planner.held('close');
        add(title, 'point of no return', {
          does: [because],
          undo: 'none: from here on nothing can be undone',
        });
      },
      resumable: () => Promise.reject(new Error('A plan moves nothing')),
      cutover: () => Promise.reject(new Error('A plan switches nothing')),
      keep: async () => {},
      undoneBy: async () => {},
      closeWayBack: () => planner.held('close'),
      way(way) {
        state.way = way;
      },
      wayBack: () => {},
      record: () => {},
      blemish: () => {},
      plot: () => {},
      goBack: async () => {},
      decide: () => Promise.reject(new Error('A plan asks nothing')),
      waysOut: () => ({}),
      fleet(rows) {
        state.fleet ??= rows;
        return state.fleet;
      },
      goOnAsNew: async () => {},
      wentOn: false,
      boundary: async () => {},
      isCalled: () => false,
      leaving: () => null,
      onLeaveOut: () => {},
    };
    await body(planner);
    const { estimates } = upgrade;
    const measured = (title: string) => (estimates ? notesOf(estimates, title) : []);
    gatesOfPlan = planned.gates;
    const plan: Omit<Plan, 'hash'> = {
      strategy,
      name: settings.name,
      steps: planned.steps.map((step) => ({ ...step, notes: [...step.notes, ...measured(step.title)] })),
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
        await waiting.decide({
          about: 'Looking again before the first change',
          problem: whole(problem),
          choices: { retry: 'look again', ...waiting.waysOut() },
        });
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
      return known && known.status !== 'running'
        ? known
        : { title: step.title, kind: step.kind, status: 'planned' };
    });
    const gates = new Map(state.gates.map((gate) => [gate.name, gate]));
    state.gates = gatesOfPlan.map((gate) => gates.get(gate.name) ?? gate);
    const known = new Map(state.checks.map((check) => [check.name, check]));
    state.checks = plan.checks.map((check) => carriedOver(check, known.get(check.name)));
    ledger.show();
  }

  /**
   * The plan with some steps' sentences as they are now. True when that is another one: the gate's approvals are void then. What
   * was used already stands.
   */
  function amend(gate: GateState, sentences: Record<string, string[]>): boolean {
    const last = steering.plan;
    if (!last) return false;
    const { hash: old, ...rest } = last;
    const next = {
      ...rest,
      steps: rest.steps.map((step) => ({ ...step, does: sentences[step.title] ?? step.does })),
    };
    const hash = planHash(next);
    if (hash === old) return false;
    steering.plan = { ...next, hash };
    state.planHash = hash;
    voidApprovals(planChanges(last, steering.plan), [gate]);
    ledger.show();
    return true;
  }

  /** An approval stands for the plan that it was given for, and for no other. */
  function voidApprovals(changes: string[], gates = state.gates): void {
    for (const gate of gates) {
      if (gate.auto || gate.approvals.length === 0) continue;
      for (const { by } of gate.approvals)
        ledger.refuse({
          what: `approval of gate "${gate.name}"`,
          by,
          reason: `the plan has changed since: ${changes.join('; ')}`,
        });
      gate.approvals = [];
      gate.status = 'planned';
    }
  }

  return { makePlan, adopt, planAnew, amend };
}
