/** What the strategies are told that install a second release beside the first. */
import { z } from 'zod';
import { KubernetesName } from './refs.js';
import { Repoint } from './repoint.js';

const ApplicationPod = z
  .strictObject({
    namespace: KubernetesName.optional().meta({
      description: 'Where it is; default: the namespace of the release',
    }),
    pod: KubernetesName.meta({ description: 'The pod' }),
    container: KubernetesName.optional().meta({ description: 'Its container; default: the first one' }),
  })
  .meta({ description: 'A pod of an application' });
export type ApplicationPod = z.infer<typeof ApplicationPod>;

/** What the variable would get is a pod's own address, and an app that names a Service needs none. */
const NO_VARIABLE =
  'can not be "hokusai": the applications of a release use its Service, which is led to the new one without a new address or a restart. Leave `repoint` out; use redisCopy for an app that gets another address';

export const secondReleaseFields = {
  green: KubernetesName.optional().meta({
    description: 'The release of the new version, beside the old one; default: `<release>-green`',
  }),
  repoint: Repoint.refine(({ kind }) => kind !== 'sentinel', {
    error: 'can not be "sentinel": a release with Sentinels is none for this strategy',
  })
    .refine(({ kind }) => kind !== 'hokusai', { error: NO_VARIABLE })
    .optional()
    .meta({
      description:
        'How the applications learn where the new one is; default: the selectors of the Services that lead to the old primary',
    }),
  applicationPod: ApplicationPod.optional().meta({
    description:
      'After the cutover PING is sent from there through the Service, and its log is searched for errors of Redis',
    examples: [{ namespace: 'shop', pod: 'shop-6c5d8c7f9-abcde' }],
  }),
} as const;

export function namesDiffer(
  { release, green }: { release: string; green?: string | undefined },
  context: z.RefinementCtx,
): void {
  if (green === release)
    context.addIssue({
      code: 'custom',
      path: ['green'],
      message: 'is the release itself: the new one needs a name of its own',
    });
}
