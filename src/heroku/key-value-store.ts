/**
 * What is known of a Heroku Key-Value Store (`heroku-redis`), by the Heroku CLI.
 *
 * Source: https://devcenter.heroku.com/articles/heroku-redis
 */
import { z } from 'zod';
import { FerryError } from '../errors.js';
import { rememberSecret } from '../platform/redact.js';
import { addOnsOf } from './add-ons.js';
import type { Asked } from './api.js';
import { heroku } from './cli.js';
import { jsonOfCli } from '../platform/json-of-cli.js';
import { isOpen, maintenanceInfo, type Maintenance } from './maintenances.js';
import { waitFor, type Waiting } from './wait.js';

/** What a fork doesn't bring along. */
export interface StoreSettings {
  /** Such as `noeviction`, `volatile-ttl`. */
  maxmemoryPolicy: string;
  /** Seconds after which an idle connection is closed; 0 is never. */
  timeout: number;
  /** Redis' letters, such as `KEA`; empty when off. */
  keyspaceNotifications: string;
}

export interface Store extends StoreSettings {
  name: string;
  /** Such as `Premium 0`. */
  plan: string;
  /** Such as `7.2.4`. */
  version: string;
  /** `available`, `preparing`, `fork in progress`, … */
  status: string;
  /** Null where it isn't said. */
  requiresTls: boolean | null;
  persistence: string | null;
  highAvailability: string | null;
  /** "not required", or what is to come. */
  maintenance: string | null;
  /** Everything that the CLI shows, by its names for it. */
  rows: Record<string, string>;
}

interface Of extends Asked {
  /** The add-on's name. */
  addon: string;
  /** Name of the app that pays for it. */
  app: string;
}

const Reply = z.array(
  z.object({
    name: z.string().optional(),
    version: z.string().optional(),
    // Holds the password: remembered so that it is redacted, and then dropped.
    resource_url: z.string().optional(),
    info: z.array(
      z.object({ name: z.string(), values: z.array(z.union([z.string(), z.number(), z.boolean()])) }),
    ),
  }),
);

/**
 * What `redis:info --json` says of one add-on; null where it says nothing of it.
 *
 * Timeout, policy and notifications exist only as they are shown to people.
 *
 * @throws FerryError UnexpectedReply
 */
export function parseStore({ stdout, addon }: { stdout: string; addon: string }): Store | null {
  const label = 'heroku redis:info';
  rememberUrls(stdout);
  const stores = jsonOfCli({ stdout, schema: Reply, label });
  const reply =
    stores.find(({ name }) => name === addon) ??
    // It was asked for by a text that is this one's alone.
    (stores.length === 1 ? stores.find(({ name }) => name === undefined) : undefined);
  if (reply === undefined) return null;
  const rows = Object.fromEntries(reply.info.map(({ name, values }) => [name, values.join(', ')]));
  const row = (name: string): string | undefined =>
    Object.entries(rows).find(([each]) => each.toLowerCase() === name)?.[1];
  const needed = (name: string): string => {
    const value = row(name);
    if (value !== undefined) return value;
    throw new FerryError('UnexpectedReply', `what ${label} said of ${addon} has no "${name}"`);
  };
  const timeout = /^\d+/.exec(needed('timeout'))?.[0];
  if (timeout === undefined)
    throw new FerryError(
      'UnexpectedReply',
      `what ${label} said of ${addon} has "${needed('timeout')}" as "timeout"`,
    );
  const notifications = row('keyspace notifications') ?? '';
  const tls = row('requires tls');
  return {
    name: addon,
    plan: needed('plan'),
    // "Version" may be of the product too: "Valkey 8.1.4".
    version: /\d+(?:\.\d+)*/.exec(reply.version ?? needed('version'))?.[0] ?? needed('version'),
    status: needed('status').toLowerCase(),
    maxmemoryPolicy: needed('maxmemory'),
    timeout: Number(timeout),
    keyspaceNotifications: /^(disabled|none|off)$/i.test(notifications) ? '' : notifications,
    requiresTls: tls === undefined ? null : /^(yes|true)$/i.test(tls),
    persistence: row('persistence') ?? null,
    highAvailability: row('ha status') ?? null,
    maintenance: row('maintenance') ?? null,
    rows,
  };
}

/** Also of a reply that no schema fits. */
function rememberUrls(text: string): void {
  for (const [url] of text.matchAll(/rediss?:\/\/[^\s"']+/g)) rememberSecret(url);
}

/** @throws FerryError NotFound, also while it is so new that there is nothing to tell; UnexpectedReply; and as `heroku` */
export async function storeInfo({ addon, app, signal }: Of): Promise<Store> {
  const handle = await handleOf({ addon, app, signal });
  const { stdout } = await heroku({
    args: ['redis:info', handle, '--app', app, '--json'],
    changes: false,
    signal,
  });
  // It ends with 0 and `[]` where there is none.
  const store = parseStore({ stdout, addon });
  if (store === null)
    throw new FerryError('NotFound', `heroku redis:info knows nothing of ${addon} on ${app}`);
  return store;
}

/**
 * What `redis:*` must be given to find this one and no other: it takes all whose name or config variable holds the text, so that
 * `redis-curly-1` finds `redis-curly-12` too. An id it doesn't know.
 *
 * @throws FerryError NotFound; ProviderRefused where no text is this one's alone; and as `request`
 */
async function handleOf({ addon, app, signal }: Of): Promise<string> {
  const addons = (await addOnsOf({ app, signal })).filter(({ service }) =>
    service.startsWith('heroku-redis'),
  );
  const wanted = addons.find(({ name }) => name === addon);
  if (wanted === undefined)
    throw new FerryError('NotFound', `the app ${app} has no Key-Value Store ${addon}`);
  const found = (text: string): number =>
    addons.filter(({ name, configVars }) =>
      [name, ...configVars].some((each) => each.toUpperCase().includes(text.toUpperCase())),
    ).length;
  const handle = [addon, ...wanted.configVars].find((text) => found(text) === 1);
  if (handle === undefined)
    throw new FerryError(
      'ProviderRefused',
      `the Heroku CLI can not tell ${addon} from the other Key-Value Stores of ${app}. Attach it there under a name that is no part of another one's`,
    );
  return handle;
}

/**
 * Until it is `available`, and of `version` where given: an upgrade in place of a mini plan, or a fork that has caught up.
 *
 * @throws FerryError NotReady with the status seen last; and as `storeInfo`
 */
export async function waitUntilAvailable({
  addon,
  app,
  version,
  ...waiting
}: Waiting & Pick<Of, 'addon' | 'app'> & { version?: string | undefined }): Promise<Store> {
  return waitFor({
    ...waiting,
    what: `${addon} to be available${version === undefined ? '' : ` on ${version}`}`,
    look: async () => {
      const store = await storeInfo({ addon, app, signal: waiting.signal }).catch(orUnknownYet);
      if (store === null) return { yet: 'not known yet' };
      if (store.status === 'available' && (version === undefined || isVersion(store.version, version)))
        return { done: store };
      return { yet: `${store.status}, ${store.version}` };
    },
  });
}

/** A fork is an add-on before it is a store. */
function orUnknownYet(error: unknown): null {
  if (error instanceof FerryError && error.type === 'NotFound') return null;
  throw error;
}

/** Whether `7.2.4` is the `7.2` that was asked for. */
export function isVersion(is: string, asked: string): boolean {
  return is === asked || is.startsWith(`${asked}.`);
}

/**
 * Sets those settings that differ. Gives what they were.
 *
 * @throws FerryError ProviderRefused; OutcomeUnknown; and as `storeInfo`
 */
export async function setStoreSettings({
  addon,
  app,
  to,
  signal,
}: Of & { to: Partial<StoreSettings> }): Promise<{ was: StoreSettings; did: boolean }> {
  const before = await storeInfo({ addon, app, signal });
  const commands = commandsFor(before, to);
  const was = {
    maxmemoryPolicy: before.maxmemoryPolicy,
    timeout: before.timeout,
    keyspaceNotifications: before.keyspaceNotifications,
  };
  if (commands.length === 0) return { was, did: false };
  const handle = await handleOf({ addon, app, signal });
  for (const [command, flag] of commands)
    await heroku({ args: [command, handle, '--app', app, flag], changes: true, again: true, signal });
  const now = await storeInfo({ addon, app, signal });
  const missing = commandsFor(now, to);
  if (missing.length > 0)
    throw new FerryError(
      'OutcomeUnknown',
      `${missing.map(([command]) => command).join(', ')} ended well, but ${addon} doesn't show it`,
    );
  return { was, did: true };
}

function commandsFor(
  is: StoreSettings,
  { maxmemoryPolicy, timeout, keyspaceNotifications }: Partial<StoreSettings>,
): Array<[command: string, flag: string]> {
  const commands: Array<[string, string]> = [];
  if (maxmemoryPolicy !== undefined && maxmemoryPolicy !== is.maxmemoryPolicy)
    commands.push(['redis:maxmemory', `--policy=${maxmemoryPolicy}`]);
  if (timeout !== undefined && timeout !== is.timeout)
    commands.push(['redis:timeout', `--seconds=${timeout}`]);
  if (keyspaceNotifications !== undefined && !sameLetters(keyspaceNotifications, is.keyspaceNotifications))
    commands.push(['redis:keyspace-notifications', `--config=${keyspaceNotifications}`]);
  return commands;
}

/** Redis gives them back in an order of its own, with `A` for all of them. */
function sameLetters(a: string, b: string): boolean {
  const letters = (text: string): string =>
    [...new Set(text.replaceAll('A', 'g$lshztxe'))].toSorted().join('');
  return letters(a) === letters(b);
}

export type Upgrade =
  /** It runs that version already. */
  | { kind: 'upgraded' }
  /** A mini plan: it is being upgraded right now (`waitUntilAvailable`). */
  | { kind: 'upgrading' }
  /** A maintenance does it: being prepared, prepared, or running. */
  | { kind: 'maintenance'; maintenance: Maintenance };

/**
 * How an upgrade to the version stands; null when it was not asked for. A maintenance that is open counts for it: whoever asks for an
 * upgrade makes sure first that none is.
 *
 * @throws as `storeInfo` and `maintenanceInfo`
 */
export async function upgradeOf({
  addon,
  app,
  version,
  signal,
}: Of & { version: string }): Promise<Upgrade | null> {
  const store = await storeInfo({ addon, app, signal });
  if (isVersion(store.version, version)) return { kind: 'upgraded' };
  // Mini plans have no maintenances: theirs are upgraded at once.
  if (/^mini/i.test(store.plan)) return /upgrad/.test(store.status) ? { kind: 'upgrading' } : null;
  const maintenance = await maintenanceInfo({ addon, app, signal });
  return isOpen(maintenance) ? { kind: 'maintenance', maintenance } : null;
}

/**
 * Asks for the upgrade in place, which can't be taken back: a mini plan is upgraded at once, any other gets a maintenance. One that was
 * asked for already is left alone.
 *
 * @throws FerryError ProviderRefused with Heroku's words (`versionsIn` finds the offered ones); OutcomeUnknown; and as `upgradeOf`
 */
export async function upgradeStore({
  addon,
  app,
  version,
  signal,
}: Of & { version: string }): Promise<Upgrade & { did: boolean }> {
  const before = await upgradeOf({ addon, app, version, signal });
  if (before !== null) return { ...before, did: false };
  const handle = await handleOf({ addon, app, signal });
  const failed = await heroku({
    args: ['redis:upgrade', handle, '--app', app, '--version', version, '--confirm', app],
    changes: true,
    signal,
  }).then(
    () => null,
    (error: unknown) => error,
  );
  signal?.throwIfAborted();
  // Also after a refusal: the CLI repeats a POST whose reply got lost, and the second one is refused because of the first.
  const after = await upgradeOf({ addon, app, version, signal });
  if (after !== null) return { ...after, did: true };
  throw (
    failed ??
    new FerryError(
      'OutcomeUnknown',
      `heroku redis:upgrade ended well, but neither ${addon} nor its maintenances show it`,
    )
  );
}

/** Versions that a refusal names, in its order, without the one that was asked for. */
export function versionsIn(message: string, asked: string): string[] {
  const all = [...message.matchAll(/(?<![\w.-])\d+\.\d+(?:\.\d+)?(?![\w-]|\.\d)/g)].map(
    ([version]) => version,
  );
  return [...new Set(all)].filter((version) => version !== asked);
}
