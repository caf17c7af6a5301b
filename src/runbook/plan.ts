/** The plan: what the body would do, found by running it once with writes left out. */
import type { Plan, PlanStep } from '../contract.js';

/** 13 hex digits that name the steps as planned; notes (counts, durations) don't count. FNV-1a: it tells changes, it proves nothing. */
export function planHash(plan: Omit<Plan, 'hash'>): string {
  const text = JSON.stringify([
    plan.strategy,
    plan.name,
    plan.steps.map(({ title, kind, does, undo }) => [title, kind, does, undo]),
    plan.impact,
    plan.mayLose,
    plan.window ?? null,
    plan.checks.filter((check) => check.status === 'fail').map((check) => check.name),
  ]);
  let hash = 0xcbf29ce484222325n;
  for (const character of text) {
    hash ^= BigInt(character.codePointAt(0) ?? 0);
    hash = (hash * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return hash.toString(16).padStart(16, '0').slice(0, 13);
}

/** What differs between two plans, in words: for the person whose approval no longer stands. */
export function planChanges(before: Plan, after: Plan): string[] {
  const lines = (plan: Plan) => [
    ...plan.steps.flatMap((step: PlanStep) => [
      `${step.title}`,
      ...step.does.map((line) => `${step.title}: ${line}`),
      `${step.title}: undo: ${step.undo}`,
    ]),
    ...plan.impact.map((line) => `users: ${line}`),
    ...plan.mayLose.map((line) => `may lose: ${line}`),
    ...plan.checks.filter((check) => check.status === 'fail').map((check) => `check failed: ${check.name}`),
    ...(plan.window ? [`window ${plan.window.opensAt} to ${plan.window.closesAt}`] : []),
  ];
  const [old, now] = [lines(before), lines(after)];
  return [
    ...now.filter((line) => !old.includes(line)).map((line) => `now: ${line}`),
    ...old.filter((line) => !now.includes(line)).map((line) => `no longer: ${line}`),
  ];
}
