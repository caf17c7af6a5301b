/** How a release stood before anything was changed: what a person would want to look at afterwards. */
import { stringify } from 'yaml';
import type { Values } from './helm.js';
import { kubectl } from './kubectl.js';
import type { ReleaseFacts } from './release.js';
import { withoutSecrets } from './values.js';

const LOG_LINES = '1000';

/** Names of files with their texts, without passwords. `given`: the values of the old version, `values`: those of the new one. */
export async function evidenceOf(on: {
  facts: ReleaseFacts;
  /** Of the old version, and of the new one. */
  versions: { from: string; to: string };
  given: Values;
  values: Values;
  signal?: AbortSignal | undefined;
}): Promise<Record<string, string>> {
  const { facts, versions, given, values, signal } = on;
  const { namespace, context, statefulSet, pods, services } = facts;
  const where = { namespace, context, signal };
  const get = (...what: string[]) => kubectl({ ...where, args: ['get', ...what, '-o', 'yaml'] });
  const files: Record<string, string> = {
    [`statefulset-${statefulSet.name}.yaml`]: await get('statefulset', statefulSet.name),
    'pods.yaml': await get('pods', ...pods.map(({ name }) => name)),
    'services.yaml': await get('services', ...services.map(({ name }) => name)),
    [`values-${versions.from}.yaml`]: stringify(withoutSecrets(given)),
    [`values-${versions.to}.yaml`]: stringify(withoutSecrets(values)),
  };
  if (statefulSet.claims.length > 0)
    files['claims.yaml'] = await get('pvc', ...statefulSet.claims, '--ignore-not-found');
  for (const { name } of pods)
    files[`log-${name}.txt`] = await kubectl({
      ...where,
      args: ['logs', name, '-c', statefulSet.container, '--tail', LOG_LINES],
    }).catch((error: unknown) => `not to be had: ${error instanceof Error ? error.message : 'unknown'}\n`);
  return files;
}
