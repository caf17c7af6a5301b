/** Schedules of pre-flights: the real Temporal server, a real worker, real servers. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { PreflightRun, ScheduleRow } from '../../src/cli/schedules.js';
import { hook, locks, seed, soon } from '../workflows/support.js';
import { sleep, world, type World } from '../support/world.js';
import { ferry as run, type Heard } from './io.js';

let w: World;
let id: string;

beforeEach(async () => {
  w = await world();
  await w.startWorker();
  id = `preflight/redis/${w.name}`;
});
afterEach(async () => {
  await w.client.schedule
    .getHandle(id)
    .delete()
    .catch(() => undefined);
  await w.close();
});

const ferry = (...words: string[]): Promise<Heard> => run(words, { env: w.env });

function inputOf(more = {}): string {
  return JSON.stringify({
    name: w.name,
    source: { env: 'OLD_REDIS_URL' },
    target: { env: 'NEW_REDIS_URL' },
    writes: 'running',
    watch: '1s',
    repoint: { kind: 'file', path: w.addressFile },
    ...more,
  });
}

async function create(...words: string[]): Promise<Heard> {
  const made = await ferry('schedule', 'create', 'redisCopy', ...words);
  expect(made, made.err).toMatchObject({ code: 0 });
  return made;
}

async function shown(): Promise<ScheduleRow> {
  return JSON.parse((await ferry('schedule', 'show', w.name, '--json')).out) as ScheduleRow;
}

/** The last one, once so many have ended. */
async function ended(count: number): Promise<PreflightRun> {
  let runs: PreflightRun[] = [];
  await soon(async () => {
    ({ runs } = await shown());
    return runs.filter(({ outcome }) => outcome !== 'Running').length >= count;
  }, 60_000);
  return runs[0]!;
}

it('plans by itself again and again, and is neither an upgrade nor in the way of one', async () => {
  await w.redis('source').set('a', '1');
  const made = await create('--input', inputOf(), '--every', '2s');
  expect(made.out).toBe(`Created ${id}: every 2s.\n`);
  expect(await ended(2)).toMatchObject({ outcome: 'Passed' });
  expect(await w.redis('target').dbsize()).toBe(0);
  expect(await locks(w)).toEqual([]);
  expect((await ferry('list')).out).not.toContain(w.name);
  expect((await ferry('history')).out).not.toContain(w.name);
  const listed = await ferry('schedule', 'list');
  expect(listed.out).toMatch(new RegExp(`${id} +redisCopy +every 2\\.0 s +\\d{4}-.* UTC +\\w+, `));

  // An upgrade begins as ever, and pre-flights step aside while it runs.
  const upgrade = await w.start({ gates: { start: 'auto' } });
  await upgrade.until((state) =>
    state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
  );
  const before = (await shown()).runs[0]!.startedAt;
  let later: PreflightRun[] = [];
  await soon(async () => {
    later = (await shown()).runs.filter(
      ({ startedAt, outcome }) => startedAt > before && outcome !== 'Running',
    );
    return later.length > 0;
  }, 30_000);
  expect(later[0]).toMatchObject({
    outcome: 'Skipped',
    reason: `upgrade/redis/${w.name} runs: it looks for itself`,
  });
  await upgrade.approve('cutover');
  expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', clean: true });
  expect((await ferry('list')).out).toMatch(new RegExp(`upgrade/redis/${w.name} +redisCopy +Completed`));
});

it('fails where a check fails, and tells the webhook of the input', async () => {
  const h = await hook();
  try {
    await seed(w, 'source', 10);
    await w.redis('target').set('in:the:way', '1');
    await create('--input', inputOf({ notify: { webhook: h.url }, contact: 'Ada' }), '--cron', '0 3 * * 1');
    expect((await shown()).when).toBe('0 3 * * 1');
    expect(await ferry('schedule', 'run', w.name)).toMatchObject({ code: 0, out: `Begun: ${id}.\n` });
    const last = await ended(1);
    expect(last.outcome).toBe('Failed');
    expect(last.reason).toMatch(/^PreflightFailed: .*keys/);
    const { status } = await w.client.workflow.getHandle(last.workflowId, last.runId).describe();
    expect(status.name).toBe('FAILED');
    expect(h.heard).toHaveLength(1);
    expect(String(h.heard[0]?.body['text'])).toMatch(new RegExp(`^${w.name}: preflight failed\\. .*keys`));
    const text = await ferry('schedule', 'show', id);
    expect(text.code).toBe(1);
    expect(text.out).toContain(`${id}: redisCopy of ${w.name}, 0 3 * * 1`);
    expect(text.out).toContain('Failed: PreflightFailed: ');

    // Mended, the next one passes, and nobody is bothered.
    await w.redis('target').flushall();
    await ferry('schedule', 'run', w.name);
    expect(await ended(2)).toMatchObject({ outcome: 'Passed' });
    expect(h.heard).toHaveLength(1);
    expect((await ferry('schedule', 'show', id)).code).toBe(0);
  } finally {
    await h.close();
  }
});

it('is changed, paused, resumed and deleted', async () => {
  await create('--input', inputOf(), '--every', '1d');
  const changed = await create('--input', inputOf({ maxPause: '1s' }), '--cron', '30 2 * * *', '--json');
  expect(JSON.parse(changed.out)).toMatchObject({ id, changed: true });
  expect(await shown()).toMatchObject({ when: '30 2 * * *', strategy: 'redisCopy', paused: false });
  expect((await ferry('schedule', 'pause', w.name)).out).toBe(`Paused: ${id}.\n`);
  // It stays so when it is changed.
  await create('--input', inputOf(), '--every', '1s');
  await sleep(2_500);
  expect(await shown()).toMatchObject({ paused: true, nextAt: null, runs: [] });
  await ferry('schedule', 'resume', `upgrade/redis/${w.name}`);
  expect(await ended(1)).toMatchObject({ outcome: 'Passed' });
  expect((await ferry('schedule', 'delete', w.name)).out).toBe(`Deleted: ${id}.\n`);
  for (const what of ['show', 'pause', 'resume', 'run', 'delete']) {
    const gone = await ferry('schedule', what, w.name);
    expect(gone).toMatchObject({ code: 1 });
    expect(gone.err).toContain(`There is no schedule of "${w.name}".`);
  }
});

it('says what is wrong before anything is scheduled', async () => {
  const wrong: [words: string[], says: RegExp, code: number][] = [
    [['redisCopy', '-i', inputOf()], /How often\?/, 2],
    [['redisCopy', '-i', inputOf(), '--every', '1d', '--cron', '0 3 * * *'], /Both --every and --cron/, 2],
    [['redisCopy', '-i', inputOf(), '--every', '10ms'], /at least 1s/, 2],
    [['redisCopy', '-i', inputOf(), '--every', 'often'], /Give a number and ms/, 2],
    [['redisCopy', '-i', inputOf(), '--cron', 'at night'], /--cron "at night" is not understood: /, 2],
    [['redisCopy', '-i', inputOf({ writes: 'perhaps' }), '--every', '1d'], /`writes`/, 2],
    [['redisPaste', '-i', inputOf(), '--every', '1d'], /no strategy "redisPaste"/, 2],
  ];
  for (const [words, says, code] of wrong) {
    const said = await ferry('schedule', 'create', ...words);
    expect(said.err).toMatch(says);
    expect(said.code).toBe(code);
  }
  expect((await ferry('schedule', 'list')).out).not.toContain(w.name);
});
