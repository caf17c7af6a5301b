/**
 * What people say to a running upgrade: each thing by signal and by Update of one name. An Update shows its
 * refusal to whoever sent it (its validator looks before anything enters the history); a refused signal is kept in
 * `state.refused`. Handlers are registered before the
 * first await, so that nothing said early is lost.
 */
import { CancellationScope, defineSignal, defineUpdate, setHandler } from '@temporalio/workflow';
import {
  ENDED,
  MESSAGES,
  progressSignal,
  queries,
  releaseSignal,
  type Approval,
  type MessageName,
  type Messages,
} from '../contract.js';
import { parseMessage } from '../inputs/messages.js';
import { ticked } from './api.js';
import { refusal } from './failure.js';
import { now, type Ledger } from './ledger.js';
import { changing, person } from './settings.js';
import type { Steering } from './wishes.js';

function speaker(raw: unknown): string {
  return typeof raw === 'object' && raw !== null && 'by' in raw && typeof raw.by === 'string'
    ? raw.by
    : 'somebody';
}

export function steer(ledger: Ledger): Steering {
  const { state } = ledger;
  const root = CancellationScope.current();
  const rejections: (Approval & { gate: string })[] = [];
  const steering: Steering = {
    rejections,
    steered: [],
    changes: 0,
    plan: null,
    forward: null,
    running: null,
    paused: null,
    leaving: null,
    wantsBack: null,
    answer: null,
    written: false,
    undoing: false,
    cutover: null,
    inHand: null,
    spent: null,
    reopened: null,
    leaveOut: null,
    leave,
    abort,
    interrupt,
    /** What was approved begins. */
    spend() {
      if (steering.inHand !== null) [steering.spent, steering.inHand] = [steering.inHand, null];
      if (steering.cutover?.reached && steering.cutover.standing === 'ahead')
        steering.cutover.standing = 'begun';
    },
    /** The cutover is ahead again, with nothing done: what it was approved by is in hand again. */
    unspend() {
      steering.inHand = steering.spent;
      if (steering.cutover) steering.cutover.standing = 'ahead';
    },
  };

  ledger.showPlan(() => steering.plan);

  /** Stops what is under way, if it can say where it was; the body then looks at what was asked. */
  function interrupt(): void {
    steering.running?.cancel();
  }

  /**
   * Starts going back, or throws why not. The one door for the signal, the Update, `reject`, Cancel and deadlines.
   * Like everything below it first looks, throwing a refusal, and returns what to do: an Update's validator looks only.
   */
  function leave(by: string, why: string, acceptLoss = false): () => string {
    if (ENDED.includes(state.phase)) throw refusal(`It has ended already (${state.phase}).`);
    if (steering.undoing || steering.leaving) throw refusal('It is on its way back already.');
    if (!state.wayBack.possible)
      throw refusal(
        `There is no way back any more: ${state.wayBack.loses || 'the point of no return is behind it'}.`,
      );
    const wouldLose = !state.wayBack.keepsWrites && !acceptLoss;
    if (wouldLose && state.decision) {
      throw refusal(
        `Going back now would lose ${state.wayBack.loses}. Say so in so many words: choose rollbackLosingWrites, or roll back with acceptLoss: true.`,
      );
    }
    return () => {
      if (wouldLose) {
        steering.wantsBack = { by };
        interrupt();
        return `Going back now would lose ${state.wayBack.loses}. Nothing is undone yet: see the decision.`;
      }
      steering.leaving = { how: 'rollback', by, why };
      steering.forward?.cancel();
      return 'Rolling back.';
    };
  }

  function abort(by: string, why: string, leaveAsIs: boolean): () => string {
    if (ENDED.includes(state.phase)) throw refusal(`It has ended already (${state.phase}).`);
    if (steering.undoing) throw refusal('It is rolling back; answer its decisions instead.');
    if (steering.written && !(state.phase === 'NeedsDecision' && leaveAsIs)) {
      throw refusal(
        state.phase === 'NeedsDecision'
          ? 'Something was changed already. To stop here and undo nothing, say leaveAsIs: true.'
          : 'Something was changed already: roll back instead, or wait for a decision to be asked.',
      );
    }
    return () => {
      steering.leaving = { how: 'abort', by, why };
      steering.forward?.cancel();
      return steering.written
        ? 'Stopping here. What was changed stays as it is.'
        : 'Stopped. Nothing was changed.';
    };
  }

  function openGate(name: string) {
    const gate = state.gates.find((candidate) => candidate.name === name);
    if (!gate)
      throw refusal(
        `There is no gate "${name}". Gates: ${state.gates.map((candidate) => candidate.name).join(', ') || 'none yet'}.`,
      );
    if (gate.status === 'planned') {
      throw refusal(
        `Gate "${name}" is not open yet; it is at "${state.step ?? state.reason}". To approve ahead, start with "gates": {"${name}": "auto"}.`,
      );
    }
    if (gate.status !== 'open') throw refusal(`Gate "${name}" is ${gate.status} already.`);
    if (gate.heldBy !== undefined)
      throw refusal(
        `Gate "${name}" is answered by ${gate.heldBy}, of which this is a part: speak to that one. \`rollback\` takes this one back by itself.`,
      );
    return gate;
  }

  function decide(choice: string, by: string, note: string | undefined): () => string {
    if (!state.decision) throw refusal('Nothing is waiting for a decision.');
    if (!(choice in state.decision.choices)) {
      throw refusal(
        `"${choice}" is not offered. Choices: ${Object.keys(state.decision.choices).join(', ')}.`,
      );
    }
    if (!steering.undoing) {
      if (choice === 'rollback') return leave(by, note ?? `decided by ${by}`);
      if (choice === 'rollbackLosingWrites')
        return leave(by, note ?? `decided by ${by}, losing writes`, true);
      if (choice === 'stop') return abort(by, note ?? `decided by ${by}`, true);
    }
    return () => {
      steering.answer = { choice, by };
      return `Taken: ${choice}.`;
    };
  }

  const take: { [Name in MessageName]: (message: Messages[Name]) => () => string } = {
    approve({ gate: name, by, note, planHash }) {
      const gate = openGate(name);
      if (planHash !== undefined && planHash !== state.planHash) {
        throw refusal(
          `The plan has changed since it was looked at (${planHash}, now ${state.planHash}). Look again, then approve.`,
        );
      }
      if (gate.approvals.some((approval) => person(approval.by) === person(by))) {
        throw refusal(
          `${by} has approved gate "${name}" already${gate.needs > 1 ? '; it needs another person too' : ''}.`,
        );
      }
      const left = (gate.items ?? []).filter(({ tickedBy }) => tickedBy === undefined);
      if (left.length > 0)
        throw refusal(
          `Gate "${name}" has ${left.length} item${left.length === 1 ? '' : 's'} that nobody has ticked: ${left.map(({ item }) => item).join('; ')}. Tick each by its name, then approve.`,
        );
      return () => {
        gate.approvals.push({ by, at: now(), ...(note === undefined ? {} : { note }) });
        if (gate.approvals.length < gate.needs) {
          return `Taken. Gate "${name}" needs ${gate.needs - gate.approvals.length} more approval by another person.`;
        }
        gate.status = 'approved';
        steering.inHand = name;
        return `Gate "${name}" is approved.`;
      };
    },
    reject({ gate: name, by, note }) {
      const gate = openGate(name);
      const goBack = gate.optional
        ? () => `Gate "${name}" is rejected: what it stands before is left out, and the rest stays done.`
        : leave(by, `gate "${name}" rejected by ${by}${note ? `: ${note}` : ''}`);
      return () => {
        gate.status = 'rejected';
        rejections.push({ gate: name, by, at: now(), ...(note === undefined ? {} : { note }) });
        return goBack();
      };
    },
    decide: ({ choice, by, note }) => decide(choice, by, note),
    skip: ({ by, note, target }) => {
      if (target === undefined) return decide('skip', by, note);
      if (!steering.leaveOut) throw refusal('It is no fleet: it has no targets to leave out.');
      return steering.leaveOut(target, by);
    },
    retry: ({ by, note }) => decide('retry', by, note),
    waive({ check: name, by }) {
      const check = state.checks.find((candidate) => candidate.name === name);
      if (!check)
        throw refusal(
          `There is no check "${name}". Checks: ${state.checks.map((candidate) => candidate.name).join(', ')}.`,
        );
      if (check.status !== 'fail') throw refusal(`Check "${name}" did not fail.`);
      if (!check.waivable) throw refusal(`Check "${name}" can't be waived. ${check.next ?? ''}`.trim());
      return () => {
        check.waivedBy = by;
        return `Check "${name}" is waived by ${by}.`;
      };
    },
    tick({ item, by }) {
      const followUp = state.followUps.find((candidate) => candidate.item === item);
      const check = state.checks.find((candidate) => candidate.name === item && candidate.tickable);
      const open = state.gates.find(({ status }) => status === 'open');
      const listed = open?.items?.find((candidate) => candidate.item === item);
      if (listed) {
        if (listed.tickedBy !== undefined)
          throw refusal(`"${item}" is ticked already, by ${listed.tickedBy}.`);
        return () => {
          Object.assign(listed, { tickedBy: by, at: now() });
          return `Ticked: ${item}.`;
        };
      }
      if (!followUp && check) {
        if (check.status === 'pass')
          throw refusal(`"${item}" is ticked already${check.tickedBy ? `, by ${check.tickedBy}` : ''}.`);
        return () => {
          state.checks = state.checks.map((each) => (each === check ? ticked(check, by) : each));
          return `Ticked: ${item}.`;
        };
      }
      if (!followUp)
        throw refusal(
          `There is no follow-up "${item}". Follow-ups: ${state.followUps.map((candidate) => candidate.item).join(', ') || 'none'}.`,
        );
      if (followUp.doneBy !== undefined)
        throw refusal(`Follow-up "${item}" was ticked by ${followUp.doneBy}.`);
      return () => {
        followUp.doneBy = by;
        followUp.at = now();
        return `Ticked: ${item}.`;
      };
    },
    pause({ by }) {
      if (ENDED.includes(state.phase) || steering.undoing)
        throw refusal(`It can't be paused: it is ${state.phase}.`);
      if (steering.paused) throw refusal(`It was paused by ${steering.paused.by} already.`);
      return () => {
        steering.paused = { by };
        interrupt();
        return 'Pausing at the next checkpoint.';
      };
    },
    resume() {
      if (!steering.paused) throw refusal('It is not paused.');
      return () => {
        steering.paused = null;
        return 'Going on.';
      };
    },
    rollback: ({ by, note, acceptLoss }) => leave(by, note ?? `asked by ${by}`, acceptLoss),
    abort: ({ by, note, leaveAsIs }) => abort(by, note ?? `asked by ${by}`, leaveAsIs ?? false),
    ...changing(state, () => steering),
  };

  function hear<Name extends MessageName>(name: Name): void {
    const look = (raw: unknown): (() => string) => {
      const parsed = parseMessage(name, raw);
      if ('problem' in parsed)
        throw refusal(
          `${name}: ${parsed.problem}. It takes ${MESSAGES[name].slice(MESSAGES[name].indexOf('{'))}`,
        );
      return take[name](parsed.message);
    };
    const act = (raw: unknown): string => {
      const said = look(raw)();
      ledger.show();
      return said;
    };
    const description = MESSAGES[name];
    setHandler(defineUpdate<string, [unknown]>(name), act, {
      description,
      validator: (raw) => void look(raw),
    });
    setHandler(
      defineSignal<[unknown]>(name),
      (raw) => {
        try {
          act(raw);
        } catch (error) {
          ledger.refuse({
            what: name,
            by: speaker(raw),
            reason: error instanceof Error ? error.message : String(error),
          });
        }
      },
      { description },
    );
  }

  for (const name of Object.keys(MESSAGES) as MessageName[]) hear(name);
  setHandler(
    progressSignal,
    (progress) => {
      state.progress = progress;
      ledger.show();
    },
    { description: 'Sent by the activities: how far the running step is' },
  );
  setHandler(
    releaseSignal,
    ({ gate: name, by }) => {
      const gate = state.gates.find((candidate) => candidate.name === name && candidate.status === 'open');
      if (gate?.heldBy === undefined) return;
      gate.approvals.push({ by, at: now() });
      gate.status = 'approved';
      steering.inHand = name;
      ledger.show();
    },
    { description: 'Sent by the upgrade of which this is a part: a gate that it answers' },
  );
  setHandler(queries.state, () => state, {
    description: 'Where the upgrade is, what it waits for, and whether it can go back',
  });
  setHandler(queries.plan, () => steering.plan, { description: 'What it will do, step by step' });
  setHandler(queries.checks, () => state.checks, { description: 'The checklists, before and after' });
  setHandler(queries.progress, () => state.progress, { description: 'How far the running step is' });

  // A Cancel of the Temporal UI can't be refused by Temporal; here it is a request like the others.
  root.cancelRequested.catch(() => {
    try {
      leave('Temporal', 'cancelled in Temporal')();
    } catch (error) {
      ledger.refuse({
        what: 'cancel',
        by: 'Temporal',
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  });
  return steering;
}
