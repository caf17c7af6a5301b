/** The checklist that every upgrade of a release begins with: a pure function of what was found. */
import type { Check } from '../contract.js';
import type { ServerFacts } from '../redis/describe.js';
import { atLeast } from '../redis/info.js';
import { check, count, productOf } from '../redis/preflight/check.js';
import { somebodyIsNotified } from '../redis/preflight/settings.js';
import type { ReleaseFacts } from './release.js';

/** What the new version would bring. */
export interface ReleaseLook {
  /** The image's tag. */
  tag: string;
  /** Sentences: values that differ, and objects that do. */
  values: string[];
  objects: string[];
  /** What the cluster will refuse. */
  refused: string[];
  /** The chart itself says how its pods are rolled. */
  setsPartition: boolean;
  /** Pods afterwards. */
  replicas: number;
}

export interface ReleaseChecks {
  release: ReleaseFacts;
  servers: Readonly<Record<string, ServerFacts>>;
  primary: string;
  look: ReleaseLook;
  targetVersion: string;
  /** That the applications use. */
  service: string;
  notified: boolean;
  notUndone: readonly string[];
}

export function preflightRelease(on: ReleaseChecks): Check[] {
  const { release, servers, primary, look, targetVersion } = on;
  const server = servers[primary];
  return [
    version(on, server),
    check({
      name: 'Image',
      expected: `a tag of ${targetVersion}`,
      actual: look.tag,
      ...(look.tag.includes(targetVersion)
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'Correct `targetVersion`, or the tag in `values` (see `paths.tag`).',
          }),
    }),
    podsReady(on),
    oneVersion(on),
    ...(server ? [saves(release, server)] : []),
    served(on),
    check({
      name: 'What the upgrade changes',
      expected: 'only what the cluster takes',
      actual: look.refused.length === 0 ? count(look.objects.length, 'difference') : look.refused.join('; '),
      ...(look.refused.length === 0
        ? {}
        : {
            status: 'fail',
            next: "Kubernetes never changes these fields of a StatefulSet. Give the old chart's version or values for them, or use helmBlueGreen.",
          }),
    }),
    check({
      name: 'Nobody else changes the release',
      expected: 'neither Argo CD, nor Flux, nor an operator',
      actual: release.managedBy.join(', ') || 'nobody',
      ...(release.managedBy.length === 0
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: `Suspend ${release.managedBy.join(' and ')} for this release: what is changed here would be put back in the middle.`,
          }),
    }),
    patience(on),
    check({
      name: 'Disruption budget',
      expected: release.pods.length > 1 ? 'one, for nodes that are drained meanwhile' : 'none is needed',
      actual: release.budgets.join('; ') || 'none',
      ...(release.pods.length > 1 && release.budgets.length === 0
        ? {
            status: 'warn',
            next: 'Enable the PodDisruptionBudget of the chart, or let nobody drain a node meanwhile.',
          }
        : {}),
    }),
    check({
      name: 'Nothing is left of an earlier upgrade',
      expected: 'nothing',
      actual: on.notUndone.join(', ') || 'nothing',
      ...(on.notUndone.length === 0
        ? {}
        : { status: 'fail', next: 'Wait until it has ended, or run `ferry recover`.' }),
    }),
    somebodyIsNotified(on.notified),
  ];
}

function version({ targetVersion }: ReleaseChecks, server: ServerFacts | undefined): Check {
  const is = server ? productOf(server) : 'not known';
  const older = server !== undefined && !atLeast(targetVersion, server.version);
  const same = server?.version === targetVersion;
  return check({
    name: 'Version',
    expected: 'a newer one',
    actual: `${is} → ${targetVersion}`,
    ...(older || same
      ? {
          status: 'fail',
          waivable: !same,
          next: same
            ? 'It runs already. Give another `targetVersion`.'
            : 'An older version does not read what a newer one has written. Use helmDumpRestore, or redisCopy into a new release.',
        }
      : {}),
  });
}

function podsReady({ release }: ReleaseChecks): Check {
  const { pods, statefulSet } = release;
  const unready = pods.filter(({ ready }) => !ready).map(({ name, phase }) => `${name} (${phase})`);
  const lacking = statefulSet.replicas - pods.length;
  const actual = [
    ...(unready.length > 0 ? [`not ready: ${unready.join(', ')}`] : []),
    ...(lacking > 0 ? [`${lacking} not there`] : []),
    ...(statefulSet.settled ? [] : ['some are of an older template']),
  ];
  return check({
    name: 'Pods',
    expected: `${count(statefulSet.replicas, 'pod')}, ready and of the newest template`,
    actual: actual.join('; ') || `${count(pods.length, 'pod')}, ready`,
    ...(actual.length === 0
      ? {}
      : {
          status: 'fail',
          next: 'Bring the release to rest first; `ferry diagnose` says why a pod does not come up.',
        }),
  });
}

function oneVersion({ servers }: ReleaseChecks): Check {
  const versions = [...new Set(Object.values(servers).map(productOf))];
  return check({
    name: 'One version on all pods',
    expected: 'one version',
    actual: versions.join(', '),
    ...(versions.length === 1
      ? {}
      : { status: 'fail', next: 'An earlier upgrade was left in the middle: end it first.' }),
  });
}

function saves({ statefulSet }: ReleaseFacts, { persistence }: ServerFacts): Check {
  const points = persistence.save !== null && persistence.save !== '';
  const kept = statefulSet.storage !== null && statefulSet.dataPath !== null;
  const how = persistence.aof ? 'AOF' : points ? 'RDB' : 'nothing is saved';
  const good = kept && (persistence.aof || points);
  return check({
    name: 'Persistence',
    expected: 'AOF or RDB, on a volume',
    actual: `${how}${kept ? `, on a volume of ${statefulSet.storage}` : ', and no volume'}`,
    ...(good
      ? {}
      : {
          status: 'fail',
          next: 'A pod that is made anew would be empty. Give it a volume and switch saving on, or use helmBlueGreen.',
        }),
  });
}

function served({ release, primary, service }: ReleaseChecks): Check {
  const found = release.services.find(({ name }) => name === service);
  const others = found?.pods.filter((pod) => pod !== primary) ?? [];
  const right = found !== undefined && found.pods.includes(primary) && others.length === 0;
  return check({
    name: 'The Service leads to the primary',
    expected: `${service} leads to ${primary} alone`,
    actual: found ? `to ${found.pods.join(', ')}` : 'it leads to none of these pods',
    ...(right
      ? {}
      : {
          status: 'fail',
          next: found
            ? 'Writes that reach a replica are refused already now. Name the Service that applications write to (`service`).'
            : 'Name the Service that applications write to (`service`).',
        }),
  });
}

/** Loading about 100 MB a second from a usual volume. */
const LOADS_BYTES_A_SECOND = 100 * 1024 * 1024;

function patience({ release, servers, primary }: ReleaseChecks): Check {
  const { liveness, startup } = release.probes;
  const seconds = Math.ceil((servers[primary]?.usedMemory ?? 0) / LOADS_BYTES_A_SECOND);
  const given = startup
    ? startup.patienceSeconds + (liveness?.patienceSeconds ?? 0)
    : liveness?.patienceSeconds;
  const enough = given === undefined || given > seconds * 2;
  return check({
    name: 'Probes wait for the data',
    expected: `more than about ${seconds * 2} s, twice what loading may take`,
    actual: given === undefined ? 'no probe ends a pod' : `a pod is ended after ${given} s`,
    ...(enough
      ? {}
      : {
          status: 'fail',
          waivable: true,
          next: 'Raise `startupProbe.failureThreshold`: a pod that is ended while it loads never comes up.',
        }),
  });
}
