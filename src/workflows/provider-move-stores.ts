/** The stores of a window: each an upgrade of its own, held at gates that the window answers. */
import {
  CancellationScope,
  condition,
  executeChild,
  getExternalWorkflowHandle,
  ParentClosePolicy,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import {
  HOLD_MEMO,
  phaseSignal,
  releaseSignal,
  workflowIdOf,
  type FleetRow,
  type Hold,
  type Plan,
  type Receipt,
  type ToldHeld,
} from '../contract.js';
import type { ProviderMoveSettings, StoreSettings, StoreStrategy } from '../inputs/provider-move.js';
import { milliseconds } from '../inputs/refs.js';
import { storeFacts, timeline } from '../receipt/stores.js';
import type { Runbook } from '../runbook/api.js';
import { ending, problemOf, receiptOf } from '../runbook/failure.js';
import { now } from '../runbook/ledger.js';
import { startUpgrade } from './children.js';

/** Where a store of this strategy stands still until the window lets it go on, and what it has done by then. */
export interface Stops {
  /** Before its first change, where that is felt: it is let go once the window is open. */
  early: string | null;
  /** Everything is ready, and the switch is next. */
  commit: string;
  /** Title of the step by which it is switched over. */
  switched: string;
  /** Title of the last step before its applications are back. */
  back: string;
  /** Gates of its own that the window's gates stand for. */
  settled: Record<string, 'auto'>;
}

function stopsOf(strategy: StoreStrategy, input: Record<string, unknown>): Stops {
  const switched = 'Switch the applications over';
  const { probes } = input;
  const tested = Array.isArray(probes) && probes.length > 0 ? 'Test the application' : switched;
  switch (strategy) {
    case 'redisCopy':
      return { early: null, commit: 'cutover', switched: tested, back: tested, settled: { start: 'auto' } };
    case 'redisSwitchover':
      return {
        early: null,
        commit: 'cutover',
        switched: 'Validate',
        back: 'Validate',
        settled: { commit: 'auto' },
      };
    case 'postgresMove':
      return { early: 'start', commit: 'cutover', switched, back: tested, settled: {} };
    case 'herokuFork':
      return {
        early: 'start',
        commit: 'promote',
        switched: 'Detach the temporary name',
        back: 'Validate',
        settled: {},
      };
  }
}

export interface Store {
  settings: StoreSettings;
  stops: Stops;
  row: FleetRow;
  /** As its strategy is given it. */
  input: Record<string, unknown>;
  /** What it told last. */
  told: ToldHeld | null;
  receipt: Receipt | null;
  /** Gates that the window has approved. */
  approved: string[];
  /** Gates that this run of it was let through. */
  passed: string[];
  /** How often it had asked when it was answered last. */
  answered: number;
  /** A gate that it asks at once more, since its plan is another one now. */
  again: string | null;
}

/** A store may wait this much longer than the window is long before it goes back by itself: for when nobody is there to answer it. */
const LONGER_MS = 60 * 60_000;

export function storesOf(input: ProviderMoveSettings): Store[] {
  const { window } = input;
  const length = window ? Date.parse(window.closesAt) - Date.parse(window.opensAt) : LONGER_MS;
  const patience = `${Math.ceil((length + LONGER_MS) / 60_000)}m`;
  return input.stores.map((settings): Store => {
    const { strategy, independent } = settings;
    const name = String(settings.input['name']);
    const stops = stopsOf(strategy, settings.input);
    const own = settings.input['gates'];
    const gates = { ...(typeof own === 'object' ? own : {}), ...stops.settled } as Record<string, unknown>;
    for (const gate of [stops.early, stops.commit]) if (gate !== null) delete gates[gate];
    const shared = {
      decideWithin: patience,
      notify: input.notify,
      contact: input.contact,
      history: input.history,
    };
    return {
      settings,
      stops,
      row: {
        wave: settings.when,
        name,
        strategy,
        workflowId: workflowIdOf(strategy, name),
        status: 'planned',
      },
      input: {
        ...Object.fromEntries(Object.entries(shared).filter(([, value]) => value !== undefined)),
        ...(independent ? { onFailure: 'rollback' } : {}),
        ...settings.input,
        gates,
      },
      told: null,
      receipt: null,
      approved: [],
      passed: [],
      answered: 0,
      again: null,
    };
  });
}

function memoOf({ stops }: Store): Record<string, unknown> {
  const gates = [...(stops.early === null ? [] : [stops.early]), stops.commit, 'maintenance', 'close'];
  return { [HOLD_MEMO]: { by: workflowInfo().workflowId, gates } satisfies Hold };
}

/**
 * What each store would do, by a dry run of it.
 *
 * @throws ApplicationFailure of the type of what is wrong with the first store that can not be moved
 */
export async function plansOf(stores: readonly Store[]): Promise<Record<string, Plan>> {
  const plans = await Promise.all(
    stores.map(async (store): Promise<[string, Plan]> => {
      const { row, input } = store;
      const { notify: _, history: __, ...quiet } = input;
      try {
        const receipt = (await executeChild(row.strategy, {
          workflowId: row.workflowId,
          args: [{ ...quiet, dryRun: true }],
          parentClosePolicy: ParentClosePolicy.ABANDON,
          memo: memoOf(store),
        })) as Receipt;
        return [row.name, receipt.facts['plan'] as Plan];
      } catch (error) {
        const { type, message } = problemOf(error);
        throw ending(type, `${row.name} (${row.workflowId}): ${receiptOf(error)?.reason ?? message}`);
      }
    }),
  );
  return Object.fromEntries(plans);
}

export const isPrepared = ({ told, stops }: Store): boolean => told?.gate === (stops.early ?? stops.commit);
export const isReady = ({ told, stops }: Store): boolean => told?.gate === stops.commit;
export const isSwitched = ({ told, stops }: Store): boolean => told?.done.includes(stops.switched) === true;
export const isBack = ({ told, stops }: Store): boolean => told?.done.includes(stops.back) === true;
export const isWatched = ({ told }: Store): boolean => told?.gate === 'close';

/** In the order in which they are reached. */
const STANDINGS: [string, (store: Store) => boolean][] = [
  ['watched', isWatched],
  ['back in use', (store) => store.stops.back !== store.stops.switched && isBack(store)],
  ['switched over', isSwitched],
  ['ready', isReady],
  ['prepared', isPrepared],
];

/** Begins stores, lets them go on, and waits for them. One that has ended before its time is for a person to decide. */
export function keeping(
  r: Runbook,
  { stores, onFailure }: { stores: Store[]; onFailure: 'hold' | 'rollback' },
) {
  setHandler(phaseSignal, ({ workflowId, phase, reason, held }) => {
    const store = stores.find(({ row }) => row.workflowId === workflowId && row.status === 'running');
    if (!store || (held && store.told && held.nth < store.told.nth)) return;
    // What waits for the window asks nobody else.
    Object.assign(store.row, { phase: held?.gate ? 'Running' : phase, reason });
    if (!held) return;
    store.told = held;
    store.row.at = STANDINGS.find(([, stands]) => stands(store))?.[0] ?? store.row.at ?? 'preparing';
    if (watched) showWayBack();
    answer(store);
  });

  /** The way back of all is that of the stores from the switch on. */
  let watched = false;
  function showWayBack(): void {
    watched = true;
    const losses = stores.filter(
      ({ told, row }) => row.status === 'running' && told && !told.wayBack.keepsWrites,
    );
    r.wayBack({
      keepsWrites: losses.length === 0,
      loses: losses.map(({ told, row }) => `${row.name}: ${told?.wayBack.loses}`).join('; '),
      takes: 'as long as the slowest store needs to go back',
    });
  }

  /** It asks at a gate: lets it through where the window has. */
  function answer(store: Store): void {
    const { told, approved, passed } = store;
    if (!told || told.gate === null || !approved.includes(told.gate) || told.asked <= store.answered) return;
    store.answered = told.asked;
    if (passed.includes(told.gate)) store.again = told.gate;
    else release(store, told.gate);
  }

  function release({ row, passed }: Store, gate: string): void {
    passed.push(gate);
    void CancellationScope.nonCancellable(() =>
      getExternalWorkflowHandle(row.workflowId).signal(releaseSignal, {
        gate,
        by: workflowInfo().workflowId,
      }),
    ).catch(() => {});
  }

  function begin(store: Store): void {
    const { row, input } = store;
    for (const key of ['outcome', 'clean', 'endedAt', 'reason', 'by', 'phase'] as const) delete row[key];
    Object.assign(row, { status: 'running', at: 'preparing', startedAt: now() } satisfies Partial<FleetRow>);
    Object.assign(store, {
      told: null,
      receipt: null,
      passed: [],
      answered: 0,
      again: null,
    } satisfies Partial<Store>);
    const { strategy, workflowId } = row;
    startUpgrade({ strategy, workflowId, input, memo: memoOf(store) }, (receipt, why) => {
      store.receipt = receipt;
      delete row.phase;
      Object.assign(row, {
        status: receipt?.outcome === 'Completed' ? 'done' : 'failed',
        endedAt: now(),
        reason: receipt ? (receipt.outcome === 'Completed' && receipt.blemishes[0]) || receipt.reason : why,
        ...(receipt ? { outcome: receipt.outcome, clean: receipt.clean } : {}),
      } satisfies Partial<FleetRow>);
    });
  }

  async function judge(store: Store): Promise<void> {
    const { row, settings } = store;
    const ended = `it ended ${row.outcome ? `as ${row.outcome}` : 'early'}: ${row.reason ?? ''}`;
    const lost = `${row.name} did not move: ${ended}`;
    if (settings.independent) {
      row.by = 'the input (independent)';
      r.blemish(lost);
      return;
    }
    if (onFailure === 'rollback') await r.goBack(lost);
    const choice = await r.decide({
      about: `Store ${row.name}`,
      problem: ended,
      choices: {
        retry: 'begin with it anew; the others wait for it',
        skip: 'go on without it: it stays as its own receipt says',
        ...r.waysOut(),
      },
    });
    if (choice === 'retry') begin(store);
    else if (choice === 'skip') {
      row.by = 'a person';
      r.blemish(lost);
    }
  }

  /** What it was let through for is not what it would do now. */
  async function judgeAnew(store: Store, gate: string): Promise<void> {
    const choice = await r.decide({
      about: `Store ${store.row.name}`,
      problem: `It asks at its gate "${gate}" once more: its plan is another one since it was let through. See \`ferry plan ${store.row.workflowId}\`.`,
      choices: { retry: 'let it go on by the plan that it has now', ...r.waysOut() },
    });
    store.again = null;
    if (choice === 'retry') release(store, gate);
  }

  return {
    begin: (which: readonly Store[]) => which.forEach(begin),
    letGo(which: readonly Store[], gate: (store: Store) => string | null): void {
      for (const store of which) {
        const name = gate(store);
        if (name === null || store.approved.includes(name)) continue;
        store.approved.push(name);
        answer(store);
      }
    },
    /** Until each of those that are still under way stands there. */
    async until(which: readonly Store[], stands: (store: Store) => boolean): Promise<void> {
      const lost = () => which.find(({ row }) => row.status === 'failed' && row.by === undefined);
      const anew = () => which.find(({ again }) => again !== null);
      const open = () => which.filter((store) => store.row.status === 'running' && !stands(store)).length;
      for (;;) {
        await r.boundary();
        const [gone, asks] = [lost(), anew()];
        if (gone) await judge(gone);
        else if (asks?.again) await judgeAnew(asks, asks.again);
        else if (open() === 0) return;
        else
          await condition(() => open() === 0 || lost() !== undefined || anew() !== undefined || r.isCalled());
      }
    },
    showWayBack,
    /** For the receipt. */
    facts(): Record<string, unknown> {
      const receipts = stores.flatMap(({ receipt }) => receipt ?? []);
      return {
        stores: Object.fromEntries(receipts.map((receipt) => [receipt.name, storeFacts(receipt)])),
        timeline: timeline(receipts),
      };
    },
  };
}

/** Milliseconds until the checklist is asked for. */
export function untilChecklist(input: ProviderMoveSettings, window: { opensAt: string } | undefined): number {
  return window ? Date.parse(window.opensAt) - milliseconds(input.checklistBefore) - Date.now() : 0;
}
