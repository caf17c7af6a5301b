/** Input of `helmDumpRestore`. */
import { z } from 'zod';
import { commonFields, gatesField } from './common.js';
import { kubernetesFields } from './kubernetes.js';
import { BIG_KEY, type RedisCopySettings } from './redis-copy.js';
import { Duration } from './refs.js';
import { namesDiffer, secondReleaseFields } from './second-release.js';

export const HELM_DUMP_RESTORE_GATES = ['start', 'cutover', 'decommission'] as const;

export const HelmDumpRestoreInput = z
  .strictObject({
    ...commonFields,
    ...kubernetesFields,
    ...secondReleaseFields,
    decideWithin: Duration.default('5m').meta({
      description:
        'How long a person may take while writes are stopped, at the gate `cutover` too; then it goes back, with nothing lost',
    }),
    maxPause: Duration.default('5s').meta({
      description:
        'The longest the new server may pause writes on the way back; past it everything resumes there',
    }),
    soak: Duration.default('24h').meta({
      description: 'How long after the cutover the way back stays open and the old release is watched',
    }),
    gates: gatesField(HELM_DUMP_RESTORE_GATES),
  })
  .superRefine(namesDiffer)
  .meta({
    title: 'helmDumpRestore',
    description:
      'Stop writes, restore a snapshot into an empty release of the new version, compare everything, and send the applications there',
  });

/** What a person writes: only `name`, `namespace`, `release`, `chart` and `targetVersion` are needed. */
export type HelmDumpRestoreInput = z.input<typeof HelmDumpRestoreInput>;
/** What the workflow works with: every default filled in. */
export type HelmDumpRestoreSettings = z.output<typeof HelmDumpRestoreInput>;

/** What the engine that compares, and carries back, wants to know. */
export function copyBetween(
  input: HelmDumpRestoreSettings,
  between: Pick<RedisCopySettings, 'source' | 'target'> & {
    repoint: NonNullable<RedisCopySettings['repoint']>;
  },
): RedisCopySettings {
  const { name, dryRun, debug, onFailure, decideWithin, window, notify, contact, probes, followUps } = input;
  return {
    name,
    dryRun,
    debug,
    onFailure,
    decideWithin,
    window,
    notify,
    contact,
    probes,
    followUps,
    ...between,
    match: '*',
    ifTargetHasKeys: 'refuse',
    way: 'auto',
    rate: 'full',
    bigKey: BIG_KEY,
    writes: 'running',
    maxPause: input.maxPause,
    acceptLoss: false,
    watch: input.soak,
    cleanup: false,
    gates: {},
  };
}
