/** Every activity, by name: the names are part of histories and journals, so none is renamed lightly. */
export { backUp, copyBackup, preflightBackup, removeOldBackups, tryBackup } from './backing-up.js';
export { decommission, lookAtUse, proveUnused } from './decommissioning.js';
export { describePair, preflight } from './looking.js';
export { compareKeys, copyKeys, followKeys, takeOver } from './moving.js';
export { allowWrites, stopWrites } from './stopping.js';
export { switchBack, switchForward } from './switching.js';
export {
  clearSource,
  clearTarget,
  keepTarget,
  proveSourceUnchanged,
  settle,
  watchStragglers,
} from './closing.js';
export {
  describeCouple,
  endReplication,
  followAgain,
  handOverBack,
  handOverForward,
  preflightCouple,
  startReplication,
  stopReplication,
} from './replicating.js';
export { lookAtStaging, readRehearsal, steerRehearsal } from './rehearsing.js';
export { isUpgrading, lookAtTargets } from './upgrades.js';
export { closeStores, lookAtStores, rollBackStores } from './stores.js';
export { readCanary } from './canary.js';
export { measureServer, soakReplication, validateCouple } from './soaking.js';
export {
  describeAddOn,
  ensureMaintenanceMode,
  restoreApps,
  restoreFormation,
  restoreMaintenanceMode,
  scaleDownWorkers,
  waitForDynos,
} from './heroku-apps.js';
export {
  askForUpgrade,
  countStoreKeys,
  describeInPlace,
  preflightUpgrade,
  runUpgrade,
  settleUpgrade,
  snapshotStore,
  validateUpgrade,
  waitForMaintenance,
  watchMaintenance,
} from './heroku-in-place.js';
export { notify, runAction, runProbes } from './outside.js';
export { keepReceipt, readDebris, saveReceipt, surroundings, whoHolds, writeJournal } from './keeping.js';
export {
  attachNames,
  carrySettings,
  describeFork,
  destroyForks,
  destroyOld,
  detachNames,
  giveBack,
  lookAtBoth,
  makeFork,
  proveUnwritten,
  validateFork,
  waitForFork,
} from './heroku-fork.js';
export { describeHelm, keepEvidence, preflightHelm } from './helm-release.js';
export { upgradeRelease } from './helm-revision.js';
export { replacePod, waitForPod } from './helm-pods.js';
export { describeBlueGreen } from './helm-blue-green.js';
export {
  askApplication,
  installGreen,
  proveBlueUnused,
  removeGreen,
  retireBlue,
  waitForGreen,
} from './helm-second.js';
export { lookAtFormats, saveToDisk, validateInPlace } from './helm-in-place.js';
export { goBackInPlace, restoreInPlace } from './helm-in-place-back.js';
export {
  describeDumpRestore,
  lookAtVolume,
  restoreGreen,
  takeSnapshot,
  tidyVolume,
} from './helm-dump-restore.js';
export { findTrouble } from './diagnosing.js';
export { mendFollowing, mendRolling } from './mending.js';
export { describeRolling, holdPods, letGoOfPods, rollReplicas } from './helm-rolling.js';
export { goBackRolling } from './helm-rolling-back.js';
export { endSurge, makeSurgeClaims, removeSurgeClaims } from './helm-surge.js';
export {
  finishRolling,
  followAsBefore,
  followPromoted,
  keepChanges,
  renewPrimary,
  rolesAsBefore,
  validateRolling,
} from './helm-rolling-roles.js';
export { describeDatabases, preflightDatabases } from './postgres-looking.js';
export {
  compareDatabases,
  downloadHerokuBackup,
  dropDump,
  dropTrialDatabase,
  dumpSource,
  emptyTargetDatabase,
  fillTargetDatabase,
  keepTargetContent,
  putTargetBack,
  takeHerokuBackup,
  takeOutOfTarget,
  tryKeptDump,
} from './postgres-moving.js';
export {
  closeSource,
  openSource,
  settleDatabases,
  soakDatabases,
  switchDatabases,
  switchDatabasesBack,
} from './postgres-switching.js';
