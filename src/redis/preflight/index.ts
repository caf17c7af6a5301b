/** The pre-flight checklist of a copy: a pure function of what was found. */
import type { Check } from '../../contract.js';
import { carriable, format } from './carried.js';
import type { PreflightInput } from './check.js';
import { keys, memory } from './contents.js';
import { versions, kinds, targetTakesWrites, twoServers, nothingLeft } from './places.js';
import { surroundings } from './settings.js';
import { holding, sharing } from './writes.js';

/** Every check of the list, always in the same order; each under a name that stays. */
export function preflightCopy(input: PreflightInput): Check[] {
  return [
    ...versions(input),
    ...kinds(input),
    ...targetTakesWrites(input),
    ...twoServers(input),
    ...nothingLeft(input),
    ...keys(input),
    ...format(input),
    ...carriable(input),
    ...memory(input),
    ...holding(input),
    ...sharing(input),
    ...surroundings(input),
  ];
}

export { carriesFunctions } from './carried.js';
export { settingsDiff } from './settings.js';
export { holdOf, stayBehind, type Hold } from './writes.js';
