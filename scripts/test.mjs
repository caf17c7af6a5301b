/* `npm test [-- vitest's arguments]`: everything a fresh clone needs, then the tests; the last line counts them. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

const folder = mkdtempSync(join(tmpdir(), 'ferry-test-'));
const results = join(folder, 'results.json');
const code = await everything();
const { passed, failed, skipped } = count(results);
rmSync(folder, { recursive: true, force: true });
// A run without a test proves nothing, and what fails outside of a test has failed too.
const failures = code !== 0 || passed === 0 ? Math.max(1, failed) : failed;
console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = code || (failures > 0 ? 1 : 0);

async function everything() {
  try {
    await bootstrap();
  } catch (error) {
    console.error(error.message);
    return 1;
  }
  // Before the tests and in a process of its own: a first download may take longer than a test may.
  const tools = await node(['dist/setup/main.js', '--test']);
  if (tools !== 0) return tools;
  const args = process.argv.slice(2);
  // The tests of Helm want a Kubernetes, whose first build takes minutes: for a part of the tests that needs none, none is brought up.
  const cluster = args.length === 0 || args.some((arg) => arg.includes('cluster'));
  return node(['node_modules/vitest/vitest.mjs', 'run', ...args], {
    FERRY_TEST_RESULTS: results,
    ...(cluster ? { FERRY_CLUSTER: 'up' } : {}),
  });
}

function node(args, env = {}) {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  });
  // The terminal sends Ctrl-C to the child too; it ends in order, and so do we, by its exit code.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  return new Promise((done) => {
    child.on('error', () => done(1));
    child.on('close', (exit) => done(exit ?? 1));
  });
}

function count(file) {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    // A file that fails before its first test has no test in it, but it failed all the same.
    const broken = report.testResults.filter(
      (each) => each.status === 'failed' && each.assertionResults.length === 0,
    ).length;
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + broken,
      skipped: report.numPendingTests + (report.numTodoTests ?? 0),
    };
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}
