/* The worker's chart in the test cluster, with the package as it is built now: the pod reaches the tests' Temporal by the node's own bridge. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { onTestFinished } from 'vitest';
import { giveWorker, takesImages, WORKER_REPOSITORY } from '../cluster/node/worker-image.js';
import { CHART, CLUSTER, R70, type ClusterWorld } from './cluster.js';
import { link } from './link.js';

export const WORKER_CHART = resolve('deploy/helm/redis-ferry');
/** Where the chart of Redis is, for a worker inside. */
export const CHART_INSIDE = '/charts/redis-1.0.0.tgz';

/** Whether a worker can be given to the cluster: it has to be ours, on this machine. */
export const WORKER_GOES_IN = CLUSTER !== null && (await takesImages(CLUSTER.kubeconfig));

export interface WorkerInside {
  /** Names of its pods, of which the last one is the newest. */
  pods(): Promise<string[]>;
  ready(): Promise<void>;
}

interface Values extends Record<string, unknown> {
  extraVolumes?: object[];
  extraVolumeMounts?: object[];
}

/**
 * Installed as docs/deploy.md says; until it is ready, unless nodes have yet to be labelled for it.
 * `hokusai`: its image has the CLI.
 */
export async function workerInside(
  w: ClusterWorld,
  { extraVolumes = [], extraVolumeMounts = [], ...values }: Values = {},
  { hokusai = false }: { hokusai?: boolean } = {},
): Promise<WorkerInside> {
  const tag = await giveWorker(resolve(process.env['FERRY_TEST_DIST'] ?? 'dist'), {
    hokusai,
    say: (line) => console.error(line),
  });
  const [node] = (
    await w.json<{ items: { status: { addresses: { type: string; address: string }[] } }[] }>('nodes')
  ).items;
  const host = node?.status.addresses.find(({ type }) => type === 'InternalIP')?.address;
  if (host === undefined) throw new Error('the node has no address');
  const temporal = await link(
    Number(w.env['TEMPORAL_ADDRESS']?.split(':').at(-1)),
    (end) => onTestFinished(end),
    host,
  );
  await w.helm(['package', CHART, '-d', w.folder]);
  await w.kubectl(['create', 'configmap', 'charts', `--from-file=${join(w.folder, 'redis-1.0.0.tgz')}`]);
  const file = join(w.folder, 'worker.json');
  await writeFile(
    file,
    JSON.stringify({
      image: { repository: WORKER_REPOSITORY, tag, pullPolicy: 'Never' },
      temporal: { address: temporal.at },
      taskQueue: w.taskQueue,
      home: { persistence: { size: '64Mi' } },
      resources: { requests: { cpu: '50m', memory: '128Mi' } },
      // What a storage class does elsewhere: a volume of the host's belongs to root.
      initContainers: [
        {
          name: 'own',
          image: `k8s.local/redis:${R70}`,
          command: ['chown', '1000:1000', '/home'],
          securityContext: { runAsUser: 0, runAsNonRoot: false },
          volumeMounts: [{ name: 'ferry-home', mountPath: '/home' }],
        },
      ],
      extraVolumes: [{ name: 'charts', configMap: { name: 'charts' } }, ...extraVolumes],
      extraVolumeMounts: [{ name: 'charts', mountPath: '/charts', readOnly: true }, ...extraVolumeMounts],
      ...values,
    }),
  );
  await w.helm(['install', 'ferry', WORKER_CHART, '-f', file]);
  const self: WorkerInside = {
    pods: async () =>
      (
        await w.kubectl([
          'get',
          'pods',
          '-l',
          'app.kubernetes.io/name=redis-ferry',
          '--sort-by=.metadata.creationTimestamp',
          '-o',
          'jsonpath={.items[*].metadata.name}',
        ])
      )
        .split(' ')
        .filter(Boolean),
    ready: async () => {
      const deployment = 'deployment/ferry-redis-ferry';
      await w.kubectl(['rollout', 'status', deployment, '--timeout', '90s']).catch(async (error: unknown) => {
        throw new Error(await w.kubectl(['logs', deployment, '--all-containers']), { cause: error });
      });
    },
  };
  if (values['nodeSelector'] === undefined) await self.ready();
  return self;
}
