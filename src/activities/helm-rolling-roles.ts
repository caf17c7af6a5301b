/**
 * Who follows whom while a release is upgraded pod by pod, until its roles are again as its chart has them.
 *
 * A StatefulSet's pod 0 is the primary by its configuration, whoever was promoted meanwhile: made anew it comes up as one that takes writes,
 * with what it held at its end. Nothing leads there then, and it is told at once to follow whoever serves.
 */
import type { Check, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import { milliseconds } from '../inputs/refs.js';
import { validateAfter, warningsOf, podsBehind, type AfterRestart } from '../kubernetes/validate.js';
import { lookAtSet, setPartition } from '../kubernetes/rollout.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { inside } from '../redis/address.js';
import { check, count } from '../redis/preflight/check.js';
import {
  admit,
  dismissFollower,
  follow,
  keepBacklog,
  linkUp,
  replicationUser,
  restoreFollow,
  rewriteConfig,
} from '../redis/replication/follow.js';
import { roleOf } from '../redis/replication/role.js';
import { roundTrip } from '../redis/round-trip.js';
import { takeRole } from '../redis/replication/take-role.js';
import { copied } from '../redis/replication/copied.js';
import { border } from './border.js';
import {
  atPod,
  describedPod,
  inStep,
  lasting,
  letGo,
  ready,
  roleAt,
  unlessAway,
  type Here,
  type Rolling,
} from './helm-rolling.js';
import { inSet } from './helm-pods.js';
import { endpointOf } from './helm-release.js';
import { endIn, removeIn } from './helm-surge.js';
import { handOverIn, type HandOverInput, type Standing } from './replicating.js';

const LINK_MS = 60_000;

/** Keeps as many changes on both that the link may be away for a while. */
export async function keepChanges(input: {
  rolling: Rolling;
  backlogBytes: number;
  backlogSeconds: number;
}): Promise<void> {
  return border(async (b) => {
    const { rolling, backlogBytes: bytes, backlogSeconds: seconds } = input;
    for (const pod of [rolling.primary, rolling.promoted])
      await atPod(b, rolling.release, pod, (client) => keepBacklog({ client, bytes, seconds }));
  });
}

/** The other replicas follow the promoted one: else they would hang on the old primary, and lose their link with it. */
export async function followPromoted(input: { rolling: Rolling }): Promise<{ durable: boolean }> {
  return border((b) => followPromotedIn(b, input.rolling));
}

/** The same as a piece of something else. */
export async function followPromotedIn(b: Here, rolling: Rolling): Promise<{ durable: boolean }> {
  const { release, promoted, replicas, readyWithin } = rolling;
  const place = await placeOf(b, rolling, promoted);
  let durable = true;
  for (const { pod } of replicas) {
    if (pod === promoted) continue;
    await atPod(b, release, pod, async (client) => {
      await follow({ client, at: place });
      await linkUp({ client, stalledMs: LINK_MS, signal: b.signal });
      durable = (await rewriteConfig({ client })) && durable;
    });
    await inStep(b, { release, primary: promoted, pod, withinMs: milliseconds(readyWithin) });
  }
  return { durable };
}

/** Undo of the above, where the old primary serves again or is about to: they follow it as they did. */
export async function followAsBefore({ rolling }: { rolling: Rolling }): Promise<UndoResult> {
  return border(async (b) => {
    const { release, promoted, replicas } = rolling;
    for (const { pod, at: place } of replicas)
      if (pod !== promoted)
        await orGone(
          rolling,
          pod,
          atPod(b, release, pod, async (client) => {
            await follow({ client, at: place });
            await linkUp({ client, stalledMs: LINK_MS, signal: b.signal });
            await rewriteConfig({ client });
          }),
        );
    return { note: `the other replicas follow ${rolling.primary} again` };
  });
}

/** A surge replica that is away is not waited for: it is about to go. */
async function orGone({ surge }: Rolling, pod: string, done: Promise<unknown>): Promise<void> {
  await (pod === surge?.pod ? unlessAway(done) : done);
}

/** Everything of a handover is put back: who follows whom, settings, and the user that lived at run time. */
export async function rolesAsBefore({ rolling }: { rolling: Rolling }): Promise<UndoResult> {
  return border(async (b) => {
    await settleRoles(b, rolling);
    return { note: `every replica follows ${rolling.primary} as it did` };
  });
}

async function settleRoles(b: Here, rolling: Rolling): Promise<void> {
  const { release, primary, replicas, primaryFollow, readyWithin } = rolling;
  const { role } = await roleAt(b, release, primary);
  if (role !== 'primary')
    throw new FerryError(
      'Unclear',
      `${release.namespace}/${primary} takes no writes, so nobody is told to follow it`,
    );
  for (const { pod, at: place, follow: before } of replicas)
    await orGone(
      rolling,
      pod,
      atPod(b, release, pod, async (client) => {
        await restoreFollow({ client, before });
        await follow({ client, at: place });
      }),
    );
  await atPod(b, release, primary, async (client) => {
    await dismissFollower({ primary: client, user: replicationUser(b.workflowId) });
    await restoreFollow({ client, before: primaryFollow });
    await rewriteConfig({ client });
  });
  for (const { pod } of lasting(rolling)) {
    await inStep(b, { release, primary, pod, withinMs: milliseconds(readyWithin) });
    await atPod(b, release, pod, (client) => rewriteConfig({ client }));
  }
}

export interface Renewed {
  /** Until it was in step. */
  seconds: number;
  /** Commands that wrote to it before it was told whom to follow; null: an earlier attempt told it. */
  wrote: number | null;
  runIds: { source: string; target: string };
}

/** Pod 0 is made anew in the new version, and follows whoever serves. */
export async function renewPrimary(input: { rolling: Rolling; step: string }): Promise<Renewed> {
  return border<Renewed, { wrote: number | null }>((b) =>
    renew(b, input, {
      known: b.last?.wrote ?? null,
      learn: (wrote) => b.beat({ wrote }),
    }),
  );
}

async function renew(
  b: Here,
  { rolling, step }: { rolling: Rolling; step: string },
  told: { known: number | null; learn: (wrote: number) => void },
): Promise<Renewed> {
  const { release, primary, promoted, readyWithin } = rolling;
  const began = Date.now();
  const withinMs = milliseconds(readyWithin);
  await followPromotedIn(b, rolling);
  const set = await lookAtSet(inSet(b, release));
  await b.stillCurrent();
  if (set.partition > 0) await setPartition({ ...inSet(b, release), partition: 0 });
  let wrote = told.known;
  let follows = false;
  const tell = async (): Promise<void> => {
    if (follows) return;
    const said = await unlessAway(tellWhom(b, rolling));
    if (said === null) return;
    follows = true;
    if (said.wrote === null) return;
    wrote = said.wrote;
    told.learn(wrote);
  };
  const show = () =>
    b.show({
      step,
      done: Math.round((Date.now() - began) / 1_000),
      total: Math.round(withinMs / 1_000),
      unit: 'seconds',
      counts: {},
    });
  await ready(b, rolling, { pod: primary, revision: set.revision, withinMs, meanwhile: tell, onLook: show });
  while (!follows && Date.now() - began < withinMs) {
    b.signal.throwIfAborted();
    await tell();
  }
  await inStep(b, { release, primary: promoted, pod: primary, withinMs, onLook: show });
  await atPod(b, release, primary, (client) => rewriteConfig({ client }));
  const [source, target] = [await roleAt(b, release, promoted), await roleAt(b, release, primary)];
  return {
    seconds: Math.round((Date.now() - began) / 100) / 10,
    wrote,
    runIds: { source: source.runId, target: target.runId },
  };
}

/** `wrote`: null where it follows already. */
async function tellWhom(b: Here, rolling: Rolling): Promise<{ wrote: number | null }> {
  const { release, primary, promoted, primaryFollow } = rolling;
  const place = await placeOf(b, rolling, promoted);
  const address = await addressOf(b, rolling, promoted);
  return atPod(b, release, promoted, (head) =>
    atPod(b, release, primary, async (client) => {
      const { role: serves } = await roleOf({ client: head });
      if (serves !== 'primary')
        throw new FerryError('Unclear', `${release.namespace}/${promoted} takes no writes any more`);
      const { follows } = await roleOf({ client });
      if (follows?.host === place.host && follows.port === place.port) return { wrote: null };
      await admit({
        primary: head,
        follower: client,
        address,
        before: primaryFollow,
        user: replicationUser(b.workflowId),
      });
      return { wrote: await takeRole({ client, at: place }) };
    }),
  );
}

/** What is left to do once the way back is closed; harmless where it is done. */
export async function finishRolling(input: {
  rolling: Rolling;
  handOver: HandOverInput;
}): Promise<UndoResult> {
  return border<UndoResult, Standing>(async (b) => {
    const { rolling, handOver } = input;
    const { release, primary, promoted, surge } = rolling;
    const [first, other] = [
      await unlessAway(roleAt(b, release, primary)),
      await roleAt(b, release, promoted),
    ];
    // Served by the first already: then only what was changed for it is left.
    if (!(first?.role === 'primary' && other.role === 'replica')) {
      const { runIds } = await renew(
        b,
        { rolling, step: 'Still to do' },
        { known: null, learn: () => undefined },
      );
      await handOverIn(b, { ...handOver, couple: { ...handOver.couple, runIds } });
    }
    await settleRoles(b, rolling);
    if (surge)
      await endIn({ ...b, last: undefined, stillCurrent: () => b.stillCurrent() }, { release, surge });
    await letGo(b, release);
    const { left = [] } = surge ? await removeIn(b, { release, surge }) : {};
    if (rolling.chartSets && !surge)
      left.push(
        'the partition of the StatefulSet stands in the values of the release: upgrade it once more without it',
      );
    return {
      note: `${primary} serves in the new version`,
      ...(left.length > 0 ? { left } : {}),
    };
  });
}

async function addressOf(b: Here, { release }: Rolling, pod: string) {
  return resolveEndpoint({ endpoint: endpointOf(release, pod), where: pod, signal: b.signal });
}

async function placeOf(b: Here, rolling: Rolling, pod: string): Promise<{ host: string; port: number }> {
  return inside(await addressOf(b, rolling, pod));
}

/** At the end: every pod, every link, every Service, as they were but for the version. */
export async function validateRolling(input: {
  rolling: Rolling;
  service: string;
  services: readonly { name: string; pods: readonly string[] }[];
  before: AfterRestart['before'];
}): Promise<Check[]> {
  return border(async (b) => {
    const { rolling, service, services, before } = input;
    const { release, primary, replicas, targetVersion } = rolling;
    const where = { namespace: release.namespace, context: release.context, signal: b.signal };
    const address = await addressOf(b, rolling, primary);
    const written = await atPod(b, release, primary, (client) => roundTrip({ client }));
    const checks = await validateAfter({
      where,
      release,
      service,
      version: targetVersion,
      before,
      address,
      name: b.hand,
      written,
    });
    for (const { pod } of replicas) checks.push(...(await ofReplica(b, rolling, { pod, before })));
    for (const each of services) {
      const behind = await podsBehind(where, each.name);
      const right = behind.toSorted().join(', ') === each.pods.toSorted().join(', ');
      checks.push(
        check({
          name: `Service ${each.name}`,
          expected: `it leads to ${each.pods.join(', ')}, as before`,
          actual: behind.join(', ') || 'nobody',
          ...(right ? {} : { status: 'fail', waivable: true, next: 'Look at its selector.' }),
        }),
      );
    }
    return checks;
  });
}

async function ofReplica(
  b: Here,
  rolling: Rolling,
  { pod, before }: { pod: string; before: AfterRestart['before'] },
): Promise<Check[]> {
  const { release, primary, targetVersion } = rolling;
  const where = { namespace: release.namespace, context: release.context, signal: b.signal };
  const server = await describedPod(b, release, pod);
  const [head, role] = [await roleAt(b, release, primary), await roleAt(b, release, pod)];
  const follows = role.follows?.linkUp === true && role.replId === head.replId;
  const missing = await atPod(b, release, primary, (one) =>
    atPod(b, release, pod, (other) => copied({ primary: one, replica: other, signal: b.signal })),
  );
  const saves =
    server.persistence.aof === before.persistence.aof && server.persistence.save === before.persistence.save;
  const warnings = await warningsOf(where, { pod, container: release.statefulSet.container });
  const well = server.version === targetVersion && follows && missing === '';
  return [
    check({
      name: `Replica ${pod}`,
      expected: `${targetVersion}, follows ${primary}, and has a key that was just written there`,
      actual: [
        server.version,
        follows ? `follows ${primary}` : role.follows ? 'its link is down' : 'it is no replica',
        missing || 'has the key',
      ].join(', '),
      ...(well ? {} : { status: 'fail', waivable: true, next: `Look at the log of ${pod}, and retry.` }),
    }),
    check({
      name: `Persistence of ${pod}`,
      expected: 'as the primary had it',
      actual: saves
        ? 'as it was'
        : `AOF ${server.persistence.aof ? 'on' : 'off'}, save "${server.persistence.save ?? '?'}"`,
      ...(saves
        ? {}
        : { status: 'warn', next: 'Look at the values of the new version (`save`, `appendonly`).' }),
    }),
    check({
      name: `Log of ${pod}`,
      expected: 'no warnings since it started',
      actual:
        warnings.length === 0
          ? 'none'
          : `${count(warnings.length, 'line')}: ${warnings.slice(0, 2).join(' | ')}`,
      ...(warnings.length === 0 ? {} : { status: 'warn', next: 'Read them.' }),
    }),
  ];
}
