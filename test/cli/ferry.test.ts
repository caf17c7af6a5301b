/** The verbs against a real Temporal server, and a worker that speaks the contract without moving anything. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { Progress } from '../../src/contract.js';
import { ferry } from './io.js';
import { COPYING } from './fixtures.js';

const taskQueue = `cli-${process.pid}-${Date.now()}`;
const address = inject('temporalAddress');
const env = { TEMPORAL_ADDRESS: address, FERRY_TASK_QUEUE: taskQueue };
let home: string;
let worker: Worker;
let running: Promise<void>;
let native: NativeConnection;
let connection: Connection;
let client: Client;
let count = 0;

const newName = () => `t${process.pid}-${Date.now()}-${(count += 1)}`;
const inputOf = (name: string, more = {}) =>
  JSON.stringify({ name, source: { env: 'OLD' }, target: { env: 'NEW' }, writes: 'running', ...more });

/** Starts one, and waits until the worker has taken it up. */
async function started(more = {}): Promise<string> {
  const name = newName();
  expect((await ferry(['start', 'redisCopy', '-i', inputOf(name, more)], { env })).code).toBe(0);
  await client.workflow.getHandle(`upgrade/redis/${name}`).query('state');
  return name;
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'ferry-cli-home-'));
  process.env['FERRY_HOME'] = home;
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  native = await NativeConnection.connect({ address });
  connection = await Connection.connect({ address });
  client = new Client({ connection });
  worker = await Worker.create({
    connection: native,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('./stand-in/workflow.ts', import.meta.url)),
    bundlerOptions: {
      webpackConfigHook: (config) => ({
        ...config,
        // The sources name each other as the compiler's output will be named.
        resolve: { ...config.resolve, extensionAlias: { '.js': ['.ts', '.js'] } },
      }),
    },
    activities: {
      async beat() {
        const progress: Progress = { ...COPYING.progress!, done: 1_500_000, at: new Date().toISOString() };
        for (;;) {
          Context.current().heartbeat({ progress, checkpoint: {} });
          await Context.current().sleep(200);
        }
      },
    },
  });
  running = worker.run();
});

afterAll(async () => {
  worker.shutdown();
  await running;
  await native.close();
  await connection.close();
  await rm(home, { recursive: true, force: true });
});

describe('start', () => {
  it('tells how to follow it, and refuses a second one on the same target', async () => {
    const name = newName();
    const first = await ferry(['start', 'redisCopy', '-i', inputOf(name)], { env });
    expect(first).toMatchObject({ code: 0, out: '' });
    expect(first.err).toContain(`Started upgrade/redis/${name}`);
    expect(first.err).toContain(`ferry state upgrade/redis/${name} --watch`);
    const second = await ferry(['start', 'redisCopy', '-i', inputOf(name)], { env });
    expect(second.code).toBe(1);
    expect(second.err).toContain(`upgrade/redis/${name} runs already`);
    expect(second.err).toContain(`ferry state upgrade/redis/${name} --watch`);
  });

  it('shows the plan and ends, with --plan', async () => {
    const { code, out } = await ferry(['start', 'redisCopy', '-i', inputOf(newName()), '--plan'], { env });
    expect(code).toBe(0);
    expect(out).toContain('Write the new URL to /etc/app.env');
  });

  it('waits until somebody is asked, with --wait', async () => {
    expect(await ferry(['start', 'redisCopy', '-i', inputOf(newName()), '--wait'], { env })).toMatchObject({
      code: 3,
      out: '',
    });
  });

  it('says that no worker polls', async () => {
    const lonely = { ...env, FERRY_TASK_QUEUE: `${taskQueue}-nobody` };
    const name = newName();
    const start = await ferry(['start', 'redisCopy', '-i', inputOf(name), '--json'], { env: lonely });
    expect(JSON.parse(start.out)).toMatchObject({ workflowId: `upgrade/redis/${name}` });
    expect(start.err).toContain('No worker polls task queue');
    const [state, pausing] = await Promise.all([
      ferry(['state', name], { env: lonely }),
      ferry(['pause', name], { env: lonely }),
    ]);
    expect(state.code).toBe(1);
    expect(state.err).toContain(`No worker answers on task queue "${taskQueue}-nobody" within 5 s`);
    expect(pausing.code).toBe(1);
    expect(pausing.err).toContain('ferry worker');
  });
});

describe('looking', () => {
  it('shows the state, and its phase by the exit code', async () => {
    const name = await started();
    const { code, out } = await ferry(['state', name], { env });
    expect(code).toBe(3);
    expect(out).toContain('● Awaiting approval');
    expect(out).toContain(`ferry approve upgrade/redis/${name} cutover`);
    const json = await ferry(['state', `upgrade/redis/${name}`, '--json'], { env });
    expect(json.code).toBe(3);
    expect(JSON.parse(json.out)).toMatchObject({
      phase: 'AwaitingApproval',
      status: 'RUNNING',
      gates: [{ name: 'start' }, { name: 'cutover' }],
    });
  });

  it("shows the activity's own progress, which is newer than the workflow's", async () => {
    const name = await started({ debug: true });
    await expect
      .poll(async () => (await ferry(['state', name], { env })).out, { timeout: 60_000 })
      .toContain('75 %  1,500,000 of 2,000,000 keys');
    await client.workflow.getHandle(`upgrade/redis/${name}`).terminate();
  });

  it('knows what is not there', async () => {
    const { code, err } = await ferry(['state', 'nobody'], { env });
    expect(code).toBe(1);
    expect(err).toContain('There is no upgrade upgrade/redis/nobody');
    expect((await ferry(['pause', 'nobody'], { env })).err).toContain(
      'There is no upgrade upgrade/redis/nobody',
    );
    expect((await ferry(['list', '--namespace', 'elsewhere'], { env })).err).toContain(
      'no namespace "elsewhere"',
    );
  });

  it('lists running ones first', async () => {
    const [done, open] = [await started(), await started()];
    await ferry(['reject', done, 'cutover'], { env });
    await expect
      .poll(
        async () => {
          const { out } = await ferry(['list', '--json', '--limit', '1000'], { env });
          const rows = JSON.parse(out) as { workflowId: string; phase: string }[];
          return [`upgrade/redis/${open}`, `upgrade/redis/${done}`]
            .map((id) => rows.findIndex((row) => row.workflowId === id))
            .join();
        },
        { timeout: 60_000 },
      )
      .toMatch(/^\d+,\d+$/);
    const { out } = await ferry(['list'], { env });
    expect(out.indexOf(open)).toBeLessThan(out.indexOf(done));
    expect(out).toMatch(/^ +ID +STRATEGY +PHASE/);
  });

  it('follows in plain lines, and ends with the code of the end', async () => {
    const name = await started();
    const watching = ferry(['state', name, '--watch'], { env });
    await pause(1_500);
    await ferry(['reject', name, 'cutover'], { env });
    const { code, out } = await watching;
    expect(code).toBe(4);
    expect(out).toMatch(/^\d\d:\d\d:\d\d  ✓ Gather information/m);
    expect(out).toContain('Awaiting approval: Waits for approval of "cutover"');
    expect(out).toContain(`Receipt of redisCopy ${name}: RolledBack`);
  });

  it('redraws in place on a terminal, shows the cursor again, and stops looking at Ctrl-C', async () => {
    const name = await started();
    const control = new AbortController();
    const watching = ferry(['state', name, '--watch'], { env, tty: true, signal: control.signal });
    await pause(1_500);
    control.abort();
    const { code, out, err } = await watching;
    expect(code).toBe(3);
    expect(out).toContain('\u001b[0J');
    expect(out.endsWith('\u001b[?25h')).toBe(true);
    expect(err).toContain(`It goes on without you. To look again: ferry state upgrade/redis/${name} --watch`);
  });

  it('tells a terminated one from one that ended, and recovers it', async () => {
    const name = await started();
    expect((await ferry(['recover', name], { env })).err).toContain('still runs');
    await client.workflow.getHandle(`upgrade/redis/${name}`).terminate('test');
    const { code, out } = await ferry(['state', name], { env });
    expect(code).toBe(1);
    expect(out).toContain('● Terminated');
    expect(out).toContain(`ferry recover upgrade/redis/${name}`);
    expect((await ferry(['receipt', name], { env })).code).toBe(1);
    const recovered = await ferry(['recover', name], { env });
    expect(recovered.code).toBe(0);
    expect(recovered.out).toContain(`the fence of upgrade/redis/${name}`);
    expect(recovered.out).toContain('Ana Lima');
  });
});

describe('saying', () => {
  it.each([
    [['pause', '--note', 'lunch'], 'pause {"by":"Ana Lima","note":"lunch"}'],
    [['resume'], 'resume {"by":"Ana Lima"}'],
    [['skip', '--by', 'Ben'], 'skip {"by":"Ben"}'],
    [['retry'], 'retry {"by":"Ana Lima"}'],
    [['rollback', '--accept-loss'], 'rollback {"acceptLoss":true,"by":"Ana Lima"}'],
    [['rollback'], 'rollback {"by":"Ana Lima"}'],
    [['waive', 'Login page'], 'waive {"check":"Login page","by":"Ana Lima"}'],
    [['tick', 'Tell the team'], 'tick {"item":"Tell the team","by":"Ana Lima"}'],
    [['decide', 'retry'], 'decide {"choice":"retry","by":"Ana Lima"}'],
    [['adjust', '--rate', '500'], 'adjust {"by":"Ana Lima","rate":500}'],
    [
      ['adjust', '--max-pause', '2s', '--max-lag', '4mb', '--note', 'a busy evening'],
      'adjust {"by":"Ana Lima","maxPause":"2s","maxLag":4194304,"note":"a busy evening"}',
    ],
    [['postpone', '--for', '30m'], 'postpone {"for":"30m","by":"Ana Lima"}'],
    [
      ['postpone', '--until', '2026-03-01T02:00:00+01:00', '--note', 'match night'],
      'postpone {"until":"2026-03-01T01:00:00.000Z","by":"Ana Lima","note":"match night"}',
    ],
    [['withdraw', 'cutover'], 'withdraw {"gate":"cutover","by":"Ana Lima"}'],
    [
      ['adjust', '--opens-at', '2026-03-01T02:00:00+01:00', '--closes-at', '2026-03-01T04:00:00Z'],
      'adjust {"by":"Ana Lima","window":{"opensAt":"2026-03-01T01:00:00.000Z","closesAt":"2026-03-01T04:00:00.000Z"}}',
    ],
  ])('says %j', async ([verb = '', ...rest], answer) => {
    const name = await started();
    expect(await ferry([verb, name, ...rest], { env })).toMatchObject({ code: 0, out: `${answer}\n` });
  });

  it.each([
    [['reject', 'cutover'], 4, 'RolledBack'],
    [['abort', '--leave-as-is'], 1, 'Aborted'],
    [['decide', 'stop'], 6, 'RollbackFailed'],
  ])('%j ends it, and the receipt tells by its exit code', async ([verb = '', ...rest], code, outcome) => {
    const name = await started();
    expect((await ferry([verb, name, ...rest], { env })).code).toBe(0);
    expect((await ferry(['state', name, '--wait'], { env })).code).toBe(code);
    const receipt = await ferry(['receipt', name], { env });
    expect(receipt.code).toBe(code);
    expect(receipt.out).toContain(`${name}: ${outcome}`);
    expect(JSON.parse((await ferry(['receipt', name, '--json'], { env })).out)).toMatchObject({ outcome });
    expect((await ferry(['receipt', name, '--html'], { env })).out).toContain('<!doctype html>');
    const late = await ferry(['pause', name], { env });
    expect(late.code).toBe(1);
    expect(late.err).toContain('has ended');
  });

  it('needs a decision: exit code 5', async () => {
    const name = await started();
    await ferry(['pause', name], { env });
    expect((await ferry(['state', name], { env })).code).toBe(5);
    expect((await ferry(['state', name, '--wait'], { env })).code).toBe(5);
  });
});

describe('approve', () => {
  it('prints a refusal in a sentence', async () => {
    const name = await started();
    const { code, err } = await ferry(['approve', name, 'takeoff'], { env });
    expect(code).toBe(1);
    expect(err).toContain('Refused: The gate "takeoff" is not open.');
    expect((await ferry(['approve', name, 'cutover'], { env })).err).toContain('a second person has to');
  });

  it('asks on a terminal, showing the plan that was not seen yet', async () => {
    const name = await started();
    const no = await ferry(['approve', name, 'cutover', '--by', 'Ben'], { env, tty: true, answers: ['n'] });
    expect(no.code).toBe(1);
    expect(no.err).toContain('Not approved.');
    expect(no.out).toContain('Write the new URL to /etc/app.env');
    expect(no.asked[0]).toContain('Switch the applications to redis-new:6379?');
    const yes = await ferry(['approve', name, 'cutover', '--by', 'Ben'], { env, tty: true, answers: ['y'] });
    expect(yes).toMatchObject({ code: 0 });
    expect((await ferry(['state', name, '--wait'], { env })).code).toBe(0);
  });

  it('stands for the plan that was shown, not for what it has become since', async () => {
    const name = await started();
    await ferry(['plan', name], { env });
    await ferry(['tick', name, 'plan-2'], { env });
    const { code, err } = await ferry(['approve', name, 'cutover', '--by', 'Ben', '--yes'], { env });
    expect(code).toBe(1);
    expect(err).toContain('The plan has changed since you looked at it.');
    const asked = await ferry(['approve', name, 'cutover', '--by', 'Ben'], {
      env,
      tty: true,
      answers: ['y'],
    });
    expect(asked.code).toBe(0);
    expect(asked.out).toContain('The plan has changed since you looked at it last.');
    expect(await readFile(join(home, 'plans-shown.json'), 'utf8')).toContain('plan-2');
  });

  it('takes the hash from a script', async () => {
    const name = await started();
    expect(
      (await ferry(['approve', name, 'cutover', '--by', 'Ben', '--plan-hash', 'other'], { env })).code,
    ).toBe(1);
    expect(
      (await ferry(['approve', name, 'cutover', '--by', 'Ben', '--plan-hash', 'plan-1'], { env })).code,
    ).toBe(0);
  });
});

describe('doctor', () => {
  it('finds server, queue and home', async () => {
    const { code, out } = await ferry(['doctor', '--json'], { env });
    expect(code).toBe(0);
    const findings = JSON.parse(out) as { name: string; status: string; found: string }[];
    const by = Object.fromEntries(findings.map((finding) => [finding.name, finding]));
    expect(by['Temporal']).toMatchObject({ status: 'ok', found: expect.stringContaining(address) });
    expect(by['Task queue']).toMatchObject({
      status: 'ok',
      found: expect.stringContaining('1 worker polls it'),
    });
    expect(by['FerryPhase']).toMatchObject({ status: 'ok' });
    expect(by['FERRY_HOME']?.found).toContain(home);
    expect(by['Heroku CLI']?.found).toMatch(/^11\.|heroku@11\.10\.0/);
  });

  it('fails where no server answers', async () => {
    const { code, out } = await ferry(['doctor'], { env: { ...env, TEMPORAL_ADDRESS: '127.0.0.1:1' } });
    expect(code).toBe(1);
    expect(out).toMatch(/^fail  Temporal/m);
  });
});
