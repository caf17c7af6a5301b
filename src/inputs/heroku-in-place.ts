/** Input of `herokuInPlace`. */
import { z } from 'zod';
import { BackupChoice } from './backup.js';
import { commonFields, gatesField } from './common.js';
import { herokuFields } from './heroku.js';
import { Duration } from './refs.js';

export const HEROKU_IN_PLACE_GATES = ['start', 'run'] as const;

/** What no program can see, by the names that a person ticks. */
export const CHECKLIST = {
  schedulerOff: 'Scheduler jobs are off',
  writersPaused: 'External writers are paused',
  clientsSpeakTls: 'Clients speak TLS',
} as const;
export type ChecklistItem = keyof typeof CHECKLIST;

export const HerokuInPlaceInput = z
  .strictObject({
    ...commonFields,
    ...herokuFields,
    confirmed: z
      .array(z.enum(Object.keys(CHECKLIST) as [ChecklistItem, ...ChecklistItem[]]))
      .default([])
      .meta({
        description: `What is done already of what no program can see: ${Object.entries(CHECKLIST)
          .map(([key, says]) => `${key} ("${says}")`)
          .join(', ')}. The rest is ticked by a person, by its name`,
        examples: [['schedulerOff', 'writersPaused', 'clientsSpeakTls']],
      }),
    snapshot: BackupChoice.default(true).meta({
      description:
        'Read every key (DUMP, with its expiry) into a file on the worker before anything is changed, which `redis-cli --pipe` puts back. It is not of one moment: the apps go on. false leaves it out',
      examples: [true, false, { copies: [{ bucket: { bucket: 'backups' } }], keep: {}, verify: true }],
    }),
    prepareWithin: Duration.default('1h').meta({
      description: 'How long Heroku may take to prepare the maintenance. About 15 minutes are usual',
    }),
    completeWithin: Duration.default('15m').meta({
      description: 'How long the upgrade itself may take before a person is asked. Seconds are usual',
    }),
    postponeBefore: Duration.default('1h').meta({
      description:
        'A prepared maintenance runs by itself at its hour. So long before it is put off by a week, where gate "run" is not approved yet',
    }),
    gates: gatesField(HEROKU_IN_PLACE_GATES),
  })
  .meta({
    title: 'herokuInPlace',
    description: 'Upgrade a Key-Value Store of Heroku in place, with its apps at rest meanwhile',
  });

/** What a person writes: only `name`, `app`, `addon` and `targetVersion` are needed. */
export type HerokuInPlaceInput = z.input<typeof HerokuInPlaceInput>;
/** What the workflow works with: every default filled in. */
export type HerokuInPlaceSettings = z.output<typeof HerokuInPlaceInput>;
