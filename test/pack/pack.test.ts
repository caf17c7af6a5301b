/* What `npm pack` makes: whole, small, of no machine, and an upgrade runs from it. (The sweep installs it from a registry.) */
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Receipt } from '../../src/contract.js';
import { run } from '../../src/setup/run.js';
import { world, type World } from '../support/world.js';
import { install, pack, type Installed, type Packed } from './package.js';

vi.setConfig({ testTimeout: 60_000 });

let packed: Packed;
let installed: Installed;
let files: string[];

beforeAll(async () => {
  packed = await pack();
  installed = await install(packed.file, ['@types/node', 'undici-types']);
  files = readdirSync(installed.package, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(installed.package, name)).isFile())
    .sort();
});

afterAll(() => {
  packed?.remove();
  installed?.remove();
});

/** What a compiled module imports, also types and what it imports when it needs it. */
function importsOf(text: string): string[] {
  return [
    ...text.matchAll(/^(?:import|export)\s[^;'"]*?from\s+['"]([^'"]+)['"]/gm),
    ...text.matchAll(/^import\s+['"]([^'"]+)['"]/gm),
    ...text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g),
  ].map(([, to = '']) => to);
}

const textOf = (name: string): string => readFileSync(join(installed.package, name), 'utf8');

describe('the package', () => {
  test('holds what runs and what is read, and nothing of the workshop', () => {
    for (const needed of [
      'dist/cli/main.js',
      'dist/worker.js',
      'dist/workflow-bundle.js',
      'dist/index.js',
      'dist/index.d.ts',
      'deploy/redis-ferry.service',
      'docs/runbooks/redis-copy.md',
      'README.md',
      'CHANGELOG.md',
      'LICENSE',
    ])
      expect(files).toContain(needed);
    const rooms = new Set(files.map((name) => name.split('/').slice(0, 2).join('/')));
    for (const unwanted of ['dist/demo', 'dist/bundle.js', 'dist/.ferry-build', 'docs/sweeps'])
      expect(rooms).not.toContain(unwanted);
    expect(files.filter((name) => /\.map$|\.png$|^(src|test|scripts|bench)\//.test(name))).toEqual([]);
    // 2.5 MB would be more than all of it: something came along that should not.
    expect(packed.size).toBeLessThan(2_500_000);
  });

  test('imports only what it holds and what it depends on', () => {
    const { dependencies, engines } = JSON.parse(textOf('package.json')) as {
      dependencies: Record<string, string>;
      engines: { node: string };
    };
    expect(engines.node).toBe('>=20.3.0');
    const wrong: string[] = [];
    let seen = 0;
    for (const name of files.filter(
      (each) => /^dist\/.*\.(js|d\.ts)$/.test(each) && !each.includes('bundle'),
    ))
      for (const to of importsOf(textOf(name))) {
        seen += 1;
        if (to.startsWith('node:')) continue;
        const target = join(name, '..', to);
        const there = to.startsWith('.')
          ? files.includes(target) &&
            (!name.endsWith('.d.ts') || files.includes(target.replace(/js$/, 'd.ts')))
          : Object.keys(dependencies).some((own) => to === own || to.startsWith(`${own}/`));
        if (!there) wrong.push(`${name} imports ${to}`);
      }
    expect(seen).toBeGreaterThan(300);
    expect(wrong).toEqual([]);
  });

  test('names no path of the machine that built it', () => {
    for (const name of files) {
      // The bundles' source maps are inside of them, encoded.
      const text = textOf(name).replace(/base64,(\S+)/g, (_, map: string) =>
        Buffer.from(map, 'base64').toString(),
      );
      for (const path of [resolve('.'), homedir()])
        // `$here/root/…` of a script is no path of the machine.
        expect(new RegExp(`(?<![\\w.-])${path}/`).test(text), `${name} names ${path}`).toBe(false);
    }
  });
});

describe('on a machine with Node.js alone', () => {
  let w: World;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    w = await world();
    const seed = w.redis('source').pipeline();
    for (let n = 0; n < 1_000; n += 1) seed.set(`seed:${n}`, `v${n}`);
    await seed.exec();
  });
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await w?.close();
  });

  const main = (): string => join(installed.package, 'dist/cli/main.js');
  const env = (): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'], HOME: installed.folder, ...w.env });
  const ferry = (...words: string[]) =>
    run(process.execPath, [main(), ...words], { cwd: installed.folder, env: env() });

  test('says its version and what it can do', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect((await ferry('--version')).stdout.trim()).toBe(version);
    expect((await ferry('--help')).stdout).toMatch(/start[^]*approve[^]*rollback[^]*worker[^]*doctor/);
  });

  test('doctor, a worker, and an upgrade to its receipt', async () => {
    const worker = spawn(process.execPath, [main(), 'worker'], {
      env: env(),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.push(worker);
    let said = '';
    worker.stderr.on('data', (text: Buffer) => (said += text.toString()));
    await expect.poll(() => said, { timeout: 20_000 }).toContain('worker ready');
    const doctor = await ferry('doctor');
    expect(doctor.stdout).toContain('1 worker polls it');
    expect([doctor.ok, doctor.stdout.includes('fail')]).toEqual([true, false]);

    const input = JSON.stringify({
      name: w.name,
      source: { env: 'OLD_REDIS_URL' },
      target: { env: 'NEW_REDIS_URL' },
      writes: 'running',
      watch: '1s',
      repoint: { kind: 'file', path: w.addressFile },
    });
    const upgrade = await ferry(
      'start',
      'redisCopy',
      '--input',
      input,
      '-g',
      'start=auto',
      '-g',
      'cutover=auto',
      '--wait',
    );
    expect(upgrade.ok, upgrade.stderr).toBe(true);
    const receipt = JSON.parse((await ferry('receipt', w.name, '--json')).stdout) as Receipt;
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true });
    expect(await w.redis('target').dbsize()).toBe(1_000);

    worker.kill('SIGTERM');
    await expect.poll(() => worker.exitCode, { timeout: 20_000 }).toBe(0);
  });

  test('a script in TypeScript compiles against its types, and a misspelt field does not', async () => {
    cpSync('docs/examples/approve-by-script.ts', join(installed.folder, 'good.ts'));
    writeFileSync(
      join(installed.folder, 'bad.ts'),
      "import { RedisCopyInput, type State } from 'redis-ferry';\nexport const f = (s: State): string => s.phaze;\nRedisCopyInput.parse({}).sauce;\n",
    );
    writeFileSync(join(installed.folder, 'package.json'), '{"type":"module"}');
    const compiled = await run(
      process.execPath,
      [
        resolve('node_modules/typescript/bin/tsc'),
        '--noEmit',
        '--strict',
        '--module',
        'nodenext',
        'good.ts',
        'bad.ts',
      ],
      { cwd: installed.folder },
    );
    // Temporal's own declarations need some that it doesn't bring along; ours have no such excuse.
    const errors = compiled.stdout.split('\n').filter((line) => / error TS/.test(line));
    const ours = errors.filter((line) => !line.includes('@temporalio/'));
    expect(ours).toEqual([
      expect.stringMatching(/^bad\.ts\(2,.*'phaze' does not exist/),
      expect.stringMatching(/^bad\.ts\(3,.*'sauce' does not exist/),
    ]);
  });
});
