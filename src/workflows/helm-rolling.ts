/**
 * helmRolling: a primary with replicas in one StatefulSet gets a new version pod by pod. Replicas come first; an upgraded one serves while
 * the old primary, which follows it, can take over again; at last that one is made anew too, and serves again.
 * Its runbook for people is docs/runbooks/helm-rolling.md, with the same headings.
 */
import { workflowInfo } from '@temporalio/workflow';
import type { Receipt } from '../contract.js';
import { HelmRollingInput } from '../inputs/helm-rolling.js';
import { milliseconds } from '../inputs/refs.js';
import { acts, call, moves, reads, switches } from '../runbook/acts.js';
import { ending } from '../runbook/failure.js';
import { runbook } from '../runbook/runbook.js';
import { FINISH } from '../runbook/undo.js';
import { backing } from './backup-step.js';
import { checksOf } from './helm-rolling-checks.js';
import * as say from './helm-rolling-words.js';
import { soaking } from './redis-switchover-soak.js';
import { switchoverSteps } from './switchover-steps.js';
import { probed } from './probes.js';

export async function helmRolling(raw: unknown): Promise<Receipt> {
  return runbook('helmRolling', HelmRollingInput, raw, async (input, r) => {
    const found = await r.step('Gather information', {
      read: () => acts(say.asks, 'Ask the cluster and the servers').describeRolling({ settings: input }),
      note: ({ helm }) => `${helm.release.shown} runs ${helm.version}`,
    });
    const { helm } = found;
    const { release, primary } = helm;
    const server = helm.servers[primary];
    const endpoint = helm.endpoints[primary];
    if (!server || !endpoint) throw ending('Unclear', 'the pod of the primary was not asked');
    await r.lock(say.locks(helm));
    r.record({ kubernetes: say.releaseFacts(helm, input.targetVersion) });
    await r.checks('Pre-flight', async () => [
      ...(await acts(say.asks, 'Pre-flight checklist').preflightHelm({ settings: input, facts: helm })),
      ...checksOf(found, input),
      ...(await acts(reads, 'Room for the backups').preflightBackup({
        source: endpoint,
        backup: input.backup,
      })),
    ]);
    const { pair: early } = found;
    if (!early) throw ending('Unclear', `${release.shown} has no replica that could take over`);
    const rolling = say.rolling(found, input, workflowInfo().runId);
    const { surge } = rolling;
    const further = surge && say.surgeSteps(r, { helm, rolling, surge });
    if (surge) r.record({ surge: { pod: surge.pod, claims: surge.claims } });
    const others = rolling.replicas.filter(({ pod }) => pod !== rolling.promoted);

    // ---- Before anything is changed.
    await r.step('Keep the evidence', say.evidenceStep(input, helm));
    const backUp = backing(r, { backup: input.backup, about: server.usedMemory });
    await backUp('Back up the old primary', { endpoint, side: 'source', shown: server.shown });
    await r.gate('start', `Upgrade ${release.shown} from ${helm.version} to ${input.targetVersion}?`, {
      again: async () => {
        const looking = acts(say.asks, 'Look at the release again');
        const now = surge
          ? await looking.describeRolling({ settings: input })
          : { ...found, helm: await looking.describeHelm({ settings: input }) };
        return { 'Upgrade the release': say.changesWith(now, input) };
      },
    });

    // ---- The replicas. Applications that only write notice nothing.
    r.wayBack({ takes: 'some minutes: helm rollback, and the replicas are made anew one by one' });
    await r.step('Hold the pods', {
      does: [
        `hold all ${release.statefulSet.replicas} pods of ${release.statefulSet.name} as they are (updateStrategy: RollingUpdate with partition ${release.statefulSet.replicas})`,
      ],
      foresee: undefined,
      undo: {
        says: `give the StatefulSet its strategy back (${say.strategySays(helm)}), once all pods are of its template`,
        call: call('letGoOfPods', { release }),
        byHand: [say.strategyByHand(helm)],
      },
      do: () => acts(say.patient, 'Hold the pods').holdPods({ release }),
    });
    if (further) await r.step('Make a claim for the surge replica', further.claim());
    const old = { revision: release.revision, version: helm.version };
    const upgraded = await r.step('Upgrade the release', {
      does: say.changesWith(found, input),
      notes: [
        surge ? `no pod is made anew by it, and ${surge.pod} comes` : 'no pod is made anew by it',
        ...say.waysBack(helm, { primary, promoted: rolling.promoted, but: early.lostOnReturn }),
      ],
      foresee: null,
      undo: {
        says: say.backSays(rolling, helm),
        call: call('goBackRolling', { rolling, revision: release.revision, brings: say.brings(helm, input) }),
        byHand: [say.rollbackByHand(helm)],
      },
      do: () =>
        acts(say.patient, 'Upgrade the release').upgradeRelease({
          settings: input,
          old,
          partition: release.statefulSet.replicas,
          ...(surge ? { surge: { path: surge.path, value: surge.value } } : {}),
        }),
      note: (result) => (result ? `revision ${result.revision}` : ''),
    });
    if (upgraded) r.record({ revision: upgraded.revision });
    const rolled = await r.step('Upgrade the replicas', {
      does: say.rollSays(rolling, input),
      notes: surge ? [] : ['"surge": true adds one for that time, where the chart can have it'],
      foresee: null,
      undo: { none: 'undone with "Upgrade the release"' },
      do: () =>
        acts(say.patient, 'Upgrade the replicas').rollReplicas({ rolling, step: 'Upgrade the replicas' }),
      note: (result) => result?.map(({ pod, seconds }) => `${pod} after ${seconds} s`).join(', ') ?? '',
    });
    if (rolled) r.record({ replicas: rolled });

    // ---- The cutover to an upgraded replica.
    const facts = await r.step('Look at both servers', {
      does: [`look at ${early.source.shown} and ${early.target.shown}, which is upgraded now`],
      foresee: say.foreseen(early, input.targetVersion),
      read: async () =>
        acts(say.patient, 'Look at both servers').describeCouple({ settings: early.settings }),
    });
    const { target } = facts;
    const { namespace } = release;
    const steps = switchoverSteps(r, {
      input: early.settings,
      facts,
      holds: ['Hold the pods', 'Upgrade the release', 'Keep more changes'],
      of: { namespace, release: release.release },
    });
    const compared = await r.step('Compare both sides', steps.compare());
    if (compared) r.record({ comparison: say.comparison(compared) });
    const before = await r.step('Measure the old server', steps.measure());
    for (const doubt of before?.doubts ?? []) r.warn(`rollbackWhen: ${doubt}`);
    await r.step('Keep more changes', {
      does: [
        `keep as many changes on ${facts.source.shown} and ${target.shown} that the link may be down for ${input.linkDownFor} (repl-backlog-size, repl-backlog-ttl)`,
      ],
      notes: [`${say.megabytes(facts.backlogBytes)} of changes are kept`],
      foresee: undefined,
      undo: {
        says: `put the settings back, and let every replica follow ${primary} as it did`,
        call: call('rolesAsBefore', { rolling }),
        byHand: [],
      },
      do: () =>
        acts(say.patient, 'Keep more changes').keepChanges({
          rolling,
          backlogBytes: facts.backlogBytes,
          backlogSeconds: Math.ceil(milliseconds(input.linkDownFor) / 1_000),
        }),
    });
    await r.gate('cutover', `Let ${target.shown} take over?`, steps.again('Switch the applications over'));
    await r.window('Maintenance window', milliseconds(input.maxPause) + 30_000);
    const switched = await r.step('Switch the applications over', steps.switchOver());
    const cutoverAt = Date.now();
    steps.switched(switched);
    if (others.length > 0)
      await r.step('Let the other replicas follow', {
        does: others.map(({ pod }) => `let ${pod} follow ${rolling.promoted}, by partial resync`),
        foresee: null,
        undo: {
          says: `they follow ${primary} again`,
          call: call('followAsBefore', { rolling }),
          byHand: [],
        },
        do: () => acts(moves, 'Let the other replicas follow').followPromoted({ rolling }),
        note: (result) =>
          result === null ? '' : result.durable ? 'also when a container is restarted' : 'until a restart',
      });

    // ---- Afterwards, with the way back open.
    await r.checks('Validate the switch', () => steps.validate({ before, cutoverAt }));
    /** Servers that don't say how far they are are compared: nobody writes then. */
    const mend = async () => {
      const once = (equal: boolean) =>
        acts(say.patient, 'Give the roles back').mendRolling({ ...steps.mending(), rolling, equal });
      let mended = await once(false);
      if (mended.how === 'unclear' && (await steps.areEqual())) mended = await once(true);
      await steps.mended(mended);
      return mended;
    };
    const soak = soaking(r, {
      input: early.settings,
      couple: steps.couple(),
      before,
      cutoverAt,
      target,
      closes: 'decommission',
      mend,
      replicas: rolling.replicas.length,
    });
    // Again only for a criterion that a person has judged: at most once for each.
    do await r.checks('Soak', soak.watch, soak.says);
    while (soak.goesOn());

    // ---- The old version goes.
    await r.gate('decommission', say.decommissionQuestion(helm, input));
    const back = () => say.handBack(rolling, { couple: steps.couple(), input, pair: early });
    await r.pointOfNoReturn('Point of no return', say.goneSays(helm, input), {
      says: `${primary} is made anew in ${input.targetVersion}, follows, and takes its role back${surge ? `; ${surge.pod} goes, with its claim` : ''}`,
      call: call('finishRolling', { rolling, handOver: back() }),
      byHand: say.finishByHand(rolling, helm),
    });
    const renewed = await r.step('Upgrade the old primary', {
      does: say.renewSays(rolling, input),
      foresee: null,
      undo: { none: 'the old version is gone' },
      do: () =>
        acts(say.patient, 'Upgrade the old primary').renewPrimary({
          rolling,
          step: 'Upgrade the old primary',
        }),
      note: (result) => (result ? say.renewedSays(result) : ''),
    });
    if (renewed) r.record({ renewed: { seconds: renewed.seconds, wrote: renewed.wrote } });
    if (renewed?.wrote)
      r.blemish(
        `${primary} took ${renewed.wrote} commands that write before it followed: who sent them does not go by a Service, and they are gone`,
      );
    const returned = await r.step('Give the role back', {
      does: say.returnSays(rolling, early, input),
      foresee: null,
      impact: 'writes wait for a moment',
      undo: { none: 'the old version is gone' },
      do: async (told) => {
        const result = await acts(switches, 'Give the role back').handOverForward({
          ...back(),
          couple: { ...back().couple, runIds: renewed?.runIds },
          told,
        });
        return result.done ? result.outcome : null;
      },
      relieves: 'Give the role back',
      note: (result) => (result ? say.heldSays(result) : ''),
    });
    if (returned) r.record({ switchBack: say.switched(returned) });
    await r.step('Put the roles back', {
      does: [
        `let every replica follow ${primary} as its configuration has it, and put back the settings that were changed`,
      ],
      foresee: null,
      undo: { none: 'the old version is gone' },
      do: () => acts(moves, 'Put the roles back').rolesAsBefore({ rolling }),
    });
    if (further) await r.step('Take the surge replica away', further.takeAway());
    await r.step('Let go of the pods', {
      does: say.letGoSays(rolling, helm),
      foresee: null,
      undo: { none: 'every pod is of the new version' },
      do: async () => {
        if (rolling.chartSets && !surge)
          await acts(say.patient, 'Upgrade the release without the partition').upgradeRelease({
            settings: input,
            old,
            label: ' end',
          });
        return acts(say.patient, 'Let go of the pods').letGoOfPods({ release });
      },
    });
    if (!further) await r.keep(FINISH, null);
    r.wayBack({ possible: false, loses: say.goneSays(helm, input) });
    await r.checks('Validate', async () => [
      ...(await acts(say.patient, 'Look at every pod').validateRolling({
        rolling: say.withoutSurge(rolling),
        service: input.service ?? release.statefulSet.name,
        services: release.services.filter(({ headless }) => !headless),
        before: say.lastSeen(server),
      })),
      ...(await probed(input)),
    ]);
    if (further) {
      await r.step('Remove the claim of the surge replica', further.removeClaim());
      await r.keep(FINISH, null);
    }
    await backUp('Back up the new primary', { endpoint, side: 'target', shown: server.shown });
  });
}
