/* `npm start -- --yes` as a newcomer runs it, compiled and with real parts; and what a kill -9 leaves. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { slow } from '../support/slow.js';
import { recall, type Run } from '../../src/demo/folder.js';
import { endAll } from '../../src/demo/processes.js';
import { endStrays } from '../../src/demo/strays.js';
import { isAlive, run as execute } from '../../src/setup/run.js';

const DEMO = new URL('../../dist/demo/main.js', import.meta.url).href;
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Alone it takes a minute; on a machine that is half as fast, beside a Kubernetes under load, several. In milliseconds. */
const TOO_LONG = 280_000;

interface Started {
  child: ChildProcess;
  output: () => string;
  /** The exit code; fails with all it said when it takes too long. */
  exit: Promise<number | string>;
  says: (text: string | RegExp) => Promise<void>;
}

let home = '';
let started: Started[] = [];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ferry-demo-'));
});

afterEach(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  started = [];
  await endAll(home);
  await endStrays(join(home, 'demo')).catch(() => undefined);
  rmSync(home, { recursive: true, force: true });
});

function start(...words: string[]): Started {
  const script = `const { main } = await import(${JSON.stringify(DEMO)}); await main(${JSON.stringify(words)});`;
  const env = { ...process.env, FERRY_HOME: home, NO_COLOR: '1' };
  // Its own Temporal, whatever the tests use.
  delete (env as NodeJS.ProcessEnv)['TEMPORAL_ADDRESS'];
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream
      .setEncoding('utf8')
      // When each was said tells a slow machine from one that hangs.
      .on('data', (part: string) => {
        const when =
          text === '' || text.endsWith('\n') ? `${Math.round((Date.now() - began) / 1_000)} s\t` : '';
        text += when + part;
      });
  const began = Date.now();
  const exit = new Promise<number | string>((done, fail) => {
    const late = setTimeout(
      () => fail(new Error(`It still runs after ${TOO_LONG / 1_000} s, and said until now:\n${text}`)),
      TOO_LONG,
    );
    child.once('close', (code, signal) => {
      clearTimeout(late);
      done(code ?? signal ?? 'unknown');
    });
  });
  const one: Started = {
    child,
    output: () => text,
    exit,
    says: async (what) => {
      while (!(typeof what === 'string' ? text.includes(what) : what.test(text))) {
        if (child.exitCode !== null) throw new Error(`It ended without saying ${what}:\n${text}`);
        await pause(20);
      }
    },
  };
  started.push(one);
  return one;
}

function runOf(): Run {
  const { run } = recall(join(home, 'demo'));
  if (!run) throw new Error('No run was written down.');
  return run;
}

/** Every file of the demo, as bytes. */
function everything(): Buffer[] {
  return readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !KEEPS_PASSWORDS.test(file))
    .map((file) => readFileSync(file));
}
/** What must know them: the servers' settings, the application's address, and the demo itself, all mode 0600. */
const KEEPS_PASSWORDS = /redis\.conf$|redis-url(\.ferry-before)?$|demo\.json$/;

async function expectNothingLeft(): Promise<void> {
  const run = runOf();
  const { temporal } = recall(join(home, 'demo'));
  const ports = [run.old.port, run.new.port, temporal?.port ?? 0, temporal?.uiPort ?? 0];
  expect(await Promise.all(ports.map(answers))).toEqual([false, false, false, false]);
  const { stdout } = await execute('ps', ['-axww', '-o', 'pid=,command=']);
  expect(stdout.split('\n').filter((line) => line.includes(home))).toEqual([]);
}

function answers(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('connect', () => done(true)).on('error', () => done(false));
    socket.on('connect', () => socket.destroy());
  });
}

function expectGoodEnd(output: string): void {
  expect(output).toContain('Back on the old server, with every write.');
  expect(output).toMatch(/was upgraded to .*, and the receipt is clean/);
  const told = /([\d,]+) writes acknowledged to the application, ([\d,]+) present, ([\d,]+) missing/g;
  const legs = [...output.matchAll(told)];
  expect(legs).toHaveLength(2);
  for (const [, acknowledged, present, missing] of legs) {
    expect(Number(acknowledged?.replaceAll(',', ''))).toBeGreaterThan(100);
    expect(present).toBe(acknowledged);
    expect(missing).toBe('0');
  }
}

test(
  'over, back, and over for good: loses no write, and leaves nothing behind',
  { timeout: 2 * TOO_LONG },
  async () => {
    const demo = start('--yes', '--port', '0');
    await demo.says('Old server');
    const second = start('--yes', '--port', '0');
    expect(await second.exit).toBe(1);
    expect(second.output()).toContain(`The demo runs already (process ${demo.child.pid}).`);

    expect([await demo.exit, demo.output()]).toEqual([0, expect.any(String)]);
    expectGoodEnd(demo.output());
    await expectNothingLeft();

    const { old, new: target } = runOf();
    for (const password of [old.password, target.password]) {
      expect(demo.output()).not.toContain(password);
      expect(everything().filter((bytes) => bytes.includes(password))).toEqual([]);
    }
  },
);

slow('goes on after a kill -9 of itself and its worker', { timeout: 2 * TOO_LONG }, async () => {
  const first = start('--yes', '--port', '0');
  await first.says('Gate "cutover" is approved');
  const { id } = runOf();
  const worker = Number(
    (JSON.parse(readFileSync(join(home, 'demo', `run-${id}`, 'worker.pid'), 'utf8')) as { pid: number }).pid,
  );
  first.child.kill('SIGKILL');
  process.kill(worker, 'SIGKILL');
  await first.exit;
  await expect.poll(() => isAlive(worker)).toBe(false);

  const again = start('--yes', '--port', '0');
  expect([await again.exit, again.output()]).toEqual([0, expect.any(String)]);
  expect(again.output()).toContain('going on with the move that was under way');
  expectGoodEnd(again.output());
  expect(runOf()).toMatchObject({ id, ended: true });
  // One upgrade a leg, not two.
  const receipts = readdirSync(join(home, 'demo', 'worker', 'upgrade+redis+demo'));
  expect(receipts.filter((name) => name.endsWith('.html'))).toHaveLength(2);
  await expectNothingLeft();
});
