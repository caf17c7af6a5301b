import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Set by scripts/test.mjs, which counts from it.
const results = process.env['FERRY_TEST_RESULTS'];
// `npm run sweep` runs what takes too long for `npm test`.
const sweep = process.env['FERRY_SWEEP'] !== undefined;

export default defineConfig({
  test: {
    include: [sweep ? 'test/**/*.sweep.ts' : 'test/**/*.test.ts'],
    pool: 'forks',
    // Most tests wait for servers: more of them at a time than there are cores.
    maxWorkers: sweep ? 1 : Math.max(3, availableParallelism()),
    testTimeout: sweep ? 3_600_000 : 60_000,
    hookTimeout: 120_000,
    // A busy machine is late, not wrong.
    expect: { poll: { timeout: 15_000 } },
    globalSetup: 'test/global-setup.ts',
    reporters: results ? ['default', ['json', { outputFile: results }]] : ['default'],
  },
});
