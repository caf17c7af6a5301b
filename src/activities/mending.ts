/**
 * A pod is made anew while the way back is open (a drained node, a crash), and comes up as its chart has it, whoever was promoted meanwhile.
 * Here the two servers of an upgrade get the roles back that they had, where nothing is lost by that; else it is said why not.
 *
 * What tells: a process that was restarted has another run_id, and reads from its RDB file how far in which stream of changes it was saved.
 * With AOF alone it knows neither.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { milliseconds } from '../inputs/refs.js';
import { messageOf } from '../redis/connect.js';
import { shown } from '../redis/address.js';
import {
  admit,
  dismissFollower,
  follow,
  keepBacklog,
  replicationUser,
  restoreFollow,
  rewriteConfig,
} from '../redis/replication/follow.js';
import { roleOf, type Role } from '../redis/replication/role.js';
import { takeRole } from '../redis/replication/take-role.js';
import { repoint } from '../repoint/index.js';
import { border, type Border } from './border.js';
import { followPromotedIn } from './helm-rolling-roles.js';
import { inStep, roleAt, unlessAway, type Rolling } from './helm-rolling.js';
import { handOverIn, onBoth, sidesOf, type HandOverInput, type Standing } from './replicating.js';

export interface Mended {
  /** `lost`: the way back is closed. `unclear`: nothing was changed, and nobody knows yet which of both holds more. */
  how: 'well' | 'mended' | 'lost' | 'unclear';
  /** What was found and done, for people. */
  says: string;
  runIds: { source: string; target: string };
}

export interface MendInput {
  handOver: HandOverInput;
  backlogBytes: number;
  backlogSeconds: number;
}

type Here = Pick<Border<never>, 'signal' | 'hand' | 'workflowId'> & { stillCurrent: () => Promise<void> };

const LINK_MS = 2 * 60_000;

/**
 * The old server follows the new one again. One that came up as a primary by its configuration is made read-only first: nothing leads
 * there, and nobody's writes may get lost there.
 */
export async function mendFollowing(input: MendInput): Promise<Mended> {
  return border((b) => followingIn(b, input));
}

async function followingIn(b: Here, input: MendInput): Promise<Mended> {
  const { couple } = input.handOver;
  const { source, target } = await sidesOf(couple);
  const [old, next] = [shown(source.address), shown(target.address)];
  const look = () =>
    onBoth(b, { source, target }, async (clients) => ({
      was: await roleOf({ client: clients.source }),
      is: await roleOf({ client: clients.target }),
    }));
  const { was, is } = await look();
  const runIds = () => ({ source: was.runId, target: is.runId });
  if (is.role !== 'primary')
    return { how: 'unclear', says: `${next} takes no writes any more`, runIds: runIds() };
  if (isInStep(was, is)) return { how: 'well', says: `${old} follows ${next}`, runIds: runIds() };
  await b.stillCurrent();
  const wrote = await onBoth(b, { source, target }, async (clients) => {
    for (const client of [clients.source, clients.target])
      await keepBacklog({ client, bytes: input.backlogBytes, seconds: input.backlogSeconds });
    // What a new server lacks that came back without its newest writes is on the old one alone.
    if (was.role === 'replica' && !goesOn(was, is)) return null;
    await admit({
      primary: clients.target,
      follower: clients.source,
      address: target.address,
      before: source.follow,
      user: replicationUser(b.workflowId),
    });
    if (was.role === 'replica') {
      await follow({ client: clients.source, at: target.at });
      return 0;
    }
    return takeRole({ client: clients.source, at: target.at });
  });
  if (wrote === null)
    return {
      how: 'lost',
      says: `${next} was made anew and lacks ${Math.max(0, was.offset - is.secondOffset + 1)} bytes of changes that ${old} still holds: nothing was changed. Compare both, and carry over what is missing, before the way back is closed`,
      runIds: runIds(),
    };
  if (was.role === 'primary') await asReplica(b, input, was.runId);
  const up = await waitFor(b, async () => {
    const now = await look();
    return isInStep(now.was, now.is) ? now : null;
  });
  const ids = up ? { source: up.was.runId, target: up.is.runId } : runIds();
  const more = wrote > 0 ? `; ${wrote} commands had written to ${old} meanwhile, and are gone` : '';
  if (up)
    return { how: 'mended', says: `a pod was made anew: ${old} follows ${next} again${more}`, runIds: ids };
  // It would ask for everything again and again, and refuse it each time.
  await onBoth(b, { source, target }, (clients) =>
    dismissFollower({ primary: clients.target, user: replicationUser(b.workflowId) }),
  );
  return {
    how: 'lost',
    says: `${old} was made anew and can not go on from where it was (it would need everything, in a format that it may not read): it takes no writes, and keeps what it held${more}`,
    runIds: ids,
  };
}

/**
 * Told whom to follow while it runs, it would ask for everything anew. Started with that in its configuration it goes on from where its file
 * says: so its process ends without saving, and its container is started again. Not where its configuration can't be written.
 */
async function asReplica(b: Here, { handOver: { couple } }: MendInput, runId: string): Promise<void> {
  const { source, target } = await sidesOf(couple);
  const durable = await onBoth(b, { source, target }, async ({ source: client }) => {
    if (!(await rewriteConfig({ client }))) return false;
    await client.call('SHUTDOWN', 'NOSAVE').catch((error: unknown) => {
      if (!/closed|ECONNRESET/i.test(messageOf(error))) throw error;
    });
    return true;
  });
  if (!durable) return;
  await waitFor(b, async () => {
    const sides = await sidesOf(couple);
    return onBoth(b, sides, async ({ source: client }) => {
      const now = await roleOf({ client });
      return now.runId === runId ? null : now.runId;
    });
  });
}

/** It can go on where it stands: what the other one kept, or knows to have followed itself, reaches that far. */
function goesOn(was: Role, is: Role): boolean {
  return was.replId === is.replId || (was.replId === is.replId2 && was.offset <= is.secondOffset);
}

function isInStep(was: Role, is: Role): boolean {
  return was.role === 'replica' && was.follows?.linkUp === true && was.replId === is.replId;
}

async function waitFor<T>(b: { signal: AbortSignal }, ask: () => Promise<T | null>): Promise<T | null> {
  for (const until = Date.now() + LINK_MS; ; await sleep(300, undefined, { signal: b.signal })) {
    const found = await unlessAway(ask());
    if (found !== null || Date.now() > until) return found;
  }
}

/**
 * The same for pods of one StatefulSet: the promoted one is a replica of the first by its chart, so when it is made anew nobody takes writes
 * until somebody is promoted. That is the first one, where it has everything that the promoted one had; it goes on with the stream that all of
 * them know, and then hands over once more.
 */
export async function mendRolling(
  input: MendInput & {
    rolling: Rolling;
    /** Both were compared, and hold the same. */
    equal: boolean;
  },
): Promise<Mended> {
  return border<Mended, Standing>(async (b) => {
    const { rolling, handOver, equal, backlogBytes: bytes, backlogSeconds: seconds } = input;
    const { release, primary, promoted, primaryFollow } = rolling;
    const at = async () => ({
      was: await roleAt(b, release, primary),
      is: await roleAt(b, release, promoted),
    });
    const found = await at();
    const runIds = { source: found.was.runId, target: found.is.runId };
    // An attempt before this one was in the middle of handing over.
    const begun = b.last?.standing !== undefined;
    if (!begun && found.is.role === 'primary') {
      const mended = await followingIn(b, input);
      if (mended.how !== 'well') {
        await followPromotedIn(b, rolling);
        return mended;
      }
      // One of the others was made anew, and may not have come up yet.
      const others = await unlessAway(followPromotedIn(b, rolling));
      const serving = `${release.namespace}/${promoted}`;
      const says = others
        ? `a pod was made anew: every replica follows ${serving} again`
        : `a replica of ${serving} is away`;
      return { ...mended, says };
    }
    const names = [primary, promoted].map((pod) => `${release.namespace}/${pod}`);
    // Only an attempt before this one may have promoted the first; made anew it is a primary by its configuration, with what it once had.
    if (!begun && found.was.role === 'primary' && found.was.runId !== handOver.couple.runIds?.source)
      return {
        how: 'unclear',
        says: `${names[0]} and ${names[1]} were both made anew, and nobody says whether ${names[0]} has everything`,
        runIds,
      };
    if (!begun && found.was.role === 'replica') {
      const comparable = found.was.replId === found.is.replId;
      if (!comparable && !equal)
        return {
          how: 'unclear',
          says: `${names[1]} was made anew and does not say how far its data is, so nobody takes writes`,
          runIds,
        };
      await b.stillCurrent();
      if (comparable && found.is.offset > found.was.offset) {
        await onPod(b, input, 'target', (client) => client.call('REPLICAOF', 'NO', 'ONE'));
        await followPromotedIn(b, rolling);
        return {
          how: 'lost',
          says: `${names[1]} was made anew. It holds ${found.is.offset - found.was.offset} bytes of changes that ${names[0]} never got, so it serves again, and ${names[0]} can not follow it any more`,
          runIds,
        };
      }
      await onPod(b, input, 'source', async (client) => {
        await client.call('REPLICAOF', 'NO', 'ONE');
        await restoreFollow({ client, before: primaryFollow, serves: true });
      });
    }
    const { source, target } = await sidesOf(handOver.couple);
    if (!begun) {
      await repoint({
        spec: handOver.repoint,
        direction: 'back',
        name: handOver.name,
        serving: { address: source.address, database: 0 },
        leaving: target.address,
        signal: b.signal,
      });
      await inStep(b, { release, primary, pod: promoted, withinMs: milliseconds(rolling.readyWithin) });
      await onBoth(b, { source, target }, async (clients) => {
        for (const client of [clients.source, clients.target]) await keepBacklog({ client, bytes, seconds });
      });
    }
    await handOverIn(b, { ...handOver, couple: { ...handOver.couple, runIds } });
    await followPromotedIn(b, rolling);
    const now = await at();
    return {
      how: 'mended',
      says: `${names[1]} was made anew: ${names[0]} took the writes meanwhile, with all that was acknowledged, and has handed over once more`,
      runIds: { source: now.was.runId, target: now.is.runId },
    };
  });
}

async function onPod(
  b: Border<Standing>,
  { handOver }: MendInput,
  side: 'source' | 'target',
  use: (client: Redis) => Promise<unknown>,
): Promise<void> {
  await onBoth(b, await sidesOf(handOver.couple), async (clients) => {
    // Never two that take writes.
    const other = await roleOf({ client: clients[side === 'source' ? 'target' : 'source'] });
    if (other.role === 'primary') throw new FerryError('Unclear', 'the other one takes writes again');
    await use(clients[side]);
  });
}
