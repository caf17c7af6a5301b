/**
 * herokuInPlace: a Key-Value Store of Heroku is upgraded where it is, with every app that uses it at rest meanwhile.
 * Its runbook for people is docs/runbooks/heroku-in-place.md, with the same headings.
 *
 * Nothing takes `redis:upgrade` back. What can be undone is what was done to the apps.
 */
import { isCancellation, sleep } from '@temporalio/workflow';
import type { Receipt } from '../contract.js';
import type { HerokuFacts } from '../activities/heroku-apps.js';
import type { Hour, KeysFile } from '../activities/heroku-in-place.js';
import { HerokuInPlaceInput } from '../inputs/heroku-in-place.js';
import { acts, call, changes, follows, inspects, moves, reads } from '../runbook/acts.js';
import { ending, problemOf } from '../runbook/failure.js';
import { runbook } from '../runbook/runbook.js';
import { FINISH } from '../runbook/undo.js';
import { noteProof, proofOf, proven, saysProof } from './backup-step.js';
import * as say from './heroku-in-place-words.js';
import {
  atRest,
  maintenanceOff,
  maintenanceOn,
  workersBack,
  workersDown,
  workersNoted,
} from './heroku-rest.js';
import { probed } from './probes.js';

/** The CLI takes seconds a call, and may have to be installed first. */
const asks = { ...reads, startToCloseTimeout: '10m' } as const;
/** From the apps coming to rest until they are back. */
const TAKES_MS = 5 * 60_000;
const UNSEEN: Hour = { status: 'preparing', scheduledFor: null, requiredBy: null, window: null };

export async function herokuInPlace(raw: unknown): Promise<Receipt> {
  return runbook('herokuInPlace', HerokuInPlaceInput, raw, async (input, r) => {
    const facts = await r.step('Gather information', {
      read: () => acts(asks, 'Ask Heroku for the add-on and its apps').describeInPlace({ settings: input }),
      note: ({ store }) => `${store.name} runs ${store.version}`,
    });
    const { addon, atOnce, store } = facts;
    await r.lock([`heroku/${addon.id}`]);
    const of = { addon: addon.name, app: addon.billingApp.name, version: input.targetVersion };
    const uses = facts.apps.find(({ name }) => name === input.app) ?? facts.apps[0];
    r.record({ heroku: say.servers(facts, input) });
    await r.checks('Pre-flight', () =>
      acts(asks, 'Pre-flight checklist').preflightUpgrade({ settings: input, facts }),
    );

    if (input.snapshot !== false && uses) {
      const { snapshot } = input;
      const taken = await r.step('Take a snapshot', {
        does: [...say.snapshotSays(facts), ...saysProof(snapshot)],
        notes: facts.keyspace ? [`about ${facts.keyspace.keys.toLocaleString('en')} keys`] : [],
        foresee: null,
        undo: { none: 'nothing was changed; the file stays' },
        skippable: true,
        do: proven<KeysFile>(r, {
          take: () =>
            acts({ ...moves, retry: changes.retry ?? {} }, 'Take a snapshot').snapshotStore({
              uses,
              snapshot,
              step: 'Take a snapshot',
            }),
          bytes: (result) => result.bytes,
          title: 'Take a snapshot',
          shown: of.addon,
          backup: snapshot,
        }),
        note: (result) =>
          result ? `${result.keys.toLocaleString('en')} keys, ${result.bytes} bytes${noteProof(result)}` : '',
      });
      if (taken) r.record({ snapshot: { ...say.snapshotOf(taken), ...proofOf(taken) } });
    }

    // ---- The point of no return for the version: what Heroku is asked for, nothing withdraws.
    await r.gate('start', say.mayStart(facts, of.version), {
      again: async () => {
        const now = await acts(asks, 'Look at the add-on again').describeInPlace({ settings: input });
        return {
          ...(atOnce
            ? { 'Run the upgrade': say.runSays(now, of.version) }
            : { 'Ask for the upgrade': say.askSays(now, of.version) }),
          ...atRest(now),
        };
      },
    });
    const settle = call('settleUpgrade', { ...of, within: input.completeWithin });

    /** What is known of the prepared maintenance, kept up by whoever watches it. */
    const prepared = { begun: false, hour: UNSEEN, last: false, news: false };
    const watch = async (): Promise<void> => {
      for (;;) {
        try {
          const seen = await acts(follows, 'Watch the prepared maintenance').watchMaintenance({
            ...of,
            known: { scheduledFor: prepared.hour.scheduledFor, last: prepared.last },
            postponeBefore: input.postponeBefore,
          });
          prepared.last = seen.what === 'last';
          prepared.begun = seen.what === 'begun';
          prepared.hour = seen.hour;
          r.warn(say.happened(of.addon, seen));
          r.record({ prepared: seen.hour });
          if (prepared.begun) r.blemish(say.happened(of.addon, seen));
          prepared.news = true;
          if (prepared.begun) return;
        } catch (error) {
          if (isCancellation(error)) throw error;
          r.warn(`Nobody watches the maintenance of ${of.addon} now: ${problemOf(error).message}`);
          await sleep('30m', { summary: 'Until it is tried to watch it again' });
        }
      }
    };

    if (!atOnce) {
      const asked = await r.step('Ask for the upgrade', {
        does: say.askSays(facts, of.version),
        foresee: null,
        undo: {
          says: 'nothing withdraws it: it says what is left',
          call: settle,
          byHand: [],
          independent: true,
        },
        do: () => acts({ ...changes, startToCloseTimeout: '10m' }, 'Ask for the upgrade').askForUpgrade(of),
        note: (result) => result?.refused ?? '',
      });
      if (asked?.refused) await r.goBack(asked.refused);
      r.wayBack({
        takes: 'seconds. The maintenance that was asked for stays: it runs by itself at its hour',
      });
      const ready = await r.step('Wait until it is prepared', {
        does: [`wait for at most ${input.prepareWithin}; about 15 minutes are usual. The apps go on`],
        foresee: { begun: false, hour: UNSEEN },
        read: () =>
          acts(moves, 'Wait until it is prepared').waitForMaintenance({
            ...of,
            since: Date.now(),
            within: input.prepareWithin,
          }),
        note: ({ hour }) => say.hourSays(hour),
      });
      prepared.begun = ready.begun;
      prepared.hour = ready.hour;
      r.record({ prepared: ready.hour });

      // Asked anew, and told anew, when its hour has changed.
      let approved = prepared.begun;
      while (!approved && !isBegun(prepared)) {
        prepared.news = false;
        approved = await r.gate(
          'run',
          say.mayRun(facts, { ...prepared, postponeBefore: input.postponeBefore }),
          {
            meanwhile: watch,
            over: () => prepared.news,
            again: async () =>
              atRest(await acts(reads, 'Look at the apps again').describeAddOn({ addon: addon.id })),
          },
        );
      }
    }
    if (!isBegun(prepared))
      await r.window(
        'Maintenance window',
        TAKES_MS,
        atOnce ? {} : { meanwhile: watch, over: () => isBegun(prepared) },
      );

    // ---- The apps come to rest, unless it has run without them.
    const since = Date.now();
    const rests = !isBegun(prepared);
    let found: HerokuFacts = facts;
    let lasting: number | null = null;
    if (rests) {
      found = await r.step('Look at the apps again', {
        does: ['look how every app runs right now: that is what it is given back'],
        foresee: facts,
        read: async () =>
          mustBeFree(await acts(reads, 'Look at the apps again').describeAddOn({ addon: addon.id })),
        note: (seen) => workersNoted(seen).join('; '),
      });
      const apps = found.before;
      r.record({ apps });
      r.wayBack({ takes: 'seconds: dynos and maintenance mode as before. The version is not taken back' });
      await r.step('Turn maintenance mode on', maintenanceOn(found));
      await r.step('Scale down the workers', workersDown(found));
      const counted = await r.step('Count the keys', {
        does: ['count the keys that do not expire, to compare afterwards'],
        foresee: null,
        skippable: true,
        read: async () => (uses ? acts(reads, 'Count the keys').countStoreKeys({ uses }) : null),
        note: (result) =>
          result ? `${result.lasting.toLocaleString('en')} that do not expire` : 'not reached',
      });
      lasting = counted?.lasting ?? null;
    }

    const done = await r.step('Run the upgrade', {
      does: say.runSays(facts, of.version),
      foresee: null,
      cutover: true,
      impact: `connections to ${of.addon} are cut`,
      relieves: 'Run the upgrade',
      undo: {
        says: 'nothing takes it back: what has begun is waited for, and it says what is left',
        call: settle,
        byHand: [],
        independent: true,
      },
      do: () =>
        acts(moves, 'Run the upgrade').runUpgrade({
          ...of,
          atOnce,
          since: Date.now(),
          within: input.completeWithin,
        }),
      note: (result) =>
        result === null || result.refused !== null
          ? (result?.refused ?? '')
          : `${result.version}${result.seconds === null ? '' : `, in ${result.seconds} s`}`,
    });
    if (done !== null && done.refused !== null) await r.goBack(done.refused);
    if (done !== null && done.refused === null) r.record({ upgrade: say.upgraded(done) });

    // ---- Forward is the same as back from here on: the apps are given back what they had.
    const because = `${of.addon} runs ${of.version}: an upgrade in place can't be taken back. What is left is to give the apps back what they had`;
    if (rests) {
      const apps = found.before;
      await r.closeWayBack(because, {
        says: 'give the apps their dynos and their maintenance mode back',
        call: call('restoreApps', { apps }),
        byHand: [...found.byHand.scale, ...found.byHand.maintenance],
      });
      const undo = { none: 'it gives back what was there' };
      await r.step('Scale the workers back', { ...workersBack(apps), undo });
      await r.step('Turn maintenance mode off', { ...maintenanceOff(apps), undo });
      await r.keep(FINISH, null);
      r.record({ secondsAtRest: Math.round((Date.now() - since) / 1_000) });
    } else r.wayBack({ possible: false, keepsWrites: false, loses: because, takes: '' });

    await r.checks('Validate', async () => {
      const { checks, store: now } = await acts(
        { ...inspects, startToCloseTimeout: '30m' },
        'Look at the upgraded store',
      ).validateUpgrade({
        of,
        apps: found.apps,
        store,
        lasting,
      });
      r.record({ after: now });
      return [...checks, ...(await probed(input))];
    });
  });
}

/** Whoever watches it changes it while others wait. */
function isBegun(prepared: { begun: boolean }): boolean {
  return prepared.begun;
}

/** What another upgrade has brought to rest would be taken for what the apps have. */
function mustBeFree(found: HerokuFacts): HerokuFacts {
  if (found.notUndone.length > 0)
    throw ending(
      'Locked',
      `The apps are at rest because of another upgrade (${found.notUndone.join(', ')}). Wait until it has ended, or run \`ferry recover\`, then retry.`,
    );
  return found;
}
