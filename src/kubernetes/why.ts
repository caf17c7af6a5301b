/** Why a pod of Redis doesn't come up, from what the cluster and the server itself say. Nothing here deletes anything to make one start. */
import type { Finding } from '../contract.js';
import { kubectl, getJson, type Namespace } from './kubectl.js';
import { Events, isReady, Pod } from './objects.js';

interface Pattern {
  pattern: RegExp;
  what: string;
  says: string;
  next: string;
}

const IN_LOG: readonly Pattern[] = [
  {
    pattern: /Can't handle RDB format version (\d+)/,
    what: 'RDB version',
    says: 'the data on its volume was written by a newer version, which this one does not read',
    next: 'Run the version that wrote it again, or restore the backup of before into an empty volume. Do not delete the file: it holds the newest data.',
  },
  {
    pattern:
      /Bad file format reading the append only file|Unexpected end of file reading the append only file/,
    what: 'AOF',
    says: 'its append-only file does not end, or reads, as it should',
    next: 'Copy the whole data directory away first, then look with `redis-check-aof` (without --fix, which cuts off everything after the fault). Prefer a replica that is whole, or the backup.',
  },
  {
    pattern:
      // An 8.0 takes what it doesn't know for a module's.
      /FATAL CONFIG FILE ERROR|Fatal error, can't open config file|Bad directive or wrong number of arguments|>>> '|Module Configuration detected without loadmodule/,
    what: 'Configuration',
    says: 'it refuses its configuration',
    next: 'Take the named directive out of the values (redis.conf), and run `helm upgrade` with them; a directive that an older version had may be gone.',
  },
  {
    pattern:
      /Can't open (or create )?(the )?append[- ]only (file|dir)[^\n]*(Permission denied|Read-only)|Failed opening[^\n]*Permission denied|Permission denied[^\n]*(rdb|aof)/i,
    what: 'Permission',
    says: 'it may not write to its volume',
    next: 'Give the pod the group of the volume (`podSecurityContext.fsGroup`), as the former version had it.',
  },
  {
    pattern: /No space left on device/,
    what: 'Disk',
    says: 'its volume is full',
    next: 'Enlarge the claim where its storage class allows that (`kubectl patch pvc`), then let it try again.',
  },
];

/** What a log says of a server that ends. */
export function findInLog(log: string): Finding[] {
  const lines = log.split('\n');
  return IN_LOG.flatMap(({ pattern, ...finding }) => {
    const found = lines.filter((line) => pattern.test(line)).slice(-3);
    return found.length === 0 ? [] : [{ ...finding, evidence: found.map(withoutSecret), lasting: true }];
  });
}

/** A line of the configuration that is refused is shown as it is, password and all. */
function withoutSecret(line: string): string {
  return line.replace(/(>>> '\S*(?:pass|auth|user)\S*) .*/i, "$1 …'");
}

/** Where an image can't be had, or a container not be made. */
const IN_WAITING: readonly [RegExp, Omit<Finding, 'evidence' | 'lasting'>][] = [
  [
    /ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull/,
    {
      what: 'Image',
      says: 'its image can not be had',
      next: 'Look whether the tag exists in the registry, and whether the node may pull it (imagePullSecrets).',
    },
  ],
  [
    /CreateContainerConfigError|CreateContainerError|RunContainerError/,
    {
      what: 'Container',
      says: 'its container can not be made',
      next: 'Look whether the Secret or ConfigMap that the message names is there.',
    },
  ],
];

export interface PodLook {
  pod: Pod;
  ready: boolean;
  /** Empty when it is ready, or well on its way. */
  findings: Finding[];
  /** Where it is, in a few words. */
  standing: string;
}

/** @throws FerryError, NotFound where there is no such pod (any more) */
export async function lookAtPod(
  on: Namespace & { pod: string; container: string; signal?: AbortSignal | undefined },
): Promise<PodLook> {
  const { pod: name, container: _, ...where } = on;
  const pod = await getJson({ ...where, what: ['pod', name], schema: Pod });
  if (isReady(pod)) return { pod, ready: true, findings: [], standing: 'ready' };
  const findings = [...ofSchedule(pod), ...ofWaiting(pod), ...(await ofEnds(on, pod))];
  if (findings.length === 0) findings.push(...(await ofProbes(on, pod)));
  return { pod, ready: false, findings, standing: standingOf(pod) };
}

function standingOf(pod: Pod): string {
  if (pod.metadata.deletionTimestamp !== undefined) return 'it is ending';
  const statuses = [...pod.status.initContainerStatuses, ...pod.status.containerStatuses];
  const waiting = statuses.find(({ state }) => state.waiting)?.state.waiting?.reason;
  if (waiting !== undefined && waiting !== '') return waiting;
  return pod.status.phase === 'Running' ? 'it runs, and is not ready yet' : pod.status.phase;
}

function ofSchedule({ status }: Pod): Finding[] {
  const scheduled = status.conditions.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status !== 'False') return [];
  return [
    {
      what: 'Room',
      says: 'no node has room for it, or its volume can not be had',
      evidence: [scheduled.message ?? 'Unschedulable'],
      next: 'Free what the message names (memory, CPU, a volume in the zone of the node), or lower `resources.requests`.',
      lasting: true,
    },
  ];
}

function ofWaiting({ status }: Pod): Finding[] {
  return [...status.initContainerStatuses, ...status.containerStatuses].flatMap(({ state }) => {
    const { waiting } = state;
    if (!waiting) return [];
    return IN_WAITING.filter(([pattern]) => pattern.test(waiting.reason)).map(([, finding]) => ({
      ...finding,
      evidence: [`${waiting.reason}: ${waiting.message}`.slice(0, 400)],
      lasting: true,
    }));
  });
}

/** It ended, perhaps again and again: its last words say why. */
async function ofEnds(on: Parameters<typeof lookAtPod>[0], { status }: Pod): Promise<Finding[]> {
  for (const each of [...status.initContainerStatuses, ...status.containerStatuses]) {
    const ended = each.state.terminated ?? each.lastState.terminated;
    if (!ended || ended.exitCode === 0 || each.ready) continue;
    if (ended.reason === 'OOMKilled')
      return [
        {
          what: 'Memory',
          says: 'it was killed, having used more memory than its limit',
          evidence: [`${each.name}: OOMKilled, exit code ${ended.exitCode}`],
          next: 'Raise `resources.limits.memory`: loading needs as much as the data takes, and a fork for saving more.',
          lasting: true,
        },
      ];
    const log = await lastWords({ ...on, container: each.name, ended: each.state.running === undefined });
    const found = findInLog(log);
    if (found.length > 0) return found;
    return [
      {
        what: 'Crash',
        says: `its container ${each.name} ends with exit code ${ended.exitCode}${each.restartCount > 0 ? `, ${each.restartCount} times so far` : ''}`,
        evidence: log.split('\n').filter(Boolean).slice(-5),
        next: 'Read its log (`kubectl logs --previous`), and go back to the former revision where it says nothing.',
        lasting: each.restartCount > 1,
      },
    ];
  }
  return [];
}

async function lastWords(on: Parameters<typeof lookAtPod>[0] & { ended: boolean }): Promise<string> {
  const { pod, container, ended, ...where } = on;
  const args = ['logs', pod, '-c', container, '--tail', '60'] as const;
  const now = await kubectl({ ...where, args: [...args] }).catch(() => '');
  if (ended && now !== '') return now;
  return kubectl({ ...where, args: [...args, '--previous'] }).catch(() => now);
}

async function ofProbes(on: Parameters<typeof lookAtPod>[0], pod: Pod): Promise<Finding[]> {
  const { pod: name, container: _, ...where } = on;
  const { items } = await getJson({
    ...where,
    what: [
      'events',
      '--field-selector',
      `involvedObject.name=${name},involvedObject.uid=${pod.metadata.uid}`,
    ],
    schema: Events,
  }).catch(() => ({ items: [] }));
  const failed = items.filter(({ message }) => /(Readiness|Liveness|Startup) probe failed/.test(message));
  const last = failed.at(-1);
  if (!last) return [];
  return [
    {
      what: 'Probe',
      says: 'it runs, and its probe fails',
      evidence: [last.message.slice(0, 300)],
      next: 'Where it is loading its data, wait. Else look whether the probe asks for what the new version has (password, TLS, path).',
      lasting: false,
    },
  ];
}

/** One sentence of all findings, for errors. */
export function saysOf(pod: string, { findings, standing }: Pick<PodLook, 'findings' | 'standing'>): string {
  if (findings.length === 0) return `${pod}: ${standing}`;
  return findings
    .map(({ says, evidence, next }) => `${pod}: ${says} (${evidence[0] ?? standing}). ${next}`)
    .join(' ');
}
