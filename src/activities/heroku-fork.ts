/** A fork of a Key-Value Store at Heroku: made, waited for, promoted app by app; given back and destroyed again where it is undone. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Check, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import {
  addOnInfo,
  createAddOn,
  destroyAddOn,
  findAddOn,
  isGoing,
  waitUntilProvisioned,
  type AddOn,
} from '../heroku/add-ons.js';
import { attach, attachmentsOf, attachmentsOn, detach, findAttachment } from '../heroku/attachments.js';
import { isVersion, setStoreSettings, storeInfo, type StoreSettings } from '../heroku/key-value-store.js';
import { maintenanceInfo, type Maintenance } from '../heroku/maintenances.js';
import { plansOf, type Plan } from '../heroku/plans.js';
import { dynosUp } from '../heroku/standstill.js';
import { leaderUrl, tlsKeyOf } from '../heroku/store-url.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { useOf, usedMore, wroteMore, type Use } from '../redis/decommission/use.js';
import { describe, type ServerFacts } from '../redis/describe.js';
import { keyspaceIn, parseInfo } from '../redis/info.js';
import { check } from '../redis/preflight/check.js';
import { isDeaf, lookAtFork, wordsOf } from '../redis/replication/forked.js';
import { atEndpoint } from './asking.js';
import { border, type Border } from './border.js';
import { addressOf, STARTING_MS } from './heroku-apps.js';

export type { Plan } from '../heroku/plans.js';

/** An attachment: an app, and the name that it has the add-on under. */
export interface Name {
  app: string;
  as: string;
}

/** What a fork needs to know beside what uses the add-on (`describeAddOn`). */
export interface ForkFacts {
  store: { version: string; status: string } & StoreSettings;
  maintenance: Maintenance;
  /** All that the service offers today. */
  plans: Plan[];
  /** Attachments that stand where temporary ones are to be: `OLD_REDIS of shop (redis-curly-1)`. */
  taken: string[];
  /** Ending of the config variable that holds its TLS address: `_URL`, or `_TLS_URL` on mini plans. */
  ending: string;
  /** Whether that address is `rediss://`. */
  secure: boolean;
  server: ServerFacts;
}

/** What temporary attachments are called. */
const TEMPORARY = ['OLD_REDIS', 'NEW_REDIS'];

/** The certificate of a store is Heroku's own: nobody can check it. */
const UNPROVEN = { insecure: true };

export async function describeFork(input: {
  addon: string;
  service: string;
  /** Pays for it, and has it under that name. */
  at: Name;
  apps: string[];
}): Promise<ForkFacts> {
  return border(async ({ signal, hand }) => {
    const { addon, service, at, apps } = input;
    const of = { addon, app: at.app, signal };
    const [store, maintenance, plans] = await Promise.all([
      storeInfo(of),
      maintenanceInfo(of),
      plansOf({ service, signal }),
    ]);
    const { version, status, maxmemoryPolicy, timeout, keyspaceNotifications } = store;
    const taken: string[] = [];
    for (const app of apps)
      for (const each of await attachmentsOn({ app, signal }))
        if (TEMPORARY.includes(each.name)) taken.push(`${each.name} of ${app} (${each.addon.name})`);
    const key = await tlsKeyOf({ ...at, signal });
    const address = await addressOf({ app: at.app, key, signal });
    return {
      store: { version, status, maxmemoryPolicy, timeout, keyspaceNotifications },
      maintenance,
      plans,
      taken,
      ending: key.slice(at.as.length),
      secure: address.tls !== undefined,
      server: await describe({ address, name: hand, signal }),
    };
  });
}

/** The databases that hold keys on either side, and how the old one is used, before they are compared. */
export async function lookAtBoth(input: {
  old: RedisEndpoint;
  fork: RedisEndpoint;
}): Promise<{ databases: number[]; old: Use }> {
  return border(async (b) => {
    const where = 'the add-on';
    const keyspace = async (client: Redis): Promise<number[]> =>
      Object.keys(keyspaceIn(parseInfo(String(await client.call('INFO', 'keyspace'))))).map(Number);
    // First: what is written from here on shows, in whichever database.
    const use = await atEndpoint(b, { endpoint: input.old, where }, (client) => useOf({ client }));
    const databases = new Set([
      0,
      ...(await atEndpoint(b, { endpoint: input.old, where }, keyspace)),
      ...(await atEndpoint(b, { endpoint: input.fork, where }, keyspace)),
    ]);
    return { databases: [...databases].toSorted((a, c) => a - c), old: use };
  });
}

interface Attaching {
  /** Name of the add-on. */
  addon: string;
  names: Name[];
}

/** Attaches the add-on under each of these names. A name is taken `from` these add-ons, and from no other that has got it meanwhile. */
export async function attachNames({
  addon: name,
  names,
  from,
}: Attaching & { from: string[] }): Promise<UndoResult> {
  return border(async (b) => {
    const addon = await addOnInfo({ addon: name, signal: b.signal });
    let did = false;
    for (const each of names) did = (await take(b, addon, each, from)) || did;
    await untilRestarted(b, names);
    return did ? {} : { note: 'it was so already' };
  });
}

/** An attempt that slept through its turn takes no name any more: an undo may have given it back since. */
async function take(
  { signal, stillCurrent }: Pick<Border<never>, 'signal' | 'stillCurrent'>,
  addon: AddOn,
  { app, as }: Name,
  from: readonly string[],
): Promise<boolean> {
  await stillCurrent();
  const holder = await findAttachment({ app, as, signal });
  const replace = holder !== null && from.includes(holder.addon.name);
  return (await attach({ addon, app, as, replace, signal })).did;
}

/** Detaches it from each of these names. One that has become another add-on's is left alone. */
export async function detachNames({ addon: name, names }: Attaching): Promise<UndoResult> {
  return border(async (b) => {
    const addon = await findAddOn({ addon: name, signal: b.signal });
    if (addon === null) return { note: 'the add-on has gone' };
    for (const each of names) {
      await b.stillCurrent();
      await detach({ addon, ...each, signal: b.signal });
    }
    await untilRestarted(b, names);
    return {};
  });
}

/** Two requests a look, one app at a time: a restart takes less than a minute, and 4,500 an hour are allowed. */
const LOOK_AT_DYNOS = 1_000;

/** Only a dyno that was started since has the config variables of now, and one that still runs may write with those of before. */
async function untilRestarted(
  { signal }: Pick<Border<unknown>, 'signal'>,
  names: readonly Name[],
): Promise<void> {
  const apps = [...new Set(names.map(({ app }) => app))];
  await dynosUp({ apps, deadline: STARTING_MS, every: LOOK_AT_DYNOS, signal });
}

/** One add-on of that name, whatever is retried. The URL is read just before, and goes in the body of the request. */
export async function makeFork(input: {
  /** Pays for it; has the leader as `leader`. */
  app: string;
  name: string;
  plan: string;
  version: string;
  attachment: string;
  leader: string;
  over: 'tls' | 'clear';
}): Promise<{ name: string }> {
  return border(async ({ signal, stillCurrent }) => {
    const { app, name, plan, version, attachment, leader, over } = input;
    await createAddOn({
      app,
      name,
      plan,
      attachment,
      config: async () => {
        // Asked for right before it is made.
        await stillCurrent();
        return { fork: await leaderUrl({ app, as: leader, over, signal }), version };
      },
      signal,
    });
    return { name };
  });
}

export type ForkStands =
  | { state: 'ready'; version: string; keys: number; seconds: number }
  /** It will never be in sync: what was seen, for how long. */
  | { state: 'stuck'; seen: string; seconds: number };

const LOOK_EVERY = 1_000;

/** Until it is a server of its own that can be used, or is seen to be stuck. */
export async function waitForFork(input: {
  app: string;
  name: string;
  endpoint: RedisEndpoint;
  keys: number;
  within: number;
  stuckAfter: number;
}): Promise<ForkStands> {
  return border<ForkStands>(async (b) => {
    const { app, name, endpoint, keys, within, stuckAfter } = input;
    const began = performance.now();
    const seconds = (): number => Math.round((performance.now() - began) / 1_000);
    await waitUntilProvisioned({ addon: name, deadline: within, every: LOOK_EVERY, signal: b.signal });
    let deafSince: number | null = null;
    for (;;) {
      const { forked, seen } = await sightOf(b, endpoint);
      if (forked?.parted) {
        const { status, version } = await storeInfo({ addon: name, app, signal: b.signal });
        if (status === 'available') return { state: 'ready', version, keys: forked.keys, seconds: seconds() };
      }
      deafSince = forked && isDeaf(forked) ? (deafSince ?? performance.now()) : null;
      if (deafSince !== null && performance.now() - deafSince >= stuckAfter)
        return { state: 'stuck', seen, seconds: Math.round((performance.now() - deafSince) / 1_000) };
      b.show({
        step: 'Make the fork',
        done: forked?.keys ?? 0,
        total: keys,
        unit: 'keys',
        counts: { linked: forked?.linked ? 1 : 0, syncing: forked?.syncing ? 1 : 0 },
      });
      if (performance.now() - began > within)
        throw new FerryError('NotReady', `${name} can not be used after ${seconds()} s: ${seen}`);
      await sleep(LOOK_EVERY, undefined, { signal: b.signal });
    }
  });
}

/** While it loads, or is not there yet, nothing is known of it. */
async function sightOf(b: Pick<Border<never>, 'hand' | 'signal'>, endpoint: RedisEndpoint) {
  try {
    const forked = await atEndpoint(b, { endpoint, where: 'the fork' }, (client) => lookAtFork({ client }));
    return { forked, seen: wordsOf(forked) };
  } catch (error) {
    b.signal.throwIfAborted();
    if (!(error instanceof FerryError)) throw error;
    return { forked: null, seen: error.message };
  }
}

/** Destroys forks of this upgrade, by their names. One that an app still uses is left, and a person is asked. */
export async function destroyForks({ names }: { names: string[] }): Promise<UndoResult> {
  return border(async ({ signal }) => {
    const gone: string[] = [];
    for (const name of names) {
      const found = await findAddOn({ addon: name, signal });
      if (found === null || isGoing(found)) continue;
      const used = (await attachmentsOf({ addon: found.id, signal })).filter(
        (each) => !TEMPORARY.includes(each.name),
      );
      if (used.length > 0)
        throw new FerryError(
          'Unclear',
          `${name} is still ${used.map((each) => `${each.name} of ${each.app}`).join(' and ')}: it is not destroyed`,
        );
      await destroyAddOn({ addon: found.id, signal });
      gone.push(name);
    }
    return { note: gone.length > 0 ? `${gone.join(' and ')} destroyed` : 'there was none' };
  });
}

/** What a fork doesn't bring along. Gives what was changed: `timeout: 300 → 600`. */
export async function carrySettings(input: {
  app: string;
  from: string;
  to: string;
}): Promise<{ changed: string[] }> {
  return border(async ({ signal }) => {
    const { app, from, to } = input;
    const { maxmemoryPolicy, timeout, keyspaceNotifications } = await storeInfo({ addon: from, app, signal });
    const wanted = { maxmemoryPolicy, timeout, keyspaceNotifications };
    const { was } = await setStoreSettings({ addon: to, app, to: wanted, signal });
    return {
      changed: (['maxmemoryPolicy', 'timeout', 'keyspaceNotifications'] as const)
        .filter((name) => was[name] !== wanted[name])
        .map((name) => `${name}: ${was[name] || 'none'} → ${wanted[name] || 'none'}`),
    };
  });
}

/** The server was not written to since: whatever was copied and compared then is all there is. */
export async function proveUnwritten(input: {
  server: RedisEndpoint;
  shown: string;
  since: Use;
}): Promise<{ now: Use }> {
  return border(async (b) => {
    const server = { endpoint: input.server, where: input.shown };
    const now = await atEndpoint(b, server, (client) => useOf({ client }));
    const wrote = wroteMore({ seen: input.since, now });
    if (wrote !== null)
      throw new FerryError(
        'SourceChanged',
        `${input.shown} was used although no app should write to it: ${wrote}. The fork does not have that`,
      );
    return { now };
  });
}

export interface GivingBack {
  /** Gets the names back. */
  old: string;
  names: Name[];
  fork: string;
  /** Where the fork stays attached, so that it can still be asked, and under which name. */
  keptAs: Name;
  /** The fork as it was before any app used it. */
  seen: Use | null;
}

/** Undo of a promotion: the old add-on has its names again. A fork that was written to meanwhile is not destroyed afterwards. */
export async function giveBack(input: GivingBack): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { signal } = b;
    const { old: oldName, names, fork: forkName, keptAs } = input;
    const old = await addOnInfo({ addon: oldName, signal });
    const fork = await findAddOn({ addon: forkName, signal });
    // Its last attachment can't be taken away from it on the app that pays.
    if (fork !== null) await attach({ addon: fork, ...keptAs, signal });
    for (const each of names) await take(b, old, each, [forkName]);
    await untilRestarted(b, names);
    if (fork === null) return { note: 'the fork has gone' };
    const key = await tlsKeyOf({ ...keptAs, signal });
    const endpoint = { herokuConfig: { app: keptAs.app, key }, tls: UNPROVEN };
    const wrote = await writtenTo(b, endpoint, input.seen);
    if (wrote === null) return {};
    const because = `${forkName} is kept as ${keptAs.as} of ${keptAs.app}, with what the apps wrote there (${wrote}). Once that is of no use: heroku addons:destroy ${forkName} --app ${keptAs.app} --confirm ${keptAs.app}`;
    return { note: `${forkName} is kept`, keep: { steps: ['Make the fork'], because } };
  });
}

/** Null only when it is known that nothing was. */
async function writtenTo(
  b: Pick<Border<never>, 'hand' | 'signal'>,
  endpoint: RedisEndpoint,
  seen: Use | null,
): Promise<string | null> {
  if (seen === null) return 'what, is not known';
  try {
    const now = await atEndpoint(b, { endpoint, where: 'the fork' }, (client) => useOf({ client }));
    return wroteMore({ seen, now });
  } catch (error) {
    b.signal.throwIfAborted();
    return `what, is not known: ${error instanceof FerryError ? error.message : 'it can not be asked'}`;
  }
}

/** Destroys the old add-on, data and all, once nobody has come since a person looked. Gone already is done. */
export async function destroyOld(input: {
  addon: string;
  /** Attachments on other apps than the one that pays: Heroku destroys nothing that they have. */
  elsewhere: Name[];
  server: RedisEndpoint;
  seen: Use | null;
}): Promise<{ was: 'there' | 'gone' }> {
  return border(async (b) => {
    const { signal } = b;
    const found = await findAddOn({ addon: input.addon, signal });
    if (found === null || isGoing(found)) return { was: 'gone' as const };
    const server = { endpoint: input.server, where: input.addon };
    const now = await atEndpoint(b, server, (client) => useOf({ client }));
    const used = input.seen === null ? 'nobody has looked' : usedMore({ seen: input.seen, now });
    if (used !== null) throw new FerryError('StillUsed', `${input.addon} is still used: ${used}`);
    await b.stillCurrent();
    for (const each of input.elsewhere) await detach({ addon: found, ...each, signal });
    return destroyAddOn({ addon: found.id, signal });
  });
}

/** Whether every app has what it is to have, and whether the old one was written to after all. */
export async function validateFork(input: {
  fork: string;
  names: Name[];
  /** Pays for it. */
  app: string;
  version: string;
  server: RedisEndpoint;
  old: { addon: string; server: RedisEndpoint; since: Use | null };
}): Promise<{ checks: Check[]; wrote: string | null; use: Use }> {
  return border(async (b) => {
    const { signal } = b;
    const { fork, names, app, version, server, old } = input;
    const attached = (await attachmentsOf({ addon: fork, signal })).map(
      (each) => `${each.name} of ${each.app}`,
    );
    const wanted = names.map(({ app: of, as }) => `${as} of ${of}`);
    const store = await storeInfo({ addon: fork, app, signal });
    const forked = await atEndpoint(b, { endpoint: server, where: fork }, (client) => lookAtFork({ client }));
    const now = await atEndpoint(b, { endpoint: old.server, where: old.addon }, (client) =>
      useOf({ client }),
    );
    const wrote = old.since === null ? 'what, is not known' : wroteMore({ seen: old.since, now });
    const lists = (all: readonly string[]): string => all.toSorted().join(', ') || 'nothing';
    return {
      wrote,
      use: now,
      checks: [
        check({
          name: 'Every app has the fork',
          expected: lists(wanted),
          actual: lists(attached),
          ...(lists(wanted) === lists(attached)
            ? {}
            : {
                status: 'fail' as const,
                next: 'Somebody changed the attachments meanwhile. Look at them, then retry.',
              }),
        }),
        check({
          name: 'The fork runs the version',
          expected: version,
          actual: `${store.version}, ${store.status}`,
          ...(isVersion(store.version, version) && store.status === 'available'
            ? {}
            : { status: 'fail' as const, next: 'Look at it with `heroku redis:info`, then retry.' }),
        }),
        check({
          name: 'The fork takes writes',
          expected: 'it has parted from its leader',
          actual: wordsOf(forked),
          ...(forked.parted
            ? {}
            : { status: 'fail' as const, next: 'Ask Heroku why it did not, or go back.' }),
        }),
        check({
          name: 'Nothing was written to the old add-on since the comparison',
          expected: 'no write',
          actual: wrote ?? 'none',
          ...(wrote === null
            ? {}
            : {
                status: 'fail' as const,
                waivable: true,
                next: 'What was written there is not on the fork: carry it over by hand, or waive it when it is of no use.',
              }),
        }),
      ],
    };
  });
}
