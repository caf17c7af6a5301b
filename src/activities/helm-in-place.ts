/** The upgrade in place of a release with one Redis; the way back is in helm-in-place-back.ts. */
import type { Check } from '../contract.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { validateAfter, type AfterRestart } from '../kubernetes/validate.js';
import type { ReleaseFacts } from '../kubernetes/release.js';
import type { DataFiles } from '../kubernetes/restore-volume.js';
import type { Formats } from '../redis/format.js';
import { countKeys } from '../redis/keyspace.js';
import { roundTrip } from '../redis/round-trip.js';
import { saveNow, type Saved } from '../redis/save.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { atEndpoint, formatsAt } from './asking.js';
import { border } from './border.js';
import { filesOf } from './helm-volume.js';

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
