/** The apps that use an add-on at Heroku: how they run, bringing them to rest, and giving them back exactly what they had. */
import type { UndoResult } from '../contract.js';
import {
  before,
  dynosUp,
  maintenanceAsBefore,
  maintenanceOn,
  workersAsBefore,
  workersDown,
  type AppBefore,
} from '../heroku/standstill.js';
import { maintenanceByHand, scaleByHand } from '../heroku/by-hand.js';
import { useOfAddOn, useOfApps, type AddOnUse } from '../heroku/usage.js';
import { listJournals, pendingUndos } from '../platform/journal.js';
import { resolveEndpoint } from '../platform/secrets.js';
import type { ServerAddress } from '../redis/address.js';
import { border, type Border } from './border.js';

export type { AddOnUse, AppUse } from '../heroku/usage.js';
export type { AppBefore } from '../heroku/standstill.js';

export interface HerokuFacts extends AddOnUse {
  /** What each app that may be seen is to be given back. */
  before: AppBefore[];
  /** Steps that other upgrades have done to these apps and not undone, by the journals of this worker. */
  notUndone: string[];
  /** For the break-glass card. */
  byHand: { scale: string[]; maintenance: string[] };
}

/**
 * Where an app finds a store, as it is now: it may change with an upgrade. Heroku signs its certificates itself, and tells its customers
 * not to check them.
 */
export async function addressOf(on: {
  app: string;
  /** The config variable. */
  key: string;
  signal: AbortSignal;
}): Promise<ServerAddress> {
  const { app, key, signal } = on;
  const address = await resolveEndpoint({ endpoint: { herokuConfig: { app, key } }, where: key, signal });
  return address.tls ? { ...address, tls: { insecure: true } } : address;
}

/** @throws FerryError NotFound where there is no such add-on */
export async function describeAddOn({ addon }: { addon: string }): Promise<HerokuFacts> {
  return border((b) => factsOf(b, addon));
}

/** Apps by their names, as they are to be given back. */
export type Resting = Pick<HerokuFacts, 'apps' | 'before' | 'notUndone' | 'byHand'>;

/** @throws FerryError NotFound where there is no such app, or it may not be seen */
export async function restingApps(
  b: Pick<Border<never>, 'signal' | 'runId'>,
  names: readonly string[],
): Promise<Resting> {
  const found = await useOfApps({ apps: names, signal: b.signal });
  return { apps: found, ...(await toGiveBack(b, found)) };
}

export async function factsOf(
  b: Pick<Border<never>, 'signal' | 'runId'>,
  addon: string,
): Promise<HerokuFacts> {
  const use = await useOfAddOn({ addon, signal: b.signal });
  return { ...use, ...(await toGiveBack(b, use.apps)) };
}

async function toGiveBack(
  b: Pick<Border<never>, 'runId'>,
  found: HerokuFacts['apps'],
): Promise<Omit<Resting, 'apps'>> {
  const apps = found.map(before);
  return {
    before: apps,
    notUndone: await notUndoneTo({ apps, runId: b.runId }),
    byHand: { scale: scaleByHand(apps), maintenance: maintenanceByHand(apps) },
  };
}

/** What another run has brought to rest must not be taken for what the app has. */
async function notUndoneTo({ apps, runId }: { apps: AppBefore[]; runId: string }): Promise<string[]> {
  const journals = (await listJournals()).filter((journal) => journal.runId !== runId);
  return journals.flatMap(({ workflowId, entries }) =>
    pendingUndos(entries)
      .filter(({ undo }) => apps.some(({ name }) => touches(undo?.args, name)))
      .map(({ title }) => `"${title}" of ${workflowId}`),
  );
}

/** Undos of this file name their apps. */
function touches(args: unknown, app: string): boolean {
  if (typeof args !== 'object' || args === null || !('apps' in args) || !Array.isArray(args.apps))
    return false;
  return args.apps.some(
    (each: unknown) =>
      each === app || (typeof each === 'object' && each !== null && 'name' in each && each.name === app),
  );
}

/** Of all of them. Those that were in it stay in it. */
export async function ensureMaintenanceMode(input: { apps: string[] }): Promise<{ turnedOn: string[] }> {
  return border((b) =>
    maintenanceOn({ apps: input.apps, confirm: () => b.stillCurrent(), signal: b.signal }),
  );
}

/** An undo, and the way forward at the end: each gets the maintenance mode that it had. */
export async function restoreMaintenanceMode(input: { apps: AppBefore[] }): Promise<UndoResult> {
  return border(async (b) => noted(await maintenanceAsBefore({ apps: input.apps, signal: b.signal })));
}

/** How long dynos may take to end: Heroku kills them 30 s after it has asked. */
const ENDING_MS = 3 * 60_000;
/** How long dynos may take to start. */
export const STARTING_MS = 10 * 60_000;

/** Every process type but web, by one request an app; returns when none of these dynos runs. */
export async function scaleDownWorkers(input: { apps: AppBefore[] }): Promise<{ stopped: number }> {
  return border((b) =>
    workersDown({
      apps: input.apps,
      confirm: () => b.stillCurrent(),
      deadline: ENDING_MS,
      every: 1_000,
      signal: b.signal,
    }),
  );
}

/** An undo, and the way forward at the end: each gets the workers that it had, in number and size. */
export async function restoreFormation(input: { apps: AppBefore[] }): Promise<UndoResult> {
  return border(async (b) => noted(await workersAsBefore({ apps: input.apps, signal: b.signal })));
}

/** Both, for whoever cleans up once there is no way back. */
export async function restoreApps(input: { apps: AppBefore[] }): Promise<UndoResult> {
  return border(async (b) => {
    const { apps } = input;
    const scaled = await workersAsBefore({ apps, signal: b.signal });
    const turned = await maintenanceAsBefore({ apps, signal: b.signal });
    return noted({
      changed: [...scaled.changed, ...turned.changed],
      gone: [...scaled.gone, ...turned.gone],
    });
  });
}

/** Until every dyno of the formation runs the app's newest release, which is returned by app. */
export async function waitForDynos(input: { apps: string[] }): Promise<Record<string, number>> {
  return border((b) => dynosUp({ apps: input.apps, deadline: STARTING_MS, every: 2_000, signal: b.signal }));
}

function noted({ changed, gone }: { changed: string[]; gone: string[] }): UndoResult {
  const said = [
    changed.length > 0 ? `given back to ${[...new Set(changed)].join(', ')}` : 'nothing had to be changed',
    ...(gone.length > 0 ? [`not there any more: ${gone.join(', ')}`] : []),
  ];
  return { note: said.join('; ') };
}
