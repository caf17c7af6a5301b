/* Each Helm strategy is rehearsed on a real release: there, back, and forward to its end. */
import { describe, expect, test } from 'vitest';
import { Estimates } from '../../src/inputs/rehearsal.js';
import type { Strategy } from '../../src/contract.js';
import { CLUSTER, clusterWorld, R70, R80 } from '../support/cluster.js';

const SOAK = { soak: '1s', measureFor: '1s', rate: 'full' };

const ROWS: {
  strategy: Strategy;
  values?: Record<string, unknown>;
  input?: Record<string, unknown>;
  /** Of the pod that serves in the end. */
  pod: string;
  /** How long that which is taken back may take, in milliseconds. */
  back: number;
}[] = [
  { strategy: 'helmInPlace', pod: 'redis-0', back: 120_000 },
  { strategy: 'helmRolling', values: { mode: 'replica' }, input: SOAK, pod: 'redis-0', back: 240_000 },
  { strategy: 'helmBlueGreen', input: SOAK, pod: 'redis-green-0', back: 120_000 },
  { strategy: 'helmDumpRestore', input: { soak: '1s' }, pod: 'redis-green-0', back: 120_000 },
];

describe.skipIf(CLUSTER === null)('rehearsal', { timeout: 900_000 }, () => {
  test.for(ROWS)('of $strategy', async ({ strategy, values = {}, input = {}, pod, back }) => {
    const w = await clusterWorld();
    await Promise.all([w.install({ image: { tag: R70 }, ...values }), w.startWorker()]);
    const source = await w.redis({ pod: 'redis-0' });
    await source.mset({ a: '1', b: '2' });
    source.disconnect();
    const receipt = await (await w.rehearse(strategy, { targetVersion: R80, ...input })).ended(800_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, blemishes: [] });
    const estimates = Estimates.parse(receipt.facts['estimates']);
    console.log(strategy, JSON.stringify(estimates), receipt.warnings);
    expect(estimates.cutoverMs).toBeGreaterThan(0);
    expect(estimates.backMs).toBeGreaterThan(0);
    expect(estimates.backMs).toBeLessThan(back);
    const now = await w.redis({ pod });
    expect(await now.info('server')).toContain(`redis_version:${R80}`);
    expect(await now.mget('a', 'b')).toEqual(['1', '2']);
  });
});
