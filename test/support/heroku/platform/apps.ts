/* The account, apps, their maintenance mode and their config vars. */
import { z } from 'zod';
import { invalid, ok, type Routes } from '../http.js';
import { appNamed, attachmentsTo, configVars, OWNER, varNames, type App, type World } from '../state.js';
import { release } from './releases.js';

export function appRoutes(world: World): Routes {
  return {
    'GET /account': () => ok({ ...OWNER, name: 'Ada' }),
    'GET /apps': () =>
      ok([...world.apps.values()].filter(({ access }) => access === 'full').map((app) => appView(app))),
    'GET /apps/:app': (call) => ok(appView(appNamed(world, call.param('app')))),
    'PATCH /apps/:app': (call) => {
      const app = appNamed(world, call.param('app'));
      app.maintenance = call.parse(z.object({ maintenance: z.boolean() })).maintenance;
      return ok(appView(app));
    },
    'GET /apps/:app/config-vars': (call) => ok(configVars(world, appNamed(world, call.param('app')))),
    'PATCH /apps/:app/config-vars': (call) => {
      const app = appNamed(world, call.param('app'));
      const changes = Object.entries(call.parse(z.record(z.string(), z.string().nullable())));
      const ofAttachments = attachmentsTo(world, app).flatMap((each) => varNames(world, each));
      const taken = changes.map(([name]) => name).filter((name) => ofAttachments.includes(name));
      if (taken.length > 0) throw invalid(`Cannot overwrite attachment values ${taken.join(', ')}.`);
      for (const [name, value] of changes) {
        if (value === null) app.vars.delete(name);
        else app.vars.set(name, value);
      }
      const names = changes.map(([name]) => name).join(', ');
      release(
        world,
        app,
        `${changes.every(([, value]) => value === null) ? 'Remove' : 'Set'} ${names} config vars`,
      );
      return ok(configVars(world, app));
    },
  };
}

function appView({ id, name, at, maintenance, space }: App) {
  return {
    acm: false,
    archived_at: null,
    build_stack: { name: 'heroku-24' },
    buildpack_provided_description: 'Node.js',
    created_at: at,
    id,
    maintenance,
    name,
    owner: OWNER,
    process_tier: 'production',
    region: { name: 'us' },
    released_at: at,
    space: space ? { id, name: 'space', shield: false } : null,
    stack: { name: 'heroku-24' },
    team: null,
    updated_at: at,
    web_url: null,
  };
}
