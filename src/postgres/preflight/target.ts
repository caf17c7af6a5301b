/** The target takes all of it. */
import type { Check } from '../../contract.js';
import { bytes, check, count } from '../../redis/preflight/check.js';
import { isEmpty } from '../empty.js';
import type { Looked } from './looked.js';

export function targetChecks(looked: Looked): Check[] {
  const { target } = looked;
  const closed = target.readOnly !== null && ['on', 'true', 'yes', '1'].includes(target.readOnly);
  return [
    check({
      name: 'The target takes writes',
      expected: 'a primary that is not closed',
      actual: target.inRecovery ? 'it follows another server' : closed ? 'it is closed to writes' : 'it does',
      ...(target.inRecovery || closed
        ? {
            status: 'fail',
            next: 'Give the address of a primary, and RESET default_transaction_read_only there.',
          }
        : {}),
    }),
    check({
      name: 'The target may be filled',
      expected: `${target.user} owns the database`,
      actual: target.can.own && target.can.create ? 'it does' : 'it does not',
      ...(target.can.own && target.can.create
        ? {}
        : { status: 'fail', next: `ALTER DATABASE … OWNER TO ${target.user}, or give another user.` }),
    }),
    markCheck(looked),
    emptyCheck(looked),
    ...(looked.tries === true && !isEmpty(target.held) ? [trialCheck(looked)] : []),
    extensionsCheck(looked),
    eventTriggersCheck(looked),
    ...encodingChecks(looked),
    check({
      name: 'Nobody uses the target',
      expected: 'no session of others',
      actual: `${count(target.sessions.sessions, 'session')}${target.sessions.names.length > 0 ? ` (${target.sessions.names.slice(0, 5).join(', ')})` : ''}`,
      ...(target.sessions.sessions > 0
        ? {
            status: 'warn',
            next: 'What they write before the cutover is found by the comparison, and stops the move.',
          }
        : {}),
    }),
  ];
}

function markCheck({ target, workflowId }: Looked): Check {
  const { mark } = target;
  return check({
    name: 'No other move has begun there',
    expected: 'no schema redis_ferry',
    actual: mark === null ? 'none' : `one of ${mark.workflowId} (${mark.stage})`,
    ...(mark === null
      ? {}
      : {
          status: 'fail',
          next:
            mark.workflowId === workflowId
              ? `An earlier run was terminated: \`ferry recover ${workflowId}\`.`
              : `Wait until that has ended, or \`ferry recover ${mark.workflowId}\`.`,
        }),
  });
}

function emptyCheck({ target, clean }: Looked): Check {
  const { held, notDumped, foreignOwners, can } = target;
  const empty = isEmpty(held);
  const what = `${count(held.objects, 'object')}, ${count(held.largeObjects, 'large object')}, ${bytes(target.size.rows)}`;
  const stuck = [
    ...(notDumped.subscriptions.length > 0 ? [`subscriptions (${notDumped.subscriptions.join(', ')})`] : []),
    ...(foreignOwners.length > 0 && !can.superuser ? [`what belongs to ${foreignOwners.join(', ')}`] : []),
  ];
  return check({
    name: 'The target is empty, or to be emptied',
    expected: clean ? 'what is there can be kept, taken out, and put back' : 'nothing is there',
    actual: empty ? 'nothing is there' : what,
    ...(empty
      ? {}
      : !clean
        ? {
            status: 'fail',
            next: 'Give an empty database; or `"clean": true`, with which what is there is dumped first and then destroyed, at a gate of its own.',
          }
        : stuck.length > 0
          ? {
              status: 'fail',
              next: `This can't be put back as it was: ${stuck.join('; ')}. Take it away by hand.`,
            }
          : {}),
  });
}

function trialCheck({ target }: Looked): Check {
  const may = target.can.databases === true;
  return check({
    name: 'What the target holds can be tried',
    expected: `${target.user} may make a throwaway database there (backup.verify)`,
    actual: may ? 'it may' : 'it may not',
    ...(may
      ? {}
      : {
          status: 'fail',
          waivable: true,
          next: `ALTER ROLE ${target.user} CREATEDB, or leave \`backup.verify\` out. Waived, the dump counts by its checksums, and the receipt warns of it.`,
        }),
  });
}

function extensionsCheck({ source, target }: Looked): Check {
  const there = new Set(target.extensions.map(({ name }) => name));
  const needed = source.extensions.filter(({ name }) => name !== 'plpgsql');
  const missing = needed.filter(({ name }) => !there.has(name) && target.available[name] === undefined);
  const older = needed.filter(({ name, version }) => {
    const versions = [
      ...(target.available[name] ?? []),
      ...target.extensions.filter((each) => each.name === name).map((each) => each.version),
    ];
    return versions.length > 0 && !versions.some((each) => compare(each, version) >= 0);
  });
  return check({
    name: 'Extensions',
    expected: needed.map(({ name, version }) => `${name} ${version}`).join(', ') || 'none',
    actual:
      [
        ...missing.map(({ name }) => `${name} is not available`),
        ...older.map(({ name }) => `${name} only in ${(target.available[name] ?? []).join(', ')}`),
      ].join('; ') || 'all are available',
    ...(missing.length > 0
      ? { status: 'fail', next: 'Install their packages at the target, or drop them at the source.' }
      : older.length > 0
        ? {
            status: 'fail',
            waivable: true,
            next: 'Install newer packages at the target: an older version may lack what is used.',
          }
        : {}),
  });
}

function eventTriggersCheck({ source, target }: Looked): Check {
  const names = source.eventTriggers ?? [];
  return check({
    name: 'Event triggers',
    expected: "none but Heroku's, or a superuser at the target",
    actual: names.join(', ') || 'none',
    ...(names.length > 0 && !target.can.superuser
      ? {
          status: 'fail',
          waivable: true,
          next: `Drop them at the source, or give a superuser: a server lets ${target.user} make none, unless its provider has changed that.`,
        }
      : {}),
  });
}

function encodingChecks({ source, target }: Looked): Check[] {
  const { encoding } = target;
  const same = source.encoding === encoding;
  const narrower = !same && encoding !== 'UTF8';
  return [
    check({
      name: 'Encoding',
      expected: source.encoding,
      actual: encoding,
      ...(same
        ? {}
        : narrower
          ? {
              status: 'fail',
              waivable: true,
              next: 'Give a target with UTF8: this one has no place for some characters.',
            }
          : source.encoding === 'SQL_ASCII'
            ? {
                status: 'warn',
                next: 'Bytes that are no UTF-8 stop the restore. Mend them at the source first.',
              }
            : {}),
    }),
    check({
      name: 'Collation',
      expected: source.collation,
      actual: target.collation,
      ...(source.collation === target.collation
        ? {}
        : {
            status: 'warn',
            next: 'Text sorts in another order at the target, and unique indexes may see other duplicates.',
          }),
    }),
  ];
}

/** Numbers of versions one by one; the rest as text. */
function compare(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split(/[.-]/));
  for (let at = 0; at < Math.max(left?.length ?? 0, right?.length ?? 0); at += 1) {
    const [x, y] = [left?.[at] ?? '', right?.[at] ?? ''];
    const difference =
      /^\d+$/.test(x) && /^\d+$/.test(y) ? Number(x) - Number(y) : x < y ? -1 : x > y ? 1 : 0;
    if (difference !== 0) return difference;
  }
  return 0;
}
