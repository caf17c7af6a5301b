/** The command as people run it: processes of its own, a real worker (`ferry worker`), real servers. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { approveByScript } from '../../docs/examples/approve-by-script.js';
import { queries, type Receipt } from '../../src/contract.js';
import { application, world, type World } from '../support/world.js';

const MAIN = join(process.env['FERRY_TEST_DIST'] ?? 'dist', 'cli', 'main.js');

// A dozen processes of Node.js are started one after the other.
vi.setConfig({ testTimeout: 150_000 });

let w: World;
let children: ChildProcess[];

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

function ferry(...words: string[]): { child: ChildProcess; ended: Promise<Ended>; said: () => string } {
  const child = spawn(process.execPath, [MAIN, ...words], {
    env: { PATH: process.env['PATH'] ?? '', HOME: w.folder, FERRY_BY: 'Ana Lima', ...w.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let out = '';
  let err = '';
  child.stdout.on('data', (text: Buffer) => (out += text.toString()));
  child.stderr.on('data', (text: Buffer) => (err += text.toString()));
  const ended = new Promise<Ended>((done) => child.on('close', (code) => done({ code, out, err })));
  return { child, ended, said: () => out + err };
}

beforeEach(async () => {
  children = [];
  w = await world();
  const seed = w.redis('source').pipeline();
  for (let n = 0; n < 2_000; n += 1) seed.set(`seed:${n}`, `v${n}`);
  await seed.exec();
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await w.client.workflow
    .getHandle(`upgrade/redis/${w.name}`)
    .terminate('the test is over')
    .catch(() => undefined);
  await w.close();
});

async function startWorker(): Promise<ReturnType<typeof ferry>> {
  const worker = ferry('worker', '--task-queue', w.taskQueue);
  await expect.poll(() => worker.said(), { timeout: 20_000 }).toContain('worker ready');
  return worker;
}

async function open(gate: string): Promise<void> {
  const handle = w.client.workflow.getHandle(`upgrade/redis/${w.name}`);
  await expect
    .poll(async () => (await handle.query(queries.state)).gates.find(({ name }) => name === gate)?.status, {
      timeout: 30_000,
    })
    .toMatch(/open|approved/);
}

async function inputFile(more = {}): Promise<string> {
  const path = join(w.folder, 'input.json');
  const input = {
    name: w.name,
    source: { env: 'OLD_REDIS_URL' },
    target: { env: 'NEW_REDIS_URL' },
    writes: 'running',
    watch: '1s',
    repoint: { kind: 'file', path: w.addressFile },
    ...more,
  };
  await writeFile(path, JSON.stringify(input));
  return path;
}

it('moves a Redis by the command line alone, from the plan to the receipt', async () => {
  const worker = await startWorker();
  const app = application({ world: w });
  const input = await inputFile();

  const plan = await ferry('start', 'redisCopy', '--input', input, '--plan').ended;
  expect(plan).toMatchObject({ code: 0 });
  expect(plan.out).toContain('Switch the applications over');
  expect(await w.redis('target').dbsize()).toBe(0);

  const upgrade = ferry('start', 'redisCopy', '--input', input, '--watch');
  await expect.poll(() => upgrade.said(), { timeout: 20_000 }).toContain('Started');
  const waiting = await ferry('state', w.name, '--wait').ended;
  expect(waiting.code).toBe(3);
  expect((await ferry('start', 'redisCopy', '--input', input).ended).code).toBe(1);
  const refused = await ferry('approve', w.name, 'cutover', '--yes').ended;
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/^Refused: /);

  expect(await ferry('approve', w.name, 'start', '--yes', '--note', 'looks right').ended).toMatchObject({
    code: 0,
  });
  await open('cutover');
  expect((await ferry('list').ended).out).toMatch(
    new RegExp(`● +upgrade/redis/${w.name} +redisCopy +Awaiting approval`),
  );
  expect(await ferry('approve', w.name, 'cutover', '--yes').ended).toMatchObject({ code: 0 });

  const watched = await upgrade.ended;
  await app.stop();
  expect(watched).toMatchObject({ code: 0 });
  expect(watched.out).toContain('✓ Switch the applications over');
  expect(watched.out).toContain(`ferry approve upgrade/redis/${w.name} cutover`);
  expect(watched.out).toContain(`Receipt of redisCopy ${w.name}: Completed, clean`);
  expect(await app.missing(w.redis('target'))).toEqual([]);

  const receipt = await ferry('receipt', w.name, '--json').ended;
  expect(receipt.code).toBe(0);
  const { approvals, files } = JSON.parse(receipt.out) as Receipt;
  expect(approvals).toMatchObject([
    { gate: 'start', by: 'Ana Lima', note: 'looks right' },
    { gate: 'cutover', by: 'Ana Lima' },
  ]);
  expect(await readFile(files?.html ?? '', 'utf8')).toContain('Completed, clean');

  worker.child.kill('SIGINT');
  expect((await worker.ended).code).toBe(0);
});

it('rolls back when somebody says no, and ends with 4', async () => {
  await startWorker();
  const upgrade = ferry(
    'start',
    'redisCopy',
    '--input',
    await inputFile(),
    '--gate',
    'start=auto',
    '--watch',
  );
  await expect
    .poll(() => upgrade.said(), { timeout: 30_000 })
    .toContain(`ferry reject upgrade/redis/${w.name} cutover`);
  expect(await ferry('reject', w.name, 'cutover', '--note', 'not tonight').ended).toMatchObject({ code: 0 });
  const ended = await upgrade.ended;
  expect(ended).toMatchObject({ code: 4 });
  expect(ended.out).toContain('not tonight');
  expect(await w.redis('target').dbsize()).toBe(0);
  expect((await ferry('receipt', w.name).ended).code).toBe(4);
});

it('refuses at once what pre-flight finds, and says what to do', async () => {
  await startWorker();
  await w.redis('target').set('already', 'here');
  const ended = await ferry('start', 'redisCopy', '--input', await inputFile(), '--watch').ended;
  expect(ended.code).toBe(1);
  expect(ended.out + ended.err).toContain('Failed: ');
  expect(ended.out + ended.err).toContain('Nothing was changed.');
  const state = await ferry('state', w.name).ended;
  expect(state.code).toBe(1);
  expect(state.out).toContain('● Failed');
});

it('recovers a copy that others do: by the journal of the one, on the workers of the other queue', async () => {
  const queue = `${w.taskQueue}-background`;
  // Those of the upgrade's own queue reach neither server, and the others have no journal.
  await w.startWorker({ OLD_REDIS_URL: '', NEW_REDIS_URL: '' });
  await w.startWorker({ FERRY_TASK_QUEUE: queue, FERRY_HOME: join(w.folder, 'home-of-others') });
  const input = await inputFile({ taskQueue: queue, rate: 200 });
  expect((await ferry('start', 'redisCopy', '--input', input, '--gate', 'start=auto').ended).code).toBe(0);
  const target = w.redis('target');
  await expect.poll(() => target.dbsize(), { timeout: 30_000 }).toBeGreaterThan(100);
  await w.client.workflow.getHandle(`upgrade/redis/${w.name}`).terminate('a mistake');
  await expect.poll(async () => /name=ferry:/.test(String(await target.client('LIST')))).toBe(false);
  expect(await target.dbsize()).toBeGreaterThan(100);

  const recovered = await ferry('recover', w.name).ended;
  expect(recovered).toMatchObject({ code: 0 });
  expect(recovered.out).toContain('Copy every key');
  expect(await target.dbsize()).toBe(0);
  expect(await w.redis('source').dbsize()).toBe(2_000);
  const again = await ferry('recover', w.name).ended;
  expect(again).toMatchObject({ code: 0 });
  expect(again.out).not.toContain('Copy every key');
});

it('a script approves by its own rules, with the typed messages of the package', async () => {
  await startWorker();
  expect(
    (await ferry('start', 'redisCopy', '--input', await inputFile({ notify: undefined })).ended).code,
  ).toBe(0);
  const said: string[] = [];
  const person = (async () => {
    await expect.poll(() => said.join('\n'), { timeout: 30_000 }).toMatch(/left to a person|Approved/i);
    for (const gate of ['start', 'cutover']) {
      await open(gate);
      // Where the script has approved, this one is refused, which is fine.
      await ferry('approve', w.name, gate, '--yes').ended;
    }
  })();
  const receipt = await approveByScript({
    client: w.client,
    name: w.name,
    by: 'release-bot',
    say: (line) => said.push(line),
  });
  await person;
  expect(receipt.outcome).toBe('Completed');
  expect(said.length).toBeGreaterThan(0);
});
