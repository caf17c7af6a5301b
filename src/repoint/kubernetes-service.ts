/**
 * Services of Kubernetes: their selectors lead to another pod. Clients find the same name and address, and another server behind it.
 *
 * A connection that stands stays where it is, and a new one goes where the node's rules say, which follow the selector within a moment.
 * So nobody is sent away before they have followed: who came a moment too early would come to the old server again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { FerryError } from '../errors.js';
import { contextInShell, quoted } from '../inputs/in-shell.js';
import { getJson, kubectl } from '../kubernetes/kubectl.js';
import type { Api } from '../kubernetes/api.js';
import { EndpointSlices, isReady, Pods, Service, type Pod } from '../kubernetes/objects.js';
import { labelsOf } from '../kubernetes/release.js';
import type { ByHandInput, Direction, RepointInput, SpecOf } from './types.js';

type Spec = SpecOf<'kubernetesService'>;

/** Until the addresses behind a Service are those of the selector. */
const FOLLOWS_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 20;
/** What the rules on the nodes may take after that. kube-proxy writes its first change at once, and later ones within a second. */
const SETTLE_MS = 250;

/** The questions and the change of the moment itself. */
interface Reach {
  service(name: string): Promise<Service>;
  pods(labels: string): Promise<Pod[]>;
  /** Names of the pods that are ready behind it. */
  behind(name: string): Promise<string[]>;
  select(name: string, selector: Record<string, string>): Promise<void>;
}

type Where = { namespace: string; context: string | undefined; signal: AbortSignal | undefined };

/** Half a second each, on a busy machine. */
function byKubectl(where: Where): Reach {
  return {
    service: (name) => getJson({ ...where, what: ['service', name], schema: Service }),
    pods: async (labels) => (await getJson({ ...where, what: ['pods', '-l', labels], schema: Pods })).items,
    behind: async (name) =>
      readyIn(
        await getJson({
          ...where,
          what: ['endpointslices', '-l', `kubernetes.io/service-name=${name}`],
          schema: EndpointSlices,
        }),
      ),
    async select(name, selector) {
      const args = [
        'patch',
        'service',
        name,
        '--type',
        'json',
        '-p',
        JSON.stringify(patchOf(selector)),
      ] as const;
      await kubectl({ ...where, changes: true, timeout: '10s', args });
    },
  };
}

/** Milliseconds each. */
function byApi(api: Api, { namespace }: Where): Reach {
  const core = `/api/v1/namespaces/${namespace}`;
  const slices = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
  return {
    service: (name) => api.get(`${core}/services/${name}`, Service),
    pods: async (labels) =>
      (await api.get(`${core}/pods?labelSelector=${encodeURIComponent(labels)}`, Pods)).items,
    behind: async (name) =>
      readyIn(
        await api.get(
          `${slices}?labelSelector=${encodeURIComponent(`kubernetes.io/service-name=${name}`)}`,
          EndpointSlices,
        ),
      ),
    select: (name, selector) => api.patch(`${core}/services/${name}`, patchOf(selector)),
  };
}

/**
 * `api`: where it was opened beforehand, to be quick. @throws FerryError CommandFailed where a selector could not be set, or nobody stands
 * behind it
 */
export async function repointServices({
  spec,
  direction,
  signal,
  api,
}: RepointInput<Spec> & { api?: Api | undefined }): Promise<string> {
  const where = { namespace: spec.namespace, context: spec.context, signal };
  const slow = byKubectl(where);
  const changed = await Promise.all(
    spec.services.map(async ({ name, ...selectors }) => {
      const selector = selectors[sideOf(direction)];
      if (!api) return lead(slow, where, { name, selector });
      // The proxy may have gone; kubectl itself looks first whether it was done.
      return lead(byApi(api, where), where, { name, selector }).catch((error: unknown) => {
        if (error instanceof FerryError && error.type === 'CommandFailed') throw error;
        return persisting(() => lead(slow, where, { name, selector }));
      });
    }),
  );
  const names = changed.filter((name) => name !== null);
  if (names.length === 0) return 'every Service led there already';
  await sleep(SETTLE_MS, undefined, { signal });
  return `${names.join(', ')} ${names.length === 1 ? 'leads' : 'lead'} to ${said(spec, direction)}`;
}

/** An API server that restarts is back in seconds. Writes wait, and going back would need it too. */
const PERSISTS_MS = 20_000;

async function persisting<T>(act: () => Promise<T>): Promise<T> {
  for (const until = Date.now() + PERSISTS_MS; ; await sleep(500)) {
    try {
      return await act();
    } catch (error) {
      const away =
        error instanceof FerryError && ['ProviderUnavailable', 'OutcomeUnknown'].includes(error.type);
      if (!away || Date.now() > until) throw error;
    }
  }
}

async function lead(
  reach: Reach,
  where: Where,
  { name, selector }: { name: string; selector: Record<string, string> },
): Promise<string | null> {
  const { spec: now } = await reach.service(name);
  if (same(now.selector, selector)) return null;
  const wanted = (await reach.pods(labelsOf(selector))).map(({ metadata }) => metadata.name);
  await reach.select(name, selector);
  for (const until = Date.now() + FOLLOWS_WITHIN_MS; ; await sleep(LOOK_EVERY_MS)) {
    const ready = await reach.behind(name);
    if (ready.length > 0 && ready.every((pod) => wanted.includes(pod))) return name;
    if (Date.now() > until)
      throw new FerryError(
        'CommandFailed',
        `the Service ${where.namespace}/${name} does not lead to ${wanted.join(', ') || 'any pod'}: behind it are ${ready.join(', ') || 'none that are ready'}`,
      );
  }
}

function readyIn({ items }: z.infer<typeof EndpointSlices>): string[] {
  return items
    .flatMap(({ endpoints }) => endpoints ?? [])
    .filter(({ conditions }) => conditions.ready !== false)
    .map(({ targetRef }) => targetRef?.name ?? '');
}

/** Before anything is paused: a pod that is ready stands behind each selector, and we may change the Services. */
export async function checkServices({ spec, direction, signal }: RepointInput<Spec>): Promise<void> {
  const where = { namespace: spec.namespace, context: spec.context, signal };
  const may = await kubectl({ ...where, args: ['auth', 'can-i', 'patch', 'services'] }).catch(() => 'no');
  if (may.trim() !== 'yes')
    throw new FerryError('NotPermitted', `the worker may not change Services in ${spec.namespace}`);
  for (const { name, ...selectors } of spec.services) {
    const labels = labelsOf(selectors[sideOf(direction)]);
    const { items } = await getJson({ ...where, what: ['pods', '-l', labels], schema: Pods });
    if (!items.some(isReady))
      throw new FerryError(
        'PodNotReady',
        `no pod that is ready stands behind ${labels}, where the Service ${spec.namespace}/${name} is to lead`,
      );
  }
}

function sideOf(direction: Direction): 'source' | 'target' {
  return direction === 'forward' ? 'target' : 'source';
}

function patchOf(selector: Record<string, string>): object {
  return [{ op: 'replace', path: '/spec/selector', value: selector }];
}

function same(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

function said(spec: Spec, direction: Direction): string {
  return labelsOf(spec.services[0]?.[sideOf(direction)] ?? {});
}

export function describeServices(spec: Spec): string[] {
  return [
    ...spec.services.map(
      ({ name, source, target }) =>
        `Service ${spec.namespace}/${name}: selector ${labelsOf(source)} → ${labelsOf(target)}`,
    ),
    'Back: the same the other way round',
  ];
}

export function byHandServices({ spec, direction }: ByHandInput<Spec>): string[] {
  return spec.services.map(({ name, ...selectors }) =>
    [
      'kubectl',
      ...contextInShell(spec.context),
      '-n',
      spec.namespace,
      'patch service',
      name,
      '--type json -p',
      quoted(JSON.stringify(patchOf(selectors[sideOf(direction)]))),
    ].join(' '),
  );
}
