/** What `rehearsal` says: the sentences of its plan and its receipt, and its checks. */
import type { Staging } from '../activities/rehearsing.js';
import { workflowIdOf, type Check, type FleetRow } from '../contract.js';
import type { RehearsalSettings } from '../inputs/rehearsal.js';
import type { Pass } from './rehearsal-pass.js';

export function rowsOf({ strategy, input, complete }: RehearsalSettings): FleetRow[] {
  const row = {
    name: input.name,
    strategy,
    workflowId: workflowIdOf(strategy, input.name),
    status: 'planned',
  } as const;
  return [{ ...row, wave: 'There and back' }, ...(complete ? [{ ...row, wave: 'To the end' }] : [])];
}

export function checks({ strategy, input, notify }: RehearsalSettings, { last, byPeople }: Staging): Check[] {
  const workflowId = workflowIdOf(strategy, input.name);
  const running = last === 'running';
  return [
    {
      name: 'The staging target is free',
      status: running ? 'fail' : 'pass',
      expected: 'no upgrade of it runs',
      actual: running ? `${workflowId} runs` : 'none runs',
      waivable: false,
      ...(running ? { next: 'Wait until it has ended, or give the staging target a name of its own.' } : {}),
    },
    {
      name: 'It is a staging target',
      status: byPeople && !running ? 'fail' : 'pass',
      expected: 'a name that only rehearsals have upgraded',
      actual: byPeople ? `people have started ${workflowId}` : 'no upgrade of it was started by people',
      waivable: true,
      ...(byPeople
        ? { next: 'Give the staging target a name of its own; or waive it, where it is one.' }
        : {}),
    },
    {
      name: 'Somebody is told',
      status: notify === undefined ? 'warn' : 'pass',
      expected: 'a webhook (notify)',
      actual: notify === undefined ? 'nobody is: look at it with `ferry state --watch`' : 'a webhook',
      waivable: false,
    },
  ];
}

export function startQuestion({ strategy, input, complete }: RehearsalSettings): string {
  return `${input.name} is a staging target, which nobody needs meanwhile? ${strategy} of it goes forward through the cutover, back${complete ? ', and forward to the end' : ''}, and the rehearsal approves every gate of it`;
}

export function thereSays({ strategy, input }: RehearsalSettings): string[] {
  return [
    `${strategy} of ${input.name}, through the cutover, with every gate approved`,
    'go back once the cutover is behind it, although writes to the staging target may be lost by that',
  ];
}

export function endSays({ strategy, input }: RehearsalSettings): string[] {
  return [
    `${strategy} of ${input.name} once more, to the end, with every gate approved: also what can't be undone there`,
  ];
}

export function outcomeOf({ receipt, noWayBack }: Pass): string {
  return `${receipt.outcome} after ${receipt.seconds} s${noWayBack === null ? '' : `; no way back: ${noWayBack}`}`;
}
