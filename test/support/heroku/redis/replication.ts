/* Forks and failovers, both by real replication. */
import { setTimeout as pause } from 'node:timers/promises';
import { parseInfo } from '../../../../src/redis/info.js';
import { release } from '../platform/releases.js';
import { appOf, attachmentsOf, isGone, urlsOf, type Addon, type World } from '../state.js';
import { applySettings, startStore, type Store } from './store.js';

/** Has the server follow the one of that URL, as the operator does for `--fork`. */
export async function follow(store: Store, url: string): Promise<void> {
  const leader = new URL(url);
  await store.operate(async (call) => {
    await call('CONFIG', 'SET', 'masterauth', decodeURIComponent(leader.password));
    if (leader.username !== '')
      await call('CONFIG', 'SET', 'masteruser', decodeURIComponent(leader.username));
    await call('CONFIG', 'SET', 'tls-replication', leader.protocol === 'rediss:' ? 'yes' : 'no');
    await call('REPLICAOF', leader.hostname, leader.port || '6379');
  });
}

/** Waits as long as it takes: for ever, when the link is down for good. Null when the add-on is gone before. */
export async function untilInSync(addon: Addon, store: Store): Promise<Store | null> {
  while (!isGone(addon)) {
    const facts = parseInfo(String(await store.operate((call) => call('INFO', 'replication'))));
    if (facts['master_link_status'] === 'up' && facts['master_sync_in_progress'] === '0') return store;
    await pause(50);
  }
  return null;
}

export async function promote(store: Store): Promise<void> {
  await store.operate(async (call) => {
    await call('REPLICAOF', 'NO', 'ONE');
    await call('CONFIG', 'SET', 'masterauth', '');
    await call('CONFIG', 'SET', 'tls-replication', 'no');
  });
}

/** A server of the new version that is in sync with the add-on's own. */
export async function prepareFollower(world: World, addon: Addon, version: string): Promise<Store | null> {
  const follower = await startStore(world, addon, version);
  const { clear, tls } = urlsOf(addon);
  // Without a clear port there is only TLS, and the operator trusts its own certificate.
  if (clear === null)
    await follower.operate((call) =>
      call('CONFIG', 'SET', 'tls-ca-cert-file', world.certificates.trustsServers),
    );
  await follow(follower, clear ?? tls);
  const inSync = await untilInSync(addon, follower);
  if (!inSync) await follower.stop();
  return inSync;
}

/** The follower takes over. What clients write to the old server from here on is lost, as is documented. */
export async function failOver(world: World, addon: Addon, follower: Store): Promise<void> {
  const old = addon.store;
  if (!old) throw new Error(`${addon.name} has no server`);
  await promote(follower);
  await pause(world.timing.loss);
  await old.stop();
  const store = world.keepsPorts ? await follower.moveTo(old) : follower;
  await applySettings(store, addon.settings);
  addon.store = store;
  addon.version = store.version;
  if (world.keepsPorts) return;
  for (const { name, app } of attachmentsOf(world, addon))
    release(world, appOf(world, app), `Update ${name} by heroku-redis`);
}
