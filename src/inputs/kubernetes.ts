/** What every strategy that upgrades a Helm release is told. */
import { z } from 'zod';
import { Backup } from './backup.js';
import { Duration, KubernetesName, SecretRef } from './refs.js';

const Path = z
  .string()
  .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, 'must be names with dots between them')
  .meta({ examples: ['image.tag'] });

/** Where a chart's values hold what a strategy sets. */
export const ValuePaths = z.strictObject({
  tag: Path.meta({
    description: "The image's tag, which is set to `targetVersion` unless `values` gives one",
  }),
  fullname: Path.nullable().meta({
    description: 'What names its objects; null: they bear the name of the release',
  }),
  partition: Path.nullable().meta({
    description:
      "The StatefulSet's `updateStrategy.rollingUpdate.partition`; null: the chart leaves that to the cluster",
  }),
  replicas: Path.nullable().meta({
    description: 'How many replicas, or pods, there are; null: no value says so',
  }),
});
export type ValuePaths = z.output<typeof ValuePaths>;

/** Charts that are known. What else a strategy wants to know it asks the cluster. */
export const PRESETS = {
  /** `redis` of the sb-helm-charts, and charts with its layout. */
  redis: {
    tag: 'image.tag',
    fullname: 'fullnameOverride',
    partition: null,
    replicas: 'replication.replicas',
  },
} as const satisfies Record<string, ValuePaths>;
export type Preset = keyof typeof PRESETS;

export const kubernetesFields = {
  namespace: KubernetesName.meta({ description: 'Where the release is' }),
  context: z.string().min(1).optional().meta({
    description: 'The context of the kubeconfig on the worker; default: its current one',
  }),
  release: KubernetesName.meta({ description: 'The Helm release' }),
  chart: z
    .string()
    .min(1)
    .meta({
      description: 'A folder or an archive on the worker, `repo/name`, or `oci://…`',
      examples: ['./charts/redis', 'oci://registry.example.com/charts/redis'],
    }),
  chartVersion: z.string().min(1).optional().meta({ description: 'Its version, where it is not a folder' }),
  targetVersion: z
    .string()
    .regex(/^\d+\.\d+(\.\d+)?$/, 'must be a version such as "8.0.2"')
    .meta({ description: 'The version of Redis that runs afterwards', examples: ['8.0.2'] }),
  values: z.record(z.string(), z.unknown()).default({}).meta({
    description:
      'Values of the new version, beside those that the release was given. What neither gives is as the new chart has it',
  }),
  preset: z
    .enum(Object.keys(PRESETS) as [Preset, ...Preset[]])
    .default('redis')
    .meta({ description: "The chart's layout" }),
  paths: ValuePaths.partial()
    .default({})
    .meta({
      description: "Where this chart's values differ from the preset",
      examples: [{ tag: 'redis.image.tag' }],
    }),
  service: KubernetesName.optional().meta({
    description:
      'The Service that the applications use; default: the one that bears the name of the StatefulSet',
  }),
  password: SecretRef.optional().meta({
    description: 'The password of Redis; default: the Secret that the pods get theirs from',
  }),
  readyWithin: Duration.default('10m').meta({
    description: 'How long a pod may take to be ready with its data loaded, before a person is asked',
  }),
  backup: Backup,
} as const;

/** Those that an input gives; the rest is as the preset has it. */
export type GivenPaths = { [K in keyof ValuePaths]?: ValuePaths[K] | undefined };

export function pathsOf({ preset, paths }: { preset: Preset; paths: GivenPaths }): ValuePaths {
  const known = PRESETS[preset];
  return {
    tag: paths.tag ?? known.tag,
    fullname: paths.fullname === undefined ? known.fullname : paths.fullname,
    partition: paths.partition === undefined ? known.partition : paths.partition,
    replicas: paths.replicas === undefined ? known.replicas : paths.replicas,
  };
}

/** What the pieces that all of these strategies share want to know of an input. */
export interface HelmSettings {
  name: string;
  namespace: string;
  context?: string | undefined;
  release: string;
  chart: string;
  chartVersion?: string | undefined;
  targetVersion: string;
  values: Record<string, unknown>;
  preset: Preset;
  paths: GivenPaths;
  service?: string | undefined;
  password?: SecretRef | undefined;
  readyWithin: string;
  backup: Backup;
  notify?: unknown;
}
