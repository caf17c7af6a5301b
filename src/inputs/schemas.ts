/** The zod schema of each strategy that upgrades or moves one thing. Hundreds of inputs take seconds inside a workflow: not for there. */
import { commonProblems } from './common.js';
import type { TargetStrategy } from './fleet-rollout.js';
import { HelmBlueGreenInput } from './helm-blue-green.js';
import { HelmDumpRestoreInput } from './helm-dump-restore.js';
import { HelmInPlaceInput } from './helm-in-place.js';
import { HelmRollingInput } from './helm-rolling.js';
import { HerokuForkInput } from './heroku-fork.js';
import { HerokuInPlaceInput } from './heroku-in-place.js';
import { ProviderMoveInput, type StoreSettings } from './provider-move.js';
import type { Rehearsed } from './rehearsal.js';
import { PostgresMoveInput } from './postgres-move.js';
import { RedisCopyInput } from './redis-copy.js';
import { sentences } from './messages.js';
import { RedisSwitchoverInput } from './redis-switchover.js';

export const TARGET_SCHEMAS = {
  redisCopy: RedisCopyInput,
  redisSwitchover: RedisSwitchoverInput,
  herokuInPlace: HerokuInPlaceInput,
  herokuFork: HerokuForkInput,
  helmInPlace: HelmInPlaceInput,
  helmRolling: HelmRollingInput,
  helmBlueGreen: HelmBlueGreenInput,
  helmDumpRestore: HelmDumpRestoreInput,
  postgresMove: PostgresMoveInput,
} as const satisfies Record<TargetStrategy, unknown>;

/** What is wrong with an input of the strategy, in sentences; empty when nothing is. */
export function problemOfTarget({ strategy, input }: { strategy: TargetStrategy; input: unknown }): string {
  const parsed = TARGET_SCHEMAS[strategy].safeParse(input, { reportInput: true });
  return parsed.success ? commonProblems(parsed.data).join('; ') : sentences(parsed.error);
}

/** What is wrong with the inputs of upgrades that another one starts, a sentence each, with its place. */
export function problemsOfInputs(
  upgrades: readonly { strategy: TargetStrategy; input: Record<string, unknown>; path: string }[],
): string[] {
  return upgrades.flatMap(({ strategy, input, path }) => {
    const problem = problemOfTarget({ strategy, input });
    return problem === '' ? [] : [`${path}.input is no input of ${strategy}: ${problem}`];
  });
}

/** The same for the stores of a window. */
export function problemsOfStores(stores: readonly StoreSettings[]): string[] {
  return problemsOfInputs(stores.map((store, at) => ({ ...store, path: `stores.${at}` })));
}

/** The same for what may be rehearsed: a window is as right as each of its stores. */
export function problemOfRehearsed({ strategy, input }: { strategy: Rehearsed; input: unknown }): string {
  if (strategy !== 'providerMove') return problemOfTarget({ strategy, input });
  const parsed = ProviderMoveInput.safeParse(input, { reportInput: true });
  if (!parsed.success) return sentences(parsed.error);
  return [...commonProblems(parsed.data), ...problemsOfStores(parsed.data.stores)].join('; ');
}
