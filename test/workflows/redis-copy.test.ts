/* redisCopy from its start to its receipt, on real servers. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { application, world, type World } from '../support/world.js';

let w: World;
beforeEach(async () => {
  w = await world();
  await w.startWorker();
});
afterEach(() => w.close());

describe('redisCopy', () => {
  test('moves a Redis under writes: every acknowledged write is on the target', async () => {
    const seeded = w.redis('source').pipeline();
    for (let n = 0; n < 5_000; n += 1) seeded.set(`seed:${n}`, `v${n}`, 'PX', 600_000 + n);
    await seeded.exec();
    const app = application({ world: w });
    const upgrade = await w.start();
    await upgrade.approve('start');
    await upgrade.until((state) => state.gates.find((gate) => gate.name === 'cutover')?.status === 'open');
    await upgrade.approve('cutover');
    const receipt = await upgrade.ended();
    await app.stop();
    if (process.env['SHOW'])
      console.log(
        JSON.stringify(
          {
            ...receipt,
            steps: receipt.steps.map((s) => [
              s.title,
              s.status,
              s.note,
              Date.parse(s.endedAt ?? '') - Date.parse(s.startedAt ?? ''),
            ]),
            checks: receipt.checks.map((c) => [c.name, c.status, c.actual]),
          },
          null,
          1,
        ),
        app.errors,
        app.longestMs,
        app.acknowledged.size,
      );
    expect(receipt.blemishes).toEqual([]);
    expect(receipt.outcome).toBe('Completed');
    expect(app.url).toContain(String(w.target.port));
    expect(await app.missing(w.redis('target'))).toEqual([]);
    expect(app.acknowledged.size).toBeGreaterThan(100);
  });
});
