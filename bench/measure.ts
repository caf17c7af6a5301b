/** What every bench measures with: alternating rounds, medians, one form of result. */

/** The last line of `npm run bench -- NAME --json`. */
export interface Result {
  name: string;
  rounds: number;
  medians: Record<string, number>;
  unit: string;
  ratios: Record<string, number>;
  /** Everything that was verified held; null where the bench moves no data. */
  exact: boolean | null;
  /** Of a cutover. */
  lost?: number;
  errors?: number;
  fullSyncs?: number;
  /** Whether every goal is reached. */
  goals: Goal[];
  /** Further figures, such as MB of memory and seconds of CPU. */
  more: Record<string, number | string>;
}

export interface Goal {
  /** In words that stand by themselves. */
  says: string;
  met: boolean;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** So that none is always the first, on a machine that has just rested, or the last. */
export function inTurn<T>(items: readonly T[], round: number): T[] {
  return items.map((_, i) => items[(i + round) % items.length] as T);
}

/** Three digits are more than such a machine repeats. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

export function mediansOf(samples: ReadonlyMap<string, readonly number[]>): Record<string, number> {
  return Object.fromEntries([...samples].map(([name, values]) => [name, rounded(median(values))]));
}

/** `a/b` of the medians, for each pair. */
export function ratiosOf(
  samples: ReadonlyMap<string, readonly number[]>,
  pairs: readonly (readonly [string, string])[],
): Record<string, number> {
  return Object.fromEntries(
    pairs.flatMap(([a, b]) => {
      const [over, under] = [samples.get(a), samples.get(b)];
      return over && under ? [[`${a}/${b}`, rounded(median(over) / median(under))]] : [];
    }),
  );
}

export function atLeast(says: string, value: number | undefined, least: number): Goal[] {
  return value === undefined
    ? []
    : [{ says: `${says}: ${rounded(value)}, wanted ≥ ${least}`, met: value >= least }];
}

export function atMost(says: string, value: number | undefined, most: number): Goal[] {
  return value === undefined
    ? []
    : [{ says: `${says}: ${rounded(value)}, wanted ≤ ${most}`, met: value <= most }];
}

/** Values by name, in the order of their first. */
export function collect(): {
  samples: Map<string, number[]>;
  add: (name: string, value: number) => void;
} {
  const samples = new Map<string, number[]>();
  return {
    samples,
    add(name, value) {
      const list = samples.get(name) ?? [];
      samples.set(name, list);
      list.push(value);
    },
  };
}
