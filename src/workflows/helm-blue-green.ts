/**
 * helmBlueGreen: a second release with the new version stands beside the first, follows it and takes over from it; the first one then
 * follows, so that going back loses nothing. Its runbook for people is docs/runbooks/helm-blue-green.md, with the same headings.
 */
import type { Use } from '../activities/decommissioning.js';
import type { Receipt } from '../contract.js';
import { HelmBlueGreenInput } from '../inputs/helm-blue-green.js';
import { milliseconds } from '../inputs/refs.js';
import { acts, call, changes, looks, reads } from '../runbook/acts.js';
import { ending } from '../runbook/failure.js';
import { runbook } from '../runbook/runbook.js';
import { FINISH } from '../runbook/undo.js';
import { backing } from './backup-step.js';
import { preflight } from './helm-blue-green-preflight.js';
import * as say from './helm-blue-green-words.js';
import { soaking } from './redis-switchover-soak.js';
import { switchoverSteps } from './switchover-steps.js';

export async function helmBlueGreen(raw: unknown): Promise<Receipt> {
  return runbook('helmBlueGreen', HelmBlueGreenInput, raw, async (input, r) => {
    const found = await r.step('Gather information', {
      read: () => acts(say.patient, 'Ask the cluster and the servers').describeBlueGreen({ settings: input }),
      note: ({ helm }) => `${helm.release.shown} runs ${helm.version}`,
    });
    const { helm, endpoints } = found;
    const { release, primary } = helm;
    const server = helm.servers[primary];
    if (!server) throw ending('Unclear', 'the pod of the primary was not asked');
    const green = say.greenRelease(found, Date.now());
    const settings = say.switchoverSettings(input, found);
    await r.lock([...say.locks(helm), say.lockOf(helm, green.green)]);
    r.record({ kubernetes: say.bothReleases(found, input.targetVersion) });
    await r.checks('Pre-flight', async () => [
      ...preflight({
        found,
        common: await acts(say.patient, 'Pre-flight checklist').preflightHelm({
          settings: input,
          facts: helm,
        }),
      }),
      ...(await acts(reads, 'Room for the backups').preflightBackup({
        source: endpoints.blue,
        backup: input.backup,
      })),
    ]);

    // ---- Before anything is changed.
    await r.step('Keep the evidence', say.evidenceStep(input, helm));
    const backUp = backing(r, { backup: input.backup, about: server.usedMemory });
    await backUp('Back up the old server', { endpoint: endpoints.blue, side: 'source', shown: server.shown });
    await r.gate('start', `Install ${green.green} with ${input.targetVersion} beside ${release.shown}?`, {
      again: async () => ({
        'Install green': say.installSays(
          await acts(say.patient, 'Look at both releases again').describeBlueGreen({ settings: input }),
          input,
        ),
      }),
    });

    // ---- The second release. Applications go on as they are.
    r.wayBack({ takes: 'a minute; the applications notice nothing' });
    const since = Date.now();
    const installed = await r.step('Install green', {
      does: say.installSays(found, input),
      foresee: null,
      undo: {
        says: `uninstall ${green.green}, and remove the claims that came with it; but only while nothing leads there and ${release.shown} serves`,
        call: call('removeGreen', green),
        byHand: say.uninstallByHand(helm, green),
      },
      do: () =>
        acts(say.patient, 'Install green').installGreen({
          settings: input,
          green,
          old: { revision: release.revision, version: helm.version },
        }),
      note: (result) => (result ? `revision ${result.revision}` : ''),
    });
    const ready = await r.step('Wait until it is ready', {
      does: [`wait for at most ${input.readyWithin} until ${green.pods.join(', ')} are ready`],
      foresee: null,
      undo: { none: 'waiting changes nothing' },
      do: () =>
        acts(say.patient, 'Wait for the pods of green').waitForGreen({
          green,
          container: found.green.container,
          version: input.targetVersion,
          since,
          readyWithin: input.readyWithin,
          step: 'Wait until it is ready',
        }),
      note: (result) => (result ? `after ${result.seconds} s` : ''),
    });
    if (installed && ready)
      r.record({ green: { release: green.green, revision: installed.revision, readyAfter: ready.seconds } });
    const facts = await r.step('Ask both servers', {
      does: ['ask both servers what they hold, which formats they read, and what they are used for'],
      foresee: found.couple,
      read: () => acts(looks, 'Ask both servers').describeCouple({ settings }),
    });
    const { target } = facts;
    r.record({ servers: say.servers(facts), way: { chosen: 'replication' }, clients: say.clients(facts) });
    await r.checks('Check both servers', () =>
      acts(reads, 'Checklist of both servers').preflightCouple({ settings, facts }),
    );

    // ---- It follows.
    const steps = switchoverSteps(r, {
      input: settings,
      facts,
      holds: ['Install green'],
      restarts: true,
      of: { namespace: release.namespace, release: release.release },
    });
    const followed = await r.step('Replicate', steps.replicate());
    if (followed) r.record({ replication: say.followed(followed) });
    const compared = await r.step('Compare both sides', steps.compare());
    if (compared) r.record({ comparison: say.comparison(compared) });
    const { persistence } = server;
    if (persistence.aof || persistence.save !== '')
      await r.step('Save green to disk', {
        does: [
          'save green to its volume (BGSAVE) until it has really ended: a volume that is too small, or full, shows now and not after the cutover',
        ],
        foresee: null,
        undo: { none: 'a save more changes nothing' },
        skippable: true,
        do: () =>
          acts(say.saves, 'Save green to disk').saveToDisk({
            endpoint: endpoints.green,
            mountPath: release.statefulSet.dataPath ?? '/data',
            step: 'Save green to disk',
          }),
        note: (result) => (result ? `${result.keys.toLocaleString('en')} keys in ${result.seconds} s` : ''),
      });
    const before = await r.step('Measure the old server', steps.measure());
    for (const doubt of before?.doubts ?? []) r.warn(`rollbackWhen: ${doubt}`);

    // ---- The cutover.
    await r.gate(
      'cutover',
      `Switch the applications over to ${target.shown}?`,
      steps.again('Switch the applications over'),
    );
    await r.window('Maintenance window', milliseconds(input.maxPause) + 30_000);
    const switched = await r.step('Switch the applications over', steps.switchOver());
    const cutoverAt = Date.now();
    steps.switched(switched);

    // ---- Afterwards, with the way back open.
    await r.checks('Validate', async () => [
      ...(await steps.validate({ before, cutoverAt })),
      ...(input.applicationPod
        ? await acts(
            { ...changes, startToCloseTimeout: '2m' },
            "Ask from the application's pod",
          ).askApplication(say.fromPod(input, helm, cutoverAt))
        : []),
    ]);
    const mend = async () => {
      const mended = await acts(say.patient, 'Mend what follows').mendFollowing(steps.mending());
      await steps.mended(mended);
      return mended;
    };
    const soak = soaking(r, { input: settings, couple: steps.couple(), before, cutoverAt, target, mend });
    // Again only for a criterion that a person has judged: at most once for each.
    do await r.checks('Soak', soak.watch, soak.says);
    while (soak.goesOn());

    // ---- The old release.
    await r.gate('decommission', say.decommissionQuestion(found));
    await r.pointOfNoReturn('Point of no return', 'the way back is closed from here on', steps.finish());
    const closed = await r.step('Close the way back', {
      does: [
        `${server.shown} follows no more, and keeps what it holds`,
        'put the settings back that were changed for the replication',
      ],
      foresee: null,
      undo: { none: 'from here on there is no way back' },
      do: async () => {
        await steps.close();
        return acts(reads, 'Remember how the old server is used').lookAtUse({ server: endpoints.blue });
      },
    });
    r.wayBack({
      possible: false,
      loses: `The upgrade is complete; go back with redisCopy into a release of the old version.`,
    });
    // Nothing is left to undo: whoever recovers a terminated upgrade from here on must not touch either release.
    await r.keep(FINISH, null);
    await backUp('Back up the new server', {
      endpoint: endpoints.green,
      side: 'target',
      shown: target.shown,
    });
    let seen: Use | null = closed;
    await r.checks('Nobody uses the old release', async () => {
      if (!closed) throw new Error('how it was used is known once the way back is closed');
      const { checks, now } = await acts(reads, 'Who uses the old release').proveBlueUnused({
        release,
        primary,
        since: closed,
      });
      seen = now;
      return checks;
    });
    const retired = await r.step('Take the old release out of service', {
      does: say.retireSays(found),
      notes: say.remains(found),
      foresee: null,
      undo: { none: `its volumes stay, and so does the backup; to start it again: ${say.startAgain(helm)}` },
      skippable: true,
      do: async () => {
        if (!seen) throw new Error('nobody has looked who uses it');
        return acts(say.patient, 'Take the old release out of service').retireBlue({
          release,
          primary,
          seen,
        });
      },
      note: (result) => (result ? `its pods are gone after ${result.seconds} s` : ''),
    });
    if (!retired) return;
    r.record({
      decommission: { seconds: retired.seconds, claimsStay: retired.claims, remains: say.remains(found) },
    });
    for (const item of say.followUps(found)) r.followUp(item);
  });
}
