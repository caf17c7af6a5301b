/* Large fleets of real servers: how much memory a worker takes, how quickly the state is told, and how long the history grows. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { queries, type FleetRow } from '../../src/contract.js';
import { memorySettings } from '../support/deployed.js';
import { sleep, type Upgrade } from '../support/world.js';
import { fleetOf } from './fleet.js';
import { kill9 } from './support.js';

async function megabytesOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

/** Milliseconds that each of many queries took, until it has ended. */
async function queried(upgrade: Upgrade): Promise<{ took: number[]; longestHistory: number }> {
  const took: number[] = [];
  let longestHistory = 0;
  let over = false;
  const end = upgrade.ended(1_800_000).finally(() => {
    over = true;
  });
  while (!over) {
    const began = performance.now();
    await upgrade.handle.query(queries.state).catch(() => null);
    took.push(performance.now() - began);
    if (took.length % 10 === 0)
      longestHistory = Math.max(longestHistory, (await upgrade.handle.describe()).historyLength);
    await sleep(200);
  }
  await end.catch(() => {});
  return { took, longestHistory };
}

function percentile(values: number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * part)] ?? Number.NaN;
}

describe('a large fleet', { timeout: 3_600_000 }, () => {
  test('a hundred targets on one worker', async () => {
    const fleet = await fleetOf(100);
    const worker = await fleet.startWorker(await memorySettings());
    const gates = { start: 'auto' as const, staging: 'auto' as const };
    const upgrade = await fleet.start({ dev: 10, staging: 20, production: 70 }, { maxParallel: 10, gates });
    await upgrade.until('AwaitingApproval', 600_000);
    const atRest: number[] = [];
    for (let n = 0; n < 100; n += 1) {
      const began = performance.now();
      await upgrade.state();
      atRest.push(performance.now() - began);
    }
    await upgrade.approve('production');
    const { took, longestHistory } = await queried(upgrade);
    const receipt = await upgrade.ended();
    const memory = await megabytesOf(worker.pid ?? 0);
    console.log(
      `100 targets: worker at most ${memory.toFixed(0)} MB, state at rest p95 ${percentile(atRest, 0.95).toFixed(1)} ms; ten under way at a time: p50 ${percentile(took, 0.5).toFixed(1)} ms, p95 ${percentile(took, 0.95).toFixed(1)} ms of ${took.length}, history at most ${longestHistory} events, ${receipt.seconds} s`,
    );
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    for (const each of await fleet.standing()) expect(each).toMatchObject({ keys: 100, sent: 'target' });
    expect(memory).toBeLessThan(300);
    expect(percentile(atRest, 0.95)).toBeLessThan(50);
    expect(longestHistory).toBeLessThan(5_000);
  });

  test('three workers share forty targets; one is killed, another a while later', async () => {
    const fleet = await fleetOf(40);
    for (let n = 0; n < 3; n += 1) await fleet.startWorker();
    const upgrade = await fleet.start({ canary: 2, production: 38 }, { maxParallel: 9 });
    const done = (count: number) =>
      upgrade.until(
        ({ fleet: rows = [] }) => rows.filter(({ status }) => status === 'done').length >= count,
        600_000,
      );
    await done(8);
    await kill9(fleet.workers[0] ?? null);
    await done(20);
    await kill9(fleet.workers[1] ?? null);
    const receipt = await upgrade.ended(900_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    expect((receipt.facts['fleet'] as FleetRow[]).every(({ status }) => status === 'done')).toBe(true);
    for (const each of await fleet.standing()) expect(each).toMatchObject({ keys: 100, sent: 'target' });
  });
});
