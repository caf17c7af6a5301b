import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { CommandSpec } from '../../src/inputs/refs.js';
import { runCommand } from '../../src/platform/command.js';
import { capture } from '../../src/platform/exec.js';

const PLANTED = 'pl4nted-Passw0rd';
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ferry-exec-'));
  vi.stubEnv('FERRY_TEST_SECRET', PLANTED);
  vi.stubEnv('TEMPORAL_API_KEY', 'not-for-children');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true, force: true });
});

function exec(
  command: string | string[],
  more: {
    env?: Record<string, { env: string }>;
    timeout?: string;
    extra?: Record<string, string>;
    signal?: AbortSignal;
    input?: string;
  } = {},
) {
  const { extra, signal, input, ...spec } = more;
  return runCommand({
    label: 'stopWrites',
    spec: CommandSpec.parse({ command, ...spec }),
    name: 'sessions',
    step: 'Stop writes',
    env: extra,
    signal,
    input,
  });
}

async function failure(act: Promise<unknown>): Promise<FerryError> {
  const error = await act.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(FerryError);
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(PLANTED);
  expect((error as FerryError).cause).toBeUndefined();
  return error as FerryError;
}

async function ended(pid: number): Promise<boolean> {
  for (let i = 0; i < 60; i += 1) {
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').then(
      (stat) => stat.split(') ')[1]?.[0],
      () => undefined,
    );
    if (state === undefined || state === 'Z') return true;
    await new Promise((done) => setTimeout(done, 50));
  }
  return false;
}

async function pidIn(file: string): Promise<number> {
  for (let i = 0; i < 60; i += 1) {
    const pid = Number(await readFile(join(dir, file), 'utf8').catch(() => ''));
    if (pid > 0) return pid;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error('it never started');
}

it('runs a line by a shell and a list without one', async () => {
  expect(await exec('echo "$FERRY_NAME: $FERRY_STEP"; echo careful >&2')).toMatchObject({
    exitCode: 0,
    stdoutTail: 'sessions: Stop writes\n',
    stderrTail: 'careful\n',
  });
  expect((await exec(['printf', '%s', '$HOME `id`'])).stdoutTail).toBe('$HOME `id`');
  expect((await exec(['cat'], { input: 'by stdin' })).stdoutTail).toBe('by stdin');
  expect((await exec(['cat'])).stdoutTail).toBe('');
});

it('passes on what is named, and not the whole environment', async () => {
  vi.stubEnv('KUBECONFIG', '/kube');
  vi.stubEnv('LC_TIME', 'C');
  const { stdoutTail } = await exec('env', {
    env: { TOKEN: { env: 'FERRY_TEST_SECRET' } },
    extra: { FERRY_HOST: 'h' },
  });
  const names = stdoutTail.split('\n').map((line) => line.split('=')[0]);
  expect(names).toEqual(
    expect.arrayContaining(['PATH', 'HOME', 'KUBECONFIG', 'LC_TIME', 'TOKEN', 'FERRY_HOST', 'FERRY_NAME']),
  );
  expect(names).not.toContain('TEMPORAL_API_KEY');
  expect(names).not.toContain('FERRY_TEST_SECRET');
  expect(stdoutTail).toContain('TOKEN=***');
});

it('says how it failed, by its label, and keeps the secret it printed', async () => {
  const error = await failure(
    exec('echo "token is $TOKEN" >&2; exit 3', { env: { TOKEN: { env: 'FERRY_TEST_SECRET' } } }),
  );
  expect(error).toMatchObject({
    type: 'CommandFailed',
    message: 'stopWrites ended with exit code 3: token is ***',
  });
  expect((await failure(exec(['sh', '-c', 'exit 1', `redis://u:${PLANTED}@h`]))).message).toBe(
    'stopWrites ended with exit code 1',
  );
  expect((await failure(exec(['no-such-program-here', PLANTED]))).message).toBe(
    'stopWrites could not be started (no such program)',
  );
  expect((await failure(exec(['/etc/passwd']))).message).toBe(
    'stopWrites could not be started (not executable)',
  );
  expect((await failure(exec('kill -9 $$'))).message).toBe('stopWrites was ended by SIGKILL');
});

it('keeps a secret out that a cut would have halved', async () => {
  const { stdoutTail } = await exec('i=0; while [ $i -lt 300 ]; do printf "%s " "$TOKEN"; i=$((i+1)); done', {
    env: { TOKEN: { env: 'FERRY_TEST_SECRET' } },
  });
  expect(stdoutTail).not.toMatch(/pl4|nted|Passw|rd/);
});

it('bounds what it keeps', async () => {
  const { stdoutTail, stderrTail } = await exec(
    'yes 0123456789 | head -c 3000000; echo the end; yes error | head -c 100000 >&2',
  );
  expect(stdoutTail.length).toBeLessThan(2_100);
  expect(stdoutTail.endsWith('the end\n')).toBe(true);
  expect(stderrTail.length).toBeLessThan(2_100);
});

function whole(command: string, limit = 1_000_000, timeout = '60s') {
  const spec = CommandSpec.parse({ command, timeout });
  return capture({ label: 'theTool', spec, name: '', step: '', limit });
}

it('gives a parser all of the output, whatever the exit code', async () => {
  const { stdout, stdoutTail, ...rest } = await whole('seq 1 20000; echo sorry >&2; exit 3');
  expect(stdout.trim().split('\n')).toHaveLength(20_000);
  expect(stdoutTail.length).toBeLessThan(3_000);
  expect(rest).toMatchObject({ exitCode: 3, stderrTail: 'sorry\n' });
});

it('gives a parser no half of it', async () => {
  expect((await failure(whole('seq 1 20000; echo sorry >&2', 64 * 1024))).message).toBe(
    'theTool said more than 64 kB: sorry',
  );
  expect((await whole('seq 1 20000; sleep 60', 64 * 1024, '500ms')).exitCode).toBeNull();
});

it('names the missing variable', async () => {
  expect(await failure(exec('true', { env: { TOKEN: { env: 'FERRY_NOT_SET' } } }))).toMatchObject({
    type: 'MissingSecret',
    message: expect.stringContaining('stopWrites: env.TOKEN: the environment variable FERRY_NOT_SET'),
  });
});

it('ends everything it started on time-out, also what ignores it', async () => {
  const began = performance.now();
  const error = await failure(
    exec(
      `trap '' TERM; sh -c 'trap "" TERM; echo $$ > ${dir}/child; while :; do sleep 0.1; done' & wait; sleep 60`,
      { timeout: '300ms' },
    ),
  );
  expect(error.message).toBe('stopWrites did not end within 300ms and was stopped');
  expect(performance.now() - began).toBeLessThan(5_000);
  expect(await ended(await pidIn('child'))).toBe(true);
});

it('ends everything on abort, and gives the reason', async () => {
  const controller = new AbortController();
  const running = exec(`sleep 60 & echo $! > ${dir}/child; wait`, { signal: controller.signal });
  const pid = await pidIn('child');
  controller.abort(new Error('worker goes down'));
  await expect(running).rejects.toThrow('worker goes down');
  expect(await ended(pid)).toBe(true);
  await expect(exec('true', { signal: controller.signal })).rejects.toThrow('worker goes down');
});

it('does not wait for a daemon that holds the output open', async () => {
  const began = performance.now();
  const { stdoutTail } = await exec(`sleep 5 & echo $! > ${dir}/daemon; echo started`);
  expect(stdoutTail).toBe('started\n');
  expect(performance.now() - began).toBeLessThan(2_000);
  const pid = await pidIn('daemon');
  process.kill(pid, 'SIGKILL');
});
