/* That the cluster and the chart are what the tests of strategies take them for. */
import { describe, expect, test } from 'vitest';
import { homeOfNode, nodeStands, numberOf } from './node/processes.js';
import { useNode } from './node/users.js';
import { CHART, CLUSTER, clusterWorld, R70, R80 } from '../support/cluster.js';

/** Who brought one along may not want it touched. */
const OURS = process.env['FERRY_TEST_CLUSTER'] !== '1';

/** What a person types in a pod's shell. */
const NEEDED = [
  'sh',
  'cp',
  'mv',
  'hostname',
  'cat',
  'chmod',
  'redis-cli',
  'redis-check-rdb',
  'redis-check-aof',
];

describe.skipIf(CLUSTER === null)('the cluster of the tests', { timeout: 120_000 }, () => {
  test('one Redis with a password and a volume: a helm upgrade makes it a newer one, with its keys', async () => {
    const w = await clusterWorld();
    await w.install({ image: { tag: R70 }, redis: { password: 's3cret-pw' } });
    const before = await w.redis({ service: 'redis' }, { password: 's3cret-pw' });
    expect(await before.info('server')).toContain(`redis_version:${R70}`);
    await before.set('kept', 'value');
    expect(await w.kubectl(['get', 'pvc', '-o', 'name'])).toBe('persistentvolumeclaim/data-redis-0\n');
    const said = await w.kubectl([
      ...'exec redis-0 -c redis -- sh -ec'.split(' '),
      `id -u; hostname; for each in ${NEEDED.join(' ')}; do command -v $each; done; redis-check-rdb /none || echo looked; redis-check-aof /none || echo looked`,
    ]);
    const [user, host, ...rest] = said.trim().split('\n');
    expect([user, host]).toEqual(['999', 'redis-0']);
    expect(rest.slice(0, NEEDED.length).map((path) => path.split('/').at(-1))).toEqual(NEEDED);
    // Each is a checker of files, not a server by another name.
    expect(rest.filter((line) => line === 'looked')).toHaveLength(2);

    await w.helm(['upgrade', 'redis', CHART, '--reuse-values', '--set', `image.tag=${R80}`]);
    await w.kubectl(['rollout', 'status', 'statefulset/redis', '--timeout', '90s']);
    const after = await w.redis({ service: 'redis' }, { password: 's3cret-pw' });
    expect(await after.info('server')).toContain(`redis_version:${R80}`);
    expect(await after.get('kept')).toBe('value');
  });

  test('a primary and a replica: what is written through the Service arrives at both, by the names that pods use', async () => {
    const w = await clusterWorld();
    await w.install({
      mode: 'replica',
      replication: { replicas: 1 },
      // Services have it, pods don't.
      service: { port: 6380 },
      podDisruptionBudget: { enabled: true },
    });
    for (const [service, key] of [
      ['redis', 'a'],
      ['redis-master', 'b'],
    ] as const)
      expect(
        await w.kubectl([
          ...'exec redis-1 -c redis -- redis-cli -p 6380 -h'.split(' '),
          `${service}.${w.namespace}.svc.cluster.local`,
          'set',
          key,
          service,
        ]),
      ).toBe('OK\n');
    const [primary, replica] = [await w.redis({ pod: 'redis-0' }), await w.redis({ pod: 'redis-1' })];
    await expect.poll(() => replica.info('replication')).toMatch(/role:slave[^]*master_link_status:up/);
    await expect.poll(() => replica.mget('a', 'b')).toEqual(['redis', 'redis-master']);
    expect(await primary.info('replication')).toContain('connected_slaves:1');
    const budget = await w.json<{ status: { expectedPods: number } }>('pdb', 'redis');
    expect(budget.status.expectedPods).toBe(2);
    const { metadata } = await w.json<{ metadata: { labels: Record<string, string> } }>('pod', 'redis-1');
    expect(metadata.labels).toMatchObject({
      'app.kubernetes.io/name': 'redis',
      'app.kubernetes.io/instance': 'redis',
      'app.kubernetes.io/version': R70,
      'app.kubernetes.io/managed-by': 'Helm',
    });
  });

  test.runIf(OURS)('who comes second finds it up, and leaves it as it was', async () => {
    const numbers = async () => {
      const names = await nodeStands();
      const pids = await Promise.all(names.map((name) => numberOf(homeOfNode(), name)));
      return Object.fromEntries(names.map((name, at) => [name, pids[at]]));
    };
    const before = await numbers();
    expect(Object.keys(before)).toEqual(expect.arrayContaining(['containerd', 'kube-proxy', 'kubelet']));
    const second = await useNode(() => undefined);
    expect(second.kubeconfig).toBe(CLUSTER?.kubeconfig);
    await second.leave();
    expect(await numbers()).toEqual(before);
  });

  test.each(['sentinel', 'cluster'])(
    'mode %s, which the chart has not, is refused in a sentence',
    async (mode) => {
      const w = await clusterWorld();
      await expect(w.helm(['template', 'redis', CHART, '--set', `mode=${mode}`])).rejects.toThrow(
        `mode ${mode} is not known: choose standalone or replica`,
      );
    },
  );
});
