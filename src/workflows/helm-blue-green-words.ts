/** What `helmBlueGreen` says, beside what it has in common with others. */
import type { BlueGreenFacts } from '../activities/helm-blue-green.js';
import type { HelmBlueGreenSettings } from '../inputs/helm-blue-green.js';
import { switchoverBetween, type SwitchoverSettings } from '../inputs/redis-switchover.js';
import { decisionMatrix } from './helm-words.js';

export * from './redis-switchover-words.js';
export * from './helm-second-words.js';

/** Which way back there is at which time, how long it takes, what is lost by it. */
export function waysBack({ helm, green, couple }: BlueGreenFacts): string[] {
  const [old, next] = [helm.release.shown, green.release];
  const but = couple.lostOnReturn;
  return decisionMatrix([
    {
      when: 'before the cutover',
      how: `${next} is uninstalled`,
      takes: 'a minute',
      loses: 'nothing is lost, and the applications notice nothing',
    },
    {
      when: `after the cutover, while ${old} follows`,
      how: `${old} takes over from ${next}, and ${next} is uninstalled`,
      takes: 'less than a second, in which writes wait, and a minute',
      loses: but === '' ? 'nothing is lost' : `lost are ${but}`,
    },
    {
      when: `after the cutover, where ${old} follows no more`,
      how: `${old} is made to follow again where it reads what ${next} writes, else redisCopy`,
      takes: 'as long as all of the data takes',
      loses: 'nothing is lost',
    },
    {
      when: 'after the decommission',
      how: 'redisCopy into a release of the old version, or its backup',
      takes: 'as long as a copy',
      loses: 'by redisCopy nothing is lost; by the backup the writes made since it',
    },
  ]);
}

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
