/** The checklist before a database is moved. */
import type { Check } from '../../contract.js';
import { bytes, check, count } from '../../redis/preflight/check.js';
import { carriedChecks } from './carried.js';
import type { Looked } from './looked.js';
import { targetChecks } from './target.js';

export function preflightMove(looked: Looked): Check[] {
  return [
    ...sourceChecks(looked),
    ...targetChecks(looked),
    ...carriedChecks(looked),
    roomCheck(looked),
    check({
      name: 'Somebody is told',
      expected: 'a webhook in `notify`',
      actual: looked.notified ? 'it is named' : 'none is named',
      ...(looked.notified
        ? {}
        : { status: 'warn', next: 'Name one in `notify`, or watch it: writes are stopped meanwhile.' }),
    }),
  ];
}

/** It can be read as a whole, and closed to writes. */
function sourceChecks({ source, tools, stopped, target }: Looked): Check[] {
  const { can, sessions, preparedTransactions, readOnly, rolesThatWrite, counts, locks } = source;
  const same = source.systemId === target.systemId && source.database === target.database;
  const needed = counts.tables + counts.sequences;
  return [
    check({
      name: 'Two databases',
      expected: 'source and target are not the same one',
      actual: same ? `both are ${source.shown}` : `${source.shown} and ${target.shown}`,
      ...(same ? { status: 'fail', next: 'Give another target.' } : {}),
    }),
    check({
      name: 'Versions',
      expected: 'the target is as new as the source, and the tools of the worker read the source',
      actual: `${source.version} to ${target.version}, by pg_dump ${tools.version}`,
      ...(target.major < source.major
        ? {
            status: 'fail',
            waivable: true,
            next: 'Choose a target that is not older: it may not know what the dump holds.',
          }
        : tools.major > target.major
          ? {
              status: 'warn',
              next: `Put postgresql-client-${target.major} on the worker: newer tools may write what the target does not know.`,
            }
          : {}),
    }),
    check({
      name: 'The source is a primary',
      expected: 'not in recovery',
      actual: source.inRecovery ? 'it follows another server' : 'it is',
      ...(source.inRecovery ? { status: 'fail', next: 'Give the address of the primary.' } : {}),
    }),
    check({
      name: 'The source can be closed to writes',
      expected: `${source.user} owns the database${stopped ? ', or writes are stopped otherwise' : ''}`,
      actual: can.own ? 'it can' : 'it may not set default_transaction_read_only',
      ...(can.own
        ? {}
        : {
            status: stopped ? 'warn' : 'fail',
            next: stopped
              ? 'Writes are stopped by what the input names alone; what is written all the same stops the move before the cutover.'
              : `Let the owner of the database run it, or name \`stopWrites\` or \`maintenance\` in the input.`,
          }),
    }),
    check({
      name: 'The source takes writes now',
      expected: 'default_transaction_read_only is not set for the database',
      actual: readOnly === null ? 'it does' : `it is set to ${readOnly}`,
      ...(readOnly === null || !['on', 'true', 'yes', '1'].includes(readOnly)
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'Another move may have closed it and been terminated: run `ferry recover`. Where it is meant to be so, waive this check.',
          }),
    }),
    check({
      name: 'No role writes all the same',
      expected: 'default_transaction_read_only is off for no role',
      actual: rolesThatWrite.join(', ') || 'none',
      ...(rolesThatWrite.length > 0
        ? {
            status: stopped ? 'warn' : 'fail',
            waivable: true,
            next: `ALTER ROLE … RESET default_transaction_read_only; until then these roles can write to a closed database.`,
          }
        : {}),
    }),
    check({
      name: 'No transaction is prepared',
      expected: 'none, which could be committed later',
      actual: count(preparedTransactions, 'transaction'),
      ...(preparedTransactions > 0
        ? { status: 'fail', next: 'Commit them or roll them back (pg_prepared_xacts).' }
        : {}),
    }),
    check({
      name: 'Locks for the dump',
      expected: `one for each of ${count(needed, 'table')} and sequences`,
      actual: `${locks.toLocaleString('en')} in all`,
      ...(needed > locks * 0.8
        ? {
            status: 'fail',
            waivable: true,
            next: 'Raise max_locks_per_transaction at the source, which takes a restart.',
          }
        : {}),
    }),
    check({
      name: 'Who is connected',
      expected: 'these sessions are ended when the source is closed',
      actual: `${count(sessions.sessions, 'session')}${sessions.names.length > 0 ? ` (${sessions.names.slice(0, 5).join(', ')})` : ''}`,
      ...(can.see || sessions.sessions === 0
        ? {}
        : { status: 'warn', next: `${source.user} may not see who they are (pg_read_all_stats).` }),
    }),
  ];
}

function roomCheck({ source, target, clean, folder, room, fromBackup }: Looked): Check {
  // A dump is compressed and has no indexes; rows that don't compress take what they take.
  const needed = source.size.rows + (clean ? target.size.rows : 0);
  const { free, why } = room;
  return check({
    name: 'Room on the worker',
    expected: `${bytes(needed)} in ${folder}, as if nothing could be compressed`,
    actual: free === null ? (why ?? 'unknown') : bytes(free),
    ...(free === null
      ? { status: 'fail', next: 'Give a folder that the worker may write in `folder`.' }
      : free < needed
        ? {
            status: 'fail',
            waivable: true,
            next: `Make room, or give another folder in \`folder\`.${fromBackup ? ' Heroku shows the size of its backups with `heroku pg:backups`.' : ''}`,
          }
        : {}),
  });
}
