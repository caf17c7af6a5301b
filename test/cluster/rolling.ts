/* What the tests of helmRolling share: a short input, a release as it stands, and how many of its pods are ready. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { expect, onTestFinished } from 'vitest';
import { clusterWorld, R80, type ClusterWorld, type Writers } from '../support/cluster.js';
import { lackingOf } from './faults.js';

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
  pods: number;
  claims: string[];
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
    pods: 0,
    claims: [],
  };
  for (let n = 0; n < pods; n += 1) {
    const redis = await w.redis({ pod: `redis-${n}` }, { password });
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
  const { spec } = await w.json<{ spec: { updateStrategy: unknown; replicas: number } }>(
    'statefulset',
    'redis',
  );
  result.strategy = spec.updateStrategy;
  result.pods = spec.replicas;
  result.claims = (await w.kubectl(['get', 'pvc', '-o', 'name'])).trim().split('\n');
  return result;
}

/** Once every link is up. */
export async function settled(w: ClusterWorld, pods: number, password?: string): Promise<Standing> {
  await expect
    .poll(async () => JSON.stringify((await standing(w, pods, password)).roles))
    .not.toContain(':down');
  return standing(w, pods, password);
}

/** Three pods, and applications that write to them. */
export async function begun(values: Record<string, unknown> = {}, password?: string) {
  const w = await clusterWorld();
  await w.startWorker();
  await w.install({ mode: 'replica', ...values });
  const before = await settled(w, 3, password);
  const login = password === undefined ? {} : { password };
  return { w, before, writers: await w.writers({ clients: 2, ...login }), login };
}

/** Wholly old, or wholly of `version`, and every acknowledged write is there. */
export async function expectWhole(on: {
  w: ClusterWorld;
  writers: Writers;
  before: Standing;
  version?: string;
  password?: string | undefined;
  /** The Service led to a replica until somebody took over; or the fence was one of 6.0, which refuses writes and does not hold them. */
  readOnlyForAWhile?: boolean;
}): Promise<void> {
  const { w, writers, before, version, password } = on;
  await writers.stop();
  const after = await settled(w, 3, password);
  expect(after).toEqual(
    version === undefined ? before : { ...before, versions: [version, version, version] },
  );
  const { missing } = await lackingOf(w, writers, { again: false, password });
  expect(missing).toEqual([]);
  if (!on.readOnlyForAWhile)
    expect([...writers.errors.keys()].filter((error) => /READONLY/.test(error))).toEqual([]);
}

export interface Readiness {
  /** The fewest that were ready at any time. */
  fewest(): number;
  /** The most. */
  most(): number;
}

/** Each change of a pod is told by the cluster, so none is missed. One that is about to end counts as away. */
export async function readyPods(w: ClusterWorld): Promise<Readiness> {
  const line =
    '{.type}|{.object.metadata.name}|{.object.metadata.deletionTimestamp}|{.object.status.conditions[?(@.type=="Ready")].status}{"\\n"}';
  const watching = spawn(
    'kubectl',
    ['-n', w.namespace, 'get', 'pods', '-w', '--output-watch-events', '-o', `jsonpath=${line}`],
    { env: { ...process.env, ...w.env }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  onTestFinished(() => void watching.kill());
  const ready = new Set<string>();
  const counts: number[] = [];
  const before = Number((await w.kubectl(['get', 'pods', '-o', 'name'])).trim().split('\n').length);
  createInterface({ input: watching.stdout }).on('line', (said) => {
    const [type, name = '', ending, is] = said.split('|');
    if (type !== 'DELETED' && ending === '' && is === 'True') ready.add(name);
    else ready.delete(name);
    if (counts.length > 0 || ready.size === before) counts.push(ready.size);
  });
  await expect.poll(() => counts.length, { timeout: 20_000 }).toBeGreaterThan(0);
  return { fewest: () => Math.min(...counts), most: () => Math.max(...counts) };
}
