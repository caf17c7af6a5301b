/** Checks of the writes: whether they can be held at the source, and who else would be stopped by that. */
import type { Check } from '../../contract.js';
import type { FenceKind } from '../fence.js';
import {
  type PreflightInput,
  type Looked,
  databaseMap,
  listed,
  type Failing,
  check,
  count,
} from './check.js';
import { isSameServer } from './places.js';

/** How the source's writes are stopped for the last pass, and kept from it afterwards. */
export interface Hold {
  /** Clients' writes wait. */
  pause: boolean;
  /** Clients' writes are refused. */
  fence: FenceKind | null;
  /** Why it is no better; empty when both are possible. */
  why: string;
}

/**
 * What can stop writes on the source. Both are server-wide: on one and the same server they would stop our own writes to the
 * target. Other applications of a shared one can bear a pause, which is short, where nothing else stops this one's writes; not a
 * fence, which stands until the end.
 */
export function holdOf(input: Looked & Pick<PreflightInput, 'target'>): Hold {
  const { source, target, settings } = input;
  if (isSameServer(source, target))
    return {
      pause: false,
      fence: null,
      why: 'source and target are one server, so its pause would hold the copy too',
    };
  const shared = otherUsers(input).length > 0 || stayBehind(input).length > 0;
  if (shared && settings.writes === 'stopped')
    return { pause: false, fence: null, why: 'neither pause nor fence, since others use the source' };
  const why = [
    source.can.pauseWrites ? '' : `no pause: ${source.why.pauseWrites ?? 'not permitted'}`,
    source.fence === null
      ? `no fence: ${source.why.configSet ?? source.why.configGet ?? source.why.replicaOf ?? 'not permitted'}`
      : shared
        ? 'no fence, since others use the source'
        : '',
  ];
  return {
    pause: source.can.pauseWrites,
    fence: shared ? null : source.fence,
    why: why.filter(Boolean).join('; '),
  };
}

/** What stays on the source: names without counts, which are the same for days and so may stand in a plan. */
export function stayBehind(looked: Looked): string[] {
  const ours = new Set(databaseMap(looked).map(([from]) => String(from)));
  const others = Object.entries(looked.source.databases).filter(
    ([number, { keys: held }]) => held > 0 && !ours.has(number),
  );
  return [
    ...(looked.settings.match === '*' ? [] : [`keys that do not match ${looked.settings.match}`]),
    ...others.map(([number]) => `database ${number}`),
  ];
}

/** Who else uses the source, by database: sentences. */
function otherUsers(looked: Looked): string[] {
  const { source } = looked;
  const ours = new Set(databaseMap(looked).map(([from]) => String(from)));
  const numbers = new Set([
    ...Object.keys(source.databases),
    ...Object.keys(source.clients?.byDatabase ?? {}),
  ]);
  return [...numbers]
    .filter((number) => !ours.has(number))
    .flatMap((number) => {
      const [held, clients] = [source.databases[number]?.keys ?? 0, source.clients?.byDatabase[number] ?? 0];
      // A client that has chosen no database yet stands in 0, where a monitor stands as well.
      if (held === 0 && (clients === 0 || number === '0')) return [];
      return [`database ${number} has ${count(held, 'key')} and ${count(clients, 'client')}`];
    });
}

export function holding(input: PreflightInput): Check[] {
  const { source, settings } = input;
  const hold = holdOf(input);
  const running = settings.writes === 'running';
  const switches = settings.repoint !== undefined;
  // What may be lost is accepted by name in the input, or not at all.
  const loss = (next: string): Failing =>
    settings.acceptLoss
      ? { status: 'warn', next: `Accepted by acceptLoss: ${next}` }
      : { status: 'fail', next: `${next} Choose writes: "stopped", or accept it with acceptLoss: true.` };
  const followed = source.can.tracking;
  return [
    check({
      name: 'Changes can be followed',
      expected: running
        ? 'CLIENT TRACKING, to copy again what changes meanwhile'
        : 'not needed: the application is stopped for the last pass',
      actual: followed ? 'CLIENT TRACKING' : `no CLIENT TRACKING: ${source.why.tracking ?? 'not permitted'}`,
      ...(followed || !switches
        ? {}
        : running
          ? loss('Writes made during the copy may be lost.')
          : { status: 'warn', next: 'The last pass compares every key instead, which takes longer.' }),
    }),
    check({
      name: 'Writes can be held',
      expected: running
        ? 'a pause for the last pass, and a fence after it'
        : 'a fence against programs that were not stopped',
      actual:
        [hold.pause ? 'pause' : '', hold.fence ? `fence (${hold.fence})` : ''].filter(Boolean).join(' and ') +
        (hold.why ? `${hold.pause || hold.fence ? '; ' : ''}${hold.why}` : ''),
      ...(!switches || (hold.fence && hold.pause)
        ? {}
        : hold.fence
          ? running
            ? {
                status: 'warn',
                next: 'During the last pass writes are refused with an error instead of waiting.',
              }
            : {}
          : running
            ? loss(
                hold.pause
                  ? 'A program that keeps the old address goes on writing to the source after the switch, and those writes are lost.'
                  : 'Writes made in the last moments may be lost.',
              )
            : {
                status: 'warn',
                next: 'A program that stopWrites does not stop is only noticed, not stopped.',
              }),
    }),
    ...(settings.cleanup
      ? [
          check({
            name: 'Clean-up can be proven safe',
            expected: 'a fence, which shows that the source is as it was compared',
            actual: hold.fence ? `fence (${hold.fence})` : `no fence: ${hold.why}`,
            ...(hold.fence
              ? {}
              : {
                  status: 'fail',
                  next: 'Start without `cleanup`, and delete the keys by hand once you are sure that nobody uses them.',
                }),
          }),
        ]
      : []),
  ];
}

export function sharing(input: PreflightInput): Check[] {
  const { source, target, settings } = input;
  const others = otherUsers(input);
  const hold = holdOf(input);
  const stops = settings.repoint !== undefined && (hold.pause || hold.fence !== null);
  const targets = databaseMap(input).map(([, to]) => to);
  const users = isSameServer(source, target)
    ? 0
    : targets.reduce((sum, to) => sum + (target.clients?.byDatabase[to] ?? 0), 0);
  return [
    check({
      name: 'Only this application uses the source',
      expected: 'no keys and no clients in other databases',
      actual:
        others.length > 0
          ? others.join('; ')
          : source.clients
            ? 'none'
            : 'no keys there; clients are not known (CLIENT LIST is not permitted)',
      ...(others.length === 0
        ? {}
        : stops
          ? {
              status: 'warn',
              next: `A pause is server-wide: their writes wait too, for at most ${settings.maxPause}. With writes: "stopped" there is none.`,
            }
          : {
              status: 'warn',
              next: 'They go on undisturbed; so would a program of this application that was not stopped.',
            }),
    }),
    check({
      name: 'No Sentinel watches the source',
      expected: 'no Sentinel',
      actual: source.sentinels > 0 ? `${count(source.sentinels, 'connection')} of Sentinels` : 'none seen',
      ...(source.sentinels === 0
        ? {}
        : source.fence === 'replica-of-itself' && stops
          ? {
              status: 'fail',
              waivable: true,
              next: 'Fenced, this version reports itself as a replica, and its Sentinels would promote another. SENTINEL REMOVE it first.',
            }
          : {
              status: 'warn',
              next: 'Sentinels do not follow to the target: applications that ask them keep getting the source.',
            }),
    }),
    check({
      name: 'Nobody uses the target',
      expected: `no clients in database ${listed(databaseMap(input), 1)}`,
      actual: target.clients ? count(users, 'client') : 'not known: CLIENT LIST is not permitted',
      ...(users > 0
        ? { status: 'warn', next: 'What they write before the switch is replaced, or shows as a difference.' }
        : {}),
    }),
  ];
}
