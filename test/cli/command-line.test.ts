import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/cli/exit.js';
import { resolveTarget } from '../../src/cli/session.js';
import { speaker } from '../../src/cli/speaker.js';
import { STRATEGIES, type Phase } from '../../src/contract.js';
import { fakeIo, ferry } from './io.js';

let folder: string;
let closedPort: number;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ferry-cli-'));
  // A port that nobody listens on.
  closedPort = await new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address ? address.port : 1));
    });
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const GOOD = { name: 'sessions', source: { env: 'OLD' }, target: { env: 'NEW' }, writes: 'running' };

describe('usage', () => {
  it('shows the help, and its exit codes', async () => {
    const { code, out } = await ferry(['--help']);
    expect(code).toBe(0);
    for (const verb of [
      'start',
      'list',
      'state',
      'plan',
      'receipt',
      'approve',
      'reject',
      'decide',
      'waive',
      'tick',
      'pause',
      'resume',
      'retry',
      'skip',
      'adjust',
      'postpone',
      'withdraw',
      'rollback',
      'abort',
      'recover',
      'worker',
      'doctor',
    ]) {
      expect(out).toMatch(new RegExp(`^  ${verb} `, 'm'));
    }
    expect(out).toContain('5  needs a decision');
  });

  it.each([
    [[]],
    [['frobnicate']],
    [['state']],
    [['state', 'x', '--frob']],
    [['approve', 'x']],
    [['decide', 'x', 'maybe']],
    [['adjust', 'x', '--rate', '-3']],
    [['adjust', 'x', '--opens-at', '2026-03-01 02:00']],
    [['adjust', 'x']],
    [['adjust', 'x', '--max-pause', '2 parsecs']],
    [['adjust', 'x', '--max-lag', '4 boxes']],
    [['postpone', 'x']],
    [['postpone', 'x', '--for', '30m', '--until', '2026-03-01T02:00:00Z']],
    [['postpone', 'x', '--for', 'ever']],
    [['postpone', 'x', '--until', 'tomorrow']],
    [['withdraw', 'x']],
    [['start', 'redisCopy']],
  ])('refuses %j with exit code 2', async (words) => {
    expect((await ferry(words)).code).toBe(2);
  });

  it('names every strategy in the help of start', async () => {
    const { out } = await ferry(['start', '--help']);
    for (const strategy of Object.keys(STRATEGIES)) expect(out).toContain(strategy);
  });

  it('tells the version', async () => {
    expect((await ferry(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

const start = (input: unknown, ...more: string[]) =>
  ferry([
    'start',
    'redisCopy',
    '--input',
    typeof input === 'string' ? input : JSON.stringify(input),
    ...more,
  ]);

describe('an input that is not right', () => {
  it.each([
    ['a missing field', { ...GOOD, writes: undefined }, '`writes` is missing'],
    ['a wrong type', { ...GOOD, name: 5 }, '`name` invalid input: expected string, received number'],
    ['an unknown field', { ...GOOD, sorce: 1 }, '`sorce` is not a known field'],
    [
      'an unknown field within',
      { ...GOOD, repoint: { kind: 'file', path: '/x', templat: 'y' } },
      '`repoint.templat` is not a known field',
    ],
    ['a URL with a password', { ...GOOD, target: 'redis://me:hunter2@h:6379' }, '`target` holds a password'],
    ['a gate that there is not', { ...GOOD, gates: { takeoff: 'auto' } }, 'takeoff'],
    ['fields that need each other', { ...GOOD, cleanup: true }, '`cleanup` needs `repoint`'],
    ['a bad duration', { ...GOOD, maxPause: '5 minutes' }, '`maxPause` must be a duration'],
  ])('names %s', async (_, input, sentence) => {
    const { code, err, out } = await start(input);
    expect(code).toBe(2);
    expect(err).toContain(sentence);
    expect(err).toContain('nothing was started');
    expect(err).not.toContain('hunter2');
    expect(out).toBe('');
  });

  it('says what a field is for, and which name was probably meant', async () => {
    const { err } = await start({ ...GOOD, sorce: 1, writes: 'maybe' });
    expect(err).toContain('Did you mean `source`?');
    expect(err).toContain('stops the application for the last pass');
  });

  it('names the strategies that there are', async () => {
    const { code, err } = await ferry(['start', 'redisMove', '--input', JSON.stringify(GOOD)]);
    expect(code).toBe(2);
    expect(err).toContain('Known: redisCopy');
  });

  it('finds broken JSON by line and column, without quoting it', async () => {
    const path = join(folder, 'broken.json');
    await writeFile(path, '{\n  "name": "x",\n  "source": "redis://u:hunter2@h"\n  oops\n}');
    const { code, err } = await start(path);
    expect(code).toBe(2);
    expect(err).toContain('line 4, column 3');
    expect(err).not.toContain('hunter2');
  });

  it.each([
    ['a file that is not there', '/nowhere/x.json', "can't be read (ENOENT)"],
    ['a list', '[1]', 'must hold one JSON object'],
  ])('refuses %s', async (_, input, sentence) => {
    const { code, err } = await start(input);
    expect(code).toBe(2);
    expect(err).toContain(sentence);
  });

  it('takes stdin, and adds gates from flags', async () => {
    const { code, err } = await ferry(['start', 'redisCopy', '-i', '-', '--gate', 'takeoff=auto'], {
      stdin: JSON.stringify(GOOD),
    });
    expect(code).toBe(2);
    expect(err).toContain('stdin');
    expect(err).toContain('takeoff');
    expect((await start(GOOD, '--gate', 'start=maybe')).err).toContain(
      '--gate start=maybe is not understood',
    );
  });
});

const from = (env: Record<string, string>, options = {}) => {
  const { address, namespace, taskQueue } = resolveTarget(fakeIo({ env: { HOME: folder, ...env } }), options);
  return [address, namespace, taskQueue];
};

describe('where Temporal is', () => {
  it('comes from flags, then variables, then the defaults', () => {
    expect(from({})).toEqual(['localhost:7233', 'default', 'redis-ferry']);
    const env = { TEMPORAL_ADDRESS: 'a:1', TEMPORAL_NAMESPACE: 'n', FERRY_TASK_QUEUE: 'q' };
    expect(from(env)).toEqual(['a:1', 'n', 'q']);
    expect(from(env, { address: 'b:2', namespace: 'm', taskQueue: 'r' })).toEqual(['b:2', 'm', 'r']);
  });

  it('takes a profile of the configuration file, with its API key', async () => {
    const path = join(folder, 'temporal.toml');
    await writeFile(path, '[profile.prod]\naddress = "prod:7233"\nnamespace = "ferry"\napi_key = "k"\n');
    const target = resolveTarget(fakeIo({ env: { TEMPORAL_CONFIG_FILE: path } }), { profile: 'prod' });
    expect(target).toMatchObject({
      address: 'prod:7233',
      namespace: 'ferry',
      connectionOptions: { apiKey: 'k', tls: true },
    });
  });

  it('is named when it does not answer, with what to do', async () => {
    const { code, err } = await ferry(['list', '--address', `127.0.0.1:${closedPort}`]);
    expect(code).toBe(1);
    expect(err).toContain(`Temporal does not answer at 127.0.0.1:${closedPort}.`);
    expect(err).toContain('npm start');
  });
});

describe('small parts', () => {
  it('maps every phase to its exit code', () => {
    const codes: Record<Phase, number> = {
      Running: 0,
      AwaitingApproval: 3,
      AwaitingWindow: 0,
      Paused: 0,
      NeedsDecision: 5,
      RollingBack: 0,
      Completed: 0,
      RolledBack: 4,
      RollbackFailed: 6,
      Aborted: 1,
    };
    for (const [phase, code] of Object.entries(codes)) expect(exitCodeOf(phase as Phase)).toBe(code);
  });

  it('knows who speaks', async () => {
    expect(await speaker(fakeIo(), ' Ben ')).toBe('Ben');
    expect(await speaker(fakeIo({ env: { FERRY_BY: 'Cleo' } }), undefined)).toBe('Cleo');
    expect(await speaker(fakeIo({ env: { FERRY_BY: '' } }), undefined)).not.toBe('');
  });
});
