/* An app as hokusai has them, in the test cluster: a ConfigMap of variables, a Deployment that reads them as it starts, and a kubeconfig with hokusai's contexts. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { R70, type ClusterWorld } from './cluster.js';

export interface Shop {
  /** For a worker: the kubeconfig, and a PATH where each call of hokusai and kubectl is noted. */
  env: Record<string, string>;
  /** What the app has as its variables now. */
  variables(): Promise<Record<string, string>>;
  /** The URL that each running pod was started with. */
  urls(): Promise<string[]>;
  /** Keys whose writes the pods of now are told of, until they end. */
  follow(): Promise<Set<string>>;
  /** Every command line of hokusai and kubectl that the worker, or hokusai, has run. */
  commandLines(): Promise<string>;
}

const Config = z.looseObject({
  contexts: z.array(z.object({ name: z.string(), context: z.looseObject({}) })).min(1),
});

/** Its pods write one key after another, each once, and say which were acknowledged. */
const WRITES = `n=0; while true; do n=$((n+1)); k="app:$HOSTNAME:$n"
[ "$(redis-cli -u "$REDIS_URL" SET "$k" "$k" 2>/dev/null)" = OK ] && echo "acknowledged $k" && touch /tmp/ready; sleep 0.2; done`;

export async function shop(w: ClusterWorld, hokusai: string, url: string): Promise<Shop> {
  const admin = Config.parse(parse(await readFile(w.env['KUBECONFIG'] ?? '', 'utf8')));
  const [first] = admin.contexts;
  const context = { ...first?.context, namespace: w.namespace };
  const kubeconfig = join(w.folder, 'kubeconfig');
  await writeFile(
    kubeconfig,
    stringify({ ...admin, contexts: [{ name: 'production', context }], 'current-context': 'production' }),
  );
  const bin = join(w.folder, 'bin');
  const log = join(w.folder, 'command-lines');
  await mkdir(bin);
  await writeFile(log, '');
  const path = w.env['PATH'] ?? '';
  for (const [name, real] of [
    ['hokusai', hokusai],
    ['kubectl', `${path.split(':')[0]}/kubectl`],
  ] as const) {
    await writeFile(join(bin, name), `#!/bin/sh\necho "${name} $*" >> '${log}'\nexec '${real}' "$@"\n`);
    await chmod(join(bin, name), 0o755);
  }
  const labels = { app: 'shop', layer: 'application' };
  const objects = [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'shop-environment', labels: { app: 'shop' } },
      data: { REDIS_URL: url, COLOUR: 'blue and green' },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'shop-web', labels },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            terminationGracePeriodSeconds: 0,
            automountServiceAccountToken: false,
            containers: [
              {
                name: 'web',
                image: `k8s.local/redis:${R70}`,
                command: ['sh', '-c', WRITES],
                envFrom: [{ configMapRef: { name: 'shop-environment' } }],
                readinessProbe: { exec: { command: ['test', '-e', '/tmp/ready'] }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
  ];
  for (const object of objects) await w.kubectl(['apply', '-f', '-'], JSON.stringify(object));
  await w.kubectl(['rollout', 'status', 'deployment/shop-web', '--timeout', '90s']);
  const pods = async () => {
    const { items } = await w.json<{
      items: { metadata: { name: string; deletionTimestamp?: string } }[];
    }>('pods', '-l', 'app=shop');
    return items.filter(({ metadata }) => !metadata.deletionTimestamp).map(({ metadata }) => metadata.name);
  };
  return {
    env: { KUBECONFIG: kubeconfig, PATH: `${bin}:${path}` },
    variables: async () =>
      (await w.json<{ data: Record<string, string> }>('configmap', 'shop-environment')).data,
    urls: async () =>
      Promise.all(
        (await pods()).map((pod) => w.kubectl(['exec', pod, '--', 'sh', '-c', 'echo "$REDIS_URL"'])),
      ).then((lines) => lines.map((line) => line.trim())),
    async follow() {
      const seen = new Set<string>();
      const children: ChildProcess[] = [];
      onTestFinished(() => children.forEach((child) => child.kill()));
      for (const pod of await pods()) {
        const child = spawn(
          join(path.split(':')[0] ?? '', 'kubectl'),
          ['-n', w.namespace, 'logs', '-f', pod],
          {
            env: { ...process.env, ...w.env },
            stdio: ['ignore', 'pipe', 'ignore'],
          },
        );
        children.push(child);
        let rest = '';
        child.stdout.on('data', (chunk: Buffer) => {
          const lines = `${rest}${chunk.toString()}`.split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) seen.add(line.replace('acknowledged ', ''));
        });
      }
      return seen;
    },
    commandLines: () => readFile(log, 'utf8'),
  };
}
