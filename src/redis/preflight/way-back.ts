/** Checks of the way back: whether the old server can follow the new one after the switch, for how long, and what would end that. */
import type { Check } from '../../contract.js';
import type { ServerFacts } from '../describe.js';
import { atLeast } from '../info.js';
import type { CoupleSurvey } from '../survey/index.js';
import { bytes, check, count, productOf } from './check.js';
import { NOT_TOLD, shownCommand, someOf } from './words.js';

export interface WayBackInput {
  source: ServerFacts;
  target: ServerFacts;
  /** RDB versions; null: not known. */
  formats: { targetWrites: number | null; sourceAccepts: readonly number[] | null };
  survey: CoupleSurvey;
  backlogBytes: number;
  /** What clients send to the source now. */
  bytesPerSecond: number;
  /** As the input says it. */
  linkDownFor: string;
}

/** How the old server can get what the new one holds: `whole` means that it may start from nothing. */
export type Return = 'whole' | 'whole while no hash field expires' | 'partial only' | 'not known';

/**
 * By the formats that both were asked for. A Valkey from 9 on writes a format of its own into files, but to a replica that doesn't
 * know it one that Redis 7.2 and Valkey 8 read, as long as no hash field expires (measured).
 */
export function returnOf({
  source,
  target,
  formats,
}: Pick<WayBackInput, 'source' | 'target' | 'formats'>): Return {
  const { targetWrites: writes, sourceAccepts: accepts } = formats;
  if (writes === null || accepts === null) return 'not known';
  if (accepts.includes(writes)) return 'whole';
  const speaksDown = target.product === 'valkey' && atLeast(target.version, '9.0');
  const understands =
    source.product === 'valkey' ? !atLeast(source.version, '9.0') : atLeast(source.redisVersion, '7.2');
  return speaksDown && understands ? 'whole while no hash field expires' : 'partial only';
}

/**
 * What an old server of before 6.2 silently does without while it follows a newer one: SET with an expiry goes to replicas as SET … PXAT,
 * which came with 6.2, and a 6.0 answers it with an error that it counts nowhere (measured behind 6.2 to 8.0 and Valkey 8.1 and 9).
 * Empty where it misses nothing of the kind.
 */
export function lostOnReturn({ source, target }: Pick<WayBackInput, 'source' | 'target'>): string {
  return !atLeast(source.redisVersion, '6.2') && atLeast(target.redisVersion, '6.2')
    ? `keys written with an expiry since the switch (SET … EX, SETEX): ${productOf(source)} does not understand how ${productOf(target)} replicates them`
    : '';
}

export function wayBack(input: WayBackInput): Check[] {
  return [comesBack(input), ...breaking(input), ...onlyThere(input), backlog(input)];
}

function comesBack(input: WayBackInput): Check {
  const { source, target, formats, linkDownFor } = input;
  const way = returnOf(input);
  const reads = `${productOf(source)} reads up to ${formats.sourceAccepts?.at(-1) ?? '?'}`;
  const writes = `${productOf(target)} writes RDB version ${formats.targetWrites ?? '?'}`;
  const limits = `the way back stays open while the link between both is never down for longer than about ${linkDownFor}, and the new server is not restarted. Past that there is none: copy back with redisCopy, which goes by value.`;
  const name = 'The old server can come back';
  const expected = 'it follows the new one, and can start anew from it';
  const lost = lostOnReturn(input);
  if (lost !== '')
    return check({
      name,
      expected,
      actual: `not with every write; it would lose ${lost}`,
      status: 'warn',
      next: 'Going back will ask for that to be accepted. To come back with everything, use redisCopy, which goes by value.',
    });
  switch (way) {
    case 'whole':
      return check({ name, expected, actual: `yes, also from nothing: ${writes}, ${reads}` });
    case 'whole while no hash field expires':
      return check({
        name,
        expected,
        actual: `yes, also from nothing, until the first hash field gets an expiry (HEXPIRE): ${writes}, and to a replica that is older what it understands`,
        status: 'warn',
        next: `Use HEXPIRE and its like only once the way back is closed. From the first one on: ${limits}`,
      });
    case 'partial only':
      return check({
        name,
        expected,
        actual: `by partial resync only, never from nothing: ${writes}, ${reads}`,
        status: 'warn',
        next: sentence(limits),
      });
    case 'not known':
      return check({
        name,
        expected,
        actual: 'not known: one of both does not let us ask for formats (RESTORE)',
        status: 'warn',
        next: `Take it for partial resync only: ${limits}`,
      });
  }
}

function sentence(words: string): string {
  return words.slice(0, 1).toUpperCase() + words.slice(1);
}

/**
 * What newer servers send to their replicas for a command that the old one knows too, and answers with an error then: its keys go
 * their own way, with the link up. Measured with some eighty commands of 6.2: a 6.2 behind 7.0, 7.2, 7.4, 8.0, Valkey 8.1 and 9 had this one,
 * a 7.0 behind 8.0 and Valkey 9, and a 7.2 and a Valkey 8.1 behind Valkey 9 none.
 */
const BREAKING: readonly {
  command: string;
  /** The old server is before this Redis version. */
  before: string;
  /** It happens from these versions of the new one on. */
  always: { redis: string; valkey: string };
  else: string;
  because: string;
}[] = [
  {
    command: 'xreadgroup',
    before: '7.0',
    always: { redis: '7.4', valkey: '8.0' },
    else: 'with NOACK ',
    because: 'is replicated as XGROUP SETID … ENTRIESREAD, which came with 7.0',
  },
];

function breaking({ source, target, survey }: WayBackInput): Check[] {
  const { calls } = survey.commands;
  const rules = BREAKING.filter(
    ({ before }) => !atLeast(source.redisVersion, before) && atLeast(target.redisVersion, before),
  );
  // Between newer versions nothing of the kind is known.
  if (rules.length === 0) return [];
  const found = rules.filter(({ command }) => (calls?.[command] ?? 0) > 0);
  const sure = found.filter(({ always }) => atLeast(target.version, always[target.product]));
  return [
    check({
      name: 'What is used keeps the way back open',
      expected: `no ${rules.map(({ command }) => shownCommand(command)).join(', ')}`,
      actual:
        calls === null
          ? NOT_TOLD
          : found.length === 0
            ? 'none seen'
            : found
                .map(
                  ({ command, because }) => `${shownCommand(command)}: ${because}; calls: ${calls[command]}`,
                )
                .join('; '),
      ...(calls === null
        ? { status: 'warn', next: 'Ask the owners of the applications.' }
        : sure.length > 0
          ? {
              status: 'fail',
              waivable: true,
              next: `The first ${sure.map(({ command }) => shownCommand(command)).join(', ')} behind the cutover ends the way back: ${productOf(source)} answers it with an error, and its consumer groups go their own way. Waive it to go without a way back, or go to 7.0 to 7.2 first.`,
            }
          : found.length > 0
            ? {
                status: 'warn',
                next: `Used ${found.map((rule) => rule.else).join('')}behind the cutover it ends the way back: the old server answers it with an error.`,
              }
            : {}),
    }),
  ];
}

function onlyThere({ source, survey }: WayBackInput): Check[] {
  const { onlyTarget } = survey.commands;
  return [
    check({
      name: 'Commands that only the target knows',
      expected: 'no writes, or nobody uses them while the way back is open',
      actual:
        onlyTarget === null
          ? NOT_TOLD
          : onlyTarget.total === 0
            ? 'none'
            : `${onlyTarget.total} that write: ${someOf(onlyTarget.names.map(shownCommand), onlyTarget.total)}`,
      ...(onlyTarget?.total === 0
        ? {}
        : {
            status: 'warn',
            next: `Roll out nothing that uses them, nor new arguments of old commands, before the way back is closed: ${productOf(source)} answers what it does not know with an error, and its keys differ from then on.`,
          }),
    }),
  ];
}

function backlog({ source, target, survey, backlogBytes, bytesPerSecond, linkDownFor }: WayBackInput): Check {
  const lasts = bytesPerSecond > 0 ? backlogBytes / bytesPerSecond : null;
  const short = [
    { facts: source, state: survey.source, more: 0 },
    // The copy comes on top of what it uses now.
    { facts: target, state: survey.target, more: source.usedMemory },
  ].filter(
    ({ state, more }) =>
      state.machineMemory > 0 && state.residentMemory + more + backlogBytes > state.machineMemory * 0.9,
  );
  return check({
    name: 'Backlog for the way back',
    expected: `enough for ${linkDownFor} without the link, in memory that both have`,
    actual: `${bytes(backlogBytes)}${lasts === null ? ', nothing is written now' : `, about ${lastingFor(lasts)} at the ${bytes(Math.round(bytesPerSecond))} a second that clients send now`}${
      short.length === 0
        ? ''
        : `; too much for ${short.map(({ facts, state }) => `${facts.shown}, whose machine has ${bytes(state.machineMemory)}`).join(' and ')}`
    }`,
    ...(short.length === 0
      ? {}
      : {
          status: 'fail',
          waivable: true,
          next: 'Give it more memory, or shorten `linkDownFor`, which sizes the backlog.',
        }),
  });
}

function lastingFor(seconds: number): string {
  for (const [unit, size] of [
    ['day', 86_400],
    ['hour', 3_600],
    ['minute', 60],
  ] as const)
    if (seconds >= size * 2) return count(Math.floor(seconds / size), unit);
  return count(Math.floor(seconds), 'second');
}
