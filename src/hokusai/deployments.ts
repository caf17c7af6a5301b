/** The deployments that hokusai restarts, and whether they have been: it says "done" also where there are none. */
import { z } from 'zod';
import { FerryError } from '../errors.js';
import type { HokusaiApp } from '../inputs/refs.js';
import { getJson, kubectl } from '../kubernetes/kubectl.js';
import { configMapOf, noContext, shownApp } from './cli.js';

const Source = z.looseObject({ configMapRef: z.object({ name: z.string() }).optional() });
const Variable = z.looseObject({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: z
    .object({ configMapKeyRef: z.object({ name: z.string(), key: z.string() }).optional() })
    .optional(),
});
const Deployments = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string(), generation: z.number() }),
      spec: z.object({
        replicas: z.number().default(1),
        template: z.object({
          spec: z.object({
            containers: z.array(
              z.object({ envFrom: z.array(Source).default([]), env: z.array(Variable).default([]) }),
            ),
          }),
        }),
      }),
      status: z.object({
        observedGeneration: z.number().default(0),
        replicas: z.number().default(0),
        updatedReplicas: z.number().default(0),
        availableReplicas: z.number().default(0),
      }),
    }),
  ),
});

export interface AppDeployment {
  name: string;
  /** Its pods are all of the newest template, and available. */
  settled: boolean;
  /** What its pods have is what hokusai keeps, under this key. */
  reads: (key: string) => boolean;
}

/** Those that `hokusai refresh` restarts, by the labels that it goes by. @throws FerryError */
export async function deploymentsOf(
  at: HokusaiApp,
  signal: AbortSignal | undefined,
): Promise<AppDeployment[]> {
  const { items } = await getJson({
    namespace: await namespaceOf(at, signal),
    context: at.env,
    signal,
    what: ['deployments', '-l', `app=${at.app},layer=application`],
    schema: Deployments,
  });
  return items.map(({ metadata, spec, status }) => ({
    name: metadata.name,
    settled:
      status.observedGeneration >= metadata.generation &&
      [status.replicas, status.updatedReplicas, status.availableReplicas].every(
        (count) => count === spec.replicas,
      ),
    reads: (key) =>
      spec.template.spec.containers.some(({ env, envFrom }) => {
        const own = env.find(({ name }) => name === key);
        const ref = own?.valueFrom?.configMapKeyRef;
        // One of its own hides what comes with the others.
        if (own) return ref?.name === configMapOf(at) && ref.key === key;
        return (
          envFrom.some(({ configMapRef }) => configMapRef?.name === configMapOf(at)) ||
          env.some(({ valueFrom }) => {
            const other = valueFrom?.configMapKeyRef;
            return other?.name === configMapOf(at) && other.key === key;
          })
        );
      }),
  }));
}

/** That of the context: hokusai names none. */
async function namespaceOf(at: HokusaiApp, signal: AbortSignal | undefined): Promise<string> {
  try {
    const said = await kubectl({
      namespace: 'default',
      context: at.env,
      signal,
      args: ['config', 'view', '--minify', '-o', 'jsonpath={.contexts[0].context.namespace}'],
    });
    return said.trim() || 'default';
  } catch (error) {
    if (error instanceof FerryError && /locate context/.test(error.message))
      throw noContext(shownApp(at), at);
    throw error;
  }
}
