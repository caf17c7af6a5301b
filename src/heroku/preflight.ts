/** What is looked at before an upgrade in place: a checklist, in the plan before anybody approves. */
import type { Check } from '../contract.js';
import { CHECKLIST, type ChecklistItem } from '../inputs/heroku-in-place.js';
import { check } from '../redis/preflight/check.js';
import { somebodyIsNotified } from '../redis/preflight/settings.js';
import { compareVersions } from '../setup/run.js';
import { isVersion, type Store } from './key-value-store.js';
import { isOpen, type Maintenance } from './maintenances.js';
import type { AddOnUse } from './usage.js';

export interface InPlaceFacts extends AddOnUse {
  store: Omit<Store, 'rows'>;
  maintenance: Maintenance;
  /** Upgraded at once: such plans have no maintenances. */
  atOnce: boolean;
  cli: { version: string; from: string };
  /** Keys of the store, and how it was reached; null where the worker can't reach it. */
  keyspace: Keyspace | null;
  /** Why it can't be reached; empty when it can. */
  unreachable: string;
  notUndone: string[];
}

export interface Keyspace {
  /** Config variable that it was reached by. */
  by: string;
  keys: number;
  /** Those that don't expire: with no writes their number stays. */
  lasting: number;
  /** Bytes. */
  usedMemory: number;
  /** "Redis 7.0.15" */
  product: string;
}

/** Plans without maintenances: https://devcenter.heroku.com/articles/upgrading-heroku-redis-version */
export function isUpgradedAtOnce(plan: string): boolean {
  return /:(mini|hobby-dev)$/.test(plan);
}

export function preflightInPlace({
  app,
  targetVersion,
  confirmed,
  notified,
  snapshot,
  facts,
}: {
  app: string;
  targetVersion: string;
  confirmed: readonly ChecklistItem[];
  notified: boolean;
  snapshot: boolean;
  facts: InPlaceFacts;
}): Check[] {
  const { account, addon, apps, unseen, store, maintenance, cli, notUndone } = facts;
  const uses = apps.find(({ name }) => name === app);
  const attached = addon.service === 'heroku-redis' && (uses !== undefined || addon.billingApp.name === app);
  const usable = addon.state === 'provisioned' && store.status === 'available';
  const resting = apps.filter(({ maintenance: on }) => on).map(({ name }) => name);
  const oneOff = apps.flatMap(({ name, oneOff: dynos }) => dynos.map((dyno) => `${dyno} of ${name}`));
  return [
    check({ name: 'API key', expected: 'an account', actual: account }),
    check({ name: 'Heroku CLI', expected: '11 or later', actual: `${cli.version} (${cli.from})` }),
    check({
      name: 'Add-on',
      expected: `a Key-Value Store that ${app} uses`,
      actual: attached
        ? `${addon.plan}, used by ${apps.map(({ name, attachments }) => `${name} (${attachments.join(', ')})`).join(', ')}`
        : `${addon.name} is of ${addon.service}, used by ${[...apps.map(({ name }) => name), ...unseen].join(', ') || 'no app'}`,
      ...(attached ? {} : { status: 'fail', next: 'Correct `app` or `addon`.' }),
    }),
    check({
      name: 'Add-on is available',
      expected: 'provisioned, available',
      actual: `${addon.state}, ${store.status}`,
      ...(usable ? {} : { status: 'fail', next: `Wait until it is (\`heroku redis:info ${addon.name}\`).` }),
    }),
    newer({ store, targetVersion }),
    check({
      name: 'Plan',
      expected: 'known',
      actual: facts.atOnce
        ? `${addon.plan}: upgraded at once, with the apps at rest before`
        : `${addon.plan}: by a maintenance, which is prepared first (${maintenance.window ?? 'window not known'})`,
    }),
    noMaintenance({ addon: addon.name, maintenance }),
    check({
      name: 'Every app that uses it may be seen',
      expected: 'all of them',
      actual: unseen.length === 0 ? 'all of them' : `not ${unseen.join(', ')}`,
      ...(unseen.length === 0
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'They go on writing during the upgrade. Give the account of the worker access to them, or bring them to rest yourself and waive this.',
          }),
    }),
    check({
      name: 'Nothing is left of an earlier run',
      expected: 'no app at rest because of another upgrade',
      actual: notUndone.length === 0 ? 'none' : `${notUndone.join(', ')}: done and not undone`,
      ...(notUndone.length === 0
        ? {}
        : {
            status: 'fail',
            next: 'Run `ferry recover` to put back what an earlier upgrade left, or wait until the other one has ended.',
          }),
    }),
    check({
      name: 'No app is in maintenance mode',
      expected: 'none',
      actual: resting.length === 0 ? 'none' : resting.join(', '),
      ...(resting.length === 0
        ? {}
        : { status: 'warn', next: 'They stay in it afterwards, as they were before.' }),
    }),
    check({
      name: 'No one-off dyno runs',
      expected: 'none',
      actual: oneOff.length === 0 ? 'none' : oneOff.join(', '),
      ...(oneOff.length === 0
        ? {}
        : { status: 'warn', next: 'Nothing scales them down: end them, or wait until they have ended.' }),
    }),
    reachable({ facts, snapshot }),
    somebodyIsNotified(notified),
    ...checklist({ facts, targetVersion, confirmed }),
  ];
}

function newer({
  store,
  targetVersion,
}: {
  store: Pick<Store, 'name' | 'version'>;
  targetVersion: string;
}): Check {
  const [name, expected] = ['Target version', `newer than ${store.version}`];
  if (isVersion(store.version, targetVersion))
    return check({
      name,
      expected,
      actual: `${store.name} runs ${store.version} already`,
      status: 'fail',
      next: 'There is nothing to upgrade.',
    });
  if (compareVersions(targetVersion, store.version) < 0)
    return check({
      name,
      expected,
      actual: `${targetVersion} is older`,
      status: 'fail',
      next: 'Heroku does not downgrade. Move the data to another add-on with redisCopy.',
    });
  return check({ name, expected, actual: targetVersion });
}

/** One that a customer asked for may be the one of an earlier run: nothing withdraws it, but it can be taken over. */
function noMaintenance({ addon, maintenance }: { addon: string; maintenance: Maintenance }): Check {
  const { status, reason, scheduledFor } = maintenance;
  const open = isOpen(maintenance);
  return check({
    name: 'No maintenance is under way',
    expected: 'none',
    actual: open
      ? `one is ${status} (${reason ?? 'no reason given'}), for ${scheduledFor ?? 'no hour'}`
      : 'none',
    ...(open
      ? {
          status: 'fail',
          waivable: reason === 'customer_request' && status !== 'running',
          next: `Run it or wait for it (\`heroku data:maintenances:info ${addon}\`). Waive this only where it is the upgrade to the same version, asked for before: it is taken over then.`,
        }
      : {}),
  });
}

function reachable({ facts, snapshot }: { facts: InPlaceFacts; snapshot: boolean }): Check {
  const { keyspace, unreachable } = facts;
  return check({
    name: 'Store answers the worker',
    expected: 'it does',
    actual:
      keyspace === null
        ? unreachable
        : `${keyspace.keys.toLocaleString('en')} keys (${keyspace.by} of the app)`,
    ...(keyspace === null
      ? {
          status: snapshot ? 'fail' : 'warn',
          waivable: snapshot,
          next: `Keys can't be counted before and after${snapshot ? ', and there is no snapshot: it asks at that step, where it can be skipped' : ''}.`,
        }
      : {}),
  });
}

/** From 6.0 on TLS is required, on mini plans since December 2024. */
const TLS_SINCE = '6.0';

function checklist({
  facts,
  targetVersion,
  confirmed,
}: {
  facts: InPlaceFacts;
  targetVersion: string;
  confirmed: readonly ChecklistItem[];
}): Check[] {
  const items: [ChecklistItem, string][] = [
    [
      'schedulerOff',
      'Switch off jobs of Heroku Scheduler and the like on every app named above until it is through; maintenance mode does not stop them.',
    ],
    ['writersPaused', 'Pause whatever writes from elsewhere: other clouds, scripts, people.'],
  ];
  // Where it is required already, they do.
  const tls = facts.store.requiresTls !== true && compareVersions(targetVersion, TLS_SINCE) >= 0;
  if (tls)
    items.push([
      'clientsSpeakTls',
      `Heroku requires TLS from ${TLS_SINCE} on: deploy clients that speak it (rediss://, without checking the self-signed certificate) first.`,
    ]);
  return items.map(([item, next]): Check => {
    const said = confirmed.includes(item);
    return {
      name: CHECKLIST[item],
      status: said ? 'pass' : 'fail',
      expected: 'a person says so',
      actual: said ? 'the input says so' : 'nobody has ticked it yet',
      ...(said ? {} : { next: `${next} Then tick it by its name.` }),
      waivable: !said,
      tickable: true,
    };
  });
}
