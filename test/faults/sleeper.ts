/* An attempt that outlives its time-out and overlaps with the next: SIGSTOP, and SIGCONT when everything is over. */
import { expect } from 'vitest';
import { application, sleep, world } from '../support/world.js';
import {
  addressIn,
  approveAll,
  expectWhole,
  fenceStands,
  kill9,
  seed,
  slowRepoint,
  until,
} from './support.js';

export async function expectSleeperHarmless(where: 'in the copy' | 'in the switch'): Promise<void> {
  const w = await world();
  await w.startWorker();
  const inCopy = where === 'in the copy';
  const keys = inCopy ? 20_000 : 3_000;
  // What a stopped worker was asked before, it takes with it: Temporal gives it to another one only after its own time-outs.
  const patience = 180_000;
  const sleeper = w.worker;
  try {
    await seed(w.redis('source'), keys);
    const app = application({ world: w });
    const upgrade = await w.start({
      rate: inCopy ? 6_000 : 'full',
      watch: '2s',
      ...(inCopy ? {} : { repoint: slowRepoint(w, { before: 1 }) }),
    });
    const target = w.redis('target');
    if (inCopy) {
      await upgrade.approve('start');
      await until('a part of the copy', async () => (await target.dbsize()) > 5_000);
    } else {
      await approveAll(upgrade);
      await fenceStands(w.redis('source'));
    }
    sleeper?.kill('SIGSTOP');
    await w.startWorker();
    if (inCopy) {
      await upgrade.until(
        (state) => state.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
        patience,
      );
      await upgrade.approve('cutover');
    }
    const receipt = await upgrade.ended(patience);
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
    // The application overwrites what the sleeper still has in hand.
    const pipeline = target.pipeline();
    for (let n = 0; n < keys; n += 1) pipeline.set(`seed:${n}`, 'newer');
    await pipeline.exec();
    const address = await addressIn(w);
    sleeper?.kill('SIGCONT');
    await sleep(3_000);
    let older = 0;
    for (let n = 0; n < keys; n += 1_000) {
      const values = await target.mget(Array.from({ length: 1_000 }, (_, i) => `seed:${n + i}`));
      older += values.filter((value) => value !== 'newer').length;
    }
    expect(older, 'keys that the sleeper overwrote').toBe(0);
    expect(await addressIn(w)).toBe(address);
    await expectWhole({ w, app, serving: 'target' });
  } finally {
    sleeper?.kill('SIGCONT');
    await kill9(sleeper);
    await w.close();
  }
}
