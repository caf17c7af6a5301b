/** What runs of an app right now. */
import { z } from 'zod';
import { path, requestList, type Asked } from './api.js';
import { formationOf } from './formation.js';
import { waitFor, type Waiting } from './wait.js';

export interface Dyno {
  /** Such as `worker.1`. */
  name: string;
  /** Such as `worker`; `run` and `scheduler` are one-off ones. */
  type: string;
  /** `starting`, `up`, `idle`, `crashed`, `down`. */
  state: string;
  /** Version of the release that it runs. */
  release: number;
}

const Reply = z
  .object({
    name: z.string(),
    type: z.string(),
    state: z.string(),
    release: z.object({ version: z.number() }),
  })
  .transform(({ release, ...rest }): Dyno => ({ ...rest, release: release.version }));

/** @throws as `request` */
export async function dynosOf({ app, signal }: Asked & { app: string }): Promise<Dyno[]> {
  return requestList({
    path: path('apps', app, 'dynos'),
    item: Reply,
    to: `look at the dynos of ${app}`,
    signal,
  });
}

/**
 * Until each dyno of the formation runs this release or a later one, and none of an earlier one is left. One-off dynos keep the
 * release that they were started with, and are not waited for. A dyno that sleeps (`idle`) runs nothing and counts.
 *
 * @throws FerryError NotReady, which names the dynos; and as `request`
 */
export async function waitForRelease({
  app,
  version,
  ...waiting
}: Waiting & { app: string; version: number }): Promise<Dyno[]> {
  return waitFor({
    ...waiting,
    what: `the dynos of ${app} to run release v${version}`,
    look: async () => {
      const formation = await formationOf({ app, signal: waiting.signal });
      const all = await dynosOf({ app, signal: waiting.signal });
      const dynos = all.filter(({ type }) => formation.some((each) => each.type === type));
      const late = dynos.filter(
        ({ state, release }) => state !== 'idle' && (state !== 'up' || release < version),
      );
      const missing = formation.filter(
        ({ type, quantity }) => dynos.filter((dyno) => dyno.type === type).length < quantity,
      );
      if (late.length === 0 && missing.length === 0) return { done: dynos };
      return { yet: [...late.map(shown), ...missing.map(({ type }) => `${type} not all there`)].join(', ') };
    },
  });
}

/**
 * Until no dyno of these types runs any more: scaling to 0 only asks them to end.
 *
 * @throws FerryError NotReady, which names the dynos; and as `request`
 */
export async function waitUntilStopped({
  app,
  types,
  ...waiting
}: Waiting & { app: string; types: readonly string[] }): Promise<void> {
  await waitFor({
    ...waiting,
    what: `the dynos of ${app} to stop (${types.join(', ')})`,
    look: async () => {
      const left = (await dynosOf({ app, signal: waiting.signal })).filter(({ type }) =>
        types.includes(type),
      );
      return left.length === 0 ? { done: null } : { yet: left.map(shown).join(', ') };
    },
  });
}

function shown({ name, state, release }: Dyno): string {
  return `${name} is ${state} on v${release}`;
}
