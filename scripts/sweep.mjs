/* `npm run sweep [-- vitest's arguments]`: what takes too long for `npm test`. Its dated result goes to docs/sweeps/ and is committed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join, relative } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

await bootstrap();
const folder = mkdtempSync(join(tmpdir(), 'ferry-sweep-'));
const results = join(folder, 'results.json');
const run = (args) =>
  spawnSync(process.execPath, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, FERRY_SWEEP: '1', FERRY_TEST_RESULTS: results },
  }).status ?? 1;
const code =
  run(['dist/setup/main.js', '--sweep']) ||
  run(['node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)]);
const report = JSON.parse(readFileSync(results, 'utf8'));
rmSync(folder, { recursive: true, force: true });

const day = new Date().toISOString().slice(0, 10);
const file = join(root, 'docs', 'sweeps', `${day}.md`);
const ran = report.testResults.flatMap(({ name, assertionResults }) =>
  assertionResults
    .filter(({ status }) => status === 'passed' || status === 'failed')
    .map(({ fullName, status, duration }) => ({
      test: `${relative(root, name).replace(/^test\//, '')}: ${fullName.replaceAll('|', '\\|')}`,
      came: `${status} | ${((duration ?? 0) / 1000).toFixed(1)}`,
    })),
);
// What was swept earlier on the same day stays, but for what ran again now.
const again = new Set(ran.map(({ test }) => test));
const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
// What people wrote behind the table stays too.
const behind = /^## [^]*$/m.exec(before)?.[0].trimEnd();
const earlier = [...before.matchAll(/^\| (\S+\.(?:sweep|test)\.ts: .*) \| (\w+ \| [\d.]+) \|$/gm)].map(
  ([, test, came]) => ({ test, came }),
);
const folderOf = ({ test }) => test.split(':')[0];
const rows = [...earlier.filter(({ test }) => !again.has(test)), ...ran]
  .toSorted((a, b) => (folderOf(a) < folderOf(b) ? -1 : folderOf(a) > folderOf(b) ? 1 : 0))
  .map(({ test, came }) => `| ${test} | ${came} |`);
const count = (status) => rows.filter((row) => row.includes(` | ${status} | `)).length;
const lines = [
  `# Sweep of ${day}`,
  '',
  `${count('passed')} passed, ${count('failed')} failed. Node ${process.version}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB.`,
  '',
  '| test | result | seconds |',
  '| --- | --- | --- |',
  ...rows,
  ...(behind ? ['', behind] : []),
  '',
];
mkdirSync(join(root, 'docs', 'sweeps'), { recursive: true });
writeFileSync(file, lines.join('\n'));
console.log(`docs/sweeps/${day}.md\n${report.numPassedTests} passed, ${report.numFailedTests} failed`);
process.exitCode = code;
