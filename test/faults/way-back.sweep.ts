/* Going back after a long while of writes: it takes no longer than right after the switch, and every write comes along. */
import { onTestFinished, expect, test } from 'vitest';
import { application, sleep, world } from '../support/world.js';
import { at, expectWhole, seed, until } from './support.js';

const SECONDS = Number(process.env['FERRY_SOAK_SECONDS'] ?? 600);

test(`back after ${SECONDS} seconds of writes`, { timeout: (SECONDS + 120) * 1_000 }, async () => {
  const w = await world();
  onTestFinished(() => w.close());
  await w.startWorker();
  await seed(w.redis('source'), 20_000);
  const app = application({ world: w, perSecond: 2_000 });
  const upgrade = await w.startSwitchover({ soak: '2h', gates: { cutover: 'auto' } });
  await upgrade.until(at('Soak'), 60_000);
  const before = app.acknowledged.size;
  await sleep(SECONDS * 1_000);
  const written = app.acknowledged.size - before;
  const asked = performance.now();
  await upgrade.signal('rollback', { by: 'ada' });
  await until('writes on the old server', async () => app.url.includes(`:${w.source.port}`), 30_000, 2);
  const served = performance.now() - asked;
  const receipt = await upgrade.ended();
  console.log(
    `${written.toLocaleString('en')} writes behind the switch; the applications were back ${Math.round(served)} ms after it was asked for, and all was put back after ${Math.round(performance.now() - asked)} ms`,
  );
  expect(receipt).toMatchObject({ outcome: 'RolledBack', left: [] });
  await expectWhole({ w, app, serving: 'source' });
});
