/** A file out of a pod, as it is: kubectl writes it to the worker's disk itself, whatever its size. */
import { FerryError } from '../errors.js';
import { failureOf, inNamespaceWithin, kubectl, KUBECTL, tool, type Namespace } from './kubectl.js';

const WITHIN = '30m';

/** Returns its bytes, as the pod counts them. @throws FerryError BackupFailed where they are not known */
export async function fetchFile(
  on: Namespace & { pod: string; container: string; path: string; to: string; signal: AbortSignal },
): Promise<{ bytes: number }> {
  const { namespace, context, pod, container, path, to, signal } = on;
  const exec = ['exec', pod, '-c', container, '--'] as const;
  const counted = await kubectl({
    namespace,
    context,
    signal,
    args: [...exec, 'sh', '-c', 'wc -c < "$0"', path],
  });
  const bytes = Number(counted.trim());
  if (!Number.isInteger(bytes) || counted.trim() === '')
    throw new FerryError('BackupFailed', `${namespace}/${pod} does not tell how long ${path} is`);
  const { exitCode, stderrTail } = await tool({
    label: 'kubectl exec',
    command: [
      '/bin/sh',
      '-c',
      'umask 077; exec "$@" > "$0"',
      to,
      KUBECTL(),
      ...inNamespaceWithin({ namespace, context }, WITHIN),
      ...exec,
      'cat',
      path,
    ],
    timeout: WITHIN,
    signal,
  });
  signal.throwIfAborted();
  if (exitCode !== 0) throw failureOf({ label: 'kubectl exec', said: stderrTail, exitCode, changes: false });
  return { bytes };
}
