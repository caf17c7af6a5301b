/** Checks of what the applications use today: commands, scripts, users. */
import type { Check } from '../../contract.js';
import type { ServerFacts } from '../describe.js';
import type { CoupleSurvey } from '../survey/index.js';
import { check, count, productOf } from './check.js';
import { NOT_TOLD, shownCommand, someOf } from './words.js';

interface UsageInput {
  source: ServerFacts;
  target: ServerFacts;
  survey: CoupleSurvey;
}

export function usage(input: UsageInput): Check[] {
  return [commands(input), scripts(input), functions(input), users(input)];
}

function commands({ source, target, survey }: UsageInput): Check {
  const { lacking } = survey.commands;
  return check({
    name: 'Commands in use',
    expected: `${productOf(target)} knows what is used on ${productOf(source)}`,
    actual:
      lacking === null
        ? NOT_TOLD
        : lacking.length === 0
          ? 'all are known'
          : `not known there: ${someOf(lacking.map(({ name, calls }) => `${shownCommand(name)} (${count(calls, 'call')})`))}`,
    ...(lacking === null
      ? { status: 'warn', next: 'Permit COMMAND and INFO, or rehearse it with the applications.' }
      : lacking.length === 0
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'They would fail after the cutover. Change the applications, load the module or take the rename-command away there; waive it when nobody uses them any more (CONFIG RESETSTAT counts anew).',
          }),
  });
}

/** Neither a full sync nor, from 7.0 on, the stream of changes carries the script cache: EVALSHA is answered with NOSCRIPT (measured). */
function scripts({ survey }: UsageInput): Check {
  const { calls } = survey.commands;
  const used = ['evalsha', 'evalsha_ro'].filter((name) => (calls?.[name] ?? 0) > 0);
  return check({
    name: 'Scripts',
    expected: 'no EVALSHA, or clients that send EVAL on NOSCRIPT',
    actual:
      calls === null
        ? NOT_TOLD
        : used.length === 0
          ? 'no EVALSHA seen'
          : used.map((name) => `${shownCommand(name)} (${count(calls[name] ?? 0, 'call')})`).join(', '),
    ...(calls !== null && used.length === 0
      ? {}
      : {
          status: 'warn',
          next: 'Loaded scripts are not replicated. Look whether the clients fall back to EVAL, or SCRIPT LOAD them on the target once it follows.',
        }),
  });
}

function functions({ source, target }: UsageInput): Check {
  const replaced = (target.functions ?? []).filter((name) => !source.functions?.includes(name));
  return check({
    name: 'Functions',
    expected: 'replicated with the keys',
    actual:
      source.functions === null || target.functions === null
        ? NOT_TOLD
        : [
            source.functions.length > 0 ? `come along: ${someOf(source.functions)}` : 'none on the source',
            ...(replaced.length > 0 ? [`removed from the target: ${someOf(replaced)}`] : []),
          ].join('; '),
    ...(source.functions === null || target.functions === null
      ? { status: 'warn', next: 'Permit FUNCTION LIST, or compare both by hand after "Replicate".' }
      : replaced.length > 0
        ? { status: 'warn', next: 'A replica has the functions of its primary. Load them on the source.' }
        : {}),
  });
}

function users({ target, survey }: UsageInput): Check {
  const { users: found, clients } = survey;
  const inUse = Object.keys(clients?.users ?? {});
  if (found === null)
    return check({
      name: 'Users',
      expected: 'the users of the source',
      actual: NOT_TOLD,
      status: 'warn',
      next: 'ACL users are not replicated. Compare ACL LIST of both by hand.',
    });
  const cannot = inUse.filter(
    (name) =>
      found.lacking.includes(name) ||
      found.differ.some((user) => user.name === name && user.in.includes('switched off')),
  );
  const said = [
    ...(found.lacking.length > 0 ? [`missing there: ${someOf(found.lacking)}`] : []),
    ...found.differ.map(({ name, in: what }) => `${name} differs in ${what.join(', ')}`),
    ...(cannot.length > 0 ? [`clients are logged in as ${someOf(cannot)}`] : []),
  ];
  return check({
    name: 'Users',
    expected: found.source.length > 0 ? `default, ${someOf(found.source)}` : 'default',
    actual: said.length === 0 ? 'alike' : said.join('; '),
    ...(said.length === 0
      ? {}
      : cannot.length > 0
        ? {
            status: 'fail',
            waivable: true,
            next: `ACL users are not replicated. ACL SETUSER them on ${target.shown}; waive it when repointing hands out another login.`,
          }
        : {
            status: 'warn',
            next: 'ACL users are not replicated. Set them as they should be, or see that repointing hands out another login.',
          }),
  });
}
