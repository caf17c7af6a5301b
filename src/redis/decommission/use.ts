/**
 * Whether anybody still uses a server that was left: who is connected, and which commands about data were run since a moment. The
 * latter is what proves it: an application that connects for a second every hour is in no list of clients.
 */
import type { Redis } from 'ioredis';
import type { Check } from '../../contract.js';
import { clientsIn } from '../clients.js';
import { failureOn, messageOf } from '../connect.js';
import { parseInfo } from '../info.js';
import { check, count } from '../preflight/check.js';

/** What a server says of its use at a moment. Plain data, without keys and values. */
export interface Use {
  /** Of this run of the process; its counters begin anew with it. */
  runId: string;
  offset: number;
  /** Changes since its last save, and when that was. */
  dirty: number;
  lastSave: number;
  keys: number;
  expired: number;
  evicted: number;
  /** Calls of commands that read or write keys; null where the server doesn't tell. */
  calls: Record<'read' | 'write', Record<string, number>> | null;
  /** Without our own connections, monitors and replicas; null where CLIENT LIST isn't permitted. At most 20. */
  clients: { address: string; name: string; command: string }[] | null;
  clientCount: number;
  monitors: number;
  replicas: number;
}

/** Last commands of whoever only looks whether it is there. */
const MONITORING = /^(ping|info|dbsize|lastsave|role|slowlog|latency|config)(\||$)/i;
/** Commands flagged as reading that monitors use; they read no value. */
const COUNTING = /^(dbsize|memory|xinfo|lolwut)(\||$)/i;
const SAMPLE = 20;

/** @throws FerryError */
export async function useOf({ client }: { client: Redis }): Promise<Use> {
  try {
    const info = parseInfo(
      `${String(await client.call('INFO'))}\n${String(await client.call('INFO', 'commandstats'))}`,
    );
    const number = (name: string): number => Number(info[name] ?? 0);
    const listed = await clientsIn({ client }).catch(() => null);
    const monitors = listed?.ordinary.filter(
      ({ command, subscriber }) => !subscriber && MONITORING.test(command),
    );
    const users = listed?.ordinary.filter((one) => !monitors?.includes(one));
    return {
      runId: info['run_id'] ?? '',
      offset: number('master_repl_offset'),
      dirty: number('rdb_changes_since_last_save'),
      lastSave: number('rdb_last_save_time'),
      keys: Object.entries(info).reduce(
        (sum, [name, value]) => sum + (/^db\d+$/.test(name) ? Number(/keys=(\d+)/.exec(value)?.[1] ?? 0) : 0),
        0,
      ),
      expired: number('expired_keys'),
      evicted: number('evicted_keys'),
      calls: callsIn(info, await flagsOf(client)),
      clients:
        users?.slice(0, SAMPLE).map(({ address, name, command }) => ({ address, name, command })) ?? null,
      clientCount: users?.length ?? 0,
      monitors: monitors?.length ?? 0,
      replicas: number('connected_slaves'),
    };
  } catch (error) {
    throw failureOn(client, error);
  }
}

/** Each command's flags, by the name that INFO commandstats gives it; null where COMMAND isn't permitted. */
async function flagsOf(client: Redis): Promise<Map<string, Set<string>> | null> {
  const flags = new Map<string, Set<string>>();
  const take = (entry: unknown): void => {
    if (!Array.isArray(entry)) return;
    const [name, , flagged, , , , , , , subcommands]: unknown[] = entry;
    if (typeof name === 'string' && Array.isArray(flagged))
      flags.set(name.toLowerCase(), new Set(flagged.map(String)));
    if (Array.isArray(subcommands)) subcommands.forEach(take);
  };
  try {
    const reply: unknown = await client.call('COMMAND');
    if (Array.isArray(reply)) reply.forEach(take);
  } catch (error) {
    if (!/NOPERM|unknown command/i.test(messageOf(error))) throw error;
    return null;
  }
  return flags;
}

function callsIn(info: Record<string, string>, flags: Map<string, Set<string>> | null): Use['calls'] {
  if (!flags) return null;
  const calls: NonNullable<Use['calls']> = { read: {}, write: {} };
  for (const [key, value] of Object.entries(info)) {
    const name = /^cmdstat_(.+)$/.exec(key)?.[1];
    const called = Number(/calls=(\d+)/.exec(value)?.[1] ?? 0);
    if (name === undefined || called === 0 || COUNTING.test(name)) continue;
    const flagged = flags.get(name) ?? flags.get(name.split('|')[0] ?? '');
    if (flagged?.has('write')) calls.write[name] = called;
    else if (flagged?.has('readonly')) calls.read[name] = called;
  }
  return calls;
}

export interface UseSince {
  checks: Check[];
  now: Use;
}

/** Since when nobody was to use it, in words. */
const CLOSED = 'the way back was closed';

/** `since`: right after the way back was closed, or what `moment` says. */
export function useSince({
  since,
  now,
  moment = CLOSED,
}: {
  since: Use;
  now: Use;
  moment?: string | undefined;
}): UseSince {
  return { checks: [connected(now), written(since, now, moment), read(since, now, moment)], now };
}

/** What was written since, in words; null when nothing was. A restart, after which nothing is known, counts as a write. */
export function wroteMore({ seen, now }: { seen: Use; now: Use }): string | null {
  if (seen.runId !== now.runId) return 'it was restarted since';
  const wrote = more(seen, now, 'write');
  if (wrote.length > 0) return `it was written to since (${wrote.join(', ')})`;
  return changed(seen, now) > 0 ? 'it was written to since' : null;
}

/** What came after a person looked, in words; null when nothing did. */
export function usedMore({ seen, now }: { seen: Use; now: Use }): string | null {
  const wrote = wroteMore({ seen, now });
  if (wrote !== null) return wrote;
  const got = more(seen, now, 'read');
  if (got.length > 0) return `it was read since (${got.join(', ')})`;
  const known = new Set(seen.clients?.map(({ address }) => address));
  const fresh = now.clients?.filter(({ address }) => !known.has(address)) ?? [];
  if (fresh.length > 0 || now.replicas > seen.replicas)
    return `somebody connected since (${fresh.map(nameOf).join(', ') || 'a replica'})`;
  return null;
}

function connected({ clients, clientCount, monitors, replicas }: Use): Check {
  const names = (clients ?? []).slice(0, 5).map(nameOf).join(', ');
  const found = [
    ...(clientCount > 0 ? [`${count(clientCount, 'client')} (${names})`] : []),
    ...(replicas > 0 ? [`${count(replicas, 'replica')} that follow it`] : []),
  ];
  return check({
    name: 'Nobody is connected to the old server',
    expected: 'no client, and no replica',
    actual:
      clients === null
        ? 'not known: CLIENT LIST is not permitted'
        : `${found.join(' and ') || 'nobody'}${monitors > 0 ? `; ${count(monitors, 'connection')} of monitors` : ''}`,
    ...(found.length > 0 || clients === null
      ? {
          status: 'fail',
          waivable: true,
          next: 'Send them to the new server, or end them; then retry.',
        }
      : {}),
  });
}

function written(since: Use, now: Use, moment: string): Check {
  const calls = more(since, now, 'write');
  const changes = changed(since, now);
  const trouble =
    since.runId !== now.runId
      ? 'it was restarted since, so its counters tell nothing'
      : calls.length > 0
        ? calls.join(', ')
        : changes > 0
          ? count(changes, 'change')
          : null;
  return check({
    name: 'Nothing was written to the old server',
    expected: `no write since ${moment}`,
    actual:
      trouble ?? `none; ${count(now.keys, 'key')}, ${count(now.expired - since.expired, 'key')} expired`,
    ...(trouble === null
      ? {}
      : {
          status: 'fail',
          waivable: true,
          next: 'Somebody still writes there, which nobody sees on the new server. Find out who; waive it once those writes are of no use.',
        }),
  });
}

function read(since: Use, now: Use, moment: string): Check {
  const calls = more(since, now, 'read');
  return check({
    name: 'Nothing was read from the old server',
    expected: `no read since ${moment}`,
    actual: now.calls === null ? 'not known: COMMAND is not permitted' : calls.join(', ') || 'none',
    ...(calls.length > 0
      ? {
          status: 'fail',
          waivable: true,
          next: 'Somebody still reads there: it would fail without the server. Find out who; waive it when it was a person or a monitor.',
        }
      : now.calls === null
        ? { status: 'warn', next: 'Only who is connected now is known.' }
        : {}),
  });
}

/** `set ×12`, the most called first. */
function more(since: Use, now: Use, kind: 'read' | 'write'): string[] {
  const before = since.calls?.[kind] ?? {};
  return Object.entries(now.calls?.[kind] ?? {})
    .map(([name, calls]) => ({ name, calls: calls - (before[name] ?? 0) }))
    .filter(({ calls }) => calls !== 0)
    .toSorted((a, b) => b.calls - a.calls)
    .slice(0, 5)
    .map(({ name, calls }) => (calls > 0 ? `${name} ×${calls}` : `${name} (its counter was reset)`));
}

/** Changes that expiry and eviction don't explain, where the commands aren't counted or were counted anew. */
function changed(since: Use, now: Use): number {
  const gone = now.expired - since.expired + now.evicted - since.evicted;
  if (now.keys > since.keys) return now.keys - since.keys;
  if (now.lastSave !== since.lastSave) return 0;
  return Math.max(0, now.dirty - since.dirty - gone);
}

function nameOf({ address, name, command }: { address: string; name: string; command: string }): string {
  return `${address}${name === '' ? '' : ` "${name}"`}, last command ${command}`;
}
