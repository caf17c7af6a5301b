/**
 * Maintenances of a data add-on, by the Heroku CLI. `redis:upgrade` makes one on production plans; a prepared one that nobody runs or
 * puts off runs by itself at its hour.
 *
 * Source: https://devcenter.heroku.com/articles/data-maintenance-cli-commands
 */
import { z } from 'zod';
import { FerryError } from '../errors.js';
import type { Asked } from './api.js';
import { heroku } from './cli.js';
import { jsonOfCli } from '../platform/json-of-cli.js';
import { waitFor, type Waiting } from './wait.js';

export interface Maintenance {
  /**
   * `none`, `preparing`, `ready` (can be run), `pending` (waits), `running`, `completed`. The CLI knows of no failed one: it goes back
   * to waiting.
   */
  status: string;
  /** Such as `customer_request`. */
  reason: string | null;
  /** Such as `failover`. */
  method: string | null;
  /** When it runs by itself. ISO 8601, as all moments here. */
  scheduledFor: string | null;
  /** It can't be put off beyond. */
  requiredBy: string | null;
  startedAt: string | null;
  completedAt: string | null;
  /** Of the maintenance itself, as Heroku measured it. */
  durationSeconds: number | null;
  /** The weekly window: "Tuesdays 18:30 to 22:30 UTC". */
  window: string | null;
}

interface Of extends Asked {
  /** Name or id of the add-on. */
  addon: string;
  /** Name of the app that pays for it: it confirms, too. */
  app: string;
}

const Moment = z.string().nullish();

const Reply = z
  .object({
    status: z.string().min(1),
    reason: z.string().nullish(),
    method: z.string().nullish(),
    scheduled_for: Moment,
    required_by: Moment,
    started_at: Moment,
    completed_at: Moment,
    // The CLI's own types say text, the documentation shows a number.
    duration_seconds: z.coerce.number().nullish(),
    window: z.string().nullish(),
  })
  .transform((reply): Maintenance => ({
    status: reply.status,
    reason: reply.reason ?? null,
    method: reply.method ?? null,
    scheduledFor: reply.scheduled_for ?? null,
    requiredBy: reply.required_by ?? null,
    startedAt: reply.started_at ?? null,
    completedAt: reply.completed_at ?? null,
    durationSeconds: reply.duration_seconds ?? null,
    window: reply.window ?? null,
  }));

/** What `data:maintenances:info --json` says. @throws FerryError UnexpectedReply */
export function parseMaintenance(stdout: string): Maintenance {
  return jsonOfCli({ stdout, schema: Reply, label: 'heroku data:maintenances:info' });
}

/** What `data:maintenances:history --json` says, newest first. Where there was none it says so in words. @throws as above */
export function parseHistory(stdout: string): Maintenance[] {
  if (/does not have any maintenance history/.test(stdout)) return [];
  return jsonOfCli({ stdout, schema: z.array(Reply), label: 'heroku data:maintenances:history' });
}

/** The newest one; its status is `none` where there was never one. @throws as `heroku`, and UnexpectedReply */
export async function maintenanceInfo({ addon, app, signal }: Of): Promise<Maintenance> {
  const { stdout } = await heroku({
    args: ['data:maintenances:info', addon, '--app', app, '--json'],
    changes: false,
    signal,
  });
  return parseMaintenance(stdout);
}

/** Newest first. @throws as `maintenanceInfo` */
export async function maintenanceHistory({
  addon,
  app,
  count,
  signal,
}: Of & {
  /** At most 20. */
  count: number;
}): Promise<Maintenance[]> {
  const { stdout } = await heroku({
    args: ['data:maintenances:history', addon, '--app', app, '--num', String(count), '--json'],
    changes: false,
    signal,
  });
  return parseHistory(stdout);
}

/** It has been run, or runs. */
function hasBegun({ status }: Maintenance): boolean {
  return status === 'running' || status === 'completed';
}

/** One is there that has not ended: being prepared, waiting, or running. */
export function isOpen({ status }: Maintenance): boolean {
  return status !== 'none' && status !== 'completed';
}

/**
 * Runs the prepared one now, whether or not the app is in maintenance mode. One that runs or has completed already is left alone. It
 * goes on in the background (`waitUntilCompleted`).
 *
 * @throws FerryError OutcomeUnknown; ProviderRefused where there is none to run; and as `maintenanceInfo`
 */
export async function runMaintenance({ addon, app, signal }: Of): Promise<{ did: boolean }> {
  const before = await maintenanceInfo({ addon, app, signal });
  if (hasBegun(before)) return { did: false };
  await changed({
    act: () =>
      heroku({
        args: ['data:maintenances:run', addon, '--app', app, '--confirm', app],
        changes: true,
        signal,
      }),
    // A run that has failed already is begun too: it started later than what was seen before.
    isDone: (now) => hasBegun(now) || now.startedAt !== before.startedAt,
    what: `the maintenance of ${addon} to run`,
    of: { addon, app, signal },
  });
  return { did: true };
}

/**
 * Puts it off by weeks of 7 days; negative brings it forward. `seen` is its hour as the caller knows it: where that has changed, an
 * earlier try did it, and it is not put off twice. Gives the hour it has now.
 *
 * @throws FerryError ProviderRefused beyond `requiredBy`; OutcomeUnknown; and as `maintenanceInfo`
 */
export async function postponeMaintenance({
  addon,
  app,
  weeks,
  seen,
  signal,
}: Of & { weeks: number; seen: string | null }): Promise<{ did: boolean; scheduledFor: string | null }> {
  const before = await maintenanceInfo({ addon, app, signal });
  if (before.scheduledFor !== seen) return { did: false, scheduledFor: before.scheduledFor };
  const { scheduledFor } = await changed({
    act: () =>
      heroku({
        // One word, or a negative number would be taken for another flag.
        args: ['data:maintenances:schedule', addon, '--app', app, `--weeks=${weeks}`],
        changes: true,
        signal,
      }),
    isDone: (now) => now.scheduledFor !== seen,
    what: `the maintenance of ${addon} to be put off`,
    of: { addon, app, signal },
  });
  return { did: true, scheduledFor };
}

const LOOK_AGAIN = { deadline: 20_000, every: 2_000 };

/** Acts, whatever that says, and then looks: the CLI's exit code alone proves nothing, and it repeats a POST whose reply got lost. */
async function changed({
  act,
  isDone,
  what,
  of,
}: {
  act: () => Promise<unknown>;
  isDone: (now: Maintenance) => boolean;
  what: string;
  of: Of;
}): Promise<Maintenance> {
  const failed = await act().then(
    () => null,
    (error: unknown) => error,
  );
  of.signal?.throwIfAborted();
  if (failed !== null) {
    const now = await maintenanceInfo(of);
    if (isDone(now)) return now;
    throw failed;
  }
  return waitFor({
    ...LOOK_AGAIN,
    what,
    signal: of.signal,
    look: async () => {
      const now = await maintenanceInfo(of);
      return isDone(now) ? { done: now } : { yet: now.status };
    },
  }).catch((error: unknown) => {
    if (error instanceof FerryError && error.type === 'NotReady')
      throw new FerryError('OutcomeUnknown', `${error.message}. The Heroku CLI said that it was done`);
    throw error;
  });
}

/** As often as this in a row it must be seen waiting after it had started: a single look may be a stale one. */
const FALLEN_BACK = 2;

/**
 * Until it has completed.
 *
 * @throws FerryError MaintenanceFailed, also when it started and waits again; NotReady; and as `maintenanceInfo`
 */
export async function waitUntilCompleted({
  addon,
  app,
  ...waiting
}: Waiting & Pick<Of, 'addon' | 'app'>): Promise<Maintenance> {
  let fallenBack = 0;
  return waitFor({
    ...waiting,
    what: `the maintenance of ${addon} to complete`,
    look: async () => {
      const now = await maintenanceInfo({ addon, app, signal: waiting.signal });
      mustNotHaveFailed(addon, now);
      if (now.status === 'completed') return { done: now };
      fallenBack = now.status !== 'running' && now.startedAt !== null ? fallenBack + 1 : 0;
      if (fallenBack >= FALLEN_BACK)
        throw new FerryError(
          'MaintenanceFailed',
          `the maintenance of ${addon} started at ${now.startedAt} and did not complete: it is ${now.status} again`,
        );
      return { yet: now.status };
    },
  });
}

function mustNotHaveFailed(addon: string, { status }: Maintenance): void {
  if (/fail|error|cancel/i.test(status))
    throw new FerryError('MaintenanceFailed', `the maintenance of ${addon} is ${status}`);
}
