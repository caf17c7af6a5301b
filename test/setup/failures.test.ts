/* What could not be had is left out for a while, and the first reason stays the reason. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { recentFailure, unlessFailedLately } from '../../src/setup/failures.js';

test('what failed is not tried again at once, says why it failed, and is forgotten by a success', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'ferry-failures-'));
  onTestFinished(() => rm(cache, { recursive: true, force: true }));
  const one = { name: 'some/thing-1', cache };
  let tries = 0;
  const fails = () =>
    unlessFailedLately(one, async () => {
      tries += 1;
      throw new Error('the disk is full');
    });
  await expect(fails()).rejects.toThrow(/^the disk is full$/);
  const said = await recentFailure(one.name, cache);
  expect(said).toBe('left out, it failed 1 min ago (the disk is full)');
  // Being left out is no failure of its own: neither the reason nor the time is renewed by it.
  await expect(fails()).rejects.toThrow(said ?? '');
  await expect(fails()).rejects.toThrow(said ?? '');
  expect(tries).toBe(1);
  expect(await recentFailure(one.name, cache)).toBe(said);
  const other = { name: 'other', cache };
  expect(await unlessFailedLately(other, async () => 7)).toBe(7);
  expect(await recentFailure(other.name, cache)).toBeNull();
});
