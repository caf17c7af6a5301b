/**
 * Bringing apps to rest and giving them back what they had. Everything is an "ensure": it looks first, so that a second try, or an
 * undo of what was never done, changes nothing.
 */
import { orNull, type Asked } from './api.js';
import { setMaintenanceMode } from './apps.js';
import { waitForRelease, waitUntilStopped } from './dynos.js';
import { formationOf, scale, type ExactScale, type Scale } from './formation.js';
import { newestRelease } from './releases.js';
import type { AppUse } from './usage.js';
import type { Waiting } from './wait.js';

/** What an app had, to be given back. */
export type AppBefore = Pick<AppUse, 'name' | 'maintenance' | 'formation'>;

/** The part of an app that is to be remembered. */
export function before({ name, maintenance, formation }: AppUse): AppBefore {
  return { name, maintenance, formation };
}

/** Process types that run and that maintenance mode doesn't stop. */
export function workersOf({ formation }: Pick<AppUse, 'formation'>): Array<ExactScale> {
  return formation.filter(({ type, quantity }) => type !== 'web' && quantity > 0);
}

/** Throws where it is not this one's turn any more: an attempt that slept could undo what an undo has given back since. */
interface InTurn {
  confirm: () => Promise<void>;
}

/** Names of those that were not in it before. @throws as `request` and `confirm` */
export async function maintenanceOn({
  apps,
  confirm,
  signal,
}: Asked & InTurn & { apps: readonly string[] }): Promise<{ turnedOn: string[] }> {
  const turnedOn: string[] = [];
  for (const app of apps) {
    await confirm();
    const { was } = await setMaintenanceMode({ app, on: true, signal });
    if (!was) turnedOn.push(app);
  }
  return { turnedOn };
}

/** Gives each app the maintenance mode that it had. An app that is gone has none. @throws as `request` */
export async function maintenanceAsBefore({
  apps,
  signal,
}: Asked & { apps: readonly AppBefore[] }): Promise<{ changed: string[]; gone: string[] }> {
  const done = { changed: [] as string[], gone: [] as string[] };
  for (const { name, maintenance } of apps) {
    const set = await orNull(setMaintenanceMode({ app: name, on: maintenance, signal }));
    if (set === null) done.gone.push(name);
    else if (set.was !== maintenance) done.changed.push(name);
  }
  return done;
}

/**
 * Scales every worker to 0, by one request an app, and waits until none of these dynos runs.
 *
 * @throws FerryError NotReady, which names the dynos that still run; and as `request`
 */
export async function workersDown({
  apps,
  confirm,
  ...waiting
}: Waiting & InTurn & { apps: readonly AppBefore[] }): Promise<{ stopped: number }> {
  let stopped = 0;
  for (const app of apps) {
    const to = workersOf(app).map(({ type }) => ({ type, quantity: 0 }));
    if (to.length === 0) continue;
    await confirm();
    await scale({ app: app.name, to, signal: waiting.signal });
    stopped += workersOf(app).reduce((sum, { quantity }) => sum + quantity, 0);
  }
  for (const app of apps) {
    const types = workersOf(app).map(({ type }) => type);
    if (types.length > 0) await waitUntilStopped({ ...waiting, app: app.name, types });
  }
  return { stopped };
}

/**
 * Gives each app exactly the workers that it had, in number and size. A process type that a deployment has removed since can't be given
 * back.
 *
 * @throws as `request`
 */
export async function workersAsBefore({
  apps,
  signal,
}: Asked & { apps: readonly AppBefore[] }): Promise<{ changed: string[]; gone: string[] }> {
  const done = { changed: [] as string[], gone: [] as string[] };
  for (const app of apps) {
    const now = await orNull(formationOf({ app: app.name, signal }));
    if (now === null) {
      done.gone.push(app.name);
      continue;
    }
    const [to, removed] = [[] as Scale[], [] as string[]];
    for (const each of workersOf(app)) {
      if (now.some(({ type }) => type === each.type)) to.push(each);
      else removed.push(`${each.type} of ${app.name}`);
    }
    done.gone.push(...removed);
    if (to.length > 0 && (await scale({ app: app.name, to, signal })).did) done.changed.push(app.name);
  }
  return done;
}

/** Until each app's dynos run its newest release. Gives it, by app. @throws FerryError NotReady, and as `request` */
export async function dynosUp({
  apps,
  ...waiting
}: Waiting & { apps: readonly string[] }): Promise<Record<string, number>> {
  const releases: Record<string, number> = {};
  for (const app of apps) {
    const version = (await newestRelease({ app, signal: waiting.signal }))?.version ?? 0;
    await waitForRelease({ ...waiting, app, version });
    releases[app] = version;
  }
  return releases;
}
