/** Input of `rehearsal`, and what it measured. */
import { z } from 'zod';
import { commonFields, gatesField } from './common.js';
import { StrategyName } from './fleet-rollout.js';

/** A whole window is rehearsed too; a fleet is not, whose first wave is its rehearsal. */
const Rehearsed = z.enum([...StrategyName.options, 'providerMove']);
export type Rehearsed = z.infer<typeof Rehearsed>;

/** It switches nothing itself, and is about another target than that of users. */
const { window: _, notices: __, probes: ___, rehearsed: ____, ...rehearsalFields } = commonFields;

export const REHEARSAL_GATES = ['start'] as const;

export const RehearsalInput = z
  .strictObject({
    ...rehearsalFields,
    strategy: Rehearsed.meta({ description: 'The strategy that is rehearsed' }),
    input: z.looseObject({ name: z.string().min(1) }).meta({
      description:
        "The strategy's input, of a staging target or a throwaway copy. Its gates are approved by the rehearsal; without `onFailure` it rolls back by itself",
      examples: [
        { name: 'sessions-staging', source: { env: 'STAGING_OLD' }, target: { env: 'STAGING_NEW' } },
      ],
    }),
    complete: z.boolean().default(true).meta({
      description: 'After the way there and back go forward once more, to the end',
    }),
    gates: gatesField(REHEARSAL_GATES),
  })
  .meta({
    title: 'rehearsal',
    description:
      'Rehearse an upgrade on a staging target, the cutover and the rollback included, and measure how long each step takes',
  });

/** What a person writes: `name`, `strategy` and `input` are needed. */
export type RehearsalInput = z.input<typeof RehearsalInput>;
/** What the workflow works with: every default filled in. */
export type RehearsalSettings = z.output<typeof RehearsalInput>;

/** What a rehearsal measured, as its receipt keeps it (`facts.estimates`). */
export const Estimates = z.object({
  /** Name of the rehearsal. */
  rehearsal: z.string(),
  strategy: z.string(),
  /** Workflow ID of what was rehearsed. */
  of: z.string(),
  /** When, ISO 8601. */
  at: z.string(),
  /** Gates and waits are left out: people take what they take. */
  steps: z.array(z.object({ title: z.string(), ms: z.number() })),
  /** From the window's opening to the last step that can be undone. */
  cutoverMs: z.number(),
  /** Null where there is no way back from there. */
  backMs: z.number().nullable(),
  /** "412 ms (writes waited)"; null where nothing was measured. */
  downtime: z.string().nullable(),
});
export type Estimates = z.infer<typeof Estimates>;
