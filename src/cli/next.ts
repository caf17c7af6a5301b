/** What a person can type next. */
import { STRATEGIES, type Choice, type GateState, type State } from '../contract.js';

export interface NextCommand {
  command: string;
  does: string;
}

/** The workflow ID as one has to type it: the name alone does while there is only one provider. */
export function shortId(
  workflowId: string,
  providers: readonly string[] = Object.values(STRATEGIES),
): string {
  const only = new Set(providers).size === 1 ? providers[0] : undefined;
  const prefix = `upgrade/${only}/`;
  return quote(
    only !== undefined && workflowId.startsWith(prefix) ? workflowId.slice(prefix.length) : workflowId,
  );
}

/** For a POSIX shell. */
export function quote(word: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function withdrawing(id: string, gate: GateState): NextCommand[] {
  return gate.approvals.length === 0
    ? []
    : [
        {
          command: `ferry withdraw ${id} ${quote(gate.name)}`,
          does: `take your approval back, if you are ${gate.approvals.map(({ by }) => by).join(' or ')}`,
        },
      ];
}

/** True while pauses of the cutover are given up, and a better moment is waited for. */
function givingUp({ progress }: State): boolean {
  return (progress?.counts['pausesGivenUp'] ?? 0) > 0;
}

/** What can be said at an open gate. */
function answers(id: string, { name, heldBy, items = [] }: GateState, wayBack: boolean): NextCommand[] {
  if (heldBy !== undefined)
    return [
      { command: `ferry state ${shortId(heldBy)}`, does: 'see what this one waits for' },
      { command: `ferry rollback ${id}`, does: 'take this one back, by itself' },
    ];
  const left = items.filter(({ tickedBy }) => tickedBy === undefined);
  return [
    ...left.map(({ item }) => ({ command: `ferry tick ${id} ${quote(item)}`, does: 'say that it is so' })),
    ...(left.length > 0 ? [] : [{ command: `ferry approve ${id} ${quote(name)}`, does: 'go on' }]),
    { command: `ferry reject ${id} ${quote(name)}`, does: wayBack ? 'roll back' : 'stop' },
  ];
}

/** The commands that make sense in this phase, the most likely one first. */
export function nextCommands(state: State): NextCommand[] {
  const id = shortId(state.workflowId);
  const rollback: NextCommand[] = !state.wayBack.possible
    ? []
    : state.wayBack.keepsWrites
      ? [{ command: `ferry rollback ${id}`, does: 'undo everything done so far' }]
      : [
          {
            command: `ferry rollback ${id} --accept-loss`,
            does: `undo everything, and lose ${state.wayBack.loses || 'writes made since'}`,
          },
        ];
  switch (state.phase) {
    case 'AwaitingApproval':
      return [
        ...state.gates
          .filter((gate) => gate.status === 'open')
          .flatMap((gate) => answers(id, gate, state.wayBack.possible)),
        ...state.gates.filter((gate) => gate.status === 'open').flatMap((gate) => withdrawing(id, gate)),
        { command: `ferry plan ${id}`, does: 'see what it will do' },
      ];
    case 'NeedsDecision':
      return [
        ...(Object.entries(state.decision?.choices ?? {}) as [Choice, string][]).map(([choice, does]) => ({
          command: `ferry decide ${id} ${choice}`,
          does,
        })),
        ...(state.decision?.waivable ?? []).map((check) =>
          isTickable(state, check)
            ? { command: `ferry tick ${id} ${quote(check)}`, does: 'say that it is so' }
            : {
                command: `ferry waive ${id} ${quote(check)}`,
                does: 'go on although this check failed; the receipt says who',
              },
        ),
      ];
    case 'Paused':
      return [{ command: `ferry resume ${id}`, does: 'go on' }, ...rollback];
    case 'AwaitingWindow':
      return [
        ...(state.settings.window
          ? [{ command: `ferry adjust ${id} --opens-at … --closes-at …`, does: 'move the window' }]
          : []),
        {
          command: `ferry postpone ${id} --until …`,
          does: state.settings.notBefore === undefined ? 'begin later' : 'begin at another moment',
        },
        ...state.gates
          .filter((gate) => gate.name === 'cutover' && gate.status === 'approved' && !gate.auto)
          .flatMap((gate) => withdrawing(id, gate)),
        ...rollback,
      ];
    case 'Running':
      return [
        ...(givingUp(state)
          ? [
              {
                command: `ferry adjust ${id} --max-pause …`,
                does: 'let the next try pause writes for longer',
              },
              { command: `ferry postpone ${id} --for 30m`, does: 'wait for a calmer moment' },
            ]
          : []),
        { command: `ferry pause ${id}`, does: 'hold it at the next safe place' },
        ...rollback,
      ];
    case 'RollingBack':
      return [];
    case 'Completed':
    case 'RolledBack':
    case 'RollbackFailed':
    case 'Aborted':
      return [{ command: `ferry receipt ${id}`, does: 'what it did, measured and was told' }];
  }
}

/** No program can see it: a person says that it is so. */
function isTickable(state: State, name: string): boolean {
  return state.checks.some((check) => check.name === name && check.tickable);
}
