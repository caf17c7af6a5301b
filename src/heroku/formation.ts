/** How many dynos of each type an app is to have. */
import { z } from 'zod';
import { actThenLook, path, request, requestList, type Asked } from './api.js';

/** Of one process type. */
export interface Scale {
  /** Such as `web`, `worker`. */
  type: string;
  quantity: number;
  /** Such as `standard-1x`; left as it is where missing. */
  size?: string | undefined;
}

/** As it is: with its size. */
export interface ExactScale extends Scale {
  size: string;
}

const Reply = z.object({ type: z.string(), quantity: z.number(), size: z.string() });

/** By type. What it gives is what `scale` takes to restore it exactly. @throws as `request` */
export async function formationOf({ app, signal }: Asked & { app: string }): Promise<Array<ExactScale>> {
  const formation = await requestList({
    path: path('apps', app, 'formation'),
    item: Reply,
    to: `look at the formation of ${app}`,
    signal,
  });
  return formation.toSorted((a, b) => (a.type < b.type ? -1 : 1));
}

/**
 * Brings the named types to quantity and size, all by one request. Types that are so already are left alone. Dynos start and stop in
 * the background (dynos.ts). Gives what they were.
 *
 * @throws as `request`
 */
export async function scale({
  app,
  to,
  signal,
}: Asked & { app: string; to: readonly Scale[] }): Promise<{ was: Array<ExactScale>; did: boolean }> {
  const was = await formationOf({ app, signal });
  const updates = missingFrom(was, to);
  if (updates.length > 0)
    await actThenLook({
      act: () =>
        request({
          method: 'PATCH',
          path: path('apps', app, 'formation'),
          body: { updates },
          reply: z.array(Reply),
          to: `scale ${app} to ${updates.map(shown).join(', ')}`,
          signal,
        }),
      look: async () => {
        const now = await formationOf({ app, signal });
        return missingFrom(now, to).length === 0 ? now : null;
      },
    });
  const named = new Set(to.map(({ type }) => type));
  return { was: was.filter(({ type }) => named.has(type)), did: updates.length > 0 };
}

function missingFrom(now: readonly Scale[], wanted: readonly Scale[]): Scale[] {
  return wanted.filter(({ type, quantity, size }) => {
    const is = now.find((each) => each.type === type);
    const sized = size === undefined || is?.size?.toLowerCase() === size.toLowerCase();
    return is?.quantity !== quantity || !sized;
  });
}

function shown({ type, quantity, size }: Scale): string {
  return `${type}=${quantity}${size === undefined ? '' : `:${size}`}`;
}
