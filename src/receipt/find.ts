/** Facts by their name, wherever a strategy has noted them. */
import { isPlain, isRecord } from './words.js';

/** Deeper than this a fact is shown as JSON: nobody reads six levels of boxes. */
export const DEEPEST = 5;

export function findFact(facts: Record<string, unknown>, key: string, depth = DEEPEST): unknown {
  if (isPlain(facts[key]) && facts[key] !== undefined) return facts[key];
  if (depth === 0) return undefined;
  for (const inner of Object.values(facts)) {
    const found = isRecord(inner) ? findFact(inner, key, depth - 1) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}
