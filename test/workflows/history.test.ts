/* The history of an upgrade stays under 500 events, whatever the size of the data and however often it is interrupted. */
import { expect, test } from 'vitest';
import { world, type Upgrade } from '../support/world.js';
import { soon } from './support.js';

const KEYS = 200_000;

async function eventsOf(upgrade: Upgrade): Promise<number> {
  return (await upgrade.handle.fetchHistory()).events?.length ?? 0;
}

test('200,000 keys, with pauses and changes of the rate', async () => {
  const w = await world({ target: 'r70' });
  try {
    await w.startWorker();
    const source = w.redis('source');
    await source.eval(`for i = 1, ${KEYS} do redis.call('SET', 'key:' .. i, i) end`, 0);
    const upgrade = await w.start({ gates: { start: 'auto' }, rate: 20_000 });
    const target = w.redis('target');
    await soon(async () => (await target.dbsize()) > 0, 20_000);
    for (let n = 0; n < 5; n += 1) {
      await upgrade.say('pause', { by: 'ada' });
      await upgrade.until('Paused');
      await upgrade.say('resume', { by: 'ada' });
      await upgrade.until('Running');
    }
    expect((await upgrade.state()).step).toBe('Copy every key');
    await upgrade.say('adjust', { by: 'ada', rate: 'full' });
    await upgrade.approve('cutover');
    const receipt = await upgrade.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
    expect(await target.dbsize()).toBe(KEYS);
    const events = await eventsOf(upgrade);
    console.log(
      `${events} events for ${KEYS.toLocaleString('en')} keys, five pauses and one change of the rate`,
    );
    expect(events).toBeLessThan(500);
  } finally {
    await w.close();
  }
});
