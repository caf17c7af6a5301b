/** What `herokuInPlace` says: the sentences of its plan, its gates and its receipt. */
import type { Happened, Hour, InPlaceFacts, KeysFile, Upgraded } from '../activities/heroku-in-place.js';
import type { HerokuInPlaceSettings } from '../inputs/heroku-in-place.js';
import { names } from './heroku-rest.js';

export function servers({ addon, store, account }: InPlaceFacts, input: HerokuInPlaceSettings) {
  return {
    addon: addon.name,
    plan: addon.plan,
    billingApp: addon.billingApp.name,
    account,
    from: store.version,
    to: input.targetVersion,
  };
}

export function snapshotSays({ addon }: InPlaceFacts): string[] {
  return [
    `read every key of ${addon.name} (DUMP, with its expiry) into a file on the worker that \`redis-cli --pipe\` puts back`,
    'the apps go on meanwhile, so it is not of one moment; the certificate, which Heroku signs itself, is not checked',
  ];
}

export function snapshotOf({ folder, name, keys, bytes, sha256 }: KeysFile): Record<string, unknown> {
  return { folder, file: name, keys, bytes, sha256 };
}

/** What an approval of gate "start" stands for. */
export function askSays({ addon, store, maintenance, atOnce }: InPlaceFacts, version: string): string[] {
  if (atOnce)
    return [
      `upgrade ${addon.name} from ${store.version} to ${version} at once (heroku redis:upgrade), which can't be taken back`,
    ];
  const open = maintenance.status !== 'none' && maintenance.status !== 'completed';
  return [
    `ask Heroku to upgrade ${addon.name} from ${store.version} to ${version} (heroku redis:upgrade): it prepares a maintenance, which nothing withdraws`,
    'once it is prepared, it runs by itself at its hour if nobody runs it or puts it off',
    'a version that Heroku does not offer is refused here, and nothing is changed then',
    ...(open
      ? [`a maintenance (${maintenance.reason ?? 'no reason given'}) is there already: it is taken over`]
      : []),
  ];
}

export function mayStart({ addon, store, atOnce, apps }: InPlaceFacts, version: string): string {
  const what = `${addon.name} from ${store.version} to ${version}`;
  return atOnce
    ? `Upgrade ${what} now? ${names({ apps })} come to rest first; the upgrade itself can't be taken back.`
    : `Ask Heroku to upgrade ${what}? That can't be taken back: once it is prepared, the maintenance runs by itself at its hour, also without you.`;
}

/** As it is shown in the state; with `last`, that it can't be put off any more. */
export function hourSays({ scheduledFor, requiredBy, window }: Hour): string {
  return [
    scheduledFor === null ? 'without an hour' : `runs by itself at ${scheduledFor}`,
    ...(requiredBy === null ? [] : [`required by ${requiredBy}`]),
    ...(window === null ? [] : [`window ${window}`]),
  ].join('; ');
}

export function mayRun(
  { addon, apps }: InPlaceFacts,
  { hour, last, postponeBefore }: { hour: Hour; last: boolean; postponeBefore: string },
): string {
  return [
    `Run the maintenance of ${addon.name} now? ${names({ apps })} come to rest first. Scheduler jobs and external writers must be off.`,
    hour.scheduledFor === null
      ? ''
      : last
        ? `It can't be put off any more: it runs by itself at ${hour.scheduledFor}, with the apps as they are, unless this is approved before.`
        : `If this is not approved it would run by itself at ${hour.scheduledFor}${hour.requiredBy === null ? '' : ` (required by ${hour.requiredBy})`}; ${postponeBefore} before that it is put off by a week.`,
  ]
    .filter(Boolean)
    .join(' ');
}

/** For the warnings; null where it is no news. */
export function happened(addon: string, { what, hour }: Happened): string {
  const at = hour.scheduledFor ?? 'no hour';
  switch (what) {
    case 'begun':
      return `The maintenance of ${addon} has run by itself, before gate "run" was approved: the apps were not at rest`;
    case 'postponed':
      return `The maintenance of ${addon} was put off to ${at}: nobody had approved gate "run" in time`;
    case 'last':
      return `The maintenance of ${addon} can't be put off any more: it runs by itself at ${at}`;
    case 'moved':
      return `The maintenance of ${addon} was moved to ${at}`;
  }
}

export function runSays({ addon, atOnce, store }: InPlaceFacts, version: string): string[] {
  return [
    atOnce
      ? `upgrade ${addon.name} from ${store.version} to ${version} at once (heroku redis:upgrade)`
      : `run the maintenance of ${addon.name} (heroku data:maintenances:run), which upgrades it from ${store.version} to ${version}`,
    'wait until it has completed, and until the store itself says the version',
  ];
}

export function upgraded({ version, seconds, startedAt, completedAt }: Upgraded): Record<string, unknown> {
  return { version, seconds, startedAt, completedAt };
}
