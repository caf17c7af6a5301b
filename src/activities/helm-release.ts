/** A Helm release: what it is, whether it can be upgraded, and what is kept of it. */
import type { Check } from '../contract.js';
import { FerryError } from '../errors.js';
import type { Backup } from '../inputs/backup.js';
import { pathsOf, type HelmSettings } from '../inputs/kubernetes.js';
import type { RedisEndpoint, SecretRef } from '../inputs/refs.js';
import type { Repoint } from '../inputs/repoint.js';
import { evidenceOf } from '../kubernetes/evidence.js';
import { givenValues, manifest, rendered, type Values } from '../kubernetes/helm.js';
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

export type Here = Pick<Border<never>, 'signal' | 'workflowId' | 'runId'>;

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

export type At = Pick<HelmSettings, 'namespace' | 'context' | 'release'>;

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
