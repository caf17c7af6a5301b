/** Bringing the pods of a StatefulSet to another revision one by one, and waiting for each. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import { getJson, kubectl, type Namespace } from './kubectl.js';
import { isOfSet, isReady, Pods, StatefulSet, type Pod } from './objects.js';
import { labelsOf, ordinalOf } from './release.js';
import { saysOf, lookAtPod, type PodLook } from './why.js';

export interface AtSet extends Namespace {
  statefulSet: string;
  signal?: AbortSignal | undefined;
}

/** Pods with a lower number stay as they are, whatever the template says. */
export async function setPartition(on: AtSet & { partition: number }): Promise<void> {
  const spec = { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: on.partition } } };
  await patchSet(on, { spec });
}

/** As it was found. */
export async function setStrategy(on: AtSet & { strategy: string; partition: number }): Promise<void> {
  if (on.strategy === 'RollingUpdate') return setPartition(on);
  await patchSet(on, { spec: { updateStrategy: { type: on.strategy, rollingUpdate: null } } });
}

async function patchSet(on: AtSet, patch: object): Promise<void> {
  const { statefulSet, ...where } = on;
  await kubectl({
    ...where,
    changes: true,
    args: ['patch', 'statefulset', statefulSet, '--type', 'merge', '-p', JSON.stringify(patch)],
  });
}

export async function scale(on: AtSet & { replicas: number }): Promise<void> {
  const { statefulSet, replicas, ...where } = on;
  await kubectl({
    ...where,
    changes: true,
    args: ['scale', 'statefulset', statefulSet, '--replicas', String(replicas)],
  });
}

/** Asks for its end and doesn't wait. Harmless where it is gone, or another one bears the name. */
export async function endPod(on: Namespace & { pod: string; uid: string }): Promise<void> {
  const { pod, uid, ...where } = on;
  const now = await kubectl({
    ...where,
    args: ['get', 'pod', pod, '--ignore-not-found', '-o', 'jsonpath={.metadata.uid}'],
  });
  if (now.trim() !== uid) return;
  await kubectl({
    ...where,
    changes: true,
    args: ['delete', 'pod', pod, '--ignore-not-found', '--wait=false'],
  });
}

export interface Awaited extends Namespace {
  pod: string;
  container: string;
  /** It must be another one than this. */
  notUid?: string | undefined;
  /** Its image must end so. */
  image?: string | undefined;
  /** It must be of this revision of the StatefulSet. */
  revision?: string | undefined;
  withinMs: number;
  signal: AbortSignal;
  /** Where it is, in a few words, at each look. */
  onLook?: (standing: string) => void;
  /** At each look at the pod that is waited for, ready or not. */
  meanwhile?: (look: PodLook) => Promise<void>;
}

const EVERY_MS = 1_000;
/** What won't pass by itself may look so for a moment, such as a volume that is about to be there. */
const LASTING_MS = 30_000;

/** @throws FerryError PodNotReady, with the reason and what to do; the signal's reason */
export async function podReady(on: Awaited): Promise<PodLook> {
  const until = Date.now() + on.withinMs;
  let hopelessSince: number | null = null;
  for (;;) {
    const look = await lookAtPod(on).catch((error: unknown) => {
      // Between its end and its new beginning there is none; and an API server may be away for a while.
      if (error instanceof FerryError && ['NotFound', 'ProviderUnavailable'].includes(error.type))
        return null;
      throw error;
    });
    on.signal.throwIfAborted();
    const isIt =
      look !== null &&
      look.pod.metadata.uid !== on.notUid &&
      (on.revision === undefined || revisionOf(look.pod) === on.revision) &&
      (on.image === undefined || look.pod.spec.containers.some(({ image }) => image === on.image));
    if (isIt) await on.meanwhile?.(look);
    if (isIt && look.ready) return look;
    on.onLook?.(isIt ? look.standing : 'it is not there yet');
    const hopeless = isIt && look.findings.some(({ lasting }) => lasting);
    hopelessSince = hopeless ? (hopelessSince ?? Date.now()) : null;
    const given = hopelessSince !== null && Date.now() - hopelessSince > LASTING_MS;
    if (given || Date.now() > until)
      throw new FerryError(
        'PodNotReady',
        isIt
          ? saysOf(`the pod ${on.namespace}/${on.pod}`, look)
          : `the pod ${on.namespace}/${on.pod} was not made anew within ${Math.round(on.withinMs / 1_000)} s`,
      );
    await sleep(EVERY_MS, undefined, { signal: on.signal });
  }
}

/** Which revision of its StatefulSet a pod was made of. */
export function revisionOf({ metadata }: Pod): string {
  return metadata.labels['controller-revision-hash'] ?? '';
}

export interface SetLook {
  /** Pods that are wanted. */
  replicas: number;
  partition: number;
  /** Of the template as it is now. */
  revision: string;
  pods: { name: string; ordinal: number; uid: string; revision: string; ready: boolean }[];
}

const OBSERVED_WITHIN_MS = 30_000;

/** As the controller has seen it: what was changed a moment ago counts. @throws FerryError ProviderUnavailable when it doesn't look */
export async function lookAtSet(on: AtSet): Promise<SetLook> {
  const { statefulSet, ...where } = on;
  for (const until = Date.now() + OBSERVED_WITHIN_MS; ; await sleep(200, undefined, { signal: on.signal })) {
    const { metadata, spec, status } = await getJson({
      ...where,
      what: ['statefulset', statefulSet],
      schema: StatefulSet,
    });
    if (status.observedGeneration < metadata.generation) {
      if (Date.now() <= until) continue;
      throw new FerryError(
        'ProviderUnavailable',
        `the controller has not looked at the StatefulSet ${on.namespace}/${statefulSet} for ${OBSERVED_WITHIN_MS / 1_000} s`,
      );
    }
    const { items } = await getJson({
      ...where,
      what: ['pods', '-l', labelsOf(spec.selector.matchLabels)],
      schema: Pods,
    });
    return {
      replicas: spec.replicas,
      partition: spec.updateStrategy.rollingUpdate?.partition ?? 0,
      revision: status.updateRevision,
      pods: items
        .filter((pod) => isOfSet(pod, statefulSet))
        .map((pod) => ({
          name: pod.metadata.name,
          ordinal: ordinalOf(pod.metadata.name),
          uid: pod.metadata.uid,
          revision: revisionOf(pod),
          ready: isReady(pod),
        })),
    };
  }
}

/** Until no pod of these is there. @throws FerryError PodNotReady */
export async function podsGone(
  on: Namespace & { pods: readonly string[]; withinMs: number; signal: AbortSignal },
): Promise<void> {
  const { pods, withinMs, signal, ...where } = on;
  for (const until = Date.now() + withinMs; ; await sleep(EVERY_MS, undefined, { signal })) {
    const left = await kubectl({
      ...where,
      args: ['get', 'pod', ...pods, '--ignore-not-found', '-o', 'name'],
    });
    if (left.trim() === '') return;
    if (Date.now() > until)
      throw new FerryError('PodNotReady', `still there: ${left.trim().replaceAll('\n', ', ')}`);
  }
}
