/* Writes were stopped before the switch: what a switch that fails leaves, and whether it can be tried again. */
import { expect, test } from 'vitest';
import { fence, fenceBefore, fenceStanding, unfence } from '../../src/redis/fence.js';
import { switchOver, type SwitchOptions } from '../../src/redis/switch.js';
import { startTracking } from '../../src/redis/tracker.js';
import { SERVERS, serve, type TestServer } from './servers.js';

/** A server of which writes are stopped, one that holds the same, and how to switch from one to the other. */
async function stopped({ from: name, to }: { from: string; to: string }) {
  const [old, next] = [await serve({ name }), await serve({ name: to })];
  const address = ({ host, port }: TestServer) => ({ host, port });
  for (const server of [old, next]) await server.client().mset('a', '1', 'b', '2');
  const client = old.client();
  // Ordinary clients are sent away in the end.
  await client.client('SETNAME', 'ferry:of-the-test');
  const before = await fenceBefore({ client });
  await fence({ client, before });
  const tracker = await startTracking({ address: address(old), match: '*' });
  const standings: string[] = [];
  const fences: Record<string, string> = {};
  const over = async (more: Pick<SwitchOptions, 'repoint' | 'repointBack'>) =>
    switchOver({
      from: address(old),
      to: address(next),
      databases: [[0, 0]],
      match: '*',
      ifTargetHasKeys: 'refuse',
      bigKey: 1_000,
      tracker,
      pauseMs: null,
      fence: before,
      name: 'ferry:test:1.1',
      signal: new AbortController().signal,
      stillCurrent: async (standing) => {
        standings.push(standing);
        fences[standing] = await fenceStanding({ client });
      },
      stoppedAt: Date.now(),
      lateMs: 3_000,
      sealedBefore: false,
      ...more,
    });
  return { old, next, client, before, standings, fences, over, end: () => tracker.close() };
}

const repoint = async () => undefined;
const fails = async () => {
  throw new Error('the applications could not be told');
};

for (const { name } of SERVERS.filter((server) => ['r60', 'r70', 'v81'].includes(server.name)))
  test(`${name}: who could not be told stays, with writes stopped; told again they go`, async () => {
    const { old, next, client, before, standings, over, end } = await stopped({ from: name, to: name });
    let back = 0;
    const repointBack = async () => (back += 1);
    await expect(over({ repoint: fails, repointBack })).rejects.toThrow('could not be told');
    expect(back).toBe(1);
    expect(standings.at(-1)).toBe('begun');
    expect(await fenceStanding({ client })).toBe('fenced');
    await expect(old.client().set('k', '1')).rejects.toThrow(/NOREPLICAS|READONLY/);

    expect(await over({ repoint, repointBack: fails })).toMatchObject({ finishedLater: false });
    expect(await fenceStanding({ client })).toBe('sealed');
    expect(await next.client().get('a')).toBe('1');
    end();
    // Nothing of the first try stands in the way of the way back.
    await unfence({ client, before });
    expect(await fenceStanding({ client })).toBe('none');
    expect(await old.client().set('k', '1')).toBe('OK');
  });

test('who was told and wrote there comes back, and so does what was written; it is on both sides in the end', async () => {
  const { old, next, client, standings, fences, over, end } = await stopped({ from: 'r70', to: 'r80' });
  const app = next.client();
  const half = async () => {
    expect(await app.set('moved', '1')).toBe('OK');
    return fails();
  };
  await expect(over({ repoint: half, repointBack: repoint })).rejects.toThrow('could not be told');
  expect(app.status).not.toBe('ready');
  expect(await client.get('moved')).toBe('1');
  // Should the worker die while that is carried back, whoever goes on knows: it was told before anybody could write here again.
  expect(standings.slice(-2)).toEqual(['called back', 'begun']);
  expect(fences['called back']).not.toBe('none');
  expect(await fenceStanding({ client })).toBe('fenced');
  await expect(old.client().set('k', '1')).rejects.toThrow('NOREPLICAS');
  await over({ repoint, repointBack: fails });
  expect(await next.client().get('moved')).toBe('1');
  end();
});
