/**
 * Attachments: under which names an app has an add-on. `REDIS` sets REDIS_URL. Each attach and detach is a release of the app and
 * restarts its dynos (releases.ts, dynos.ts).
 */
import { z } from 'zod';
import { FerryError } from '../errors.js';
import type { AddOn } from './add-ons.js';
import { actThenLook, HerokuRefusal, orNull, path, request, requestList, type Asked } from './api.js';

export interface Attachment {
  id: string;
  /** Such as `REDIS`. */
  name: string;
  app: string;
  addon: { id: string; name: string };
  /** The app that pays for the add-on. */
  billingApp: string;
}

const Reply = z
  .object({
    id: z.string(),
    name: z.string(),
    app: z.object({ name: z.string() }),
    addon: z.object({ id: z.string(), name: z.string(), app: z.object({ name: z.string() }) }),
  })
  .transform(({ id, name, app, addon }): Attachment => ({
    id,
    name,
    app: app.name,
    addon: { id: addon.id, name: addon.name },
    billingApp: addon.app.name,
  }));

/** On whatever app this account may see. @throws as `request` */
export async function attachmentsOf({ addon, signal }: Asked & { addon: string }): Promise<Attachment[]> {
  return requestList({
    path: path('addons', addon, 'addon-attachments'),
    item: Reply,
    to: `list the attachments of ${addon}`,
    signal,
  });
}

/** Of whatever add-on. @throws as `request` */
export async function attachmentsOn({ app, signal }: Asked & { app: string }): Promise<Attachment[]> {
  return requestList({
    path: path('apps', app, 'addon-attachments'),
    item: Reply,
    to: `list the attachments on ${app}`,
    signal,
  });
}

/** What an app has under exactly this name; null where nothing. @throws as `request` */
export async function findAttachment({
  app,
  as,
  signal,
}: Asked & { app: string; as: string }): Promise<Attachment | null> {
  const found = await orNull(
    request({
      path: path('apps', app, 'addon-attachments', as),
      reply: Reply,
      to: `look at the attachment ${as} of ${app}`,
      signal,
    }),
  );
  return found?.name === as ? found : null;
}

export interface Attach extends Asked {
  addon: Pick<AddOn, 'id' | 'name'>;
  app: string;
  /** The attachment's name: `OLD_REDIS` sets OLD_REDIS_URL. */
  as: string;
  /** Takes the name away from another add-on that has it. Without it that is refused. */
  replace?: boolean;
}

/**
 * Attaches the add-on to the app under the name. `did` is false when it was there already, and nothing restarts.
 *
 * @throws FerryError ProviderRefused, and as `request`
 */
export async function attach({
  addon,
  app,
  as,
  replace = false,
  signal,
}: Attach): Promise<{ did: boolean; attachment: Attachment }> {
  const look = async (): Promise<Attachment | null> => {
    const found = await findAttachment({ app, as, signal });
    if (found === null || found.addon.id === addon.id) return found;
    if (!replace)
      throw new FerryError(
        'ProviderRefused',
        `${addon.name} can not be attached to ${app} as ${as}: that is ${found.addon.name} already`,
      );
    return null;
  };
  const before = await look();
  if (before !== null) return { did: false, attachment: before };
  const attachment = await actThenLook({
    look,
    act: async () => {
      try {
        return await request({
          method: 'POST',
          path: path('addon-attachments'),
          body: {
            addon: { name: addon.name },
            app: { name: app },
            name: as,
            ...(replace ? { confirm: app } : {}),
          },
          reply: Reply,
          to: `attach ${addon.name} to ${app} as ${as}`,
          signal,
        });
      } catch (error) {
        const ours = error instanceof HerokuRefusal && error.type === 'ProviderRefused' ? await look() : null;
        if (ours === null) throw error;
        return ours;
      }
    },
  });
  return { did: true, attachment };
}

/**
 * Removes the name from the app. One that has gone, or has become another add-on's, is detached already.
 *
 * @throws FerryError ProviderRefused, also for the last attachment on the billing app; and as `request`
 */
export async function detach({ addon, app, as, signal }: Omit<Attach, 'replace'>): Promise<{ did: boolean }> {
  const look = async (): Promise<Attachment | null> => {
    const found = await findAttachment({ app, as, signal });
    return found?.addon.id === addon.id ? found : null;
  };
  const found = await look();
  if (found === null) return { did: false };
  return actThenLook({
    act: async () => {
      await orNull(
        request({
          method: 'DELETE',
          path: path('addon-attachments', found.id),
          reply: z.unknown(),
          to: `detach ${addon.name} from ${app} as ${as}`,
          signal,
        }).catch(lastOne({ name: addon.name, app, as })),
      );
      return { did: true };
    },
    look: async () => ((await look()) === null ? { did: true } : null),
  });
}

function lastOne({ name, app, as }: { name: string; app: string; as: string }) {
  return (error: unknown): never => {
    if (error instanceof HerokuRefusal && /last attachment/i.test(error.message))
      throw new HerokuRefusal(
        'ProviderRefused',
        `${as} is the last attachment of ${name} on ${app}, which pays for it, and Heroku keeps one there. Attach it there under another name first, or destroy the add-on`,
        error,
      );
    throw error;
  };
}
