/** The zod schema of each strategy that upgrades or moves one thing. */
import type { Strategy } from '../contract.js';
import { HelmBlueGreenInput } from './helm-blue-green.js';
import { HelmDumpRestoreInput } from './helm-dump-restore.js';
import { HelmInPlaceInput } from './helm-in-place.js';
import { HelmRollingInput } from './helm-rolling.js';
import { HerokuForkInput } from './heroku-fork.js';
import { HerokuInPlaceInput } from './heroku-in-place.js';
import { RedisCopyInput } from './redis-copy.js';
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
} as const satisfies Record<Exclude<Strategy, 'fleetRollout'>, unknown>;

export type TargetStrategy = keyof typeof TARGET_SCHEMAS;
