/**
 * Services of Kubernetes: their selectors lead to another pod. Clients find the same name and address, and another server behind it.
 *
 * A connection that stands stays where it is, and a new one goes where the node's rules say, which follow the selector within a moment.
 * So nobody is sent away before they have followed: who came a moment too early would come to the old server again.
 *
 * Writes wait meanwhile, so what takes long is made ready before: who stands behind each selector, and a way to the API server.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import { contextInShell, quoted } from '../inputs/in-shell.js';
import { apiProxy, type ApiProxy } from '../kubernetes/api-proxy.js';
import { getJson, kubectl } from '../kubernetes/kubectl.js';
import { EndpointSlices, isReady, Pods, readyBehind, Service } from '../kubernetes/objects.js';
import { labelsOf } from '../kubernetes/release.js';
import type { ByHandInput, Direction, RepointInput, SpecOf } from './types.js';

type Spec = SpecOf<'kubernetesService'>;

/** Until the addresses behind a Service are those of the selector. */
const FOLLOWS_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 20;
/** What the rules on the nodes may take after that. kube-proxy writes its first change at once, and later ones within a second. */
const SETTLE_MS = 250;
/** An API server that restarts is back in seconds. Writes wait, and going back would need it too. */
const PERSISTS_MS = 20_000;

/** @throws FerryError CommandFailed where a selector could not be set, or nobody stands behind it */
export async function repointServices(
  input: RepointInput<Spec> & { open?: ApiProxy | undefined },
): Promise<string> {
  const { open } = input;
  if (open) {
    const done = await repointBy(input, open).catch(() => null);
    // What was made ready may have ended since; nobody can write meanwhile, so it is tried again before it fails.
    if (done !== null) return done;
  }
  for (const until = Date.now() + PERSISTS_MS; ; await sleep(500, undefined, { signal: input.signal })) {
    try {
      return await repointAnew(input);
    } catch (error) {
      const away =
        error instanceof FerryError &&
        ['ProviderUnavailable', 'OutcomeUnknown', 'Unreachable'].includes(error.type);
      if (!away || Date.now() > until) throw error;
    }
  }
}

async function repointAnew(input: RepointInput<Spec>): Promise<string> {
  const open = await openServices(input.spec);
  try {
    return await repointBy(input, open);
  } finally {
    open.end();
  }
}

async function repointBy({ spec, direction, signal }: RepointInput<Spec>, open: ApiProxy): Promise<string> {
  const changed: (string | null)[] = [];
  // The first one named is the first to move: kube-proxy writes what comes after it within a second.
  for (const { name, ...selectors } of spec.services) {
    const selector = selectors[sideOf(direction)];
    const path = servicePath(spec.namespace, name);
    const { spec: now } = Service.parse(await open.call({ method: 'GET', path }));
    const stands = same(now.selector, selector);
    if (!stands) await open.call({ method: 'PATCH', path, body: patchOf(selector) });
    changed.push(stands ? null : name);
  }
  await Promise.all(
    spec.services.map(({ name, ...selectors }) =>
      followed({ open, spec, name, selector: selectors[sideOf(direction)], signal }),
    ),
  );
  const names = changed.filter((name) => name !== null);
  if (names.length === 0) return 'every Service led there already';
  await sleep(SETTLE_MS, undefined, { signal });
  return `${names.join(', ')} ${names.length === 1 ? 'leads' : 'lead'} to ${said(spec, direction)}`;
}

/** Before anything is paused: a pod that is ready stands behind each selector, and we may change the Services. */
export async function prepareServices({ spec, direction, signal }: RepointInput<Spec>): Promise<ApiProxy> {
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
  return openServices(spec);
}

function openServices({ namespace, context, services }: Spec): Promise<ApiProxy> {
  const escaped = (path: string) => path.replaceAll('.', String.raw`\.`);
  return apiProxy({
    namespace,
    context,
    paths: [
      ...services.map(({ name }) => escaped(servicePath(namespace, name))),
      escaped(slicesPath(namespace)),
      escaped(podsPath(namespace)),
    ],
  });
}

function servicePath(namespace: string, name: string): string {
  return `/api/v1/namespaces/${namespace}/services/${name}`;
}

function slicesPath(namespace: string): string {
  return `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
}

function podsPath(namespace: string): string {
  return `/api/v1/namespaces/${namespace}/pods`;
}

async function followed(on: {
  open: ApiProxy;
  spec: Spec;
  name: string;
  selector: Record<string, string>;
  signal: AbortSignal | undefined;
}): Promise<void> {
  const { open, spec, name, selector, signal } = on;
  const listed = (path: string, labels: string) =>
    open.call({ method: 'GET', path: `${path}?labelSelector=${encodeURIComponent(labels)}` });
  const { items: pods } = Pods.parse(await listed(podsPath(spec.namespace), labelsOf(selector)));
  const wanted = pods.map(({ metadata }) => metadata.name);
  const until = Date.now() + FOLLOWS_WITHIN_MS;
  for (;;) {
    const ready = readyBehind(
      EndpointSlices.parse(await listed(slicesPath(spec.namespace), `kubernetes.io/service-name=${name}`)),
    );
    if (ready.length > 0 && ready.every((pod) => wanted.includes(pod))) return;
    if (Date.now() > until)
      throw new FerryError(
        'CommandFailed',
        `the Service ${spec.namespace}/${name} does not lead to ${wanted.join(', ') || 'any pod'}: behind it are ${ready.join(', ') || 'none that are ready'}`,
      );
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

function sideOf(direction: Direction): 'source' | 'target' {
  return direction === 'forward' ? 'target' : 'source';
}

function patchOf(selector: Record<string, string>): object[] {
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
