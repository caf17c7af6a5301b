/** Input of `helmInPlace`. */
import { z } from 'zod';
import { commonFields, gatesField } from './common.js';
import { kubernetesFields } from './kubernetes.js';

export const HELM_IN_PLACE_GATES = ['start'] as const;

export const HelmInPlaceInput = z
  .strictObject({ ...commonFields, ...kubernetesFields, gates: gatesField(HELM_IN_PLACE_GATES) })
  .meta({
    title: 'helmInPlace',
    description:
      'Upgrade a Helm release with a single Redis where it is: it is away while its pod is made anew',
  });

/** What a person writes: only `name`, `namespace`, `release`, `chart` and `targetVersion` are needed. */
export type HelmInPlaceInput = z.input<typeof HelmInPlaceInput>;
/** What the workflow works with: every default filled in. */
export type HelmInPlaceSettings = z.output<typeof HelmInPlaceInput>;
