/** The pre-flight checklist of a copy: a pure function of what was found. */
import type { Check, CheckStatus } from '../contract.js';
import type { RedisCopySettings } from '../inputs/redis-copy.js';
import type { DatabaseMap } from './address.js';
import type { ServerFacts } from './describe.js';
import type { FenceKind } from './fence.js';
import { atLeast } from './info.js';

export interface PreflightInput {
  source: ServerFacts;
  target: ServerFacts;
  settings: RedisCopySettings;
  /** RDB versions: the one that the source's DUMP writes, and those that the target's RESTORE takes. Null: not known. */
  formats: { sourceWrites: number | null; targetAccepts: readonly number[] | null };
  /** What is copied where; by default every database that holds keys, to the same number. */
  databases?: DatabaseMap | undefined;
  /** Name of our own connections (`ferry:<workflow ID>`), so that they aren't taken for another upgrade's. */
  own?: string | undefined;
  /** Titles of steps that an earlier run of this upgrade did and never undid, by its journal. */
  notUndone?: readonly string[] | undefined;
}

/** Every check of the list, always in the same order; each under a name that stays. */
export function preflightCopy(input: PreflightInput): Check[] {
  return [
    ...versions(input),
    ...kinds(input),
    ...targetTakesWrites(input),
    ...twoServers(input),
    ...nothingLeft(input),
    ...keys(input),
    ...format(input),
    ...memory(input),
    ...holding(input),
    ...sharing(input),
    ...surroundings(input),
  ];
}

/** Source database → target database; unless it is given, every one that holds keys, to the same number. */
function databaseMap({ source, settings, databases }: Looked): DatabaseMap {
  if (databases) return databases;
  if (settings.databases)
    return Object.entries(settings.databases).map(([from, to]) => [Number(from), to] as const);
  const numbers = Object.keys(source.databases).map(Number);
  return (numbers.length > 0 ? numbers : [0]).map((number) => [number, number] as const);
}

/** The numbers of one side: `0, 3`, or `0 to 15`. */
function listed(map: DatabaseMap, side: 0 | 1): string {
  const numbers = map.map((pair) => pair[side]).toSorted((a, b) => a - b);
  const [first = 0, last = 0] = [numbers[0], numbers.at(-1)];
  return numbers.length > 3 && last - first === numbers.length - 1
    ? `${first} to ${last}`
    : numbers.join(', ') || 'any';
}

type Looked = Pick<PreflightInput, 'source' | 'settings' | 'databases'>;

export function isSameServer(a: ServerFacts, b: ServerFacts): boolean {
  return (
    (a.runId !== '' && a.runId === b.runId) || a.resolved.some((address) => b.resolved.includes(address))
  );
}

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

function versions({ source, target }: PreflightInput): Check[] {
  const old = [source, target].filter(({ redisVersion }) => !atLeast(redisVersion, '6.0'));
  const older = source.product === target.product && !atLeast(target.version, source.version);
  return [
    check({
      name: 'Versions',
      expected: 'Redis 6.0 or later, or Valkey, and a target not older than the source',
      actual: `${productOf(source)} → ${productOf(target)}`,
      ...(old.length > 0 || older
        ? {
            status: 'warn',
            next:
              old.length > 0
                ? 'Redis Ferry was never tried with versions before 6.0. Rehearse with a copy.'
                : 'Going to an older version: rehearse it with the application.',
          }
        : {}),
    }),
  ];
}

function kinds({ source, target, settings }: PreflightInput): Check[] {
  const single = (title: string, facts: ServerFacts): Check =>
    check({
      name: `${title} is a single server`,
      expected: 'standalone',
      actual: facts.mode,
      ...(facts.mode === 'standalone'
        ? {}
        : {
            status: 'fail',
            next:
              facts.mode === 'cluster'
                ? 'Redis Ferry moves single servers. Move each shard by itself.'
                : 'Give the address of the primary that this Sentinel watches.',
          }),
    });
  const replica = source.role === 'replica';
  return [
    single('Source', source),
    single('Target', target),
    check({
      name: 'Source is a primary',
      expected: 'a primary, where writes can be stopped',
      actual: replica ? `a replica of ${source.primary ?? 'another server'}` : source.role,
      ...(replica
        ? {
            // Writes go to its primary: only whoever stops the application there can know that nothing is missing here.
            status: settings.repoint ? 'fail' : 'warn',
            waivable: settings.writes === 'stopped',
            next: `Give the address of its primary (${source.primary ?? 'see INFO replication'}).`,
          }
        : {}),
    }),
  ];
}

function targetTakesWrites({ target }: PreflightInput): Check[] {
  const name = 'Target takes writes';
  const expected = 'a primary that takes writes';
  if (target.role !== 'primary') {
    return [
      check({
        name,
        expected,
        actual: `a replica of ${target.primary ?? 'another server'}`,
        status: 'fail',
        next: 'Give the address of its primary, or make it one (REPLICAOF NO ONE).',
      }),
    ];
  }
  if (target.fenced)
    return [check({ name, expected, actual: 'it is fenced by Redis Ferry', status: 'fail', next: RECOVER })];
  const wants = target.minReplicasToWrite ?? 0;
  if (wants > target.replicas.length) {
    return [
      check({
        name,
        expected,
        actual: `min-replicas-to-write asks for ${wants}, and it has ${count(target.replicas.length, 'replica')}`,
        status: 'fail',
        next: 'Attach its replicas, or CONFIG SET min-replicas-to-write 0.',
      }),
    ];
  }
  const broken =
    target.persistence.rdbLastSave === 'err' && target.settings?.['stop-writes-on-bgsave-error'] !== 'no';
  if (broken)
    return [
      check({
        name,
        expected,
        actual: 'its last save to disk failed, so it refuses writes',
        status: 'fail',
        next: 'Look at its log and its disk, then BGSAVE.',
      }),
    ];
  if (!target.can.restore) {
    return [
      check({
        name,
        expected,
        actual: `RESTORE is not permitted: ${target.why.restore ?? ''}`,
        status: 'fail',
        next: 'Grant RESTORE to the user of the target.',
      }),
    ];
  }
  return [check({ name, expected, actual: 'a primary' })];
}

function twoServers(input: PreflightInput): Check[] {
  const { source, target } = input;
  const same = isSameServer(source, target);
  const map = databaseMap(input);
  const both = map.filter(([from]) => map.some(([, to]) => to === from)).map(([from]) => from);
  const clash = same && both.length > 0;
  return [
    check({
      name: 'Two different places',
      expected: 'another server, or other databases of the same one',
      actual: clash
        ? `the same server (run_id ${source.runId.slice(0, 8)}…), and database ${both.join(', ')} on both sides`
        : same
          ? 'one server, other databases'
          : 'two servers',
      ...(clash
        ? {
            status: 'fail',
            next: 'Give a target that is another server, or map to databases that are not copied themselves.',
          }
        : {}),
    }),
  ];
}

const RECOVER =
  'Run `ferry recover` to put back what an earlier upgrade left, or wait until the other one has ended.';

function nothingLeft({ source, target, own, notUndone = [] }: PreflightInput): Check[] {
  const left = [source, target].flatMap((facts) => [
    ...(facts.fenced ? [`${facts.shown} is fenced (${facts.fenced})`] : []),
    ...[...new Set(facts.ferryClients)]
      .filter((name) => own === undefined || (name !== own && !name.startsWith(`${own}:`)))
      .map((name) => `${facts.shown} has a connection named ${name}`),
  ]);
  return [
    check({
      name: 'Nothing is left of an earlier run',
      expected: 'no fence and no connection of another upgrade',
      actual: left.length + notUndone.length > 0 ? [...left, ...notUndone.map((title) => `"${title}" was done and never undone`)].join('; ') : 'none',
      ...(left.length + notUndone.length > 0 ? { status: 'fail', next: RECOVER } : {}),
    }),
  ];
}

function keys(input: PreflightInput): Check[] {
  const { source, target, settings } = input;
  const map = databaseMap(input);
  const empty = map.filter(([from]) => (source.databases[from]?.keys ?? 0) === 0).map(([from]) => from);
  const held = map.flatMap(([, to]) => {
    const found = target.databases[to]?.keys ?? 0;
    return found > 0 ? [`database ${to} has ${count(found, 'key')}`] : [];
  });
  const beyond =
    target.databaseCount === null
      ? []
      : map.filter(([, to]) => to >= (target.databaseCount ?? 0)).map(([, to]) => to);
  const unknown = target.databaseCount === null && map.some(([, to]) => to > 0);
  const refuse = settings.ifTargetHasKeys === 'refuse';
  const numbers = listed(map, 1);
  return [
    check({
      name: 'Source holds keys',
      expected: `keys in database ${listed(settings.databases ? map : map.filter(([from]) => !empty.includes(from)), 0)}`,
      actual:
        map
          .filter(([from]) => settings.databases || !empty.includes(from))
          .map(([from]) => `database ${from}: ${count(source.databases[from]?.keys ?? 0, 'key')}`)
          .join('; ') || 'none',
      // An empty database that nobody asked for is no news.
      ...(empty.length > 0 && (settings.databases || empty.length === map.length)
        ? { status: 'warn', next: `Database ${empty.join(', ')} is empty: is it the right one?` }
        : {}),
    }),
    check({
      name: 'Target is empty',
      expected: refuse
        ? `no keys in database ${numbers}`
        : `any (ifTargetHasKeys: ${settings.ifTargetHasKeys})`,
      actual: held.length > 0 ? held.join('; ') : 'empty',
      ...(held.length === 0
        ? {}
        : refuse
          ? {
              status: 'fail',
              next: 'Empty it (FLUSHDB there, once you are sure), map to other databases, or choose `ifTargetHasKeys`: "replace" or "skip".',
            }
          : {
              status: 'warn',
              next:
                settings.ifTargetHasKeys === 'replace'
                  ? 'Keys of the same name will be replaced; going back does not bring them back.'
                  : 'Keys of the same name are left as they are, and count as differences when they differ.',
            }),
    }),
    check({
      name: 'Databases exist on the target',
      expected: `database ${numbers}`,
      actual:
        target.databaseCount === null
          ? 'not known: CONFIG GET is not permitted'
          : count(target.databaseCount, 'database'),
      ...(beyond.length > 0
        ? {
            status: 'fail',
            next: `The target has no database ${beyond.join(', ')}: map to lower numbers, or raise \`databases\` in its configuration and restart it.`,
          }
        : unknown
          ? { status: 'warn', next: 'Managed servers often have database 0 only: look at its documentation.' }
          : {}),
    }),
  ];
}

function format({ formats, source, target }: PreflightInput): Check[] {
  const { sourceWrites: writes, targetAccepts: accepts } = formats;
  const refused = writes !== null && accepts !== null && !accepts.includes(writes);
  return [
    check({
      name: 'Format is accepted',
      expected:
        writes === null
          ? 'a format that the target reads'
          : `RDB version ${writes}, which ${productOf(source)} writes`,
      actual:
        accepts === null
          ? 'not known'
          : `${productOf(target)} reads up to ${accepts.at(-1) ?? 'nothing'}${refused ? `, but not ${writes}` : ''}`,
      ...(refused
        ? {
            status: 'fail',
            next: "The target can't read this source's format. Choose a newer target of the same product.",
          }
        : writes === null || accepts === null
          ? {
              status: 'warn',
              next: 'It shows at the first key. Make sure that the target is not older than the source.',
            }
          : {}),
    }),
  ];
}

function memory(input: PreflightInput): Check[] {
  const { source, target } = input;
  const map = databaseMap(input);
  const all = Object.values(source.databases).reduce((sum, { keys: held }) => sum + held, 0);
  const ours = map.reduce((sum, [from]) => sum + (source.databases[from]?.keys ?? 0), 0);
  // What one key takes isn't known, so a database's share is taken to be its share of the keys.
  const needed = all === 0 ? 0 : Math.round((source.usedMemory * ours) / all);
  const limited = target.maxmemory > 0;
  const room = limited ? Math.max(0, target.maxmemory - target.usedMemory) : Number.POSITIVE_INFINITY;
  const fits = needed <= room;
  const evicting = limited && evicts(target.maxmemoryPolicy);
  // A cache on both sides with plenty of room is what its owner is used to.
  const usual = source.maxmemoryPolicy === target.maxmemoryPolicy && room >= needed * 2;
  const roomText = limited
    ? `${bytes(room)} free of ${bytes(target.maxmemory)}`
    : 'no limit set (maxmemory 0)';
  return [
    check({
      name: 'Target has room',
      expected: `about ${bytes(needed)}`,
      actual: roomText,
      ...(fits
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'Raise maxmemory of the target. Waive it when you know that the keys take less there.',
          }),
    }),
    check({
      name: 'Target evicts nothing',
      expected: 'maxmemory-policy noeviction, or no memory limit',
      actual: limited ? `${target.maxmemoryPolicy}, ${roomText}` : roomText,
      ...(evicting
        ? {
            status: fits && usual ? 'warn' : 'fail',
            waivable: fits,
            next: `It throws keys away when it is full, copied ones too. CONFIG SET maxmemory-policy noeviction until the upgrade has ended${fits ? '' : ', and raise maxmemory'}.`,
          }
        : {}),
    }),
    check({
      name: 'Source evicts nothing',
      expected: 'no eviction',
      actual:
        source.maxmemory > 0
          ? `${source.maxmemoryPolicy}, ${count(source.evictedKeys, 'key')} evicted since it started`
          : 'no limit set (maxmemory 0)',
      ...(source.maxmemory > 0 && evicts(source.maxmemoryPolicy) && source.evictedKeys > 0
        ? { status: 'warn', next: 'Keys that it evicts on the way are deleted at the target too.' }
        : {}),
    }),
  ];
}

function evicts(policy: string): boolean {
  return policy.startsWith('allkeys-') || policy.startsWith('volatile-');
}

function holding(input: PreflightInput): Check[] {
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
      actual: followed ? 'CLIENT TRACKING' : `CLIENT TRACKING is not permitted: ${source.why.tracking ?? ''}`,
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

function sharing(input: PreflightInput): Check[] {
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

function surroundings({ source, target, settings }: PreflightInput): Check[] {
  const apart =
    source.clockSkewMs === null || target.clockSkewMs === null
      ? null
      : Math.abs(source.clockSkewMs - target.clockSkewMs);
  const differences =
    source.settings && target.settings ? settingsDiff(source.settings, target.settings) : null;
  const volatile = !saves(target) && saves(source);
  const fewer = source.replicas.length > target.replicas.length;
  return [
    missing({
      name: 'Modules',
      what: 'module',
      source: source.modules,
      target: target.modules,
      next: 'Load them on the target: values of their types can not be restored without.',
    }),
    missing({
      name: 'Functions',
      what: 'function library',
      source: source.functions,
      target: target.functions,
      next: 'Copy them (FUNCTION DUMP there, FUNCTION RESTORE here): functions are no keys.',
    }),
    check({
      name: 'Settings agree',
      expected: 'the settings of the source',
      actual:
        differences === null
          ? 'not known: CONFIG GET is not permitted'
          : differences.length === 0
            ? 'alike'
            : differences
                .map(({ setting, source: from, target: to }) => `${setting}: ${from} → ${to}`)
                .join('; '),
      ...(differences?.length
        ? { status: 'warn', next: 'Settings are not copied. Set what the application relies on.' }
        : {}),
    }),
    check({
      name: 'Target saves to disk',
      expected: saves(source) ? 'AOF or RDB, as the source does' : 'like the source, which does not save',
      actual: target.persistence.aof
        ? 'AOF'
        : target.persistence.save === null
          ? 'not known: CONFIG GET is not permitted'
          : target.persistence.save === ''
            ? 'off'
            : `RDB (save ${target.persistence.save})`,
      ...(volatile
        ? { status: 'warn', next: 'A restart of the target loses everything. Set appendonly or save there.' }
        : {}),
    }),
    check({
      name: 'Target has replicas',
      expected:
        source.replicas.length > 0 ? `${source.replicas.length}, as the source has` : 'none, like the source',
      actual: String(target.replicas.length),
      ...(fewer
        ? {
            status: 'warn',
            next: `Replicas of the source do not follow to the target. Attach them there${source.fence === 'replica-of-itself' ? '; they also lose their link while the source is fenced' : ''}.`,
          }
        : {}),
    }),
    check({
      name: 'Clocks agree',
      expected: 'source and target within 1 s',
      actual: apart === null ? 'not known: TIME is not permitted' : `${apart} ms apart`,
      ...(apart !== null && apart > 1_000
        ? { status: 'warn', next: 'Keys expire by the clock of their server: correct the clocks (NTP).' }
        : {}),
    }),
    check({
      name: 'Somebody is notified',
      expected: 'notify',
      actual: settings.notify ? 'a webhook' : 'nobody',
      ...(settings.notify
        ? {}
        : { status: 'warn', next: 'Give `notify`, or stay at the screen: it waits for people.' }),
    }),
  ];
}

/** Not knowing counts as saving: the check warns of what is known. */
function saves({ persistence }: ServerFacts): boolean {
  return persistence.aof || persistence.save !== '';
}

function missing(input: {
  name: string;
  what: string;
  source: string[] | null;
  target: string[] | null;
  next: string;
}): Check {
  const { name, what, source, target, next } = input;
  const there = new Set(target?.map((entry) => entry.toLowerCase()));
  const lacks = source && target ? source.filter((entry) => !there.has(entry.toLowerCase())) : [];
  return check({
    name,
    expected:
      source === null ? `every ${what} of the source` : source.length > 0 ? source.join(', ') : 'none needed',
    actual:
      source === null || target === null
        ? 'not known: not permitted to ask'
        : lacks.length > 0
          ? `missing: ${lacks.join(', ')}`
          : 'nothing is missing',
    ...(lacks.length > 0 ? { status: 'fail', waivable: true, next } : {}),
  });
}

export interface SettingDifference {
  setting: string;
  source: string;
  target: string;
}

/** Fewer databases are a check of their own, and more are no difference to anybody. */
const NOT_COMPARED = new Set(['databases']);

export function settingsDiff(
  source: Record<string, string>,
  target: Record<string, string>,
): SettingDifference[] {
  return Object.keys(source)
    .filter(
      (setting) => setting in target && source[setting] !== target[setting] && !NOT_COMPARED.has(setting),
    )
    .toSorted()
    .map((setting) => ({ setting, source: source[setting] || '""', target: target[setting] || '""' }));
}

type Failing = { status?: CheckStatus; next?: string; waivable?: boolean };

/** Passes unless it is told otherwise. Only a failed check can be waivable. */
function check(input: { name: string; expected: string; actual: string } & Failing): Check {
  const { name, expected, actual, status = 'pass', waivable = false, next } = input;
  return {
    name,
    status,
    expected,
    actual,
    ...(next !== undefined && status !== 'pass' ? { next } : {}),
    waivable: waivable && status === 'fail',
  };
}

function productOf({ product, version }: ServerFacts): string {
  return `${product === 'valkey' ? 'Valkey' : 'Redis'} ${version}`;
}

function count(n: number, what: string): string {
  const words =
    n === 1 ? what : what.endsWith('y') && !what.endsWith('key') ? `${what.slice(0, -1)}ies` : `${what}s`;
  return `${n.toLocaleString('en')} ${words}`;
}

function bytes(n: number): string {
  for (const [unit, size] of [
    ['GB', 1024 ** 3],
    ['MB', 1024 ** 2],
    ['kB', 1024],
  ] as const) {
    if (n >= size) return `${(n / size).toFixed(n >= size * 10 ? 0 : 1)} ${unit}`;
  }
  return `${n} B`;
}
