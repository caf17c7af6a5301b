/* What the tests of helmRolling share: a short input, and a release as it stands. */
import { expect } from 'vitest';
import { R80, type ClusterWorld } from '../support/cluster.js';

export const ALL = { start: 'auto', cutover: 'auto', decommission: 'auto' } as const;
export const SHORT = {
  soak: '2s',
  rate: 'full',
  measureFor: '1s',
  backup: false,
  targetVersion: R80,
} as const;

export interface Standing {
  versions: string[];
  roles: string[];
  selectors: Record<string, unknown>;
  strategy: unknown;
  settings: unknown[];
  files: string[];
}

/** What a release is, as far as an upgrade may change it. */
export async function standing(w: ClusterWorld, pods: number, password?: string): Promise<Standing> {
  const result: Standing = {
    versions: [],
    roles: [],
    selectors: {},
    strategy: null,
    settings: [],
    files: [],
  };
  for (let n = 0; n < pods; n += 1) {
    const redis = await w.redis({ pod: `redis-${n}` }, password === undefined ? {} : { password });
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

/** Once every link is up. */
export async function settled(w: ClusterWorld, pods: number, password?: string): Promise<Standing> {
  await expect
    .poll(async () => JSON.stringify((await standing(w, pods, password)).roles))
    .not.toContain(':down');
  return standing(w, pods, password);
}
