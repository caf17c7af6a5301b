/** Checks of the two places: what kind of server each is, and that nothing stands between them. */
import type { Check } from '../../contract.js';
import type { ServerFacts } from '../describe.js';
import { atLeast } from '../info.js';
import { type PreflightInput, databaseMap, check, productOf, count, wayOf } from './check.js';

export function isSameServer(a: ServerFacts, b: ServerFacts): boolean {
  return (
    (a.runId !== '' && a.runId === b.runId) || a.resolved.some((address) => b.resolved.includes(address))
  );
}

export function versions({ source, target }: PreflightInput): Check[] {
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

export function kinds({ source, target, settings }: PreflightInput): Check[] {
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

export function targetTakesWrites(input: PreflightInput): Check[] {
  const { target } = input;
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
  if (!target.can.restore && wayOf(input).chosen === 'dump') {
    return [
      check({
        name,
        expected,
        actual: `RESTORE is not permitted: ${target.why.restore ?? ''}`,
        status: 'fail',
        next: 'Grant RESTORE to the user of the target, or choose `way`: "auto".',
      }),
    ];
  }
  return [check({ name, expected, actual: 'a primary' })];
}

export function twoServers(input: PreflightInput): Check[] {
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

export function nothingLeft({ source, target, own, notUndone = [] }: PreflightInput): Check[] {
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
      actual:
        left.length + notUndone.length > 0
          ? [...left, ...notUndone.map((title) => `"${title}" was done and never undone`)].join('; ')
          : 'none',
      ...(left.length + notUndone.length > 0 ? { status: 'fail', next: RECOVER } : {}),
    }),
  ];
}
