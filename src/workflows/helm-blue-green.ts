/**
 * helmBlueGreen: a second release with the new version stands beside the first, follows it and takes over from it; the first one then
 * follows, so that going back loses nothing. Its runbook for people is docs/runbooks/helm-blue-green.md, with the same headings.
 */
import type { Receipt } from '../contract.js';
import { HelmBlueGreenInput } from '../inputs/helm-blue-green.js';
import { milliseconds } from '../inputs/refs.js';
import { acts, looks, reads } from '../runbook/acts.js';
import { ending } from '../runbook/failure.js';
import { runbook } from '../runbook/runbook.js';
import { FINISH } from '../runbook/undo.js';
import { backing } from './backup-step.js';
import * as say from './helm-blue-green-words.js';
import { secondReleaseSteps } from './helm-second-steps.js';
import { soaking } from './redis-switchover-soak.js';
import { switchoverSteps } from './switchover-steps.js';

export async function helmBlueGreen(raw: unknown): Promise<Receipt> {
  return runbook('helmBlueGreen', HelmBlueGreenInput, raw, async (input, r) => {
    const look = () =>
      acts(say.patient, 'Ask the cluster and the servers').describeBlueGreen({ settings: input });
    const found = await r.step('Gather information', {
      read: look,
      note: ({ helm }) => `${helm.release.shown} runs ${helm.version}`,
    });
    const { helm, endpoints } = found;
    const { release, primary } = helm;
    const server = helm.servers[primary];
    if (!server) throw ending('Unclear', 'the pod of the primary was not asked');
    const second = secondReleaseSteps(r, { input, found, again: look });
    const { green } = second;
    const settings = say.switchoverSettings(input, found);
    await second.lock();
    r.record({ kubernetes: say.bothReleases(found, input.targetVersion) });
    await r.checks('Pre-flight', () => second.preflight());

    // ---- Before anything is changed.
    await r.step('Keep the evidence', say.evidenceStep(input, helm));
    const backUp = backing(r, { backup: input.backup, about: server.usedMemory });
    await backUp('Back up the old server', { endpoint: endpoints.blue, side: 'source', shown: server.shown });
    await r.gate(
      'start',
      `Install ${green.green} with ${input.targetVersion} beside ${release.shown}?`,
      second.again('Install green'),
    );

    // ---- The second release. Applications go on as they are.
    r.wayBack({ takes: 'a minute; the applications notice nothing' });
    const installed = await r.step('Install green', second.install('Install green'));
    const ready = await r.step('Wait until it is ready', second.ready('Wait until it is ready'));
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
    if (second.saves())
      await r.step('Save green to disk', {
        does: [
          'save green to its volume (BGSAVE) until it has really ended: a volume that is too small, or full, shows now and not after the cutover',
        ],
        foresee: null,
        undo: { none: 'a save more changes nothing' },
        skippable: true,
        do: () => steps.asFollower(() => second.save('Save green to disk')),
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
    const switched = await r.step('Switch the applications over', {
      ...steps.switchOver(),
      notes: say.waysBack(found),
    });
    const cutoverAt = Date.now();
    steps.switched(switched);

    // ---- Afterwards, with the way back open.
    await r.checks('Validate', async () => [
      ...(await steps.validate({ before, cutoverAt })),
      ...(await second.asked(cutoverAt)),
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
    await r.gate('decommission', say.retireQuestion(found));
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
    await r.checks('Nobody uses the old release', () => second.unused(closed));
    second.retired(
      await r.step(
        'Take the old release out of service',
        second.retire('Take the old release out of service'),
      ),
    );
  });
}
