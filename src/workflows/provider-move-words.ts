/** What `providerMove` says: the sentences of its plan, and its checks. */
import type { Check, FleetRow, Plan, PlanStep } from '../contract.js';
import type { ProviderMoveSettings } from '../inputs/provider-move.js';
import { gateTitle } from '../runbook/api.js';
import { isSwitched, type Store } from './provider-move-stores.js';

/** What a store makes may be named after its run, and each dry run of it is another one. */
const NAMED_BY_RUN = /redis-ferry-[0-9a-f]{12}/g;

type Plans = Record<string, Plan>;

export function names(stores: readonly Store[]): string {
  return stores.map(({ row }) => row.name).join(', ');
}

/** What each store does from its one stop to the next, by its own plan: an approval stands for all of it. */
export function doesBetween(
  stores: readonly Store[],
  plans: Plans,
  between: (store: Store) => { after: string | null; before: string | null },
): string[] {
  return stores.flatMap((store) => {
    const { steps = [] } = plans[store.row.name] ?? {};
    const { after, before } = between(store);
    const at = (gate: string | null, otherwise: number): number => {
      const found = gate === null ? -1 : steps.findIndex(({ title }) => title === gateTitle(gate));
      return found < 0 ? otherwise : found;
    };
    return steps
      .slice(at(after, 0), at(before, steps.length))
      .filter(({ kind }) => kind === 'write')
      .flatMap(({ does }: PlanStep) =>
        does.map((line) => `${store.row.name}: ${line.replaceAll(NAMED_BY_RUN, 'redis-ferry-…')}`),
      );
  });
}

export const preparing = ({ stops }: Store) => ({ after: null, before: stops.early ?? stops.commit });
export const readying = ({ stops }: Store) => ({ after: stops.early ?? stops.commit, before: stops.commit });
export const switching = ({ stops }: Store) => ({ after: stops.commit, before: 'close' });
export const whole = () => ({ after: null, before: 'close' });

/** What users notice by the stores themselves. */
export function impactOf(stores: readonly Store[], plans: Plans): string | undefined {
  const impacts = stores.flatMap(({ row }) => plans[row.name]?.impact ?? []);
  return impacts.length === 0 ? undefined : impacts.join('; ');
}

export function checks(
  stores: readonly Store[],
  { plans, input }: { plans: Plans; input: ProviderMoveSettings },
): Check[] {
  const { window, notify } = input;
  return [
    ...stores.map(({ row, settings }): Check => {
      const loses = plans[row.name]?.mayLose ?? [];
      return {
        name: `${row.name} loses no write`,
        status: loses.length === 0 ? 'pass' : settings.mayLoseWrites ? 'warn' : 'fail',
        expected: 'its plan says that nothing may be lost, or the input accepts it (mayLoseWrites)',
        actual: loses.length === 0 ? 'nothing may be lost' : `may be lost: ${loses.join('; ')}`,
        ...(loses.length === 0 || settings.mayLoseWrites
          ? {}
          : { next: 'Accept it for this store with `mayLoseWrites`, or move it with its writes stopped.' }),
        waivable: false,
      };
    }),
    ...stores.map(({ row }): Check => {
      const failed = (plans[row.name]?.checks ?? []).filter(({ status }) => status === 'fail');
      return {
        name: `${row.name} passes its pre-flight`,
        status: failed.length === 0 ? 'pass' : 'warn',
        expected: 'every check of its own',
        actual:
          failed.length === 0
            ? 'all passed'
            : `${failed.map(({ name, actual }) => `${name}: ${actual}`).join('; ')}`,
        ...(failed.length === 0
          ? {}
          : { next: `It asks a person while it is prepared: see \`ferry state ${row.workflowId}\`.` }),
        waivable: false,
      };
    }),
    {
      name: 'There is a maintenance window',
      status: window === undefined ? 'warn' : 'pass',
      expected: 'a window (window)',
      actual:
        window === undefined
          ? 'none: it begins once its gates are approved'
          : `${window.opensAt} to ${window.closesAt}`,
      waivable: false,
    },
    {
      name: 'Somebody is told',
      status: notify === undefined ? 'warn' : 'pass',
      expected: 'a webhook (notify)',
      actual: notify === undefined ? 'nobody is: look at it with `ferry state --watch`' : 'a webhook',
      waivable: false,
    },
  ];
}

/** Whether each store stands where it should after the switch. */
export function verified(stores: readonly Store[]): Check[] {
  return stores.map((store): Check => {
    const { row } = store;
    const well = row.status === 'done' || (row.status === 'running' && isSwitched(store));
    const left = row.status === 'failed' && row.by !== undefined;
    return {
      name: `${row.name} is switched over`,
      status: well ? 'pass' : left ? 'warn' : 'fail',
      expected: 'its applications use the new one, and its own checks have passed',
      actual: well ? 'it is' : left ? `left where it was: ${row.reason ?? ''}` : (row.reason ?? row.status),
      waivable: true,
    };
  });
}

/** "2 prepared, 1 failed". */
export function standing(stores: readonly Store[]): string {
  const says = stores.map(({ row }) => (row.status === 'running' ? (row.at ?? 'running') : row.status));
  return [...new Set(says)]
    .map((each) => `${says.filter((other) => other === each).length} ${each}`)
    .join(', ');
}

export function flaws(rows: readonly FleetRow[]): string[] {
  return rows.flatMap(({ name, status, clean, reason }) =>
    status === 'done' && clean === false ? [`${name} is not clean: ${reason ?? ''}`] : [],
  );
}
