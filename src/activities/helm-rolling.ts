/** The upgrade of a release with replicas, pod by pod: what it is, holding its pods, and the replicas first. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { UndoResult } from '../contract.js';
import { FerryError, type FailureType } from '../errors.js';
import type { HelmRollingSettings } from '../inputs/helm-rolling.js';
import { milliseconds } from '../inputs/refs.js';
import { switchoverBetween, type SwitchoverSettings } from '../inputs/redis-switchover.js';
import type { Repoint } from '../inputs/repoint.js';
import { ordinalOf, type ReleaseFacts } from '../kubernetes/release.js';
import { lookAtSet, podReady, setPartition, setStrategy } from '../kubernetes/rollout.js';
import { describe } from '../redis/describe.js';
import { connectionName } from '../redis/hands.js';
import { followBefore, type FollowBefore } from '../redis/replication/follow.js';
import { roleOf, type Role } from '../redis/replication/role.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { atEndpoint } from './asking.js';
import { border, type Border } from './border.js';
import { inSet } from './helm-pods.js';
import { endpointOf, mustRun, renderedFacts, servicesTo, type HelmFacts } from './helm-release.js';
import { surgeOf, type Surge, type SurgeFacts } from './helm-surge.js';
import { coupleOf, type CoupleFacts } from './replicating.js';

export interface Replica {
  pod: string;
  /** Whom it follows, by its configuration. */
  at: { host: string; port: number };
  follow: FollowBefore;
}

export interface RollingFacts {
  helm: HelmFacts;
  /** Lowest number first. */
  replicas: (Replica & { linkUp: boolean; lagBytes: number; ofPrimary: boolean })[];
  /** The one that takes over meanwhile: the highest, which is upgraded first. Null without a replica, or a Service. */
  pair: (CoupleFacts & { settings: SwitchoverSettings; pod: string }) | null;
  /** Null where none is asked for; missing in histories of before. */
  surge?: SurgeFacts | null;
}

/** What the steps are told: plain data, for undos too. */
export interface Rolling {
  release: ReleaseFacts;
  primary: string;
  promoted: string;
  /** Lowest number first. */
  replicas: Replica[];
  primaryFollow: FollowBefore;
  targetVersion: string;
  /** The chart's values set the partition, so a revision brings one along. */
  chartSets: boolean;
  readyWithin: string;
  /** The last one of `replicas` goes at the end; undefined: none does. */
  surge?: Surge;
}

/** Those that were there before. */
export function lasting({ replicas, surge }: Rolling): Replica[] {
  return replicas.filter(({ pod }) => pod !== surge?.pod);
}

export async function describeRolling({
  settings,
}: {
  settings: HelmRollingSettings;
}): Promise<RollingFacts> {
  return border(async (b) => {
    const { facts: helm, rendering } = await renderedFacts(b, settings);
    const { release, primary } = helm;
    const head = await roleAt(b, release, primary);
    const replicas: RollingFacts['replicas'] = [];
    for (const { name: pod } of release.pods) {
      if (pod === primary) continue;
      const { role, before } = await atPod(b, release, pod, async (client) => ({
        role: await roleOf({ client }),
        before: await followBefore({ client }),
      }));
      const { host = '', port = 0, linkUp = false } = role.follows ?? {};
      replicas.push({
        pod,
        at: { host, port },
        follow: before,
        linkUp,
        lagBytes: Math.max(0, head.offset - role.offset),
        ofPrimary: role.replId === head.replId,
      });
    }
    const promoted = replicas.at(-1)?.pod;
    const repoint = repointTo(helm, { promoted, first: settings.service });
    const surge = settings.surge ? await surgeOf(b, { settings, helm, rendering }) : null;
    if (promoted === undefined || repoint === null) return { helm, replicas, pair: null, surge };
    const pairSettings = switchoverSettings({ settings, helm, promoted, repoint });
    const pair = await coupleOf(b, pairSettings);
    return { helm, replicas, pair: { ...pair, settings: pairSettings, pod: promoted }, surge };
  });
}

/** Those Services that lead to the primary alone. One that leads to all pods is for reading. */
function repointTo(
  { release, primary }: HelmFacts,
  { promoted, first = release.statefulSet.name }: { promoted: string | undefined; first: string | undefined },
): Repoint | null {
  const services = release.services
    .filter(({ headless, pods }) => !headless && pods.length === 1 && pods[0] === primary)
    // The one that the applications use moves first.
    .toSorted((a, b) => Number(b.name === first) - Number(a.name === first));
  if (services.length === 0 || promoted === undefined) return null;
  return servicesTo(release, { services, pod: promoted });
}

function switchoverSettings(on: {
  settings: HelmRollingSettings;
  helm: HelmFacts;
  promoted: string;
  repoint: Repoint;
}): SwitchoverSettings {
  const { settings, helm, promoted, repoint } = on;
  return switchoverBetween(settings, {
    source: endpointOf(helm.release, helm.primary),
    target: endpointOf(helm.release, promoted),
    repoint,
    // A replica holds what its primary does.
    ifTargetHasKeys: 'replace',
  });
}

/** No pod is made anew from here on, whatever the template says. */
export async function holdPods({ release }: { release: ReleaseFacts }): Promise<void> {
  return border(async (b) => {
    await setPartition({ ...inSet(b, release), partition: release.statefulSet.replicas });
  });
}

/** The controller has its strategy back as it was. Refuses where it would make pods anew at once. */
export async function letGoOfPods({ release }: { release: ReleaseFacts }): Promise<UndoResult> {
  return border(async (b) => {
    await letGo(b, release);
    return { note: 'the strategy of the StatefulSet is as it was' };
  });
}

export async function letGo(b: Here, release: ReleaseFacts): Promise<void> {
  const { partition, strategy } = release.statefulSet;
  const set = await lookAtSet(inSet(b, release));
  const others = set.pods.filter((pod) => pod.ordinal >= partition && pod.revision !== set.revision);
  if (others.length > 0)
    throw new FerryError(
      'Unclear',
      `${others.map(({ name }) => name).join(', ')} ${others.length === 1 ? 'is' : 'are'} not of the newest template: the controller would make ${others.length === 1 ? 'it' : 'them'} anew at once, the primary too`,
    );
  await setStrategy({ ...inSet(b, release), strategy, partition });
}

export interface Rolled {
  pod: string;
  version: string;
  /** Until it was in step with its primary. */
  seconds: number;
}

/** One replica after the other, the highest first. Those that are upgraded and in step already are left alone. */
export async function rollReplicas(input: { rolling: Rolling; step: string }): Promise<Rolled[]> {
  return border<Rolled[], Rolled[]>(async (b) => {
    const { rolling, step } = input;
    const done: Rolled[] = [...(b.last ?? [])];
    for (const { pod } of rolling.replicas.toReversed()) {
      if (done.some((each) => each.pod === pod)) continue;
      done.push(await rollReplica(b, rolling, { pod, step, before: done.length }));
      b.beat(done);
    }
    return done;
  });
}

async function rollReplica(
  b: Here & Pick<Border<never>, 'stillCurrent' | 'show'>,
  rolling: Rolling,
  { pod, step, before }: { pod: string; step: string; before: number },
): Promise<Rolled> {
  const { release, replicas, readyWithin, targetVersion, primary } = rolling;
  const began = Date.now();
  const withinMs = milliseconds(readyWithin);
  const show = () =>
    b.show({
      step: `${step}: ${pod}`,
      done: before,
      total: replicas.length,
      unit: 'pods',
      counts: { seconds: Math.round((Date.now() - began) / 1_000) },
    });
  show();
  const set = await lookAtSet(inSet(b, release));
  const ordinal = ordinalOf(pod);
  await b.stillCurrent();
  if (set.partition > ordinal) await setPartition({ ...inSet(b, release), partition: ordinal });
  await ready(b, rolling, { pod, revision: set.revision, withinMs, onLook: show });
  const { version } = await describedPod(b, release, pod);
  mustRun({ namespace: release.namespace, pod, version, wanted: targetVersion });
  await inStep(b, { release, primary, pod, withinMs, onLook: show });
  return { pod, version, seconds: Math.round((Date.now() - began) / 100) / 10 };
}

export async function ready(
  b: Here,
  { release }: Pick<Rolling, 'release'>,
  on: { pod: string; revision: string; withinMs: number } & Pick<
    Parameters<typeof podReady>[0],
    'onLook' | 'meanwhile'
  >,
): Promise<void> {
  const { namespace, context, statefulSet } = release;
  await podReady({ namespace, context, container: statefulSet.container, signal: b.signal, ...on });
}

/** What passes by itself while a pod, or the API server, is away. */
const PASSING: readonly FailureType[] = ['Unreachable', 'NotFound', 'ProviderUnavailable', 'Loading'];

/** @throws what is asked, unless it passes by itself: null then */
export async function unlessAway<T>(asked: Promise<T>): Promise<T | null> {
  return asked.catch((error: unknown) => {
    if (error instanceof FerryError && PASSING.includes(error.type)) return null;
    throw error;
  });
}

/** Until a replica has every byte that its primary had when it was asked. A primary that is made anew meanwhile is waited for. */
export async function inStep(
  b: Here,
  on: { release: ReleaseFacts; primary: string; pod: string; withinMs: number; onLook?: () => void },
): Promise<void> {
  const { release, primary, pod, withinMs, onLook } = on;
  const until = Date.now() + withinMs;
  for (let says = ''; ; await sleep(300, undefined, { signal: b.signal })) {
    b.signal.throwIfAborted();
    onLook?.();
    const head = await unlessAway(roleAt(b, release, primary));
    const role = head && (await unlessAway(roleAt(b, release, pod)));
    if (head && head.role !== 'primary')
      throw new FerryError('Unclear', `${release.namespace}/${primary} takes no writes any more`);
    if (role && head && isInStep(role, head)) return;
    says = !head
      ? `${primary} does not answer`
      : !role
        ? `${pod} does not answer`
        : role.follows?.linkUp !== true
          ? 'its link is down'
          : `it is ${Math.max(0, head.offset - role.offset)} bytes behind`;
    if (Date.now() > until)
      throw new FerryError(
        'PodNotReady',
        `the pod ${release.namespace}/${pod} did not get into step with ${primary}: ${says}. The log of ${pod} says why: a login that is refused, or a format that it can't load`,
      );
  }
}

function isInStep(role: Role, head: Role): boolean {
  return role.follows?.linkUp === true && role.replId === head.replId && role.offset >= head.offset;
}

export type Here = Pick<Border<never>, 'signal' | 'workflowId' | 'runId' | 'hand' | 'show' | 'stillCurrent'>;

export function atPod<T>(
  b: Here,
  release: ReleaseFacts,
  pod: string,
  use: Parameters<typeof atEndpoint<T>>[2],
): Promise<T> {
  return atEndpoint(b, { endpoint: endpointOf(release, pod), where: pod }, use);
}

export function roleAt(b: Here, release: ReleaseFacts, pod: string): Promise<Role> {
  return atPod(b, release, pod, (client) => roleOf({ client }));
}

export async function describedPod(b: Here, release: ReleaseFacts, pod: string) {
  const address = await resolveEndpoint({
    endpoint: endpointOf(release, pod),
    where: pod,
    signal: b.signal,
  });
  return describe({ address, name: connectionName(b.workflowId), signal: b.signal });
}
