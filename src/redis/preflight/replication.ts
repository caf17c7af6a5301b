/** The pre-flight checklist of a replication and a handover: a pure function of what was found. */
import type { Check } from '../../contract.js';
import type { ServerFacts } from '../describe.js';
import { atLeast } from '../info.js';
import { bytes, check, count, productOf } from './check.js';
import { lackingModules } from '../contents.js';
import type { SentinelsSeen } from '../sentinel.js';
import { isSameServer } from './places.js';
import { clocksAgree, somebodyIsNotified } from './settings.js';
import type { CoupleSurvey } from '../survey/index.js';
import { clientsReady } from './clients.js';
import { someoneElse, sourceSaves } from './hands.js';
import { settingsKept } from './kept-settings.js';
import { usage } from './usage.js';
import { sentinelsAgree } from './sentinels.js';
import { notesOnTheWay } from './version-notes.js';
import { wayBack } from './way-back.js';

export interface ReplicationInput {
  source: ServerFacts;
  target: ServerFacts;
  /** RDB versions: those that each writes, and those that each reads. Null: not known. */
  formats: {
    sourceWrites: number | null;
    targetAccepts: readonly number[] | null;
    targetWrites: number | null;
    sourceAccepts: readonly number[] | null;
  };
  survey: CoupleSurvey;
  ifTargetHasKeys: 'refuse' | 'replace';
  /** Sentinels that are to be told; null: the applications don't ask any. */
  watchers: SentinelsSeen | null;
  /** Milliseconds. */
  maxPauseMs: number;
  /** What is kept for the way back. */
  backlogBytes: number;
  /** What clients send to the source now. */
  bytesPerSecond: number;
  /** For how long the link may be down, as the input says it. */
  linkDownFor: string;
  notified: boolean;
  /** Name of our own connections. */
  own: string;
  /** Titles of steps that an earlier run did and never undid, by its journal. */
  notUndone: readonly string[];
}

export function preflightReplication(input: ReplicationInput): Check[] {
  return [
    ...places(input),
    ...replication(input),
    ...sentinelsAgree(input),
    ...wayBack(input),
    ...room(input),
    ...usage(input),
    notesOnTheWay(input),
    clientsReady({ source: input.source, habits: input.survey.clients }),
    ...surroundings(input),
  ];
}

function places({ source, target, own, notUndone, ifTargetHasKeys }: ReplicationInput): Check[] {
  const keys = Object.values(target.databases).reduce((sum, { keys: held }) => sum + held, 0);
  const left = [source, target].flatMap((facts) =>
    [...new Set(facts.ferryClients)]
      .filter((name) => name !== own && !name.startsWith(`${own}:`))
      .map((name) => `${facts.shown} has a connection named ${name}`),
  );
  return [
    check({
      name: 'Versions',
      expected: 'Redis 6.0 or later, or Valkey, and a target not older than the source',
      actual: `${productOf(source)} → ${productOf(target)}`,
      ...(source.product === target.product && !atLeast(target.version, source.version)
        ? { status: 'warn', next: 'Going to an older version: rehearse it with the application.' }
        : {}),
    }),
    ...[source, target].map((facts) => {
      const title = facts === source ? 'Source' : 'Target';
      const single = facts.mode === 'standalone' && facts.role === 'primary' && !facts.fenced;
      return check({
        name: `${title} is a primary`,
        expected: 'a single server that takes writes',
        actual:
          facts.mode !== 'standalone'
            ? facts.mode
            : facts.fenced
              ? 'fenced by Redis Ferry'
              : facts.role === 'replica'
                ? `a replica of ${facts.primary ?? 'another server'}`
                : facts.role,
        ...(single
          ? {}
          : {
              status: 'fail',
              next: facts.fenced
                ? 'Run `ferry recover` to put back what an earlier upgrade left.'
                : 'Give the address of a primary outside of a cluster.',
            }),
      });
    }),
    check({
      name: 'Two different servers',
      expected: 'two servers',
      actual: isSameServer(source, target) ? 'one and the same' : 'two servers',
      ...(isSameServer(source, target)
        ? { status: 'fail', next: 'Give a target that is another server.' }
        : {}),
    }),
    check({
      name: 'Target is empty',
      expected:
        ifTargetHasKeys === 'refuse'
          ? 'no keys: a replica loses what it held'
          : 'any (ifTargetHasKeys: replace)',
      actual: keys === 0 ? 'empty' : count(keys, 'key'),
      ...(keys === 0
        ? {}
        : ifTargetHasKeys === 'refuse'
          ? {
              status: 'fail',
              next: 'Empty it (FLUSHALL there, once you are sure), or give `ifTargetHasKeys`: "replace".',
            }
          : { status: 'warn', next: 'They are removed, and going back does not bring them back.' }),
    }),
    check({
      name: 'Nothing is left of an earlier run',
      expected: 'no connection of another upgrade',
      actual:
        left.length + notUndone.length > 0
          ? [...left, ...notUndone.map((title) => `"${title}" was done and never undone`)].join('; ')
          : 'none',
      ...(left.length + notUndone.length > 0
        ? { status: 'fail', next: 'Run `ferry recover`, or wait until the other upgrade has ended.' }
        : {}),
    }),
  ];
}

function replication({ source, target, formats }: ReplicationInput): Check[] {
  const { sourceWrites: writes, targetAccepts: accepts } = formats;
  const readable = writes === null || accepts === null ? null : accepts.includes(writes);
  const denied = [source, target].flatMap((facts) =>
    (['replicaOf', 'configGet', 'configSet', 'clientList', 'clientKill'] as const)
      .filter((ability) => !facts.can[ability])
      .map((ability) => `${facts.shown}: ${ability} (${facts.why[ability] ?? 'not permitted'})`),
  );
  return [
    check({
      name: 'Target can follow the source',
      expected:
        writes === null
          ? 'a format that the target reads'
          : `RDB version ${writes}, which ${productOf(source)} writes`,
      actual:
        accepts === null
          ? 'not known'
          : `${productOf(target)} reads up to ${accepts.at(-1) ?? 'nothing'}${readable === false ? `, but not ${writes}` : ''}`,
      ...(readable === false
        ? { status: 'fail', next: 'These two can not replicate. Use redisCopy, which carries keys by value.' }
        : readable === null
          ? { status: 'warn', next: 'It shows when the target loads the file.' }
          : {}),
    }),
    check({
      name: 'Both may be told to replicate',
      expected: 'REPLICAOF, CONFIG and CLIENT on both',
      actual: denied.length === 0 ? 'permitted' : denied.join('; '),
      ...(denied.length === 0
        ? {}
        : { status: 'fail', next: 'Grant them, or use redisCopy, which needs no replication.' }),
    }),
    writesCanBePaused({ source, target }),
  ];
}

function writesCanBePaused({ source, target }: Pick<ReplicationInput, 'source' | 'target'>): Check {
  const without = [source, target].filter(({ can }) => !can.pauseWrites);
  const old = without.filter(pausesOnlyEverything);
  return check({
    name: 'Writes can be paused',
    expected: 'CLIENT PAUSE … WRITE on both (6.2 and later)',
    actual:
      without.length === 0
        ? 'both'
        : old.length === without.length
          ? `${old.map(productOf).join(' and ')} can only pause everything`
          : (source.why.pauseWrites ?? target.why.pauseWrites ?? 'not permitted'),
    ...(without.length === 0
      ? {}
      : old.length === without.length
        ? {
            status: 'warn',
            next: 'Reads wait too, connections are closed twice, and until the applications are repointed writes may be refused (READONLY).',
          }
        : { status: 'fail', next: 'Use redisCopy, which can refuse writes instead of letting them wait.' }),
  });
}

/** Redis 6.0: handing over from it is another way, see replication/fence-by-role.ts. */
export function pausesOnlyEverything({ product, version, can }: ServerFacts): boolean {
  return product === 'redis' && !atLeast(version, '6.2') && can.replicaOf;
}

function room({ source, target, backlogBytes }: ReplicationInput): Check[] {
  const spare = (facts: ServerFacts, needed: number): Check => {
    const free = facts.maxmemory === 0 ? null : facts.maxmemory - (facts === target ? 0 : facts.usedMemory);
    return check({
      name: `${facts === source ? 'Source' : 'Target'} has room`,
      expected: `about ${bytes(needed)}`,
      actual:
        free === null
          ? 'no limit set (maxmemory 0)'
          : `${bytes(Math.max(0, free))} free of ${bytes(facts.maxmemory)}`,
      ...(free === null || free >= needed
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'Raise maxmemory, or shorten `linkDownFor`, which sizes the backlog.',
          }),
    });
  };
  const evicts = [source, target].filter(
    ({ maxmemory, maxmemoryPolicy }) => maxmemory > 0 && maxmemoryPolicy !== 'noeviction',
  );
  return [
    spare(source, backlogBytes),
    spare(target, source.usedMemory + backlogBytes),
    check({
      name: 'Both hold the same',
      expected: 'the same memory limit and policy',
      actual: [source, target]
        .map(
          (facts) =>
            `${facts.maxmemory === 0 ? 'no limit' : bytes(facts.maxmemory)}, ${facts.maxmemoryPolicy}`,
        )
        .join(' → '),
      ...(evicts.length > 0 && source.maxmemory !== target.maxmemory
        ? { status: 'warn', next: 'The one with less memory evicts keys that the other keeps.' }
        : {}),
    }),
  ];
}

function surroundings({ source, target, survey, notified }: ReplicationInput): Check[] {
  const lacks = lackingModules({ source: source.modules, target: target.modules });
  const saves = target.persistence.aof || target.persistence.save !== '';
  return [
    check({
      name: 'Modules',
      expected: source.modules?.length ? source.modules.join(', ') : 'none needed',
      actual:
        source.modules === null || target.modules === null
          ? 'not known: not permitted to ask'
          : lacks.length > 0
            ? `missing: ${lacks.join(', ')}`
            : 'nothing is missing',
      ...(lacks.length > 0
        ? {
            status: 'fail',
            waivable: true,
            next: 'Load them on the target: it can not load values of their types without.',
          }
        : source.modules === null || target.modules === null
          ? { status: 'warn', next: 'Compare MODULE LIST of both by hand.' }
          : {}),
    }),
    settingsKept({ source, target }),
    sourceSaves({ source, target, survey }),
    check({
      name: 'Target saves to disk',
      expected: 'AOF or RDB',
      actual: target.persistence.aof ? 'AOF' : saves ? `RDB (save ${target.persistence.save ?? '?'})` : 'off',
      ...(saves
        ? {}
        : {
            status: 'warn',
            next: 'A restart of the target loses everything. Set appendonly or save there.',
          }),
    }),
    check({
      name: 'Target has replicas',
      expected:
        source.replicas.length > 0 ? `${source.replicas.length}, as the source has` : 'none, like the source',
      actual: String(target.replicas.length),
      ...(source.replicas.length > target.replicas.length
        ? {
            status: 'warn',
            next: 'Those of the source go on following it, behind the target. Attach replicas to the target as well.',
          }
        : {}),
    }),
    clocksAgree({ source, target }),
    someoneElse({ source, target, survey }),
    somebodyIsNotified(notified),
  ];
}
