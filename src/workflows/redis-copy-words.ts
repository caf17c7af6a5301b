/** What `redisCopy` says: the sentences of its plan, its receipt and its break-glass card. */
import type { Pair, Ways } from '../activities/looking.js';
import type { CompareOutcome } from '../activities/moving.js';
import type { Sides } from '../activities/sides.js';
import type { Check } from '../contract.js';
import type { RedisCopySettings } from '../inputs/redis-copy.js';
import { quoted, secretInShell } from '../inputs/in-shell.js';
import { placeOf, type Action, type SecretRef } from '../inputs/refs.js';
import type { Stragglers } from '../activities/closing.js';

const n = (count: number): string => count.toLocaleString('en');

export function nameOf(facts: Pair['source']): string {
  return `${facts.product === 'valkey' ? 'Valkey' : 'Redis'} ${facts.version}`;
}

/** What a fence is made of, as an operator would set it. */
export const FENCES: Record<NonNullable<Pair['fence']>['kind'], string> = {
  'min-replicas': 'min-replicas-to-write',
  'replica-of-itself': 'it becomes a replica of itself',
};

export function servers(pair: Pair): Record<string, unknown> {
  const side = (facts: Pair['source'], formats: Pair['formats']['source']) => ({
    address: facts.shown,
    version: nameOf(facts),
    keys: Object.values(facts.databases).reduce((sum, { keys }) => sum + keys, 0),
    memoryBytes: facts.usedMemory,
    format: formats.highest,
  });
  return { source: side(pair.source, pair.formats.source), target: side(pair.target, pair.formats.target) };
}

export function whatIsCopied(input: RedisCopySettings, pair: Pair): string {
  const what = input.match === '*' ? 'all keys' : `the keys that match ${input.match}`;
  const mapped = pair.databases.filter(([from, to]) => from !== to).map(([from, to]) => `${from} to ${to}`);
  const databases = mapped.length > 0 ? ` (database ${mapped.join(', ')})` : '';
  return `${what} from ${pair.source.shown} (${nameOf(pair.source)}) to ${pair.target.shown} (${nameOf(pair.target)})${databases}`;
}

/** Before there was a choice there was DUMP. */
export function waysOf({ ways }: Pick<Pair, 'ways'>): Ways {
  const dump = { chosen: 'dump' as const, because: '' };
  return ways ?? { forward: dump, back: dump, noWayBackFor: [], functionsStay: 'they never were' };
}

/** Both servers, and how what lies between them is copied, compared and carried over. */
export function sidesOf(input: RedisCopySettings, pair: Pair): Sides {
  const ways = waysOf(pair);
  return {
    source: input.source,
    target: input.target,
    databases: pair.databases,
    match: input.match,
    // What was imported stands for the source's keys: changes and deletions of them follow.
    ifTargetHasKeys: input.way === 'none' ? 'refuse' : input.ifTargetHasKeys,
    way: ways.forward.chosen,
    wayBack: ways.back.chosen,
    ...(ways.functionsStay === '' ? { functions: functionsOf(input, pair) } : {}),
    bigKey: input.bigKey,
    rate: input.rate,
    track: pair.source.can.tracking,
    debug: input.debug,
  };
}

/** Libraries that only the target has are its own; with "skip" so are those of the same name. */
function functionsOf(input: RedisCopySettings, pair: Pair): NonNullable<Sides['functions']> {
  const own = pair.target.functions ?? [];
  const skip = input.ifTargetHasKeys === 'skip';
  return {
    own,
    leave: skip ? own : [],
    leaveBack: skip ? own : own.filter((name) => !pair.source.functions?.includes(name)),
  };
}

/** How keys go over, as a part of a sentence. */
export function byWay({ chosen, because }: Ways['forward']): string {
  if (chosen === 'dump') return 'by DUMP and RESTORE';
  return `by value${because ? ` (${because})` : ''}`;
}

/** What was chosen for the whole upgrade, and why it is no better. */
export function whichWay(input: RedisCopySettings, pair: Pair): string {
  const { forward, back } = waysOf(pair);
  const carried =
    input.way === 'none'
      ? `nothing is copied (way "none"); changes go ${byWay(forward)}`
      : `keys go ${byWay(forward)}`;
  return `${carried}${input.repoint ? `; going back after the switch: ${byWay(back)}` : ''}`;
}

export function sizeOf(pair: Pair): string {
  const keys = pair.databases.reduce((sum, [from]) => sum + (pair.source.databases[from]?.keys ?? 0), 0);
  return `about ${n(keys)} keys; the source uses ${n(Math.round(pair.source.usedMemory / 1e6))} MB`;
}

export function comparison(result: CompareOutcome): Record<string, unknown> {
  const {
    keysCompared,
    missing,
    extra,
    type,
    value,
    ttl,
    own,
    repaired,
    samples,
    digest,
    unbroken,
    resumedFrom,
    functions,
  } = result;
  return {
    keysCompared,
    missing,
    extra,
    type,
    value,
    ttl,
    own,
    repaired,
    digest,
    changesAllKnown: unbroken,
    resumedFrom,
    samples,
    ...(functions?.length ? { functions } : {}),
  };
}

export function noDifference({ repaired }: CompareOutcome): string {
  return repaired > 0 ? `${n(repaired)} made good, no difference left` : 'no difference';
}

export function differences(
  result: CompareOutcome,
  different: number,
  { way, ifTargetHasKeys }: Pick<RedisCopySettings, 'way' | 'ifTargetHasKeys'>,
): string {
  const kinds = (['missing', 'extra', 'type', 'value', 'ttl'] as const)
    .filter((kind) => result[kind] > 0)
    .map((kind) => `${n(result[kind])} ${kind}`);
  const samples = result.samples
    .slice(0, 5)
    .map(({ key, database, what }) => `${key} (database ${database}, ${what})`);
  const next =
    way !== 'none'
      ? ''
      : ifTargetHasKeys === 'replace'
        ? ' Keys that only the target has ("extra") are not touched: the source has deleted them since the import, or they are the target\'s own. Delete them there and retry, or roll back and leave them out with `match`.'
        : ' They may have changed since the import. Import again and retry, or roll back and start with ifTargetHasKeys: "replace", which makes that good.';
  return `${n(different)} of ${n(result.keysCompared)} keys differ: ${kinds.join(', ')}${result.repaired > 0 ? ` (${n(result.repaired)} made good)` : ''}. For example ${samples.join(', ')}.${next}`;
}

export function stragglers(seen: Stragglers, pair: Pair): Check {
  // Behind a fence that held, a key can only have expired.
  const changed = seen.fenceHeld === true ? 0 : (seen.changed ?? 0);
  const trouble = [
    ...(changed > 0 ? [`${n(changed)} keys changed (${seen.changedSample.slice(0, 3).join(', ')})`] : []),
    ...(seen.refused ? [`${n(seen.refused)} writes were refused`] : []),
    ...(seen.gone && seen.fenceHeld !== true ? [`${n(seen.gone)} keys expired or were deleted`] : []),
    ...(seen.fenceHeld === false ? ['its fence had fallen, as after a restart, and was set again'] : []),
  ];
  const stayed = seen.clients
    ? `${n(seen.clients)} clients are still connected (${seen.clientSample
        .slice(0, 3)
        .map(({ address, name }) => name || address)
        .join(', ')})`
    : 'no client is connected';
  const lost = changed > 0 || seen.fenceHeld === false;
  return {
    name: 'Nobody writes to the source any more',
    status: lost ? 'fail' : (seen.refused ?? 0) > 0 || (seen.clients ?? 0) > 0 ? 'warn' : 'pass',
    expected: 'no write, no client',
    actual: [...trouble, stayed].join('; '),
    ...(trouble.length > 0 || seen.clients
      ? {
          next: `Move the clients that still use ${pair.source.shown}.${lost ? ' What they wrote there is not on the target: carry it over by hand.' : ''}`,
        }
      : {}),
    waivable: true,
  };
}

export function action(spec: Action): string {
  if ('webhook' in spec)
    return typeof spec.webhook === 'string'
      ? `call ${spec.webhook}`
      : `call the webhook in ${reference(spec.webhook)}`;
  return `run: ${typeof spec.command === 'string' ? spec.command : spec.command.join(' ')}`;
}

function reference(ref: SecretRef): string {
  return 'env' in ref ? `$${ref.env}` : placeOf(ref);
}

// ---- By hand. Each line is a command for sh on a machine that reaches the servers and has redis-cli.

export function actionByHand(spec: Action, event: string): string[] {
  if ('webhook' in spec) {
    const url = typeof spec.webhook === 'string' ? `"${spec.webhook}"` : secretInShell(spec.webhook);
    return [`curl -fsS -X POST -H 'content-type: application/json' -d '${JSON.stringify({ event })}' ${url}`];
  }
  return [typeof spec.command === 'string' ? spec.command : spec.command.map(quoted).join(' ')];
}

/** Restores service on the source; writes made on the target since stay there. */
export function switchBackByHand(pair: Pair): string[] {
  return [
    ...pair.byHand.unfence,
    ...(pair.hold.pause ? [`${pair.cli.source} CLIENT UNPAUSE`] : []),
    ...pair.byHand.repointBack,
    // Last, since it fails where the target is down: whoever has moved reads the address again.
    `${pair.cli.target} CLIENT KILL TYPE normal`,
  ];
}
