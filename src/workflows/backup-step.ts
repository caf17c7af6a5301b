/** The step that takes a backup of a server, for any strategy. */
import type { BackupFacts } from '../activities/backing-up.js';
import type { Backup } from '../inputs/backup.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { acts, moves } from '../runbook/acts.js';
import type { WriteStep } from '../runbook/api.js';

/** `about`: bytes that the server takes in memory, or that the one it follows does. */
export function backupStep(on: {
  title: string;
  endpoint: RedisEndpoint;
  side: 'source' | 'target';
  label: 'before' | 'after';
  shown: string;
  about: number;
  backup: Backup;
}): WriteStep<BackupFacts | null> {
  const { title, endpoint, side, label, shown, about, backup } = on;
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
        label,
        backup,
        step: title,
      }),
    note: (result) =>
      result
        ? `${megabytes(sizeOf(result))} in ${result.seconds} s, ${result.checksum === 'right' ? 'checksum right' : 'without a checksum (rdbchecksum no)'}`
        : '',
  };
}

/** For the receipt. */
export function backupsTaken(taken: {
  before: BackupFacts | null;
  after?: BackupFacts | null;
}): Record<string, unknown> {
  const one = (facts: BackupFacts | null | undefined) =>
    facts
      ? {
          folder: facts.folder,
          takenAt: facts.takenAt,
          server: facts.server,
          version: facts.product,
          keys: facts.keys,
          offset: facts.offset,
          files: facts.files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 })),
        }
      : undefined;
  const [before, after] = [one(taken.before), one(taken.after)];
  return { ...(before ? { before } : {}), ...(after ? { after } : {}) };
}

function sizeOf({ files }: BackupFacts): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function megabytes(bytes: number): string {
  const size = bytes / 1024 / 1024;
  return `${size < 10 ? size.toFixed(1) : Math.round(size).toLocaleString('en')} MB`;
}
