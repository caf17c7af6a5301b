/** The upgrade in place of a release with one Redis. */
import type { Check, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { milliseconds } from '../inputs/refs.js';
import { validateAfter, type AfterRestart } from '../kubernetes/validate.js';
import type { ReleaseFacts } from '../kubernetes/release.js';
import type { DataFiles } from '../kubernetes/restore-volume.js';
import { endPod, podReady, scale } from '../kubernetes/rollout.js';
import { lookAtPod } from '../kubernetes/why.js';
import type { Formats } from '../redis/format.js';
import { countKeys } from '../redis/keyspace.js';
import { roundTrip } from '../redis/round-trip.js';
import { saveNow, type Saved } from '../redis/save.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { atEndpoint, formatsAt } from './asking.js';
import { border } from './border.js';
import { backToRevision } from './helm-release.js';
import { filesOf, intoVolume } from './helm-volume.js';

export interface SavedToDisk extends Saved {
  keys: number;
  /** Those that don't expire. */
  lasting: number;
  files: DataFiles;
}

/** What the old server reads, and how it keeps its data: whether it can go on where the new one has written. */
export async function lookAtFormats(input: { endpoint: RedisEndpoint }): Promise<Formats> {
  return border(async (b) => {
    const address = await resolveEndpoint({ endpoint: input.endpoint, where: 'the pod', signal: b.signal });
    return formatsAt(b, address);
  });
}

/** BGSAVE until it has ended, and the keys that don't expire. */
export async function saveToDisk(input: {
  endpoint: RedisEndpoint;
  /** Where the pod has its volume. */
  mountPath: string;
  /** Title, for the progress. */
  step: string;
}): Promise<SavedToDisk> {
  return border(async (b) => {
    const address = await resolveEndpoint({ endpoint: input.endpoint, where: 'the pod', signal: b.signal });
    const saved = await atEndpoint(b, { endpoint: input.endpoint, where: 'the pod' }, async (client) => ({
      ...(await saveNow({
        client,
        signal: b.signal,
        onLook: (seconds) =>
          b.show({ step: input.step, done: seconds, total: 0, unit: 'seconds', counts: {} }),
      })),
      files: await filesOf(client, input.mountPath),
    }));
    const { keys, lasting } = await countKeys({ address, name: b.hand, signal: b.signal });
    return { ...saved, keys, lasting };
  });
}

/** After it: version, role, keys, a key written and read, saving, and that the Service leads there. */
export async function validateInPlace(input: {
  release: ReleaseFacts;
  endpoint: RedisEndpoint;
  version: string;
  service: string;
  before: AfterRestart['before'];
}): Promise<Check[]> {
  return border(async (b) => {
    const { release, endpoint, version, service, before } = input;
    const address = await resolveEndpoint({ endpoint, where: 'the pod', signal: b.signal });
    return validateAfter({
      where: { namespace: release.namespace, context: release.context, signal: b.signal },
      release,
      service,
      version,
      before,
      address,
      name: b.hand,
      written: await atEndpoint(b, { endpoint, where: 'the pod' }, (client) => roundTrip({ client })),
    });
  });
}

export interface BackInPlace {
  namespace: string;
  context?: string | undefined;
  release: string;
  /** What is gone back to. */
  revision: number;
  statefulSet: string;
  replicas: number;
  pod: string;
  container: string;
  image: string;
  readyWithin: string;
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
  /** False: the old version reads what stands there, or the new one has written nothing. */
  needed: boolean;
  files: DataFiles | null;
  rdb: { path: string; sha256: string } | null;
}

/**
 * Undo: where the old version doesn't read what the new one has written, the backup is put into the volume. The release is at 0 pods
 * then, and what the new one has written stands beside it.
 */
export async function restoreInPlace(input: RestoreInPlace): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { namespace, claim, files, rdb } = input;
    if (!input.needed) return { note: 'the volume is left as it is' };
    if (!files || !rdb)
      throw new FerryError('BackupFailed', 'there is no backup to put into the volume (backup: false)');
    const { aside } = await intoVolume(b, { ...input, files, rdb, pods: [input.pod] });
    return {
      note: 'the backup is in the volume',
      left: [`What the new version wrote stands in ${aside} of the claim ${namespace}/${claim}`],
    };
  });
}

/**
 * Undo: the release at its recorded revision, and its pod of the old image, ready. A broken pod is not replaced by the controller, whatever
 * the release says: it is ended here.
 */
export async function goBackInPlace(input: BackInPlace): Promise<UndoResult> {
  return border(async (b) => {
    const { namespace, context, pod, container, image, readyWithin } = input;
    const where = { namespace, context, signal: b.signal };
    const note = await backToRevision(b, input);
    // An attempt to restore its volume may have left it at 0.
    await scale({ ...where, statefulSet: input.statefulSet, replicas: input.replicas });
    const look = await lookAtPod({ ...where, pod, container }).catch((error: unknown) => {
      if (error instanceof FerryError && error.type === 'NotFound') return null;
      throw error;
    });
    const isOld = look?.pod.spec.containers.some((each) => each.image === image) === true;
    if (look && !isOld) await endPod({ ...where, pod, uid: look.pod.metadata.uid });
    await podReady({ ...where, pod, container, image, withinMs: milliseconds(readyWithin) });
    return { note: isOld && look.ready ? `${note}; the pod had not changed` : `${note}; ${pod} is back` };
  });
}
