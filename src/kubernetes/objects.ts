/** The parts of Kubernetes' objects that are read here. */
import { z } from 'zod';

const Meta = z.object({
  name: z.string(),
  namespace: z.string().default(''),
  uid: z.string().default(''),
  labels: z.record(z.string(), z.string()).default({}),
  annotations: z.record(z.string(), z.string()).default({}),
  deletionTimestamp: z.string().optional(),
  ownerReferences: z.array(z.object({ kind: z.string(), name: z.string() })).default([]),
});

const EnvVar = z.object({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: z
    .object({ secretKeyRef: z.object({ name: z.string(), key: z.string() }).optional() })
    .optional(),
});

const Probe = z.object({
  initialDelaySeconds: z.number().default(0),
  periodSeconds: z.number().default(10),
  failureThreshold: z.number().default(3),
});

const Container = z.object({
  name: z.string(),
  image: z.string().default(''),
  env: z.array(EnvVar).default([]),
  ports: z.array(z.object({ name: z.string().optional(), containerPort: z.number() })).default([]),
  resources: z
    .object({
      requests: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
      limits: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
    })
    .default({}),
  volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string() })).default([]),
  securityContext: z.looseObject({}).default({}),
  livenessProbe: Probe.optional(),
  readinessProbe: Probe.optional(),
  startupProbe: Probe.optional(),
});
export type Container = z.infer<typeof Container>;

const PodSpec = z.object({
  containers: z.array(Container).min(1),
  nodeName: z.string().optional(),
  hostname: z.string().optional(),
  subdomain: z.string().optional(),
  terminationGracePeriodSeconds: z.number().default(30),
  securityContext: z.looseObject({}).default({}),
  tolerations: z.array(z.looseObject({})).default([]),
  affinity: z
    .object({
      podAntiAffinity: z
        .object({
          requiredDuringSchedulingIgnoredDuringExecution: z.array(z.object({ topologyKey: z.string() })),
        })
        .partial()
        .nullish(),
    })
    .nullish(),
});

const State = z.object({
  waiting: z.object({ reason: z.string().default(''), message: z.string().default('') }).optional(),
  running: z.looseObject({}).optional(),
  terminated: z
    .object({
      exitCode: z.number(),
      reason: z.string().default(''),
      message: z.string().default(''),
      finishedAt: z.string().nullable().optional(),
    })
    .optional(),
});

const ContainerStatus = z.object({
  name: z.string(),
  ready: z.boolean(),
  restartCount: z.number(),
  image: z.string().default(''),
  state: State.default({}),
  lastState: State.default({}),
});

export const Pod = z.object({
  metadata: Meta,
  spec: PodSpec,
  status: z
    .object({
      phase: z.string().default('Unknown'),
      podIP: z.string().optional(),
      reason: z.string().optional(),
      message: z.string().optional(),
      conditions: z
        .array(z.object({ type: z.string(), status: z.string(), message: z.string().optional() }))
        .default([]),
      containerStatuses: z.array(ContainerStatus).default([]),
      initContainerStatuses: z.array(ContainerStatus).default([]),
    })
    .prefault({}),
});
export type Pod = z.infer<typeof Pod>;
export const Pods = z.object({ items: z.array(Pod) });

export const StatefulSet = z.object({
  metadata: Meta.extend({ generation: z.number().default(0) }),
  spec: z.object({
    replicas: z.number().default(1),
    serviceName: z.string().default(''),
    selector: z.object({ matchLabels: z.record(z.string(), z.string()).default({}) }),
    template: z.object({ metadata: Meta.partial().default({}), spec: PodSpec }),
    updateStrategy: z
      .object({
        type: z.string().default('RollingUpdate'),
        rollingUpdate: z.object({ partition: z.number().default(0) }).optional(),
      })
      .prefault({}),
    volumeClaimTemplates: z
      .array(
        z.object({
          metadata: Meta.partial().default({}),
          spec: z.object({
            storageClassName: z.string().optional(),
            resources: z.object({ requests: z.object({ storage: z.string() }) }),
          }),
        }),
      )
      .default([]),
  }),
  status: z
    .object({
      observedGeneration: z.number().default(0),
      replicas: z.number().default(0),
      readyReplicas: z.number().default(0),
      currentRevision: z.string().default(''),
      updateRevision: z.string().default(''),
    })
    .prefault({}),
});
export type StatefulSet = z.infer<typeof StatefulSet>;

export const Service = z.object({
  metadata: Meta,
  spec: z.object({
    type: z.string().default('ClusterIP'),
    clusterIP: z.string().default(''),
    selector: z.record(z.string(), z.string()).default({}),
    publishNotReadyAddresses: z.boolean().default(false),
    ports: z
      .array(
        z.object({
          name: z.string().optional(),
          port: z.number(),
          targetPort: z.union([z.string(), z.number()]).optional(),
        }),
      )
      .default([]),
  }),
});
export type Service = z.infer<typeof Service>;
export const Services = z.object({ items: z.array(Service) });

export const EndpointSlices = z.object({
  items: z.array(
    z.object({
      endpoints: z
        .array(
          z.object({
            addresses: z.array(z.string()).default([]),
            conditions: z
              .object({
                ready: z.boolean().nullable().optional(),
                terminating: z.boolean().nullable().optional(),
              })
              .default({}),
            targetRef: z.object({ kind: z.string(), name: z.string() }).optional(),
          }),
        )
        .nullable()
        .default([]),
    }),
  ),
});

export const Claims = z.object({
  items: z.array(
    z.object({
      metadata: Meta,
      spec: z.object({
        storageClassName: z.string().optional(),
        resources: z.object({ requests: z.object({ storage: z.string() }) }),
      }),
      status: z
        .object({
          phase: z.string().default(''),
          capacity: z.object({ storage: z.string() }).partial().default({}),
        })
        .prefault({}),
    }),
  ),
});
export type Claim = z.infer<typeof Claims>['items'][number];

export const DisruptionBudgets = z.object({
  items: z.array(
    z.object({
      metadata: Meta,
      spec: z.object({
        minAvailable: z.union([z.string(), z.number()]).optional(),
        maxUnavailable: z.union([z.string(), z.number()]).optional(),
        selector: z.object({ matchLabels: z.record(z.string(), z.string()).default({}) }).prefault({}),
      }),
    }),
  ),
});

export const Events = z.object({
  items: z.array(
    z.object({
      type: z.string().default(''),
      reason: z.string().default(''),
      message: z.string().default(''),
      lastTimestamp: z.string().nullable().optional(),
      eventTime: z.string().nullable().optional(),
      involvedObject: z.object({ kind: z.string().default(''), name: z.string().default('') }),
    }),
  ),
});

export const Nodes = z.object({
  items: z.array(
    z.object({
      metadata: Meta,
      spec: z
        .object({
          unschedulable: z.boolean().default(false),
          taints: z.array(z.object({ key: z.string(), effect: z.string() })).default([]),
        })
        .prefault({}),
      status: z.object({
        allocatable: z.record(z.string(), z.string()).default({}),
        conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]),
      }),
    }),
  ),
});

export const Quotas = z.object({
  items: z.array(
    z.object({
      metadata: Meta,
      status: z
        .object({
          hard: z.record(z.string(), z.string()).default({}),
          used: z.record(z.string(), z.string()).default({}),
        })
        .prefault({}),
    }),
  ),
});

export const Autoscalers = z.object({
  items: z.array(
    z.object({
      metadata: Meta,
      spec: z.object({ scaleTargetRef: z.object({ kind: z.string(), name: z.string() }) }),
    }),
  ),
});

export const StorageClasses = z.object({ items: z.array(z.object({ metadata: Meta })) });

/** Kubernetes gives it to every pod of a StatefulSet. */
export const POD_NAME = 'statefulset.kubernetes.io/pod-name';

/** Whether an object with these labels is meant by the selector. An empty selector means nobody. */
export function selects(
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): boolean {
  const entries = Object.entries(selector);
  return entries.length > 0 && entries.every(([name, value]) => labels[name] === value);
}

export function isReady({ status, metadata }: Pod): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True')
  );
}

/** The names of the pods that are ready behind a Service. */
export function readyBehind({ items }: z.infer<typeof EndpointSlices>): string[] {
  return items
    .flatMap(({ endpoints }) => endpoints ?? [])
    .filter(({ conditions }) => conditions.ready !== false)
    .map(({ targetRef }) => targetRef?.name ?? '');
}

export function isOfSet({ metadata }: Pick<Pod, 'metadata'>, set: string): boolean {
  return metadata.ownerReferences.some(({ kind, name }) => kind === 'StatefulSet' && name === set);
}
