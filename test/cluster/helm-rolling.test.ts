/* helmRolling from the JSON to the receipt, on a real cluster, under applications that write through the Service. */
import { describe, expect, test } from 'vitest';
import { CLUSTER, clusterWorld, R70, R80, type ClusterWorld } from '../support/cluster.js';

const ALL = { start: 'auto', cutover: 'auto', decommission: 'auto' } as const;
const SHORT = { soak: '2s', rate: 'full', measureFor: '1s', backup: false, targetVersion: R80 } as const;

interface Standing {
  versions: string[];
  roles: string[];
  selectors: Record<string, unknown>;
  strategy: unknown;
  settings: unknown[];
  files: string[];
}

/** What a release is, as far as an upgrade may change it. */
async function standing(w: ClusterWorld, pods: number): Promise<Standing> {
  const result: Standing = {
    versions: [],
    roles: [],
    selectors: {},
    strategy: null,
    settings: [],
    files: [],
  };
  for (let n = 0; n < pods; n += 1) {
    const redis = await w.redis({ pod: `redis-${n}` });
    const info = await redis.info();
    const of = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1] ?? '';
    result.versions.push(of('redis_version'));
    result.roles.push(
      of('role') === 'master' ? 'primary' : `${of('master_host')}:${of('master_link_status')}`,
    );
    const settings: string[] = [];
    for (const name of ['save', 'appendonly', 'replica-priority', 'masteruser', 'masterauth'])
      settings.push(String(await redis.config('GET', name)));
    settings.push(String(await redis.call('ACL', 'USERS')));
    result.settings.push(settings);
    redis.disconnect();
    const listed = await w.kubectl(['exec', `redis-${n}`, '-c', 'redis', '--', 'ls', '-A', '/data']);
    result.files.push(...listed.split('\n').filter((name) => name.includes('ferry')));
  }
  for (const service of ['redis', 'redis-master'])
    result.selectors[service] = (
      await w.json<{ spec: { selector: unknown } }>('service', service)
    ).spec.selector;
  result.strategy = (
    await w.json<{ spec: { updateStrategy: unknown } }>('statefulset', 'redis')
  ).spec.updateStrategy;
  return result;
}

describe.skipIf(!CLUSTER)('helmRolling', () => {
  test('a primary with two replicas under writes: every acknowledged write is there, and all is as it was but for the version', async () => {
    const w = await clusterWorld();
    await w.startWorker();
    await w.install({ mode: 'replica' });
    const before = await standing(w, 3);
    const writers = [
      await w.writers({ service: 'redis', clients: 2 }),
      await w.writers({ service: 'redis-master', clients: 2 }),
    ];
    const upgrade = await w.start('helmRolling', { ...SHORT, gates: ALL });
    const receipt = await upgrade.ended(240_000).catch(async (error: unknown) => {
      console.log(JSON.stringify(await upgrade.state(), null, 1));
      throw error;
    });
    for (const each of writers) await each.stop();
    if (process.env['SHOW'])
      console.log(
        JSON.stringify(receipt, null, 1),
        writers.map((each) => [each.longestGap(), [...each.errors], each.acknowledged.size]),
      );
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
    const after = await standing(w, 3);
    expect(after).toEqual({ ...before, versions: [R80, R80, R80] });
    const redis = await w.redis({ service: 'redis' });
    for (const each of writers) {
      expect(each.acknowledged.size).toBeGreaterThan(100);
      expect(await each.missing(redis)).toEqual([]);
      expect([...each.errors.keys()].filter((error) => /READONLY/.test(error))).toEqual([]);
    }
    expect(before.versions).toEqual([R70, R70, R70]);
  }, 300_000);
});
