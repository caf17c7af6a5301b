/** The upgrade in place of a release with one Redis. */
import type { Check, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { milliseconds } from '../inputs/refs.js';
import { validateAfter, type AfterRestart } from '../kubernetes/validate.js';
import type { ReleaseFacts } from '../kubernetes/release.js';
import { endPod, podReady } from '../kubernetes/rollout.js';
import { lookAtPod } from '../kubernetes/why.js';
import { highestFormat, type Formats } from '../redis/format.js';
import { countKeys } from '../redis/keyspace.js';
import { roundTrip } from '../redis/round-trip.js';
import { saveNow, type Saved } from '../redis/save.js';
import { openConnection } from '../redis/resp.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { atEndpoint } from './asking.js';
import { border } from './border.js';
import { backToRevision } from './helm-release.js';

export type { Saved } from '../redis/save.js';

/** What the old server reads, and how it keeps its data: whether it can go on where the new one has written. */
export async function lookAtFormats(input: { endpoint: RedisEndpoint }): Promise<Formats> {
  return border(async (b) => {
    const address = await resolveEndpoint({ endpoint: input.endpoint, where: 'the pod', signal: b.signal });
    const connection = await openConnection({ address, name: b.hand, signal: b.signal });
    try {
      return await highestFormat(connection);
    } finally {
      connection.close();
    }
  });
}

/** BGSAVE until it has ended, and the keys that don't expire. */
export async function saveToDisk(input: {
  endpoint: RedisEndpoint;
  /** Title, for the progress. */
  step: string;
}): Promise<Saved & { keys: number; lasting: number }> {
  return border(async (b) => {
    const address = await resolveEndpoint({ endpoint: input.endpoint, where: 'the pod', signal: b.signal });
    const saved = await atEndpoint(b, { endpoint: input.endpoint, where: 'the pod' }, (client) =>
      saveNow({
        client,
        signal: b.signal,
        onLook: (seconds) =>
          b.show({ step: input.step, done: seconds, total: 0, unit: 'seconds', counts: {} }),
      }),
    );
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
  pod: string;
  container: string;
  image: string;
  readyWithin: string;
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
