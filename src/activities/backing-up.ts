/** Backups of a server, and whether there is room for them. */
import { join } from 'node:path';
import type { Check } from '../contract.js';
import type { Backup } from '../inputs/backup.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { backupsOf, inBackupFolder, roomAt } from '../platform/backup-folder.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { takeBackup, type BackupFacts, type BackupFiles } from '../redis/backup/take.js';
import { refusalOf } from '../redis/describe.js';
import { parseInfo } from '../redis/info.js';
import { backupChecks, savedOf } from '../redis/preflight/backup.js';
import { atEndpoint } from './asking.js';
import { border, type Border } from './border.js';
import { takeHold } from './holding.js';

export type { BackupFacts } from '../redis/backup/take.js';

/** Begins anew each time: there is no going on with half a snapshot. */
export async function backUp(input: {
  endpoint: RedisEndpoint;
  side: 'source' | 'target';
  /** Names the folder; one for each time in an upgrade. */
  label: 'before' | 'after';
  backup: Backup;
  /** Title, for the progress. */
  step: string;
}): Promise<BackupFacts> {
  return border(async (b) => {
    const address = await resolveEndpoint({ endpoint: input.endpoint, where: input.side });
    await takeHold(b, [address]);
    const named = { backup: input.backup, kind: 'backup', label: `-${input.label}` };
    return intoFolder(b, named, (files) =>
      takeBackup({
        address,
        name: b.hand,
        files,
        signal: b.signal,
        onProgress: ({ phase, done, total }) =>
          b.show({
            step: input.step,
            done: phase === 'checking' ? total : done,
            total,
            unit: 'bytes',
            counts: phase === 'checking' ? { bytesChecked: done } : {},
          }),
      }),
    );
  });
}

/** A folder of this run's own, where the input wants backups: whole at the end, or not there. */
export function intoFolder<T>(
  b: Pick<Border<never>, 'workflowId' | 'runId' | 'hand'>,
  { backup, kind, label = '' }: { backup: Backup; kind: string; label?: string },
  work: (files: BackupFiles) => Promise<T>,
): Promise<T> {
  return inBackupFolder({
    path: join(backupsOf(b.workflowId, folderOf(backup)), `${kind}-${b.runId.slice(0, 8)}${label}`),
    hand: b.hand.slice(b.hand.lastIndexOf(':') + 1),
    work,
  });
}

export async function preflightBackup(input: { source: RedisEndpoint; backup: Backup }): Promise<Check[]> {
  return border(async (b) => {
    const source = { endpoint: input.source, where: 'source' };
    const { saved, refusal } = await atEndpoint(b, source, async (client) => {
      const info = parseInfo(String(await client.call('INFO')));
      const micros = Number(info['server_time_usec'] ?? 0);
      return {
        saved: savedOf(info, micros > 0 ? micros / 1e6 : Date.now() / 1_000),
        // Not by PSYNC itself: an old server would fork, whatever the arguments.
        refusal: await refusalOf(client, ['REPLCONF', 'ferry', 'ferry']),
      };
    });
    const folder = backupsOf(b.workflowId, folderOf(input.backup));
    return backupChecks({
      saved,
      plan: input.backup === false ? null : { folder, ...(await roomAt(folder)), refusal },
    });
  });
}

function folderOf(backup: Backup): string | null {
  return typeof backup === 'object' ? backup.folder : null;
}
