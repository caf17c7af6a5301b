/** How a worker reaches a server in a pod, and how the other pods do. */
import { FerryError } from '../errors.js';
import { background, type Background } from '../platform/exec.js';
import { findJson, getJson, inNamespace, isInside, KUBECTL, type Namespace } from './kubectl.js';
import { Pod, Service } from './objects.js';

export interface PodPlace {
  host: string;
  port: number;
  place: { name: string; inside: { host: string; port: number } };
}

export interface AtPod extends Namespace {
  pod: string;
  port: number;
  signal?: AbortSignal | undefined;
}

/**
 * By the pod's address from inside, else by a port-forward that lives as long as the pod or the worker.
 * @throws FerryError NotFound, Unreachable where the pod has no address yet, and what kubectl.ts throws
 */
export async function podPlace(on: AtPod): Promise<PodPlace> {
  const { pod: name, port, namespace, context, signal } = on;
  const pod = await getJson({ namespace, context, signal, what: ['pod', name], schema: Pod });
  const { podIP, phase } = pod.status;
  if (podIP === undefined || phase !== 'Running' || pod.metadata.deletionTimestamp !== undefined)
    throw new FerryError(
      'Unreachable',
      `the pod ${namespace}/${name} does not run now (${pod.metadata.deletionTimestamp === undefined ? phase : 'it is ending'})`,
    );
  const host = (await stableName(on, pod)) ?? podIP;
  const place = { name: `${namespace}/${name}`, inside: { host, port } };
  if (isInside()) return { host: podIP, port, place };
  const forwarded = await tunnel({ namespace, context, pod: name, uid: pod.metadata.uid, port });
  return { host: '127.0.0.1', port: forwarded, place };
}

/**
 * The DNS name that a StatefulSet's pod keeps when it is made anew; null where its Service gives none, or only while the pod is ready.
 * Without the cluster's own domain, which differs: pods search for it.
 */
async function stableName({ namespace, context, signal }: AtPod, { spec }: Pod): Promise<string | null> {
  const { hostname, subdomain } = spec;
  if (hostname === undefined || subdomain === undefined) return null;
  const service = await findJson({
    namespace,
    context,
    signal,
    what: ['service', subdomain],
    schema: Service,
  });
  return service?.spec.clusterIP === 'None' && service.spec.publishNotReadyAddresses
    ? `${hostname}.${subdomain}.${namespace}.svc`
    : null;
}

const BEGINS_WITHIN_MS = 15_000;

/** One for each pod and port. A pod that was made anew is another one. */
const tunnels = new Map<string, Promise<number>>();

async function tunnel(on: Namespace & { pod: string; uid: string; port: number }): Promise<number> {
  const { pod, uid, port } = on;
  const key = JSON.stringify([process.env['KUBECONFIG'], on.context, on.namespace, uid, port]);
  const standing = tunnels.get(key);
  if (standing) return standing;
  const forward = background({
    label: `the port-forward to ${on.namespace}/${pod}`,
    command: [
      KUBECTL(),
      ...inNamespace(on),
      'port-forward',
      '--address',
      '127.0.0.1',
      `pod/${pod}`,
      `:${port}`,
    ],
  });
  const forwarded = localPort(forward);
  tunnels.set(key, forwarded);
  void forward.ended.then(() => tunnels.delete(key));
  return forwarded;
}

async function localPort(forward: Background): Promise<number> {
  try {
    const [, port] = await forward.said(/Forwarding from 127\.0\.0\.1:(\d+)/, BEGINS_WITHIN_MS);
    return Number(port);
  } catch (error) {
    forward.stop();
    throw error;
  }
}
