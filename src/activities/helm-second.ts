/** A second release beside the first: looking at both, installing it, taking it away, and taking the first one out of service. */
import type { Check, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import { pathsOf, type HelmSettings } from '../inputs/kubernetes.js';
import { milliseconds, type RedisEndpoint } from '../inputs/refs.js';
import type { Repoint } from '../inputs/repoint.js';
import { askFromPod, type FromPod } from '../kubernetes/application.js';
import { uninstall, upgrade, type Values } from '../kubernetes/helm.js';
import type { ReleaseFacts } from '../kubernetes/release.js';
import { podReady, podsGone, scale } from '../kubernetes/rollout.js';
import {
  hasPassword,
  leadingTo,
  lookAtSecond,
  removeClaims,
  revisionsOf,
  takeAway,
  type SecondLook,
} from '../kubernetes/second-release.js';
import { differences, withValue } from '../kubernetes/values.js';
import { resolveEndpoint, resolveSecret } from '../platform/secrets.js';
import { standing } from '../redis/decommission/shut-down.js';
import { useOf, usedMore, useSince, type Use } from '../redis/decommission/use.js';
import { describe, type ServerFacts } from '../redis/describe.js';
import { check } from '../redis/preflight/check.js';
import { roleOf } from '../redis/replication/role.js';
import { atEndpoint } from './asking.js';
import { border, type Border } from './border.js';
import {
  at,
  chartOf,
  endpointOf,
  factsOf,
  mustRun,
  podEndpoint,
  servicesTo,
  valuesFor,
  type HelmFacts,
} from './helm-release.js';
import { ours, settled } from './helm-revision.js';

export type { SecondLook } from '../kubernetes/second-release.js';

/** What the strategies that install a second release want to know of an input. */
export interface SecondSettings extends HelmSettings {
  green?: string | undefined;
  repoint?: Repoint | undefined;
}

export interface SecondFacts {
  helm: HelmFacts;
  green: SecondLook;
  /** Sentences: in which values the second release differs from the first. */
  values: string[];
  samePassword: boolean | null;
  repoint: Repoint;
  endpoints: { blue: RedisEndpoint; green: RedisEndpoint };
}

export function greenOf({ green, release }: Pick<SecondSettings, 'green' | 'release'>): string {
  return green ?? `${release}-green`;
}

/** @throws FerryError what describeHelm throws, and where the second release can't be rendered */
export async function secondFacts(b: Border<unknown>, settings: SecondSettings): Promise<SecondFacts> {
  const helm = await factsOf(b, settings);
  const { release, primary, version } = helm;
  const { given, values } = await greenValues(settings, { revision: release.revision, version }, b.signal);
  const on = { ...at(settings), release: greenOf(settings), signal: b.signal };
  const { look, objects } = await lookAtSecond({ ...on, ...chartOf(settings), values });
  const { password } = release;
  const secret =
    password && (await resolveSecret({ ref: password, where: 'the password', signal: b.signal }));
  const blue = endpointOf(release, primary);
  const green = podEndpoint({
    namespace: release.namespace,
    context: release.context,
    pod: look.pods[0] ?? '',
    container: look.container,
    port: look.port,
    password,
  });
  return {
    helm,
    green: look,
    values: differences(given, values),
    samePassword: await hasPassword(on, { objects, password: secret }),
    repoint: settings.repoint ?? servicesTo(release, { services: helm.serving, pod: look.pods[0] ?? '' }),
    endpoints: { blue, green },
  };
}

/** The new one as it will be, as far as that can be told before there is one. */
export function foreseenServer(
  { helm, green }: Pick<SecondFacts, 'helm' | 'green'>,
  version: string,
): ServerFacts {
  const source = helm.servers[helm.primary];
  if (!source) throw new FerryError('Unclear', 'the primary was not asked');
  return {
    ...source,
    shown: `${helm.release.namespace}/${green.pods[0] ?? ''}`,
    resolved: [],
    product: 'redis',
    version,
    redisVersion: version,
    runId: '',
    databases: {},
  };
}

/** The values of the first release, the input's, the tag, and what names the objects. They may hold passwords. */
async function greenValues(
  settings: SecondSettings,
  old: { revision: number; version: string },
  signal: AbortSignal,
): Promise<{ given: Values; values: Values }> {
  const { given, values } = await valuesFor(settings, old, signal);
  const { fullname } = pathsOf(settings);
  return { given, values: fullname === null ? values : withValue(values, fullname, greenOf(settings)) };
}

/** What both verbs below are told: plain data, which an undo carries. */
export interface GreenRelease {
  namespace: string;
  context?: string;
  /** The first one. */
  release: string;
  green: string;
  pods: string[];
  claims: string[];
  endpoints: { blue: RedisEndpoint; green: RedisEndpoint };
  /** Milliseconds since 1970: there was none before. */
  since: number;
}

/** Looks first whether an earlier attempt did it. @throws FerryError ProviderRefused where the name is somebody else's */
export async function installGreen(input: {
  settings: SecondSettings;
  green: GreenRelease;
  old: { revision: number; version: string };
}): Promise<{ revision: number }> {
  return border(async (b) => {
    const { settings, green, old } = input;
    const description = ours(b.workflowId, b.runId);
    const on = { ...at(settings), release: green.green, signal: b.signal };
    if ((await revisionsOf(on)).length > 0) {
      const done = await settled(b, on, description);
      if (done !== null) return { revision: done };
      if (!(await isOurs(b, green)))
        throw new FerryError(
          'ProviderRefused',
          `there is a release ${green.namespace}/${green.green} already, which is not of this upgrade. Give another name (\`green\`), or uninstall it`,
        );
      // Half an installation: helm goes on with none.
      await uninstall(on);
    }
    const { values } = await greenValues(settings, old, b.signal);
    await b.stillCurrent();
    return { revision: await upgrade({ ...on, ...chartOf(settings), values, description }) };
  });
}

/** By what its revisions are called; one that failed is called by helm, and there was none when this upgrade began. */
async function isOurs(
  b: Pick<Border<unknown>, 'workflowId' | 'runId' | 'signal'>,
  { namespace, context, green, since }: GreenRelease,
): Promise<boolean> {
  const revisions = await revisionsOf({ namespace, context, release: green, signal: b.signal });
  const name = ours(b.workflowId, '').trim();
  return revisions.every(
    ({ description, status, updated }) =>
      description === name ||
      description.startsWith(`${name} `) ||
      (/^(failed|pending-install|uninstalling)$/.test(status) && Date.parse(updated) >= since),
  );
}

export interface GreenServes {
  seconds: number;
  server: ServerFacts;
}

/** Until all its pods are ready, and the server of the first one answers under the old one's password. */
export async function waitForGreen(input: {
  green: GreenRelease;
  container: string;
  version: string;
  /** Milliseconds since 1970 when it was asked for. */
  since: number;
  readyWithin: string;
  /** Title, for the progress. */
  step: string;
}): Promise<GreenServes> {
  return border(async (b) => {
    const { green, container, version, since, readyWithin, step } = input;
    const { namespace, context, pods } = green;
    const until = since + milliseconds(readyWithin);
    for (const [index, pod] of pods.entries())
      await podReady({
        namespace,
        context,
        pod,
        container,
        withinMs: Math.max(0, until - Date.now()),
        signal: b.signal,
        onLook: () => b.show({ step, done: index, total: pods.length, unit: 'pods', counts: {} }),
      });
    const address = await resolveEndpoint({
      endpoint: green.endpoints.green,
      where: 'green',
      signal: b.signal,
    });
    const server = await describe({ address, name: b.hand, signal: b.signal });
    mustRun({ namespace, pod: pods[0] ?? '', version: server.version, wanted: version });
    return { seconds: Math.round((Date.now() - since) / 100) / 10, server };
  });
}

/**
 * Undo: the second release goes, with the claims that came with it, which hold a copy. Nothing goes where anybody may be using it, or
 * where the first one does not serve.
 */
export async function removeGreen(input: GreenRelease): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { namespace, context, green, release, pods, claims, endpoints } = input;
    const where = { namespace, context, signal: b.signal };
    if (!(await isOurs(b, input))) return { left: [`the release ${green}: it is not of this upgrade`] };
    const leading = await leadingTo(where, { release: green, pods });
    if (leading.length > 0)
      throw new FerryError(
        'StillUsed',
        `the release ${green} is not removed: ${leading.join(', ')} ${leading.length === 1 ? 'leads' : 'lead'} to it`,
      );
    const { role } = await atEndpoint(b, { endpoint: endpoints.blue, where: release }, (client) =>
      roleOf({ client }),
    );
    if (role !== 'primary')
      throw new FerryError(
        'StillUsed',
        `the release ${green} is not removed: ${release} follows, and takes no writes`,
      );
    const there = await revisionsOf({ ...where, release: green });
    const clients = there.length === 0 ? 0 : await clientsOf(b, endpoints.green);
    if (clients > 0)
      throw new FerryError(
        'StillUsed',
        `the release ${green} is not removed: ${clients} clients are connected to it. Send them to ${release} first`,
      );
    await takeAway({ ...where, release: green, pods });
    await removeClaims({ ...where, claims });
    return {
      note:
        there.length === 0 ? `there is no ${green}` : `${green} is gone, with the claims that came with it`,
    };
  });
}

/** Those of applications. A pod that doesn't come up has none. */
async function clientsOf(b: Border<unknown>, endpoint: RedisEndpoint): Promise<number> {
  return atEndpoint(
    b,
    { endpoint, where: 'green' },
    async (client) => (await useOf({ client })).clientCount,
  ).catch((error: unknown) => {
    if (
      error instanceof FerryError &&
      ['Unreachable', 'NotFound', 'Loading', 'WrongPassword'].includes(error.type)
    )
      return 0;
    throw error;
  });
}

/** Whether anybody uses one of the old pods. Those that follow the old primary belong to it. */
export async function proveBlueUnused(input: {
  release: ReleaseFacts;
  primary: string;
  since: Use;
}): Promise<{ checks: Check[]; now: Use }> {
  return border(async (b) => {
    const { release, primary, since } = input;
    const own = release.pods.length - 1;
    const of = (pod: string) =>
      atEndpoint(b, { endpoint: endpointOf(release, pod), where: pod }, (client) => useOf({ client }));
    const withoutOwn = (use: Use): Use => ({ ...use, replicas: Math.max(0, use.replicas - own) });
    const now = withoutOwn(await of(primary));
    const { checks } = useSince({ since: withoutOwn(since), now });
    for (const { name } of release.pods.filter((pod) => pod.name !== primary)) {
      const { clients, clientCount } = await of(name);
      checks.push(
        check({
          name: `Nobody is connected to ${name}`,
          expected: 'no client',
          actual: clients === null ? 'not known: CLIENT LIST is not permitted' : `${clientCount || 'none'}`,
          ...(clientCount === 0 && clients !== null
            ? {}
            : { status: 'fail', waivable: true, next: 'Send them to the new release; then retry.' }),
        }),
      );
    }
    return { checks, now };
  });
}

export interface Retired {
  seconds: number;
  /** Claims that stay. */
  claims: string[];
}

/** No pod of the old release is left; its claims, its Services and the release itself stay. Whoever came since `seen` stops it. */
export async function retireBlue(input: {
  release: ReleaseFacts;
  primary: string;
  seen: Use;
}): Promise<Retired> {
  return border(async (b) => {
    const { release, primary, seen } = input;
    const { namespace, context, statefulSet } = release;
    const began = Date.now();
    const where = { namespace, context, signal: b.signal };
    const pods = release.pods.map(({ name }) => name);
    const endpoint = endpointOf(release, primary);
    if (await answers(b, endpoint)) {
      const now = await atEndpoint(b, { endpoint, where: primary }, (client) => useOf({ client }));
      const used = usedMore({ seen: { ...seen, replicas: Number.POSITIVE_INFINITY }, now });
      if (used !== null) throw new FerryError('StillUsed', `${namespace}/${primary} is still used: ${used}`);
    }
    await b.stillCurrent();
    await scale({ ...where, statefulSet: statefulSet.name, replicas: 0 });
    await podsGone({ namespace, context, pods, withinMs: ENDS_WITHIN_MS, signal: b.signal });
    return { seconds: Math.round((Date.now() - began) / 100) / 10, claims: statefulSet.claims };
  });
}

const ENDS_WITHIN_MS = 5 * 60_000;

/** An attempt before this one may have ended it. */
async function answers(b: Border<unknown>, endpoint: RedisEndpoint): Promise<boolean> {
  try {
    const address = await resolveEndpoint({ endpoint, where: 'blue', signal: b.signal });
    return (await standing({ address, name: b.hand, signal: b.signal })) !== 'gone';
  } catch (error) {
    if (error instanceof FerryError && ['NotFound', 'Unreachable'].includes(error.type)) return false;
    throw error;
  }
}

/** What an application's pod sees of Redis after the cutover. */
export async function askApplication(input: FromPod): Promise<Check[]> {
  return border(async (b) => {
    const { password, ...rest } = input;
    const secret =
      password && (await resolveSecret({ ref: password, where: 'the password', signal: b.signal }));
    return askFromPod({ ...rest, secret: secret ?? '', signal: b.signal });
  });
}
