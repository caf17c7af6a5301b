/** Whether and where a strategy keeps a backup of what it is about to change. */
import { z } from 'zod';

export const Backup = z
  .union([
    z.boolean(),
    z.strictObject({
      folder: z
        .string()
        .startsWith('/', 'must be an absolute path on the worker')
        .meta({ description: 'Where backups are kept on the worker; default: the folder of the upgrade' }),
    }),
  ])
  .default(true)
  .meta({
    description:
      'Read a snapshot (RDB), the settings and the users of the old server before anything is changed, and of the new one after the cutover, into a folder on the worker. false leaves it out',
    examples: [true, false, { folder: '/var/backups/redis' }],
  });
export type Backup = z.output<typeof Backup>;
