/** Input of `helmRolling`. */
import { z } from 'zod';
import { commonFields, gatesField } from './common.js';
import { kubernetesFields } from './kubernetes.js';
import { criteriaFit, switchoverFields } from './redis-switchover.js';
import { Duration } from './refs.js';

export const HELM_ROLLING_GATES = ['start', 'cutover', 'decommission'] as const;

export const HelmRollingInput = z
  .strictObject({
    ...commonFields,
    ...kubernetesFields,
    ...switchoverFields,
    soak: Duration.default('10m').meta({
      description:
        'How long after the cutover the way back stays open and is watched, before the last pod of the old version may be made anew',
    }),
    canary: switchoverFields.canary.unwrap().default(false).meta({
      description:
        'A client of its own that writes numbered entries all through the first switch, where the worker reaches the Service: {"endpoint": "redis://…"} names it. false: none',
    }),
    surge: z.boolean().default(false).meta({
      description:
        'One replica more while pods are made anew, so that there is never one fewer than before: it takes the memory and the volume of one pod, and goes at the end',
    }),
    gates: gatesField(HELM_ROLLING_GATES),
  })
  .superRefine(criteriaFit)
  .meta({
    title: 'helmRolling',
    description:
      'Upgrade a Helm release of a primary with replicas pod by pod: replicas first, then an upgraded one takes over, and the old primary comes last',
  });

/** What a person writes: only `name`, `namespace`, `release`, `chart` and `targetVersion` are needed. */
export type HelmRollingInput = z.input<typeof HelmRollingInput>;
/** What the workflow works with: every default filled in. */
export type HelmRollingSettings = z.output<typeof HelmRollingInput>;
