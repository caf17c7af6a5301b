/** Checks of the backup: whether there is room for it; or, where none is taken, what the source itself has saved. */
import type { Check } from '../../contract.js';
import { bytes, check } from './check.js';

export interface Saved {
  usedMemory: number;
  aof: boolean;
  /** `ok` or `err`, of the last save. */
  status: string;
  /** Seconds since the last save; null where there was none since the server was started. */
  age: number | null;
  /** Changes since. */
  changes: number;
}

const DAY = 86_400;

/** What INFO says of saves. `now`: seconds since 1970, by the server's clock. */
export function savedOf(info: Record<string, string>, now: number): Saved {
  const number = (name: string): number => Number(info[name] ?? 0);
  const started = now - number('uptime_in_seconds');
  const last = number('rdb_last_save_time');
  // A server that was started takes that moment for its last save.
  const none = info['rdb_saves'] === undefined ? last <= started + 2 : number('rdb_saves') === 0;
  return {
    usedMemory: number('used_memory'),
    aof: info['aof_enabled'] === '1',
    status: info['rdb_last_bgsave_status'] ?? 'unknown',
    age: none ? null : Math.max(0, Math.round(now - last)),
    changes: number('rdb_changes_since_last_save'),
  };
}

export interface Planned {
  folder: string;
  /** Bytes that are free there; null: not known, and why. */
  free: number | null;
  why: string | null;
  /** Why the server does not let itself be read as by a replica, in its own words; null: it does. */
  refusal: string | null;
}

/** `plan`: of the backup that is going to be taken; null: none is. `copies`, `loads`: where the input wants that. */
export function backupChecks(on: {
  saved: Saved;
  plan: Planned | null;
  copies?: (Pick<Planned, 'free' | 'why'> & { shown: string })[];
  /** The server that a backup is tried with; or why there is none. */
  loads?: { by: string; why: null } | { by: null; why: string };
}): Check[] {
  const { saved, plan, copies = [], loads } = on;
  if (plan === null) return [ownSave(saved)];
  return [
    readable(plan),
    roomFor(saved, plan),
    ...(copies.length > 0 ? [copiesOf(saved, copies)] : []),
    ...(loads ? [loadable(loads)] : []),
  ];
}

function copiesOf(
  { usedMemory }: Saved,
  copies: readonly (Pick<Planned, 'free' | 'why'> & { shown: string })[],
): Check {
  const needed = 2 * usedMemory;
  const trouble = copies.flatMap(({ shown, free, why }) =>
    why !== null
      ? [why.includes(shown) ? why : `${shown}: ${why}`]
      : free !== null && free < needed
        ? [`${shown} has room for ${bytes(free)}`]
        : [],
  );
  return check({
    name: 'Places for copies of the backups',
    expected: `each can be reached, and takes about ${bytes(needed)} at most`,
    actual: trouble.join('; ') || copies.map(({ shown }) => shown).join(', '),
    ...(trouble.length > 0
      ? {
          status: 'fail',
          waivable: true,
          next: 'Make room, or correct what `backup.copies` names: a backup counts only when every copy is there.',
        }
      : {}),
  });
}

function loadable({ by, why }: { by: string | null; why: string | null }): Check {
  return check({
    name: 'The backup can be tried',
    expected: 'a server on the worker that reads it (backup.verify)',
    actual: by ?? why ?? 'not known',
    ...(by === null
      ? {
          status: 'fail',
          waivable: true,
          next: 'Install it, or leave `backup.verify` out. Waived, a backup counts by its checksums, and the receipt warns of it.',
        }
      : {}),
  });
}

function readable({ refusal }: Planned): Check {
  return check({
    name: 'The backup may be read',
    expected: 'PSYNC and REPLCONF are permitted',
    actual: refusal ?? 'permitted',
    ...(refusal === null
      ? {}
      : {
          status: 'fail',
          waivable: true,
          next: 'Grant +psync and +replconf to the user, or start with `backup`: false and take a backup in another way.',
        }),
  });
}

function roomFor({ usedMemory, status }: Saved, { folder, free, why }: Planned): Check {
  // One of each side; a snapshot is rarely larger than what the server takes in memory.
  const needed = 2 * usedMemory;
  const fits = free !== null && free >= needed;
  return check({
    name: 'Room for the backups',
    expected: `about ${bytes(needed)} at most, for two`,
    actual: `${free === null ? (why ?? 'not known') : `${bytes(free)} free`} (${folder})${status === 'err' ? "; the source's last save to its own disk failed" : ''}`,
    ...(!fits
      ? {
          status: 'fail',
          waivable: true,
          next: 'Make room, give another place as `backup`: {"folder": …}, or leave it out with `backup`: false.',
        }
      : status === 'err'
        ? {
            status: 'warn',
            next: 'The backup makes the source save in the same way: look at its log and its disk first.',
          }
        : {}),
  });
}

function ownSave({ aof, status, age, changes }: Saved): Check {
  const when =
    age === null
      ? 'not saved since it was started'
      : `last saved ${ago(age)} ago (${status}), ${changes.toLocaleString('en')} changes since`;
  const fine = status === 'ok' && age !== null && age < DAY;
  return check({
    name: 'Backup',
    expected: 'one that was taken before (backup: false, so none is taken here)',
    actual: `${when}${aof ? '; append-only is on' : ''}`,
    ...(fine ? {} : { status: 'warn', next: 'Take a backup in another way first, or leave `backup` on.' }),
  });
}

function ago(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 2 * DAY ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / DAY)} days`;
}
