/** What `redisSwitchover` says: the sentences of its plan, its receipt and its checks. */
import type { Decommissioned } from '../activities/decommissioning.js';
import type { CoupleFacts, HandOverOutcome, SoakSeen } from '../activities/replicating.js';
import type { Sides } from '../activities/sides.js';
import type { Check } from '../contract.js';
import type { Decommission } from '../inputs/decommission.js';
import type { RedisSwitchoverSettings } from '../inputs/redis-switchover.js';

export { comparison, differences } from './redis-copy-words.js';
import { nameOf } from './redis-copy-words.js';

export function servers({ source, target }: CoupleFacts): Record<string, unknown> {
  const side = (facts: CoupleFacts['source']) => ({
    address: facts.shown,
    version: nameOf(facts),
    keys: Object.values(facts.databases).reduce((sum, { keys }) => sum + keys, 0),
    memoryBytes: facts.usedMemory,
  });
  return { source: side(source), target: side(target) };
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024).toLocaleString('en')} MB`;
}

export function sizeOf({ source }: CoupleFacts): string {
  const keys = Object.values(source.databases).reduce((sum, { keys }) => sum + keys, 0);
  return `about ${keys.toLocaleString('en')} keys; the source uses ${megabytes(source.usedMemory)}`;
}

/** The comparison's view of the two servers: every database to the same number. */
export function sidesOf(input: RedisSwitchoverSettings, { source }: CoupleFacts): Sides {
  return {
    source: input.source,
    target: input.target,
    databases: Object.keys(source.databases).map((number) => [Number(number), Number(number)] as const),
    match: '*',
    ifTargetHasKeys: 'refuse',
    bigKey: 8 * 1024 * 1024,
    rate: 'yield',
    track: source.can.tracking,
    replicated: true,
    debug: input.debug,
  };
}

export function flawsOf(result: HandOverOutcome, { source, target }: CoupleFacts): string[] {
  return [
    ...(result.slipped === null || result.slipped === 0
      ? []
      : [
          `${source.shown} took ${result.slipped} bytes of changes behind its fence, which are not on ${target.shown}: somebody else ended its pause`,
        ]),
    ...(result.partial ? [] : [`${source.shown} had to be sent everything anew after the switch`]),
  ];
}

export function probeCheck(result: { name: string; ok: boolean; seconds: number; said: string }): Check {
  return {
    name: result.name,
    status: result.ok ? 'pass' : 'fail',
    expected: 'it passes',
    actual: result.ok ? `passed in ${result.seconds} s` : `failed: ${result.said}`,
    waivable: true,
  };
}

export function wayBackCheck({ safety, seconds }: SoakSeen): Check {
  return {
    name: 'The way back is open',
    status: safety.broken === null ? (safety.warning === null ? 'pass' : 'warn') : 'fail',
    expected: 'the old server follows, and understands everything',
    actual: safety.broken ?? safety.warning ?? `watched for ${Math.round(seconds)} s`,
    waivable: true,
    ...(safety.broken === null
      ? safety.warning === null
        ? {}
        : { next: 'Look at the link between both servers.' }
      : { next: 'Waive it to go on without a way back, or go back now and lose what the decision names.' }),
  };
}

export function soak({ seconds, most, last, safety }: SoakSeen): Record<string, unknown> {
  return {
    seconds,
    lagBytesMost: most.lag,
    pingMsMost: Math.round(most.ping * 10) / 10,
    opsPerSecondMost: most.ops,
    fullSyncs: last.primary.syncs.full,
    linkMayBeDownSeconds: safety.linkMayBeDownSeconds,
  };
}

export function decommissionQuestion(source: CoupleFacts['source'], how: Decommission): string {
  return how.kind === 'shutdown'
    ? `Shut ${source.shown} down for good?`
    : `Run the command that takes ${source.shown} out of service?`;
}

export function decommissionDoes(source: CoupleFacts['source'], how: Decommission): string[] {
  const look = 'look once more that nobody came since the approval';
  return how.kind === 'shutdown'
    ? [
        look,
        `shut ${source.shown} down (SHUTDOWN SAVE): it saves what it holds to its own disk first, and the file stays there`,
        'wait until nobody answers there any more, and look whether something starts it anew',
      ]
    : [look, `run the command \`decommission\` for ${source.shown}`];
}

export function decommissioned({ seconds, stays }: Decommissioned): Record<string, unknown> {
  return { seconds, dataStaysAt: stays.length > 0 ? stays : 'not known' };
}
