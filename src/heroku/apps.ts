/** Apps and their maintenance mode. */
import { z } from 'zod';
import { actThenLook, path, request, type Asked } from './api.js';

export interface App {
  id: string;
  name: string;
  /** Visitors get the maintenance page. Other dynos than web go on. */
  maintenance: boolean;
  /** Name of the Private Space that it runs in; null outside of one. */
  space: string | null;
}

const App = z
  .object({
    id: z.string(),
    name: z.string(),
    maintenance: z.boolean(),
    space: z.object({ name: z.string() }).nullish(),
  })
  .transform(({ space, ...rest }): App => ({ ...rest, space: space?.name ?? null }));

/** @throws FerryError NotFound, and as `request` */
export async function appInfo({ app, signal }: Asked & { app: string }): Promise<App> {
  return request({ path: path('apps', app), reply: App, to: `look at the app ${app}`, signal });
}

/**
 * Turns maintenance mode on or off. Gives what it was, so that an undo can put it back.
 *
 * @throws as `request`
 */
export async function setMaintenanceMode({
  app,
  on,
  signal,
}: Asked & { app: string; on: boolean }): Promise<{ was: boolean }> {
  const { maintenance: was } = await appInfo({ app, signal });
  if (was === on) return { was };
  await actThenLook({
    act: () =>
      request({
        method: 'PATCH',
        path: path('apps', app),
        body: { maintenance: on },
        reply: App,
        to: `turn maintenance mode of ${app} ${on ? 'on' : 'off'}`,
        signal,
      }),
    look: async () => {
      const seen = await appInfo({ app, signal });
      return seen.maintenance === on ? seen : null;
    },
  });
  return { was };
}
