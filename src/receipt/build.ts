/** Puts a receipt together from what the workflow knows. Pure: it runs inside the workflow. */
import type { Plot, Receipt, State, Steered } from '../contract.js';

/** What a person still is to do behind it: blemishes of its receipt. */
export function leftToDo({ followUps }: Pick<State, 'followUps'>): string[] {
  return followUps.filter(({ doneBy }) => doneBy === undefined).map(({ item }) => `To do by hand: ${item}`);
}

export function buildReceipt(input: {
  state: State;
  outcome: Receipt['outcome'];
  reason: string;
  runId: string;
  startedAt: string;
  endedAt: string;
  rejections: Receipt['rejections'];
  steered?: readonly Steered[];
  facts: Record<string, unknown>;
  blemishes: readonly string[];
  plots: readonly Plot[];
  left: readonly string[];
}): Receipt {
  const { state, outcome } = input;
  const waived = state.checks
    .filter((check) => check.waivedBy !== undefined)
    .map((check) => `The check "${check.name}" was waived by ${check.waivedBy}: ${check.actual}`);
  const blemishes = [
    ...input.blemishes,
    ...waived,
    ...leftToDo(state),
    ...(outcome === 'Completed' || outcome === 'Planned' ? [] : [`It ended as ${outcome}: ${input.reason}`]),
  ];
  const withdrawals = state.gates.flatMap((gate) =>
    (gate.withdrawn ?? []).map((withdrawal) => ({ gate: gate.name, ...withdrawal })),
  );
  return {
    strategy: state.strategy,
    name: state.name,
    workflowId: state.workflowId,
    runId: input.runId,
    outcome,
    clean: blemishes.length === 0,
    blemishes,
    reason: input.reason,
    startedAt: input.startedAt,
    endedAt: input.endedAt,
    seconds: Math.round((Date.parse(input.endedAt) - Date.parse(input.startedAt)) / 100) / 10,
    approvals: state.gates.flatMap((gate) =>
      gate.approvals.map((approval) => ({ gate: gate.name, ...approval })),
    ),
    rejections: input.rejections,
    ...(withdrawals.length > 0 ? { withdrawals } : {}),
    ...(input.steered?.length ? { steered: [...input.steered] } : {}),
    steps: structuredCloneOf(state.steps),
    checks: structuredCloneOf(state.checks),
    followUps: structuredCloneOf(state.followUps),
    refused: structuredCloneOf(state.refused),
    warnings: [...state.warnings],
    left: [...input.left],
    planHash: state.planHash,
    facts: state.fleet ? { ...input.facts, fleet: structuredCloneOf(state.fleet) } : input.facts,
    ...(input.plots.length > 0 ? { plots: [...input.plots] } : {}),
  };
}

/** A copy that later changes of the state don't reach; everything in it is plain JSON. */
function structuredCloneOf<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
