/** Input of `herokuFork`. */
import { z } from 'zod';
import { commonFields, gatesField } from './common.js';
import { AppName, herokuFields } from './heroku.js';
import { Duration } from './refs.js';

export const HEROKU_FORK_GATES = ['start', 'promote', 'destroy'] as const;

export const HerokuForkInput = z
  .strictObject({
    ...commonFields,
    ...herokuFields,
    mode: z.enum(['maintenance', 'degraded']).meta({
      description:
        'How writes are stopped. "maintenance": every app is in maintenance mode, its dynos other than web at 0. "degraded": the apps stay up, without a Redis',
    }),
    apps: z
      .array(AppName)
      .min(1, 'must name an app')
      .refine((apps) => new Set(apps).size === apps.length, { error: 'names an app twice' })
      .optional()
      .meta({
        description:
          'All apps that use the add-on, in the order in which they are promoted: the canary first. Default: all that it is attached to, the one that pays last',
        examples: [['shop-canary', 'shop']],
      }),
    plan: z
      .string()
      .regex(/^(heroku-redis:)?[a-z]+-\d+$/, 'must be a plan such as "premium-0"')
      .optional()
      .meta({ description: "The fork's plan; default: today's", examples: ['premium-0'] }),
    forkOverClearPort: z.boolean().default(false).meta({
      description:
        'Where a fork over TLS never reaches its leader: destroy it, and make another one over the clear port (redis://). The data and the password then go unencrypted between the two. Without it, a person is asked',
    }),
    forkWithin: Duration.default('1h').meta({
      description: 'How long a fork may take until it is in sync and can be used',
    }),
    stuckAfter: Duration.default('2m').meta({
      description:
        'How long a fork may show no sign of its leader (link down, never heard of it, no sync under way) before it is taken for stuck',
    }),
    keepOldFor: Duration.default('24h').meta({
      description:
        'How long the old add-on is kept and watched after the promotion, before its destruction is asked for',
    }),
    gates: gatesField(HEROKU_FORK_GATES),
  })
  .meta({
    title: 'herokuFork',
    description: 'Upgrade a Heroku Key-Value Store by forking it and promoting the fork',
  });

/** What a person writes: only `name`, `app`, `addon`, `targetVersion` and `mode` are needed. */
export type HerokuForkInput = z.input<typeof HerokuForkInput>;
/** What the workflow works with: every default filled in. */
export type HerokuForkSettings = z.output<typeof HerokuForkInput>;
