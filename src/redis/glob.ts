/** Redis's glob patterns, byte for byte: changed keys come without a way to have the server match them. */

export interface Glob {
  /** Every key. */
  readonly all: boolean;
  /** What every matching key begins with. */
  readonly prefix: Buffer;
  matches(key: Buffer): boolean;
}

const STAR = 42;
const QUESTION = 63;
const OPEN = 91;
const CLOSE = 93;
const BACKSLASH = 92;
const CARET = 94;
const DASH = 45;

export function compileGlob(match: string): Glob {
  const pattern = Buffer.from(match);
  const all = pattern.length > 0 && pattern.every((byte) => byte === STAR);
  return { all, prefix: literalPrefix(pattern), matches: (key) => all || matchFrom(pattern, 0, key, 0) };
}

function literalPrefix(pattern: Buffer): Buffer {
  const special = pattern.findIndex(
    (byte) => byte === STAR || byte === QUESTION || byte === OPEN || byte === BACKSLASH,
  );
  return special < 0 ? pattern : pattern.subarray(0, special);
}

/** Follows util.c `stringmatchlen`, oddities included (an unclosed `[`, a range the wrong way round). */
function matchFrom(pattern: Buffer, patternAt: number, key: Buffer, keyAt: number): boolean {
  let p = patternAt;
  let k = keyAt;
  while (p < pattern.length && k < key.length) {
    switch (pattern[p]) {
      case STAR:
        while (pattern[p + 1] === STAR) p += 1;
        if (p + 1 === pattern.length) return true;
        for (; k < key.length; k += 1) if (matchFrom(pattern, p + 1, key, k)) return true;
        return false;
      case QUESTION:
        k += 1;
        break;
      case OPEN: {
        const set = matchSet(pattern, p + 1, key[k] ?? 0);
        if (!set.matched) return false;
        p = set.end;
        k += 1;
        break;
      }
      default:
        if (pattern[p] === BACKSLASH && p + 1 < pattern.length) p += 1;
        if (pattern[p] !== key[k]) return false;
        k += 1;
    }
    p += 1;
  }
  if (k === key.length) while (pattern[p] === STAR) p += 1;
  return p >= pattern.length && k === key.length;
}

/** `[…]` from the byte after the bracket; `end` is the closing bracket's place. */
function matchSet(pattern: Buffer, from: number, byte: number): { matched: boolean; end: number } {
  let p = from;
  const negated = pattern[p] === CARET;
  if (negated) p += 1;
  let matched = false;
  for (; ; p += 1) {
    if (p >= pattern.length) {
      p = pattern.length - 1;
      break;
    }
    const here = pattern[p] ?? 0;
    if (here === BACKSLASH && p + 1 < pattern.length) {
      p += 1;
      if (pattern[p] === byte) matched = true;
    } else if (here === CLOSE) {
      break;
    } else if (pattern[p + 1] === DASH && p + 2 < pattern.length) {
      const there = pattern[p + 2] ?? 0;
      if (byte >= Math.min(here, there) && byte <= Math.max(here, there)) matched = true;
      p += 2;
    } else if (here === byte) matched = true;
  }
  return { matched: matched !== negated, end: p };
}
