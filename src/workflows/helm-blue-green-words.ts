/** What `helmBlueGreen` says, beside what it has in common with others. */
import type { BlueGreenFacts } from '../activities/helm-blue-green.js';
import type { HelmBlueGreenSettings } from '../inputs/helm-blue-green.js';
import { switchoverBetween, type SwitchoverSettings } from '../inputs/redis-switchover.js';

export * from './redis-switchover-words.js';
export * from './helm-second-words.js';
export { evidenceStep, locks } from './helm-words.js';

/** What the steps that switch want to know. */
export function switchoverSettings(
  input: HelmBlueGreenSettings,
  { endpoints, repoint }: BlueGreenFacts,
): SwitchoverSettings {
  return switchoverBetween(input, {
    source: endpoints.blue,
    target: endpoints.green,
    repoint,
    ifTargetHasKeys: 'refuse',
  });
}
