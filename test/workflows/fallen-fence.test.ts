/* A fence does not outlive a restart of its server: that is seen, said, and mended. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startRedis } from '../../src/setup/servers.js';
import { binaryOf, world } from '../support/world.js';

test('the source restarts while it is watched: its fence is set again, and the receipt says so', async () => {
  const w = await world({ sourceArgs: ['--appendonly', 'yes'] });
  try {
    await w.startWorker();
    await w.redis('source').set('a', '1');
    const upgrade = await w.start({ gates: { start: 'auto', cutover: 'auto' }, watch: '4s' });
    await upgrade.until((state) => state.step === 'Watch for stragglers');
    await w.source.kill9();
    w.source = await startRedis({
      binary: binaryOf('r70'),
      dir: join(w.folder, 'source'),
      port: w.source.port,
      args: ['--appendonly', 'yes'],
    });
    const held = await upgrade.until('NeedsDecision');
    expect(held.decision?.problem).toContain('its fence had fallen');
    await expect(w.redis('source').set('late', '1')).rejects.toThrow('NOREPLICAS');
    await upgrade.say('retry', { by: 'ada' });
    const receipt = await upgrade.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.clean).toBe(false);
    expect(receipt.blemishes.join()).toContain('its fence had fallen');
    expect(await w.redis('source').set('free', '1')).toBe('OK');
  } finally {
    await w.close();
  }
});
