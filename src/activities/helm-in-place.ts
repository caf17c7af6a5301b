/** The upgrade in place of a release with one Redis. */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Check, Told, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { milliseconds } from '../inputs/refs.js';
import { validateAfter, type AfterRestart } from '../kubernetes/validate.js';
import type { ReleaseFacts } from '../kubernetes/release.js';
import { restoreVolume, type DataFiles } from '../kubernetes/restore-volume.js';
import { endPod, podReady, podsGone, scale } from '../kubernetes/rollout.js';
import { lookAtPod } from '../kubernetes/why.js';
import type { Formats } from '../redis/format.js';
import { settingsNamed } from '../redis/settings.js';
import { writtenSince } from '../redis/written.js';
import { countKeys } from '../redis/keyspace.js';
import { roundTrip } from '../redis/round-trip.js';
import { saveNow, type Saved } from '../redis/save.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { atEndpoint, formatsAt } from './asking.js';
import { border, type Border } from './border.js';
import { backToRevision, type Brings } from './helm-release.js';

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

/** Where the server keeps its files. */
async function filesOf(client: Redis, mountPath: string): Promise<DataFiles> {
  const names = ['dir', 'dbfilename', 'appendonly', 'appendfilename', 'appenddirname'];
  const settings = await settingsNamed({ client, names });
  return {
    mountPath,
    dir: settings['dir'] ?? mountPath,
    dbfilename: settings['dbfilename'] ?? 'dump.rdb',
    aof:
      settings['appendonly'] === 'yes'
        ? {
            appendfilename: settings['appendfilename'] ?? 'appendonly.aof',
            appenddirname: settings['appenddirname'] ?? null,
          }
        : null,
  };
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
  /** Missing in journals of before. */
  brings?: Brings;
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
  /** False: the old version reads what stands there, or the new one has written nothing. Null: it is looked at. */
  needed: boolean | null;
  /** Where it is looked at. */
  look?: {
    endpoint: RedisEndpoint;
    container: string;
    /** RDB versions that the old one reads; null: it did not say. */
    accepts: readonly number[] | null;
    /** The old one sees nothing of the append-only files once the new one was started. */
    otherAof: boolean;
    /** What the backup lacks. */
    loses: string;
  };
  /** It was said what would be lost, and asked for once more. */
  told?: Told | undefined;
  files: DataFiles | null;
  rdb: { path: string; sha256: string } | null;
}

/**
 * Undo: where the old version doesn't read what the new one has written, the backup is put into the volume. The release is at 0 pods
 * then, and what the new one has written stands beside it.
 */
export async function restoreInPlace(input: RestoreInPlace): Promise<UndoResult> {
  return border<UndoResult, Asked>(async (b) => {
    const { namespace, context, statefulSet, pod, claim, image, securityContext, files, rdb } = input;
    if (!(input.needed ?? (await wroteOtherwise(b, input)))) return { note: 'the volume is left as it is' };
    if (!files || !rdb)
      throw new FerryError('BackupFailed', 'there is no backup to put into the volume (backup: false)');
    const where = { namespace, context, signal: b.signal };
    await b.stillCurrent();
    await scale({ ...where, statefulSet, replicas: 0 });
    await podsGone({ ...where, pods: [pod], withinMs: ENDS_WITHIN_MS });
    const { aside } = await restoreVolume({
      ...where,
      id: createHash('sha256').update(`${b.workflowId} ${b.runId}`).digest('hex').slice(0, 10),
      claim,
      image,
      securityContext,
      files,
      rdb,
      onStep: (step) => b.show({ step, done: 0, total: 0, unit: 'steps', counts: {} }),
    });
    return {
      note: 'the backup is in the volume',
      left: [`What the new version wrote stands in ${aside} of the claim ${namespace}/${claim}`],
    };
  });
}

/** What was asked before it is gone on with. */
interface Asked {
  asked: 'loss';
}

/**
 * Whether the volume holds what the old version doesn't read. A new server that has saved nothing yet would do so at its end: it is told not
 * to. Where it has taken writes, these are lost either way, and a person is asked first.
 * @throws FerryError WouldLose
 */
async function wroteOtherwise(b: Border<Asked>, input: RestoreInPlace): Promise<boolean> {
  const { namespace, context, pod, image, look, told } = input;
  if (!look) return false;
  const found = await lookAtPod({
    namespace,
    context,
    signal: b.signal,
    pod,
    container: look.container,
  }).catch(unlessGone);
  if (!found || found.pod.spec.containers.some((each) => each.image === image)) return false;
  const accepted = (told?.checkpoint as Asked | undefined)?.asked === 'loss';
  const ask = (what: string): void => {
    if (accepted) return;
    b.beat({ asked: 'loss' });
    throw new FerryError(
      'WouldLose',
      `the new version runs in ${namespace}/${pod}, and the old one does not read what it writes: going back loses ${what}`,
    );
  };
  const began = found.pod.status.containerStatuses.some(({ state, lastState }) =>
    Boolean(state.running ?? state.terminated ?? lastState.terminated),
  );
  if (look.otherAof) {
    if (began) ask(look.loses);
    return began;
  }
  // One that does not answer has loaded nothing that it could save.
  const formats = await resolveEndpoint({ endpoint: look.endpoint, where: 'the pod', signal: b.signal })
    .then((address) => formatsAt(b, address))
    .catch((error: unknown) => {
      if (error instanceof FerryError && !found.ready && ['Unreachable', 'Loading'].includes(error.type))
        return null;
      throw error;
    });
  if (formats === null || (formats.highest !== null && look.accepts?.includes(formats.highest))) return false;
  return atEndpoint(b, { endpoint: look.endpoint, where: 'the pod' }, async (client) => {
    const { save = '' } = await settingsNamed({ client, names: ['save'] });
    await client.call('CONFIG', 'SET', 'save', '');
    const since = await writtenSince({ client });
    try {
      if (since.saved) ask(look.loses);
      else if (since.commands > 0)
        ask(`the ${since.commands} commands that have written to it since it was started`);
    } catch (error) {
      // It goes on serving until that is decided.
      await client.call('CONFIG', 'SET', 'save', save);
      throw error;
    }
    return since.saved;
  });
}

function unlessGone(error: unknown): null {
  if (error instanceof FerryError && error.type === 'NotFound') return null;
  throw error;
}

/** A server that saves at its end may take its whole grace period. */
const ENDS_WITHIN_MS = 10 * 60_000;

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
    const look = await lookAtPod({ ...where, pod, container }).catch(unlessGone);
    const isOld = look?.pod.spec.containers.some((each) => each.image === image) === true;
    if (look && !isOld) await endPod({ ...where, pod, uid: look.pod.metadata.uid });
    await podReady({ ...where, pod, container, image, withinMs: milliseconds(readyWithin) });
    return { note: isOld && look.ready ? `${note}; the pod had not changed` : `${note}; ${pod} is back` };
  });
}
