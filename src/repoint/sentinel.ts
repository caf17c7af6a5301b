/**
 * Applications ask Sentinels for the primary, so the Sentinels are told, all at once, in the way that they tell each other (see
 * redis/sentinel.ts). Before anything is paused every one of them must answer and know the new server as a replica. In the
 * moment itself a majority is enough: whoever missed it keeps the older epoch, can win no vote with it, and hears from the others.
 */
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Check } from '../contract.js';
import { FerryError } from '../errors.js';
import { resolveEndpoint, resolveSecret } from '../platform/secrets.js';
import { quoted } from '../inputs/in-shell.js';
import { urlInShell } from '../redis/break-glass.js';
import { shown, type ServerAddress } from '../redis/address.js';
import { connect, messageOf, withClient } from '../redis/connect.js';
import { check } from '../redis/preflight/check.js';
import { roleOf, type Role } from '../redis/replication/role.js';
import {
  countsItself,
  isAt,
  knownAs,
  lookAtSentinel,
  resetSentinel,
  tellSentinel,
  unsettled,
  type Place,
  type SentinelFacts,
  type SentinelsSeen,
} from '../redis/sentinel.js';
import type { ByHandInput, RepointInput, SpecOf } from './types.js';

type Spec = SpecOf<'sentinel'>;

const COMMAND_TIMEOUT_MS = 2_000;
const CONNECTION = 'ferry:sentinel';
/** A Sentinel asks the primary for its replicas every 10 seconds. */
const DISCOVERY_MS = 20_000;
/** Sentinels greet each other every 2 seconds. */
const GREETING_MS = 15_000;
/** A Sentinel asks a server within a second of hearing of it. */
const ASKING_MS = 3_000;
const LOOK_EVERY_MS = 200;

type Hand = { client: Redis; facts: SentinelFacts };

async function addressesOf(spec: Spec): Promise<ServerAddress[]> {
  const { sentinels, username, password, tls } = spec;
  const secret = password && (await resolveSecret({ ref: password, where: 'repoint.password' }));
  return Promise.all(
    sentinels.map(async (at) => ({
      ...(await resolveEndpoint({
        endpoint: tls ? { url: `rediss://${at}`, tls } : `redis://${at}`,
        where: 'repoint',
      })),
      ...(username === undefined ? {} : { username }),
      ...(secret === undefined ? {} : { password: secret }),
    })),
  );
}

function placeIn(at: string): Place {
  const colon = at.lastIndexOf(':');
  return { host: at.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(at.slice(colon + 1)) };
}

/** Connections to all that answered. */
export interface OpenSentinels {
  clients: Redis[];
  /** Of those that didn't: a sentence each. */
  failures: string[];
  end: () => void;
}

type On = {
  spec: Spec;
  signal?: AbortSignal | undefined;
  /** Connections that stand already; others are made, and closed, where there are none, or one of them is gone. */
  open?: OpenSentinels | undefined;
};

/** Connects to all of them at once. */
async function openSentinels({ spec, signal }: On): Promise<OpenSentinels> {
  const settled = await Promise.allSettled(
    (await addressesOf(spec)).map((address) =>
      connect({
        address,
        name: CONNECTION,
        signal,
        connectTimeoutMs: COMMAND_TIMEOUT_MS,
        commandTimeoutMs: COMMAND_TIMEOUT_MS,
      }),
    ),
  );
  const clients = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const end = (): void => {
    for (const client of clients) client.disconnect();
  };
  if (signal?.aborted) end();
  signal?.throwIfAborted();
  return { clients, failures: failuresOf(settled), end };
}

/** Looks at all that are connected. */
async function handsOf({ clients, failures }: OpenSentinels, { primary }: Spec) {
  const settled = await Promise.allSettled(
    clients.map(async (client): Promise<Hand> => ({
      client,
      facts: await lookAtSentinel({ client, primary }),
    })),
  );
  return {
    hands: settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])),
    failures: [...failures, ...failuresOf(settled)],
  };
}

function failuresOf(settled: PromiseSettledResult<unknown>[]): string[] {
  return settled.flatMap((each) => (each.status === 'rejected' ? [messageOf(each.reason)] : []));
}

/** Uses those that answer. */
async function withSentinels<T>(on: On, use: (hands: Hand[], failures: string[]) => Promise<T>): Promise<T> {
  if (on.open) {
    const { hands, failures } = await handsOf(on.open, on.spec);
    if (failures.length === on.open.failures.length) return use(hands, failures);
  }
  const opened = await openSentinels(on);
  try {
    const { hands, failures } = await handsOf(opened, on.spec);
    on.signal?.throwIfAborted();
    return await use(hands, failures);
  } finally {
    opened.end();
  }
}

/** What all of them say, for the checklist. */
export async function lookAtSentinels(on: {
  spec: Spec;
  signal?: AbortSignal | undefined;
}): Promise<SentinelsSeen> {
  return withSentinels(on, async (hands, failures) => ({
    primary: on.spec.primary,
    facts: hands.map(({ facts }) => facts),
    failures,
  }));
}

/** Who a server is, by what it calls itself: Sentinels may know it under another address than we do. */
async function identityOf(
  address: ServerAddress,
  signal?: AbortSignal,
): Promise<Place & { runId: string; role: Role['role'] }> {
  return withClient(
    { address, name: CONNECTION, signal, commandTimeoutMs: COMMAND_TIMEOUT_MS },
    async (client) => {
      const { runId, role } = await roleOf({ client });
      return { host: address.host, port: address.port, runId, role };
    },
  );
}

/**
 * Waits until they know the server that is going to serve, and reach it: all of them on the way forward, and most of them on the
 * way back, which nobody should have to wait for. Gives the connections, so that none has to be made in the moment itself.
 * @throws FerryError when they don't within 20 seconds
 */
export async function prepareSentinels(input: RepointInput<Spec>): Promise<OpenSentinels> {
  const { spec, direction, serving, leaving, signal } = input;
  const until = performance.now() + DISCOVERY_MS;
  const asked = performance.now() + ASKING_MS;
  const server = await identityOf(serving.address, signal);
  const old = leaving && (await identityOf(leaving, signal));
  const needed = direction === 'forward' ? spec.sentinels.length : mostOf(spec);
  for (;;) {
    const open = await openSentinels({ spec, signal });
    const { hands, failures } = await handsOf(open, spec);
    const problems = [
      ...failures,
      ...hands.flatMap(({ facts }) => {
        const problem = unreadiness(facts, server) ?? strangeness(facts, [server, ...(old ? [old] : [])]);
        return problem === null ? [] : [`the Sentinel at ${facts.shown} ${problem}`];
      }),
    ];
    const enough = spec.sentinels.length - problems.length >= needed && !stillAsking(hands, server, asked);
    if (enough && !signal?.aborted) return open;
    open.end();
    signal?.throwIfAborted();
    if (performance.now() > until)
      throw new FerryError('SentinelsNotReady', `Nothing was changed, since ${problems.join('; ')}`);
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
    signal?.throwIfAborted();
  }
}

/** Somebody else took over: whoever writes there must not be sent away. */
function strangeness(facts: SentinelFacts, sides: (Place & { runId: string })[]): string | null {
  if (sides.length < 2 || sides.some((side) => knownAs(facts, side) === facts.primary)) return null;
  return `takes ${shown(facts.primary)} for the primary, which is neither side of this`;
}

function unreadiness(facts: SentinelFacts, server: Place & { runId: string }): string | null {
  if (facts.deaf !== null) return `may not be told: ${facts.deaf}`;
  const busy = unsettled(facts.primary);
  if (busy.length > 0) return `says of ${shown(facts.primary)} "${busy.join(', ')}"`;
  const known = knownAs(facts, server);
  if (!known)
    return `does not know ${shown(server)} as a replica of ${shown(facts.primary)}, which it takes for the primary`;
  if (known.runId !== server.runId)
    return `can not ask ${shown(known)} who it is: does its login (auth-user, auth-pass) hold there?`;
  const down = unsettled(known);
  if (down.length > 0) return `says of ${shown(known)} "${down.join(', ')}"`;
  return null;
}

export async function repointSentinels(
  input: RepointInput<Spec> & { open?: OpenSentinels | undefined },
): Promise<string> {
  const { spec, serving, leaving, open, signal } = input;
  const [server, old] = await Promise.all([
    identityOf(serving.address, signal),
    leaving && identityOf(leaving, signal),
  ]);
  if (server.role !== 'primary')
    throw new FerryError('ReadOnlyTarget', `${shown(server)} is no primary, so no Sentinel is told of it`);
  // Waited for already, while it was made ready.
  const until = open ? 0 : performance.now() + ASKING_MS;
  for (;;) {
    const said = await withSentinels({ spec, open, signal }, async (hands, failures) => {
      return stillAsking(hands, server, until)
        ? null
        : tell({ spec, server, old: old ?? null, hands, failures });
    });
    if (said !== null) {
      if (spec.sentinels.length === 1) await withoutItself({ spec, signal });
      return said;
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
    signal?.throwIfAborted();
  }
}

/** One that was told a moment ago, of the last switch or by an attempt before this one, has yet to ask the server who it is. */
function stillAsking(hands: Hand[], server: Place, until: number): boolean {
  const asking = hands.some(({ facts }) => facts.primary.runId === '' && !isAt(facts.primary, server));
  return asking && performance.now() < until;
}

async function withoutItself(on: On): Promise<void> {
  await withSentinels(on, async ([hand]) => {
    if (hand && countsItself(hand.facts))
      await resetSentinel({ client: hand.client, primary: on.spec.primary });
  });
}

async function tell(on: {
  spec: Spec;
  server: Place & { runId: string };
  old: (Place & { runId: string }) | null;
  hands: Hand[];
  failures: string[];
}): Promise<string> {
  const { spec, server, old, hands, failures } = on;
  const all = spec.sentinels.length;
  const began = performance.now();
  if (hands.length < mostOf(spec))
    throw new FerryError(
      'SentinelsNotReady',
      `only ${hands.length} of ${all} Sentinels answer: ${failures.join('; ')}`,
    );
  const strangers = hands.filter(({ facts }) => !knownAs(facts, server));
  const [to] = hands.flatMap(({ facts }) => knownAs(facts, server) ?? []);
  if (!to || strangers.length > 0)
    throw new FerryError(
      'SentinelsNotReady',
      `${strangers.map(({ facts }) => `the Sentinel at ${facts.shown} names ${shown(facts.primary)}`).join('; ')}, and does not know ${shown(server)}`,
    );
  const strange = hands.flatMap(({ facts }) => {
    const problem = strangeness(facts, [server, ...(old ? [old] : [])]);
    return problem === null ? [] : [`the Sentinel at ${facts.shown} ${problem}`];
  });
  if (strange.length > 0) throw new FerryError('SentinelsNotReady', strange.join('; '));
  if (hands.length === all && hands.every(({ facts }) => isAt(facts.primary, to)))
    return `every Sentinel names ${shown(to)} already`;
  const epoch = Math.max(...hands.map(({ facts }) => facts.primary.epoch)) + 1;
  const told = await Promise.allSettled(
    hands.map(({ client, facts }) =>
      tellSentinel({ client, facts, primary: spec.primary, to, epoch, alone: all === 1 }),
    ),
  );
  const believe = told.filter((each) => each.status === 'fulfilled' && each.value).length;
  const why = [
    ...failures,
    ...told.flatMap((each) => (each.status === 'rejected' ? [messageOf(each.reason)] : [])),
  ].join('; ');
  if (believe < mostOf(spec))
    throw new FerryError(
      'SentinelsNotReady',
      `only ${believe} of ${all} Sentinels took ${shown(to)} for the primary: ${why}`,
    );
  const rest =
    believe === all ? '' : `; ${all - believe === 1 ? 'one hears' : 'the others hear'} it from them (${why})`;
  return `${believe} Sentinels name ${shown(to)} after ${Math.round(performance.now() - began)} ms${rest}`;
}

function mostOf({ sentinels }: Spec): number {
  return Math.floor(sentinels.length / 2) + 1;
}

/** Afterwards: whoever missed it has heard of it, and nobody says anything else. */
export async function checkSentinels(on: {
  spec: Spec;
  address: ServerAddress;
  signal?: AbortSignal | undefined;
}): Promise<Check[]> {
  const { spec, address, signal } = on;
  const server = await identityOf(address, signal);
  const until = performance.now() + GREETING_MS;
  for (;;) {
    const wrong = await withSentinels({ spec, signal }, async (hands, failures) => [
      ...failures,
      ...hands
        .filter(({ facts }) => facts.primary !== knownAs(facts, server))
        .map(({ facts }) => `the Sentinel at ${facts.shown} names ${shown(facts.primary)}`),
    ]);
    if (wrong.length === 0 || performance.now() > until)
      return [
        check({
          name: 'Every Sentinel names the server that serves',
          expected: shown(server),
          actual: wrong.length === 0 ? `all ${spec.sentinels.length} do` : wrong.join('; '),
          ...(wrong.length === 0
            ? {}
            : {
                status: 'fail',
                waivable: true,
                next: 'Applications that ask that Sentinel find the other server. Look at its log, and whether the other Sentinels reach it.',
              }),
        }),
      ];
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
    signal?.throwIfAborted();
  }
}

/**
 * A server that follows no more is forgotten: they would make it follow again, 8 seconds after they saw it. All at once, since
 * those that come last would do so meanwhile; for the 2 seconds until their next greeting they could agree on no failover.
 * Harmless when none knows it.
 * @throws FerryError when one of them can't be asked
 */
export async function forgetBySentinels(on: {
  spec: Spec;
  gone: ServerAddress;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { spec, gone, signal } = on;
  const server = await identityOf(gone, signal);
  const until = performance.now() + GREETING_MS;
  for (;;) {
    const left = await withSentinels({ spec, signal }, async (hands, failures) => {
      const remember = hands.filter(({ facts }) => remembers(facts, server));
      await Promise.all(remember.map(({ client }) => resetSentinel({ client, primary: spec.primary })));
      await Promise.all(
        remember.map(({ client }) => greeted({ client, peers: hands.length - 1, spec, signal })),
      );
      if (failures.length > 0)
        throw new FerryError(
          'Unreachable',
          `${failures.join('; ')}. Once it is back it would make ${shown(gone)} follow again`,
        );
      return remember.map(({ facts }) => facts.shown);
    });
    // Looked at again after all have asked the primary anew: it may still have counted the link that had just ended.
    if (left.length === 0) return;
    if (performance.now() > until)
      throw new FerryError(
        'SentinelsNotReady',
        `the Sentinels ${left.join(', ')} go on finding ${shown(gone)}: something makes it follow`,
      );
  }
}

function remembers({ replicas }: SentinelFacts, server: Place & { runId: string }): boolean {
  return replicas.some(({ runId, ...at }) => (runId !== '' && runId === server.runId) || isAt(at, server));
}

/** Until it has found the others, and asked the primary. */
async function greeted(on: {
  client: Redis;
  peers: number;
  spec: Spec;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { client, spec, signal } = on;
  const until = performance.now() + GREETING_MS;
  while (performance.now() < until) {
    const { peers, primary } = await lookAtSentinel({ client, primary: spec.primary });
    if (peers.length >= on.peers && primary.runId !== '') return;
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
    signal?.throwIfAborted();
  }
}

export function describeSentinels({ sentinels, primary }: Spec): string[] {
  return [
    `Tell ${sentinels.length} Sentinels (${sentinels.join(', ')}) that ${primary} is the serving side now, as they tell each other`,
    'Back: the same with the other side. At the end they forget the side that was left',
  ];
}

/** Each has an epoch of its own; the highest wins, and all of them name the same server. */
export function byHandSentinels({ spec, serving }: ByHandInput<Spec>): string[] {
  const { primary } = spec;
  const { host, port } = serving.address;
  // Sentinels take addresses, not names.
  const ip = isIP(host) ? host : `$(getent hosts ${quoted(host)} | awk '{print $1; exit}')`;
  const steps = [
    `from=$(ask $at SENTINEL SENTINELS ${primary} | sed -n '4p;6p;8p' | paste -sd, -)`,
    `epoch=$(ask $at SENTINEL MASTER ${primary} | sed -n '/^config-epoch$/{n;p;}')`,
    `epoch=$((epoch + 10))`,
    `ask $at PUBLISH __sentinel__:hello "$from,$epoch,${primary},${ip},${port},$epoch"`,
    'told=yes',
  ];
  return [
    `${askInShell(spec)} told=; for at in ${placesInShell(spec)}; do ${steps.join(' && ')}; done; test -n "$told"`,
  ];
}

export function forgetByHand(spec: Spec): string[] {
  return [
    `${askInShell(spec)} for at in ${placesInShell(spec)}; do ask $at SENTINEL RESET ${spec.primary} || echo "not told: $at"; done`,
  ];
}

function placesInShell({ sentinels }: Spec): string {
  return sentinels
    .map((at) => placeIn(at))
    .map(({ host, port }) => `'${host} ${port}'`)
    .join(' ');
}

/** A shell function: `ask HOST PORT COMMAND…`. */
function askInShell({ username, password, tls }: Spec): string {
  const words = [
    ...(password === undefined ? [] : [`REDISCLI_AUTH=${urlInShell(password)}`]),
    'redis-cli -h "$h" -p "$p"',
    ...(username === undefined ? [] : ['--user', quoted(username)]),
    ...(tls === undefined ? [] : ['--tls']),
    ...(tls?.ca === undefined ? [] : ['--cacert', quoted(tls.ca)]),
    ...(tls?.serverName === undefined ? [] : ['--sni', quoted(tls.serverName)]),
    ...(tls?.insecure ? ['--insecure'] : []),
    '"$@"',
  ];
  return `ask() { h=$1; p=$2; shift 2; ${words.join(' ')}; };`;
}
