import { test } from 'vitest';

/** What takes too long for `npm test`, and runs with `npm run sweep`, with all other tests of its file. */
// oxlint-disable-next-line vitest/no-disabled-tests, vitest/valid-title -- no test, but what makes them
export const slow = test.skipIf(process.env['FERRY_SWEEP'] === undefined);

/** Where a list of cases is longer in the sweep. */
export function cases<T>(always: readonly T[], more: readonly T[]): T[] {
  return process.env['FERRY_SWEEP'] === undefined ? [...always] : [...always, ...more];
}
