/** The pre-flight checklist of `herokuFork`: of what was found, what speaks against beginning. */
import type { HerokuFacts } from '../activities/heroku-apps.js';
import type { ForkFacts, Plan } from '../activities/heroku-fork.js';
import type { Check } from '../contract.js';
import type { HerokuForkSettings } from '../inputs/heroku-fork.js';

export interface Found {
  use: HerokuFacts;
  fork: ForkFacts;
  /** All apps, in the order of their promotion. */
  apps: string[];
  plan: string;
}

type Verdict =
  | { actual: string }
  | { actual: string; warn: string }
  | { actual: string; fail: string; waivable?: boolean };

function check(name: string, expected: string, verdict: Verdict): Check {
  const { actual } = verdict;
  if ('fail' in verdict)
    return {
      name,
      status: 'fail',
      expected,
      actual,
      next: verdict.fail,
      waivable: verdict.waivable ?? false,
    };
  if ('warn' in verdict)
    return { name, status: 'warn', expected, actual, next: verdict.warn, waivable: false };
  return { name, status: 'pass', expected, actual, waivable: false };
}

/** A maintenance that is to run by itself within this time may come in between. */
const SOON = 24 * 3_600_000;

/** `now`: milliseconds since 1970. */
export function preflight(input: HerokuForkSettings, found: Found, now: number): Check[] {
  return [
    service(found),
    usedBy(input, found),
    named(input, found),
    changeable(found),
    version(input, found),
    plan(found),
    atRest(found),
    maintenance(found, now),
    temporary(found),
    leftovers(input, found),
    comparable(found),
    primary(found),
    oneOff(found),
    tls(found),
    notified(input),
  ];
}

function service({ use: { addon } }: Found): Check {
  return check(
    'The add-on is a Key-Value Store',
    'heroku-redis',
    addon.service.startsWith('heroku-redis')
      ? { actual: addon.plan }
      : { actual: addon.service, fail: 'Name the Key-Value Store in `addon`.' },
  );
}

function usedBy({ app }: HerokuForkSettings, { use }: Found): Check {
  const users = [...use.apps.map(({ name }) => name), ...use.unseen];
  return check(
    'The app uses the add-on',
    `${use.addon.name} is attached to ${app}`,
    users.includes(app)
      ? { actual: 'it is' }
      : {
          actual: `it is attached to ${users.join(', ') || 'no app'}`,
          fail: 'Name one of these in `app`, or another add-on.',
        },
  );
}

function named({ apps }: HerokuForkSettings, { use }: Found): Check {
  const users = use.apps.map(({ name }) => name);
  const leftOut = apps ? users.filter((app) => !apps.includes(app)) : [];
  const strangers = apps?.filter((app) => !users.includes(app) && !use.unseen.includes(app)) ?? [];
  const trouble = [
    ...(leftOut.length > 0 ? [`${leftOut.join(', ')} would go on writing to the old one`] : []),
    ...(strangers.length > 0 ? [`${strangers.join(', ')} does not use it`] : []),
  ];
  return check(
    'Every app that uses it is promoted',
    'all apps that it is attached to, and no other',
    trouble.length === 0
      ? { actual: users.join(', ') }
      : {
          actual: trouble.join('; '),
          fail: 'Name exactly these in `apps`, or leave `apps` out: then it is all of them. An app that is to leave this add-on is detached from it first.',
        },
  );
}

function changeable({ use: { unseen, addon, account } }: Found): Check {
  return check(
    'Every app may be changed',
    `${account} has access to all apps that use ${addon.name}`,
    unseen.length === 0
      ? { actual: 'it has' }
      : {
          actual: `not to ${unseen.join(', ')}`,
          fail: 'Give that account access to them, or let somebody who has it detach them. They would go on writing to the old one.',
        },
  );
}

function version({ targetVersion }: HerokuForkSettings, { fork }: Found): Check {
  const is = fork.store.version;
  const order = compared(targetVersion, is);
  return check(
    'The version is newer',
    `newer than ${is}`,
    order > 0
      ? { actual: `${targetVersion}; whether Heroku offers it, it says when the fork is asked for` }
      : {
          actual: order === 0 ? `${targetVersion}, which it has already` : `${targetVersion}, which is older`,
          fail: 'Give the version to upgrade to in `targetVersion`. A replica of an older version can not read what a newer one sends.',
        },
  );
}

/** By major and minor number. */
function compared(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => text.split('.').map(Number));
  return (x?.[0] ?? 0) - (y?.[0] ?? 0) || (x?.[1] ?? 0) - (y?.[1] ?? 0);
}

/** Plans that can't be forked into. */
const WITHOUT_FORKS = /:(mini|hobby)/;

function plan({ plan: wanted, use, fork: { plans } }: Found): Check {
  const { billingApp } = use.addon;
  const space = use.apps.find(({ name }) => name === billingApp.name)?.space ?? null;
  const fits = ({ inside, outside }: Plan): boolean => (space === null ? outside : inside) !== false;
  const forkable = plans.filter(({ name }) => !WITHOUT_FORKS.test(name));
  const is = forkable.find(({ name }) => name === wanted);
  const next = `Give one of these in \`plan\`: ${forkable
    .filter(fits)
    .map(({ name }) => name.replace(/^.*:/, ''))
    .join(', ')}.`;
  return check(
    'The plan supports forks',
    'a plan that Heroku offers, other than mini',
    WITHOUT_FORKS.test(wanted)
      ? { actual: `${wanted}, which does not`, fail: `${next} Or upgrade it in place (herokuInPlace).` }
      : is === undefined
        ? { actual: `${wanted}, which is not offered`, fail: next }
        : fits(is)
          ? { actual: wanted }
          : {
              actual: `${wanted}, which is ${space === null ? 'only' : 'not'} for apps in a Private Space; ${billingApp.name} is ${space === null ? 'in none' : `in ${space}`}`,
              fail: next,
            },
  );
}

function atRest({ use: { addon }, fork: { store } }: Found): Check {
  return check(
    'The add-on is available',
    'provisioned and available',
    addon.state === 'provisioned' && store.status === 'available'
      ? { actual: store.status }
      : { actual: `${addon.state}, ${store.status}`, fail: 'Wait until it is, then start again.' },
  );
}

function maintenance({ use: { addon }, fork: { maintenance: is } }: Found, now: number): Check {
  const about = [
    `one is ${is.status}`,
    ...(is.scheduledFor === null ? [] : [`it runs by itself at ${is.scheduledFor}`]),
    ...(is.requiredBy === null ? [] : [`Heroku requires it by ${is.requiredBy}`]),
  ].join('; ');
  const soon = is.scheduledFor === null || Date.parse(is.scheduledFor) < now + SOON;
  const off = `heroku data:maintenances:schedule ${addon.name} -a ${addon.billingApp.name}`;
  return check(
    'No maintenance comes in between',
    'none within 24 hours',
    is.status === 'none' || is.status === 'completed'
      ? { actual: 'none is due' }
      : is.status === 'running' || is.status === 'preparing' || soon
        ? { actual: about, fail: `Let it end, or put it off (${off}), then start again.` }
        : { actual: about, warn: 'With the old add-on it goes too.' },
  );
}

function temporary({ fork: { taken } }: Found): Check {
  return check(
    'The temporary names are free',
    'no attachment is called OLD_REDIS or NEW_REDIS',
    taken.length === 0
      ? { actual: 'they are' }
      : {
          actual: taken.join(', '),
          fail: 'When an upgrade that was terminated left them, `ferry recover` undoes it. Otherwise attach that add-on under another name.',
        },
  );
}

function leftovers({ name }: HerokuForkSettings, { use: { notUndone } }: Found): Check {
  return check(
    'Nothing is left of an earlier run',
    'every step of earlier upgrades of these apps was undone or completed',
    notUndone.length === 0
      ? { actual: 'nothing' }
      : {
          actual: notUndone.join(', '),
          fail: `Undo it first: \`ferry recover\` with its workflow ID (this one's is upgrade/heroku/${name}).`,
        },
  );
}

function comparable({ fork: { server } }: Found): Check {
  return check(
    'Keys can be compared',
    'DUMP is permitted',
    server.can.dump
      ? { actual: 'it is' }
      : {
          actual: `it is not: ${server.why.dump ?? 'no reason is given'}`,
          fail: 'Without it nobody can tell that the fork has everything. Upgrade in place instead (herokuInPlace).',
        },
  );
}

function primary({ fork: { server } }: Found): Check {
  return check(
    'The old one takes writes',
    'a primary',
    server.role === 'primary'
      ? { actual: `${server.product === 'valkey' ? 'Valkey' : 'Redis'} ${server.version}, a primary` }
      : {
          actual: `a ${server.role}`,
          fail: 'It is a fork that has not parted from its leader. Wait for it.',
        },
  );
}

function oneOff({ use: { apps } }: Found): Check {
  const running = apps.flatMap(({ name, oneOff: dynos }) => dynos.map((dyno) => `${dyno} of ${name}`));
  return check(
    'No one-off dyno runs',
    'none: it keeps the address that it was started with',
    running.length === 0
      ? { actual: 'none. Jobs of Heroku Scheduler can not be seen: switch them off until the promotion' }
      : {
          actual: running.join(', '),
          fail: 'Let them end, and switch off the jobs of Heroku Scheduler until the promotion. Waive it when they do not write to Redis.',
          waivable: true,
        },
  );
}

function tls({ use, fork: { ending, secure } }: Found): Check {
  const goes = [...new Set(use.apps.flatMap(({ attachments }) => attachments))].map(
    (name) => `${name}${ending}`,
  );
  return check(
    'The apps speak TLS',
    'rediss:// today, as of the fork',
    secure && ending === '_URL'
      ? { actual: 'rediss://' }
      : {
          actual: `the config variable holds redis:// today; that of the fork will hold rediss://${ending === '_URL' ? '' : `, and there will be no ${goes.join(', ')}`}`,
          warn: 'Deploy apps that take rediss:// and do not check the certificate (it is self-signed) first.',
        },
  );
}

function notified({ notify }: HerokuForkSettings): Check {
  return check(
    'Somebody is notified',
    'a webhook in `notify`',
    notify
      ? { actual: 'there is one' }
      : { actual: 'nobody', warn: 'Watch it yourself: ferry state NAME --watch.' },
  );
}
