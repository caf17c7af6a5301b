/**
 * An upgrade in place from asking for it to its end. What Heroku shows may be a moment old: an upgrade is through when the store itself
 * says its version, and a maintenance that has completed may be the one of the last upgrade.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import type { Asked } from './api.js';
import {
  isVersion,
  storeInfo,
  upgradeOf,
  upgradeStore,
  versionsIn,
  waitUntilAvailable,
  type Upgrade,
} from './key-value-store.js';
import {
  maintenanceInfo,
  postponeMaintenance,
  runMaintenance,
  waitUntilCompleted,
  type Maintenance,
} from './maintenances.js';
import { waitFor, type Waiting } from './wait.js';

export interface UpgradeOf {
  /** The add-on's name. */
  addon: string;
  /** The app that pays for it. */
  app: string;
  /** Asked for. */
  version: string;
}

/** What people are shown of a maintenance. */
export type Hour = Pick<Maintenance, 'status' | 'scheduledFor' | 'requiredBy' | 'window'>;

/** `refused`: Heroku doesn't offer that version. Nothing was changed then. @throws as `upgradeStore` */
export async function requestUpgrade(
  of: UpgradeOf & Asked,
): Promise<{ refused: string } | { refused: null; kind: Upgrade['kind'] }> {
  try {
    const { kind } = await upgradeStore(of);
    return { refused: null, kind };
  } catch (error) {
    const versions =
      error instanceof FerryError && error.type === 'ProviderRefused'
        ? versionsIn(error.message, of.version)
        : [];
    if (versions.length === 0) throw error;
    return {
      refused: `Heroku does not offer ${of.version} for ${of.addon}. It offers ${versions.join(', ')}`,
    };
  }
}

export interface Prepared {
  /** It has run already, by itself, or runs. */
  begun: boolean;
  hour: Hour;
}

/** Until the maintenance can be run, or has been. @throws FerryError NotReady, and as `upgradeOf` */
export async function waitUntilReady({
  addon,
  app,
  version,
  ...waiting
}: UpgradeOf & Waiting): Promise<Prepared> {
  const of = { addon, app, signal: waiting.signal };
  return waitFor<Prepared>({
    ...waiting,
    what: `the maintenance of ${addon} to be prepared`,
    look: async () => {
      const upgrade = await upgradeOf({ ...of, version });
      if (upgrade?.kind === 'upgraded')
        return { done: { begun: true, hour: hourOf(await maintenanceInfo(of)) } };
      if (upgrade?.kind !== 'maintenance') return { yet: upgrade?.kind ?? 'Heroku shows none' };
      const { maintenance } = upgrade;
      const begun = maintenance.status === 'running';
      if (begun || canRun(maintenance)) return { done: { begun, hour: hourOf(maintenance) } };
      return { yet: maintenance.status };
    },
  });
}

/** `pending` is one that was begun and has fallen back. */
function canRun({ status }: Maintenance): boolean {
  return status === 'ready' || status === 'pending';
}

function hourOf({ status, scheduledFor, requiredBy, window }: Maintenance): Hour {
  return { status, scheduledFor, requiredBy, window };
}

export type Happened =
  /** It has run by itself, or runs. */
  | { what: 'begun'; hour: Hour }
  /** Its hour was near: it was put off by a week. */
  | { what: 'postponed'; hour: Hour }
  /** Its hour is near, and Heroku takes no later one. */
  | { what: 'last'; hour: Hour }
  /** It has another hour than was known, by somebody else. */
  | { what: 'moved'; hour: Hour };

const WEEK_MS = 7 * 24 * 3_600_000;
const FAR = 60_000;
const NEAR = 5_000;

/** Looks at a prepared maintenance until something happens to it, and puts it off before it runs by itself. @throws as `upgradeOf` */
export async function watchHour({
  addon,
  app,
  version,
  known,
  leadMs,
  ...waiting
}: UpgradeOf &
  Waiting & {
    /** Its hour as it was told last, and whether it was told that there is no later one. */
    known: { scheduledFor: string | null; last: boolean };
    /** So long before its hour it is put off. */
    leadMs: number;
  }): Promise<Happened> {
  const of = { addon, app, signal: waiting.signal };
  for (;;) {
    const now = await maintenanceInfo(of);
    const hour = hourOf(now);
    if (now.status === 'running') return { what: 'begun', hour };
    // Not that of an upgrade before this one, which is shown while nothing else is.
    if (now.status === 'completed' && isVersion((await storeInfo(of)).version, version))
      return { what: 'begun', hour };
    if (canRun(now) && now.scheduledFor !== null) {
      if (now.scheduledFor !== known.scheduledFor) return { what: 'moved', hour };
      const left = Date.parse(now.scheduledFor) - Date.now();
      if (left <= leadMs && !known.last) {
        const to = await later({ ...of, now });
        return to === null
          ? { what: 'last', hour }
          : { what: 'postponed', hour: { ...hour, scheduledFor: to } };
      }
    }
    waiting.beat?.(now.status);
    const left =
      now.scheduledFor === null ? FAR : Date.parse(now.scheduledFor) - Date.now() - (known.last ? 0 : leadMs);
    await sleep(Math.min(Math.max(left, NEAR), FAR), undefined, { signal: waiting.signal });
  }
}

/** Its hour a week later; null where Heroku takes none. */
async function later({
  now,
  ...of
}: Asked & { addon: string; app: string; now: Maintenance }): Promise<string | null> {
  const { scheduledFor, requiredBy } = now;
  if (scheduledFor === null) return null;
  if (requiredBy !== null && Date.parse(scheduledFor) + WEEK_MS > Date.parse(requiredBy)) return null;
  try {
    return (await postponeMaintenance({ ...of, weeks: 1, seen: scheduledFor })).scheduledFor;
  } catch (error) {
    if (error instanceof FerryError && error.type === 'ProviderRefused') return null;
    throw error;
  }
}

/** A store that has been upgraded says so by then. One that doesn't was upgraded to another version, or not at all. */
const SHOWN_WITHIN_MS = 2 * 60_000;

export interface Upgraded {
  /** The version that it says now. */
  version: string;
  /** Of the maintenance, as Heroku measured it; of an upgrade at once, as it was waited for. */
  seconds: number | null;
  startedAt: string | null;
  completedAt: string | null;
}

/**
 * Runs the prepared maintenance and waits until the store is upgraded. One that runs, or has run, is only waited for.
 *
 * @throws FerryError MaintenanceFailed, NotReady, and as `runMaintenance`
 */
export async function upgradeByMaintenance({
  addon,
  app,
  version,
  ...waiting
}: UpgradeOf & Waiting): Promise<Upgraded> {
  const of = { addon, app, signal: waiting.signal };
  // Nothing more is asked than is needed: the apps are at rest, and each call of the CLI takes seconds.
  await runMaintenance(of);
  const { durationSeconds, startedAt, completedAt } = await waitUntilCompleted({ ...waiting, addon, app });
  const deadline = Math.min(waiting.deadline, SHOWN_WITHIN_MS);
  const store = await waitUntilAvailable({ ...waiting, deadline, addon, app, version });
  return { version: store.version, seconds: durationSeconds, startedAt, completedAt };
}

/** A mini plan, at once. `refused` as `requestUpgrade`. @throws FerryError NotReady, and as `upgradeStore` */
export async function upgradeAtOnce({
  addon,
  app,
  version,
  ...waiting
}: UpgradeOf & Waiting): Promise<{ refused: string } | ({ refused: null } & Upgraded)> {
  const startedAt = new Date();
  const asked = await requestUpgrade({ addon, app, version, signal: waiting.signal });
  if (asked.refused !== null) return { refused: asked.refused };
  const store = await waitUntilAvailable({ ...waiting, addon, app, version });
  const completedAt = new Date();
  return {
    refused: null,
    version: store.version,
    seconds: Math.round((completedAt.getTime() - startedAt.getTime()) / 1_000),
    startedAt: startedAt.toISOString(),
    completedAt: completedAt.toISOString(),
  };
}

/** As often as this in a row it must not be seen. */
const UNSEEN = 3;

/**
 * What is left of an upgrade that is not wanted any more: nothing takes it back. One that runs is waited for, so that the apps don't
 * write while it does. Null where it was never asked for.
 *
 * @throws FerryError NotReady, and as `upgradeOf`
 */
export async function leftOfUpgrade({
  addon,
  app,
  version,
  ...waiting
}: UpgradeOf & Waiting): Promise<string | null> {
  const of = { addon, app, signal: waiting.signal };
  let unseen = 0;
  return waitFor<string | null>({
    ...waiting,
    what: `the upgrade of ${addon} to end`,
    look: async () => {
      const upgrade = await upgradeOf({ ...of, version });
      // A command that was stopped a moment ago may have got through all the same.
      if (upgrade === null) return ++unseen < UNSEEN ? { yet: 'nothing to be seen' } : { done: null };
      unseen = 0;
      if (upgrade.kind === 'upgraded')
        return { done: `${addon} runs ${version}: an upgrade in place can not be taken back` };
      if (upgrade.kind === 'upgrading') return { yet: 'it is being upgraded' };
      const { status, scheduledFor, requiredBy } = upgrade.maintenance;
      if (status === 'running') return { yet: status };
      return {
        done: `the maintenance of ${addon} that upgrades it to ${version} is ${status} and can not be withdrawn: it runs by itself${scheduledFor === null ? '' : ` at ${scheduledFor}`}. To put it off: heroku data:maintenances:schedule ${addon} -a ${app} --weeks=1${requiredBy === null ? '' : ` (until ${requiredBy})`}`,
      };
    },
  });
}
