/** The steps that take backups of the servers, for any strategy. */
import type { BackupFacts, Loaded } from '../activities/backing-up.js';
import { shownCopy, type Backup } from '../inputs/backup.js';
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
    const facts = await r.step(title, backupStep(r, { title, ...which, about, backup }));
    if (facts) taken[LABELS[which.side]] = forReceipt(facts);
    r.record({ backups: taken });
    return facts;
  };
}

/** When each is taken. */
const LABELS = { source: 'before', target: 'after' } as const;

interface Elsewhere {
  /** Where they are. */
  copies?: string[];
  removed?: string[];
}

/** What was done with one, where the input asks for more than the files on the worker. */
interface Proven extends Elsewhere {
  loaded?: Loaded;
}

type Wanted = Pick<Exclude<Backup, boolean>, 'copies' | 'keep' | 'verify'>;

function backupStep(
  r: Runbook,
  on: Which & { title: string; about: number; backup: Backup },
): WriteStep<(BackupFacts & Proven) | null> {
  const { title, endpoint, side, shown, about, backup } = on;
  return {
    does: [
      `read a snapshot (RDB) of ${shown}, as a replica would: the server forks once for it, and writes it to its own disk first`,
      'keep it on the worker with the settings and the users, without passwords; check its length and checksum',
      ...saysProof(backup),
    ],
    notes: [`at most about ${megabytes(about)}, which is what the server takes in memory`],
    foresee: null,
    undo: { none: 'nothing was changed; the files stay' },
    skippable: true,
    do: proven(r, {
      take: () => acts(fewTries, title).backUp({ endpoint, side, label: LABELS[side], backup, step: title }),
      bytes: sizeOf,
      title,
      shown,
      backup,
    }),
    note: (result) =>
      result
        ? `${megabytes(sizeOf(result))} in ${result.seconds} s, ${result.checksum === 'right' ? 'checksum right' : 'without a checksum (rdbchecksum no)'}${noteProof(result)}`
        : '',
  };
}

/**
 * Takes one, tries it, copies it, and removes old ones, as the input asks: then it counts. A copy that failed is made again of the backup that
 * is there.
 */
export function proven<T extends { folder: string; product: string }>(
  r: Runbook,
  on: {
    take: () => Promise<T>;
    bytes: (taken: T) => number;
    title: string;
    /** What it is of. */
    shown: string;
    backup: Backup;
  },
): () => Promise<T & Proven> {
  const { take, bytes, title, shown, backup } = on;
  let taken: (T & Proven) | null = null;
  return async () => {
    taken ??= await take();
    const facts: T & Proven = { ...taken };
    if (wantedOf(backup).verify && !facts.loaded) {
      // One that is refused is of no use: the next try takes another.
      taken = null;
      const { folder, product } = facts;
      const { loaded, why } = await acts(twoTries, 'Try the backup').tryBackup({ folder, product });
      if (loaded) facts.loaded = loaded;
      else r.warn(`The backup of ${shown} was not tried: ${why ?? 'no reason is known'}.`);
      taken = { ...facts };
    }
    const elsewhere = { folder: facts.folder, bytes: bytes(facts), title, backup };
    return { ...facts, ...(await keptElsewhere(r, elsewhere)) };
  };
}

function wantedOf(backup: Backup): Wanted {
  return typeof backup === 'object' ? backup : {};
}

/** For the receipt. */
export function proofOf({ loaded, copies, removed }: Proven): Record<string, unknown> {
  return { ...(loaded ? { loaded } : {}), ...(copies ? { copies } : {}), ...(removed ? { removed } : {}) };
}

/** Copies of a backup that stands in `folder`, and what goes for it. */
export async function keptElsewhere(
  r: Runbook,
  on: { folder: string; bytes: number; title: string; backup: Backup },
): Promise<Elsewhere> {
  const { folder, bytes, title, backup } = on;
  const { copies, keep } = wantedOf(backup);
  const kept: Elsewhere = {};
  for (const copy of copies ?? []) {
    await acts(fewTries, 'Copy the backup').copyBackup({ folder, copy, bytes, step: title });
    kept.copies = [...(kept.copies ?? []), shownCopy(copy)];
  }
  if (keep) {
    const { removed, problems } = await acts(fewTries, 'Remove old backups').removeOldBackups({
      backup,
      keep,
    });
    kept.removed = removed;
    for (const problem of problems) r.warn(`${problem}.`);
  }
  return kept;
}

const fewTries = { ...moves, retry: { ...moves.retry, maximumAttempts: 5 } };
/** What a server refuses once it refuses again. */
const twoTries = { ...moves, retry: { ...moves.retry, maximumAttempts: 2 } };

/** What the plan says of it. */
export function saysProof(backup: Backup): string[] {
  const wanted = wantedOf(backup);
  return [
    ...(wanted.verify ? ['load it into a throwaway server on the worker, which is ended again'] : []),
    ...saysElsewhere(wanted),
  ];
}

export function saysElsewhere({ copies = [], keep }: Omit<Wanted, 'verify'>): string[] {
  return [
    ...copies.map((copy) => `copy it to ${shownCopy(copy)}, and compare size and SHA-256 there`),
    ...(keep
      ? [
          `then remove backups of this name that Redis Ferry made more than ${keep.days} days ago, but for those of the last ${keep.atLeast} upgrades`,
        ]
      : []),
  ];
}

/** Behind what else is noted. */
export function noteProof({ loaded, ...elsewhere }: Proven): string {
  return [
    ...(loaded ? [`${loaded.keys.toLocaleString('en')} keys loaded by ${loaded.by}`] : []),
    ...notesElsewhere(elsewhere),
  ]
    .map((each) => `; ${each}`)
    .join('');
}

export function notesElsewhere({ copies = [], removed = [] }: Elsewhere): string[] {
  return [
    ...(copies.length > 0 ? [`copied to ${copies.join(', ')}`] : []),
    ...(removed.length > 0 ? [`${removed.length} old ones removed`] : []),
  ];
}

function forReceipt(facts: BackupFacts & Proven) {
  const { folder, takenAt, server, product, keys, offset, files } = facts;
  return {
    ...proofOf(facts),
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
