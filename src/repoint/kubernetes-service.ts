/**
 * Services of Kubernetes: their selectors lead to another pod. Clients find the same name and address, and another server behind it.
 *
 * A connection that stands stays where it is, and a new one goes where the node's rules say, which follow the selector within a moment.
 * So nobody is sent away before they have followed: who came a moment too early would come to the old server again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import { contextInShell, quoted } from '../inputs/in-shell.js';
import { getJson, kubectl } from '../kubernetes/kubectl.js';
import { EndpointSlices, isReady, Pods, Service } from '../kubernetes/objects.js';
import { labelsOf } from '../kubernetes/release.js';
import type { ByHandInput, Direction, RepointInput, SpecOf } from './types.js';

type Spec = SpecOf<'kubernetesService'>;

/** Until the addresses behind a Service are those of the selector. */
const FOLLOWS_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 50;
/** What the rules on the nodes may take after that. kube-proxy writes its first change at once, and later ones within a second. */
const SETTLE_MS = 250;

/** @throws FerryError CommandFailed where a selector could not be set, or nobody stands behind it */
export async function repointServices({ spec, direction, signal }: RepointInput<Spec>): Promise<string> {
  const where = { namespace: spec.namespace, context: spec.context, signal };
  const changed = await Promise.all(
    spec.services.map(async ({ name, ...selectors }) => {
      const selector = selectors[sideOf(direction)];
      const { spec: now } = await getJson({ ...where, what: ['service', name], schema: Service });
      if (same(now.selector, selector)) return null;
      await kubectl({
        ...where,
        changes: true,
        timeout: '10s',
        args: ['patch', 'service', name, '--type', 'json', '-p', patchOf(selector)],
      });
      await followed(where, { name, selector });
      return name;
    }),
  );
  const names = changed.filter((name) => name !== null);
  if (names.length === 0) return 'every Service led there already';
  await sleep(SETTLE_MS, undefined, { signal });
  return `${names.join(', ')} ${names.length === 1 ? 'leads' : 'lead'} to ${said(spec, direction)}`;
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

async function followed(
  where: { namespace: string; context: string | undefined; signal: AbortSignal | undefined },
  { name, selector }: { name: string; selector: Record<string, string> },
): Promise<void> {
  const { items: pods } = await getJson({ ...where, what: ['pods', '-l', labelsOf(selector)], schema: Pods });
  const wanted = pods.map(({ metadata }) => metadata.name);
  for (const until = Date.now() + FOLLOWS_WITHIN_MS; ; await sleep(LOOK_EVERY_MS)) {
    const { items } = await getJson({
      ...where,
      what: ['endpointslices', '-l', `kubernetes.io/service-name=${name}`],
      schema: EndpointSlices,
    });
    const ready = items
      .flatMap(({ endpoints }) => endpoints ?? [])
      .filter(({ conditions }) => conditions.ready !== false)
      .map(({ targetRef }) => targetRef?.name ?? '');
    if (ready.length > 0 && ready.every((pod) => wanted.includes(pod))) return;
    if (Date.now() > until)
      throw new FerryError(
        'CommandFailed',
        `the Service ${where.namespace}/${name} does not lead to ${wanted.join(', ') || 'any pod'}: behind it are ${ready.join(', ') || 'none that are ready'}`,
      );
  }
}

function sideOf(direction: Direction): 'source' | 'target' {
  return direction === 'forward' ? 'target' : 'source';
}

function patchOf(selector: Record<string, string>): string {
  return JSON.stringify([{ op: 'replace', path: '/spec/selector', value: selector }]);
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
      quoted(patchOf(selectors[sideOf(direction)])),
    ].join(' '),
  );
}
