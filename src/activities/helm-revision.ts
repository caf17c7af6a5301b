/** The revisions of a Helm release: the one of the new version is given to it, and the recorded one again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { FerryError } from '../errors.js';
import { pathsOf, type HelmSettings } from '../inputs/kubernetes.js';
import {
  givenValues,
  history,
  pendingSays,
  rollback,
  upgrade,
  type Chart,
  type Revision,
  type Values,
} from '../kubernetes/helm.js';
import { isInside } from '../kubernetes/kubectl.js';
import { valueAt, withValue } from '../kubernetes/values.js';
import { border } from './border.js';
import { at, chartOf, valuesFor, type At, type Here } from './helm-release.js';

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
