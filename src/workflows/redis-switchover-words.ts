/** What `redisSwitchover` says: the sentences of its plan, its receipt and its checks. */
import type { Decommissioned } from '../activities/decommissioning.js';
import type { CoupleFacts, HandOverOutcome } from '../activities/replicating.js';
import type { Summary } from '../activities/soaking.js';
import type { Sides } from '../activities/sides.js';
import type { Check, Settings } from '../contract.js';
import type { Decommission } from '../inputs/decommission.js';
import { BIG_KEY } from '../inputs/redis-copy.js';
import type { Activities } from '../runbook/acts.js';
import type { Runbook } from '../runbook/api.js';
import type { SwitchoverSettings } from '../inputs/redis-switchover.js';

export { comparison } from './redis-copy-words.js';
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

/** Counts only: who was connected to the source before. Null where it doesn't let us ask. */
export function clients({ survey }: CoupleFacts): Record<string, unknown> | null {
  const { clients: seen } = survey;
  return (
    seen && {
      total: seen.total,
      byLibrary: Object.fromEntries(seen.libraries.map(({ name, clients }) => [name || 'unknown', clients])),
      waiting: Object.values(seen.waiting).reduce((sum, n) => sum + n, 0),
      subscribers: seen.subscribers,
      inTransaction: seen.inTransaction,
    }
  );
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
  input: SwitchoverSettings,
  { source }: CoupleFacts,
  settings: Readonly<Settings>,
): Sides {
  return {
    source: input.source,
    target: input.target,
    databases: Object.keys(source.databases).map((number) => [Number(number), Number(number)] as const),
    match: '*',
    ifTargetHasKeys: 'refuse',
    bigKey: BIG_KEY,
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
  input: SwitchoverSettings,
): string[] {
  return [
    `from ${nameOf(source)} at ${source.shown} to ${nameOf(target)} at ${target.shown}`,
    `nothing is paused while ${target.shown} is more than ${maxLag.toLocaleString('en')} bytes behind`,
    ...(source.can.pauseWrites
      ? [
          `pause writes at ${source.shown} for at most ${maxPause}, until ${target.shown} has every byte`,
          `fence ${source.shown}: the pause becomes one that does not end by itself`,
        ]
      : [
          `close the connections to ${source.shown} and pause everything there for 50 ms (at most ${maxPause}), until ${target.shown} has every byte`,
          `fence ${source.shown}: it becomes a replica, and refuses writes (READONLY) until the applications are repointed`,
        ]),
    `promote ${target.shown}`,
    ...repointSays,
    `close the old connections, and let ${source.shown} follow ${target.shown}`,
    ...canary(input),
  ];
}

/** The limits of the switch as they are set now. */
export function limitsOf(input: SwitchoverSettings, now: Readonly<Settings>) {
  return { maxPause: now.maxPause ?? input.maxPause, maxLag: now.maxLag ?? input.maxLag };
}

/** While it waits for an approval the target must be a replica: said only where it isn't any more. */
export function followsNoMore({ source, target }: CoupleFacts): string[] {
  return target.role === 'replica'
    ? []
    : [`${target.shown} does not follow ${source.shown} any more: it can't take over as it is`];
}

/** For the receipt. */
export function followed({ seconds, guard }: { seconds: number; guard: string }): Record<string, unknown> {
  return { seconds, guard };
}

/** For the receipt: what every strategy calls by one name has it here too. */
export function switched({ pausedMs, ...rest }: HandOverOutcome): Record<string, unknown> {
  return { writePauseMs: pausedMs, ...rest };
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

function canary(input: SwitchoverSettings): string[] {
  if (input.canary === false) return [];
  const where = input.canary.endpoint === undefined ? 'to the server that serves' : 'where `canary` says';
  return [
    `meanwhile write numbered entries ${where} (ferry:canary:…, database 0), read them back, remove them`,
  ];
}

/** Notes what the canary saw, and gives its line of the checklist. */
export function canarySaw(
  r: Pick<Runbook, 'record' | 'plot' | 'blemish'>,
  seen: Awaited<ReturnType<Activities['readCanary']>>,
): Check[] {
  r.record({ canary: seen.facts });
  seen.plots.forEach(r.plot);
  seen.blemishes.forEach(r.blemish);
  return [seen.check];
}

/** Both sides by name and version, as they were found. */
export function versions({ source, target }: CoupleFacts): { source: string; target: string } {
  return { source: nameOf(source), target: nameOf(target) };
}

export function measured({ latencyP99Ms, opsPerSecond }: Summary): string {
  return `p99 ${latencyP99Ms ?? '?'} ms, ${opsPerSecond?.toLocaleString('en') ?? '?'} commands/s`;
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
