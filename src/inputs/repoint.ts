/** How the applications learn where their Redis is: one kind for each way. */
import { z } from 'zod';
import {
  CommandSpec,
  Duration,
  hokusaiFields,
  KubernetesName,
  SecretRef,
  TlsOptions,
  WebhookSpec,
} from './refs.js';

const HaproxySocket = z
  .string()
  .regex(/^\/|^\S+:\d+$/, 'must be an absolute path on the worker, or host:port')
  .meta({ examples: ['/run/haproxy/admin.sock', '127.0.0.1:9999'] });

/** What HAProxy's own commands are put together with. */
const NAME = /^[A-Za-z0-9_.:-]+$/;

const SentinelPlace = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):\d+$/, 'must be host:port')
  .meta({ examples: ['10.0.0.7:26379'] });

const Selector = z
  .record(z.string(), z.string())
  .refine((labels) => Object.keys(labels).length > 0, { error: 'must name at least one label' });

/** How the applications learn the new address. */
export const Repoint = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('file'),
    path: z
      .string()
      .startsWith('/', 'must be an absolute path on the worker')
      .meta({ description: 'The file that applications read their address from' }),
    template: z.string().default('{url}\n').meta({
      description: 'What the file holds; {url} is the whole URL of the serving side, password included',
    }),
  }),
  CommandSpec.extend({
    kind: z.literal('command'),
    undo: CommandSpec.optional().meta({
      description: 'Repoints back; default: the same command with FERRY_DIRECTION=back',
    }),
  }),
  WebhookSpec.extend({ kind: z.literal('webhook') }),
  z.strictObject({
    kind: z.literal('haproxy'),
    socket: z.union([HaproxySocket, z.array(HaproxySocket).min(1)]).meta({
      description: "HAProxy's runtime API (`stats socket … level admin`); a list for several HAProxies",
    }),
    backend: z.string().regex(NAME, 'must be a name without spaces').meta({ description: 'The backend' }),
    servers: z
      .strictObject({
        source: z.string().regex(NAME, 'must be a name without spaces'),
        target: z.string().regex(NAME, 'must be a name without spaces'),
      })
      .meta({
        description: 'The names of both sides in the backend. The target is in maintenance until the switch',
      }),
  }),
  z.strictObject({
    kind: z.literal('kubernetesService'),
    namespace: KubernetesName,
    context: z.string().min(1).optional().meta({
      description: 'The context of the kubeconfig on the worker; default: its current one',
    }),
    services: z
      .array(
        z.strictObject({
          name: KubernetesName,
          source: Selector.meta({ description: 'Its selector while the source serves' }),
          target: Selector.meta({
            description: 'Its selector once the target serves',
            examples: [{ 'statefulset.kubernetes.io/pod-name': 'redis-green-0' }],
          }),
        }),
      )
      .min(1)
      .meta({ description: 'The Services that the applications use' }),
  }),
  z.strictObject({
    kind: z.literal('hokusai'),
    ...hokusaiFields,
    within: Duration.default('10m').meta({
      description:
        'How long the app may take to restart; past it the variable gets its old value back, and the app restarts again',
    }),
  }),
  z.strictObject({
    kind: z.literal('sentinel'),
    sentinels: z
      .array(SentinelPlace)
      .min(1, 'must name the Sentinels')
      .refine((places) => new Set(places).size === places.length, { error: 'names one of them twice' })
      .meta({ description: 'All Sentinels that watch the source, as host:port (`redisSwitchover` only)' }),
    primary: z
      .string()
      .regex(NAME, 'must be a name without spaces')
      .meta({ description: 'The name that they watch it by', examples: ['mymaster'] }),
    username: z
      .string()
      .regex(/^\S+$/, 'must be a name without spaces')
      .optional()
      .meta({ description: 'User of the Sentinels themselves, where they have ACLs' }),
    password: SecretRef.optional().meta({ description: 'Password of the Sentinels themselves' }),
    tls: TlsOptions.optional().meta({ description: 'Given, also as {}: the Sentinels speak TLS' }),
  }),
]);
export type Repoint = z.infer<typeof Repoint>;
