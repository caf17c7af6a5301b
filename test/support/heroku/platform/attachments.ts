/* Attachments: what makes an add-on's URL a config var of an app. */
import { z } from 'zod';
import { created, invalid, notFound, ok, unconfirmed, type Routes } from '../http.js';
import {
  addonNamed,
  addonOf,
  appNamed,
  appOf,
  attachmentNamed,
  attachmentsOf,
  attachmentsTo,
  isSeen,
  newId,
  varNames,
  type Addon,
  type App,
  type Attachment,
  type World,
} from '../state.js';
import { release } from './releases.js';

const COLORS = 'AMBER AQUA BLACK BLUE BRONZE BROWN CHARCOAL COBALT COPPER CRIMSON CYAN GOLD GRAY GREEN'.split(
  ' ',
);

/** As Heroku names one when nobody does: REDIS if that is free, else by a colour. */
export function freeName(world: World, app: App, first: boolean): string {
  const names = (first ? ['REDIS'] : []).concat(COLORS.map((color) => `HEROKU_REDIS_${color}`));
  const free = names.find((name) => !attachmentNamed(world, app, name));
  if (free === undefined) throw invalid('No attachment name is left.');
  return free;
}

/** Who holds the name loses it, if that is confirmed. The release is the caller's. */
export function attach(
  world: World,
  on: { app: App; addon: Addon; name: string; confirm?: string | undefined },
): Attachment {
  const { app, addon, name, confirm } = on;
  if (!/^[A-Z][A-Z0-9_]*$/.test(name))
    throw invalid(`Name must match /^[A-Z][A-Z0-9_]*$/, and "${name}" does not.`);
  const holder = attachmentNamed(world, app, name);
  if (holder?.addon === addon.id)
    throw invalid(`${addon.name} is already attached to ${app.name} as ${name}.`);
  if (holder) {
    const loser = addonOf(world, holder.addon);
    if (confirm !== app.name)
      throw unconfirmed(`Attaching ${addon.name} as ${name} will replace ${loser.name} on ${app.name}.`);
    mayLose(world, holder);
    world.attachments.delete(holder.id);
  }
  const attachment: Attachment = { id: newId(), name, app: app.id, addon: addon.id, at: new Date() };
  world.attachments.set(attachment.id, attachment);
  return attachment;
}

function mayLose(world: World, { app, addon: id }: Attachment): void {
  const addon = addonOf(world, id);
  const left = attachmentsOf(world, addon).filter((each) => each.app === app);
  if (addon.app === app && left.length === 1)
    throw invalid(`Cannot destroy last attachment to billing app for resource ${addon.name}.`);
}

const posted = z.object({
  addon: z.union([z.string(), z.object({ name: z.string() }).transform(({ name }) => name)]),
  app: z.union([z.string(), z.object({ name: z.string() }).transform(({ name }) => name)]),
  confirm: z.string().nullish(),
  name: z.string().nullish(),
});

/** `others`: attachments of add-ons of another kind, as they are shown. */
export function attachmentRoutes(
  world: World,
  others: () => { app: { id: string }; name: string }[] = () => [],
): Routes {
  const view = (each: Attachment) => attachmentView(world, each);
  const byKey = (key: string): Attachment => {
    const found = world.attachments.get(key);
    if (!found || !isSeen(world, addonOf(world, found.addon))) throw notFound('add_on attachment');
    return found;
  };

  return {
    'GET /addon-attachments': () =>
      ok(
        [...world.attachments.values()].filter(({ addon }) => isSeen(world, addonOf(world, addon))).map(view),
      ),
    'GET /addon-attachments/:attachment': (call) => ok(view(byKey(call.param('attachment')))),
    'GET /addons/:addon/addon-attachments': (call) =>
      ok(attachmentsOf(world, addonNamed(world, call.param('addon'))).map(view)),
    'GET /apps/:app/addon-attachments': (call) => {
      const app = appNamed(world, call.param('app'));
      return ok([
        ...attachmentsTo(world, app).map(view),
        ...others().filter((each) => each.app.id === app.id),
      ]);
    },
    'GET /apps/:app/addon-attachments/:name': (call) => {
      const found = attachmentNamed(world, appNamed(world, call.param('app')), call.param('name'));
      if (!found) throw notFound('add_on attachment');
      return ok(view(found));
    },
    'POST /addon-attachments': (call) => {
      const body = call.parse(posted);
      const app = appNamed(world, body.app);
      const addon = addonNamed(world, body.addon);
      const name = body.name ?? freeName(world, app, false);
      const made = attach(world, { app, addon, name, confirm: body.confirm ?? undefined });
      release(world, app, `Attach ${name} (@ref:${addon.name})`);
      return created(view(made));
    },
    'DELETE /addon-attachments/:attachment': (call) => {
      const attachment = byKey(call.param('attachment'));
      const app = appNamed(world, attachment.app);
      mayLose(world, attachment);
      const shown = view(attachment);
      world.attachments.delete(attachment.id);
      release(world, app, `Detach ${attachment.name} (@ref:${addonOf(world, attachment.addon).name})`);
      return ok(shown);
    },
    'POST /actions/addon-attachments/resolve': (call) => {
      const asked = call.parse(z.object({ addon_attachment: z.string(), app: z.string().nullish() }));
      const app = asked.app ? appNamed(world, asked.app) : null;
      const name = asked.addon_attachment.replace(/_URL$/, '');
      const found = app ? attachmentNamed(world, app, name) : world.attachments.get(asked.addon_attachment);
      const other = others().find((each) => each.app.id === app?.id && each.name === name);
      if (!found && !other) throw notFound('add_on attachment');
      return ok([found ? view(found) : other]);
    },
  };
}

function attachmentView(world: World, attachment: Attachment) {
  const { id, name, at } = attachment;
  const app = appOf(world, attachment.app);
  const addon = addonOf(world, attachment.addon);
  return {
    addon: {
      app: { id: addon.app, name: appOf(world, addon.app).name },
      id: addon.id,
      name: addon.name,
      plan: { name: `heroku-redis:${addon.plan}` },
    },
    app: { id: app.id, name: app.name },
    config_vars: varNames(world, attachment),
    created_at: at,
    id,
    log_input_url: null,
    name,
    namespace: null,
    updated_at: at,
    web_url: `https://addons-sso.heroku.com/apps/${app.id}/addons/${addon.id}`,
  };
}
