/** Which keys are heavy, remembered while all of them are copied, so that the comparison needn't weigh each of them again. */

export interface Weights {
  /** From here on every key of the source is weighed. */
  begin(): void;
  note(weighed: { keys: readonly Buffer[]; sizes: readonly number[] }): void;
  /** Every key was weighed; without `begin` before it that is not so. */
  complete(): void;
  /** Was weighed, and found light. A change since then is not known here. */
  light(key: Buffer): boolean;
}

/** Bytes: as many light keys as are asked for at once fit into a group. */
const HEAVY = 8 * 1024;

/** Where more are heavy, each is weighed again. */
const MOST = 10_000;

export function startWeights(): Weights {
  const heavy = new Set<string>();
  let begun = false;
  let known = false;
  return {
    begin() {
      heavy.clear();
      begun = true;
      known = false;
    },
    note({ keys, sizes }) {
      if (!begun) return;
      sizes.forEach((size, i) => {
        const key = keys[i];
        if (size > HEAVY && key) heavy.add(key.toString('latin1'));
      });
      if (heavy.size > MOST) begun = known = false;
    },
    complete() {
      known = begun;
    },
    light: (key) => known && !heavy.has(key.toString('latin1')),
  };
}
