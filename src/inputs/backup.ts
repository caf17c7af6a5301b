/** Whether and where a strategy keeps a backup of what it is about to change. */
import { z } from 'zod';
import { Bucket, shownBucket } from './bucket.js';

const Folder = z.string().startsWith('/', 'must be an absolute path on the worker');

const BackupCopy = z
  .union([
    z.strictObject({
      folder: Folder.meta({ description: 'A folder, best of another disk', examples: ['/mnt/backups'] }),
    }),
    z.strictObject({ bucket: Bucket }),
  ])
  .meta({ description: 'Another place that gets each backup: {"folder": "/…"} or {"bucket": {…}}' });
export type BackupCopy = z.output<typeof BackupCopy>;

/** For sentences. */
export function shownCopy(copy: BackupCopy): string {
  return 'folder' in copy ? copy.folder : shownBucket(copy.bucket);
}

const Keep = z.strictObject({
  days: z.number().int().min(1).default(30).meta({ description: 'Older ones are removed' }),
  atLeast: z
    .number()
    .int()
    .min(1)
    .default(3)
    .meta({ description: 'So many upgrades keep theirs, however old they are' }),
});
export type Keep = z.output<typeof Keep>;

/** Of every backup, whatever it is of. */
export const backupFields = {
  copies: z.array(BackupCopy).min(1).max(8).optional().meta({
    description: 'Other places that get each backup too. Size and SHA-256 are compared there',
  }),
  keep: Keep.optional().meta({
    description:
      'Removes older backups of the same name that Redis Ferry made, in all of these places, once the new one counts; default: nothing is removed',
    examples: [{ days: 30, atLeast: 3 }],
  }),
};

/** Whether it is taken, and what is done with it. */
export const BackupChoice = z.union([
  z.boolean(),
  z.strictObject({
    folder: Folder.optional().meta({
      description: 'Where backups are kept on the worker; default: the folder of the upgrade',
    }),
    ...backupFields,
    verify: z.boolean().optional().meta({
      description:
        'A backup counts only when a throwaway server on the worker (redis-server or valkey-server) has loaded it; default: its length and checksums are enough',
    }),
  }),
]);

export const Backup = BackupChoice.default(true).meta({
  description:
    'Read a snapshot (RDB), the settings and the users of the old server before anything is changed, and of the new one after the cutover, into a folder on the worker. false leaves it out',
  examples: [
    true,
    false,
    { folder: '/var/backups/redis' },
    { copies: [{ folder: '/mnt/backups' }, { bucket: { bucket: 'backups' } }], keep: {}, verify: true },
  ],
});
export type Backup = z.output<typeof Backup>;
