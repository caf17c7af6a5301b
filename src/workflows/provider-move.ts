/**
 * providerMove: several stores move in one maintenance window. Each is an upgrade of its own, prepared ahead; all are switched over at one
 * gate and verified before the application is back, or all go back. Its runbook for people is docs/runbooks/provider-move.md, with the
 * same headings.
 */
import { condition } from '@temporalio/workflow';
import type { Receipt } from '../contract.js';
import { milliseconds } from '../inputs/refs.js';
import { ProviderMoveInput } from '../inputs/provider-move.js';
import { acts, call, looks } from '../runbook/acts.js';
import { runbook } from '../runbook/runbook.js';
import { maintenanceOffForNow, maintenanceOn, workersBackForNow, workersDown } from './heroku-rest.js';
import { probed } from './probes.js';
import * as say from './provider-move-words.js';
import {
  isBack,
  isPrepared,
  isReady,
  isSwitched,
  isWatched,
  keeping,
  plansOf,
  storesOf,
  untilChecklist,
  type Store,
} from './provider-move-stores.js';
import { stopTheApplication } from './stop-writes.js';

export async function providerMove(raw: unknown): Promise<Receipt> {
  return runbook('providerMove', ProviderMoveInput, raw, async (input, r) => {
    const stores = storesOf(input);
    const rows = r.fleet(stores.map(({ row }) => row));
    for (const [at, row] of rows.entries()) if (stores[at]) stores[at].row = row;
    const inWindow = stores.filter(({ settings }) => settings.when === 'window');
    const later = stores.filter(({ settings }) => settings.when === 'afterwards');
    const keeper = keeping(r, { stores, onFailure: input.onFailure });

    const { resting, plans } = await r.step('Gather information', {
      read: async () => ({
        ...(await acts(looks, 'Look at the stores').lookAtStores({
          stores: input.stores,
          maintenance: input.maintenance,
        })),
        plans: await plansOf(stores),
      }),
      note: () => `${say.names(stores)}, each by a dry run of its own`,
    });
    await r.checks('Pre-flight', async () => say.checks(stores, { plans, input }));
    await r.gate('start', `Prepare ${say.names(inWindow)}? Applications go on as they are.`);

    // ---- Ahead of the window.
    const inTurn = input.order === 'given';
    const back = (which: readonly Store[]) =>
      call('rollBackStores', {
        inTurn,
        stores: which.map(({ row: { name, workflowId }, settings }) => ({
          name,
          workflowId,
          mayLoseWrites: settings.mayLoseWrites,
        })),
      });
    const goesBack = {
      says: 'every store goes back, with the writes made since',
      call: back(inWindow),
      byHand: [],
    };
    r.wayBack({ takes: 'as long as the slowest store needs; the applications notice nothing' });
    await r.step('Prepare the stores', {
      does: say.doesBetween(inWindow, plans, say.preparing),
      foresee: undefined,
      undo: goesBack,
      do: async () => {
        keeper.begin(inWindow.filter(({ row }) => row.status === 'planned'));
        await keeper.until(inWindow, isPrepared);
      },
      note: () => say.standing(inWindow),
    });
    if (input.checklist.length > 0) {
      if (input.window)
        await r.step('Wait for the checklist', {
          does: [`wait until ${input.checklistBefore} before the window opens`],
          foresee: undefined,
          read: async () => {
            for (;;) {
              await r.boundary();
              const { window } = r.settings();
              const early = untilChecklist(input, window);
              if (early <= 0) return;
              const changed = () => r.isCalled() || r.settings().window !== window;
              await condition(changed, early, { summary: 'Until the checklist is asked for' });
            }
          },
        });
      await r.gate('checklist', `Is everything ready for the window of ${input.name}?`, {
        items: input.checklist,
      });
    }
    await r.window('Maintenance window', milliseconds(input.takes));

    // ---- In the window: nobody writes where that is asked for, and every store stands before its switch.
    if (resting) {
      await r.step('Turn maintenance mode on', maintenanceOn(resting));
      await r.step('Scale down the workers', workersDown(resting));
    }
    const stops = stopTheApplication(input);
    if (stops) await r.step('Stop the application writing', stops.stop);
    const early = inWindow.filter((store) => store.stops.early !== null);
    const impact = say.impactOf(early, plans);
    await r.step('Make the stores ready', {
      does: [
        ...say.doesBetween(early, plans, say.readying),
        `wait until each of ${say.names(inWindow)} stands before its switch`,
      ],
      foresee: undefined,
      ...(impact === undefined ? {} : { impact }),
      undo: goesBack,
      do: async () => {
        keeper.letGo(early, (store) => store.stops.early);
        await keeper.until(inWindow, isReady);
      },
      note: () => say.standing(inWindow),
    });

    // ---- The cutover.
    await r.gate(
      'cutover',
      `Switch ${say.names(inWindow)} over${inTurn ? ', in this order' : ', together'}?`,
      {
        approvers: 2,
      },
    );
    await r.step('Switch the stores over', {
      does: say.doesBetween(inWindow, plans, say.switching),
      foresee: undefined,
      impact: 'writes are held for a moment',
      cutover: true,
      undo: goesBack,
      do: async () => {
        for (const which of inTurn ? inWindow.map((store) => [store]) : [inWindow]) {
          keeper.letGo(which, (store) => store.stops.commit);
          await keeper.until(which, isSwitched);
        }
      },
      relieves: 'Switch the stores over',
      note: () => say.standing(inWindow),
    });
    keeper.showWayBack();
    await r.checks('Verify', async () => [...say.verified(inWindow), ...(await probed(input))]);

    // ---- All is verified: the application is back.
    await r.step('Let the stores go on', {
      does: [`give back what ${say.names(inWindow)} took from the application`],
      foresee: undefined,
      undo: { none: 'each store takes it again while it goes back' },
      do: async () => {
        keeper.letGo(inWindow, () => 'maintenance');
        await keeper.until(inWindow, isBack);
      },
      relieves: 'Make the stores ready',
    });
    if (stops) await r.step('Let the application write again', stops.start);
    if (resting) {
      await r.step('Scale the workers back', workersBackForNow(resting.before));
      await r.step('Turn maintenance mode off', maintenanceOffForNow(resting));
    }

    // ---- Afterwards.
    if (later.length > 0) {
      await r.gate('afterwards', `Move ${say.names(later)} now?`);
      const brings = say.impactOf(later, plans);
      await r.step('Move the other stores', {
        does: say.doesBetween(later, plans, say.whole),
        foresee: undefined,
        ...(brings === undefined ? {} : { impact: brings }),
        undo: { says: 'they go back', call: back(later), byHand: [] },
        do: async () => {
          keeper.begin(later.filter(({ row }) => row.status === 'planned'));
          for (const gate of [(store: Store) => store.stops.early, (store: Store) => store.stops.commit])
            keeper.letGo(later, gate);
          keeper.letGo(later, () => 'maintenance');
          await keeper.until(later, isBack);
        },
        relieves: 'Move the other stores',
        note: () => say.standing(later),
      });
    }
    await r.step('Watch the stores', {
      does: ['wait until each store was watched for as long as its own input says'],
      foresee: undefined,
      read: () => keeper.until(stores, isWatched),
      note: () => say.standing(stores),
    });
    await r.gate('close', `Close the way back of ${say.names(stores)}?`);
    await r.pointOfNoReturn('Point of no return', 'the way back of every store is closed from here on', {
      says: 'let each store close its own way back',
      call: call('closeStores', { stores: stores.map(({ row }) => row.workflowId) }),
      byHand: [],
    });
    await r.step('Close the way back', {
      does: say.doesBetween(stores, plans, () => ({ after: 'close', before: null })),
      foresee: undefined,
      undo: { none: 'the move is complete' },
      do: async () => {
        keeper.letGo(stores, () => 'close');
        await keeper.until(stores, () => false);
      },
      note: () => say.standing(stores),
    });
    r.record(keeper.facts());
    for (const flaw of say.flaws(rows)) r.blemish(flaw);
    r.wayBack({
      possible: false,
      loses: 'The move is complete; each store says in its receipt how to go back.',
    });
  });
}
