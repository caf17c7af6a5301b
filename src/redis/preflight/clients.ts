/** What the clients of today would live through in the switch, told before anybody approves it. */
import type { Check } from '../../contract.js';
import type { ServerFacts } from '../describe.js';
import type { Habits } from '../survey/clients.js';
import { check, count } from './check.js';
import { libraryOf } from './libraries.js';
import { NOT_TOLD, shownCommand, someOf } from './words.js';

const GENERAL =
  'Look up in the documentation of their libraries how long they wait before they connect again (keep it short for the switch), and whether they send again what had no answer (a write that was run may then be run twice)';

export function clientsReady({ source, habits }: { source: ServerFacts; habits: Habits | null }): Check {
  const name = 'Clients';
  const expected = 'clients that connect again by themselves, soon';
  if (habits === null)
    return check({
      name,
      expected,
      actual: `${NOT_TOLD} ${source.shown} for CLIENT LIST`,
      status: 'warn',
      next: `Their connections are closed in the switch. ${GENERAL}.`,
    });
  if (habits.total === 0) return check({ name, expected, actual: 'no client is connected' });
  return check({
    name,
    expected,
    actual: [
      `${count(habits.total, 'connection')}: ${who(habits)}`,
      ...doing(habits),
      ...(source.replicas.length > 0 ? [`besides ${count(source.replicas.length, 'replica')}`] : []),
    ].join('; '),
    status: 'warn',
    next: [
      'Writes wait for a moment, then these connections are closed and connect again where they are sent.',
      ...advice(habits),
    ].join(' '),
  });
}

function who({ libraries, tellsLibraries }: Habits): string {
  if (!tellsLibraries) return 'by which library is not known: the server tells it from 7.2 on';
  return someOf(
    libraries.map(({ name, versions, clients }) =>
      name === ''
        ? `${clients} of a library that does not say its name`
        : `${clients} ${[libraryOf(name)?.shown ?? name, ...versions.slice(0, 3)].join(' ')}`,
    ),
  );
}

function doing(habits: Habits): string[] {
  const waiting = Object.entries(habits.waiting).map(([name, n]) => `${n} in ${shownCommand(name)}`);
  return [
    ...(waiting.length > 0 ? [`waiting: ${someOf(waiting)}`] : []),
    ...(habits.subscribers > 0 ? [count(habits.subscribers, 'subscriber')] : []),
    ...(habits.inTransaction > 0 ? [`${habits.inTransaction} between MULTI and EXEC`] : []),
    ...(habits.watching > 0 ? [`${habits.watching} with WATCH`] : []),
    ...(habits.tracking > 0 ? [`${habits.tracking} with client-side caching`] : []),
    ...(habits.monitors > 0 ? [`${habits.monitors} in MONITOR`] : []),
  ];
}

function advice(habits: Habits): string[] {
  const known = [
    ...new Map(
      habits.libraries.flatMap(({ name }) => {
        const library = libraryOf(name);
        return library ? [[library.lib, library] as const] : [];
      }),
    ).values(),
  ];
  const others = !habits.tellsLibraries || habits.libraries.some(({ name }) => !libraryOf(name));
  const waits = Object.keys(habits.waiting).length > 0;
  return [
    ...known.map(({ shown, says }) => `${shown} ${says}.`),
    ...(others ? [`${known.length > 0 ? 'Of the others: l' : 'L'}${GENERAL.slice(1)}.`] : []),
    ...(waits
      ? [
          'Who waits in a blocking command gets a closed connection instead of an answer, and has to ask again.',
        ]
      : []),
    ...(habits.subscribers > 0
      ? [
          'Subscribers miss what is published until they have subscribed again: see that their library does so.',
        ]
      : []),
    ...(habits.inTransaction + habits.watching > 0
      ? ['A transaction under way is lost as a whole (nothing of it is run) and has to be begun again.']
      : []),
    ...(habits.tracking > 0
      ? ['A client-side cache must be emptied when the connection is lost: see that its library does so.']
      : []),
  ];
}
