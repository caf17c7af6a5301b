/**
 * The claims of a pod that a StatefulSet does not have yet. Made beforehand they bear a label of ours, and the set takes them as its own: so it
 * is certain which claims were made here, and none of somebody else's is ever removed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { FerryError } from '../errors.js';
import { getJson, kubectl, type Namespace } from './kubectl.js';

type Where = Namespace & { signal?: AbortSignal | undefined };

/** Its value tells which upgrade made the claim. */
export const MARK = 'redis-ferry/surge';

const Templates = z.object({
  spec: z.object({
    selector: z.object({ matchLabels: z.record(z.string(), z.string()).default({}) }),
    volumeClaimTemplates: z
      .array(
        z.object({
          metadata: z.looseObject({
            name: z.string(),
            labels: z.record(z.string(), z.string()).default({}),
            annotations: z.record(z.string(), z.string()).default({}),
          }),
          spec: z.looseObject({}),
        }),
      )
      .default([]),
  }),
});

const Named = z.object({ items: z.array(z.object({ metadata: z.object({ name: z.string() }) })) });

/** Of these, the ones that are there. */
export async function claimsThere(where: Where, claims: readonly string[]): Promise<string[]> {
  if (claims.length === 0) return [];
  const there = await kubectl({
    ...where,
    args: ['get', 'pvc', ...claims, '--ignore-not-found', '-o', 'name'],
  });
  return there.split('\n').flatMap((line) => line.split('/').slice(1));
}

/**
 * As the StatefulSet itself would make them for that pod. Harmless where they were made already.
 * @throws FerryError ProviderRefused where one of that name is somebody else's
 */
export async function makeClaims(
  on: Where & { statefulSet: string; pod: string; mark: string },
): Promise<void> {
  const { statefulSet, pod, mark, ...where } = on;
  const { spec } = await getJson({ ...where, what: ['statefulset', statefulSet], schema: Templates });
  const ours = await marked(where, mark);
  for (const template of spec.volumeClaimTemplates) {
    const { name: prefix, labels, annotations } = template.metadata;
    const name = `${prefix}-${pod}`;
    if (ours.includes(name)) continue;
    const claim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, annotations, labels: { ...labels, ...spec.selector.matchLabels, [MARK]: mark } },
      spec: template.spec,
    };
    await kubectl({
      ...where,
      changes: true,
      args: ['create', '-f', '-'],
      input: JSON.stringify(claim),
    }).catch((error: unknown) => {
      if (error instanceof FerryError && /already exists/.test(error.message))
        throw new FerryError(
          'ProviderRefused',
          `there is a claim ${where.namespace}/${name} by now, which was not made here: it may hold old data. Delete it once you are sure that nobody needs it (kubectl delete pvc ${name} -n ${where.namespace}), then retry`,
        );
      throw error;
    });
  }
}

const GONE_WITHIN_MS = 3 * 60_000;

/** Those that were made here, and no others; harmless where there are none. Waits until they are gone. Returns their names. */
export async function removeClaimsMade(on: Where & { mark: string; signal: AbortSignal }): Promise<string[]> {
  const { mark, ...where } = on;
  const made = await marked(where, mark);
  if (made.length === 0) return [];
  await kubectl({
    ...where,
    changes: true,
    args: ['delete', 'pvc', '-l', `${MARK}=${mark}`, '--ignore-not-found', '--wait=false'],
  });
  for (const until = Date.now() + GONE_WITHIN_MS; ; await sleep(500, undefined, { signal: on.signal })) {
    const left = await marked(where, mark);
    if (left.length === 0) return made;
    if (Date.now() > until)
      throw new FerryError(
        'NotReady',
        `the claims ${left.join(', ')} of ${where.namespace} are not gone: something still uses them`,
      );
  }
}

async function marked(where: Where, mark: string): Promise<string[]> {
  const what = ['pvc', '-l', `${MARK}=${mark}`];
  const { items } = await getJson({ ...where, what, schema: Named });
  return items.map(({ metadata }) => metadata.name);
}
