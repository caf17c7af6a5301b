/* The worker's chart, and strategies that run from inside the cluster with no more rights than the chart gives. */
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Receipt } from '../../src/contract.js';
import { clusterWorld, R70, R80 } from '../support/cluster.js';
import { slow } from '../support/slow.js';
import { sleep, type Upgrade } from '../support/world.js';
import { CHART_INSIDE, WORKER_CHART, WORKER_GOES_IN, workerInside } from '../support/worker-inside.js';

const PATIENCE = 180_000;
const PASSWORD = 'kept-in-a-Secret';
const ALL = { start: 'auto', cutover: 'auto', decommission: 'auto' };

/** Where it doesn't end, what it waits for. */
async function ended(upgrade: Upgrade): Promise<Receipt> {
  return upgrade.ended(PATIENCE).catch(async (error: unknown) => {
    throw new Error(JSON.stringify(await upgrade.state(), null, 1), { cause: error });
  });
}

describe.skipIf(!WORKER_GOES_IN)('a worker in the cluster', { timeout: 400_000 }, () => {
  test('its chart is without fault, as it is and with everything that it can be told', async () => {
    const w = await clusterWorld();
    const given = [
      'temporal.address=temporal:7233',
      'temporal.apiKey.secret=temporal,temporal.apiKey.key=api-key',
      'temporal.tls.secret=temporal-tls,temporal.tls.serverCa=true,temporal.tls.serverName=temporal',
      'encryption.secret=codec,encryption.key=keys',
      'home.persistence.accessMode=ReadWriteMany,replicas=2',
      `rbac.namespaces={${w.namespace}},rbac.clusterReads=true`,
      'env[0].name=OLD_REDIS_URL,env[0].valueFrom.secretKeyRef.name=old,env[0].valueFrom.secretKeyRef.key=url',
      'envFrom[0].secretRef.name=urls',
      'nodeSelector.tier=background,tolerations[0].key=background,tolerations[0].operator=Exists',
      'metrics.annotations=true,podLabels.team=platform,podAnnotations.team=platform',
    ].flatMap((set) => ['--set', set]);
    for (const values of [given.slice(0, 2), given]) {
      expect(await w.helm(['lint', WORKER_CHART, '--strict', ...values])).toContain('0 chart(s) failed');
      const objects = await w.helm(['template', 'ferry', WORKER_CHART, ...values]);
      expect(await w.kubectl(['apply', '--dry-run=server', '-f', '-'], objects)).toContain(
        'deployment.apps/ferry-redis-ferry created (server dry run)',
      );
    }
    await expect(w.helm(['template', 'ferry', WORKER_CHART])).rejects.toThrow(/temporal\.address/);
    await expect(
      w.helm(['template', 'ferry', WORKER_CHART, ...given.slice(0, 2), '--set', 'replicas=2']),
    ).rejects.toThrow(/ReadWriteMany/);
  });

  slow(
    'upgrades a release under writers, with a password from a Secret, and another pod goes on where one was deleted',
    async () => {
      const w = await clusterWorld();
      await w.kubectl(['create', 'secret', 'generic', 'cache', `--from-literal=password=${PASSWORD}`]);
      const [worker] = await Promise.all([
        workerInside(w),
        w.install({
          image: { tag: R70 },
          redis: { existingSecret: 'cache', secretKeyName: 'password' },
        }),
      ]);
      const [first = ''] = await worker.pods();
      const writers = await w.writers({ password: PASSWORD });
      const upgrade = await w.start('helmInPlace', {
        chart: CHART_INSIDE,
        targetVersion: R80,
        password: { kubernetesSecret: { namespace: w.namespace, name: 'cache', key: 'password' } },
      });
      await upgrade.approve('start');
      await upgrade.until(({ step }) => step === 'Upgrade the release', PATIENCE);
      await w.kubectl(['delete', 'pod', first, '--grace-period=0', '--force']);
      expect(await ended(upgrade)).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await sleep(500);
      await writers.stop();
      const redis = await w.redis({ pod: 'redis-0' }, { password: PASSWORD });
      expect(await redis.info('server')).toContain(`redis_version:${R80}`);
      expect(writers.acknowledged.size).toBeGreaterThan(0);
      expect(await writers.missing(redis)).toEqual([]);

      await worker.ready();
      const pods = await worker.pods();
      expect(pods).not.toContain(first);
      // What the first one wrote is there for the second one, and for people.
      const inside = (...command: string[]) => w.kubectl(['exec', pods.at(-1) ?? '', '--', ...command]);
      expect(await inside('ferry', 'list', '--all')).toContain(w.name);
      expect(await inside('ferry', 'receipt', w.name)).toContain('Completed');
      expect(await inside('find', '/var/lib/redis-ferry')).toMatch(/evidence-[^/]*\/values-8\.0\.2\.yaml/);
      expect(await w.kubectl(['logs', pods.at(-1) ?? ''])).not.toContain(PASSWORD);
    },
  );

  slow('helmInPlace, and back by the backup', async () => {
    const w = await clusterWorld();
    await Promise.all([workerInside(w), w.install({ image: { tag: R70 } })]);
    const before = await w.redis({ service: 'redis' });
    for (let n = 0; n < 300; n += 1) await before.set(`before:${n}`, `value ${n}`);
    const upgrade = await w.start('helmInPlace', {
      chart: CHART_INSIDE,
      targetVersion: R80,
      gates: { start: 'auto' },
      probes: [{ name: 'the application', command: ['false'] }],
    });
    await upgrade.until('NeedsDecision', PATIENCE);
    await upgrade.say('decide', { choice: 'rollbackLosingWrites', by: 'ada' });
    expect((await ended(upgrade)).outcome).toBe('RolledBack');
    const redis = await w.redis({ service: 'redis' });
    expect(await redis.info('server')).toContain(`redis_version:${R70}`);
    expect(await redis.dbsize()).toBe(300);
  });

  for (const [strategy, values, input, worker] of [
    ['helmRolling', { mode: 'replica' }, { backup: false, surge: true }, {}],
    ['helmBlueGreen', {}, { applicationPod: { pod: 'redis-0' } }, { rbac: { clusterReads: true } }],
  ] as const)
    slow(`${strategy} under writers`, async () => {
      const w = await clusterWorld();
      await Promise.all([workerInside(w, worker), w.install({ image: { tag: R70 }, ...values })]);
      const writers = await w.writers();
      const upgrade = await w.start(strategy, {
        chart: CHART_INSIDE,
        targetVersion: R80,
        soak: '2s',
        measureFor: '1s',
        rate: 'full',
        gates: ALL,
        ...input,
      });
      const receipt = await ended(upgrade);
      await writers.stop();
      expect(receipt.outcome).toBe('Completed');
      const redis = await w.redis({ service: 'redis' });
      expect(await redis.info('server')).toContain(`redis_version:${R80}`);
      expect(await writers.missing(redis)).toEqual([]);
    });

  slow('does the copy that is meant for its queue, on the nodes that its chart chooses', async () => {
    const w = await clusterWorld();
    const queue = `${w.taskQueue}-background`;
    const volumeless = { persistence: { enabled: false } };
    const [worker] = await Promise.all([
      workerInside(w, { taskQueue: queue, nodeSelector: { tier: w.namespace } }),
      w.startWorker(),
      w.install({ image: { tag: R70 }, ...volumeless }, 'redis'),
      w.install({ image: { tag: R80 }, ...volumeless }, 'redis-new'),
    ]);
    const copy = (name: string, taskQueue: string) =>
      w.startCopy({
        name: `${w.name}-${name}`,
        source: { kubernetesPod: { namespace: w.namespace, pod: 'redis-0' } },
        target: { kubernetesPod: { namespace: w.namespace, pod: 'redis-new-0' } },
        writes: 'running',
        gates: { start: 'auto' },
        taskQueue,
      });
    const lost = await copy('lost', `${queue}-of-nobody`);
    const [pending = ''] = await worker.pods();
    await expect
      .poll(async () => JSON.stringify((await w.json<{ status: unknown }>('pod', pending)).status))
      .toContain('Unschedulable');
    const nodes = ['node', '-l', 'kubernetes.io/os=linux'];
    await w.kubectl(['label', ...nodes, `tier=${w.namespace}`]);
    onTestFinished(async () => {
      await w.kubectl(['label', ...nodes, 'tier-']);
    });
    await worker.ready();
    const redis = await w.redis({ service: 'redis' });
    for (let n = 0; n < 300; n += 1) await redis.set(`key:${n}`, `value ${n}`);
    const upgrade = await copy('background', queue);
    expect((await ended(upgrade)).outcome).toBe('Completed');
    expect(await (await w.redis({ service: 'redis-new' })).dbsize()).toBe(300);
    const { events } = await upgrade.handle.fetchHistory();
    const identities = (events ?? []).flatMap(({ activityTaskStartedEventAttributes: begun }) =>
      begun ? [begun.identity] : [],
    );
    const [pod = ''] = await worker.pods();
    expect(identities.length).toBeGreaterThan(3);
    expect(identities.filter((identity) => !identity?.includes(pod))).toEqual([]);
    expect((await lost.failure()).message).toContain('No worker took the work from the task queue');
  });
});
