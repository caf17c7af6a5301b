/* What is said of what canaries saw. */
import { expect, test } from 'vitest';
import type { CanaryFacts } from '../../src/canary/facts.js';
import { together } from '../../src/canary/seen.js';
import { told } from '../../src/canary/words.js';

const DONE: CanaryFacts = {
  id: 'a'.repeat(24),
  host: 'h',
  pid: 1,
  state: 'done',
  at: 2_000,
  acknowledged: 100,
  present: 100,
  duplicated: 0,
  unanswered: 1,
  unansweredPresent: 0,
  errors: 0,
  errorKinds: {},
  notReadBack: 0,
  longestWaitMs: 12.5,
  because: '',
  points: [
    [1_000, 0.2],
    [1_010, 12.5],
  ],
  moves: [1_020],
};
const UNBORN: CanaryFacts = {
  ...DONE,
  state: 'starting',
  acknowledged: 0,
  present: null,
  because: 'it did not start',
  points: [],
  moves: [],
};

test('one after the other count together, and the one that saw the switch is drawn', () => {
  const late = { ...DONE, acknowledged: 50, present: 50, longestWaitMs: 30, points: [], moves: [] };
  expect(together([DONE, late, UNBORN])).toMatchObject({
    known: true,
    acknowledged: 150,
    present: 150,
    missing: 0,
    longestWaitMs: 30,
    moves: [1_020],
  });
});

test('a write that is missing fails the check and blemishes the receipt', () => {
  const { facts, check, blemishes, plots } = told(together([{ ...DONE, present: 97 }]), 'forward');
  expect(facts).toMatchObject({ acknowledged: 100, present: 97, missing: 3 });
  expect(check).toMatchObject({ status: 'fail', waivable: true });
  expect(blemishes).toEqual([
    "The canary's writes: 100 acknowledged, 3 of them missing; the longest waited 12.5 ms",
  ]);
  expect(plots).toMatchObject([{ unit: 'ms', marks: [{ at: 1_020, says: 'the switch' }] }]);
});

test.each<[string, CanaryFacts[] | null, string]>([
  ['no file is here', null, 'it left nothing on this worker'],
  ['none started', [UNBORN], 'it did not start'],
  ['one was killed', [DONE, { ...DONE, state: 'running', present: null }], 'it was ended before'],
  ['one could not read back', [{ ...DONE, present: null, because: 'it could not read back' }], 'read back'],
])('where %s, everything is unknown and nothing is zero', (_, facts, because) => {
  const said = told(together(facts), 'forward');
  expect(said.facts).toMatchObject({ acknowledged: null, present: null, missing: null, longestWaitMs: null });
  expect(said.blemishes[0]).toContain(because);
  expect(said.check.status).toBe('warn');
  expect(said.plots).toEqual([]);
});
