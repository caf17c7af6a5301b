/** What `helmInPlace` says: the sentences of its plan, its gate and its receipt. */
import type { BackupFacts } from '../activities/backing-up.js';
import type { HelmFacts } from '../activities/helm-release.js';
import type { PodServes } from '../activities/helm-pods.js';
import type { BackInPlace, RestoreInPlace } from '../activities/helm-in-place-back.js';
import type { SavedToDisk } from '../activities/helm-in-place.js';
import type { Check } from '../contract.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import type { HelmInPlaceSettings } from '../inputs/helm-in-place.js';
import { brings, decisionMatrix } from './helm-words.js';

export * from './helm-words.js';

/** Which way back there is, how long it takes, what is lost by it. */
export function waysBack({ release }: HelmFacts, backedUp: boolean): string[] {
  const back = { how: `helm rollback to revision ${release.revision}`, takes: 'less than 2 minutes' };
  return decisionMatrix([
    {
      ...back,
      when: 'where the pod does not come up',
      loses: 'nothing is lost, for the new version has written nothing',
    },
    { ...back, when: 'where the old version reads what the new one wrote', loses: 'nothing is lost' },
    {
      when: 'where it does not',
      how: `${back.how}, ${back.takes}, and the backup into the volume`,
      takes: '5 to 15 minutes',
      loses: `the writes since the backup are lost${backedUp ? '' : '. There is no backup (backup: false), so there is no such way'}`,
    },
  ]);
}

/** A pod that is ended while it saves loses what it has not saved: with AOF that is next to nothing. */
export function graceProblem({ release, servers, primary }: HelmFacts, saved: SavedToDisk): string | null {
  const { graceSeconds } = release.statefulSet;
  const aof = servers[primary]?.persistence.aof === true;
  return aof || saved.seconds * 2 <= graceSeconds
    ? null
    : `Saving took ${saved.seconds} s, and Kubernetes kills a pod ${graceSeconds} s after it asked it to end: what was written since the last save would be lost. Raise terminationGracePeriodSeconds of the StatefulSet to ${saved.seconds * 3}, or switch AOF on, then retry.`;
}

export function podSays({ seconds, server }: PodServes): string {
  return `Redis ${server.version} serves after ${seconds} s`;
}

/** What going back loses once the new version has run; empty: nothing. */
export function lostByGoingBack(on: {
  facts: HelmFacts;
  /** RDB versions that the old one reads. */
  accepts: readonly number[] | null;
  came: PodServes;
  backupAt: string | null;
}): string {
  const { facts, accepts, came, backupAt } = on;
  const reads = accepts !== null && came.writes !== null && accepts.includes(came.writes);
  const otherAof = keepsAofElsewhere(facts, came.server.redisVersion);
  if (reads && !otherAof) return '';
  const why = otherAof
    ? `Redis ${facts.version} does not see the append-only files of ${came.server.version}`
    : `Redis ${facts.version} does not read what ${came.server.version} writes (RDB version ${came.writes ?? 'not known'})`;
  return backupAt === null
    ? `everything: ${why}, and there is no backup`
    : `every write since the backup of ${backupAt}: ${why}`;
}

/** Before 7.0 there was one file, and it sees none of the folder that came with 7.0. */
function keepsAofElsewhere({ servers, primary, version }: HelmFacts, next: string): boolean {
  return servers[primary]?.persistence.aof === true && !atLeast7(version) && atLeast7(next);
}

function atLeast7(version: string): boolean {
  return Number(version.split('.')[0]) >= 7;
}

export function backInPlace(on: {
  facts: HelmFacts;
  input: HelmInPlaceSettings;
  endpoint: RedisEndpoint;
  accepts: readonly number[] | null;
  before: SavedToDisk | null;
  backup: BackupFacts | null;
}): BackInPlace {
  const { facts, input, endpoint, accepts, before, backup } = on;
  const { release, primary } = facts;
  const { namespace, context, statefulSet } = release;
  return {
    namespace,
    ...(context === undefined ? {} : { context }),
    release: release.release,
    revision: release.revision,
    brings: brings(facts, input),
    statefulSet: statefulSet.name,
    replicas: statefulSet.replicas,
    pod: primary,
    container: statefulSet.container,
    image: statefulSet.image,
    readyWithin: input.readyWithin,
    unsaved: {
      endpoint,
      strategy: statefulSet.strategy,
      partition: statefulSet.partition,
      accepts,
      otherAof: keepsAofElsewhere(facts, input.targetVersion),
      loses: backup ? `every write since the backup of ${backup.takenAt}` : 'everything: there is no backup',
      restore: restore({ facts, needed: false, before, backup }),
    },
  };
}

/** With replicas it need not be away at all. */
export function single({ release, look }: HelmFacts): Check {
  const one = release.pods.length === 1 && look.replicas === 1;
  return {
    name: 'One Redis',
    status: one ? 'pass' : 'fail',
    expected: 'one pod, before and after',
    actual: `${release.pods.length} before, ${look.replicas} after`,
    waivable: false,
    ...(one ? {} : { next: 'Use helmRolling for a primary with replicas: it is not away then.' }),
  };
}

export function restore(on: {
  facts: HelmFacts;
  needed: boolean;
  before: SavedToDisk | null;
  backup: BackupFacts | null;
}): RestoreInPlace {
  const { facts, needed, before, backup } = on;
  const { namespace, context, release, statefulSet } = facts.release;
  const rdb = backup?.files.find(({ name }) => name.endsWith('.rdb'));
  return {
    namespace,
    ...(context === undefined ? {} : { context }),
    release,
    statefulSet: statefulSet.name,
    pod: facts.primary,
    claim: statefulSet.claims[0] ?? '',
    image: statefulSet.image,
    securityContext: statefulSet.securityContext,
    needed,
    files: before?.files ?? null,
    rdb: backup && rdb ? { path: `${backup.folder}/${rdb.name}`, sha256: rdb.sha256 } : null,
  };
}
