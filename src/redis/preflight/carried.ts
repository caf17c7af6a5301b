/** Checks of how keys go over, and of what the target has no place for. */
import type { Check } from '../../contract.js';
import { lackingModules, type Found } from '../contents.js';
import { type PreflightInput, check, productOf, count, wayOf } from './check.js';
import { isSameServer } from './places.js';

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
  return [modules(input), expiringFields(input), functions(input)];
}

const WITHOUT = 'delete them at the source, or leave them out with `match`';

/** How much of the source was looked at, where that isn't all. */
function lookedAt({ contents }: PreflightInput): string {
  const looked = contents?.looked;
  return looked && looked.keys < looked.of
    ? ` among the ${looked.keys.toLocaleString('en')} of ${looked.of.toLocaleString('en')} keys looked at`
    : '';
}

function sampled({ sample }: Found): string {
  return `for example ${sample.join(', ')}`;
}

function modules(input: PreflightInput): Check {
  const { source, target, contents } = input;
  const lacks = lackingModules({ source: source.modules, target: target.modules });
  const opaque = Object.entries(contents?.opaque ?? {});
  const refused = opaque.filter(([, { accepted }]) => accepted !== true);
  const part = lookedAt(input);
  const name = 'Modules';
  const expected =
    source.modules === null ? 'every module of the source' : source.modules.join(', ') || 'none needed';
  if (refused.length > 0)
    return check({
      name,
      expected,
      actual:
        refused
          .map(
            ([type, found]) =>
              `${count(found.count, 'key')} of type ${type}, ${sampled(found)}, which the target ${found.accepted === false ? 'refuses' : 'may refuse'}`,
          )
          .join('; ') + part,
      status: 'fail',
      // What could not be tried shows at the first such key.
      waivable: refused.every(([, { accepted }]) => accepted === null),
      next: `Such a key is only carried as the source serializes it (DUMP): load the same module in the same version on the target, ${WITHOUT}.`,
    });
  if (source.modules === null || target.modules === null)
    return check({ name, expected, actual: 'not known: not permitted to ask' });
  const taken = opaque.map(
    ([type, found]) => `${count(found.count, 'key')} of type ${type}, which the target takes`,
  );
  if (lacks.length === 0 || taken.length > 0)
    return check({
      name,
      expected,
      actual: taken.length > 0 ? taken.join('; ') + part : 'nothing is missing',
    });
  return check({
    name,
    expected,
    actual: `missing: ${lacks.join(', ')}${contents?.looked ? `; no key is of a type of theirs${part}` : ''}`,
    status: 'warn',
    next: 'What else they give to applications, as commands, the target does not have.',
  });
}

function expiringFields(input: PreflightInput): Check {
  const found = input.contents?.expiringFields;
  const part = lookedAt(input);
  const name = 'Hash fields that expire';
  if (!found)
    return check({
      name,
      expected: 'any, or none needed',
      actual: 'the target has them too, or the source has none',
    });
  const many = found.count >= found.sample.length && found.sample.length === 20 ? 'at least ' : '';
  return check({
    name,
    expected: `none: ${productOf(input.target)} has no such fields`,
    actual:
      found.count === 0
        ? `none${part}`
        : `${many}${count(found.count, 'hash')} with such fields${part}, ${sampled(found)}`,
    ...(found.count > 0
      ? {
          status: 'fail',
          next: `Take the expiry of the fields away (HPERSIST), ${WITHOUT}, or choose a target that has them. Copied without it, they would never expire.`,
        }
      : part !== ''
        ? { status: 'warn', next: 'The copy stops at the first such key, with nothing lost.' }
        : {}),
  });
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
