/** What `redisSwitchover` says: the sentences of its plan, its receipt and its checks. */
import type { CoupleFacts, HandOverOutcome, SoakSeen } from '../activities/replicating.js';
import type { Sides } from '../activities/sides.js';
import type { Check, Settings } from '../contract.js';
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
export function sidesOf(
  input: RedisSwitchoverSettings,
  { source }: CoupleFacts,
  settings: Readonly<Settings>,
): Sides {
  return {
    source: input.source,
    target: input.target,
    databases: Object.keys(source.databases).map((number) => [Number(number), Number(number)] as const),
    match: '*',
    ifTargetHasKeys: 'refuse',
    bigKey: 8 * 1024 * 1024,
    rate: (settings.rate as Sides['rate'] | undefined) ?? input.rate,
    track: source.can.tracking,
    replicated: true,
    debug: input.debug,
  };
}

/** What the switch will do, between which servers and within which limits: an approval stands for these sentences. */
export function switchSays(
  { source, target, repointSays }: CoupleFacts,
  { maxPause, maxLag }: { maxPause: string; maxLag: number },
): string[] {
  return [
    `from ${nameOf(source)} at ${source.shown} to ${nameOf(target)} at ${target.shown}`,
    `pause writes at ${source.shown} for at most ${maxPause}, until ${target.shown} has every byte; not while it is more than ${maxLag.toLocaleString('en')} bytes behind`,
    `fence ${source.shown}, then promote ${target.shown}`,
    ...repointSays,
    `close the old connections, and let ${source.shown} follow ${target.shown}`,
  ];
}

/** The limits of the switch as they are set now. */
export function limitsOf(input: RedisSwitchoverSettings, now: Readonly<Settings>) {
  return { maxPause: now.maxPause ?? input.maxPause, maxLag: now.maxLag ?? input.maxLag };
}

/** While it waits for an approval the target must be a replica: said only where it isn't any more. */
export function followsNoMore({ source, target }: CoupleFacts): string[] {
  return target.role === 'replica'
    ? []
    : [`${target.shown} does not follow ${source.shown} any more: it can't take over as it is`];
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
