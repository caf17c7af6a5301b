/** What a dump does not hold, or what is left out of it: said before, since nobody finds it afterwards. */
import type { Check } from '../../contract.js';
import { check } from '../../redis/preflight/check.js';
import type { Looked } from './looked.js';

export function carriedChecks({ source }: Looked): Check[] {
  const { notDumped: left, foreignOwners } = source;
  return [
    named(
      'Objects of other owners',
      foreignOwners,
      'All of it belongs to one role at the target (--no-owner), without rights of others (--no-acl): GRANT there what they need.',
    ),
    named('Publications', left.publications, 'They are not carried: CREATE PUBLICATION at the target.'),
    named(
      'Subscriptions',
      left.subscriptions,
      'They are not carried. What they bring in is written to the source, which is closed: disable them first.',
      'fail',
    ),
    named(
      'Replication slots',
      left.slots,
      'They are not carried. Whoever reads from them has to begin anew at the target.',
    ),
    named(
      'Settings of the database',
      left.databaseSettings,
      'They are not carried: ALTER DATABASE … SET at the target.',
    ),
    named('Settings of roles', left.roleSettings, 'They are not carried: ALTER ROLE … SET at the target.'),
    named(
      'Indexes that are not valid',
      left.invalidIndexes,
      'They are not carried, nor compared: REINDEX them first, or make them at the target.',
    ),
    named(
      'Foreign tables',
      left.foreignTables,
      'Their definitions are carried; what they show is not compared.',
    ),
    named(
      'Unlogged tables',
      left.unlogged,
      'Their rows are carried as they are now; a crash of either server empties them.',
    ),
    named(
      'Tablespaces',
      left.tablespaces,
      'They are not carried: all of it goes to the one of the target database.',
    ),
  ];
}

function named(
  name: string,
  names: readonly string[],
  next: string,
  status: 'warn' | 'fail' = 'warn',
): Check {
  return check({
    name,
    expected: 'none',
    actual: names.join(', ') || 'none',
    ...(names.length > 0 ? { status, waivable: true, next } : {}),
  });
}
