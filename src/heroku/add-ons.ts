/**
 * Add-ons: found by exactly their name or id. The Heroku CLI takes any that holds the text (`REDIS_URL` is found in
 * `OLD_REDIS_URL`).
 */
import { z } from 'zod';
import { FerryError } from '../errors.js';
import { actThenLook, HerokuRefusal, orNull, path, request, requestList, type Asked } from './api.js';
import { waitFor, type Waiting } from './wait.js';

export interface Price {
  /** Of a dollar, each `unit`, which is a month. */
  cents: number;
  unit: string;
  /** By contract: the cents say nothing. */
  contract: boolean;
}

export interface AddOn {
  id: string;
  name: string;
  /** Such as `heroku-redis`. */
  service: string;
  /** Such as `heroku-redis:premium-0`. */
  plan: string;
  /** `provisioning`, `provisioned`, `deprovisioning`, `deprovisioned`. */
  state: string;
  /** The app that pays for it. */
  billingApp: { id: string; name: string };
  /** Names of config variables that it sets on the billing app. */
  configVars: string[];
  /** Null where Heroku doesn't say. */
  price: Price | null;
  createdAt: string;
}

export const Price = z.object({
  cents: z.number(),
  unit: z.string().default('month'),
  contract: z.boolean().default(false),
});

const Reply = z
  .object({
    id: z.string(),
    name: z.string(),
    addon_service: z.object({ name: z.string() }),
    plan: z.object({ name: z.string(), price: Price.nullish() }),
    state: z.string(),
    app: z.object({ id: z.string(), name: z.string() }),
    config_vars: z.array(z.string()).default([]),
    billed_price: Price.nullish(),
    created_at: z.string(),
  })
  .transform(({ addon_service, plan, app, config_vars, billed_price, created_at, ...rest }): AddOn => ({
    ...rest,
    service: addon_service.name,
    plan: plan.name,
    billingApp: app,
    configVars: config_vars,
    // What this account pays may differ from today's list.
    price: billed_price ?? plan.price ?? null,
    createdAt: created_at,
  }));

const EXPANDED = { 'accept-expansion': 'addon_service,plan' };

/** It is being destroyed, or was. */
export function isGoing({ state }: Pick<AddOn, 'state'>): boolean {
  return state.startsWith('deprovision');
}

/** Null where there is none of exactly this name or id. @throws as `request` */
export async function findAddOn({ addon, signal }: Asked & { addon: string }): Promise<AddOn | null> {
  const found = await orNull(
    request({
      path: path('addons', addon),
      headers: EXPANDED,
      reply: Reply,
      to: `look at the add-on ${addon}`,
      signal,
    }),
  );
  return found !== null && (found.name === addon || found.id === addon) ? found : null;
}

/** @throws FerryError NotFound, and as `request` */
export async function addOnInfo({ addon, signal }: Asked & { addon: string }): Promise<AddOn> {
  const found = await findAddOn({ addon, signal });
  if (found === null)
    throw new FerryError('NotFound', `Heroku has no add-on ${addon} that this account may see`);
  return found;
}

/** What the app pays for or has attached. @throws as `request` */
export async function addOnsOf({ app, signal }: Asked & { app: string }): Promise<AddOn[]> {
  return requestList({
    path: path('apps', app, 'addons'),
    headers: EXPANDED,
    item: Reply,
    to: `list the add-ons of ${app}`,
    signal,
  });
}

export interface CreateAddOn extends Asked {
  /** Pays for it. */
  app: string;
  /** Chosen by the caller and never used before: by it a second try knows the first one's. */
  name: string;
  /** Such as `heroku-redis:premium-0`. */
  plan: string;
  /** Name of its first attachment: `NEW_REDIS` sets NEW_REDIS_URL. */
  attachment: string;
  /** Options of the service, such as `fork`. Asked for only when it is really made; the URL goes in the body, never in an argv. */
  config?: (() => Promise<Record<string, string>>) | undefined;
}

/**
 * One add-on of that name, made now or by an earlier try. It is provisioned in the background (`waitUntilProvisioned`).
 *
 * @throws FerryError ProviderRefused, also where the name is taken by another app or plan; and as `request`
 */
export async function createAddOn({
  app,
  name,
  plan,
  attachment,
  config,
  signal,
}: CreateAddOn): Promise<AddOn> {
  const look = async (): Promise<AddOn | null> => {
    const found = await findAddOn({ addon: name, signal });
    return found === null ? null : mustBeOurs({ found, app, plan });
  };
  const before = await look();
  if (before !== null) return before;
  const options = await config?.();
  return actThenLook({
    look,
    act: async () => {
      try {
        return await request({
          method: 'POST',
          path: path('apps', app, 'addons'),
          headers: EXPANDED,
          // No `confirm`: with it a taken attachment name would be taken away from another add-on.
          body: {
            name,
            plan: { name: plan },
            attachment: { name: attachment },
            ...(options && { config: options }),
          },
          reply: Reply,
          to: `create the add-on ${name} (${plan}) on ${app}`,
          signal,
        });
      } catch (error) {
        // "Name taken": by a request whose reply got lost, and which a look didn't show yet.
        const ours = error instanceof HerokuRefusal && error.type === 'ProviderRefused' ? await look() : null;
        if (ours === null) throw error;
        return ours;
      }
    },
  });
}

function mustBeOurs({ found, app, plan }: { found: AddOn; app: string; plan: string }): AddOn {
  const { name, billingApp } = found;
  const differs =
    billingApp.name !== app && billingApp.id !== app
      ? `belongs to the app ${billingApp.name}`
      : found.plan !== plan
        ? `is of the plan ${found.plan}`
        : isGoing(found)
          ? 'is being destroyed'
          : null;
  if (differs !== null)
    throw new FerryError(
      'ProviderRefused',
      `an add-on ${name} (${plan}) can not be made on ${app}: there is one of that name already, and it ${differs}`,
    );
  return found;
}

/** @throws FerryError NotReady; ProviderRefused when it will never be; NotFound when it has gone; and as `request` */
export async function waitUntilProvisioned({
  addon,
  ...waiting
}: Waiting & { addon: string }): Promise<AddOn> {
  return waitFor({
    ...waiting,
    what: `${addon} to be provisioned`,
    look: async () => {
      const found = await addOnInfo({ addon, signal: waiting.signal });
      if (found.state === 'provisioned') return { done: found };
      if (isGoing(found))
        throw new FerryError('ProviderRefused', `Heroku could not provision ${addon}: it is ${found.state}`);
      return { yet: found.state };
    },
  });
}

/**
 * Destroys it, data and all. One that has gone, or is going, is destroyed already. This can't be undone.
 *
 * @throws FerryError ProviderRefused, also while it is attached to other apps, unless `force`; and as `request`
 */
export async function destroyAddOn({
  addon,
  force = false,
  signal,
}: Asked & { addon: string; force?: boolean }): Promise<{ was: 'there' | 'gone' }> {
  const found = await findAddOn({ addon, signal });
  if (found === null || isGoing(found)) return { was: 'gone' };
  const done = { was: 'there' as const };
  return actThenLook({
    act: async () => {
      await orNull(
        request({
          method: 'DELETE',
          path: path('apps', found.billingApp.id, 'addons', found.id),
          body: { force },
          reply: z.unknown(),
          to: `destroy the add-on ${found.name}`,
          signal,
        }),
      );
      return done;
    },
    look: async () => {
      const seen = await findAddOn({ addon: found.id, signal });
      return seen === null || isGoing(seen) ? done : null;
    },
  });
}
