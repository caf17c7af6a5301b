/* The data API of Key-Value Store: what `redis:info`, `wait`, `maxmemory`, `timeout` … ask for. */
import { z } from 'zod';
import { ApiError, notFound, ok, type Routes } from '../http.js';
import { offered } from '../platform/addons.js';
import { SERVICE } from '../plans.js';
import { failOver, prepareFollower } from '../redis/replication.js';
import { applySettings, DEFAULTS, type Settings } from '../redis/store.js';
import { addonNamed, mustRest, planOfAddon, urlsOf, type Addon, type World } from '../state.js';
import { current, planMaintenance } from './maintenances.js';

const POLICIES: Readonly<Record<string, string>> = {
  noeviction: 'will return errors when memory limit is reached',
  'allkeys-lfu': 'evicts less frequently used keys first',
  'volatile-lfu': 'evicts less frequently used keys first, among those that have an expiry set',
  'allkeys-lru': 'evicts less recently used keys first',
  'volatile-lru': 'evicts less recently used keys first, among those that have an expiry set',
  'allkeys-random': 'evicts random keys',
  'volatile-random': 'evicts random keys, among those that have an expiry set',
  'volatile-ttl': 'evicts keys with an expiry set and a short TTL',
};

const settings = z
  .object({
    maxmemory_policy: z.enum(Object.keys(POLICIES)),
    timeout: z.number().int().min(0),
    notify_keyspace_events: z.string().regex(/^[KEg$lshztxedmnA]*$/),
  })
  .partial();

export function databaseRoutes(world: World): Routes {
  const at = '/redis/v0/databases/:addon';
  const ready = (key: string): Addon => {
    const addon = addonNamed(world, key);
    // The data API learns of an add-on when it is there.
    if (!addon.store) throw notFound('add_on');
    return addon;
  };

  return {
    [`GET ${at}`]: (call) => ok(databaseView(ready(call.param('addon')))),
    [`GET ${at}/wait`]: (call) => {
      const { status } = ready(call.param('addon'));
      return ok({ 'waiting?': status !== 'available', message: status });
    },
    [`GET ${at}/config`]: (call) => ok(settingsView(ready(call.param('addon')).settings)),
    [`PATCH ${at}/config`]: async (call) => {
      const addon = ready(call.param('addon'));
      mustRest(addon);
      const { maxmemory_policy, timeout, notify_keyspace_events } = call.parse(settings);
      const was = addon.settings;
      addon.settings = {
        maxmemory_policy: maxmemory_policy ?? was.maxmemory_policy,
        timeout: timeout ?? was.timeout,
        notify_keyspace_events: notify_keyspace_events ?? was.notify_keyspace_events,
      };
      if (addon.store) await applySettings(addon.store, addon.settings);
      return ok(settingsView(addon.settings));
    },
    [`POST ${at}/upgrade`]: (call) => {
      const addon = ready(call.param('addon'));
      const { version } = call.parse(z.object({ version: z.string() }));
      mayUpgrade(world, addon, version);
      if (planOfAddon(addon).maintenances) {
        planMaintenance(world, addon, version);
        return ok({
          message: `Your Redis version is being upgraded to ${version}. The system is preparing a maintenance. Once the maintenance is ready you can run it with heroku data:maintenances:run. See: https://devcenter.heroku.com/articles/data-maintenance-cli-commands#heroku-data-maintenances-run.`,
        });
      }
      addon.status = 'upgrading';
      world.background(addon, async () => {
        const follower = await prepareFollower(world, addon, version);
        if (!follower) return;
        await failOver(world, addon, follower);
        addon.status = 'available';
      });
      return ok({ message: `Your Redis version is being upgraded to ${version}.` });
    },
  };
}

function mayUpgrade(world: World, addon: Addon, version: string): void {
  const refuse = (message: string) => new ApiError(422, 'unprocessable_entity', message);
  const versions = [...world.servers.keys()];
  if (!versions.includes(version)) throw refuse(`Version ${version} is not available: ${offered(world)}.`);
  if (versions.indexOf(version) <= versions.indexOf(addon.version))
    throw refuse(`Version ${version} is not newer than ${addon.version}, and downgrades are not supported.`);
  const maintenance = current(addon);
  if (maintenance && maintenance.status !== 'completed')
    throw refuse(`A maintenance for ${addon.name} already exists, with status ${maintenance.status}.`);
  if (addon.status !== 'available')
    throw refuse(`${addon.name} can't be upgraded: its status is ${addon.status}.`);
}

function settingsView({ maxmemory_policy, timeout, notify_keyspace_events }: Settings) {
  return {
    maxmemory_policy: {
      default: DEFAULTS.maxmemory_policy,
      desc: 'Key eviction policy',
      value: maxmemory_policy,
      values: POLICIES,
    },
    notify_keyspace_events: {
      default: DEFAULTS.notify_keyspace_events,
      desc: 'Keyspace notifications',
      value: notify_keyspace_events,
    },
    standby_segv_workaround: { default: false, desc: '', value: false },
    timeout: {
      default: DEFAULTS.timeout,
      desc: 'Seconds until an idle connection is closed',
      value: timeout,
    },
  };
}

function databaseView(addon: Addon) {
  const { title, maintenances } = planOfAddon(addon);
  const at = addon.at.toISOString();
  const maintenance = current(addon);
  const rows: Record<string, string> = {
    Plan: title,
    Status: addon.status,
    Created: `${at.slice(0, 10)} ${at.slice(11, 16)} UTC`,
    Version: addon.version,
    Timeout: String(addon.settings.timeout),
    Maxmemory: addon.settings.maxmemory_policy,
    Maintenance: maintenance && maintenance.status !== 'completed' ? 'required' : 'not required',
    ...(maintenances ? { 'Maintenance window': addon.window } : {}),
    Persistence: maintenances ? 'AOF' : 'None',
    'HA Status': maintenances ? 'Available' : 'Unavailable',
    'Requires TLS': addon.clear ? 'No' : 'Yes',
    'Keyspace Notifications': addon.settings.notify_keyspace_events || 'Disabled',
  };
  return {
    addon_id: addon.id,
    created_at: at,
    customer_encryption_key: null,
    formation: { id: addon.id, primary: null },
    info: Object.entries(rows).map(([name, value]) => ({ name, values: [value] })),
    metaas_source: SERVICE,
    name: addon.name,
    plan: addon.plan,
    port: addon.store?.port ?? 0,
    prefer_native_tls: true,
    resource_url: urlsOf(addon).main,
    version: addon.version,
  };
}
