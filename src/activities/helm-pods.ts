/** The pods of a release: waiting for one to serve, sending one away, and what holds them up. */
import { milliseconds } from '../inputs/refs.js';
import type { ReleaseFacts } from '../kubernetes/release.js';
import { endPod, podReady } from '../kubernetes/rollout.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { describe, type ServerFacts } from '../redis/describe.js';
import { formatsAt } from './asking.js';
import { border, type Border } from './border.js';
import { endpointOf, mustRun } from './helm-release.js';

/** Its StatefulSet, as those that change it are told. */
export function inSet(
  { signal }: Pick<Border<never>, 'signal'>,
  { namespace, context, statefulSet }: ReleaseFacts,
) {
  return { namespace, context, statefulSet: statefulSet.name, signal };
}

export interface PodServes {
  /** From when it was asked for. */
  seconds: number;
  uid: string;
  server: ServerFacts;
  /** RDB version that it writes; null: it didn't tell. */
  writes: number | null;
}

/** Waits until a pod is another one than `uid`, of the new image, ready, and its server answers with its data. */
export async function waitForPod(input: {
  release: ReleaseFacts;
  pod: string;
  /** Of the pod that it takes the place of. */
  uid: string;
  /** What its server must be. */
  version: string;
  /** Milliseconds since 1970 when it was asked for. */
  since: number;
  readyWithin: string;
  /** Title, for the progress. */
  step: string;
}): Promise<PodServes> {
  return border((b) => podServes(b, input));
}

async function podServes(
  b: Pick<Border<never>, 'signal' | 'hand' | 'show'>,
  input: Parameters<typeof waitForPod>[0],
): Promise<PodServes> {
  const { release, pod, uid, version, since, readyWithin, step } = input;
  const { namespace, context, statefulSet } = release;
  const total = Math.round(milliseconds(readyWithin) / 1_000);
  const { pod: now } = await podReady({
    namespace,
    context,
    pod,
    container: statefulSet.container,
    notUid: uid,
    withinMs: Math.max(0, since + milliseconds(readyWithin) - Date.now()),
    signal: b.signal,
    onLook: () =>
      b.show({
        step,
        done: Math.round((Date.now() - since) / 1_000),
        total,
        unit: 'seconds',
        counts: {},
      }),
  });
  const endpoint = endpointOf(release, pod);
  const address = await resolveEndpoint({ endpoint, where: 'the pod', signal: b.signal });
  const server = await describe({ address, name: b.hand, signal: b.signal });
  mustRun({ namespace, pod, version: server.version, wanted: version });
  const { highest: writes } = await formatsAt(b, address);
  return { seconds: Math.round((Date.now() - since) / 100) / 10, uid: now.metadata.uid, server, writes };
}

/** Where the controller leaves that to people (OnDelete). Harmless where another pod bears the name. */
export async function replacePod(input: { release: ReleaseFacts; pod: string; uid: string }): Promise<void> {
  const { release, pod, uid } = input;
  return border(async (b) => {
    const { namespace, context } = release;
    await b.stillCurrent();
    await endPod({ namespace, context, pod, uid });
  });
}
