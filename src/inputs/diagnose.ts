/** Input of `diagnose`. */
import { z } from 'zod';
import { KubernetesName, RedisEndpoint, SecretRef } from './refs.js';

export const DiagnoseInput = z
  .union([
    z.strictObject({
      namespace: KubernetesName.meta({ description: 'Where the release is' }),
      release: KubernetesName.meta({ description: 'The Helm release' }),
      context: z.string().min(1).optional().meta({
        description: 'The context of the kubeconfig on the worker; default: its current one',
      }),
      password: SecretRef.optional().meta({
        description: 'The password of Redis; default: the Secret that the pods get theirs from',
      }),
    }),
    z.strictObject({
      server: RedisEndpoint.meta({ description: 'A server, wherever it runs, such as a fork that hangs' }),
    }),
  ])
  .meta({ title: 'diagnose', description: 'Look at a Redis in trouble, and change nothing' });
/** What a person writes: a Helm release, or a server. */
export type DiagnoseInput = z.input<typeof DiagnoseInput>;
/** What the workflow works with. */
export type DiagnoseSettings = z.output<typeof DiagnoseInput>;
