/** Input of `redisCopy`. */
import { z } from 'zod';
import { commonFields, gatesField } from './common.js';
import { Action, Duration, RedisEndpoint } from './refs.js';
import { Repoint } from './repoint.js';

const DatabaseNumber = z.string().regex(/^\d+$/, 'must be a database number');

export const Rate = z.union([z.literal('yield'), z.literal('full'), z.number().positive()]).meta({
  description: '"yield" (slows down when the source gets slower), "full", or a number of keys a second',
});
export type Rate = z.infer<typeof Rate>;

/** Bytes. Larger keys go in pieces, unless the input says otherwise. */
export const BIG_KEY = 8 * 1024 * 1024;

export const REDIS_COPY_GATES = ['start', 'cutover', 'cleanup'] as const;

export const RedisCopyInput = z
  .strictObject({
    ...commonFields,
    source: RedisEndpoint.meta({ description: 'The server to copy from. It is kept' }),
    target: RedisEndpoint.meta({ description: 'The server to copy to' }),
    databases: z
      .record(DatabaseNumber, z.number().int().min(0))
      .optional()
      .meta({
        description: 'Source database → target database; default: every database to the same number',
        examples: [{ '0': 3 }],
      }),
    match: z.string().min(1).default('*').meta({ description: 'Glob pattern of the keys to copy' }),
    ifTargetHasKeys: z.enum(['refuse', 'replace', 'skip']).default('refuse').meta({
      description:
        'What to do when the target databases hold keys: refuse to start, replace a key of the same name, or leave it',
    }),
    taskQueue: z
      .string()
      .min(1)
      .optional()
      .meta({
        description:
          'Task queue of the workers that reach both servers and do the work, as workers in a cluster; default: that which the upgrade is started on',
        examples: ['background'],
      }),
    way: z.enum(['auto', 'dump', 'value', 'none']).default('auto').meta({
      description:
        'How keys go over. "auto": as fast as the servers allow; "dump": by DUMP and RESTORE; "value": by the commands of each type; "none": another tool has copied already, see the runbook',
    }),
    rate: Rate.default('yield'),
    bigKey: z
      .number()
      .int()
      .positive()
      .default(BIG_KEY)
      .meta({ description: 'Bytes. Larger keys go in pieces' }),
    writes: z.enum(['stopped', 'running']).meta({
      description:
        '"stopped": `stopWrites` stops the application for the last pass. "running": the application goes on, and the server itself pauses writes for the last pass',
    }),
    stopWrites: Action.optional().meta({
      description: 'Stops the application writing (command or webhook); with writes: "stopped"',
    }),
    startWrites: Action.optional().meta({
      description: 'Lets the application write again; run on every way out',
    }),
    maxPause: Duration.default('5s').meta({
      description: 'The longest the server may pause writes; past it everything resumes on the source',
    }),
    acceptLoss: z.boolean().default(false).meta({
      description:
        'Cut over although writes made in the last moments may be lost, where the source cannot be paused or fenced',
    }),
    repoint: Repoint.optional().meta({
      description:
        'How the applications learn the new address. Without it the copy is made and compared, and nothing is switched',
    }),
    watch: Duration.default('1m').meta({
      description: 'How long after the cutover to look for clients that still write to the source',
    }),
    cleanup: z.boolean().default(false).meta({
      description: "Delete the copied keys from the source at the end. Has its own gate and can't be undone",
    }),
    gates: gatesField(REDIS_COPY_GATES),
  })
  .superRefine((input, context) => {
    const issue = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (input.writes === 'stopped' && input.repoint && (!input.stopWrites || !input.startWrites)) {
      issue(
        input.stopWrites ? 'startWrites' : 'stopWrites',
        'is needed with writes: "stopped", which stops and starts the application by it',
      );
    }
    if (input.writes === 'running' && (input.stopWrites || input.startWrites)) {
      issue(input.stopWrites ? 'stopWrites' : 'startWrites', 'is not used with writes: "running"');
    }
    if (input.way === 'none' && input.ifTargetHasKeys === 'skip')
      issue('ifTargetHasKeys', '"skip" is not used with way: "none": what differs would be taken for equal');
    if (input.cleanup && !input.repoint)
      issue('cleanup', 'needs `repoint`: the source still serves the applications');
    if (input.repoint?.kind === 'sentinel')
      issue(
        'repoint',
        'of kind "sentinel" needs a new server that follows the old one: use redisSwitchover. Here Sentinels would make the old one follow the new one, and its keys would be gone',
      );
    const targets = Object.values(input.databases ?? {});
    if (new Set(targets).size !== targets.length) issue('databases', 'maps two databases to the same one');
    if (input.databases && targets.length === 0) issue('databases', 'maps no database');
  })
  .meta({
    title: 'redisCopy',
    description: 'Copy all keys of a Redis to another one, then switch the applications over',
  });

/** What a person writes: only `name`, `source`, `target` and `writes` are needed. */
export type RedisCopyInput = z.input<typeof RedisCopyInput>;
/** What the workflow works with: every default filled in. */
export type RedisCopySettings = z.output<typeof RedisCopyInput>;
