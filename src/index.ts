/**
 * What scripts import: the names, messages and types of the contract, the inputs with their schemas, and the table of failures.
 * Nothing here runs an upgrade; a worker does (`ferry worker`).
 */
import type { Strategy } from './contract.js';
import { FleetRolloutInput } from './inputs/fleet-rollout.js';
import { ProviderMoveInput } from './inputs/provider-move.js';
import { RehearsalInput } from './inputs/rehearsal.js';
import { TARGET_SCHEMAS } from './inputs/schemas.js';

export {
  ENDED,
  MESSAGES,
  PHASE_ATTRIBUTE,
  queries,
  signals,
  STRATEGIES,
  TASK_QUEUE,
  updates,
  workflowIdOf,
  type Abort,
  type Adjust,
  type Approval,
  type Check,
  type CheckStatus,
  type Choice,
  type Decide,
  type Decision,
  type Diagnosis,
  type Finding,
  type FleetRow,
  type FollowUp,
  type GateAnswer,
  type GateState,
  type Impact,
  type MessageName,
  type Messages,
  type Phase,
  type Plan,
  type PlanStep,
  type Progress,
  type Receipt,
  type Refusal,
  type Rollback,
  type Say,
  type Settings,
  type State,
  type StepState,
  type StepStatus,
  type Strategy,
  type Tick,
  type Waive,
  type WayBack,
} from './contract.js';
export { dataConverter } from './codec/converter.js';
export { FAILURES, isFailureType, type FailureType } from './errors.js';
export { FleetRolloutInput, type FleetRolloutSettings } from './inputs/fleet-rollout.js';
export {
  HELM_BLUE_GREEN_GATES,
  HelmBlueGreenInput,
  type HelmBlueGreenSettings,
} from './inputs/helm-blue-green.js';
export {
  HELM_DUMP_RESTORE_GATES,
  HelmDumpRestoreInput,
  type HelmDumpRestoreSettings,
} from './inputs/helm-dump-restore.js';
export { DiagnoseInput } from './inputs/diagnose.js';
export { HELM_IN_PLACE_GATES, HelmInPlaceInput, type HelmInPlaceSettings } from './inputs/helm-in-place.js';
export { HELM_ROLLING_GATES, HelmRollingInput, type HelmRollingSettings } from './inputs/helm-rolling.js';
export { HEROKU_FORK_GATES, HerokuForkInput, type HerokuForkSettings } from './inputs/heroku-fork.js';
export {
  HEROKU_IN_PLACE_GATES,
  HerokuInPlaceInput,
  type HerokuInPlaceSettings,
} from './inputs/heroku-in-place.js';
export { POSTGRES_MOVE_GATES, PostgresMoveInput, type PostgresMoveSettings } from './inputs/postgres-move.js';
export { PROVIDER_MOVE_GATES, ProviderMoveInput, type ProviderMoveSettings } from './inputs/provider-move.js';
export { REDIS_COPY_GATES, RedisCopyInput, type RedisCopySettings } from './inputs/redis-copy.js';
export { RehearsalInput, type RehearsalSettings } from './inputs/rehearsal.js';
export {
  REDIS_SWITCHOVER_GATES,
  RedisSwitchoverInput,
  type RedisSwitchoverSettings,
} from './inputs/redis-switchover.js';

/** The zod schema of each strategy's input. */
export const SCHEMAS = {
  ...TARGET_SCHEMAS,
  fleetRollout: FleetRolloutInput,
  providerMove: ProviderMoveInput,
  rehearsal: RehearsalInput,
} as const satisfies Record<Strategy, unknown>;
