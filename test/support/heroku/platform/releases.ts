/* Releases, and the dynos that each of them restarts. */
import { z } from 'zod';
import { ApiError, invalid, notFound, ok, type Routes } from '../http.js';
import {
  appNamed,
  newId,
  OWNER,
  type App,
  type Dyno,
  type Process,
  type Release,
  type World,
} from '../state.js';

/** Whatever changes config vars: a new release, with which every dyno starts anew. */
export function release(world: World, app: App, description: string): void {
  const version = (app.releases.at(-1)?.version ?? 0) + 1;
  app.releases.push({ id: newId(), version, description, at: new Date() });
  restart(world, app);
}

function restart(world: World, app: App): void {
  app.dynos = [];
  scale(world, app);
}

/** Starts and ends dynos until the formation is met. */
export function scale(world: World, app: App): void {
  const wanted = app.formation.flatMap((process) =>
    Array.from({ length: process.quantity }, (_, index) => ({
      process,
      name: `${process.type}.${index + 1}`,
    })),
  );
  app.dynos = wanted.map(
    ({ process, name }) =>
      app.dynos.find((dyno) => dyno.name === name && dyno.size === process.size) ??
      start(world, app, process, name),
  );
}

function start(world: World, app: App, { type, size }: Process, name: string): Dyno {
  const release = app.releases.at(-1)?.version ?? 0;
  const dyno: Dyno = { id: newId(), name, type, size, state: 'starting', release, at: new Date() };
  world.later(world.timing.restart, () => {
    dyno.state = 'up';
    dyno.at = new Date();
  });
  return dyno;
}

const update = z.object({
  type: z.string(),
  // The CLI sends strings: "2", "+1", "-1".
  quantity: z.union([z.number(), z.string()]).optional(),
  size: z.string().optional(),
});

export function releaseRoutes(world: World): Routes {
  const processOf = (app: App, type: string): Process => {
    const process = app.formation.find((each) => each.type === type || each.id === type);
    if (!process) throw notFound('process type');
    return process;
  };
  const change = (app: App, updates: z.infer<typeof update>[]): void => {
    for (const { type, quantity, size } of updates) {
      const process = processOf(app, type);
      const relative = typeof quantity === 'string' && /^[+-]/.test(quantity);
      const next =
        quantity === undefined ? process.quantity : Number(quantity) + (relative ? process.quantity : 0);
      if (!Number.isInteger(next) || next < 0) throw invalid(`Invalid quantity ${quantity}.`);
      process.quantity = next;
      if (size !== undefined) process.size = size;
    }
    scale(world, app);
  };
  return {
    'GET /apps/:app/releases': (call) => {
      const app = appNamed(world, call.param('app'));
      return inRange(app.releases, call.header('range'), (each) => releaseView(app, each));
    },
    'GET /apps/:app/releases/:release': (call) => {
      const app = appNamed(world, call.param('app'));
      const key = call.param('release');
      const found = app.releases.find(({ id, version }) => id === key || String(version) === key);
      if (!found)
        throw new ApiError(404, 'not_found', "Couldn't find that release.", { resource: 'release' });
      return ok(releaseView(app, found));
    },
    'GET /apps/:app/dynos': (call) => {
      const app = appNamed(world, call.param('app'));
      return ok(app.dynos.map((dyno) => dynoView(app, dyno)));
    },
    'DELETE /apps/:app/dynos': (call) => {
      restart(world, appNamed(world, call.param('app')));
      return { status: 202, body: {} };
    },
    'GET /apps/:app/formation': (call) => {
      const app = appNamed(world, call.param('app'));
      return ok(app.formation.map((process) => processView(app, process)));
    },
    'PATCH /apps/:app/formation': (call) => {
      const app = appNamed(world, call.param('app'));
      change(app, call.parse(z.object({ updates: z.array(update) })).updates);
      return ok(app.formation.map((process) => processView(app, process)));
    },
    'GET /apps/:app/formation/:type': (call) => {
      const app = appNamed(world, call.param('app'));
      return ok(processView(app, processOf(app, call.param('type'))));
    },
    'PATCH /apps/:app/formation/:type': (call) => {
      const app = appNamed(world, call.param('app'));
      const type = call.param('type');
      change(app, [{ ...call.parse(update.omit({ type: true })), type }]);
      return ok(processView(app, processOf(app, type)));
    },
  };
}

/** `Range: version 3..; max=1, order=desc`; more than that is answered with 206 and `Next-Range`. */
function inRange(releases: Release[], range: string, view: (each: Release) => unknown) {
  const max = Number(/max=(\d+)/.exec(range)?.[1] ?? 200);
  const from = /^version (\d+)\.\./.exec(range)?.[1];
  const down = /order=desc/.test(range);
  const ordered = down ? releases.toReversed() : releases;
  const rest = ordered.filter(
    ({ version }) => from === undefined || (down ? version <= Number(from) : version >= Number(from)),
  );
  const body = rest.slice(0, max).map(view);
  const next = rest[max];
  if (!next) return ok(body);
  const order = down ? ', order=desc' : '';
  return { status: 206, body, headers: { 'Next-Range': `version ${next.version}..; max=${max}${order}` } };
}

function releaseView(app: App, { id, version, description, at }: Release) {
  return {
    addon_plan_names: [],
    app: { id: app.id, name: app.name },
    created_at: at,
    current: version === app.releases.at(-1)?.version,
    description,
    id,
    output_stream_url: null,
    slug: null,
    status: 'succeeded',
    updated_at: at,
    user: OWNER,
    version,
  };
}

function dynoView(app: App, { id, name, type, size, state, release, at }: Dyno) {
  const found = app.releases.find(({ version }) => version === release);
  return {
    app: { id: app.id, name: app.name },
    attach_url: null,
    command: app.formation.find((process) => process.type === type)?.command ?? '',
    created_at: at,
    id,
    name,
    release: { id: found?.id ?? null, version: release },
    size,
    state,
    type,
    updated_at: at,
  };
}

function processView(app: App, { id, type, command, quantity, size }: Process) {
  return {
    app: { id: app.id, name: app.name },
    command,
    created_at: app.at,
    dyno_size: { name: size },
    id,
    quantity,
    size,
    type,
    updated_at: app.at,
  };
}
