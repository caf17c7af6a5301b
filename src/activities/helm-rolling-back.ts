/** The way back of a release that was upgraded pod by pod: its former revision, and every upgraded replica made anew as a copy. */
import type { UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import { milliseconds } from '../inputs/refs.js';
import type { ReleaseFacts } from '../kubernetes/release.js';
import { endPod, lookAtSet, podReady, setPartition, type SetLook } from '../kubernetes/rollout.js';
import { removeAside, setAside } from '../kubernetes/set-aside.js';
import { border } from './border.js';
import { inSet } from './helm-pods.js';
import { backToRevision, type Brings } from './helm-revision.js';
import {
  atPod,
  inStep,
  lasting,
  ready,
  roleAt,
  unlessAway,
  type Here,
  type Rolling,
} from './helm-rolling.js';
import { surgeAnew, surgeGone } from './helm-surge.js';

export interface GoBackRolling {
  rolling: Rolling;
  /** What is gone back to. */
  revision: number;
  /** Missing in journals of before. */
  brings?: Brings;
}

/**
 * Undo: the release at its recorded revision, and every pod of it, one replica after the other. What the new version wrote may not be
 * readable for the old one, so a replica's files are set aside on its volume before it ends: it is a copy, and gets everything anew.
 */
export async function goBackRolling({ rolling, revision, brings }: GoBackRolling): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { release, primary, readyWithin, surge } = rolling;
    const head = await roleAt(b, release, primary);
    if (head.role !== 'primary')
      throw new FerryError(
        'Unclear',
        `${release.namespace}/${primary} takes no writes, so no replica is made anew as a copy of it`,
      );
    const asides = new Map<string, string>();
    const before = await lookAtSet(inSet(b, release));
    if (surge) await nobodyAway(b, rolling, before);
    // A pod that is made anew from here on is of the former revision.
    await setPartition({ ...inSet(b, release), partition: release.statefulSet.replicas });
    const note = await backToRevisionWith(b, { rolling, revision, brings, asides, changed: before });
    const set = await lookAtSet(inSet(b, release));
    const without = await surgeBack(b, rolling, set);
    const replicas = lasting(rolling);
    const back: string[] = [];
    for (const { pod } of replicas.toReversed()) {
      const now = set.pods.find(({ name }) => name === pod);
      const withinMs = milliseconds(readyWithin);
      b.show({
        step: `Back: ${pod}`,
        done: back.length,
        total: replicas.length,
        unit: 'pods',
        counts: {},
      });
      if (now && now.revision !== set.revision) {
        if (!asides.has(pod)) await asideOf(b, release, pod, asides);
        await b.stillCurrent();
        await endPod({ ...inSet(b, release), pod, uid: now.uid });
        back.push(pod);
      }
      await ready(b, rolling, { pod, revision: set.revision, withinMs });
      await inStep(b, { release, primary, pod, withinMs });
    }
    if (surge) await surgeGone(b, { release, surge });
    const left = await withoutAsides(b, release, asides);
    const made = back.length === 0 ? 'no pod had changed' : `${back.join(', ')} made anew`;
    return {
      note: [note, made, ...without].join('; '),
      ...(left.length === 0 ? {} : { left }),
    };
  });
}

/** One that is just coming up. */
const COMES_WITHIN_MS = 60_000;

/** The rollback ends the surge replica: one that is about to be there is waited for, or two would be away. One that can't come is not. */
async function nobodyAway(b: Here, rolling: Rolling, set: SetLook): Promise<void> {
  for (const { pod } of lasting(rolling)) {
    if (set.pods.some(({ name, ready: is }) => name === pod && is)) continue;
    b.show({ step: `Back: until ${pod} is there`, done: 0, total: 1, unit: 'pods', counts: {} });
    const { namespace, context, statefulSet } = rolling.release;
    const { container } = statefulSet;
    const on = { namespace, context, pod, container, withinMs: COMES_WITHIN_MS, signal: b.signal };
    await podReady(on).catch((error: unknown) => {
      if (!(error instanceof FerryError && error.type === 'PodNotReady')) throw error;
    });
  }
}

/**
 * The former revision has no room for a surge replica. It comes once more, in the former version, where replicas are still to be made anew and
 * none is away already. Where it can't be had they are made anew all the same. Returns what is to be said.
 */
async function surgeBack(
  b: Here,
  { release, primary, readyWithin, chartSets, surge }: Rolling,
  set: SetLook,
): Promise<string[]> {
  if (!surge) return [];
  const { replicas } = release.statefulSet;
  const own = set.pods.filter(({ name }) => name !== surge.pod);
  const changed = own.some(({ name, revision }) => name !== primary && revision !== set.revision);
  const whole = own.length === replicas && own.every((pod) => pod.ready);
  // Its controller makes them anew by itself.
  if (!changed || chartSets || !(whole || set.replicas > replicas)) {
    await surgeGone(b, { release, surge });
    return [];
  }
  const { pod } = surge;
  b.show({ step: `Back: ${pod}`, done: 0, total: replicas, unit: 'pods', counts: {} });
  try {
    const withinMs = milliseconds(readyWithin);
    await surgeAnew(b, { release, surge });
    await ready(b, { release }, { pod, revision: set.revision, withinMs });
    await inStep(b, { release, primary, pod, withinMs });
    return [];
  } catch (error) {
    if (!(error instanceof FerryError) || error.retryable) throw error;
    await surgeGone(b, { release, surge });
    return [`there was one replica less meanwhile, as ${pod} could not be had: ${error.message}`];
  }
}

/** Where the chart sets the partition, its former revision lets the controller act at once: every copy is set aside before that. */
async function backToRevisionWith(
  b: Here,
  on: {
    rolling: Rolling;
    revision: number;
    brings: Brings | undefined;
    asides: Map<string, string>;
    changed: SetLook;
  },
): Promise<string> {
  const { rolling, revision, brings, asides, changed } = on;
  const { release, chartSets } = rolling;
  const old = changed.pods.find(({ name }) => name === rolling.primary)?.revision;
  if (chartSets)
    for (const { pod } of lasting(rolling))
      if (changed.pods.find(({ name }) => name === pod)?.revision !== old)
        await asideOf(b, release, pod, asides);
  return backToRevision(b, {
    namespace: release.namespace,
    context: release.context,
    release: release.release,
    revision,
    brings,
  });
}

/** One that does not run has nothing open; it may never have run. */
async function asideOf(
  b: Here,
  release: ReleaseFacts,
  pod: string,
  asides: Map<string, string>,
): Promise<void> {
  const { namespace, context, statefulSet } = release;
  const folder = await unlessAway(
    atPod(b, release, pod, (client) =>
      setAside({ namespace, context, pod, container: statefulSet.container, signal: b.signal, client }),
    ),
  );
  if (folder !== null) asides.set(pod, folder);
}

async function withoutAsides(
  b: Here,
  release: ReleaseFacts,
  asides: ReadonlyMap<string, string>,
): Promise<string[]> {
  const { namespace, context, statefulSet } = release;
  const left: string[] = [];
  for (const [pod, folder] of asides)
    await removeAside({
      namespace,
      context,
      pod,
      container: statefulSet.container,
      folder,
      signal: b.signal,
    }).catch(() => left.push(`what the new version wrote stands in ${folder} of ${namespace}/${pod}`));
  return left;
}
