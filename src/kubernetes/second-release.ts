/** A second release beside the first: what it would be made of, what stands in its way, and taking it away again. */
import { FerryError } from '../errors.js';
import {
  history,
  rendered,
  uninstall,
  type Chart,
  type Release,
  type Revision,
  type Values,
} from './helm.js';
import { getJson, kubectl, type Namespace } from './kubectl.js';
import { objectsIn, type RenderedObject } from './manifest.js';
import { POD_NAME, Pods, selects, Services, StatefulSet } from './objects.js';
import { amountOf } from './quantity.js';
import { labelsOf, redisContainer, portOf } from './release.js';
import { podsGone } from './rollout.js';
import { needsOf, roomFor, type RoomLook } from './room.js';
import { secretEntry } from './secret.js';
import { isObject, valueAt } from './values.js';

/** What the second release would be. No secrets. */
export interface SecondLook {
  release: string;
  statefulSet: string;
  container: string;
  port: number;
  /** All of them, the primary first. */
  pods: string[];
  claims: string[];
  /** Bytes of each pod's volume; null: none. */
  storage: number | null;
  /** Bytes that its container may take; null: no limit. */
  memoryLimit: number | null;
  /** Kind and name of each object. */
  objects: string[];
  /** Those that are there already, or a release of that name. */
  taken: string[];
  /** Services that would lead to its pods as soon as they are ready. */
  selectedBy: string[];
  /** Pods of others that it would take for its own. */
  mistakes: string[];
  room: RoomLook;
}

type Where = Namespace & { signal?: AbortSignal | undefined };

/** @throws FerryError, with the chart's own words where it can't be rendered */
export async function lookAtSecond(
  on: Release & Chart & { values: Values },
): Promise<{ look: SecondLook; objects: RenderedObject[] }> {
  const { namespace, context, release, signal } = on;
  const where: Where = { namespace, context, signal };
  const objects = objectsIn(await rendered(on));
  const set = statefulSetOf(objects, `${namespace}/${release}`);
  const { name } = set.metadata;
  const { template, replicas, volumeClaimTemplates: templates } = set.spec;
  const container = redisContainer(template.spec.containers);
  const pods = Array.from({ length: replicas }, (_, ordinal) => `${name}-${ordinal}`);
  const claims = templates.flatMap(({ metadata }) => pods.map((pod) => `${metadata.name ?? 'data'}-${pod}`));
  const limit = container.resources.limits?.['memory'];
  return {
    objects,
    look: {
      release,
      statefulSet: name,
      container: container.name,
      port: portOf(container),
      pods,
      claims,
      storage: templates[0] ? amountOf(templates[0].spec.resources.requests.storage) : null,
      memoryLimit: limit === undefined ? null : amountOf(limit),
      objects: objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
      taken: await taken(where, { release, objects, claims }),
      selectedBy: await selectedBy(where, { objects, set, pods }),
      mistakes: await mistakes(where, set),
      room: await roomFor(where, needsOf(set)),
    },
  };
}

/** @throws FerryError ProviderRefused where it isn't one */
export function statefulSetOf(objects: RenderedObject[], shown: string): StatefulSet {
  const sets = objects.filter(({ kind }) => kind === 'StatefulSet');
  const parsed = StatefulSet.safeParse(sets[0]);
  if (sets.length === 1 && parsed.success) return parsed.data;
  throw new FerryError(
    'ProviderRefused',
    `${shown} would have ${sets.length} StatefulSets that are understood, and not one`,
  );
}

async function taken(
  where: Where,
  on: { release: string; objects: RenderedObject[]; claims: string[] },
): Promise<string[]> {
  const last = (await revisionsOf({ ...where, release: on.release })).at(-1);
  const names = [
    ...on.objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`),
    ...on.claims.map((claim) => `persistentvolumeclaim/${claim}`),
  ] as const;
  const there = await kubectl({ ...where, args: ['get', ...names, '--ignore-not-found', '-o', 'name'] });
  return [
    ...(last ? [`the release ${on.release} (revision ${last.revision}, ${last.status})`] : []),
    ...there.split('\n').filter(Boolean),
  ];
}

/** None where there is no such release. */
export async function revisionsOf(on: Release): Promise<Revision[]> {
  return history(on).catch((error: unknown) => {
    if (error instanceof FerryError && error.type === 'NotFound') return [];
    throw error;
  });
}

async function selectedBy(
  where: Where,
  on: { objects: RenderedObject[]; set: StatefulSet; pods: string[] },
): Promise<string[]> {
  const own = on.objects.filter(({ kind }) => kind === 'Service').map(({ metadata }) => metadata.name);
  const labels = on.set.spec.template.metadata.labels ?? {};
  const { items } = await getJson({ ...where, what: ['services'], schema: Services });
  return items
    .filter(
      ({ metadata, spec }) =>
        !own.includes(metadata.name) &&
        on.pods.some((pod) => selects(spec.selector, { ...labels, [POD_NAME]: pod })),
    )
    .map(({ metadata, spec }) => `${metadata.name} (${labelsOf(spec.selector)})`);
}

async function mistakes(where: Where, { spec, metadata }: StatefulSet): Promise<string[]> {
  const labels = labelsOf(spec.selector.matchLabels);
  if (labels === '') return ['every pod'];
  const { items } = await getJson({ ...where, what: ['pods', '-l', labels], schema: Pods });
  return items
    .filter(
      ({ metadata: { ownerReferences } }) => !ownerReferences.some(({ name }) => name === metadata.name),
    )
    .map(({ metadata: { name } }) => name);
}

/** Whether its pods would have the same password as `password`; null: where theirs comes from can't be seen. */
export async function hasPassword(
  where: Where,
  on: { objects: RenderedObject[]; password: string | null },
): Promise<boolean | null> {
  const set = statefulSetOf(on.objects, 'the second release');
  const ref = redisContainer(set.spec.template.spec.containers).env.find(({ name }) =>
    /^(REDIS_PASSWORD|REDISCLI_AUTH|VALKEY_PASSWORD)$/.test(name),
  )?.valueFrom?.secretKeyRef;
  if (!ref) return on.password === null ? true : null;
  const made = on.objects.find(({ kind, metadata }) => kind === 'Secret' && metadata.name === ref.name);
  const next = made
    ? entryOf(made, ref.key)
    : await secretEntry({ ...where, name: ref.name, key: ref.key }).catch(() => null);
  return next === null ? null : next.trim() === (on.password ?? '');
}

function entryOf(secret: RenderedObject, key: string): string | null {
  const [plain, encoded] = [valueAt(secret, 'stringData'), valueAt(secret, 'data')].map((entries) =>
    isObject(entries) ? entries[key] : undefined,
  );
  if (typeof plain === 'string') return plain;
  return typeof encoded === 'string' ? Buffer.from(encoded, 'base64').toString('utf8') : null;
}

/** Services, but for those of the release itself, that lead to one of these pods now. */
export async function leadingTo(
  where: Where,
  on: { release: string; pods: readonly string[] },
): Promise<string[]> {
  const { items: services } = await getJson({ ...where, what: ['services'], schema: Services });
  const { items: pods } = await getJson({ ...where, what: ['pods'], schema: Pods });
  const theirs = on.pods.map(
    (name) => pods.find(({ metadata }) => metadata.name === name)?.metadata.labels ?? {},
  );
  return services
    .filter(
      ({ metadata, spec }) =>
        metadata.annotations['meta.helm.sh/release-name'] !== on.release &&
        on.pods.some((pod, index) => selects(spec.selector, { ...theirs[index], [POD_NAME]: pod })),
    )
    .map(({ metadata }) => metadata.name);
}

/** Uninstalls it, and waits until its pods are gone. Claims stay. Harmless where there is none. */
export async function takeAway(on: Where & { release: string; pods: readonly string[] }): Promise<void> {
  const { pods, release, namespace, context, signal = NEVER } = on;
  await uninstall({ release, namespace, context, signal });
  await podsGone({ namespace, context, pods, withinMs: GONE_WITHIN_MS, signal });
}

const GONE_WITHIN_MS = 3 * 60_000;
const NEVER = new AbortController().signal;

export async function removeClaims(on: Where & { claims: readonly string[] }): Promise<void> {
  const { claims, ...where } = on;
  if (claims.length === 0) return;
  await kubectl({
    ...where,
    changes: true,
    args: ['delete', 'pvc', ...claims, '--ignore-not-found', '--wait=false'],
  });
}
