/** What all upgrades of a Helm release say: sentences of their plans, gates and receipts. */
import type { HelmFacts } from '../activities/helm-release.js';
import type { Brings } from '../activities/helm-revision.js';
import type { FailureType } from '../errors.js';
import { contextInShell, quoted } from '../inputs/in-shell.js';
import { pathsOf, type HelmSettings } from '../inputs/kubernetes.js';
import { acts, changes, moves } from '../runbook/acts.js';
import type { WriteStep } from '../runbook/api.js';

export { megabytes } from './redis-switchover-words.js';

/** helm renders and asks the cluster: seconds. */
export const asks = {
  ...moves,
  startToCloseTimeout: '5m',
  retry: { ...changes.retry, maximumAttempts: 3 },
} as const;

/** For what kubectl and helm do: an API server that is away for half a minute is no reason to ask a person. */
export const patient = {
  ...moves,
  startToCloseTimeout: '2h',
  retry: { ...changes.retry, maximumInterval: '10s', maximumAttempts: 12 },
} as const;

/**
 * A volume that is full is so the next time too; and a follower whose volume is full ends itself (7.0 and newer), and would then save that it
 * is empty.
 */
export const saves = {
  ...patient,
  retry: { ...patient.retry, nonRetryableErrorTypes: ['BackupFailed' satisfies FailureType] },
};

/** What identifies the release, under whatever name an upgrade of it goes. */
export function locks({ release }: HelmFacts): string[] {
  return [`kubernetes/${release.cluster}/${release.shown}`];
}

export function releaseFacts({ release, servers, primary, version, look, mode }: HelmFacts, to: string) {
  return {
    release: release.shown,
    chart: release.chart,
    revision: release.revision,
    mode,
    primary,
    from: version,
    to,
    tag: look.tag,
    pods: release.pods.map(({ name }) => `${name}: ${servers[name]?.version ?? 'not asked'}`),
  };
}

/** What a revision of this upgrade is known by, while helm is making it. */
export function brings({ look }: HelmFacts, settings: HelmSettings): Brings {
  return { path: pathsOf(settings).tag, tag: look.tag };
}

/** What `helm upgrade` will change: an approval stands for exactly these. */
export function changesSays({ release, look, version }: HelmFacts, settings: HelmSettings): string[] {
  return [
    `helm upgrade ${release.release} ${settings.chart}${settings.chartVersion === undefined ? '' : ` --version ${settings.chartVersion}`} -n ${release.namespace}, with its values file (${version} → ${settings.targetVersion}); not --reuse-values, which would hide what the new chart sets`,
    ...look.values.map((each) => `value ${each}`),
    ...look.objects.map((each) => `object ${each}`),
  ];
}

export function evidenceStep(
  settings: HelmSettings,
  facts: HelmFacts,
): WriteStep<{ folder: string; files: number; bytes: number } | null> {
  return {
    does: [
      'write down on the worker how it stands: StatefulSet, pods, claims, Services, a values file for each version, and the last 1,000 log lines of each pod, all without passwords',
    ],
    foresee: null,
    undo: { none: 'nothing was changed; the files stay' },
    skippable: true,
    do: () =>
      acts(asks, 'Keep the evidence').keepEvidence({
        settings,
        facts: { release: facts.release, version: facts.version },
        backup: settings.backup,
      }),
    note: (result) => (result ? `${result.files} files in ${result.folder}` : ''),
  };
}

/** A row of the decision matrix: which way back there is at a time, how long it takes, what is lost by it. */
export interface WayBackAt {
  when: string;
  how: string;
  takes: string;
  /** A sentence's end: "nothing is lost". */
  loses: string;
}

/** The decision matrix of a plan: one sentence for each time, earliest first. */
export function decisionMatrix(rows: readonly WayBackAt[]): string[] {
  return rows.map(({ when, how, takes, loses }) => `Back, ${when}: ${how}, ${takes}; ${loses}`);
}

/** Shell words that bring back the recorded revision. */
export function rollbackByHand(helm: HelmFacts): string {
  const { release, revision } = helm.release;
  return helmByHand(helm, 'rollback', release, String(revision));
}

export function helmByHand({ release }: HelmFacts, ...words: string[]): string {
  const context = release.context === undefined ? [] : ['--kube-context', quoted(release.context)];
  return ['helm', ...context, '-n', release.namespace, ...words].join(' ');
}

export function kubectlByHand({ release }: HelmFacts, ...words: string[]): string {
  return ['kubectl', ...contextInShell(release.context), '-n', release.namespace, ...words].join(' ');
}
