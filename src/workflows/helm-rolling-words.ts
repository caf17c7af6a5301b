/** What `helmRolling` says: the sentences of its plan, its gates and its receipt. */
import type { HelmFacts } from '../activities/helm-release.js';
import type { Renewed } from '../activities/helm-rolling-roles.js';
import type { Rolling, RollingFacts } from '../activities/helm-rolling.js';
import type { Couple, CoupleFacts, HandOverInput, HandOverOutcome } from '../activities/replicating.js';
import type { HelmRollingSettings } from '../inputs/helm-rolling.js';
import { milliseconds } from '../inputs/refs.js';
import { quoted } from '../inputs/in-shell.js';
import type { Repoint } from '../inputs/repoint.js';
import { claimsByHand, surgeOf } from './helm-rolling-surge.js';
import { decisionMatrix, kubectlByHand } from './helm-words.js';

export * from './helm-words.js';
export { changesWith, surgeSteps } from './helm-rolling-surge.js';
export { comparison, switched } from './redis-switchover-words.js';

type Server = HelmFacts['servers'][string];

/** `run`: what a surge replica is marked by. */
export function rolling(found: RollingFacts, input: HelmRollingSettings, run: string): Rolling {
  const { helm, replicas, pair } = found;
  const surge = surgeOf(found, input, run);
  const last = replicas.at(-1);
  return {
    release: helm.release,
    primary: helm.primary,
    promoted: pair?.pod ?? '',
    replicas: [
      ...replicas.map(({ pod, at, follow }) => ({ pod, at, follow })),
      // By the chart it is as the one before it.
      ...(surge && last ? [{ pod: surge.pod, at: last.at, follow: last.follow }] : []),
    ],
    primaryFollow: pair?.couple.before.source ?? { settings: {}, ownLogin: false },
    targetVersion: input.targetVersion,
    chartSets: helm.look.setsPartition,
    readyWithin: input.readyWithin,
    ...(surge ? { surge } : {}),
  };
}

/** Those that stay. */
export function withoutSurge(rolling: Rolling): Rolling {
  const { surge, replicas, ...rest } = rolling;
  return { ...rest, replicas: replicas.filter(({ pod }) => pod !== surge?.pod) };
}

/** As the two are expected to be once the replicas are upgraded. */
export function foreseen(pair: CoupleFacts, targetVersion: string): CoupleFacts {
  return { ...pair, target: { ...pair.target, version: targetVersion, redisVersion: targetVersion } };
}

export function strategySays({ release }: HelmFacts): string {
  const { strategy, partition } = release.statefulSet;
  return strategy === 'RollingUpdate' ? `${strategy}, partition ${partition}` : strategy;
}

/** Which way back there is at which time, how long it takes, what is lost by it. */
export function waysBack(
  { release, version }: HelmFacts,
  on: { primary: string; promoted: string; but: string },
): string[] {
  const { primary, promoted, but } = on;
  const back = `helm rollback to revision ${release.revision}, and the upgraded replicas are made anew in ${version} one by one`;
  return decisionMatrix([
    {
      when: 'before the cutover',
      how: back,
      takes: 'some minutes',
      loses: 'nothing is lost, and the applications that write notice nothing',
    },
    {
      when: `after the cutover, while ${primary} follows`,
      how: `${primary} takes over from ${promoted}; then ${back}`,
      takes: 'less than a second, in which writes wait, and some minutes',
      loses: but === '' ? 'nothing is lost' : `lost are ${but}`,
    },
    {
      when: `after the decommission, when no pod of ${version} is left`,
      how: `helmDumpRestore or redisCopy into a release of ${version}`,
      takes: 'as long as a copy',
      loses: 'nothing is lost',
    },
  ]);
}

export function strategyByHand(helm: HelmFacts): string {
  const { name, partition } = helm.release.statefulSet;
  const patch = { spec: { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition } } } };
  return kubectlByHand(helm, 'patch statefulset', name, '--type merge -p', quoted(JSON.stringify(patch)));
}

export function rollSays({ replicas, primary, surge }: Rolling, input: HelmRollingSettings): string[] {
  return [
    ...replicas
      .toReversed()
      .map(({ pod }) =>
        pod === surge?.pod
          ? `wait until ${pod}, which the release has now beside those before, is ready in ${input.targetVersion} and has every byte of ${primary} (${input.readyWithin} at most)`
          : `make ${pod} anew in ${input.targetVersion}, and wait until it is ready and has every byte of ${primary} (${input.readyWithin} at most)`,
      ),
    surge
      ? 'one after the other: never one replica less than before'
      : 'one after the other: one replica less meanwhile; no further one is added, since a chart has no agreed way to take it away again',
  ];
}

/** Undo of the release's upgrade. */
export function backSays({ release, primary, chartSets, surge }: Rolling, { version }: HelmFacts): string {
  const roll = `roll the release back to revision ${release.revision}`;
  const anew = `make the upgraded replicas anew in ${version}, one by one: their files are set aside on their volumes, and they get everything from ${primary}`;
  if (!surge) return `${roll}, and ${anew}`;
  return chartSets
    ? `${roll}, which ends ${surge.pod}, and ${anew}; one replica less meanwhile, as the chart lets go of them by itself`
    : `${roll}, which ends ${surge.pod}; where replicas are upgraded already it comes first, empty, in ${version}, and goes last; ${anew}`;
}

export function decommissionQuestion({ primary, version }: HelmFacts, input: HelmRollingSettings): string {
  return `Make ${primary} anew in ${input.targetVersion}? It is the last one of ${version}: ${closedSays(version, input)}`;
}

/** What going back means once the old version is gone. */
export function goneSays({ version }: HelmFacts, input: HelmRollingSettings): string {
  return `no pod of ${version} is left from here on: ${closedSays(version, input)}`;
}

function closedSays(version: string, { targetVersion }: HelmRollingSettings): string {
  return `going back then takes a release of ${version} of its own, into which helmDumpRestore or redisCopy carries the data, as ${version} may not read what ${targetVersion} writes.`;
}

export function renewSays({ primary, promoted, replicas }: Rolling, input: HelmRollingSettings): string[] {
  return [
    ...(replicas.length > 1 ? [`look once more that the other replicas follow ${promoted}`] : []),
    `make ${primary} anew in ${input.targetVersion} (partition 0)`,
    `it comes up as one that takes writes, with what it held; no Service leads there, and it is told at once to follow ${promoted}`,
    `wait until it has every byte (${input.readyWithin} at most)`,
  ];
}

export function renewedSays({ seconds, wrote }: Renewed): string {
  return `in step after ${seconds} s${wrote === 0 ? '; nothing was written to it before it followed' : ''}`;
}

export function heldSays({ pausedMs }: HandOverOutcome): string {
  return pausedMs === null ? 'finished by a later attempt' : `writes were held ${pausedMs} ms`;
}

export function returnSays({ primary, promoted }: Rolling, pair: CoupleFacts, input: HelmRollingSettings) {
  return [
    `pause writes at ${promoted} for at most ${input.maxPause}, until ${primary} has every byte, and promote ${primary}`,
    ...pair.repointSays.slice(0, -1).map((each) => `${each}; then as it was before`),
  ];
}

/** The handover back to the first pod, which is a whole handover of its own. */
export function handBack(
  rolling: Rolling,
  on: {
    couple: Couple;
    input: HelmRollingSettings;
    pair: { settings: { repoint: Repoint } };
  },
): HandOverInput {
  const { couple, input, pair } = on;
  const { release } = rolling;
  return {
    couple: {
      source: couple.target,
      target: couple.source,
      reach: { source: null, target: null },
      before: { source: couple.before.target, target: couple.before.source },
    },
    of: { namespace: release.namespace, release: release.release },
    name: input.name,
    repoint: turned(pair.settings.repoint),
    capMs: milliseconds(input.maxPause),
    maxLag: input.maxLag,
    canary: false,
    step: 'Give the role back',
  };
}

function turned(repoint: Repoint): Repoint {
  return repoint.kind === 'kubernetesService'
    ? {
        ...repoint,
        services: repoint.services.map(({ name, source, target }) => ({
          name,
          source: target,
          target: source,
        })),
      }
    : repoint;
}

export function letGoSays({ chartSets, surge }: Rolling, helm: HelmFacts): string[] {
  return [
    ...(chartSets && !surge ? ['helm upgrade once more, with the same values but for the partition'] : []),
    `give the StatefulSet its strategy back (${strategySays(helm)})`,
  ];
}

/** Service first: the promoted one serves, whatever becomes of pod 0. */
export function finishByHand({ promoted, release, primary, surge }: Rolling, helm: HelmFacts): string[] {
  return [
    `# ${promoted} serves, and the Services lead there. Once ${primary} is ready in the new version and follows it:`,
    ...release.services
      .filter(({ headless, pods }) => !headless && pods.length === 1)
      .map(({ name }) => kubectlByHand(helm, 'get service', name, "-o jsonpath='{.spec.selector}'")),
    ...(surge
      ? [
          `# ${surge.pod} goes by a helm upgrade with ${surge.path} as it was; once it is gone:`,
          claimsByHand(helm, surge),
        ]
      : []),
  ];
}

/** Of the old primary, for the comparison at the end. */
export function lastSeen({ databases, persistence, maxmemoryPolicy }: Server) {
  const all = Object.values(databases);
  const keys = all.reduce((sum, each) => sum + each.keys, 0);
  return {
    keys,
    lasting: keys - all.reduce((sum, each) => sum + each.expires, 0),
    persistence,
    maxmemoryPolicy,
  };
}
