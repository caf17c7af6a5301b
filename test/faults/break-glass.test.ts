/* Everything of ours is gone, and a person types what the card says: service is back on the source. */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { application, sleep, world, type World } from '../support/world.js';
import {
  addressIn,
  approveAll,
  at,
  expectOrdinary,
  fenceStands,
  kill9,
  quickly,
  seed,
  slowRepoint,
  typed,
  until,
} from './support.js';

async function cardFile(w: World): Promise<string[]> {
  const home = w.env['FERRY_HOME'] ?? '';
  for (const folder of await readdir(home)) {
    const text = await readFile(join(home, folder, 'break-glass.txt'), 'utf8').catch(() => null);
    if (text !== null) return text.trimEnd().split('\n');
  }
  return [];
}

describe.concurrent('the break-glass card', { timeout: 90_000 }, () => {
  for (const [version, password] of [
    ['r70', undefined],
    ['r60', undefined],
    ['r70', 'p@ss w0rd/%$\'"'],
  ] as const) {
    test(`with the fence standing, and nobody left who could lift it (${version}${password === undefined ? '' : ', with a password'})`, async () => {
      const w = await world({
        source: version,
        target: 'r70',
        ...(password === undefined ? {} : { password }),
      });
      try {
        await w.startWorker();
        await writeFile(w.addressFile, `${w.sourceUrl}/0\n`);
        await seed(w.redis('source'), 1_000);
        const app = application({ world: w });
        const upgrade = await w.start({
          rate: 'full',
          acceptLoss: version === 'r60',
          repoint: slowRepoint(w, { before: 2 }),
        });
        await approveAll(upgrade);
        await fenceStands(w.redis('source'));
        const { breakGlass } = await upgrade.state();
        expect(await cardFile(w)).toEqual(breakGlass);
        expect(breakGlass.join()).not.toContain('w0rd');
        await kill9(w.worker);
        await upgrade.handle.terminate('nobody is there');
        // The command may outlive its worker for a moment.
        await sleep(3_000);
        await typed(w, breakGlass);
        expect((await addressIn(w))?.trim()).toBe(w.sourceUrl);
        const before = app.acknowledged.size;
        await until('writes on the source', async () => app.acknowledged.size > before + 50, 10_000);
        await app.stop();
        expect(app.url).toContain(`:${w.source.port}`);
        // Those who had moved wrote to the target for a moment, where it stays.
        const there = await app.missing(w.redis('target'));
        expect((await app.missing(w.redis('source'))).filter((key) => there.includes(key))).toEqual([]);
        await expectOrdinary(w.redis('source'));
        // Again is harmless.
        await typed(w, breakGlass);
        await expectOrdinary(w.redis('source'));
      } finally {
        await w.close();
      }
    });
  }

  test('after the switch: the source serves again; what a recovery could overwrite it leaves alone', async () => {
    const w = await world({ target: 'r70' });
    try {
      await w.startWorker();
      await writeFile(w.addressFile, `${w.sourceUrl}\n`);
      await seed(w.redis('source'), 1_000);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 'full', watch: '60s' });
      await approveAll(upgrade);
      await quickly(upgrade, at('Watch for stragglers'), 60_000);
      await until('writes on the target', async () => app.url.includes(`:${w.target.port}`));
      const card = await cardFile(w);
      await kill9(w.worker);
      await upgrade.handle.terminate('nobody is there');
      await typed(w, card);
      expect(await addressIn(w)).toBe(`${w.sourceUrl}\n`);
      const target = w.redis('target');
      await until('the application to come back', async () => app.url.includes(`:${w.source.port}`));
      await w.redis('source').set('seed:1', 'newer');
      await w.startWorker();
      const run = (leave?: string[]) =>
        w.client.workflow.execute('recover', {
          taskQueue: w.taskQueue,
          workflowId: `recover/${upgrade.id}`,
          args: [{ workflowId: upgrade.id, by: 'ada', leave }],
        });
      const refused = await run().then(
        () => null,
        (error: { cause?: Error }) => error.cause?.message,
      );
      expect(refused).toMatch(/can't be told where the applications write/);
      expect(await w.redis('source').get('seed:1')).toBe('newer');
      await run(['Switch the applications over']);
      expect(await w.redis('source').get('seed:1')).toBe('newer');
      expect(await target.dbsize()).toBe(0);
      await app.stop();
      await expectOrdinary(w.redis('source'));
    } finally {
      await w.close();
    }
  });
});
