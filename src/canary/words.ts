/** What a receipt says of the canary. */
import type { Check, Plot } from '../contract.js';
import type { CanarySeen } from './seen.js';
import type { CanaryWay } from './start.js';

export interface CanaryTold {
  facts: Record<string, unknown>;
  check: Check;
  blemishes: string[];
  plots: Plot[];
}

const TITLES: Record<CanaryWay, { check: string; plot: string }> = {
  forward: { check: "The canary's writes", plot: "Waiting time of the canary's writes" },
  back: {
    check: "The canary's writes on the way back",
    plot: "Waiting time of the canary's writes on the way back",
  },
};

export function told(seen: CanarySeen, way: CanaryWay): CanaryTold {
  const title = TITLES[way];
  const check = {
    name: title.check,
    expected: 'every acknowledged write is there, and once',
    waivable: true,
  };
  if (!seen.known) {
    return {
      // Each by itself, so that nobody takes the lack of a number for none.
      facts: {
        acknowledged: null,
        present: null,
        missing: null,
        duplicated: null,
        errors: null,
        longestWaitMs: null,
        because: seen.because,
      },
      check: {
        ...check,
        status: 'warn',
        actual: `unknown: ${seen.because}`,
        next: 'Look at how the applications fared instead.',
      },
      blemishes: [`${title.check} are unknown: ${seen.because}`],
      plots: [],
    };
  }
  const { known: _, points, moves, errorKinds, ...facts } = seen;
  const bad = seen.missing + seen.duplicated > 0;
  const doubtful = seen.unansweredPresent + seen.notReadBack > 0;
  return {
    facts: { ...facts, ...(seen.errors > 0 ? { errorKinds } : {}) },
    check: {
      ...check,
      status: bad ? 'fail' : doubtful ? 'warn' : 'pass',
      actual: inShort(seen),
      ...(bad
        ? { next: 'Look for what was lost before anything else is done, or go back.' }
        : doubtful
          ? { next: 'Ask what the applications do with a write that got no answer.' }
          : {}),
    },
    blemishes: bad ? [`${title.check}: ${inShort(seen)}`] : [],
    plots:
      points.length < 2
        ? []
        : [
            {
              title: title.plot,
              unit: 'ms',
              points,
              marks: moves.map((at, nth) => ({ at, says: nth === 0 ? 'the switch' : 'moved again' })),
            },
          ],
  };
}

export function inShort(seen: CanarySeen): string {
  if (!seen.known) return `unknown: ${seen.because}`;
  const number = (count: number): string => count.toLocaleString('en');
  return [
    `${number(seen.acknowledged)} acknowledged, ${seen.missing > 0 ? `${number(seen.missing)} of them missing` : 'all there'}`,
    ...(seen.duplicated > 0 ? [`${number(seen.duplicated)} there more than once`] : []),
    ...(seen.unansweredPresent > 0 ? [`${number(seen.unansweredPresent)} without an answer had run`] : []),
    ...(seen.notReadBack > 0 ? [`${number(seen.notReadBack)} not seen by the read right behind them`] : []),
    ...(seen.errors > 0
      ? [`${number(seen.errors)} answered with an error (${Object.keys(seen.errorKinds).join(', ')})`]
      : []),
    `the longest waited ${seen.longestWaitMs} ms`,
  ].join('; ');
}
