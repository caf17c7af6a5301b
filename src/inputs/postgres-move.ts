/** Input of `postgresMove`. */
import { z } from 'zod';
import { backupFields } from './backup.js';
import { commonFields, gatesField } from './common.js';
import { AppName } from './heroku.js';
import { Action, Duration, PostgresEndpoint } from './refs.js';
import { Repoint } from './repoint.js';

export const POSTGRES_MOVE_GATES = ['start', 'clean', 'cutover'] as const;

/** Both sides would need the same user, password and database. */
const LEADS_ELSEWHERE: readonly string[] = ['haproxy', 'kubernetesService'];

const HerokuBackup = z
  .strictObject({
    app: AppName.meta({ description: 'The app at Heroku', examples: ['shop'] }),
    key: z
      .string()
      .regex(
        /^[A-Z][A-Z0-9_]*_URL$/,
        'must be a config variable with the URL of a database, such as DATABASE_URL',
      )
      .default('DATABASE_URL')
      .meta({ description: 'Its config variable, by which the database is found and reached' }),
  })
  .meta({
    description:
      'A database of Heroku, by a backup that is taken there (`heroku pg:backups:capture`) and downloaded. What it holds is compared with the database itself, which the worker has to reach',
  });

export const PostgresSource = z
  .union([PostgresEndpoint, z.strictObject({ herokuBackup: HerokuBackup })])
  .meta({
    description: `${PostgresEndpoint.description ?? ''}; or {"herokuBackup": {"app": "shop"}}, which goes by a backup of Heroku`,
  });
export type PostgresSource = z.infer<typeof PostgresSource>;

export const PostgresMoveInput = z
  .strictObject({
    ...commonFields,
    source: PostgresSource,
    target: PostgresEndpoint.meta({ description: 'The database to move to. It is there already, and empty' }),
    clean: z.boolean().default(false).meta({
      description:
        'The target may hold something: it is dumped first, then destroyed, at a gate of its own. Going back puts it back',
    }),
    repoint: Repoint.meta({
      description: 'How the applications learn the new address: "file", "command", "webhook" or "hokusai"',
    }),
    maintenance: z
      .array(AppName)
      .optional()
      .meta({
        description:
          'Apps at Heroku that are in maintenance mode, with their workers at 0, while writes are stopped; default: the app of `herokuBackup`, else none',
        examples: [['shop']],
      }),
    stopWrites: Action.optional().meta({
      description:
        'Stops the application writing (command or webhook), before the source is closed to writes in any case',
    }),
    startWrites: Action.optional().meta({
      description: 'Lets the application write again; run on every way out',
    }),
    jobs: z.number().int().min(1).max(16).default(2).meta({
      description: 'How many tables are dumped, restored and compared at once. Each takes a session',
    }),
    folder: z
      .string()
      .startsWith('/', 'must be an absolute path on the worker')
      .optional()
      .meta({ description: 'Folder on the worker for dumps; default: that of the upgrade' }),
    backup: z
      .strictObject({
        ...backupFields,
        verify: z.boolean().optional().meta({
          description:
            'The dump counts only when it was restored into a throwaway database beside the target, and compared with it. The user needs CREATEDB',
        }),
      })
      .optional()
      .meta({
        description:
          'What is done with the dump of what the target holds, before that is destroyed (`clean`)',
        examples: [{ copies: [{ bucket: { bucket: 'backups' } }], verify: true }],
      }),
    soak: Duration.default('10m').meta({
      description:
        'How long after the cutover the source stays closed to writes, and going back is one command',
    }),
    gates: gatesField(POSTGRES_MOVE_GATES),
  })
  .superRefine((input, context) => {
    const issue = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    if ((input.stopWrites === undefined) !== (input.startWrites === undefined))
      issue(
        input.stopWrites ? 'startWrites' : 'stopWrites',
        'is needed too: what stops the application has to be undone',
      );
    if (input.backup && !input.clean)
      issue('backup', 'is of what the target holds, which is dumped with `"clean": true` only');
    const { kind } = input.repoint;
    const { source, repoint } = input;
    if (
      typeof source === 'object' &&
      'file' in source &&
      repoint.kind === 'file' &&
      source.file === repoint.path
    )
      issue(
        'source',
        'is read from the file that `repoint` writes: after the switch it would name the target. Keep the URL of the source in another place too',
      );
    if (LEADS_ELSEWHERE.includes(kind))
      issue(
        'repoint',
        `can not be "${kind}": it leads connections to another server, where user, password and database would have to be the same. Use "file", "command", "webhook" or "hokusai"`,
      );
    if (kind === 'sentinel')
      issue(
        'repoint',
        'can not be "sentinel", which is for Redis. Use "file", "command", "webhook" or "hokusai"',
      );
  })
  .meta({
    title: 'postgresMove',
    description:
      'Move a PostgreSQL database to another server by dump and restore, compare every row, then switch the applications over',
  });

/** What a person writes: only `name`, `source`, `target` and `repoint` are needed. */
export type PostgresMoveInput = z.input<typeof PostgresMoveInput>;
/** What the workflow works with: every default filled in. */
export type PostgresMoveSettings = z.output<typeof PostgresMoveInput>;

/** Where the source is reached, whichever way its data goes. */
export function endpointOf(source: PostgresSource): PostgresEndpoint {
  if (typeof source === 'string' || !('herokuBackup' in source)) return source;
  return { herokuConfig: source.herokuBackup };
}
