/**
 * helmInPlace: a release with one Redis gets a new version where it is. It is away while its pod is made anew and loads its data.
 * Its runbook for people is docs/runbooks/helm-in-place.md, with the same headings.
 */
import type { PodServes } from '../activities/helm-pods.js';
import type { Receipt } from '../contract.js';
import { HelmInPlaceInput } from '../inputs/helm-in-place.js';
import { acts, call, moves, reads } from '../runbook/acts.js';
import { ending } from '../runbook/failure.js';
import { runbook } from '../runbook/runbook.js';
import { backing } from './backup-step.js';
import * as say from './helm-in-place-words.js';
import { probed } from './probes.js';

/** From the pod's end until its data is loaded, for the maintenance window. */
const TAKES_MS = 2 * 60_000;

export async function helmInPlace(raw: unknown): Promise<Receipt> {
  return runbook('helmInPlace', HelmInPlaceInput, raw, async (input, r) => {
    const facts = await r.step('Gather information', {
      read: () => acts(say.asks, 'Ask the cluster and the server').describeHelm({ settings: input }),
      note: ({ release, version }) => `${release.shown} runs ${version}`,
    });
    const { release, primary } = facts;
    const server = facts.servers[primary];
    const endpoint = facts.endpoints[primary];
    const pod = release.pods.find(({ name }) => name === primary);
    if (!server || !endpoint || !pod) throw ending('Unclear', 'the pod of the primary was not asked');
    await r.lock(say.locks(facts));
    r.record({ kubernetes: say.releaseFacts(facts, input.targetVersion) });
    await r.checks('Pre-flight', async () => [
      ...(await acts(say.asks, 'Pre-flight checklist').preflightHelm({ settings: input, facts })),
      say.single(facts),
      ...(await acts(reads, 'Room for the backups').preflightBackup({
        source: endpoint,
        backup: input.backup,
      })),
    ]);

    // ---- Before anything is changed.
    await r.step('Keep the evidence', say.evidenceStep(input, facts));
    const backUp = backing(r, { backup: input.backup, about: server.usedMemory });
    const backup = await backUp('Back up the old server', {
      endpoint,
      side: 'source',
      shown: server.shown,
    });
    const { accepts } = await r.step('Ask what the old version reads', {
      does: ['ask the server which formats it reads: whether it can go on where the new one has written'],
      foresee: { accepts: null, highest: null },
      read: () => acts(reads, 'Ask what the old version reads').lookAtFormats({ endpoint }),
    });
    await r.gate('start', `Upgrade ${release.shown} from ${facts.version} to ${input.targetVersion}?`, {
      again: async () => ({
        'Upgrade the release': say.changesSays(
          await acts(say.asks, 'Look at the release again').describeHelm({ settings: input }),
          input,
        ),
      }),
    });
    await r.window('Maintenance window', TAKES_MS);

    // ---- The pod is made anew.
    const before = await r.step('Save to disk', {
      does: ['save to the volume (BGSAVE) until it has really ended, and count the keys'],
      foresee: null,
      undo: { none: 'a save more changes nothing' },
      do: () =>
        acts(say.saves, 'Save to disk').saveToDisk({
          endpoint,
          mountPath: release.statefulSet.dataPath ?? '/data',
          step: 'Save to disk',
        }),
      note: (result) => (result ? `${result.keys.toLocaleString('en')} keys in ${result.seconds} s` : ''),
    });
    const slow = before && say.graceProblem(facts, before);
    if (slow) throw ending('BackupFailed', slow);
    const since = Date.now();
    r.wayBack({ takes: 'less than 2 minutes: helm rollback, and the pod is made anew' });
    const upgraded = await r.step('Upgrade the release', {
      does: say.changesSays(facts, input),
      notes: say.waysBack(facts, input.backup !== false),
      foresee: null,
      cutover: true,
      impact: `${release.shown} is away while its pod is made anew`,
      undo: {
        says: `roll the release back to revision ${release.revision}, and wait for its pod`,
        call: call('goBackInPlace', say.backInPlace({ facts, input, endpoint, accepts, before, backup })),
        byHand: [
          say.rollbackByHand(facts),
          say.kubectlByHand(facts, 'delete pod', primary, '--ignore-not-found'),
        ],
      },
      do: () =>
        acts(say.patient, 'Upgrade the release').upgradeRelease({
          settings: input,
          old: { revision: release.revision, version: facts.version },
        }),
      note: (result) => (result ? `revision ${result.revision}` : ''),
    });
    if (upgraded) r.record({ revision: upgraded.revision });
    const lost = (came: PodServes) =>
      say.lostByGoingBack({ facts, accepts, came, backupAt: backup?.takenAt ?? null });
    const came = await r.step('Wait until it has loaded', {
      does: [
        `wait for at most ${input.readyWithin} until the pod is ready and its server has loaded its data`,
      ],
      foresee: null,
      undo: {
        says: 'put the backup into the volume, where the old version does not read what the new one has written',
        call: call('restoreInPlace', say.restore({ facts, needed: false, before, backup })),
        byHand: [],
      },
      // Who went back before that was known did not accept it: the undo before this one looks, and asks.
      certain: (result, { leaving }) =>
        result && !leaving && lost(result) !== ''
          ? call('restoreInPlace', say.restore({ facts, needed: true, before, backup }))
          : null,
      relieves: 'Upgrade the release',
      do: async () => {
        if (release.statefulSet.strategy === 'OnDelete')
          await acts(say.patient, 'End the old pod').replacePod({ release, pod: primary, uid: pod.uid });
        const serves = await acts(moves, 'Wait for the pod').waitForPod({
          release,
          pod: primary,
          uid: pod.uid,
          version: input.targetVersion,
          since,
          readyWithin: input.readyWithin,
          step: 'Wait until it has loaded',
        });
        const loses = lost(serves);
        r.wayBack({
          keepsWrites: loses === '',
          loses,
          takes: loses === '' ? 'less than 2 minutes' : '5 to 15 minutes',
        });
        return serves;
      },
      note: (result) => (result ? say.podSays(result) : ''),
    });
    if (came) r.record({ secondsAway: came.seconds });

    // ---- Afterwards.
    await r.checks('Validate', async () => {
      const checks = await acts(say.patient, 'Look at the upgraded server').validateInPlace({
        release,
        endpoint,
        version: input.targetVersion,
        service: input.service ?? release.statefulSet.name,
        before: {
          keys: before?.keys ?? 0,
          lasting: before?.lasting ?? 0,
          persistence: server.persistence,
          maxmemoryPolicy: server.maxmemoryPolicy,
        },
      });
      return [...checks, ...(await probed(input))];
    });
    await backUp('Back up the new server', { endpoint, side: 'target', shown: server.shown });
  });
}
