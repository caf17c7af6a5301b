/**
 * What a Sentinel says of the primary that it watches, and how it is told of another one.
 *
 * Sentinels tell each other by "hello" messages, every two seconds: who the primary is, and since which configuration epoch. A
 * Sentinel believes the higher epoch, and keeps its settings, passwords and peers while it changes the address. So one message
 * with the next epoch does what the end of a failover does, `+switch-master` for subscribed clients included, and whoever
 * missed it hears of it from the others. `SENTINEL REMOVE` and `MONITOR` would lose the settings that a Sentinel tells nobody
 * (`auth-pass`), leave a moment without any answer, and begin anew at epoch 0, so that a straggler's hello undoes it.
 * https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/
 */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { failureOn, messageOf, placeOf } from './connect.js';
import { shown } from './address.js';
import { pairsOf } from './info.js';

export interface Place {
  host: string;
  port: number;
}

export interface WatchedServer extends Place {
  /** As the server says in INFO; empty while the Sentinel couldn't ask it. */
  runId: string;
  /** `master`, `slave`, `s_down`, `o_down`, `disconnected`, `failover_in_progress`, … */
  flags: string[];
}

export interface SentinelFacts {
  /** `host:port` as given. */
  shown: string;
  /** Of the Sentinel itself; its connections to servers are named by the first eight characters. */
  id: string;
  primary: WatchedServer & { epoch: number; quorum: number; downAfterMs: number };
  replicas: WatchedServer[];
  /** The other Sentinels that it knows of. */
  peers: (Place & { id: string; flags: string[] })[];
  /** What else it watches. */
  others: (WatchedServer & { name: string })[];
  /** Why no failover could be agreed on, in its own words; null: it could. */
  noQuorum: string | null;
  /** Why it may not be told of another primary, in its own words; null: it may. */
  deaf: string | null;
}

/** What was found of all Sentinels that the input names. */
export interface SentinelsSeen {
  primary: string;
  facts: SentinelFacts[];
  /** Of those that could not be asked: a sentence each. */
  failures: string[];
}

const HELLO = '__sentinel__:hello';

/** Changes nothing. @throws FerryError where it doesn't answer, or watches no primary of that name */
export async function lookAtSentinel(on: { client: Redis; primary: string }): Promise<SentinelFacts> {
  const { client, primary } = on;
  const at = shown(placeOf(client));
  const ask = (...command: string[]): Promise<unknown> => {
    const [name = '', ...args] = command;
    return client.call(name, ...args).catch((error: unknown) => {
      if (/unknown command/i.test(messageOf(error)) && name === 'SENTINEL')
        throw new FerryError('InvalidInput', `repoint.sentinels: ${at} is no Sentinel`);
      throw failureOn(client, error);
    });
  };
  const watched = listOf(await ask('SENTINEL', 'MASTERS'));
  const own = watched.find(({ name }) => name === primary);
  if (!own) {
    const names = watched.map(({ name }) => name).join(', ');
    throw new FerryError(
      'InvalidInput',
      `repoint.primary: the Sentinel at ${at} watches no "${primary}"${names === '' ? '' : `, only ${names}`}`,
    );
  }
  const [id, replicas, peers, noQuorum, deaf] = await Promise.all([
    ask('SENTINEL', 'MYID').catch((error: unknown) => {
      if (!/unknown (sentinel )?subcommand|does not know that subcommand/i.test(messageOf(error)))
        throw error;
      throw new FerryError(
        'NotPermitted',
        `the Sentinel at ${at} knows no SENTINEL MYID, so it is older than 6.2. Upgrade the Sentinels first`,
      );
    }),
    ask('SENTINEL', 'REPLICAS', primary),
    ask('SENTINEL', 'SENTINELS', primary),
    refusalOf(client, ['SENTINEL', 'CKQUORUM', primary]),
    // Of a primary that nobody watches: read and dropped, where it is permitted.
    refusalOf(client, ['PUBLISH', HELLO, hello({ from: NOBODY, primary: '', to: NOBODY, epoch: 0 })]),
  ]);
  return {
    shown: at,
    id: String(id),
    primary: {
      ...serverOf(own),
      epoch: Number(own['config-epoch'] ?? 0),
      quorum: Number(own['quorum'] ?? 0),
      downAfterMs: Number(own['down-after-milliseconds'] ?? 0),
    },
    replicas: listOf(replicas).map(serverOf),
    peers: listOf(peers).map((peer) => ({ ...serverOf(peer), id: peer['runid'] ?? '' })),
    others: watched
      .filter((other) => other !== own)
      .map((other) => ({ ...serverOf(other), name: other['name'] ?? '' })),
    noQuorum,
    deaf,
  };
}

function listOf(reply: unknown): Record<string, string>[] {
  return Array.isArray(reply) ? reply.map((entry) => Object.fromEntries(pairsOf(entry))) : [];
}

function serverOf(entry: Record<string, string>): WatchedServer {
  return {
    host: entry['ip'] ?? '',
    port: Number(entry['port'] ?? 0),
    runId: entry['runid'] ?? '',
    flags: (entry['flags'] ?? '').split(',').filter((flag) => flag !== ''),
  };
}

async function refusalOf(client: Redis, [name = '', ...args]: string[]): Promise<string | null> {
  return client.call(name, ...args).then(
    () => null,
    (error: unknown) => messageOf(error),
  );
}

const NOBODY = { host: '127.0.0.1', port: 0, id: '0'.repeat(40) };

/** The eight fields of a hello: who speaks, and whom it takes for the primary since when. */
function hello(on: { from: Place & { id: string }; primary: string; to: Place; epoch: number }): string {
  const { from, primary, to, epoch } = on;
  return [from.host, from.port, from.id, epoch, primary, to.host, to.port, epoch].join(',');
}

/** A flag of these says that a Sentinel doesn't (fully) reach a server, or is about to change something itself. */
export function unsettled({ flags }: Pick<WatchedServer, 'flags'>): string[] {
  return flags.filter((flag) => /down$|^disconnected$|failover|reconf|promoted|force/.test(flag));
}

/** Where a Sentinel knows a server, by what the server calls itself or where it is. */
export function knownAs(
  { primary, replicas }: SentinelFacts,
  server: Place & { runId: string },
): WatchedServer | undefined {
  const all = [primary, ...replicas];
  return (
    all.find(({ runId }) => runId !== '' && runId === server.runId) ??
    all.find((other) => isAt(other, server))
  );
}

export function isAt(one: Place, other: Place): boolean {
  return one.host === other.host && one.port === other.port;
}

/**
 * Tells one Sentinel of the primary, as another Sentinel would. `epoch` must be higher than any that was told before. True when it
 * believes it.
 */
export async function tellSentinel(on: {
  client: Redis;
  facts: SentinelFacts;
  primary: string;
  to: Place;
  epoch: number;
  /** There is no other Sentinel in whose name it could be told. */
  alone: boolean;
}): Promise<boolean> {
  const { client, facts, primary, to, epoch, alone } = on;
  // It listens to Sentinels that it knows; one whose address is not known any more has port 0.
  const other = facts.peers.find(({ id, port }) => id !== '' && id !== facts.id && port !== 0);
  const from = other ?? (alone ? { host: '127.0.0.1', port: placeOf(client).port, id: facts.id } : undefined);
  if (!from)
    throw new FerryError('SentinelsNotReady', `the Sentinel at ${facts.shown} knows no other Sentinel now`);
  try {
    await client.call('PUBLISH', HELLO, hello({ from, primary, to, epoch }));
    const named = await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', primary);
    return Array.isArray(named) && isAt({ host: String(named[0]), port: Number(named[1]) }, to);
  } catch (error) {
    throw failureOn(client, error);
  }
}

/** Told in its own name, a single Sentinel takes itself for a second one, without which it could not fail over. */
export function countsItself({ id, peers }: SentinelFacts): boolean {
  return peers.some((peer) => peer.id === id);
}

/** It forgets every replica and every other Sentinel, and finds those that are still there within seconds. */
export async function resetSentinel(on: { client: Redis; primary: string }): Promise<void> {
  await on.client.call('SENTINEL', 'RESET', on.primary).catch((error: unknown) => {
    throw failureOn(on.client, error);
  });
}
