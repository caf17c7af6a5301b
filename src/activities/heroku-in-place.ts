/** The upgrade in place of a Key-Value Store at Heroku. */
import type { Check, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import { herokuCli } from '../heroku/cli.js';
import { storeInfo, type Store, type StoreSettings } from '../heroku/key-value-store.js';
import { maintenanceInfo } from '../heroku/maintenances.js';
import {
  isUpgradedAtOnce,
  preflightInPlace,
  type InPlaceFacts as Looked,
  type Keyspace,
} from '../heroku/preflight.js';
import { dynosUp } from '../heroku/standstill.js';
import {
  leftOfUpgrade,
  requestUpgrade,
  upgradeAtOnce,
  upgradeByMaintenance,
  waitUntilReady,
  watchHour,
  type Happened,
  type Prepared,
  type Upgraded,
} from '../heroku/upgrade.js';
import { validateInPlace } from '../heroku/validate.js';
import type { HerokuInPlaceSettings } from '../inputs/heroku-in-place.js';
import { milliseconds } from '../inputs/refs.js';
import { takeKeys, type KeysFile } from '../redis/backup/keys.js';
import { countKeys } from '../redis/keyspace.js';
import { snapshotChecks } from '../redis/preflight/backup.js';
import { intoFolder, placesOf } from './backing-up.js';
import { border, type Border } from './border.js';
import { addressOf, factsOf, STARTING_MS, type HerokuFacts } from './heroku-apps.js';

export type { Happened, Hour, Prepared, Upgraded } from '../heroku/upgrade.js';
export type { KeysFile } from '../redis/backup/keys.js';

export interface InPlaceFacts extends Looked, HerokuFacts {}

type At = Pick<Border<never>, 'signal' | 'hand'>;

/** @throws FerryError MissingSecret, CredentialsRefused, ToolMissing, NotFound: what an input may have wrong */
export async function describeInPlace(input: { settings: HerokuInPlaceSettings }): Promise<InPlaceFacts> {
  return border(async (b) => {
    const { app, addon } = input.settings;
    const facts = await factsOf(b, addon);
    const { version, from } = await herokuCli();
    const of = { addon: facts.addon.name, app: facts.addon.billingApp.name, signal: b.signal };
    // A second or more each.
    const [{ rows: _, ...store }, maintenance] = await Promise.all([storeInfo(of), maintenanceInfo(of)]);
    const uses = facts.apps.find(({ name }) => name === app) ?? facts.apps[0];
    const reached =
      uses === undefined ? { keyspace: null, why: 'no app that may be seen uses it' } : await reach(b, uses);
    return {
      ...facts,
      store,
      maintenance,
      atOnce: isUpgradedAtOnce(facts.addon.plan),
      cli: { version, from },
      keyspace: reached.keyspace,
      unreachable: reached.why,
    };
  });
}

interface Uses {
  name: string;
  attachments: readonly string[];
}

/** Whether it answers where the app finds it, and how many keys it holds. */
async function reach(b: At, uses: Uses): Promise<{ keyspace: Keyspace | null; why: string }> {
  const by = variableOf(uses);
  try {
    const address = await addressOf({ app: uses.name, key: by, signal: b.signal });
    return { keyspace: { by, ...(await countKeys({ address, name: b.hand, signal: b.signal })) }, why: '' };
  } catch (error) {
    b.signal.throwIfAborted();
    if (!(error instanceof FerryError)) throw error;
    return { keyspace: null, why: error.message };
  }
}

/** The usual name where it has several. */
function variableOf({ attachments }: Uses): string {
  return `${attachments.find((name) => name === 'REDIS') ?? attachments[0] ?? 'REDIS'}_URL`;
}

export async function preflightUpgrade(input: {
  settings: HerokuInPlaceSettings;
  facts: InPlaceFacts;
}): Promise<Check[]> {
  const { settings, facts } = input;
  return border(async (b) => [
    ...preflightInPlace({
      ...settings,
      notified: settings.notify !== undefined,
      snapshot: settings.snapshot !== false,
      facts,
    }),
    ...(await forSnapshot(b, settings.snapshot, facts)),
  ]);
}

/** Where the store can't be reached, another check says that there is no snapshot. */
async function forSnapshot(
  b: Pick<Border<never>, 'workflowId' | 'signal'>,
  snapshot: HerokuInPlaceSettings['snapshot'],
  { keyspace }: InPlaceFacts,
): Promise<Check[]> {
  if (snapshot === false || keyspace === null) return [];
  const { usedMemory, product } = keyspace;
  return snapshotChecks({ usedMemory, ...(await placesOf(b, snapshot, product)) });
}

/** Begins anew each time. */
export async function snapshotStore(input: {
  uses: Uses;
  snapshot: HerokuInPlaceSettings['snapshot'];
  /** Title, for the progress. */
  step: string;
}): Promise<KeysFile> {
  return border(async (b) => {
    const address = await addressOf({ app: input.uses.name, key: variableOf(input.uses), signal: b.signal });
    return intoFolder(b, { backup: input.snapshot, kind: 'snapshot' }, (files) =>
      takeKeys({
        address,
        name: b.hand,
        files,
        signal: b.signal,
        onProgress: (done, total) => b.show({ step: input.step, done, total, unit: 'keys', counts: {} }),
      }),
    );
  });
}

interface Of {
  addon: string;
  /** The app that pays for it. */
  app: string;
  version: string;
}

/** Can't be taken back. `refused`: Heroku doesn't offer the version. */
export async function askForUpgrade(of: Of): Promise<Awaited<ReturnType<typeof requestUpgrade>>> {
  return border(async (b) => {
    await b.stillCurrent();
    return requestUpgrade({ ...of, signal: b.signal });
  });
}

/** A CLI call takes seconds, and preparing takes minutes. */
const EVERY = 15_000;

/** Milliseconds of `within` count from `since`, so that a new attempt doesn't begin to wait anew. */
export async function waitForMaintenance(of: Of & { since: number; within: string }): Promise<Prepared> {
  return border((b) =>
    waitUntilReady({
      ...named(of),
      deadline: left(of),
      every: Math.min(EVERY, milliseconds(of.within) / 10),
      signal: b.signal,
    }),
  );
}

export async function watchMaintenance(
  of: Of & { known: { scheduledFor: string | null; last: boolean }; postponeBefore: string },
): Promise<Happened> {
  return border((b) =>
    watchHour({
      ...named(of),
      known: of.known,
      leadMs: milliseconds(of.postponeBefore),
      deadline: Number.POSITIVE_INFINITY,
      signal: b.signal,
    }),
  );
}

/** Runs what is prepared, or upgrades at once, and waits for its end. One that has begun already is only waited for. */
export async function runUpgrade(
  of: Of & { atOnce: boolean; since: number; within: string },
): Promise<{ refused: string } | ({ refused: null } & Upgraded)> {
  return border(async (b) => {
    const waiting = { ...named(of), deadline: left(of), every: 2_000, signal: b.signal };
    await b.stillCurrent();
    return of.atOnce ? upgradeAtOnce(waiting) : { refused: null, ...(await upgradeByMaintenance(waiting)) };
  });
}

/** An undo: it takes nothing back, but waits until nothing runs any more, and says what is left. */
export async function settleUpgrade(of: Of & { within: string }): Promise<UndoResult> {
  return border(async (b) => {
    const stays = await leftOfUpgrade({
      ...named(of),
      deadline: milliseconds(of.within),
      every: 2_000,
      signal: b.signal,
    });
    return stays === null ? { note: 'it was never asked for' } : { note: stays, left: [stays] };
  });
}

function named({ addon, app, version }: Of): Of {
  return { addon, app, version };
}

/** At least a last look. */
function left({ since, within }: { since: number; within: string }): number {
  return Math.max(since + milliseconds(within) - Date.now(), 1);
}

/** With the apps at rest; null where it can't be reached. */
export async function countStoreKeys({ uses }: { uses: Uses }): Promise<Keyspace | null> {
  return border(async (b) => (await reach(b, uses)).keyspace);
}

export async function validateUpgrade(input: {
  of: Of;
  apps: Uses[];
  /** Before. */
  store: StoreSettings;
  lasting: number | null;
}): Promise<{ checks: Check[]; store: Pick<Store, 'version' | 'status'> & StoreSettings }> {
  return border(async (b) => {
    const { addon, app, version } = input.of;
    const { releases, late } = await upOrLate(
      b,
      input.apps.map(({ name }) => name),
    );
    const reached = [];
    for (const uses of input.apps) reached.push({ app: uses.name, ...(await reach(b, uses)) });
    const { status, maxmemoryPolicy, timeout, keyspaceNotifications, ...now } = await storeInfo({
      addon,
      app,
      signal: b.signal,
    });
    const store = { version: now.version, status, maxmemoryPolicy, timeout, keyspaceNotifications };
    const { maxmemoryPolicy: policy, timeout: idle, keyspaceNotifications: letters } = input.store;
    return {
      store,
      checks: validateInPlace({
        targetVersion: version,
        settings: { maxmemoryPolicy: policy, timeout: idle, keyspaceNotifications: letters },
        lasting: input.lasting,
        after: { store, reached, releases, late },
      }),
    };
  });
}

async function upOrLate(b: At, apps: string[]): Promise<{ releases: Record<string, number>; late: string }> {
  try {
    const releases = await dynosUp({ apps, deadline: STARTING_MS, every: 1_000, signal: b.signal });
    return { releases, late: '' };
  } catch (error) {
    if (error instanceof FerryError && error.type === 'NotReady')
      return { releases: {}, late: error.message };
    throw error;
  }
}
