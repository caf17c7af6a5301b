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

/** Of a place. */
interface Free {
  /** Bytes that are free there; null: not known, and why. */
  free: number | null;
  why: string | null;
}

export interface Room extends Free {
  folder: string;
}

export interface Planned extends Room {
  /** Why the server does not let itself be read as by a replica, in its own words; null: it does. */
  refusal: string | null;
}

/** What an input wants of its backups beyond the files on the worker. */
export interface Elsewhere {
  copies?: (Free & { shown: string })[];
  /** The server that a backup is tried with; or why there is none. */
  loads?: { by: string; why: null } | { by: null; why: string };
}

/** `plan`: of the backup that is going to be taken; null: none is. */
export function backupChecks(on: { saved: Saved; plan: Planned | null } & Elsewhere): Check[] {
  const { saved, plan, ...elsewhere } = on;
  if (plan === null) return [ownSave(saved)];
  // One of each side; a snapshot is rarely larger than what the server takes in memory.
  const needs = { field: 'backup', needed: 2 * saved.usedMemory };
  return [readable(plan), roomFor(needs, plan, saved.status), ...elsewhereChecks(needs, elsewhere)];
}

/** Of the keys of a server that gives no snapshot away. `usedMemory`: bytes that it takes. */
export function snapshotChecks(on: { usedMemory: number; room: Room } & Elsewhere): Check[] {
  const { usedMemory, room, ...elsewhere } = on;
  const needs = { field: 'snapshot', needed: usedMemory };
  return [roomFor(needs, room), ...elsewhereChecks(needs, elsewhere)];
}

interface Needs {
  /** Of the input. */
  field: string;
  /** Bytes. */
  needed: number;
}

function elsewhereChecks(needs: Needs, { copies = [], loads }: Elsewhere): Check[] {
  return [
    ...(copies.length > 0 ? [copiesOf(needs, copies)] : []),
    ...(loads ? [loadable(needs, loads)] : []),
  ];
}

function copiesOf({ field, needed }: Needs, copies: readonly (Free & { shown: string })[]): Check {
  const trouble = copies.flatMap(({ shown, free, why }) =>
    why !== null
      ? [why.includes(shown) ? why : `${shown}: ${why}`]
      : free !== null && free < needed
        ? [`${shown} has room for ${bytes(free)}`]
        : [],
  );
  return check({
    name: `Places for copies of the ${field}s`,
    expected: `each can be reached, and takes about ${bytes(needed)} at most`,
    actual: trouble.join('; ') || copies.map(({ shown }) => shown).join(', '),
    ...(trouble.length > 0
      ? {
          status: 'fail',
          waivable: true,
          next: `Make room, or correct what \`${field}.copies\` names: a ${field} counts only when every copy is there.`,
        }
      : {}),
  });
}

function loadable({ field }: Needs, { by, why }: { by: string | null; why: string | null }): Check {
  return check({
    name: `The ${field} can be tried`,
    expected: `a server on the worker that reads it (${field}.verify)`,
    actual: by ?? why ?? 'not known',
    ...(by === null
      ? {
          status: 'fail',
          waivable: true,
          next: `Install it, or leave \`${field}.verify\` out. Waived, a ${field} counts by its checksums, and the receipt warns of it.`,
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

/** `status`: of the last save of the server itself. */
function roomFor({ field, needed }: Needs, { folder, free, why }: Room, status = 'ok'): Check {
  const fits = free !== null && free >= needed;
  return check({
    name: `Room for the ${field}s`,
    expected: `about ${bytes(needed)} at most`,
    actual: `${free === null ? (why ?? 'not known') : `${bytes(free)} free`} (${folder})${status === 'err' ? "; the source's last save to its own disk failed" : ''}`,
    ...(!fits
      ? {
          status: 'fail',
          waivable: true,
          next: `Make room, give another place as \`${field}\`: {"folder": …}, or leave it out with \`${field}\`: false.`,
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
