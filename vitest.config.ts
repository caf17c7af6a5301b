import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Set by scripts/test.mjs, which counts from it.
const results = process.env['FERRY_TEST_RESULTS'];
// `npm run sweep` runs what takes too long for `npm test`: files of its own, and those of which some tests are `slow`.
const sweep = process.env['FERRY_SWEEP'] !== undefined;
const slowFiles = (): string[] =>
  readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('test', name))
    .filter((path) => readFileSync(path, 'utf8').includes('/support/slow.js'));

export default defineConfig({
  test: {
    include: sweep ? ['test/**/*.sweep.ts', ...slowFiles()] : ['test/**/*.test.ts'],
    pool: 'forks',
    // Most tests wait for servers: more of them at a time than there are cores.
    maxWorkers: sweep ? 1 : Math.max(3, availableParallelism()),
    testTimeout: sweep ? 3_600_000 : 120_000,
    hookTimeout: 120_000,
    // A busy machine is late, not wrong.
    expect: { poll: { timeout: 60_000 } },
    globalSetup: 'test/global-setup.ts',
    reporters: results ? ['default', ['json', { outputFile: results }]] : ['default'],
  },
});
