/** Shared pieces of inputs: durations, secret references, endpoints, commands and webhooks. */
import { z } from 'zod';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of `"500ms"`, `"15m"`, `"24h"`; throws on anything else. */
export function milliseconds(duration: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(duration.trim());
  if (!match) throw new Error(`"${duration}" is not a duration`);
  return Math.round(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]);
}

/** A length of time as people write it. */
export const Duration = z
  .string()
  .regex(/^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$/, 'must be a duration such as "500ms", "15m" or "24h"')
  .meta({
    description: 'A length of time: a number and ms, s, m, h or d',
    examples: ['500ms', '15m', '24h'],
  });

/** A config variable of an app on Heroku. */
const HerokuConfig = z
  .strictObject({
    app: z.string().min(1).meta({ description: 'The app on Heroku' }),
    key: z
      .string()
      .min(1)
      .meta({ description: 'Its config variable', examples: ['REDIS_URL'] }),
  })
  .meta({ description: 'A config variable of an app on Heroku, read with HEROKU_API_KEY of the worker' });

/** DNS labels and subdomains, as Kubernetes names things. */
export const KubernetesName = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
    'must be a name as Kubernetes has them: a-z, 0-9, "-", "."',
  );

const KubernetesContext = z.string().min(1).optional().meta({
  description: 'The context of the kubeconfig on the worker; default: its current one',
});

/** An entry of a Secret in Kubernetes. */
const KubernetesSecret = z
  .strictObject({
    namespace: KubernetesName,
    name: KubernetesName.meta({ description: 'The Secret' }),
    key: z
      .string()
      .min(1)
      .meta({ description: 'Its entry', examples: ['redis-password'] }),
    context: KubernetesContext,
  })
  .meta({ description: 'An entry of a Secret in Kubernetes, read with the kubeconfig of the worker' });

/** An app that the hokusai CLI looks after. */
export const hokusaiFields = {
  app: KubernetesName.meta({
    description: 'The app: `project-name` of its hokusai/config.yml',
    examples: ['shop'],
  }),
  env: z.enum(['staging', 'production']).meta({
    description: 'Its environment, which is the context of that name in the kubeconfig of the worker',
  }),
  key: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of a variable')
    .meta({ description: 'Its variable', examples: ['REDIS_URL'] }),
} as const;

const Hokusai = z.strictObject(hokusaiFields).meta({
  description: 'A variable of an app, read by the hokusai CLI on the worker (`hokusai production env get`)',
});
/** Where a variable keeps what it held before an upgrade changed it, as long as that runs. */
export function savedAs(key: string): string {
  return `${key}_BEFORE_FERRY`;
}

export type HokusaiApp = Pick<z.infer<typeof Hokusai>, 'app' | 'env'>;

/** Where a secret is kept. The worker reads it when it is needed; it never enters the history. */
export const SecretRef = z
  .union([
    z.strictObject({ env: z.string().min(1).meta({ description: 'Environment variable of the worker' }) }),
    z.strictObject({
      file: z.string().min(1).meta({ description: 'Absolute path of a file on the worker' }),
    }),
    z.strictObject({ herokuConfig: HerokuConfig }),
    z.strictObject({ kubernetesSecret: KubernetesSecret }),
    z.strictObject({ hokusai: Hokusai }),
  ])
  .meta({
    description:
      'Where a secret is kept: {"env": "NAME"}, {"file": "/path"}, {"herokuConfig": {"app": "shop", "key": "REDIS_URL"}}, {"kubernetesSecret": {"namespace": "redis", "name": "redis", "key": "redis-password"}} or {"hokusai": {"app": "shop", "env": "production", "key": "REDIS_URL"}}',
  });
export type SecretRef = z.infer<typeof SecretRef>;

/** Names the place of a secret in a sentence, as in "the webhook in $HOOK". */
export function placeOf(ref: SecretRef): string {
  if ('env' in ref) return ref.env;
  if ('file' in ref) return ref.file;
  if ('herokuConfig' in ref) return `${ref.herokuConfig.key} of the app ${ref.herokuConfig.app}`;
  if ('hokusai' in ref) return `${ref.hokusai.key} of the app ${ref.hokusai.app} in ${ref.hokusai.env}`;
  const { namespace, name, key } = ref.kubernetesSecret;
  return `${key} of the Secret ${namespace}/${name}`;
}

const REFERENCE_HINT =
  'holds a password, which would be readable in the workflow\'s history for ever. Put the URL in an environment variable of the worker and give {"env": "NAME"} instead';

function hasCredentials(url: string): boolean {
  try {
    const parsed = new URL(url);
    return parsed.password !== '' || parsed.username !== '';
  } catch {
    return url.includes('@');
  }
}

function hasPassword(url: string): boolean {
  try {
    return new URL(url).password !== '';
  } catch {
    return url.includes('@');
  }
}

const PlainRedisUrl = z
  .string()
  .regex(/^rediss?:\/\//, 'must begin with redis:// or rediss://')
  .refine((url) => !hasCredentials(url), { error: REFERENCE_HINT })
  .meta({ description: 'A Redis URL without user and password', examples: ['redis://127.0.0.1:6379'] });

/** How a TLS connection is checked. Needed only for a private certificate authority. */
export const TlsOptions = z
  .strictObject({
    ca: z
      .string()
      .optional()
      .meta({ description: 'Absolute path of the CA certificate (PEM) on the worker' }),
    serverName: z
      .string()
      .optional()
      .meta({ description: 'Name the certificate is checked against; default: the host' }),
    insecure: z.boolean().optional().meta({
      description: 'Accept any certificate. The connection is then encrypted but the server is not proven',
    }),
  })
  .meta({ description: 'How a TLS connection (rediss://) is checked' });

export type TlsOptions = z.infer<typeof TlsOptions>;

/** A Redis server that runs in a pod. */
const KubernetesPod = z
  .strictObject({
    namespace: KubernetesName,
    pod: KubernetesName.meta({ description: 'The pod', examples: ['redis-0'] }),
    container: KubernetesName.optional().meta({
      description: 'Its container, for commands by hand; default: the first one of the pod',
    }),
    port: z.number().int().min(1).max(65_535).default(6379).meta({ description: 'Where it listens' }),
    username: z.string().min(1).optional().meta({ description: 'Its user; default: the default user' }),
    password: SecretRef.optional().meta({ description: 'Where its password is kept' }),
    context: KubernetesContext,
  })
  .meta({
    description:
      'A server in a pod: reached by a port-forward of the worker, or by the address of the pod where the worker runs in the cluster',
  });
export type KubernetesPod = z.infer<typeof KubernetesPod>;

/** A Redis server: a reference to its URL, or the URL itself where it holds no password. */
export const RedisEndpoint = z
  .union([
    PlainRedisUrl,
    z.strictObject({
      env: z.string().min(1).meta({ description: 'Environment variable of the worker that holds the URL' }),
      tls: TlsOptions.optional(),
    }),
    z.strictObject({
      file: z
        .string()
        .min(1)
        .meta({ description: 'Absolute path of a file on the worker that holds the URL' }),
      tls: TlsOptions.optional(),
    }),
    z.strictObject({ herokuConfig: HerokuConfig, tls: TlsOptions.optional() }),
    z.strictObject({ kubernetesSecret: KubernetesSecret, tls: TlsOptions.optional() }),
    z.strictObject({ hokusai: Hokusai, tls: TlsOptions.optional() }),
    z.strictObject({ kubernetesPod: KubernetesPod, tls: TlsOptions.optional() }),
    z.strictObject({ url: PlainRedisUrl, tls: TlsOptions.optional() }),
  ])
  .meta({
    description:
      'A Redis server: {"env": "OLD_REDIS_URL"}, {"file": "/path"}, {"herokuConfig": {"app": "shop", "key": "REDIS_URL"}}, {"kubernetesSecret": {"namespace": "redis", "name": "redis", "key": "url"}}, {"hokusai": {"app": "shop", "env": "production", "key": "REDIS_URL"}}, {"kubernetesPod": {"namespace": "redis", "pod": "redis-0"}}, or a URL without password; a database in the URL is ignored (see `databases`)',
  });
export type RedisEndpoint = z.infer<typeof RedisEndpoint>;

const PlainPostgresUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://')
  .refine((url) => !hasPassword(url), { error: REFERENCE_HINT })
  .meta({
    description: 'A PostgreSQL URL without password',
    examples: ['postgres://app@127.0.0.1:5432/shop'],
  });

/** A database of PostgreSQL: a reference to its URL, or the URL itself where it holds no password. */
export const PostgresEndpoint = z.union([PlainPostgresUrl, SecretRef]).meta({
  description:
    'A PostgreSQL database: {"env": "OLD_DATABASE_URL"}, {"file": "/path"}, {"herokuConfig": {"app": "shop", "key": "DATABASE_URL"}}, {"kubernetesSecret": {"namespace": "shop", "name": "database", "key": "url"}}, {"hokusai": {"app": "shop", "env": "production", "key": "DATABASE_URL"}}, or a URL without password',
});
export type PostgresEndpoint = z.infer<typeof PostgresEndpoint>;

/** A program to run on the worker, without a shell when given as a list. */
export const CommandSpec = z
  .strictObject({
    command: z
      .union([z.string().min(1), z.array(z.string()).min(1)])
      .meta({ description: 'A list (program and arguments, no shell) or a line for `sh -c`' }),
    env: z
      .record(z.string(), SecretRef)
      .optional()
      .meta({ description: 'Environment variables filled from secret references' }),
    timeout: Duration.default('60s').meta({ description: 'How long it may take' }),
  })
  .meta({
    description:
      'A program run on the worker. Its environment holds FERRY_NAME, FERRY_STEP and what `env` names',
  });
export type CommandSpec = z.infer<typeof CommandSpec>;

export const HttpUrl = z
  .string()
  .regex(/^https?:\/\//, 'must begin with http:// or https://')
  .refine((url) => !hasCredentials(url), { error: REFERENCE_HINT })
  .refine((url) => !url.startsWith('https://hooks.slack.com/'), {
    error:
      'is a Slack webhook, whose address is its secret. Put it in an environment variable of the worker and give {"env": "NAME"} instead',
  });

/** An HTTP endpoint that gets a JSON POST. */
export const WebhookSpec = z
  .strictObject({
    webhook: z.union([HttpUrl, SecretRef]),
    timeout: Duration.default('30s').meta({ description: 'How long it may take' }),
  })
  .meta({ description: 'An address that gets a POST with a JSON body; anything but 2xx is a failure' });
export type WebhookSpec = z.infer<typeof WebhookSpec>;

/** Something done outside: a command or a webhook. */
export const Action = z.union([CommandSpec, WebhookSpec]);
export type Action = z.infer<typeof Action>;

/** The application's own test. It passes when the command exits 0, or the address answers with the status. */
export const Probe = z.union([
  CommandSpec.extend({ name: z.string().optional().meta({ description: 'Names the check' }) }),
  z.strictObject({
    http: HttpUrl.meta({ description: 'Address that is asked with GET' }),
    name: z.string().optional().meta({ description: 'Names the check' }),
    status: z.number().int().default(200).meta({ description: 'The status that is expected' }),
    timeout: Duration.default('30s').meta({ description: 'How long it may take' }),
  }),
]);
export type Probe = z.infer<typeof Probe>;
