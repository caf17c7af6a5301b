/** The fields that every strategy's input has. */
import { z } from 'zod';
import { Bucket } from './bucket.js';
import { Delay } from './limits.js';
import { Duration, PostgresEndpoint, Probe, WebhookSpec } from './refs.js';

/** How a gate is answered: by itself, or by one or two different people. */
export const GatePolicy = z.union([
  z.literal('auto'),
  z.strictObject({ approvers: z.union([z.literal(1), z.literal(2)]) }),
]);
export type GatePolicy = z.infer<typeof GatePolicy>;

export const Instant = z.iso.datetime({
  offset: true,
  error: 'must be a date and time with a zone, such as "2026-03-01T02:00:00Z"',
});

export const MaintenanceWindow = z
  .strictObject({
    opensAt: Instant.meta({ description: 'The cutover does not begin before it' }),
    closesAt: Instant.meta({ description: 'The cutover must have ended by then' }),
  })
  .refine((window) => Date.parse(window.opensAt) < Date.parse(window.closesAt), {
    error: 'closes before it opens',
  });
export type MaintenanceWindow = z.infer<typeof MaintenanceWindow>;

/** The gates field of a strategy, which knows only the strategy's own gates. */
export function gatesField<const Names extends readonly [string, ...string[]]>(names: Names) {
  return z
    .partialRecord(z.enum(names), GatePolicy)
    .default({})
    .meta({
      description: `Settles gates ahead ("auto") or asks for two different approvers ({"approvers": 2}). Gates: ${names.join(', ')}`,
    });
}

const History = z.strictObject({
  folder: z.string().startsWith('/', 'must be an absolute path on the worker').optional().meta({
    description: 'Every receipt is kept here too, beside those of other workers and targets',
  }),
  markdown: z
    .string()
    .startsWith('/', 'must be an absolute path on the worker')
    .optional()
    .meta({
      description: 'A paragraph is added to this file',
      examples: ['/srv/ops/UPGRADE_HISTORY.md'],
    }),
  bucket: Bucket.optional().meta({ description: 'Every receipt is kept in this bucket too' }),
  postgres: PostgresEndpoint.optional().meta({
    description:
      'Every receipt is kept in the table `ferry_receipts` of this PostgreSQL database too, which is made where it is missing',
  }),
});
export type History = z.output<typeof History>;

const Name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
    'must be 1 to 100 letters, digits, dots, dashes or underscores',
  );

export const commonFields = {
  name: Name.meta({
    description: 'Names the target; the workflow ID is made of it, so one target has one upgrade at a time',
  }),
  dryRun: z
    .boolean()
    .default(false)
    .meta({ description: 'Stop after the plan: read everything, change nothing' }),
  debug: z
    .boolean()
    .default(false)
    .meta({ description: 'Log every batch on the worker (never keys or values)' }),
  onFailure: z
    .enum(['hold', 'rollback'])
    .default('hold')
    .meta({ description: 'What happens when a step fails for good: ask a person, or roll back' }),
  decideWithin: Duration.default('15m').meta({
    description:
      'How long a person may take while users are affected; then it rolls back if nothing is lost by that, else reminds',
  }),
  window: MaintenanceWindow.optional().meta({
    description: 'The maintenance window. The cutover waits for it, and is refused where it no longer fits',
  }),
  notify: WebhookSpec.optional().meta({ description: 'Gets a Slack-compatible message at each phase' }),
  notices: z
    .array(Delay)
    .max(10)
    .optional()
    .meta({
      description:
        'Advance notices to `notify`, so long before `window` opens: when, what users notice and for how long, how it goes back, whom to call. They follow a window that is moved',
      examples: [['24h', '1h', '15m']],
    }),
  rehearsed: Name.optional().meta({
    description:
      'Name of a `rehearsal` that has completed: its durations are shown in the plan, and a window that is too short for them is a failed check',
  }),
  contact: z.string().optional().meta({ description: 'Who to call, shown in plan and notifications' }),
  probes: z.array(Probe).default([]).meta({
    description: "The application's own tests, run after the cutover and before anything is destroyed",
  }),
  history: History.optional().meta({
    description: 'Where upgrades are remembered, beyond the folder of this one',
  }),
  followUps: z.array(z.string().min(1)).default([]).meta({
    description:
      'What is left to do by hand afterwards (for example: record the new address in Terraform); ticked by name',
  }),
};

export interface CommonInput {
  notices?: readonly string[] | undefined;
  notify?: unknown;
  window?: unknown;
}

/** What is wrong with several common fields together, a sentence each. */
export function commonProblems(input: CommonInput): string[] {
  if ((input.notices ?? []).length === 0) return [];
  return [
    ...(input.notify === undefined ? ['`notices` needs `notify`, the webhook that they are sent to'] : []),
    ...(input.window === undefined ? ['`notices` needs `window`, which they are given ahead of'] : []),
  ];
}
