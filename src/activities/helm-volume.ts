/** The files of a server on its volume, and giving it others while it does not run. */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { restoreVolume, type DataFiles } from '../kubernetes/restore-volume.js';
import { podsGone, scale } from '../kubernetes/rollout.js';
import { settingsNamed } from '../redis/settings.js';
import type { Border } from './border.js';

/** Where the server keeps its files. */
export async function filesOf(client: Redis, mountPath: string): Promise<DataFiles> {
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

export interface IntoVolume {
  namespace: string;
  context?: string | undefined;
  statefulSet: string;
  /** All of its pods. */
  pods: readonly string[];
  /** Of the first one. */
  claim: string;
  image: string;
  securityContext: Record<string, unknown>;
  files: DataFiles;
  rdb: { path: string; sha256: string };
}

type Here = Pick<Border<never>, 'signal' | 'workflowId' | 'runId' | 'show'> & {
  stillCurrent: () => Promise<void>;
};

/** A server that saves at its end may take its whole grace period. */
const ENDS_WITHIN_MS = 10 * 60_000;

/** The StatefulSet is at 0 pods afterwards. `aside`: the folder on the volume that holds what stood there. */
export async function intoVolume(b: Here, on: IntoVolume): Promise<{ aside: string }> {
  const { namespace, context, statefulSet, pods, ...rest } = on;
  const where = { namespace, context, signal: b.signal };
  await b.stillCurrent();
  await scale({ ...where, statefulSet, replicas: 0 });
  await podsGone({ ...where, pods, withinMs: ENDS_WITHIN_MS });
  return restoreVolume({
    ...where,
    ...rest,
    id: createHash('sha256').update(`${b.workflowId} ${b.runId}`).digest('hex').slice(0, 10),
    onStep: (step) => b.show({ step, done: 0, total: 0, unit: 'steps', counts: {} }),
  });
}
