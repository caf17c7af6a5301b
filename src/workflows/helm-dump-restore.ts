/**
 * helmDumpRestore: writes stop, a snapshot of the old release is restored into a new one that begins empty, all of it is compared, and
 * the applications are sent there. Its runbook for people is docs/runbooks/helm-dump-restore.md, with the same headings.
 */
import type { Receipt } from '../contract.js';
import { copyBetween, HelmDumpRestoreInput } from '../inputs/helm-dump-restore.js';
import { acts, patiently, switches } from '../runbook/acts.js';
import { ending } from '../runbook/failure.js';
import { runbook } from '../runbook/runbook.js';
import { FINISH } from '../runbook/undo.js';
import { backing } from './backup-step.js';
import { engineSteps } from './helm-dump-restore-steps.js';
import * as say from './helm-dump-restore-words.js';
import { secondReleaseSteps } from './helm-second-steps.js';
import { probed } from './probes.js';

export async function helmDumpRestore(raw: unknown): Promise<Receipt> {
  return runbook('helmDumpRestore', HelmDumpRestoreInput, raw, async (input, r) => {
    const look = () =>
      acts(say.patient, 'Ask the cluster and the servers').describeDumpRestore({ settings: input });
    const found = await r.step('Gather information', {
      read: look,
      note: ({ helm }) => `${helm.release.shown} runs ${helm.version}`,
    });
    const { helm, endpoints, repoint } = found;
    const { release, primary } = helm;
    const server = helm.servers[primary];
    if (!server) throw ending('Unclear', 'the pod of the primary was not asked');
    const second = secondReleaseSteps(r, { input, found, again: look });
    const { green } = second;
    await second.lock();
    r.record({ kubernetes: say.bothReleases(found, input.targetVersion) });
    await r.checks('Pre-flight', async () => [
      ...say.ownChecks(found, input),
      ...(await second.preflight(['Version', 'What the upgrade changes', 'Persistence'])),
    ]);

    // ---- Before anything is changed.
    await r.step('Keep the evidence', say.evidenceStep(input, helm));
    const backUp = backing(r, { backup: input.backup, about: server.usedMemory });
    await backUp('Back up the old server', { endpoint: endpoints.blue, side: 'source', shown: server.shown });
    await r.gate(
      'start',
      `Install ${green.green} with ${input.targetVersion} beside ${release.shown}, and then stop writes?`,
      second.again('Install green'),
    );

    // ---- The new release, empty. Applications go on as they are.
    r.wayBack({ takes: 'a minute; the applications notice nothing' });
    await r.step('Install green', second.install('Install green'));
    await r.step('Wait until it is ready', second.ready('Wait until it is ready'));
    const settings = copyBetween(input, { source: endpoints.blue, target: endpoints.green, repoint });
    const { pair, volume } = await r.step('Ask both servers', {
      does: ['ask both servers what they hold and which formats they read'],
      foresee: { pair: found.pair, volume: say.volumeForeseen(found) },
      read: async () => ({
        pair: await acts(say.patient, 'Ask both servers').describePair({ settings }),
        volume: await acts(say.patient, 'Look where green has its data').lookAtVolume({ green }),
      }),
    });
    const how = say.howOf(pair, found);
    const sides = say.sidesOf(settings, pair);
    const engine = engineSteps(r, sides);
    r.record({
      servers: say.servers(pair),
      way: { chosen: how.file ? 'rdb' : sides.way, because: how.because },
    });
    await r.checks('Check both servers', () =>
      acts(say.patient, 'Checklist of both servers').preflight({ settings, pair }),
    );
    await r.window('Maintenance window', say.stopsForMs(found));

    // ---- Nobody writes from here on, until the applications are at the new one, or allowed again at the old one.
    const stopped = await r.step('Stop the writes', {
      does: say.stopSays(pair),
      notes: say.waysBack(found),
      foresee: null,
      impact: `writes to ${server.shown} are refused`,
      undo: {
        says: `lift the fence of ${server.shown}: writes go on there`,
        call: patiently('allowWrites', say.stopping(found)),
        byHand: pair.byHand.unfence,
      },
      do: () => acts(switches, 'Stop the writes').stopWrites(say.stopping(found)),
    });
    r.wayBack({ takes: 'seconds until writes go on at the old one' });
    let lasting = 0;
    if (how.file) {
      const snapshot = await r.step('Take the snapshot', {
        does: say.snapshotSays(pair),
        foresee: null,
        undo: { none: 'nothing was changed; the file stays on the worker' },
        do: () =>
          acts(say.saves, 'Take the snapshot').takeSnapshot({
            release,
            pod: primary,
            endpoint: endpoints.blue,
            backup: input.backup,
            step: 'Take the snapshot',
          }),
        note: (result) => (result ? say.snapshotNote(result) : ''),
      });
      if (snapshot) r.record({ snapshot: say.forReceipt(snapshot) });
      lasting = snapshot?.lasting ?? 0;
      const restored = await r.step('Restore into green', {
        does: say.intoSays(pair, found),
        foresee: null,
        undo: { none: `it goes with ${green.green}` },
        do: async () => {
          if (!snapshot) throw new Error('there is no snapshot');
          const { folder, file } = snapshot;
          return acts(say.patient, 'Restore into green').restoreGreen({
            green,
            volume,
            rdb: { path: `${folder}/${file.name}`, sha256: file.sha256 },
          });
        },
        note: (result) => (result ? `in ${result.seconds} s` : ''),
      });
      const wait = second.ready('Wait until it has loaded');
      await r.step('Wait until it has loaded', {
        ...wait,
        do: async () => {
          const loaded = await wait.do();
          if (restored)
            await acts(say.patient, 'Tidy the volume').tidyVolume({ green, volume, aside: restored.aside });
          return loaded;
        },
      });
    } else {
      const copied = await r.step(
        'Copy every key',
        engine.copy({ pair, how, green: green.green, save: second.saves() ? second.save : null }),
      );
      if (copied) r.record({ copied: copied.counts });
    }
    const compared = await r.step('Compare both sides', engine.compare());
    if (compared) r.record({ comparisonWithWritesStopped: say.comparison(compared) });

    // ---- The cutover.
    const { decideWithin } = input;
    await r.gate('cutover', say.cutoverQuestion(pair, { stopped, now: Date.now(), decideWithin }));
    const forward = say.switching(found, { input, sides, stopped });
    const back = { pair, input, keep: ['Install green'] };
    const switched = await r.step('Switch the applications over', {
      does: say.switchSays(pair),
      foresee: null,
      undo: {
        says: `carry what was written at ${pair.target.shown} since to ${server.shown}, and send the applications back`,
        call: patiently('switchBack', say.switchingBack(forward, { ...back, result: null })),
        byHand: say.switchBackByHand(pair),
        holds: {
          steps: ['Install green', 'Stop the writes'],
          because: `${green.green} is kept, and ${server.shown} stays closed to writes: the applications may be using the new one`,
        },
      },
      cutover: true,
      do: (told) => acts(switches, 'Switch the applications over').switchForward({ ...forward, told }),
      certain: (result) => patiently('switchBack', say.switchingBack(forward, { ...back, result })),
      relieves: 'Stop the writes',
      note: (result) => (result ? say.stoppedSays(result) : ''),
    });
    const cutoverAt = Date.now();
    if (switched) r.record({ switch: switched });
    r.wayBack({ keepsWrites: true, loses: '', takes: say.backTakes(pair) });

    // ---- Afterwards, with the way back open.
    await r.checks('Validate', async () => [
      ...say.ofService(
        repoint,
        await acts(say.patient, 'Look at the new release').validateInPlace({
          release: volume.release,
          endpoint: endpoints.green,
          version: input.targetVersion,
          service: input.service ?? release.statefulSet.name,
          before: { ...server, keys: compared?.keysCompared ?? 0, lasting },
        }),
      ),
      ...(await second.asked(cutoverAt)),
      ...(await probed(input)),
    ]);
    const fence = forward.fence;
    await r.checks('Soak', () => engine.watch({ pair, fence, soak: input.soak }));

    // ---- The old release.
    await r.gate('decommission', say.retireQuestion(found));
    const over = { sides, fence, repoint };
    await r.pointOfNoReturn('Point of no return', 'the way back is closed from here on', {
      says: `lift the fence of ${server.shown}`,
      call: patiently('settle', over),
      byHand: pair.byHand.unfence,
    });
    const closed = await r.step('Close the way back', {
      does: ['remove what was kept for the way back; the old server stays closed to writes until it is gone'],
      foresee: null,
      undo: { none: 'from here on there is no way back' },
      do: async () => {
        await acts(say.patient, 'Close the way back').settle({ ...over, fence: null });
        return acts(say.patient, 'Remember how the old server is used').lookAtUse({ server: endpoints.blue });
      },
    });
    r.wayBack({
      possible: false,
      loses: 'The upgrade is complete; go back with redisCopy into a release of the old version.',
    });
    await backUp('Back up the new server', {
      endpoint: endpoints.green,
      side: 'target',
      shown: pair.target.shown,
    });
    await r.checks('Nobody uses the old release', () => second.unused(closed));
    const retire = second.retire('Take the old release out of service');
    second.retired(await r.step('Take the old release out of service', { ...retire, skippable: false }));
    await r.keep(FINISH, null);
  });
}
