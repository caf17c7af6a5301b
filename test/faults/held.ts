/* An upgrade behind its switch, whose way back is barred for a while. */
import { writeFile } from 'node:fs/promises';
import { expect } from 'vitest';
import { application, world, type Upgrade, type World } from '../support/world.js';
import { addressIn, approveAll, at, expectWhole, quickly, seed, until, type Application } from './support.js';

interface Switched {
  w: World;
  upgrade: Upgrade;
  app: Application;
  /** What both servers were started with. */
  durable: string[];
}

export async function switched(use: (on: Switched) => Promise<void>): Promise<void> {
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always'];
  const w = await world({ target: 'r70', sourceArgs: durable, targetArgs: durable });
  try {
    await w.startWorker();
    await writeFile(w.addressFile, `${w.sourceUrl}\n`);
    await seed(w.redis('source'), 2_000);
    const app = application({ world: w });
    const upgrade = await w.start({ rate: 'full', watch: '60s' });
    await approveAll(upgrade);
    await quickly(upgrade, at('Watch for stragglers'), 60_000);
    await until('writes on the target', async () => app.url.includes(`:${w.target.port}`));
    await use({ w, upgrade, app, durable });
  } finally {
    await w.close();
  }
}

/** It asks rather than going on, nothing is taken down meanwhile, and a retry completes the way back. */
export async function expectHeldAndDone(
  on: Switched & { take: () => unknown; give: () => unknown },
): Promise<void> {
  const { w, upgrade, app } = on;
  await on.take();
  await upgrade.say('rollback', { by: 'ada' });
  const asked = await upgrade.until('NeedsDecision', 90_000);
  expect(asked.decision?.about).toBe('Undo of: Switch the applications over');
  expect(Object.keys(asked.decision?.choices ?? {})).toEqual(expect.arrayContaining(['retry', 'stop']));
  // The copy must not be cleared while it may be what serves.
  expect(asked.decision?.choices.continue ?? '').not.toContain('Copy every key');
  await on.give();
  const before = app.acknowledged.size;
  await until('writes on the target', async () => app.acknowledged.size > before + 50);
  await upgrade.say('retry', { by: 'ada' });
  expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
  expect(await addressIn(w)).toBe(`${w.sourceUrl}\n`);
  await expectWhole({ w, app, serving: 'source' });
  expect(await w.redis('target').dbsize()).toBe(0);
}
