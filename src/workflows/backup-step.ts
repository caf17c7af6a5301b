/** The steps that take backups of the servers, for any strategy. */
import type { BackupFacts } from '../activities/backing-up.js';
import type { Backup } from '../inputs/backup.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { acts, moves } from '../runbook/acts.js';
import type { Runbook, WriteStep } from '../runbook/api.js';

interface Which {
  endpoint: RedisEndpoint;
  side: 'source' | 'target';
  shown: string;
}

/** Each a step, unless the input does without; all of them stand in the receipt. `about`: bytes that the data takes in memory. */
export function backing(r: Runbook, { backup, about }: { backup: Backup; about: number }) {
  const taken: Record<string, unknown> = {};
  return async (title: string, which: Which): Promise<BackupFacts | null> => {
    if (!backup) return null;
    const facts = await r.step(title, backupStep({ title, ...which, about, backup }));
    if (facts) taken[LABELS[which.side]] = forReceipt(facts);
    r.record({ backups: taken });
    return facts;
  };
}

/** When each is taken. */
const LABELS = { source: 'before', target: 'after' } as const;

function backupStep(
  on: Which & { title: string; about: number; backup: Backup },
): WriteStep<BackupFacts | null> {
  const { title, endpoint, side, shown, about, backup } = on;
  return {
    does: [
      `read a snapshot (RDB) of ${shown}, as a replica would: the server forks once for it, and writes it to its own disk first`,
      'keep it on the worker with the settings and the users, without passwords; check its length and checksum',
    ],
    notes: [`at most about ${megabytes(about)}, which is what the server takes in memory`],
    foresee: null,
    undo: { none: 'nothing was changed; the files stay' },
    skippable: true,
    do: () =>
      acts({ ...moves, retry: { ...moves.retry, maximumAttempts: 5 } }, title).backUp({
        endpoint,
        side,
        label: LABELS[side],
        backup,
        step: title,
      }),
    note: (result) =>
      result
        ? `${megabytes(sizeOf(result))} in ${result.seconds} s, ${result.checksum === 'right' ? 'checksum right' : 'without a checksum (rdbchecksum no)'}`
        : '',
  };
}

function forReceipt({ folder, takenAt, server, product, keys, offset, files }: BackupFacts) {
  return {
    folder,
    takenAt,
    server,
    version: product,
    keys,
    offset,
    files: files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 })),
  };
}

function sizeOf({ files }: BackupFacts): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function megabytes(bytes: number): string {
  const size = bytes / 1024 / 1024;
  return `${size < 10 ? size.toFixed(1) : Math.round(size).toLocaleString('en')} MB`;
}
