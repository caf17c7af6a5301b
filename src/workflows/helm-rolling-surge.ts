/** The surge replica of `helmRolling`: its checks, its steps, and what its plan says of it. */
import type { HelmFacts } from '../activities/helm-release.js';
import type { Rolling, RollingFacts } from '../activities/helm-rolling.js';
import type { Surge, SurgeFacts } from '../activities/helm-surge.js';
import type { Check, UndoResult } from '../contract.js';
import type { HelmRollingSettings } from '../inputs/helm-rolling.js';
import { pathsOf } from '../inputs/kubernetes.js';
import { acts, call } from '../runbook/acts.js';
import type { Runbook, WriteStep } from '../runbook/api.js';
import { roomChecks } from './helm-room-checks.js';
import { brings, changesSays, kubectlByHand, megabytes, patient } from './helm-words.js';

/** Undefined where none is asked for, or can be had. */
export function surgeOf(
  { helm, surge }: RollingFacts,
  input: HelmRollingSettings,
  mark: string,
): Surge | undefined {
  const { replicas: path, partition } = pathsOf(input);
  if (!surge || surge.value === null || path === null) return undefined;
  const { pod, claims, value, was } = surge;
  return {
    pod,
    claims,
    mark,
    path,
    value,
    before: [
      { path, was: was.replicas },
      ...(partition === null ? [] : [{ path: partition, was: was.partition }]),
    ],
    chart: input.chart,
    ...(input.chartVersion === undefined ? {} : { chartVersion: input.chartVersion }),
    brings: brings(helm, input),
  };
}

/** What `helm upgrade` will change, with it. */
export function changesWith({ helm, surge }: RollingFacts, input: HelmRollingSettings): string[] {
  if (!surge || surge.value === null) return changesSays(helm, input);
  const { values, objects } = surge;
  return changesSays({ ...helm, look: { ...helm.look, values, objects } }, input);
}

export function surgeChecks({ helm, surge }: RollingFacts): Check[] {
  if (!surge) return [];
  const { namespace, statefulSet } = helm.release;
  return [
    oneMore(surge, statefulSet.replicas),
    empty(surge, namespace),
    scaled(surge),
    ...(surge.room === null
      ? []
      : roomChecks({
          room: surge.room,
          pods: 1,
          of: 'the surge replica',
          quota: { expected: 'enough for one pod more', until: 'the upgrade has ended' },
          volumes: 'its volume',
        })),
    read(surge),
  ];
}

function oneMore({ value, refused }: SurgeFacts, replicas: number): Check {
  const can = value !== null;
  return {
    name: 'The chart can have one replica more',
    status: can ? 'pass' : 'fail',
    expected: `${replicas + 1} pods, and nothing else of the StatefulSet, by the value that \`paths.replicas\` names`,
    actual: can ? `${replicas + 1} pods with ${value}` : refused,
    waivable: false,
    ...(can
      ? {}
      : {
          next: 'Name the value that says how many replicas there are as `paths.replicas`, or leave out `surge`.',
        }),
  };
}

function empty({ taken, pod }: SurgeFacts, namespace: string): Check {
  const free = taken.length === 0;
  return {
    name: 'The surge replica begins empty',
    status: free ? 'pass' : 'fail',
    expected: `no claim of the name that ${pod} gets`,
    actual: free ? 'there is none' : `${taken.join(', ')} ${taken.length === 1 ? 'is' : 'are'} there`,
    waivable: false,
    ...(free
      ? {}
      : {
          next: `It is left of a pod that was taken away once, and may hold old data. Delete it once you are sure that nobody needs it (kubectl delete pvc ${taken.join(' ')} -n ${namespace}), or leave out \`surge\`.`,
        }),
  };
}

function scaled({ scaledBy }: SurgeFacts): Check {
  const others = scaledBy ?? [];
  return {
    name: 'Nobody else sets the number of pods',
    status: others.length > 0 ? 'fail' : scaledBy === null ? 'warn' : 'pass',
    expected: 'no HorizontalPodAutoscaler of this StatefulSet',
    actual: scaledBy === null ? 'not known: they may not be looked at' : others.join(', ') || 'none',
    waivable: false,
    ...(others.length > 0
      ? {
          next: 'It would take the surge replica away again. Remove it for the upgrade, or leave out `surge`.',
        }
      : {}),
  };
}

/** Until it has everything a replica answers from what it has: nothing, here. */
function read({ readers, pod }: SurgeFacts): Check {
  const none = readers.length === 0;
  return {
    name: 'Nobody reads from the surge replica before it has everything',
    status: none ? 'pass' : 'warn',
    expected: 'no Service that leads to replicas by their labels',
    actual: none ? 'none does' : readers.join(', '),
    waivable: true,
    ...(none
      ? {}
      : {
          next: `${readers.join(' and ')} ${readers.length === 1 ? 'leads' : 'lead'} to ${pod} as soon as its probe says that it is ready. Let the readiness probe look at master_link_status, or set replica-serve-stale-data no.`,
        }),
  };
}

/** What of the plan says what it takes. */
function takes({ release, servers, primary }: HelmFacts, { pod }: Surge): string[] {
  const { storage, requests } = release.statefulSet;
  const asked = Object.entries(requests).map(([what, amount]) => `${what} ${amount}`);
  return [
    `${pod} takes a volume of ${storage ?? 'no size'} and ${asked.join(', ') || 'no requests'} until the end; ${primary} forks once more, to send it everything (${megabytes(servers[primary]?.usedMemory ?? 0)})`,
    ...release.budgets.map(
      (budget) =>
        `disruption budget ${budget}; it counts ${pod} too, so a drain may end one pod more than before`,
    ),
  ];
}

/** Those that were made here are gone. */
export function claimsByHand(helm: HelmFacts, { mark }: Surge): string {
  return kubectlByHand(helm, 'delete pvc', '-l', `redis-ferry/surge=${mark}`);
}

/** Whom the steps are for: the release as it is without it. */
export function surgeSteps(r: Runbook, on: { helm: HelmFacts; rolling: Rolling; surge: Surge }) {
  const { helm, rolling, surge } = on;
  const { release } = rolling;
  const { pod, claims, path } = surge;
  const names = claims.join(' and ');
  return {
    claim: (): WriteStep<undefined> => ({
      does: [
        `make ${names} for ${pod}, the surge replica, as the StatefulSet would, under a label of ours (redis-ferry/surge)`,
      ],
      notes: takes(helm, surge),
      foresee: undefined,
      undo: {
        says: `remove ${names}, once ${pod} is gone; a claim that was not made here stays`,
        call: call('removeSurgeClaims', { release, surge }),
        byHand: [`# once ${pod} is gone:`, claimsByHand(helm, surge)],
      },
      async do() {
        await acts(patient, 'Make a claim for the surge replica').makeSurgeClaims({ release, surge });
        return undefined;
      },
    }),

    takeAway: (): WriteStep<{ revision: number | null } | null> => ({
      does: [
        `helm upgrade once more, with the same values but for ${path}${rolling.chartSets ? ' and the partition' : ''}; every pod is held meanwhile`,
        `${pod} goes, as the release has no room for it any more`,
      ],
      foresee: null,
      undo: { none: 'the old version is gone' },
      do: () => acts(patient, 'Take the surge replica away').endSurge({ release, surge }),
      note: (result) => (result?.revision ? `revision ${result.revision}` : ''),
    }),

    removeClaim: (): WriteStep<UndoResult | null> => ({
      does: [
        `remove ${names}, which ${claims.length === 1 ? 'was' : 'were'} made for ${pod}; it held a copy`,
      ],
      foresee: null,
      undo: { none: 'it held a copy' },
      skippable: true,
      async do() {
        const result = await acts(patient, 'Remove the claim of the surge replica').removeSurgeClaims({
          release,
          surge,
        });
        for (const each of result.left ?? []) r.followUp(each);
        return result;
      },
      note: (result) => result?.note ?? '',
    }),
  };
}
