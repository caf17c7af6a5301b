/** What the canaries of one way through an upgrade have seen, as one. Where anything of it isn't known, nothing is claimed. */
import type { CanaryFacts } from './facts.js';

export type CanarySeen =
  | {
      known: true;
      acknowledged: number;
      present: number;
      missing: number;
      duplicated: number;
      unanswered: number;
      unansweredPresent: number;
      errors: number;
      errorKinds: Record<string, number>;
      notReadBack: number;
      longestWaitMs: number;
      points: [number, number][];
      /** When writes went on elsewhere. */
      moves: number[];
    }
  | { known: false; because: string };

export function together(canaries: readonly CanaryFacts[] | null): CanarySeen {
  if (canaries === null) return { known: false, because: 'it left nothing on this worker' };
  // One that wrote nothing has nothing to tell where another has.
  const wrote = canaries.filter(({ acknowledged }) => acknowledged > 0);
  const [only] = canaries;
  if (wrote.length === 0)
    return { known: false, because: only?.because || 'it was ended before it could say anything' };
  let [present, duplicated, unansweredPresent] = [0, 0, 0];
  for (const canary of wrote) {
    if (canary.state !== 'done')
      return { known: false, because: 'it was ended before it could read back what it had written' };
    if (canary.present === null || canary.duplicated === null || canary.unansweredPresent === null)
      return { known: false, because: canary.because };
    present += canary.present;
    duplicated += canary.duplicated;
    unansweredPresent += canary.unansweredPresent;
  }
  const sum = (of: (canary: CanaryFacts) => number) => wrote.reduce((all, canary) => all + of(canary), 0);
  const acknowledged = sum((canary) => canary.acknowledged);
  // The one that was there when it happened.
  const witness = wrote.reduce((best, canary) =>
    canary.moves.length > 0 && (best.moves.length === 0 || canary.longestWaitMs > best.longestWaitMs)
      ? canary
      : best,
  );
  return {
    known: true,
    acknowledged,
    present,
    missing: acknowledged - present,
    duplicated,
    unanswered: sum((canary) => canary.unanswered),
    unansweredPresent,
    errors: sum((canary) => canary.errors),
    errorKinds: Object.fromEntries(
      [...new Set(wrote.flatMap(({ errorKinds }) => Object.keys(errorKinds)))].map((kind) => [
        kind,
        sum(({ errorKinds }) => errorKinds[kind] ?? 0),
      ]),
    ),
    notReadBack: sum((canary) => canary.notReadBack),
    longestWaitMs: Math.max(...wrote.map(({ longestWaitMs }) => longestWaitMs)),
    points: witness.points,
    moves: witness.moves,
  };
}
