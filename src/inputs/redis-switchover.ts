/** Input of `redisSwitchover`. */
import { z } from 'zod';
import { Backup } from './backup.js';
import { commonFields, gatesField } from './common.js';
import { Decommission } from './decommission.js';
import { LagLimit, PauseCap } from './limits.js';
import { Rate } from './redis-copy.js';
import { Repoint } from './repoint.js';
import { Duration, milliseconds, RedisEndpoint } from './refs.js';
import { RollbackWhen, type RollbackCriterion } from './rollback-when.js';

export const REDIS_SWITCHOVER_GATES = ['cutover', 'commit', 'decommission'] as const;

const NO_RESTART =
  'can not be "hokusai": it restarts the application, which takes longer than a handover may. Use redisCopy';

const HostPort = z
  .string()
  .regex(/^(\[[^\]]+\]|[^\s:]+):\d+$/, 'must be host:port')
  .meta({ examples: ['10.0.0.5:6379'] });

/** How a server takes over from the one that it follows, whatever the two are. */
export const switchoverFields = {
  rate: Rate.default('yield').meta({
    description:
      'How fast both sides are compared: "yield" (slows down when the source gets slower), "full", or a number of keys a second',
  }),
  maxPause: PauseCap.default('500ms').meta({
    description:
      'The longest the source may pause writes until it is fenced (20ms to 1m); past it everything resumes, and a better moment is waited for',
  }),
  maxLag: LagLimit.default(1024 * 1024).meta({
    description:
      'Bytes that the target may be behind for a pause to be begun; until then it is waited for, 15 s at most',
  }),
  soak: Duration.default('24h').meta({
    description: 'How long after the cutover the way back stays open and is watched, before it may be closed',
  }),
  linkDownFor: Duration.default('10m').meta({
    description:
      'The longest interruption between both servers that the way back has to survive: sizes repl-backlog-size',
  }),
  measureFor: Duration.default('5s').meta({
    description:
      'How long each server is measured for the comparison: the old one before the cutover, the new one after it',
  }),
  rollbackWhen: RollbackWhen.default([]).meta({
    description: 'When it goes back by itself during the soak. A breach that is not clear is put to a person',
    examples: [[{ metric: 'latencyP99Ms', above: { timesBefore: 3 }, for: '2m' }]],
  }),
  canary: z
    .union([
      z.literal(false),
      z.strictObject({
        endpoint: RedisEndpoint.optional().meta({
          description:
            'Where the applications connect, where that is neither server (HAProxy). Default: the server that serves, and the other one when that closes the connection',
        }),
      }),
    ])
    .default({})
    .meta({
      description:
        'A client of its own that writes numbered entries all through the switch (keys `ferry:canary:…`, removed afterwards), reads them back, and says in the receipt what it saw. false: none',
    }),
} as const;

/** A criterion that can never come true is a mistake. */
export function criteriaFit(
  { rollbackWhen, soak }: { rollbackWhen: RollbackCriterion[]; soak: string },
  context: z.RefinementCtx,
): void {
  for (const [index, criterion] of rollbackWhen.entries())
    if (milliseconds(criterion.for) > milliseconds(soak))
      context.addIssue({
        code: 'custom',
        path: ['rollbackWhen', index, 'for'],
        message: `is longer than the soak (${soak}), so it can never come true`,
      });
}

export const RedisSwitchoverInput = z
  .strictObject({
    ...commonFields,
    source: RedisEndpoint.meta({ description: 'The server that serves now' }),
    target: RedisEndpoint.meta({
      description: 'The server that takes over. It follows the source until then',
    }),
    reach: z
      .strictObject({
        source: HostPort.optional().meta({ description: 'Where the target reaches the source' }),
        target: HostPort.optional().meta({ description: 'Where the source reaches the target' }),
      })
      .default({})
      .meta({
        description: 'Where the servers reach each other, where that differs from the addresses above',
      }),
    ifTargetHasKeys: z.enum(['refuse', 'replace']).default('refuse').meta({
      description:
        'A replica holds what its primary holds: keys of the target are removed. "replace" accepts that',
    }),
    repoint: Repoint.refine(({ kind }) => kind !== 'hokusai', { error: NO_RESTART }),
    ...switchoverFields,
    backup: Backup,
    decommission: Decommission,
    gates: gatesField(REDIS_SWITCHOVER_GATES),
  })
  .superRefine(criteriaFit)
  .meta({
    title: 'redisSwitchover',
    description:
      'Let a new server follow the old one, switch over without losing a write, and be able to go back',
  });

/** What a person writes: only `name`, `source`, `target` and `repoint` are needed. */
export type RedisSwitchoverInput = z.input<typeof RedisSwitchoverInput>;
/** What the workflow works with: every default filled in. */
export type RedisSwitchoverSettings = z.output<typeof RedisSwitchoverInput>;

/** What the steps that switch want to know: of an input, or of what was found. */
export type SwitchoverSettings = Pick<
  RedisSwitchoverSettings,
  | 'name'
  | 'source'
  | 'target'
  | 'reach'
  | 'repoint'
  | 'ifTargetHasKeys'
  | 'notify'
  | 'probes'
  | 'debug'
  | 'backup'
  | keyof typeof switchoverFields
>;

/** Of an input that says how to switch, and of what was found to switch between. */
export function switchoverBetween(
  input: Omit<SwitchoverSettings, keyof Between | 'reach'>,
  between: Between,
): SwitchoverSettings {
  const { name, notify, probes, debug, backup, rate, maxPause, maxLag } = input;
  const { soak, linkDownFor, measureFor, rollbackWhen, canary } = input;
  return {
    name,
    notify,
    probes,
    debug,
    backup,
    rate,
    maxPause,
    maxLag,
    soak,
    linkDownFor,
    measureFor,
    rollbackWhen,
    canary,
    reach: {},
    ...between,
  };
}

type Between = Pick<SwitchoverSettings, 'source' | 'target' | 'repoint' | 'ifTargetHasKeys'>;
