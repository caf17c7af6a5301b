/** Every workflow type, by name. */
export { diagnose } from './diagnose.js';
export { fleetRollout } from './fleet-rollout.js';
export { herokuFork } from './heroku-fork.js';
export { herokuInPlace } from './heroku-in-place.js';
export { helmBlueGreen } from './helm-blue-green.js';
export { helmDumpRestore } from './helm-dump-restore.js';
export { postgresMove } from './postgres-move.js';
export { providerMove } from './provider-move.js';
export { preflight } from './preflight.js';
export { helmInPlace } from './helm-in-place.js';
export { helmRolling } from './helm-rolling.js';
export { redisCopy } from './redis-copy.js';
export { redisSwitchover } from './redis-switchover.js';
export { rehearsal } from './rehearsal.js';
export { lock } from './lock.js';
export { recover } from './recover.js';
