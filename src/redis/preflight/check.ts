/** What every check of the list is made of. */
import type { Check, CheckStatus } from '../../contract.js';
import type { RedisCopySettings } from '../../inputs/redis-copy.js';
import type { DatabaseMap } from '../address.js';
import type { Contents } from '../contents.js';
import type { ServerFacts } from '../describe.js';
import { chooseWay, whyNotDump, type ChosenWay } from '../ways.js';

export interface PreflightInput {
  source: ServerFacts;
  target: ServerFacts;
  settings: RedisCopySettings;
  /** RDB versions: the one that the source's DUMP writes, and those that the target's RESTORE takes. Null: not known. */
  formats: { sourceWrites: number | null; targetAccepts: readonly number[] | null };
  /** What was found among the source's keys and functions; without it nothing is known of that. */
  contents?: Contents | undefined;
  /** What is copied where; by default every database that holds keys, to the same number. */
  databases?: DatabaseMap | undefined;
  /** Name of our own connections (`ferry:<workflow ID>`), so that they aren't taken for another upgrade's. */
  own?: string | undefined;
  /** Titles of steps that an earlier run of this upgrade did and never undid, by its journal. */
  notUndone?: readonly string[] | undefined;
}

export type Looked = Pick<PreflightInput, 'source' | 'settings' | 'databases'>;

/** Source database → target database; unless it is given, every one that holds keys, to the same number. */
export function databaseMap({ source, settings, databases }: Looked): DatabaseMap {
  if (databases) return databases;
  if (settings.databases)
    return Object.entries(settings.databases).map(([from, to]) => [Number(from), to] as const);
  const numbers = Object.keys(source.databases).map(Number);
  return (numbers.length > 0 ? numbers : [0]).map((number) => [number, number] as const);
}

/** How keys go over, and what speaks against DUMP; empty when nothing does. */
export function wayOf({
  source,
  target,
  settings,
  formats,
}: PreflightInput): ChosenWay & { notDump: string } {
  const from = {
    product: productOf(source),
    formats: { accepts: null, highest: formats.sourceWrites },
    can: source.can,
  };
  const to = {
    product: productOf(target),
    formats: { accepts: formats.targetAccepts && [...formats.targetAccepts], highest: null },
    can: target.can,
  };
  const wish = settings.way === 'none' ? 'auto' : settings.way;
  return { ...chooseWay({ from, to, wish }), notDump: whyNotDump({ from, to }) };
}

/** The numbers of one side: `0, 3`, or `0 to 15`. */
export function listed(map: DatabaseMap, side: 0 | 1): string {
  const numbers = map.map((pair) => pair[side]).toSorted((a, b) => a - b);
  const [first = 0, last = 0] = [numbers[0], numbers.at(-1)];
  return numbers.length > 3 && last - first === numbers.length - 1
    ? `${first} to ${last}`
    : numbers.join(', ') || 'any';
}

export type Failing = { status?: CheckStatus; next?: string; waivable?: boolean };

/** Passes unless it is told otherwise. Only a failed check can be waivable. */
export function check(input: { name: string; expected: string; actual: string } & Failing): Check {
  const { name, expected, actual, status = 'pass', waivable = false, next } = input;
  return {
    name,
    status,
    expected,
    actual,
    ...(next !== undefined && status !== 'pass' ? { next } : {}),
    waivable: waivable && status === 'fail',
  };
}

export function productOf({ product, version }: ServerFacts): string {
  return `${product === 'valkey' ? 'Valkey' : 'Redis'} ${version}`;
}

export function count(n: number, what: string): string {
  const words =
    n === 1
      ? what
      : what.endsWith('sh')
        ? `${what}es`
        : what.endsWith('y') && !what.endsWith('key')
          ? `${what.slice(0, -1)}ies`
          : `${what}s`;
  return `${n.toLocaleString('en')} ${words}`;
}

export function bytes(n: number): string {
  for (const [unit, size] of [
    ['GB', 1024 ** 3],
    ['MB', 1024 ** 2],
    ['kB', 1024],
  ] as const) {
    if (n >= size) return `${(n / size).toFixed(n >= size * 10 ? 0 : 1)} ${unit}`;
  }
  return `${n} B`;
}
