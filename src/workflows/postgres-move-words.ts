/** What `postgresMove` says, and the plain data that its steps share. */
import type { MoveFacts } from '../activities/postgres-looking.js';
import type { Compared, DumpFacts, Filled } from '../activities/postgres-moving.js';
import type { DatabaseSides } from '../activities/postgres-sides.js';
import type { Closing, SoakedDatabases } from '../activities/postgres-switching.js';
import type { Check } from '../contract.js';
import { endpointOf, type PostgresMoveSettings } from '../inputs/postgres-move.js';

const n = (count: number): string => count.toLocaleString('en');
const mb = (bytes: number): string => `${n(Math.round(bytes / 1e6))} MB`;

export function sidesOf(input: PostgresMoveSettings, { source, target }: MoveFacts): DatabaseSides {
  return {
    source: { endpoint: endpointOf(input.source), systemId: source.systemId, major: source.major },
    target: { endpoint: input.target, systemId: target.systemId, major: target.major },
    jobs: input.jobs,
    utf8: source.encoding !== target.encoding,
  };
}

/** By whose backup its data goes; null: by a dump of ours. */
export function backupOf({ source }: PostgresMoveSettings): { app: string; key: string } | null {
  return typeof source === 'object' && 'herokuBackup' in source ? source.herokuBackup : null;
}

/** What a database is by any name. */
export function locks({ source, target }: MoveFacts): string[] {
  return [source, target].map(({ systemId, database }) => `postgres/${systemId}/${database}`);
}

export function closingOf(sides: DatabaseSides, { source }: MoveFacts): Closing {
  return { sides, may: source.can.own, before: source.readOnly };
}

export function servers({ source, target, tools }: MoveFacts): Record<string, unknown> {
  const side = ({ shown, version, size, counts }: MoveFacts['source']) => ({
    address: shown,
    version: `PostgreSQL ${version}`,
    bytes: size.all,
    ...counts,
  });
  return { source: side(source), target: side(target), tools: tools.version };
}

export function found({ source, target }: MoveFacts): string {
  return `${mb(source.size.all)} from PostgreSQL ${source.version} to ${target.version}`;
}

export function mayStart({ source, target }: MoveFacts): string {
  return `Move ${source.shown} (PostgreSQL ${source.version}) to ${target.shown} (PostgreSQL ${target.version})? The application can't write from the dump to the switch.`;
}

export function mayClean({ target }: MoveFacts): string {
  const { counts, held } = target;
  return `Destroy what ${target.shown} holds (${n(counts.tables)} tables in ${n(counts.schemas)} schemas, ${n(held.objects)} objects, ${n(held.largeObjects)} large objects)? It is dumped first.`;
}

/** The throwaway database: named after the folder of the dump, and so after the run. */
export function trialOf({ folders }: MoveFacts): string {
  return `ferry_try_${/postgres-([0-9a-f]+)-target-before$/.exec(folders.kept)?.[1] ?? 'it'}`;
}

export function trialSays(facts: MoveFacts): string[] {
  const { target } = facts;
  return [
    `restore it into the new database ${trialOf(facts)} beside ${target.shown}, and compare both`,
    `drop ${trialOf(facts)} again`,
  ];
}

export function mayCutOver({ source, target }: MoveFacts): string {
  return `Switch the applications over from ${source.shown} to ${target.shown}?`;
}

/** Milliseconds from the source being closed to the applications being switched, at 20 MB/s for all of it. */
export function takesMs({ source }: MoveFacts): number {
  return 60_000 + Math.round(source.size.rows / 20_000);
}

export function sizes({ source }: MoveFacts): string[] {
  const { counts, size } = source;
  return [
    `${n(counts.tables)} tables in ${n(counts.schemas)} schemas, ${n(counts.largeObjects)} large objects, ${mb(size.rows)} without indexes`,
  ];
}

export function closeSays({ source }: MoveFacts): string[] {
  if (!source.can.own) return ['nothing: the user may not close it. That nothing is written is proven later'];
  return [
    `set default_transaction_read_only for the database ${source.database} at ${source.shown}, which is ${source.readOnly === null ? 'not set now' : `${source.readOnly} now`}`,
    'end every session of others there: applications may connect again, and read',
  ];
}

export function restoreSays({ target }: MoveFacts): string[] {
  return [
    `pg_restore --clean --if-exists --no-acl --no-owner into ${target.shown}, then ANALYZE`,
    `all of it belongs to ${target.user} there; rights of other roles, publications and subscriptions are left out`,
  ];
}

export const COMPARE_SAYS = [
  'compare the rows of every table by their number and a checksum, computed on both servers',
  'compare sequences, indexes, constraints, columns, views, functions, triggers, policies, types, extensions and large objects',
];

export function switchSays({ source, target, repointSays }: MoveFacts): string[] {
  return [
    `prove that neither ${source.shown} nor ${target.shown} was written to since the comparison`,
    ...repointSays.map((line) => line.charAt(0).toLowerCase() + line.slice(1)),
    'end the sessions at the source once more; it stays closed to writes',
  ];
}

export function dumped({ bytes, files, seconds }: DumpFacts): string {
  return `${mb(bytes)} in ${n(files)} files, in ${seconds} s`;
}

export function restored({ items, seconds, leftOut }: Filled): string {
  const what = seconds === null ? 'an earlier attempt had done it' : `${n(items)} items in ${seconds} s`;
  return `${what}${leftOut.length > 0 ? `; left out: ${leftOut.join(', ')}` : ''}`;
}

export function compared({ counted, objects, largeObjects, seconds }: Compared): string {
  return `${n(counted.rows)} rows of ${n(counted.tables)} tables, ${n(objects)} objects, ${n(largeObjects)} large objects: no difference, in ${seconds} s`;
}

export function added(extensions: readonly string[], { target }: MoveFacts): string {
  const names = extensions.join(', ');
  return `Only ${target.shown} has ${extensions.length === 1 ? 'the extension' : 'the extensions'} ${names}: that is no difference, and nothing that was moved needs it.`;
}

export function comparison({ counted, objects, largeObjects, seconds, differences, source }: Compared) {
  return { ...counted, objects, largeObjects, seconds, differences, digest: source.digest };
}

export function differences({ differences: all, samples }: Compared): string {
  return `${n(all)} ${all === 1 ? 'difference' : 'differences'} between both sides: ${samples.join('; ')}${all > samples.length ? '; …' : ''}.`;
}

export function soaked(seen: SoakedDatabases, { source }: MoveFacts): Check {
  const { opened, written, sessions, names } = seen;
  const trouble = [
    ...(written === true ? ['it was written to'] : []),
    ...(opened ? ['it had been opened to writes, and was closed again'] : []),
  ];
  const stayed = sessions > 0 ? `${n(sessions)} sessions (${names.slice(0, 5).join(', ')})` : 'no session';
  return {
    name: 'Nobody uses the source any more',
    status: written === true || opened ? 'fail' : sessions > 0 ? 'warn' : 'pass',
    expected: 'no session, no write',
    actual: [...trouble, stayed].join('; '),
    ...(trouble.length > 0 || sessions > 0
      ? {
          next: `Move those who still use ${source.shown}.${trouble.length > 0 ? ' What they wrote there is not at the target: carry it over by hand.' : ' What they write is refused until the way back is closed.'}`,
        }
      : {}),
    waivable: true,
  };
}
