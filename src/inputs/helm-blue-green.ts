/** Input of `helmBlueGreen`. */
import { z } from 'zod';
import { commonFields, gatesField } from './common.js';
import { kubernetesFields } from './kubernetes.js';
import { criteriaFit, switchoverFields } from './redis-switchover.js';
import { namesDiffer, secondReleaseFields } from './second-release.js';

export const HELM_BLUE_GREEN_GATES = ['start', 'cutover', 'decommission'] as const;

export const HelmBlueGreenInput = z
  .strictObject({
    ...commonFields,
    ...kubernetesFields,
    ...secondReleaseFields,
    ...switchoverFields,
    gates: gatesField(HELM_BLUE_GREEN_GATES),
  })
  .superRefine(criteriaFit)
  .superRefine(namesDiffer)
  .meta({
    title: 'helmBlueGreen',
    description:
      'Install the new version beside a Helm release, let it follow, switch over without losing a write, and be able to go back',
  });

/** What a person writes: only `name`, `namespace`, `release`, `chart` and `targetVersion` are needed. */
export type HelmBlueGreenInput = z.input<typeof HelmBlueGreenInput>;
/** What the workflow works with: every default filled in. */
export type HelmBlueGreenSettings = z.output<typeof HelmBlueGreenInput>;
