/* The watch behind a cutover, on real servers: a replica that is missing is told, and later each time. */
import { expect, test } from 'vitest';
import { follow, linkUp } from '../../../src/redis/replication/follow.js';
import { soak, type SoakOptions } from '../../../src/redis/replication/soak.js';
import { serve } from '../servers.js';
import { couple } from './support.js';

const signal = new AbortController().signal;

test('fewer replicas than there should be are told; with all of them it goes on to its end', async () => {
  const pair = await couple(['r70', 'r70']);
  const [primary, follower] = [pair.one.client(), pair.two.client()];
  const watch = (more: Partial<SoakOptions>) =>
    soak({
      forMs: 11_500,
      linkDownForMs: 60_000,
      criteria: [],
      baseline: null,
      settled: [],
      expecting: null,
      quiet: [],
      primary,
      follower,
      before: undefined,
      signal,
      onLook: () => {},
      ...more,
    });
  expect((await watch({ replicas: 2 })).found).toEqual({ kind: 'strayed' });
  // Told once before: after twice the time, which is not over.
  expect((await watch({ replicas: 2, strays: 1 })).found).toBeNull();
  const third = (await serve({ name: 'r70' })).client();
  await follow({ client: third, at: pair.sides.from.at });
  await linkUp({ client: third, stalledMs: 10_000, signal });
  expect((await watch({ replicas: 2 })).found).toBeNull();
});
