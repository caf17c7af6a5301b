/** Whether there is room in the cluster for more pods: nodes, quotas of the namespace, storage. Reads only. */
import { getJson, kubectl, type Namespace } from './kubectl.js';
import { Nodes, Quotas, StorageClasses, type StatefulSet } from './objects.js';
import { amountOf } from './quantity.js';

/** What one pod asks for: cores and bytes. */
export interface PodNeeds {
  cpu: number;
  memory: number;
  limits: { cpu: number; memory: number };
}

export interface Needs {
  pods: number;
  each: PodNeeds;
  /** Claims of each pod, with their bytes. */
  storage: number[];
  /** Undefined: the default one; null: none is asked for. */
  storageClass: string | undefined | null;
  /** Its pods put up with taints. */
  tolerates: boolean;
  /** Whether the StatefulSet itself is new too. */
  statefulSets: 0 | 1;
  /** Nodes that none of its pods may be on. */
  notOn: readonly string[];
}

/** Of a new StatefulSet with all its pods. */
export function needsOf({ spec }: StatefulSet): Needs {
  const { containers } = spec.template.spec;
  const sum = (of: 'requests' | 'limits', what: string) =>
    containers.reduce((all, { resources }) => all + amountOf(resources[of]?.[what]), 0);
  const [claim] = spec.volumeClaimTemplates;
  return {
    pods: spec.replicas,
    each: {
      cpu: sum('requests', 'cpu'),
      memory: sum('requests', 'memory'),
      limits: { cpu: sum('limits', 'cpu'), memory: sum('limits', 'memory') },
    },
    storage: spec.volumeClaimTemplates.map(({ spec: { resources } }) => amountOf(resources.requests.storage)),
    storageClass: claim ? claim.spec.storageClassName : null,
    tolerates: spec.template.spec.tolerations.length > 0,
    statefulSets: 1,
    notOn: [],
  };
}

const BY_NODE = 'kubernetes.io/hostname';

/** Of one more pod of a StatefulSet that is there, with pods on these nodes. */
export function needsOfOneMore(set: StatefulSet, nodes: readonly string[]): Needs {
  const rules =
    set.spec.template.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  const apart = rules.some(({ topologyKey }) => topologyKey === BY_NODE);
  return { ...needsOf(set), pods: 1, statefulSets: 0, notOn: apart ? nodes : [] };
}

export interface RoomLook {
  /** Of those that would fit now; null: the nodes may not be looked at. */
  fitting: number | null;
  /** Sentences: which quota lacks what. */
  lacking: string[];
  /** Why there would be no volume; empty: there will be one, as far as can be seen. */
  storage: string;
}

/** What every pod on a node takes; `redis-0|250m,1Gi;,;`. */
const PODS =
  '{range .items[*]}{.spec.nodeName}{"|"}{range .spec.containers[*]}{.resources.requests.cpu}{","}{.resources.requests.memory}{";"}{end}{"\\n"}{end}';
const UNENDED = 'status.phase!=Succeeded,status.phase!=Failed';

export async function roomFor(
  where: Namespace & { signal?: AbortSignal | undefined },
  needs: Needs,
): Promise<RoomLook> {
  return {
    fitting: await fittingOn(where, needs).catch(notPermitted),
    lacking: (await quotas(where, needs).catch(notPermitted)) ?? [],
    storage: (await storageFor(where, needs).catch(notPermitted)) ?? '',
  };
}

/** What belongs to the cluster, and not to the namespace, can't be asked for by everybody. */
function notPermitted(error: unknown): null {
  if (error instanceof Error && 'type' in error && error.type === 'NotPermitted') return null;
  throw error;
}

async function fittingOn(
  where: Namespace & { signal?: AbortSignal | undefined },
  { pods: wanted, each, tolerates, notOn }: Needs,
): Promise<number> {
  const { items } = await getJson({ ...where, what: ['nodes'], schema: Nodes });
  const text = await kubectl({
    ...where,
    args: ['get', 'pods', '--all-namespaces', '--field-selector', UNENDED, '-o', `jsonpath=${PODS}`],
  });
  const taken = new Map<string, { cpu: number; memory: number; pods: number }>();
  for (const line of text.split('\n')) {
    const [node = '', containers = ''] = line.split('|');
    if (node === '') continue;
    const sum = taken.get(node) ?? { cpu: 0, memory: 0, pods: 0 };
    sum.pods += 1;
    for (const container of containers.split(';').filter(Boolean)) {
      const [cpu = '', memory = ''] = container.split(',');
      sum.cpu += amountOf(cpu || 0);
      sum.memory += amountOf(memory || 0);
    }
    taken.set(node, sum);
  }
  let fit = 0;
  for (const { metadata, spec, status } of items) {
    const ready = status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True');
    const closed = spec.taints.some(({ effect }) => effect !== 'PreferNoSchedule') && !tolerates;
    if (!ready || spec.unschedulable || closed || notOn.includes(metadata.name)) continue;
    const used = taken.get(metadata.name) ?? { cpu: 0, memory: 0, pods: 0 };
    const free = (what: 'cpu' | 'memory' | 'pods') => amountOf(status.allocatable[what]) - used[what];
    const times = (what: 'cpu' | 'memory') =>
      each[what] > 0 ? Math.floor(free(what) / each[what]) : Number.POSITIVE_INFINITY;
    fit += Math.max(0, Math.min(times('cpu'), times('memory'), free('pods'), wanted));
  }
  return Math.min(fit, wanted);
}

async function quotas(
  where: Namespace & { signal?: AbortSignal | undefined },
  { pods, each, storage, statefulSets }: Needs,
): Promise<string[]> {
  const { items } = await getJson({ ...where, what: ['resourcequota'], schema: Quotas });
  const bytes = storage.reduce((sum, size) => sum + size, 0);
  const wanted: Record<string, number> = {
    pods,
    'count/pods': pods,
    cpu: pods * each.cpu,
    'requests.cpu': pods * each.cpu,
    memory: pods * each.memory,
    'requests.memory': pods * each.memory,
    'limits.cpu': pods * each.limits.cpu,
    'limits.memory': pods * each.limits.memory,
    persistentvolumeclaims: pods * storage.length,
    'requests.storage': pods * bytes,
    'count/statefulsets.apps': statefulSets,
  };
  return items.flatMap(({ metadata, status: { hard, used } }) =>
    Object.entries(hard).flatMap(([what, limit]) => {
      const more = wanted[what];
      return more === undefined || amountOf(used[what]) + more <= amountOf(limit)
        ? []
        : [`${metadata.name}: ${what} ${used[what] ?? 0} of ${limit} are used`];
    }),
  );
}

async function storageFor(
  where: Namespace & { signal?: AbortSignal | undefined },
  { storage, storageClass }: Needs,
): Promise<string> {
  // An empty name means a volume that somebody has made beforehand.
  if (storage.length === 0 || storageClass === null || storageClass === '') return '';
  const { items } = await getJson({ ...where, what: ['storageclass'], schema: StorageClasses });
  if (storageClass !== undefined)
    return items.some(({ metadata }) => metadata.name === storageClass)
      ? ''
      : `there is no storage class ${storageClass}`;
  const isDefault = 'storageclass.kubernetes.io/is-default-class';
  return items.some(({ metadata }) => metadata.annotations[isDefault] === 'true')
    ? ''
    : 'no storage class is named, and none is the default';
}
