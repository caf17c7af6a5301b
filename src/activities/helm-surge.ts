/**
 * A replica that a release has only while its pods are made anew, so that there is never one fewer than before: whether the chart allows it,
 * its claim, and its end. It never takes writes, so nothing is lost with it.
 */
import type { UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import type { HelmRollingSettings } from '../inputs/helm-rolling.js';
import { pathsOf } from '../inputs/kubernetes.js';
import { claimsThere, makeClaims, removeClaimsMade } from '../kubernetes/claims.js';
import { givenValues, history, rendered, type Chart, type Values } from '../kubernetes/helm.js';
import { getJson } from '../kubernetes/kubectl.js';
import { objectDifferences, objectsIn, type RenderedObject } from '../kubernetes/manifest.js';
import { Autoscalers, POD_NAME } from '../kubernetes/objects.js';
import type { ReleaseFacts } from '../kubernetes/release.js';
import { endPod, lookAtSet, podsGone, scale, setPartition } from '../kubernetes/rollout.js';
import { needsOfOneMore, roomFor, type RoomLook } from '../kubernetes/room.js';
import { statefulSetOf } from '../kubernetes/second-release.js';
import { differences, merged, putBack, valueAt, withValue } from '../kubernetes/values.js';
import { border, type Border } from './border.js';
import { inSet } from './helm-pods.js';
import { at, chartOf, type HelmFacts, type Rendering } from './helm-release.js';
import { giveRevision, type Brings } from './helm-revision.js';

/** What one replica more would be, and what stands in its way. No secrets. */
export interface SurgeFacts {
  pod: string;
  /** The values that say how many there are, and where the pods are held, as they were; undefined: not given. */
  was: { replicas: unknown; partition: unknown };
  /** With one more; null: no value brings that. */
  value: number | null;
  /** Why not; empty: it can be had. */
  refused: string;
  /** Sentences: what the upgrade of the release changes with it. */
  values: string[];
  objects: string[];
  claims: string[];
  /** Of these, the ones that are there already. */
  taken: string[];
  /** Who else sets the number of pods; null: that may not be looked at. */
  scaledBy: string[] | null;
  /** Null: it can't be had anyway. */
  room: RoomLook | null;
  /** Services that lead to replicas, by their labels: to this one too. */
  readers: string[];
}

/** What the steps are told of it: plain data, for undos too. */
export interface Surge extends Chart {
  pod: string;
  claims: string[];
  /** Its claims are known by it as made here. */
  mark: string;
  /** The value with one more. */
  path: string;
  value: number;
  /** The values that are put back at its end. */
  before: { path: string; was: unknown }[];
  brings: Brings;
}

type Here = Pick<Border<never>, 'signal' | 'workflowId' | 'runId'>;

/** Reads and renders only. */
export async function surgeOf(
  b: Here,
  on: { settings: HelmRollingSettings; helm: HelmFacts; rendering: Rendering },
): Promise<SurgeFacts> {
  const { settings, helm, rendering } = on;
  const { release } = helm;
  const { name, replicas } = release.statefulSet;
  const where = { ...at(settings), signal: b.signal };
  const paths = pathsOf(settings);
  const pod = `${name}-${replicas}`;
  const claims = claimsOf(release, pod);
  const before = merged(rendering.given, settings.values);
  const was = (path: string | null) => (path === null ? undefined : valueAt(before, path));
  const found =
    paths.replicas === null
      ? { refused: 'no value of this chart is known to set the number (`paths.replicas`)' }
      : await oneMore(b, { settings, rendering, path: paths.replicas, replicas });
  const { next } = found;
  return {
    pod,
    was: { replicas: was(paths.replicas), partition: was(paths.partition) },
    value: next?.value ?? null,
    refused: found.refused,
    values: next ? differences(rendering.given, next.values) : [],
    objects: next ? objectDifferences(rendering.old, next.objects) : [],
    claims,
    taken: await claimsThere(where, claims),
    scaledBy: await scalersOf(where, name),
    room: next
      ? await roomFor(
          where,
          needsOfOneMore(
            statefulSetOf(next.objects, release.shown),
            release.pods.map(({ node }) => node),
          ),
        )
      : null,
    readers: release.services
      .filter(
        ({ headless, pods, selector }) =>
          !headless && !(POD_NAME in selector) && pods.some((each) => each !== helm.primary),
      )
      .map(({ name: service }) => service),
  };
}

/** As the StatefulSet names them. */
function claimsOf({ statefulSet, pods }: ReleaseFacts, pod: string): string[] {
  const [first] = pods;
  if (!first) return [];
  const own = `-${first.name}`;
  return statefulSet.claims
    .filter((claim) => claim.endsWith(own))
    .map((claim) => `${claim.slice(0, -own.length)}-${pod}`);
}

interface OneMore {
  refused: string;
  next?: { value: number; values: Values; objects: RenderedObject[] };
}

/** Some charts count the primary among them and some do not: whichever value brings one pod more. */
async function oneMore(
  b: Here,
  on: { settings: HelmRollingSettings; rendering: Rendering; path: string; replicas: number },
): Promise<OneMore> {
  const { settings, rendering, path, replicas } = on;
  const stands = valueAt(rendering.values, path);
  const tried: string[] = [];
  for (const value of typeof stands === 'number' ? [stands + 1] : [replicas, replicas + 1]) {
    const values = withValue(rendering.values, path, value);
    const objects = await rendered({ ...at(settings), ...chartOf(settings), values, signal: b.signal }).then(
      objectsIn,
      (error: unknown) => {
        if (error instanceof FerryError && error.type === 'ProviderRefused') return error.message;
        throw error;
      },
    );
    if (typeof objects === 'string') {
      tried.push(`${path}: ${value} is refused (${objects})`);
      continue;
    }
    const set = setIn(objects);
    const pods = Number(valueAt(set, 'spec.replicas') ?? 1);
    if (pods !== replicas + 1) {
      tried.push(`${path}: ${value} makes ${pods}`);
      continue;
    }
    const more = differences(setIn(rendering.next), set).filter((line) => !line.startsWith('spec.replicas:'));
    return more.length === 0
      ? { refused: '', next: { value, values, objects } }
      : {
          refused: `with it the chart changes more of the StatefulSet than its number, and would make every pod anew at the end: ${more.slice(0, 3).join('; ')}`,
        };
  }
  return { refused: tried.join('; ') };
}

function setIn(objects: RenderedObject[]): RenderedObject | Record<string, never> {
  return objects.find(({ kind }) => kind === 'StatefulSet') ?? {};
}

async function scalersOf(
  where: Parameters<typeof claimsThere>[0],
  statefulSet: string,
): Promise<string[] | null> {
  try {
    const { items } = await getJson({ ...where, what: ['hpa'], schema: Autoscalers });
    return items
      .filter(({ spec: { scaleTargetRef: of } }) => of.kind === 'StatefulSet' && of.name === statefulSet)
      .map(({ metadata }) => metadata.name);
  } catch (error) {
    if (error instanceof FerryError && error.type === 'NotPermitted') return null;
    throw error;
  }
}

/** What all of these verbs are told. */
export interface OfSurge {
  release: ReleaseFacts;
  surge: Surge;
}

/** Its claims, before the StatefulSet would make them. */
export async function makeSurgeClaims({ release, surge }: OfSurge): Promise<void> {
  return border(async (b) => {
    await b.stillCurrent();
    await makeClaims({ ...inSet(b, release), pod: surge.pod, mark: surge.mark });
  });
}

/** Undo of the above, and its end. Those that were not made here stay, and it says so. */
export async function removeSurgeClaims(input: OfSurge): Promise<UndoResult> {
  return border<UndoResult>((b) => removeIn(b, input));
}

export async function removeIn(b: Here, { release, surge }: OfSurge): Promise<UndoResult> {
  const set = await lookAtSet(inSet(b, release));
  if (set.replicas > release.statefulSet.replicas || set.pods.some(({ name }) => name === surge.pod))
    throw new FerryError(
      'StillUsed',
      `the release ${release.shown} still has ${surge.pod}, so its claim is not removed`,
    );
  const { namespace, context } = release;
  const where = { namespace, context, signal: b.signal };
  const gone = await removeClaimsMade({ ...where, mark: surge.mark });
  const others = await claimsThere(where, surge.claims);
  return {
    note: gone.length === 0 ? 'no claim of it was there' : `${gone.join(', ')} is gone`,
    ...(others.length === 0
      ? {}
      : { left: others.map((claim) => `the claim ${namespace}/${claim}: it was not made by this upgrade`) }),
  };
}

/** The release without it, by a helm upgrade with the values of its own newest revision but for that. Every pod is held meanwhile. */
export async function endSurge(input: OfSurge): Promise<{ revision: number | null }> {
  return border<{ revision: number | null }, { since: number }>((b) => endIn(b, input));
}

export async function endIn(
  b: Parameters<typeof giveRevision>[0],
  { release, surge }: OfSurge,
): Promise<{ revision: number | null }> {
  const { chart, chartVersion, before, brings } = surge;
  const { replicas } = release.statefulSet;
  const on = { namespace: release.namespace, context: release.context, release: release.release };
  await setPartition({ ...inSet(b, release), partition: replicas });
  const deployed = (await history({ ...on, signal: b.signal })).findLast(
    ({ status }) => status === 'deployed',
  );
  const stands = await givenValues({
    ...on,
    revision: deployed?.revision ?? release.revision,
    signal: b.signal,
  });
  const without = before.reduce((values, { path, was }) => putBack(values, path, was), stands);
  const isDone = valueAt(stands, surge.path) !== surge.value;
  const { revision } = isDone
    ? { revision: deployed?.revision ?? null }
    : await giveRevision(b, {
        ...on,
        chart,
        chartVersion,
        values: without,
        from: release.revision,
        brings,
        label: ' end',
      });
  await surgeGone(b, { release, surge });
  return { revision };
}

/** Its pod, once the release has no room for it any more. A broken pod of a lower number would keep it there: it is ended here. */
export async function surgeGone(b: Here, { release, surge }: OfSurge): Promise<void> {
  const { namespace, context, statefulSet } = release;
  const where = { namespace, context, signal: b.signal };
  const set = await lookAtSet(inSet(b, release));
  // An attempt that was cut off had scaled it up again on the way back.
  if (set.replicas > statefulSet.replicas)
    await scale({ ...inSet(b, release), replicas: statefulSet.replicas });
  const left = set.pods.find(({ name }) => name === surge.pod);
  if (left) await endPod({ ...where, pod: surge.pod, uid: left.uid });
  await podsGone({ ...where, pods: [surge.pod], withinMs: ENDS_WITHIN_MS });
}

/** On the way back: one of the former version with an empty volume, as what a newer one wrote may not be readable for it. */
export async function surgeAnew(b: Here, { release, surge }: OfSurge): Promise<void> {
  const { replicas } = release.statefulSet;
  const set = await lookAtSet(inSet(b, release));
  // An attempt before this one came as far.
  if (set.replicas > replicas) return;
  await surgeGone(b, { release, surge });
  const { namespace, context } = release;
  await removeClaimsMade({ namespace, context, signal: b.signal, mark: surge.mark });
  await makeClaims({ ...inSet(b, release), pod: surge.pod, mark: surge.mark });
  await scale({ ...inSet(b, release), replicas: replicas + 1 });
}

/** A server saves at its end. */
const ENDS_WITHIN_MS = 10 * 60_000;
