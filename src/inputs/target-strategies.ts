/** Strategies that upgrade or move one thing, and so may be a target of a fleet. */
import type { Strategy } from '../contract.js';

export type TargetStrategy = Exclude<Strategy, 'fleetRollout'>;

export const TARGET_STRATEGIES = [
  'redisCopy',
  'redisSwitchover',
  'herokuInPlace',
  'herokuFork',
  'helmInPlace',
  'helmRolling',
  'helmBlueGreen',
  'helmDumpRestore',
  'postgresMove',
] as const satisfies readonly TargetStrategy[];
