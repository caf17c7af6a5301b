/** Checks of what is copied: the keys, and the room for them. */
import type { Check } from '../../contract.js';
import { type PreflightInput, databaseMap, listed, check, count, bytes } from './check.js';

export function keys(input: PreflightInput): Check[] {
  const { source, target, settings } = input;
  const map = databaseMap(input);
  const empty = map.filter(([from]) => (source.databases[from]?.keys ?? 0) === 0).map(([from]) => from);
  const held = map.flatMap(([, to]) => {
    const found = target.databases[to]?.keys ?? 0;
    return found > 0 ? [`database ${to} has ${count(found, 'key')}`] : [];
  });
  const beyond =
    target.databaseCount === null
      ? []
      : map.filter(([, to]) => to >= (target.databaseCount ?? 0)).map(([, to]) => to);
  const unknown = target.databaseCount === null && map.some(([, to]) => to > 0);
  const refuse = settings.ifTargetHasKeys === 'refuse';
  const numbers = listed(map, 1);
  return [
    check({
      name: 'Source holds keys',
      expected: `keys in database ${listed(settings.databases ? map : map.filter(([from]) => !empty.includes(from)), 0)}`,
      actual:
        map
          .filter(([from]) => settings.databases || !empty.includes(from))
          .map(([from]) => `database ${from}: ${count(source.databases[from]?.keys ?? 0, 'key')}`)
          .join('; ') || 'none',
      // An empty database that nobody asked for is no news.
      ...(empty.length > 0 && (settings.databases || empty.length === map.length)
        ? { status: 'warn', next: `Database ${empty.join(', ')} is empty: is it the right one?` }
        : {}),
    }),
    settings.way === 'none'
      ? imported(input)
      : check({
          name: 'Target is empty',
          expected: refuse
            ? `no keys in database ${numbers}`
            : `any (ifTargetHasKeys: ${settings.ifTargetHasKeys})`,
          actual: held.length > 0 ? held.join('; ') : 'empty',
          ...(held.length === 0
            ? {}
            : refuse
              ? {
                  status: 'fail',
                  next: 'Empty it (FLUSHDB there, once you are sure), map to other databases, or choose `ifTargetHasKeys`: "replace" or "skip".',
                }
              : {
                  status: 'warn',
                  next:
                    settings.ifTargetHasKeys === 'replace'
                      ? 'Keys of the same name will be replaced; going back does not bring them back.'
                      : 'Keys of the same name are left as they are, and count as differences when they differ.',
                }),
        }),
    check({
      name: 'Databases exist on the target',
      expected: `database ${numbers}`,
      actual:
        target.databaseCount === null
          ? 'not known: CONFIG GET is not permitted'
          : count(target.databaseCount, 'database'),
      ...(beyond.length > 0
        ? {
            status: 'fail',
            next: `The target has no database ${beyond.join(', ')}: map to lower numbers, or raise \`databases\` in its configuration and restart it.`,
          }
        : unknown
          ? { status: 'warn', next: 'Managed servers often have database 0 only: look at its documentation.' }
          : {}),
    }),
  ];
}

/** With `way: "none"` somebody else's import has filled the target. */
function imported(input: PreflightInput): Check {
  const { source, target, settings } = input;
  const map = databaseMap(input);
  const missing = map.filter(
    ([from, to]) => (source.databases[from]?.keys ?? 0) > 0 && (target.databases[to]?.keys ?? 0) === 0,
  );
  return check({
    name: 'Target holds the import',
    expected: 'keys wherever the source has some, since way is "none"',
    actual:
      map
        .filter(([from, to]) => (source.databases[from]?.keys ?? 0) + (target.databases[to]?.keys ?? 0) > 0)
        .map(
          ([from, to]) =>
            `database ${to}: ${count(target.databases[to]?.keys ?? 0, 'key')}, of ${(source.databases[from]?.keys ?? 0).toLocaleString('en')} at the source`,
        )
        .join('; ') || 'none',
    ...(missing.length > 0
      ? {
          status: 'fail',
          next: 'Run the import first, or leave out `way`, so that the keys are copied.',
        }
      : settings.ifTargetHasKeys === 'replace'
        ? { status: 'warn', next: 'What differs is replaced; going back does not bring it back.' }
        : {}),
  });
}

export function memory(input: PreflightInput): Check[] {
  const { source, target, settings } = input;
  const map = databaseMap(input);
  const all = Object.values(source.databases).reduce((sum, { keys: held }) => sum + held, 0);
  const ours = map.reduce((sum, [from]) => sum + (source.databases[from]?.keys ?? 0), 0);
  // What one key takes isn't known, so a database's share is taken to be its share of the keys.
  const needed = all === 0 || settings.way === 'none' ? 0 : Math.round((source.usedMemory * ours) / all);
  const limited = target.maxmemory > 0;
  const room = limited ? Math.max(0, target.maxmemory - target.usedMemory) : Number.POSITIVE_INFINITY;
  const fits = needed <= room;
  const evicting = limited && evicts(target.maxmemoryPolicy);
  // A cache on both sides with plenty of room is what its owner is used to.
  const usual = source.maxmemoryPolicy === target.maxmemoryPolicy && room >= needed * 2;
  const roomText = limited
    ? `${bytes(room)} free of ${bytes(target.maxmemory)}`
    : 'no limit set (maxmemory 0)';
  return [
    check({
      name: 'Target has room',
      expected: `about ${bytes(needed)}`,
      actual: roomText,
      ...(fits
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'Raise maxmemory of the target. Waive it when you know that the keys take less there.',
          }),
    }),
    check({
      name: 'Target evicts nothing',
      expected: 'maxmemory-policy noeviction, or no memory limit',
      actual: limited ? `${target.maxmemoryPolicy}, ${roomText}` : roomText,
      ...(evicting
        ? {
            status: fits && usual ? 'warn' : 'fail',
            waivable: fits,
            next: `It throws keys away when it is full, copied ones too. CONFIG SET maxmemory-policy noeviction until the upgrade has ended${fits ? '' : ', and raise maxmemory'}.`,
          }
        : {}),
    }),
    check({
      name: 'Source evicts nothing',
      expected: 'no eviction',
      actual:
        source.maxmemory > 0
          ? `${source.maxmemoryPolicy}, ${count(source.evictedKeys, 'key')} evicted since it started`
          : 'no limit set (maxmemory 0)',
      ...(source.maxmemory > 0 && evicts(source.maxmemoryPolicy) && source.evictedKeys > 0
        ? { status: 'warn', next: 'Keys that it evicts on the way are deleted at the target too.' }
        : {}),
    }),
  ];
}

function evicts(policy: string): boolean {
  return policy.startsWith('allkeys-') || policy.startsWith('volatile-');
}
