/** After an upgrade in place: whether everything is as it was, but for the version. */
import type { Check } from '../contract.js';
import { check } from '../redis/preflight/check.js';
import { isVersion, type Store, type StoreSettings } from './key-value-store.js';
import type { Keyspace } from './preflight.js';

export interface AfterUpgrade {
  store: Pick<Store, 'version' | 'status'> & StoreSettings;
  /** By app: its keys, by a config variable of that app, or why they could not be counted. */
  reached: { app: string; keyspace: Keyspace | null; why: string }[];
  /** App → the release that all its dynos run; or why they don't. */
  releases: Record<string, number>;
  late: string;
}

export function validateInPlace({
  targetVersion,
  settings,
  lasting,
  after,
}: {
  targetVersion: string;
  /** Before. */
  settings: StoreSettings;
  /** Keys that don't expire, counted with the apps at rest right before; null: not counted. */
  lasting: number | null;
  after: AfterUpgrade;
}): Check[] {
  const { store, reached, releases, late } = after;
  const differs = differences(settings, store);
  const released = Object.entries(releases).map(([app, version]) => `${app} v${version}`);
  return [
    check({
      name: 'Version after the upgrade',
      expected: targetVersion,
      actual: `${store.version}, ${store.status}`,
      ...(isVersion(store.version, targetVersion) ? {} : { status: 'fail', waivable: true }),
    }),
    ...reached.map(({ app, keyspace, why }) =>
      check({
        name: `Reachable as ${app} reaches it`,
        expected: 'it answers',
        actual: keyspace === null ? why : `by ${keyspace.by}`,
        ...(keyspace === null
          ? { status: 'fail', waivable: true, next: 'Look at the app and at `heroku redis:info`.' }
          : {}),
      }),
    ),
    counted({ lasting, now: reached.find(({ keyspace }) => keyspace !== null)?.keyspace?.lasting ?? null }),
    check({
      name: 'Settings are as before',
      expected: 'policy, timeout and keyspace notifications as before',
      actual: differs.length === 0 ? 'as before' : differs.join('; '),
      ...(differs.length === 0
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'Set them with `heroku redis:maxmemory`, `redis:timeout` or `redis:keyspace-notifications`, then retry.',
          }),
    }),
    check({
      name: 'Dynos are up on the newest release',
      expected: 'all of them',
      actual: late === '' ? released.join(', ') : late,
      ...(late === ''
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'Look at `heroku ps` and the logs of the app, then retry.',
          }),
    }),
  ];
}

function counted({ lasting, now }: { lasting: number | null; now: number | null }): Check {
  const name = 'Keys are as many as before';
  if (lasting === null || now === null)
    return check({
      name,
      expected: 'those that do not expire',
      actual: 'not known: they could not be counted before and after',
      status: 'warn',
      next: 'Look into the application.',
    });
  return check({
    name,
    expected: `${lasting.toLocaleString('en')} that do not expire`,
    actual: now.toLocaleString('en'),
    ...(now < lasting
      ? {
          status: 'fail',
          waivable: true,
          next: 'Keys are missing, or somebody has deleted them since: compare with the snapshot.',
        }
      : {}),
  });
}

function differences(was: StoreSettings, is: StoreSettings): string[] {
  return (Object.keys(was) as (keyof StoreSettings)[])
    .filter((name) => was[name] !== is[name])
    .map((name) => `${name} was ${shown(was[name])} and is ${shown(is[name])}`);
}

const shown = (value: string | number): string => (value === '' ? 'off' : String(value));
