/* The steps from a clone to a build, with a small script in the place of npm. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
// @ts-expect-error Plain JavaScript, as it runs before there is a compiler.
import { bootstrap, nodeProblem } from '../../scripts/bootstrap.mjs';

let folder: string;
let written: string;
const go = () => bootstrap({ folder, write: (text: string) => (written += text) });
/** What npm was asked for since the last look. */
const asked = (): string[] => {
  const file = join(folder, 'asked');
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  rmSync(file, { force: true });
  return lines.map((line) => line.replace(/ --.*/, ''));
};
const npmDoes = (body: string) => {
  writeFileSync(join(folder, 'bin/npm'), `#!/bin/sh\necho "$*" >> asked\n${body}\n`);
  chmodSync(join(folder, 'bin/npm'), 0o755);
};
const works = 'if [ "$1" = run ]; then mkdir -p dist; else mkdir -p node_modules; fi';
const lock = (packages: object) =>
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages }));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ferry-bootstrap-'));
  written = '';
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, 'src/deep'), { recursive: true });
  writeFileSync(join(folder, 'src/deep/a.ts'), 'export {};');
  lock({ '': {}, 'node_modules/a': { version: '1.0.0', integrity: 'x' } });
  npmDoes(works);
  vi.stubEnv('PATH', `${join(folder, 'bin')}${delimiter}${process.env['PATH']}`);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

test('installs and builds once, then is silent', async () => {
  await go();
  expect(asked()).toEqual(['ci', 'run build']);
  expect(written).toBe('installing packages … 1 s\nbuilding … 1 s\n');
  written = '';
  const since = performance.now();
  await go();
  expect(performance.now() - since).toBeLessThan(300);
  expect([asked(), written]).toEqual([[], '']);
});

test('builds again when a source changed in its contents, not in its date', async () => {
  await go();
  asked();
  utimesSync(join(folder, 'src/deep/a.ts'), new Date(), new Date());
  await go();
  expect(asked()).toEqual([]);
  writeFileSync(join(folder, 'src/deep/a.ts'), 'export const a = 1;');
  await go();
  expect(asked()).toEqual(['run build']);
});

test('installs again when the lock file changed', async () => {
  await go();
  asked();
  lock({ '': {}, 'node_modules/a': { version: '1.0.1', integrity: 'y' } });
  await go();
  expect(asked()).toEqual(['ci', 'run build']);
});

test('takes an installation that somebody made by hand, if it is of the locked versions', async () => {
  mkdirSync(join(folder, 'node_modules'));
  const list = (version: string) =>
    writeFileSync(
      join(folder, 'node_modules/.package-lock.json'),
      JSON.stringify({ packages: { 'node_modules/a': { version, integrity: 'x' } } }),
    );
  list('0.9.0');
  await go();
  expect(asked()).toEqual(['ci', 'run build']);
  rmSync(join(folder, 'node_modules/.ferry-packages'));
  list('1.0.0');
  await go();
  expect(asked()).toEqual([]);
});

test('installs by the lock file even where that lacks the packages of other platforms', async () => {
  lock({
    '': {},
    'node_modules/a': { version: '1.0.0', integrity: 'x', optionalDependencies: { 'a-mac': '1.0.0' } },
  });
  await go();
  expect(asked()).toEqual(['install', 'run build']);
});

test('a failing step shows its output and is done again', async () => {
  npmDoes(`if [ "$1" = run ]; then echo "src/a.ts(1,1): error TS1"; exit 2; fi; ${works}`);
  await expect(go()).rejects.toThrow(/building failed[^]*error TS1/);
  asked();
  npmDoes(works);
  await go();
  expect(asked()).toEqual(['run build']);
});

test('a step that was killed in the middle is done again', async () => {
  npmDoes(`mkdir -p node_modules dist; echo $$ > npm.pid; exec sleep 60`);
  const script = new URL('../../scripts/bootstrap.mjs', import.meta.url).href;
  const code = `const { bootstrap } = await import('${script}'); await bootstrap({ folder: ${JSON.stringify(folder)} });`;
  const first = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'ignore' });
  await vi.waitFor(() => expect(readFileSync(join(folder, 'npm.pid'), 'utf8')).toMatch(/\d+\n/), 10_000);
  first.kill('SIGKILL');
  // Its npm outlives it, so the next start waits for that.
  npmDoes(works);
  const second = go();
  await vi.waitFor(() => expect(written).toContain('waiting for another installation'), 5_000);
  process.kill(Number(readFileSync(join(folder, 'npm.pid'), 'utf8')));
  await second;
  expect(asked()).toEqual(['ci', 'ci', 'run build']);
});

test('a Node that is too old is told so', () => {
  expect(nodeProblem('18.19.1')).toMatch(/needs Node 20\.3 or newer; this is 18\.19\.1/);
  expect(nodeProblem('20.2.0')).not.toBeNull();
  expect([nodeProblem('20.3.0'), nodeProblem('22.0.0')]).toEqual([null, null]);
});
