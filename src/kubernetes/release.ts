/** What a release is right now: its StatefulSet, its pods, and the Services that lead there. Reads only. */
import { z } from 'zod';
import { FerryError } from '../errors.js';
import type { SecretRef } from '../inputs/refs.js';
import { history, manifest, pendingSays, type Release } from './helm.js';
import { getJson, type Namespace } from './kubectl.js';
import { objectsIn, type RenderedObject } from './manifest.js';
import {
  DisruptionBudgets,
  isOfSet,
  isReady,
  Pods,
  selects,
  Services,
  StatefulSet,
  type Container,
  type Pod,
} from './objects.js';

export interface PodFacts {
  name: string;
  uid: string;
  /** The number at the end of its name. */
  ordinal: number;
  ready: boolean;
  phase: string;
  image: string;
  restarts: number;
  node: string;
}

export interface ServiceFacts {
  name: string;
  selector: Record<string, string>;
  /** Pods of the StatefulSet that it leads to. */
  pods: string[];
  headless: boolean;
}

export interface ReleaseFacts {
  /** Names the cluster: the UID of its kube-system namespace. */
  cluster: string;
  namespace: string;
  context?: string;
  release: string;
  /** The revision that is deployed. */
  revision: number;
  chart: string;
  /** What people call the whole of it. */
  shown: string;
  statefulSet: {
    name: string;
    uid: string;
    replicas: number;
    /** As the controller wants it: "RollingUpdate" or "OnDelete". */
    strategy: string;
    partition: number;
    /** Every pod is of the newest template. */
    settled: boolean;
    container: string;
    port: number;
    image: string;
    /** Bytes that each pod's claim asks for, as Kubernetes writes them; null: no claim. */
    storage: string | null;
    claims: string[];
    dataPath: string | null;
    /** Of the pods: who may write to the volume. */
    securityContext: Record<string, unknown>;
    graceSeconds: number;
    requests: Record<string, string>;
  };
  pods: PodFacts[];
  services: ServiceFacts[];
  password: SecretRef | null;
  /** Sentences about its disruption budgets; empty: it has none. */
  budgets: string[];
  probes: { liveness: ProbeFacts | null; readiness: ProbeFacts | null; startup: ProbeFacts | null };
  /** Who else changes these objects: labels and annotations of Argo CD, Flux and operators. */
  managedBy: string[];
}

export interface ProbeFacts {
  /** Seconds that a pod has before it counts as failed. */
  patienceSeconds: number;
}

export interface ReleaseOptions extends Release {
  /** Of Redis, where the pods' own is not to be used. */
  password?: SecretRef | undefined;
}

/**
 * @throws FerryError NotFound without such a release; Locked where helm left it as pending; ProviderRefused where it is of a kind that
 *   can't be upgraded here
 */
export async function describeRelease(on: ReleaseOptions): Promise<ReleaseFacts> {
  const { namespace, context, release, signal } = on;
  const where = { namespace, context, signal };
  const shown = `${namespace}/${release}`;
  const deployed = await deployedRevision(on);
  const objects = objectsIn(await manifest({ ...on, revision: deployed.revision }));
  const name = statefulSetIn(objects, shown);
  const set = await getJson({ ...where, what: ['statefulset', name], schema: StatefulSet });
  const template = set.spec.template.spec;
  const container = redisContainer(template.containers);
  refuseOthers(objects, template.containers, shown);
  const labels = set.spec.selector.matchLabels;
  const { items } = await getJson({ ...where, what: ['pods', '-l', labelsOf(labels)], schema: Pods });
  const pods = items.filter((pod) => isOfSet(pod, name)).toSorted(byOrdinal);
  const { items: services } = await getJson({ ...where, what: ['services'], schema: Services });
  const { items: budgets } = await getJson({ ...where, what: ['pdb'], schema: DisruptionBudgets });
  const templates = set.spec.volumeClaimTemplates;
  const mount = container.volumeMounts.find(
    ({ name: volume }) => templates.some(({ metadata }) => metadata.name === volume) || volume === 'data',
  );
  return {
    cluster: await clusterOf(where),
    namespace,
    ...(context === undefined ? {} : { context }),
    release,
    revision: deployed.revision,
    chart: deployed.chart,
    shown,
    statefulSet: {
      name,
      uid: set.metadata.uid,
      replicas: set.spec.replicas,
      strategy: set.spec.updateStrategy.type,
      partition: set.spec.updateStrategy.rollingUpdate?.partition ?? 0,
      settled: set.status.currentRevision === set.status.updateRevision,
      container: container.name,
      port: portOf(container),
      image: container.image,
      storage: templates[0]?.spec.resources.requests.storage ?? null,
      claims: templates.flatMap(({ metadata }) =>
        pods.map((pod) => `${metadata.name ?? 'data'}-${pod.metadata.name}`),
      ),
      dataPath: mount?.mountPath ?? null,
      securityContext: { ...template.securityContext, ...userOf(container) },
      graceSeconds: template.terminationGracePeriodSeconds,
      requests: Object.fromEntries(
        Object.entries(container.resources.requests ?? {}).map(([resource, amount]) => [
          resource,
          String(amount),
        ]),
      ),
    },
    pods: pods.map((pod) => podFacts(pod, container.name)),
    services: services.flatMap(({ metadata, spec }) => {
      const chosen = pods.filter((pod) => selects(spec.selector, pod.metadata.labels));
      return chosen.length === 0
        ? []
        : [
            {
              name: metadata.name,
              selector: spec.selector,
              pods: chosen.map((pod) => pod.metadata.name),
              headless: spec.clusterIP === 'None',
            },
          ];
    }),
    password: on.password ?? passwordOf(container, on),
    budgets: budgets
      .filter(({ spec }) => pods.some((pod) => selects(spec.selector.matchLabels, pod.metadata.labels)))
      .map(({ metadata, spec }) =>
        spec.minAvailable === undefined
          ? `${metadata.name}: at most ${spec.maxUnavailable ?? 1} may be away`
          : `${metadata.name}: at least ${spec.minAvailable} must be there`,
      ),
    probes: {
      liveness: patience(container.livenessProbe),
      readiness: patience(container.readinessProbe),
      startup: patience(container.startupProbe),
    },
    managedBy: managersIn({ ...set.metadata.labels, ...set.metadata.annotations }),
  };
}

/** The deployed one. A release that is pending, or has failed, is nothing to begin with. */
async function deployedRevision(on: Release) {
  const revisions = await history(on);
  const last = revisions.at(-1);
  const deployed = revisions.findLast(({ status }) => status === 'deployed');
  if (last?.status.startsWith('pending-'))
    throw new FerryError('Locked', `${on.namespace}/${on.release} is ${last.status}: ${pendingSays(on)}`);
  if (!deployed)
    throw new FerryError(
      'ProviderRefused',
      `no revision of ${on.namespace}/${on.release} is deployed (the last one, ${last?.revision ?? 'none'}, is ${last?.status ?? 'not there'})`,
    );
  return deployed;
}

function statefulSetIn(objects: RenderedObject[], shown: string): string {
  const sets = objects.filter(({ kind }) => kind === 'StatefulSet').map(({ metadata }) => metadata.name);
  const [only] = sets;
  if (only !== undefined && sets.length === 1) return only;
  throw new FerryError(
    'ProviderRefused',
    sets.length === 0
      ? `${shown} has no StatefulSet: a Redis without a volume and a name of its own can't be upgraded here`
      : `${shown} has several StatefulSets (${sets.join(', ')}): this chart is none with a primary and its replicas in one`,
  );
}

export function redisContainer(containers: readonly Container[]): Container {
  const found =
    containers.find(({ ports }) =>
      ports.some(({ name, containerPort }) => name === 'redis' || containerPort === 6379),
    ) ??
    containers.find(({ image }) => /redis|valkey/.test(image)) ??
    containers[0];
  if (!found) throw new FerryError('UnexpectedReply', 'a pod without a container');
  return found;
}

export function portOf({ ports }: Container): number {
  return (
    (
      ports.find(({ name }) => name === 'redis') ??
      ports.find(({ containerPort }) => containerPort === 6379) ??
      ports[0]
    )?.containerPort ?? 6379
  );
}

/** Sentinel promotes whom it wants, and Cluster has many primaries: both need other hands than ours. */
function refuseOthers(objects: RenderedObject[], containers: readonly Container[], shown: string): void {
  const sentinel = containers.some(
    ({ name, ports }) => name === 'sentinel' || ports.some(({ containerPort }) => containerPort === 26_379),
  );
  const cluster = JSON.stringify(objects).includes('cluster-enabled yes');
  if (sentinel)
    throw new FerryError(
      'ProviderRefused',
      `${shown} runs Sentinels, which choose the primary themselves. Use redisSwitchover with repoint "sentinel"`,
    );
  if (cluster)
    throw new FerryError('ProviderRefused', `${shown} is a Redis Cluster: its shards can't be upgraded here`);
}

/** Who the container runs as, where it says so itself. */
function userOf({ securityContext }: Container): Record<string, unknown> {
  const { runAsUser, runAsGroup, runAsNonRoot } = securityContext;
  return Object.fromEntries(
    Object.entries({ runAsUser, runAsGroup, runAsNonRoot }).filter(([, value]) => value !== undefined),
  );
}

export function passwordOf({ env }: Container, { namespace, context }: Namespace): SecretRef | null {
  const ref = env.find(({ name }) => /^(REDIS_PASSWORD|REDISCLI_AUTH|VALKEY_PASSWORD)$/.test(name))?.valueFrom
    ?.secretKeyRef;
  if (!ref) return null;
  return {
    kubernetesSecret: {
      namespace,
      name: ref.name,
      key: ref.key,
      ...(context === undefined ? {} : { context }),
    },
  };
}

export function podFacts(pod: Pod, container: string): PodFacts {
  const status = pod.status.containerStatuses.find(({ name }) => name === container);
  return {
    name: pod.metadata.name,
    uid: pod.metadata.uid,
    ordinal: ordinalOf(pod.metadata.name),
    ready: isReady(pod),
    phase: pod.metadata.deletionTimestamp === undefined ? pod.status.phase : 'Terminating',
    image: pod.spec.containers.find(({ name }) => name === container)?.image ?? '',
    restarts: status?.restartCount ?? 0,
    node: pod.spec.nodeName ?? '',
  };
}

export function ordinalOf(pod: string): number {
  return Number(pod.slice(pod.lastIndexOf('-') + 1));
}

function byOrdinal(a: Pod, b: Pod): number {
  return ordinalOf(a.metadata.name) - ordinalOf(b.metadata.name);
}

export function labelsOf(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

function patience(probe: Container['livenessProbe']): ProbeFacts | null {
  if (!probe) return null;
  return { patienceSeconds: probe.initialDelaySeconds + probe.periodSeconds * probe.failureThreshold };
}

const MANAGERS: readonly [RegExp, string][] = [
  [/^argocd\.argoproj\.io\//, 'Argo CD'],
  [/^(helm|kustomize)\.toolkit\.fluxcd\.io\//, 'Flux'],
  [
    /^(databases|redis)\.spotahome\.com\/|^redis\.opstreelabs\.in|^app\.kubernetes\.io\/managed-by=redis-operator/,
    'an operator',
  ],
];

function managersIn(labels: Readonly<Record<string, string>>): string[] {
  return MANAGERS.filter(([pattern]) =>
    Object.entries(labels).some(([name, value]) => pattern.test(`${name}=${value}`)),
  ).map(([, who]) => who);
}

/** Of the whole cluster, whatever it is called here: where it may not be asked for, the namespace's. */
async function clusterOf(where: Namespace & { signal?: AbortSignal | undefined }): Promise<string> {
  const schema = z.object({ metadata: z.object({ uid: z.string() }) });
  const of = async (namespace: string) =>
    (await getJson({ ...where, what: ['namespace', namespace], schema })).metadata.uid;
  return of('kube-system').catch(() => of(where.namespace));
}
