/** Checks of what is copied: the keys, their format, the room for them. */
import type { Check } from '../../contract.js';
import { isSameServer } from './places.js';
import { lackingModules, type Found } from '../contents.js';
import { type PreflightInput, databaseMap, listed, check, productOf, count, bytes, wayOf } from './check.js';

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

export function format(input: PreflightInput): Check[] {
  const { formats, source, target } = input;
  const { sourceWrites: writes, targetAccepts: accepts } = formats;
  const way = wayOf(input);
  const byValue = way.chosen === 'value';
  const told =
    accepts === null
      ? 'not known'
      : `${productOf(target)} reads up to ${accepts.at(-1) ?? 'nothing'}${way.notDump !== '' && writes !== null ? `, but not ${writes}` : ''}`;
  return [
    check({
      name: 'Format is accepted',
      expected: byValue
        ? 'not needed: keys go by value'
        : writes === null
          ? 'a format that the target reads'
          : `RDB version ${writes}, which ${productOf(source)} writes`,
      actual: byValue && way.because !== '' ? `${way.because}: so keys go by value` : told,
      ...(byValue
        ? {}
        : way.notDump !== ''
          ? {
              status: 'fail',
              next: `${way.notDump}. Choose \`way\`: "auto", which copies by value then, or a newer target of the same product.`,
            }
          : writes === null || accepts === null
            ? {
                status: 'warn',
                next: 'It shows at the first key. Make sure that the target is not older than the source, or choose `way`: "value".',
              }
            : {}),
    }),
    check({
      name: 'Values can be read',
      expected: 'DUMP is permitted on both sides: values are compared by it',
      actual: [source, target].every(({ can }) => can.dump)
        ? 'permitted'
        : [source, target]
            .filter(({ can }) => !can.dump)
            .map(({ shown, why }) => `${shown}: ${why.dump ?? 'not permitted'}`)
            .join('; '),
      ...([source, target].every(({ can }) => can.dump)
        ? {}
        : { status: 'fail', next: 'Grant DUMP to the user.' }),
    }),
  ];
}

/** What the target has no place for. */
export function carriable(input: PreflightInput): Check[] {
  const { source, target, contents } = input;
  const looked = contents?.looked;
  const part =
    looked && looked.keys < looked.of
      ? ` among the ${looked.keys.toLocaleString('en')} of ${looked.of.toLocaleString('en')} keys looked at`
      : '';
  const sampled = ({ sample }: Found): string => `for example ${sample.join(', ')}`;
  const lacks = lackingModules({ source: source.modules, target: target.modules });
  const opaque = Object.entries(contents?.opaque ?? {});
  const fields = contents?.expiringFields;
  const byValue = wayOf(input).chosen === 'value';
  const without = 'delete them at the source, or leave them out with `match`';
  return [
    check({
      name: 'Modules',
      expected:
        source.modules === null
          ? 'every module of the source'
          : source.modules.length > 0
            ? source.modules.join(', ')
            : 'none needed',
      actual:
        opaque.length > 0
          ? opaque
              .map(([type, found]) => `${count(found.count, 'key')} of type ${type}, ${sampled(found)}`)
              .join('; ') + part
          : source.modules === null || target.modules === null
            ? 'not known: not permitted to ask'
            : lacks.length > 0
              ? `missing: ${lacks.join(', ')}${looked ? `; no key is of a type of theirs${part}` : ''}`
              : 'nothing is missing',
      ...(opaque.length > 0
        ? {
            status: 'fail',
            // Which module a type belongs to is not known: where the target has some of them, it may be one of those.
            waivable: !byValue && lacks.length < (source.modules?.length ?? 0),
            next: byValue
              ? `Types of modules are only carried by DUMP, and the target does not read this source's format: ${without}.`
              : `Load the modules on the target, ${without}.`,
          }
        : lacks.length > 0
          ? {
              status: 'warn',
              next: 'What else they give to applications, as commands, the target does not have.',
            }
          : {}),
    }),
    check({
      name: 'Hash fields that expire',
      expected: fields ? `none: ${productOf(target)} has no such fields` : 'any, or none needed',
      actual: !fields
        ? 'the target has them too, or the source has none'
        : fields.count === 0
          ? `none${part}`
          : `${fields.count >= 20 ? 'at least ' : ''}${count(fields.count, 'hash')} with such fields${part}, ${sampled(fields)}`,
      ...(fields && fields.count > 0
        ? {
            status: 'fail',
            next: `Take the expiry of the fields away (HPERSIST), ${without}, or choose a target that has them. Copied without it, they would never expire.`,
          }
        : fields && part !== ''
          ? { status: 'warn', next: 'The copy stops at the first such key, with nothing lost.' }
          : {}),
    }),
    functions(input),
  ];
}

/** Libraries belong to the whole server: they go with it, not with a part of its keys. */
export function carriesFunctions({
  settings,
  sameServer,
}: Pick<PreflightInput, 'settings'> & { sameServer: boolean }): string {
  if (settings.way === 'none') return 'way is "none"';
  if (sameServer) return 'source and target are one server';
  if (settings.match !== '*') return 'only some keys are copied (`match`)';
  if (settings.databases) return 'only some databases are copied (`databases`)';
  return '';
}

function functions(input: PreflightInput): Check {
  const { settings, source, target } = input;
  const libraries = input.contents?.libraries ?? { source: null, target: null, different: [] };
  const { source: from, target: to, different } = libraries;
  const name = 'Functions';
  const expected = from === null ? 'every function library of the source' : from.join(', ') || 'none needed';
  if (from === null || from.length === 0)
    return check({
      name,
      expected,
      actual: from === null ? 'the source has none, or does not let us ask' : 'none',
    });
  const lacking = from.filter((library) => !to?.includes(library));
  const stays = carriesFunctions({ settings, sameServer: isSameServer(source, target) });
  const taken = different.length > 0 ? `other code under the same name: ${different.join(', ')}` : '';
  if (to === null)
    return check({
      name,
      expected,
      actual: `${productOf(target)} has no functions, or does not let us ask`,
      status: 'fail',
      waivable: true,
      next: 'They stay behind. Waive it when no application calls them (FCALL) any more.',
    });
  if (stays !== '') {
    const wrong = [
      ...(lacking.length > 0 ? [`missing: ${lacking.join(', ')}`] : []),
      ...(taken ? [taken] : []),
    ];
    return check({
      name,
      expected,
      actual: wrong.join('; ') || 'the target has them',
      ...(wrong.length > 0
        ? {
            status: 'fail',
            waivable: true,
            next: `They are not carried, since ${stays}: bring them over by hand (FUNCTION DUMP there, FUNCTION RESTORE here), or waive it when no application calls them.`,
          }
        : {}),
    });
  }
  return check({
    name,
    expected,
    actual: [taken, `carried: ${from.join(', ')}`].filter(Boolean).join('; '),
    ...(taken === ''
      ? {}
      : settings.ifTargetHasKeys === 'refuse'
        ? {
            status: 'fail',
            next: 'Delete them on the target (FUNCTION DELETE), or choose `ifTargetHasKeys`: "replace" or "skip".',
          }
        : {
            status: 'warn',
            next:
              settings.ifTargetHasKeys === 'replace'
                ? 'They will be replaced; going back does not bring them back.'
                : 'They are left as they are.',
          }),
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
