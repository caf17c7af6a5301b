/* Add-ons: from provisioning, by way of a fork or not, to the end. */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { ApiError, created, invalid, notFound, ok, type Routes } from '../http.js';
import { planOf, PLANS, SERVICE } from '../plans.js';
import { follow, promote, untilInSync } from '../redis/replication.js';
import { applySettings, DEFAULTS, startStore } from '../redis/store.js';
import {
  addonNamed,
  appNamed,
  appOf,
  attachmentNamed,
  attachmentsOf,
  attachmentsTo,
  isGone,
  isSeen,
  mustRest,
  newId,
  varNames,
  type Addon,
  type App,
  type World,
} from '../state.js';
import { attach, freeName } from './attachments.js';
import { release } from './releases.js';

export interface NewAddon {
  app: App;
  plan: string;
  version?: string | undefined;
  name?: string | undefined;
  /** Name of its first attachment. */
  as?: string | undefined;
  /** A URL to follow, then to part from. */
  fork?: string | undefined;
  confirm?: string | undefined;
  window?: string | undefined;
  clear?: boolean | undefined;
}

/** It is there at once, and can be used when it is `provisioned`. */
export function createAddon(world: World, on: NewAddon): Addon {
  const { app, fork, version = [...world.servers.keys()].at(-1) ?? '' } = on;
  const plan = PLANS[on.plan];
  if (!plan) throw new ApiError(404, 'not_found', "Couldn't find that plan.", { resource: 'plan' });
  const name = on.name ?? `redis-curly-${Number.parseInt(randomBytes(2).toString('hex'), 16) + 10_000}`;
  const holder = [...world.addons.values()].find((each) => each.name === name);
  // One that could not be provisioned is still shown, but holds no name.
  if (holder && isGone(holder)) world.addons.delete(holder.id);
  else if (holder) throw invalid('Name is already taken');
  if (!world.servers.has(version)) throw invalid(`Version ${version} is not supported: ${offered(world)}.`);
  if (plan.space !== app.space)
    throw invalid(
      `The plan ${SERVICE}:${on.plan} is ${plan.space ? 'only' : 'not'} for apps in a Private Space.`,
    );
  if (fork !== undefined && !plan.forks)
    throw invalid(`The plan ${SERVICE}:${on.plan} does not support forks.`);
  if (fork !== undefined && !(URL.canParse(fork) && /^rediss?:/.test(fork)))
    throw invalid('Fork must be a redis:// or rediss:// URL.');
  const addon: Addon = {
    id: newId(),
    name,
    plan: on.plan,
    app: app.id,
    at: new Date(),
    state: 'provisioning',
    status: 'creating',
    version,
    password: `p${randomBytes(32).toString('hex')}`,
    settings: { ...DEFAULTS },
    window: on.window ?? 'Tuesdays 18:30 to 22:30 UTC',
    clear: on.clear ?? true,
    store: null,
    maintenances: [],
  };
  world.addons.set(addon.id, addon);
  try {
    attach(world, { app, addon, name: on.as ?? freeName(world, app, true), confirm: on.confirm });
  } catch (error) {
    world.addons.delete(addon.id);
    throw error;
  }
  world.billed.push(name);
  world.background(addon, () => provision(world, addon, fork));
  return addon;
}

export const offered = (world: World): string => `supported are ${[...world.servers.keys()].join(', ')}`;

async function provision(world: World, addon: Addon, fork: string | undefined): Promise<void> {
  await pause(world.timing.provision);
  if (world.faults.failsNow('provisioning')) return drop(world, addon);
  const store = await startStore(world, addon, addon.version);
  await applySettings(store, addon.settings);
  if (fork !== undefined) await follow(store, fork);
  // Destroyed in the meantime.
  if (isGone(addon)) return store.stop();
  addon.store = store;
  addon.state = 'provisioned';
  addon.status = fork === undefined ? 'available' : 'fork in progress';
  for (const { name, app } of attachmentsOf(world, addon))
    release(world, appOf(world, app), `Attach ${name} (@ref:${addon.name})`);
  if (fork === undefined || world.faults.failsNow('fork')) return;
  if (!(await untilInSync(addon, store))) return;
  await pause(world.timing.fork);
  if (isGone(addon)) return;
  await promote(store);
  addon.status = 'available';
}

/** Ends it everywhere. Its name is free again. */
function drop(world: World, addon: Addon): void {
  addon.state = 'deprovisioned';
  for (const { id, name, app } of attachmentsOf(world, addon)) {
    world.attachments.delete(id);
    release(world, appOf(world, app), `Detach ${name} (@ref:${addon.name})`);
  }
  for (const { timer, follower } of addon.maintenances) {
    if (timer) clearTimeout(timer);
    if (follower) world.background(addon, () => follower.stop());
  }
  const { store } = addon;
  if (store) world.background(addon, () => store.stop());
}

const posted = z.object({
  plan: z.union([z.string(), z.object({ name: z.string() }).transform(({ name }) => name)]),
  name: z.string().nullish(),
  attachment: z.object({ name: z.string().nullish() }).nullish(),
  config: z.object({ fork: z.string().optional(), version: z.string().optional() }).nullish(),
  confirm: z.string().nullish(),
});

export function addonRoutes(world: World): Routes {
  const all = (app: App): Addon[] => {
    const attached = attachmentsTo(world, app).map(({ addon }) => addon);
    return [...world.addons.values()].filter(
      ({ id, app: owner }) => owner === app.id || attached.includes(id),
    );
  };
  const ofApp = (app: App, key: string): Addon => {
    const addon = all(app).find(({ id, name }) => id === key || name === key);
    if (!addon) throw notFound('add_on');
    return addon;
  };

  return {
    'GET /addons': () =>
      ok(
        [...world.addons.values()]
          .filter((each) => isSeen(world, each))
          .map((each) => addonView(world, each)),
      ),
    'GET /addons/:addon': (call) => ok(addonView(world, addonNamed(world, call.param('addon')))),
    'GET /apps/:app/addons': (call) =>
      ok(all(appNamed(world, call.param('app'))).map((each) => addonView(world, each))),
    'GET /apps/:app/addons/:addon': (call) =>
      ok(addonView(world, ofApp(appNamed(world, call.param('app')), call.param('addon')))),
    'POST /apps/:app/addons': (call) => {
      const body = call.parse(posted);
      const addon = createAddon(world, {
        app: appNamed(world, call.param('app')),
        plan: body.plan === SERVICE ? 'mini' : body.plan.replace(`${SERVICE}:`, ''),
        name: body.name ?? undefined,
        as: body.attachment?.name ?? undefined,
        fork: body.config?.fork,
        version: body.config?.version,
        confirm: body.confirm ?? undefined,
      });
      return created(addonView(world, addon));
    },
    'DELETE /apps/:app/addons/:addon': (call) => {
      const { force } = call.parse(z.object({ force: z.boolean().nullish() }).catch({}));
      const app = appNamed(world, call.param('app'));
      const addon = addonNamed(world, call.param('addon'));
      if (addon.app !== app.id) throw notFound('add_on');
      const others = attachmentsOf(world, addon).filter((each) => each.app !== app.id);
      if (others.length > 0 && force !== true)
        throw invalid(`Cannot destroy ${addon.name}: it is attached to other apps`);
      mustRest(addon);
      drop(world, addon);
      world.addons.delete(addon.id);
      return ok(addonView(world, addon));
    },
    'POST /actions/addons/resolve': (call) => {
      const asked = call.parse(z.object({ addon: z.string(), app: z.string().nullish() }));
      const app = asked.app ? appNamed(world, asked.app) : null;
      const attachment = app && attachmentNamed(world, app, asked.addon.replace(/_URL$/, ''));
      return ok([addonView(world, addonNamed(world, attachment ? attachment.addon : asked.addon))]);
    },
  };
}

function addonView(world: World, addon: Addon) {
  const { cents, title } = planOf(addon.plan);
  const app = { id: addon.app, name: appOf(world, addon.app).name };
  const own = attachmentsOf(world, addon).filter((each) => each.app === addon.app);
  const price = { cents, contract: false, metered: false, unit: 'month' };
  return {
    actions: [],
    addon_service: { id: '11111111-89ab-cdef-0123-456789abcdef', name: SERVICE },
    app,
    billed_price: price,
    billing_entity: { ...app, type: 'app' },
    // Of the billing app only, wherever it is asked for.
    config_vars: own.flatMap((each) => varNames(world, each)),
    created_at: addon.at,
    id: addon.id,
    name: addon.name,
    plan: { id: `plan-${addon.plan}`, name: `${SERVICE}:${addon.plan}`, human_name: title, price },
    provider_id: addon.id,
    provision_message:
      addon.state === 'provisioning'
        ? 'Your add-on is being provisioned and will be available shortly'
        : null,
    state: addon.state,
    updated_at: addon.at,
    web_url: `https://addons-sso.heroku.com/apps/${app.id}/addons/${addon.id}`,
  };
}
