/** The way back of an upgrade in place: the old version on a volume that it reads, and nothing lost unless a person said so. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Told, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import { milliseconds, type RedisEndpoint } from '../inputs/refs.js';
import type { DataFiles } from '../kubernetes/restore-volume.js';
import {
  endPod,
  lookAtSet,
  podReady,
  podsGone,
  scale,
  setPartition,
  setStrategy,
} from '../kubernetes/rollout.js';
import { lookAtPod, type PodLook } from '../kubernetes/why.js';
import { pauseWrites, resumeWrites } from '../redis/pause.js';
import { settingsNamed } from '../redis/settings.js';
import { writtenSince } from '../redis/written.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { formatsAt, onServer } from './asking.js';
import { border, type Border } from './border.js';
import { backToRevision, type Brings } from './helm-revision.js';
import { ENDS_WITHIN_MS, intoVolume } from './helm-volume.js';

export interface BackInPlace {
  namespace: string;
  context?: string | undefined;
  release: string;
  /** What is gone back to. */
  revision: number;
  /** Missing in journals of before. */
  brings?: Brings;
  statefulSet: string;
  replicas: number;
  pod: string;
  container: string;
  image: string;
  readyWithin: string;
  /** How the new version is ended before it has written anything. Missing in journals of before. */
  unsaved?: Unsaved;
  /** It was said what would be lost, and asked for once more. */
  told?: Told | undefined;
}

export interface Unsaved {
  endpoint: RedisEndpoint;
  /** Of the StatefulSet, to be put back. */
  strategy: string;
  partition: number;
  /** RDB versions that the old one reads; null: it did not say. */
  accepts: readonly number[] | null;
  /** The old one sees nothing of the append-only files once the new one was started. */
  otherAof: boolean;
  /** What the backup lacks. */
  loses: string;
  restore: RestoreInPlace;
}

export interface RestoreInPlace {
  namespace: string;
  context?: string | undefined;
  release: string;
  statefulSet: string;
  pod: string;
  claim: string;
  image: string;
  securityContext: Record<string, unknown>;
  /** False: the old version reads what stands there, or it is looked at while the release goes back. */
  needed: boolean;
  files: DataFiles | null;
  rdb: { path: string; sha256: string } | null;
}

/**
 * Undo: where the old version doesn't read what the new one has written, the backup is put into the volume. The release is at 0 pods
 * then, and what the new one has written stands beside it.
 */
export async function restoreInPlace(input: RestoreInPlace): Promise<UndoResult> {
  return border<UndoResult>((b) => restoreIn(b, input));
}

async function restoreIn(b: Parameters<typeof intoVolume>[0], input: RestoreInPlace): Promise<UndoResult> {
  const { namespace, claim, files, rdb } = input;
  if (!input.needed) return { note: 'the volume is left as it is' };
  if (!files || !rdb)
    throw new FerryError('BackupFailed', 'there is no backup to put into the volume (backup: false)');
  const { aside } = await intoVolume(b, { ...input, files, rdb, pods: [input.pod] });
  return {
    note: 'the backup is in the volume',
    left: [`What the new version wrote stands in ${aside} of the claim ${namespace}/${claim}`],
  };
}

/** What was asked before it is gone on with. */
interface Asked {
  asked: 'loss';
}

/**
 * A new server would save at its end what the old version may not read. So before it ends it is told not to; where it has taken writes, or
 * saved, a person is asked first. Until then the controller is held: it would end that pod, or make it, at any moment.
 * @throws FerryError WouldLose
 */
async function endUnsaved(
  b: Border<Asked>,
  input: BackInPlace,
  unsaved: Unsaved,
): Promise<'unchanged' | 'ended' | 'wrote'> {
  const { namespace, context, statefulSet, replicas, pod, container, image, readyWithin } = input;
  const where = { namespace, context, signal: b.signal };
  await setPartition({ ...where, statefulSet, partition: replicas });
  const set = await lookAtSet({ ...where, statefulSet });
  const until = Date.now() + milliseconds(readyWithin);
  for (; ; await sleep(500, undefined, { signal: b.signal })) {
    const look = await lookAtPod({ ...where, pod, container }).catch(unlessGone);
    if (!look && set.replicas === 0) return 'ended';
    const old = look?.pod.spec.containers.some((each) => each.image === image) === true;
    if (old && look?.pod.metadata.deletionTimestamp === undefined) return 'unchanged';
    // Ended while it starts it would load its data, and save it, in the seconds that it is given.
    const said = look && !old ? await quieten(b, input, { unsaved, look }) : 'no word';
    b.show({
      step: `Back: ${look?.standing ?? 'the pod is made'}`,
      done: 0,
      total: 0,
      unit: 'steps',
      counts: {},
    });
    if (said === 'no word' && Date.now() < until) continue;
    await b.stillCurrent();
    await scale({ ...where, statefulSet, replicas: 0 });
    await podsGone({ ...where, pods: [pod], withinMs: ENDS_WITHIN_MS });
    return said === 'wrote' ? 'wrote' : 'ended';
  }
}

/** Longer than it takes to end a pod. */
const QUIET_MS = 15 * 60_000;

async function quieten(
  b: Border<Asked>,
  input: BackInPlace,
  { unsaved, look }: { unsaved: Unsaved; look: PodLook },
): Promise<'ended' | 'wrote' | 'no word'> {
  const { namespace, context, pod, statefulSet, told } = input;
  const accepted = (told?.checkpoint as Asked | undefined)?.asked === 'loss';
  const ask = async (what: string): Promise<void> => {
    if (accepted) return;
    const { strategy, partition } = unsaved;
    await setStrategy({ namespace, context, signal: b.signal, statefulSet, strategy, partition });
    b.beat({ asked: 'loss' });
    throw new FerryError(
      'WouldLose',
      `the new version runs in ${namespace}/${pod}, and the old one does not read what it writes: going back loses ${what}`,
    );
  };
  const states = look.pod.status.containerStatuses;
  // There is no process, and will be none.
  const hopeless = look.findings.some(({ lasting, what }) => lasting && what !== 'Probe');
  if (unsaved.otherAof) {
    const began = states.some(({ state, lastState }) =>
      Boolean(state.running ?? state.terminated ?? lastState.terminated),
    );
    if (!began) return hopeless ? 'ended' : 'no word';
    await ask(unsaved.loses);
    return 'wrote';
  }
  if (hopeless) return 'ended';
  if (!states.some(({ state }) => state.running)) return 'no word';
  const address = await resolveEndpoint({
    endpoint: unsaved.endpoint,
    where: 'the pod',
    signal: b.signal,
  }).catch(unlessAway);
  const formats = address && (await formatsAt(b, address).catch(unlessAway));
  if (!address || !formats) return 'no word';
  // What it saves is read by the old one: nothing is lost by letting it.
  if (formats.highest !== null && unsaved.accepts?.includes(formats.highest)) return 'ended';
  return onServer(b, address, async (client) => {
    const { save = '' } = await settingsNamed({ client, names: ['save'] });
    await client.call('CONFIG', 'SET', 'save', '');
    await pauseWrites({ client, ms: QUIET_MS });
    try {
      const { commands, saved } = await writtenSince({ client });
      if (saved) await ask(unsaved.loses);
      else if (commands > 0)
        await ask(`the ${commands} commands that have written to it since it was started`);
      return saved ? 'wrote' : 'ended';
    } catch (error) {
      // It goes on serving until that is decided.
      await client.call('CONFIG', 'SET', 'save', save);
      await resumeWrites({ client });
      throw error;
    }
  });
}

/** It is not up yet, or not any more; what loads its data saves nothing at its end. */
function unlessAway(error: unknown): null {
  if (error instanceof FerryError && ['Unreachable', 'Loading', 'NotFound'].includes(error.type)) return null;
  throw error;
}

function unlessGone(error: unknown): null {
  if (error instanceof FerryError && error.type === 'NotFound') return null;
  throw error;
}

/**
 * Undo: the release at its recorded revision, and its pod of the old image, ready. A broken pod is not replaced by the controller, whatever
 * the release says: it is ended here.
 */
export async function goBackInPlace(input: BackInPlace): Promise<UndoResult> {
  return border<UndoResult, Asked>(async (b) => {
    const { namespace, context, statefulSet, pod, container, image, readyWithin, unsaved } = input;
    const where = { namespace, context, signal: b.signal };
    const found = unsaved ? await endUnsaved(b, input, unsaved) : null;
    const { left = [] } =
      unsaved && found === 'wrote' ? await restoreIn(b, { ...unsaved.restore, needed: true }) : {};
    const letGo = async () => {
      if (!unsaved) return;
      const { strategy, partition } = unsaved;
      await setStrategy({ ...where, statefulSet, strategy, partition });
    };
    // A pod that is held would be made anew of the revision that ran last, which may be the new one. One that is as it was stays held.
    if (found !== 'unchanged') await letGo();
    const note = await backToRevision(b, input);
    if (found === 'unchanged') await letGo();
    // It was ended, or an attempt to restore its volume may have left it at 0.
    await scale({ ...where, statefulSet, replicas: input.replicas });
    const look = await lookAtPod({ ...where, pod, container }).catch(unlessGone);
    const isOld = look?.pod.spec.containers.some((each) => each.image === image) === true;
    if (look && !isOld) await endPod({ ...where, pod, uid: look.pod.metadata.uid });
    await podReady({ ...where, pod, container, image, withinMs: milliseconds(readyWithin) });
    return {
      note: isOld && look.ready ? `${note}; the pod had not changed` : `${note}; ${pod} is back`,
      ...(left.length > 0 ? { left } : {}),
    };
  });
}
