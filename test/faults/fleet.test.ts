/* A fleet of real servers: several workers share it, and one of them dies. */
import { expect, test } from 'vitest';
import type { FleetRow } from '../../src/contract.js';
import { fleetOf } from './fleet.js';
import { kill9 } from './support.js';

test('two workers share the targets; one is killed, and all are upgraded', { timeout: 300_000 }, async () => {
  const fleet = await fleetOf(4);
  await fleet.startWorker();
  await fleet.startWorker();
  const upgrade = await fleet.start({ dev: 1, production: 3 });
  await upgrade.until(
    ({ fleet: rows = [] }) =>
      rows.filter(({ wave, status }) => wave === 'production' && status === 'running').length > 1,
    120_000,
  );
  await kill9(fleet.workers[0] ?? null);
  const receipt = await upgrade.ended(240_000);
  expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
  expect((receipt.facts['fleet'] as FleetRow[]).map(({ status }) => status)).toEqual(Array(4).fill('done'));
  for (const each of await fleet.standing()) expect(each).toMatchObject({ keys: 100, sent: 'target' });
});
