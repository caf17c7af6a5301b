import { defineConfig } from 'vitest/config';

// Set by scripts/test.mjs, which counts from it.
const results = process.env['FERRY_TEST_RESULTS'];
// `npm run sweep` runs what takes too long for `npm test`.
const sweep = process.env['FERRY_SWEEP'] !== undefined;

export default defineConfig({
  test: {
    include: [sweep ? 'test/**/*.sweep.ts' : 'test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: sweep ? 3_600_000 : 60_000,
    hookTimeout: 120_000,
    globalSetup: 'test/global-setup.ts',
    reporters: results ? ['default', ['json', { outputFile: results }]] : ['default'],
  },
});
