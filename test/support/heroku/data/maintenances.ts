/* Maintenances: prepared, run by hand, put off, or run by themselves at their hour. */
import { z } from 'zod';
import { ApiError, ok, type Routes } from '../http.js';
import { SERVICE } from '../plans.js';
import { failOver, prepareFollower } from '../redis/replication.js';
import {
  addonNamed,
  appNamed,
  appOf,
  attachmentsOf,
  attachmentsTo,
  isGone,
  type Addon,
  type Maintenance,
  type World,
} from '../state.js';

export const current = (addon: Addon): Maintenance | undefined => addon.maintenances.at(-1);

/** For an upgrade to that version; returns at once. */
export function planMaintenance(world: World, addon: Addon, target: string): void {
  const { scheduled, required, prepare } = world.timing;
  const maintenance: Maintenance = {
    status: 'preparing',
    target,
    at: new Date(),
    requiredBy: new Date(Date.now() + required),
    scheduledFor: new Date(Date.now() + scheduled),
    previouslyFor: null,
    startedAt: null,
    completedAt: null,
    follower: null,
    timer: null,
  };
  addon.maintenances.push(maintenance);
  world.background(addon, async () => {
    const follower = await prepareFollower(world, addon, target);
    if (!follower) return;
    maintenance.follower = follower;
    world.later(prepare, () => {
      maintenance.status = 'ready';
      setClock(world, addon, maintenance);
    });
  });
}

/** A prepared maintenance that nobody runs or puts off runs by itself. */
function setClock(world: World, addon: Addon, maintenance: Maintenance): void {
  if (maintenance.timer) clearTimeout(maintenance.timer);
  maintenance.timer = world.later(Math.max(0, maintenance.scheduledFor.getTime() - Date.now()), () =>
    run(world, addon, maintenance),
  );
}

function run(world: World, addon: Addon, maintenance: Maintenance): void {
  const { follower } = maintenance;
  if (maintenance.status === 'running' || maintenance.status === 'completed') return;
  if (!follower || isGone(addon)) return;
  if (maintenance.timer) clearTimeout(maintenance.timer);
  maintenance.status = 'running';
  maintenance.startedAt = new Date();
  addon.status = 'maintenance in progress';
  world.background(addon, async () => {
    if (world.faults.failsNow('maintenance')) {
      maintenance.status = 'pending';
    } else {
      await failOver(world, addon, follower);
      maintenance.follower = null;
      maintenance.completedAt = new Date();
      maintenance.status = 'completed';
    }
    addon.status = 'available';
  });
}

export function maintenanceRoutes(world: World): Routes {
  const at = '/data/maintenances/v1/:addon';
  const waiting = (addon: Addon): Maintenance => {
    const maintenance = current(addon);
    if (maintenance?.status === 'ready' || maintenance?.status === 'pending') return maintenance;
    const message = maintenance
      ? `The maintenance for ${addon.name} is ${maintenance.status}.`
      : `There is no maintenance for ${addon.name}.`;
    throw new ApiError(422, 'unprocessable_entity', message);
  };

  return {
    'GET /data/maintenances/v1/apps/:app': (call) => {
      const app = appNamed(world, call.param('app'));
      const attached = new Set(attachmentsTo(world, app).map(({ addon }) => addon));
      const addons = [...world.addons.values()].filter(
        ({ id, maintenances }) => attached.has(id) && maintenances.length > 0,
      );
      return ok({ maintenances: addons.map((addon) => maintenanceView(world, addon, current(addon))) });
    },
    [`GET ${at}`]: (call) => {
      const addon = addonNamed(world, call.param('addon'));
      return ok(maintenanceView(world, addon, current(addon)));
    },
    [`GET ${at}/history`]: (call) => {
      const addon = addonNamed(world, call.param('addon'));
      const all = addon.maintenances.toReversed().map((each) => maintenanceView(world, addon, each));
      return ok({ maintenances: all });
    },
    [`POST ${at}/run`]: (call) => {
      const addon = addonNamed(world, call.param('addon'));
      const maintenance = waiting(addon);
      maintenance.scheduledFor = new Date();
      run(world, addon, maintenance);
      return ok(maintenanceView(world, addon, maintenance));
    },
    [`POST ${at}/schedule`]: (call) => {
      const addon = addonNamed(world, call.param('addon'));
      const maintenance = waiting(addon);
      // The CLI sends a string.
      const { delay_weeks } = call.parse(z.object({ delay_weeks: z.coerce.number().int() }));
      const next = new Date(maintenance.scheduledFor.getTime() + delay_weeks * world.timing.week);
      if (next > maintenance.requiredBy)
        throw new ApiError(
          422,
          'unprocessable_entity',
          `The maintenance is required by ${stamp(maintenance.requiredBy)}.`,
        );
      maintenance.previouslyFor = maintenance.scheduledFor;
      maintenance.scheduledFor = next;
      setClock(world, addon, maintenance);
      return ok(maintenanceView(world, addon, maintenance));
    },
  };
}

/** `2023-03-14T18:30:00.000+00:00` */
const stamp = (date: Date | null | undefined): string | null =>
  date?.toISOString().replace('Z', '+00:00') ?? null;

function maintenanceView(world: World, addon: Addon, maintenance: Maintenance | undefined) {
  const app = appOf(world, addon.app);
  const { startedAt = null, completedAt = null } = maintenance ?? {};
  const seconds = startedAt && completedAt ? (completedAt.getTime() - startedAt.getTime()) / 1_000 : null;
  return {
    addon: {
      attachments: attachmentsOf(world, addon).map(({ name }) => name),
      kind: SERVICE,
      name: addon.name,
      plan: addon.plan,
      uuid: addon.id,
      window: addon.window,
    },
    app: { name: app.name, uuid: app.id },
    completed_at: stamp(completedAt),
    duration_seconds: seconds === null ? null : Math.max(1, Math.round(seconds)),
    method: maintenance ? 'failover' : null,
    previously_scheduled_for: stamp(maintenance?.previouslyFor),
    reason: maintenance ? 'customer_request' : null,
    required_by: stamp(maintenance?.requiredBy),
    scheduled_for: stamp(maintenance?.scheduledFor),
    server_created_at: stamp(addon.at),
    started_at: stamp(startedAt),
    status: maintenance?.status ?? 'none',
    window: addon.window,
  };
}
