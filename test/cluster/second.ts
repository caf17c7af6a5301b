/* What the tests of two releases beside each other share: one release, and what stands before and after the second one came. */
import type { Receipt, State } from '../../src/contract.js';
import { clusterWorld, R70, type ClusterWorld } from '../support/cluster.js';

/** AOF, and no acknowledged write is lost by a crash. */
export const AOF = 'bind 0.0.0.0\nprotected-mode no\ndir /data\nappendonly yes\nappendfsync always\n';
export const BEFORE = { pods: ['redis-0'], claims: ['data-redis-0'], releases: ['redis'] };
export const AFTER = {
  pods: ['redis-green-0'],
  claims: ['data-redis-0', 'data-redis-green-0'],
  releases: ['redis', 'redis-green'],
};
/** Selects the pod of the second release. */
export const GREEN = { 'statefulset.kubernetes.io/pod-name': 'redis-green-0' };

interface Selected {
  spec: { selector: Record<string, string> };
}

export async function selectorOf(w: ClusterWorld, service = 'redis'): Promise<Record<string, string>> {
  return (await w.json<Selected>('service', service)).spec.selector;
}

/** Pods, claims and releases, by name. */
export async function standing(
  w: ClusterWorld,
): Promise<{ pods: string[]; claims: string[]; releases: string[] }> {
  const names = async (kind: string) =>
    (await w.kubectl(['get', kind, '-o', 'jsonpath={.items[*].metadata.name}'])).split(' ').filter(Boolean);
  return {
    pods: await names('pod'),
    claims: await names('pvc'),
    releases: (await w.helm(['list', '-q', '--all'])).split('\n').filter(Boolean),
  };
}

export async function begun(values: Record<string, unknown> = {}): Promise<ClusterWorld> {
  const w = await clusterWorld();
  await Promise.all([w.install({ image: { tag: R70 }, ...values }), w.startWorker()]);
  return w;
}

export function shown(receipt: Receipt): void {
  if (process.env['SHOW']) console.log(JSON.stringify(receipt, null, 1));
}

export function asksToDecommission({ gates }: State): boolean {
  return gates.some(({ name, status }) => name === 'decommission' && status === 'open');
}
