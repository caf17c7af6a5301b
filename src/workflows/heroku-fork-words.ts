/** What `herokuFork` says: the sentences of its plan, its checks, its questions and its break-glass card. */
import type { HerokuFacts } from '../activities/heroku-apps.js';
import type { Name } from '../activities/heroku-fork.js';
import type { Stragglers } from '../activities/closing.js';
import type { Check } from '../contract.js';
import type { HerokuForkSettings } from '../inputs/heroku-fork.js';
import type { Found } from './heroku-fork-preflight.js';

export { comparison } from './redis-copy-words.js';

/** "REDIS and CACHE of shop, REDIS of shop-canary" */
export function namesOf(names: readonly Name[]): string {
  const apps = [...new Set(names.map(({ app }) => app))];
  return apps
    .map((app) => `${names.flatMap((each) => (each.app === app ? [each.as] : [])).join(' and ')} of ${app}`)
    .join(', ');
}

/** For the receipt: what each app had, and how the store was set. */
export function asFound({ use, fork: { store } }: Found): Record<string, unknown> {
  return {
    plan: use.addon.plan,
    settings: {
      maxmemoryPolicy: store.maxmemoryPolicy,
      timeout: store.timeout,
      keyspaceNotifications: store.keyspaceNotifications,
    },
    apps: Object.fromEntries(
      use.apps.map(({ name, attachments, maintenance, formation }) => [
        name,
        {
          attachments,
          maintenance,
          formation: formation.map(({ type, quantity, size }) => `${type}=${quantity}:${size}`),
        },
      ]),
    ),
  };
}

type Price = HerokuFacts['addon']['price'];

export function price(of: Price): string {
  if (of === null) return 'what, Heroku does not say';
  return of.contract ? 'by contract' : `${(of.cents / 100).toFixed(2)} $ a ${of.unit}`;
}

/** Both are paid for until the old one is destroyed. */
export function prices({ use, fork, plan }: Found): string {
  const its = fork.plans.find(({ name }) => name === plan)?.price ?? null;
  return `${use.addon.billingApp.name} pays for both until the old one is destroyed: ${price(its)} for the fork (${plan}), ${price(use.addon.price)} for ${use.addon.name} (${use.addon.plan})`;
}

/** What the provider wants, and when; empty when nothing. */
export function deadline({ fork: { maintenance } }: Found): string[] {
  return maintenance.requiredBy === null || ['none', 'completed'].includes(maintenance.status)
    ? []
    : [`Heroku requires a maintenance of the old one by ${maintenance.requiredBy}; it goes with it`];
}

export const DEGRADED =
  'the apps run without Redis: logins and sessions are forgotten until the promotion, and those made meanwhile for good; caches are empty; jobs can not be queued';

export function startQuestion(input: HerokuForkSettings, { use, fork, apps }: Found): string {
  const how =
    input.mode === 'maintenance'
      ? `${apps.join(', ')} in maintenance mode meanwhile`
      : `${apps.join(', ')} without Redis meanwhile`;
  return `Fork ${use.addon.name} (${fork.store.version} → ${input.targetVersion}), ${how}?`;
}

export function forkDoes(
  input: HerokuForkSettings,
  found: Found,
  { forks, leader }: { forks: readonly [string, string]; leader: string },
): string[] {
  const [first, second] = forks;
  const billing = found.use.addon.billingApp.name;
  return [
    `make ${first} (${found.plan}, ${input.targetVersion}) on ${billing}, attached as NEW_REDIS, as a fork of what ${leader} of ${billing} is then, over TLS`,
    prices(found),
    ...deadline(found),
    `wait for at most ${input.forkWithin} until it can be used`,
    input.forkOverClearPort
      ? `should it not hear of its leader for ${input.stuckAfter}: destroy it, and make ${second} over the clear port (redis://, not encrypted)`
      : `should it not hear of its leader for ${input.stuckAfter}: ask`,
  ];
}

/** Over TLS. */
export function stuck(fork: string, { seen, seconds }: { seen: string; seconds: number }): string {
  return `${fork} is stuck: for ${seconds} s ${seen}. Heroku shows no log of it. So looks a fork over TLS that does not trust the certificate of its leader, which is self-signed; over the clear port (redis://) there is none to be checked`;
}

export function stuckChoices(first: string, second: string) {
  return {
    retry: `wait for ${first} once more`,
    continue: `destroy ${first} and make ${second} over the clear port: the data and the password go unencrypted between the two`,
  };
}

export interface Back {
  billing: string;
  /** Config variable of the billing app that holds the fork's address, and the one of the old add-on. */
  from: string;
  to: string;
  apps: readonly string[];
}

/** What going back loses once an app uses the fork, and how it can be kept. */
export function loses(fork: string, input: HerokuForkSettings, { billing, from, to, apps }: Back): string {
  const endpoint = (key: string) => ({ herokuConfig: { app: billing, key }, tls: { insecure: true } });
  const copy = {
    name: `${input.name}-back`,
    source: endpoint(from),
    target: endpoint(to),
    writes: 'stopped',
    ifTargetHasKeys: 'replace',
  };
  return `what the apps have written to ${fork} since they use it. To keep it, carry it over first, while nobody writes (${apps.map((app) => `heroku maintenance:on -a ${app}`).join('; ')}; workers at 0): ferry start redisCopy --input '${JSON.stringify(copy)}' (keys that were deleted meanwhile come back); then go back`;
}

export function stragglers(seen: Stragglers, old: string): Check {
  const wrote = seen.changed ?? 0;
  const clients = (seen.clientSample ?? [])
    .slice(0, 3)
    .map(({ address, name }) => name || address)
    .join(', ');
  const actual = [
    wrote > 0
      ? `${wrote.toLocaleString('en')} keys changed (${seen.changedSample.slice(0, 3).join(', ')})`
      : seen.changed === null
        ? 'whether keys changed is not known'
        : 'no key changed',
    seen.clients
      ? `${seen.clients.toLocaleString('en')} clients were connected (${clients})`
      : 'no client was connected',
  ].join('; ');
  const used = wrote > 0 || (seen.clients ?? 0) > 0 || seen.changed === null;
  return {
    name: 'Nobody writes to the old add-on any more',
    status: wrote > 0 ? 'fail' : used ? 'warn' : 'pass',
    expected: 'no write, no client',
    actual,
    ...(used
      ? {
          next: `Find who still has the address of ${old} otherwise than by its attachment.${wrote > 0 ? ' What they wrote there is not on the fork: carry it over by hand.' : ''}`,
        }
      : {}),
    waivable: wrote > 0,
  };
}

/** One of each by hand. */
export const byHand = {
  attach: (addon: string, names: readonly Name[], { replace }: { replace: boolean }): string[] =>
    names.map(
      ({ app, as }) =>
        `heroku addons:attach ${addon} --as ${as} -a ${app}${replace ? ` --confirm ${app}` : ''}`,
    ),
  detach: (names: readonly Name[]): string[] =>
    names.map(({ app, as }) => `heroku addons:detach ${as} -a ${app}`),
};
