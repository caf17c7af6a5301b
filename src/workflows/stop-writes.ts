/** The application is stopped and started by what the input names: its two steps. */
import type { Action } from '../inputs/refs.js';
import { acts, call, changes } from '../runbook/acts.js';
import type { WriteStep } from '../runbook/api.js';
import { action, actionByHand } from './redis-copy-words.js';

type Step = WriteStep<object>;

/** Null where the input names none. */
export function stopTheApplication(input: {
  name: string;
  stopWrites?: Action | undefined;
  startWrites?: Action | undefined;
}): { stop: Step; start: Step } | null {
  const { name, stopWrites, startWrites } = input;
  if (!stopWrites || !startWrites) return null;
  const stopping = { action: stopWrites, label: 'stopWrites', event: 'stop-writes', name };
  const starting = { action: startWrites, label: 'startWrites', event: 'start-writes', name };
  return {
    stop: {
      does: [action(stopWrites)],
      foresee: {},
      impact: 'the application does not write',
      undo: {
        says: `let the application write again: ${action(startWrites)}`,
        call: call('runAction', starting),
        byHand: actionByHand(startWrites, 'start-writes'),
      },
      do: () => acts(changes, 'Stop the application writing').runAction(stopping),
    },
    start: {
      does: [action(startWrites)],
      foresee: {},
      undo: {
        says: `stop the application writing while it goes back: ${action(stopWrites)}`,
        call: call('runAction', stopping),
        byHand: actionByHand(stopWrites, 'stop-writes'),
        brings: { what: 'the application does not write', step: 'Stop the application writing' },
      },
      do: () => acts(changes, 'Let the application write again').runAction(starting),
      relieves: 'Stop the application writing',
    },
  };
}
