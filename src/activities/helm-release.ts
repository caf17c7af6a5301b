/** A Helm release: what it is, whether it can be upgraded, what is kept of it, and giving it another revision. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Check } from '../contract.js';
import { FerryError } from '../errors.js';
import type { Backup } from '../inputs/backup.js';
import { pathsOf, type HelmSettings } from '../inputs/kubernetes.js';
import type { RedisEndpoint, SecretRef } from '../inputs/refs.js';
import type { Repoint } from '../inputs/repoint.js';
import { evidenceOf } from '../kubernetes/evidence.js';
import {
  givenValues,
  history,
  manifest,
  pendingSays,
  rendered,
  rollback,
  upgrade,
  type Chart,
  type Revision,
  type Values,
} from '../kubernetes/helm.js';
import { isInside } from '../kubernetes/kubectl.js';
import { POD_NAME } from '../kubernetes/objects.js';
import { objectDifferences, objectsIn, refusedChanges, type RenderedObject } from '../kubernetes/manifest.js';
import { preflightRelease, type ReleaseLook } from '../kubernetes/preflight.js';
import { describeRelease, type ReleaseFacts } from '../kubernetes/release.js';
import { differences, merged, targetTag, valueAt, withValue } from '../kubernetes/values.js';
import { listJournals, pendingUndos } from '../platform/journal.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { describe, type ServerFacts } from '../redis/describe.js';
import { connectionName } from '../redis/hands.js';
import { clientsReady } from '../redis/preflight/clients.js';
import { notesOnTheWay } from '../redis/preflight/version-notes.js';
import { surveyBetween, surveyOf } from '../redis/survey/index.js';
import { atEndpoint } from './asking.js';
import { intoFolder } from './backing-up.js';
import { border, type Border } from './border.js';

export type { PodFacts, ReleaseFacts, ServiceFacts } from '../kubernetes/release.js';

type Here = Pick<Border<never>, 'signal' | 'workflowId' | 'runId'>;

/** What every strategy here begins with. No secrets: values are read again where they are used. */
export interface HelmFacts {
  release: ReleaseFacts;
  /** By the pod's name. */
  servers: Record<string, ServerFacts>;
  endpoints: Record<string, RedisEndpoint>;
  /** The pod that takes the writes. */
  primary: string;
  mode: 'standalone' | 'replica';
  /** Of the primary. */
  version: string;
  look: ReleaseLook;
  /** The Services that the applications use to write: those that lead to the primary, and not by DNS only. */
  serving: { name: string; selector: Record<string, string> }[];
  /** Steps that other upgrades have done to this release and not undone, by the journals of this worker. */
  notUndone: string[];
}

/** A pod's server, for everybody who is told of one by a reference. */
export function podEndpoint(on: {
  namespace: string;
  context?: string | undefined;
  pod: string;
  container: string;
  port: number;
  password: SecretRef | null;
}): RedisEndpoint {
  const { context, password, ...at } = on;
  return {
    kubernetesPod: {
      ...at,
      ...(password === null ? {} : { password }),
      ...(context === undefined ? {} : { context }),
    },
  };
}

export function endpointOf(release: ReleaseFacts, pod: string): RedisEndpoint {
  const { namespace, context, password } = release;
  const { container, port } = release.statefulSet;
  return podEndpoint({ namespace, context, pod, container, port, password });
}

/** The Services lead to another pod: one alone, whatever their selectors were. */
export function servicesTo(
  { namespace, context }: Pick<ReleaseFacts, 'namespace' | 'context'>,
  on: { services: readonly { name: string; selector: Record<string, string> }[]; pod: string },
): Repoint {
  return {
    kind: 'kubernetesService',
    namespace,
    ...(context === undefined ? {} : { context }),
    services: on.services.map(({ name, selector }) => ({
      name,
      source: selector,
      target: { [POD_NAME]: on.pod },
    })),
  };
}

/** @throws FerryError PodNotReady where the image was of another version than its tag said */
export function mustRun(on: { namespace: string; pod: string; version: string; wanted: string }): void {
  const { namespace, pod, version, wanted } = on;
  if (version !== wanted)
    throw new FerryError(
      'PodNotReady',
      `the pod ${namespace}/${pod} runs ${version}, and not ${wanted}: look at the image's tag`,
    );
}

/** @throws FerryError what an input may have wrong, and a release that is of another kind or on its way */
export async function describeHelm({ settings }: { settings: HelmSettings }): Promise<HelmFacts> {
  return border((b) => factsOf(b, settings));
}

export async function factsOf(b: Here, settings: HelmSettings): Promise<HelmFacts> {
  return (await renderedFacts(b, settings)).facts;
}

/** What the facts were made of. Values may hold passwords: none of it goes further than the activity. */
export interface Rendering {
  given: Values;
  values: Values;
  old: RenderedObject[];
  next: RenderedObject[];
}

export async function renderedFacts(
  b: Here,
  settings: HelmSettings,
): Promise<{ facts: HelmFacts; rendering: Rendering }> {
  const { signal } = b;
  const release = await describeRelease({ ...at(settings), password: settings.password, signal });
  const name = connectionName(b.workflowId);
  const endpoints = Object.fromEntries(release.pods.map((pod) => [pod.name, endpointOf(release, pod.name)]));
  const servers: Record<string, ServerFacts> = {};
  for (const pod of release.pods) {
    const endpoint = endpoints[pod.name];
    if (!endpoint) continue;
    const address = await resolveEndpoint({ endpoint, where: pod.name, signal });
    servers[pod.name] = await describe({ address, name, signal });
  }
  const primary = primaryOf(release, servers);
  const version = servers[primary]?.version ?? '';
  const { given, values, tag } = await valuesFor(settings, { revision: release.revision, version }, signal);
  const old = objectsIn(await manifest({ ...at(settings), revision: release.revision, signal }));
  const next = objectsIn(await rendered({ ...at(settings), ...chartOf(settings), values, signal }));
  const set = (objects: typeof old) => objects.find(({ kind }) => kind === 'StatefulSet');
  const facts: HelmFacts = {
    release,
    servers,
    endpoints,
    primary,
    mode: release.pods.length > 1 ? 'replica' : 'standalone',
    version,
    look: {
      tag,
      values: differences(given, values),
      objects: objectDifferences(old, next),
      refused: refusedChanges(set(old), set(next)),
      setsPartition:
        valueAt(set(next) ?? {}, 'spec.updateStrategy.rollingUpdate.partition') !== undefined ||
        !['RollingUpdate', undefined].includes(
          valueAt(set(next) ?? {}, 'spec.updateStrategy.type') as string | undefined,
        ),
      replicas: Number(valueAt(set(next) ?? {}, 'spec.replicas') ?? 1),
    },
    serving: release.services
      .filter(({ headless, pods }) => !headless && pods.includes(primary))
      .map(({ name: service, selector }) => ({ name: service, selector })),
    notUndone: (await listJournals()).flatMap(({ workflowId, runId, entries }) =>
      runId === b.runId
        ? []
        : pendingUndos(entries)
            .filter(({ undo }) => touches(undo?.args, release))
            .map(({ title }) => `"${title}" of ${workflowId}`),
    ),
  };
  return { facts, rendering: { given, values, old, next } };
}

/** Undos of strategies here name their release. */
function touches(args: unknown, { namespace, release }: ReleaseFacts): boolean {
  const text = JSON.stringify(args) ?? '';
  return text.includes(`"namespace":"${namespace}"`) && text.includes(`"release":"${release}"`);
}

/** The one that takes writes. @throws FerryError where it isn't clear which */
function primaryOf(release: ReleaseFacts, servers: Record<string, ServerFacts>): string {
  const primaries = release.pods.filter(({ name }) => servers[name]?.role === 'primary');
  const [only] = primaries;
  if (only && primaries.length === 1) return only.name;
  throw new FerryError(
    'Unclear',
    primaries.length === 0
      ? `none of the pods of ${release.shown} is a primary`
      : `several pods of ${release.shown} take writes: ${primaries.map(({ name }) => name).join(', ')}`,
  );
}

type At = Pick<HelmSettings, 'namespace' | 'context' | 'release'>;

export function at({ namespace, context, release }: At) {
  return { namespace, context, release };
}

export function chartOf({ chart, chartVersion }: Pick<HelmSettings, 'chart' | 'chartVersion'>) {
  return { chart, chartVersion };
}

/** The values of the new version: those that the release was given, the input's on top, and the tag. They may hold passwords. */
export async function valuesFor(
  settings: HelmSettings,
  old: { revision: number; version: string },
  signal: AbortSignal,
): Promise<{ given: Values; values: Values; tag: string }> {
  const { values, targetVersion } = settings;
  const given = await givenValues({ ...at(settings), revision: old.revision, signal });
  const path = pathsOf(settings).tag;
  const tag = targetTag({ given, values, path, version: old.version, targetVersion });
  return { given, values: withValue(merged(given, values), path, tag), tag };
}

export async function preflightHelm(input: { settings: HelmSettings; facts: HelmFacts }): Promise<Check[]> {
  const { settings, facts } = input;
  return border(async (b) => {
    const { targetVersion } = settings;
    const endpoint = facts.endpoints[facts.primary];
    const source = facts.servers[facts.primary];
    if (!endpoint || !source) throw new FerryError('Unclear', 'the primary was not asked');
    const survey = await atEndpoint(b, { endpoint, where: facts.primary }, (client) => surveyOf({ client }));
    const both = surveyBetween({ source: survey, target: survey });
    return [
      ...preflightRelease({
        release: facts.release,
        servers: facts.servers,
        primary: facts.primary,
        look: facts.look,
        targetVersion,
        service: settings.service ?? facts.release.statefulSet.name,
        notified: settings.notify !== undefined,
        notUndone: facts.notUndone,
      }),
      // As far as the notes are concerned, the new one is the old one with another version.
      notesOnTheWay({
        source,
        target: { ...source, version: targetVersion, redisVersion: targetVersion },
        survey: both,
      }),
      clientsReady({ source, habits: both.clients }),
    ];
  });
}

/** What stood before: objects, values, the last log lines. Whole, or not there. */
export async function keepEvidence(input: {
  settings: HelmSettings;
  facts: Pick<HelmFacts, 'release' | 'version'>;
  backup: Backup;
}): Promise<{ folder: string; files: number; bytes: number }> {
  return border(async (b) => {
    const { settings, facts, backup } = input;
    const { release, version } = facts;
    const { given, values } = await valuesFor(settings, { revision: release.revision, version }, b.signal);
    const texts = await evidenceOf({
      facts: release,
      versions: { from: version, to: settings.targetVersion },
      given,
      values,
      signal: b.signal,
    });
    return intoFolder(b, { backup, kind: 'evidence' }, async (files) => {
      let bytes = 0;
      for (const [name, text] of Object.entries(texts)) bytes += (await files.write(name, text)).bytes;
      return { folder: files.folder, files: Object.keys(texts).length, bytes };
    });
  });
}

export interface UpgradeInput {
  settings: HelmSettings;
  /** What is there now: the revision by its number, and the version that runs. */
  old: { revision: number; version: string };
  /** Pods that are held back, where the chart itself sets the partition. */
  partition?: number;
  /** One replica more, by the value that says how many there are. */
  surge?: { path: string; value: number };
  /** Tells a second revision of one upgrade from its first. */
  label?: string;
}

/** What helm was begun from, told before it is. */
interface Begun {
  since: number;
}

type Giving = Here & { last: Begun | undefined; stillCurrent: (details?: Begun) => Promise<void> };

/**
 * Gives the release the revision of the new version, and returns its number. Its pods follow as the StatefulSet's strategy has it. Looks
 * first whether an earlier attempt did it, and clears away what one left that ended in the middle.
 */
export async function upgradeRelease(input: UpgradeInput): Promise<{ revision: number }> {
  return border<{ revision: number }, Begun>(async (b) => {
    const { settings, old, partition, surge, label = '' } = input;
    const { values: wanted, tag } = await valuesFor(settings, old, b.signal);
    const { tag: tagPath, partition: path } = pathsOf(settings);
    const held = path === null || partition === undefined ? wanted : withValue(wanted, path, partition);
    return giveRevision(b, {
      ...at(settings),
      ...chartOf(settings),
      values: surge ? withValue(held, surge.path, surge.value) : held,
      from: old.revision,
      brings: { path: tagPath, tag },
      label,
    });
  });
}

/** The same by values that are at hand. `from`: the revision that the upgrade began with. */
export async function giveRevision(
  b: Giving,
  on: At & Chart & { values: Values; from: number; brings: Brings; label: string },
): Promise<{ revision: number }> {
  const { values, from, brings, label, ...chart } = on;
  const description = `${ours(b.workflowId, b.runId)}${label}`;
  const done = await settled(b, on, description, brings);
  if (done !== null) return { revision: done };
  await unchanged(b, on, from);
  await b.stillCurrent({ since: await cleared(b, on, values) });
  return { revision: await upgrade({ ...chart, values, description, signal: b.signal }) };
}

export function ours(workflowId: string, runId: string): string {
  return `Redis Ferry ${workflowId} ${runId.slice(0, 8)}`;
}

/**
 * The newest revision. Where helm ended together with the worker that had started it, as in a pod, the release is pending for ever, and
 * nobody may upgrade it: what it was begun from stands again first, as it would by hand.
 */
async function cleared(b: Giving, on: At, values: Values): Promise<number> {
  const newest = async () => (await history({ ...at(on), signal: b.signal })).at(-1);
  const last = await newest();
  if (b.last === undefined || !last?.status.startsWith('pending-') || last.revision !== b.last.since + 1)
    return last?.revision ?? 0;
  const given = await givenValues({ ...at(on), revision: last.revision, signal: b.signal });
  // Somebody else's is left to them: helm refuses, and says so.
  if (!isDeepStrictEqual(given, values)) return last.revision;
  await b.stillCurrent();
  await rollback({ ...at(on), revision: b.last.since, signal: b.signal });
  return (await newest())?.revision ?? 0;
}

/** How long a helm may still be at it after the worker that started it: in a pod it ends with that. */
const PENDING_MS = isInside() ? 20_000 : 2 * 60_000;

/** What a revision of ours has among its values: while helm makes it, it describes it in its own words. */
export interface Brings {
  path: string;
  tag: string;
}

/**
 * Our revision, once helm has ended with it; null where there is none. A helm outlives the worker that started it. Somebody else's is not
 * waited for.
 */
export async function settled(b: Here, on: At, description: string, brings?: Brings): Promise<number | null> {
  for (const until = Date.now() + PENDING_MS; ; await sleep(1_000, undefined, { signal: b.signal })) {
    const last = (await history({ ...at(on), signal: b.signal })).findLast(
      ({ description: said, status }) => said === description || status.startsWith('pending-'),
    );
    if (last?.description === description && last.status === 'deployed') return last.revision;
    if (!last?.status.startsWith('pending-') || Date.now() > until) return null;
    if (!(await mayBeOurs(b, on, last, brings))) return null;
  }
}

async function mayBeOurs(
  b: Here,
  on: At,
  { revision, status }: Revision,
  brings: Brings | undefined,
): Promise<boolean> {
  if (!brings || status === 'pending-rollback') return true;
  const given = await givenValues({ ...at(on), revision, signal: b.signal });
  return valueAt(given, brings.path) === brings.tag;
}

/** Somebody may have upgraded the release since it was looked at. @throws FerryError ProviderRefused */
async function unchanged(b: Here, on: At, revision: number): Promise<void> {
  const deployed = (await history({ ...at(on), signal: b.signal })).findLast(
    ({ status }) => status === 'deployed',
  );
  if (!deployed || deployed.revision === revision) return;
  const { description } = deployed;
  // A recovery is a run of its own.
  if (description.startsWith(ours(b.workflowId, '')) || description === backTo(revision)) return;
  throw new FerryError(
    'ProviderRefused',
    `somebody gave ${on.namespace}/${on.release} revision ${deployed.revision} (${description}) since this upgrade looked at revision ${revision}, and it would take that back. Go back here and start again; or, where it is not wanted, \`helm rollback ${on.release} ${revision} -n ${on.namespace}\`, then retry`,
  );
}

function backTo(revision: number): string {
  return `Rollback to ${revision}`;
}

/**
 * The release has the objects of the recorded revision again, whoever gave it others. Its pods follow as the StatefulSet's strategy has it.
 * @throws FerryError Locked where somebody else's operation is under way, or was left so
 */
export async function backToRevision(
  b: Here,
  on: At & { revision: number; brings?: Brings | undefined },
): Promise<string> {
  // A helm that a worker started goes on without it.
  await settled(b, on, ours(b.workflowId, b.runId), on.brings);
  const revisions = await history({ ...at(on), signal: b.signal });
  const last = revisions.at(-1);
  const back = backTo(on.revision);
  const others =
    last?.status === 'pending-rollback'
      ? last.description !== back
      : last?.status.startsWith('pending-') && !(await mayBeOurs(b, on, last, on.brings));
  if (others) throw new FerryError('Locked', pendingSays(on));
  const stands = last?.status === 'deployed' && (last.revision === on.revision || last.description === back);
  if (stands) return `revision ${last.revision} stands, which is ${on.revision}`;
  await rollback({ ...at(on), revision: on.revision, signal: b.signal });
  return `rolled back to revision ${on.revision}`;
}
