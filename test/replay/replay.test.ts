/*
 * Every saved history replays on today's code: an upgrade that waits at a gate while its worker is replaced goes on.
 *
 * To record them anew (only while no upgrade of an older version can be under way; else use `patched`, see CONTRIBUTING):
 *
 *     npm run build && FERRY_RECORD=1 npx vitest run test/replay
 *
 * One that is new, by the title of its test: `-t 'in Kubernetes in place$'`.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { temporal } from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workflowIdOf, type State, type Strategy } from '../../src/contract.js';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import {
  broken,
  failed,
  passed,
  quiet,
  quietSource,
  stage,
  type Play,
  type Stage,
} from '../runbook/stage.js';
import { CLUSTER, clusterWorld, R80 } from '../support/cluster.js';
import { CLI, herokuWorld, type HerokuWorld } from '../support/heroku-world.js';
import { NO_POSTGRES, query, startServers, type Servers } from '../support/postgres.js';
import { postgresWorld, SMALL } from '../support/postgres-world.js';
import { windowWorld } from '../support/window-world.js';
import { sleep, type Upgrade } from '../support/world.js';

const { History } = temporal.api.history.v1;
const FOLDER = 'test/replay/histories';
const BUNDLE = resolve(join(process.env['FERRY_TEST_DIST'] ?? 'dist', 'workflow-bundle.js'));

describe.runIf(process.env['FERRY_RECORD'])('recording', () => {
  let s: Stage;
  beforeAll(async () => {
    s = await stage();
  });
  afterAll(() => s.close());

  const stopped: Partial<RedisCopyInput> = {
    writes: 'stopped',
    stopWrites: { command: 'stop' },
    startWrites: { command: 'start' },
    notify: { webhook: { env: 'HOOK' } },
  };
  const at = (ms: number) => new Date(Date.now() + ms).toISOString();

  test('clean', async () => {
    const play = await s.play(
      {
        name: 'clean',
        ...stopped,
        probes: [{ command: 'probe' }],
        cleanup: true,
        followUps: ['Terraform'],
        gates: { start: { approvers: 2 } },
      },
      { runProbes: () => [{ name: 'probe 1', ok: true, seconds: 0, said: '' }] },
    );
    await play.approve('start', 'ada');
    await play.approve('start', 'bob');
    await play.approve('cutover');
    await play.say('tick', { item: 'Terraform', by: 'ada' });
    await play.approve('cleanup');
    await play.ended();
    await save(play, 'clean');
  });

  test('rolled back', async () => {
    const back = await s.play(
      { name: 'rolled-back', ...stopped, probes: [{ command: 'probe' }] },
      { runProbes: () => [{ name: 'probe 1', ok: false, seconds: 0, said: 'no' }] },
    );
    await back.until('NeedsDecision');
    await back.handle.cancel();
    await back.ended();
    await save(back, 'rolled-back');
  });

  test('decisions', async () => {
    let checks = [failed('Target has room', true), failed('Modules', true)];
    let tries = 0;
    const play = await s.play(
      { name: 'decisions', ...stopped, gates: { cutover: 'auto' } },
      {
        preflight: () => checks,
        copyKeys: () =>
          (tries += 1) === 1
            ? broken()
            : { done: true, checkpoint: {}, counts: { copied: 10 }, resumedFrom: 0 },
        switchForward: () => broken(),
        switchBack: () => broken(),
      },
    );
    await play.until('NeedsDecision');
    await play.signal('waive', { check: 'Version', by: 'ada' });
    await play.say('waive', { check: 'Modules', by: 'ada' });
    checks = [passed('Target has room'), failed('Modules', true)];
    await play.say('retry', { by: 'ada' });
    await play.approve('start');
    await play.until(({ decision }) => decision?.about === 'Copy every key');
    await play.signal('retry', { by: 'ada' });
    await play.until(({ decision }) => decision?.about === 'Switch the applications over');
    await play.say('decide', { choice: 'rollback', by: 'ada' });
    await play.until(({ decision }) => decision?.about.startsWith('Undo of') === true);
    await play.say('decide', { choice: 'continue', by: 'ada' });
    await play.ended();
    await save(play, 'decisions');
  });

  test('pause', async () => {
    let runs = 0;
    const play = await s.play(
      { name: 'pause', gates: {} },
      {
        copyKeys: async () => {
          if ((runs += 1) > 2)
            return { done: true, checkpoint: 'end', counts: { copied: 10 }, resumedFrom: 5 };
          await s.cancelled();
          return { done: false, checkpoint: `at ${runs}`, counts: { copied: runs }, resumedFrom: 0 };
        },
      },
    );
    await play.until('AwaitingApproval');
    await play.say('pause', { by: 'ada' });
    await play.say('approve', { gate: 'start', by: 'ada' });
    await play.until('Paused');
    await play.say('resume', { by: 'ada' });
    await play.until(() => runs === 1);
    await play.say('pause', { by: 'ada' });
    await play.until('Paused');
    await play.signal('resume', { by: 'ada' });
    await play.until(() => runs === 2);
    await play.say('adjust', { by: 'ada', rate: 'full' });
    await play.approve('cutover');
    await play.ended();
    await save(play, 'pause');
  });

  test('window', async () => {
    const play = await s.play({ name: 'window', window: { opensAt: at(-1), closesAt: at(1_000) } });
    await play.until('NeedsDecision');
    await play.say('adjust', { by: 'ada', window: { opensAt: at(1_500), closesAt: at(600_000) } });
    await play.say('retry', { by: 'ada' });
    await play.until('AwaitingWindow');
    await play.ended();
    await save(play, 'window');
  });

  test('notices', async () => {
    const play = await s.play({
      name: 'notices',
      window: { opensAt: at(3_600_000), closesAt: at(7_200_000) },
      notify: { webhook: { env: 'HOOK' } },
      notices: ['2h', '1s'],
      gates: { start: 'auto' },
    });
    await play.until('AwaitingApproval');
    await play.say('adjust', { by: 'ada', window: { opensAt: at(4_000), closesAt: at(7_200_000) } });
    await play.approve('cutover');
    await play.ended();
    await save(play, 'notices');
  });

  test('rehearsal', async () => {
    let watches = 0;
    const checkpoint = { ...quietSource };
    const play = await s.rehearse('rehearsal', {
      watchStragglers: async () => {
        if ((watches += 1) > 1) return { done: true, checkpoint };
        await s.cancelled();
        return { done: false, checkpoint };
      },
    });
    const { facts } = await play.ended();
    expect(facts['estimates']).toMatchObject({ of: 'upgrade/redis/rehearsal-staging' });
    await save(play, 'rehearsal');
  });

  test('rehearsed', async () => {
    const estimates = {
      rehearsal: 'rehearsal',
      strategy: 'redisCopy',
      of: 'upgrade/redis/rehearsal-staging',
      at: new Date().toISOString(),
      steps: [{ title: 'Copy every key', ms: 60_000 }],
      cutoverMs: 60_000,
      backMs: 5_000,
      downtime: null,
    };
    const play = await s.play(
      { name: 'rehearsed', rehearsed: 'rehearsal', window: { opensAt: at(0), closesAt: at(30_000) } },
      { readRehearsal: () => estimates },
    );
    await play.until('NeedsDecision');
    await play.say('adjust', { by: 'ada', window: { opensAt: at(0), closesAt: at(3_600_000) } });
    await play.say('retry', { by: 'ada' });
    await play.ended();
    await save(play, 'rehearsed');
  });
});

describe.runIf(process.env['FERRY_RECORD'])('recording redisSwitchover', () => {
  let s: Stage;
  beforeAll(async () => {
    s = await stage();
  });
  afterAll(() => s.close());

  const file = { name: 'dump.rdb', bytes: 1_000, sha256: '0' };
  const looked = { lag: 0, ping: 1, ops: 1, at: 1, primary: { syncs: { full: 1 } } };
  const soaked = (more: object) => ({
    done: true,
    checkpoint: {
      seconds: 1,
      first: looked,
      last: looked,
      most: looked,
      safety: { broken: null, threat: null, linkMayBeDownSeconds: 60 },
      found: null,
      now: {},
      ...more,
    },
    curves: { latencyP99Ms: [], opsPerSecond: [], lagBytes: [] },
  });

  test('over, with its backups, and the old server decommissioned', async () => {
    const play = await s.switchover(
      { name: 'switched-over', gates: {}, backup: true, decommission: { kind: 'shutdown' } },
      {
        backUp: () => ({ folder: 'backup', seconds: 1, files: [file], keys: 10, checksum: 'right' }),
        lookAtUse: () => ({ runId: 'a' }),
        proveUnused: () => ({
          checks: [passed('Nobody is connected to the old server')],
          now: { runId: 'a' },
        }),
        decommission: () => ({ seconds: 1, stays: [], warning: null }),
      },
    );
    await play.approve('cutover');
    await play.approve('commit');
    await play.approve('decommission');
    await play.ended();
    await save(play, 'switched-over');
  });

  test('with backups that are tried and copied, and a receipt that is kept elsewhere', async () => {
    let tries = 0;
    const play = await s.switchover(
      {
        name: 'backed-up',
        gates: {},
        backup: { copies: [{ folder: '/copies' }, { bucket: { bucket: 'copies' } }], keep: {}, verify: true },
        history: { bucket: { bucket: 'receipts' }, postgres: { env: 'RECEIPTS_URL' } },
      },
      {
        backUp: () => ({ folder: 'backup', seconds: 1, files: [file], keys: 10, checksum: 'right' }),
        tryBackup: () => ({ loaded: { by: 'Redis 8.0.0', keys: 10, seconds: 1 }, why: null }),
        copyBackup: () => ((tries += 1) === 2 ? broken('the bucket is away', 'NotFound') : undefined),
        removeOldBackups: () => ({ removed: ['/copies: backup-0a1b2c3d-before'], problems: [] }),
        keepReceipt: () => undefined,
      },
    );
    await play.until('NeedsDecision');
    await play.say('retry', { by: 'ada' });
    await play.approve('cutover');
    await play.approve('commit');
    await play.ended();
    await save(play, 'backed-up');
  });

  test('back during the soak', async () => {
    const play = await s.switchover(
      { name: 'switched-back' },
      {
        soakReplication: async () => {
          await s.cancelled();
          return { ...soaked({}), done: false };
        },
      },
    );
    await play.approve('cutover');
    await play.until(({ step }) => step === 'Soak');
    await play.say('rollback', { by: 'ada' });
    await play.ended();
    await save(play, 'switched-back');
  });

  test('steered before the cutover, asked in the soak', async () => {
    let looks = 0;
    const play = await s.switchover(
      {
        name: 'steered',
        rollbackWhen: [{ metric: 'latencyP99Ms', above: 5, for: '1s' }],
        gates: { commit: 'auto' },
      },
      {
        soakReplication: () =>
          soaked(
            (looks += 1) === 1 ? { found: { kind: 'breach', criterion: 0, clear: false, says: 'slow' } } : {},
          ),
      },
    );
    await play.until('AwaitingApproval');
    await play.say('adjust', { by: 'ada', maxPause: '1s', maxLag: 5_000 });
    await play.say('pause', { by: 'ada' });
    await play.say('approve', { gate: 'cutover', by: 'ada' });
    await play.say('withdraw', { gate: 'cutover', by: 'ada' });
    await play.say('resume', { by: 'ada' });
    await play.approve('cutover');
    const asked = await play.until('NeedsDecision');
    await play.say('waive', { check: asked.decision?.waivable[0] ?? '', by: 'ada' });
    await play.ended();
    await save(play, 'steered');
  });
});

/* With the real activities: the emulated Heroku, real servers behind it, the real CLI. */
describe.runIf(process.env['FERRY_RECORD'] && CLI !== null)(
  'recording at Heroku',
  { timeout: 240_000 },
  () => {
    const input = { app: 'shop', addon: 'redis-curly-1', targetVersion: '7.2' };
    const fork = { ...input, apps: ['shop-canary', 'shop'], keepOldFor: '1s' };
    const inPlace = {
      ...input,
      snapshot: false,
      confirmed: ['schedulerOff', 'writersPaused', 'clientsSpeakTls'],
    };
    const isOpen = (gate: string) => (state: State) =>
      state.gates.some(({ name, status }) => name === gate && status === 'open');

    /** What the servers and Heroku know people by is in none of it. */
    async function kept(w: HerokuWorld, play: Pick<Play, 'handle'>, name: string): Promise<void> {
      const secrets = [
        w.heroku.account.key,
        ...w.heroku.billing().existing.map((each) => w.heroku.redis(each).password),
      ];
      await save(play, name, { folder: w.env['FERRY_HOME'] ?? '', secrets });
    }

    test('forked, in mode maintenance, and the old one destroyed', async () => {
      const w = await herokuWorld({ trustsSelfSigned: true });
      const play = await w.start('herokuFork', { ...fork, name: 'forked', mode: 'maintenance' });
      for (const gate of ['start', 'promote', 'destroy']) {
        await play.until(isOpen(gate), 120_000);
        await play.approve(gate);
      }
      await play.ended();
      await kept(w, play, 'forked');
    });

    test('forked, in mode degraded, and back once the first app had the fork', async () => {
      const w = await herokuWorld({ trustsSelfSigned: true });
      const play = await w.start('herokuFork', {
        ...fork,
        name: 'fork-rolled-back',
        mode: 'degraded',
        gates: { start: 'auto' },
      });
      await play.until(isOpen('promote'), 120_000);
      await play.signal('rollback', { by: 'ada' });
      await play.until('NeedsDecision');
      await play.say('decide', { choice: 'rollbackLosingWrites', by: 'ada' });
      await play.ended(120_000);
      await kept(w, play, 'fork-rolled-back');
    });

    test('in place, on a production plan', async () => {
      const w = await herokuWorld();
      const play = await w.start('herokuInPlace', { ...inPlace, name: 'in-place' });
      for (const gate of ['start', 'run']) {
        await play.until(isOpen(gate), 120_000);
        await play.approve(gate);
      }
      await play.ended(120_000);
      await kept(w, play, 'in-place');
    });

    test('in place, and back as its maintenance fails', async () => {
      const w = await herokuWorld();
      w.heroku.faults.fail('maintenance');
      const gates = { start: 'auto', run: 'auto' };
      const play = await w.start('herokuInPlace', { ...inPlace, name: 'in-place-rolled-back', gates });
      await play.until('NeedsDecision', 180_000);
      await play.say('decide', { choice: 'rollback', by: 'ada' });
      await play.ended(120_000);
      await kept(w, play, 'in-place-rolled-back');
    });
  },
);

/* With the real activities: a real cluster, helm and kubectl. */
describe.runIf(process.env['FERRY_RECORD'] && CLUSTER !== null)(
  'recording in Kubernetes',
  { timeout: 600_000 },
  () => {
    const short = {
      chart: 'test/cluster/charts/redis',
      targetVersion: R80,
      backup: false,
      soak: '2s',
      rate: 'full',
      measureFor: '1s',
    };
    const { soak: _s, rate: _r, measureFor: _m, ...inPlace } = short;
    const { rate: _, measureFor: __, ...dumpRestore } = short;
    const replica = { mode: 'replica', replication: { replicas: 1 } };
    const failing = { probes: [{ name: 'the application', command: ['false'] }] };

    async function recorded(
      strategy: Strategy,
      name: string,
      input: Record<string, unknown>,
      { values = {}, backIn }: { values?: Record<string, unknown>; backIn?: string } = {},
    ): Promise<void> {
      const w = await clusterWorld();
      await w.startWorker();
      await w.install(values);
      await (await w.redis({ service: 'redis' })).set('key', 'value');
      const play = await w.start(strategy, { ...input, name });
      let goesBack = false;
      while ((await play.handle.describe()).status.name === 'RUNNING') {
        const { gates, decision, step } = await play.state();
        const open = gates.find(({ status }) => status === 'open');
        if (step === backIn && !goesBack) {
          await play.say('rollback', { by: 'ada' });
          goesBack = true;
        } else if (open) await play.approve(open.name);
        else if (decision)
          await play.say('decide', {
            choice: 'rollbackLosingWrites' in decision.choices ? 'rollbackLosingWrites' : 'rollback',
            by: 'ada',
          });
        await sleep(500);
      }
      await play.ended(300_000);
      await save(play, name, { folder: join(w.folder, 'home') });
    }

    test('in place', () => recorded('helmInPlace', 'helm-in-place', inPlace));
    test('in place, and back as a probe fails', () =>
      recorded('helmInPlace', 'helm-in-place-rolled-back', { ...inPlace, backup: true, ...failing }));
    test('rolling', () => recorded('helmRolling', 'helm-rolling', short, { values: replica }));
    test('rolling, with a surge replica', () =>
      recorded('helmRolling', 'helm-rolling-surge', { ...short, surge: true }, { values: replica }));
    test('rolling, and back as a probe fails', () =>
      recorded('helmRolling', 'helm-rolling-rolled-back', { ...short, ...failing }, { values: replica }));
    test('blue and green', () => recorded('helmBlueGreen', 'helm-blue-green', short));
    test('blue and green, and back as a probe fails', () =>
      recorded('helmBlueGreen', 'helm-blue-green-rolled-back', { ...short, ...failing }));
    test('dump and restore', () => recorded('helmDumpRestore', 'helm-dump-restore', dumpRestore));
    test('dump and restore, and back in the soak', () =>
      recorded(
        'helmDumpRestore',
        'helm-dump-restore-rolled-back',
        { ...dumpRestore, soak: '1h' },
        { backIn: 'Soak' },
      ));
  },
);

/* With the real activities, on two real servers. */
describe.runIf(process.env['FERRY_RECORD'] && !NO_POSTGRES)('recording postgresMove', () => {
  let s: Servers;
  beforeAll(async () => {
    s = await startServers();
  });
  afterAll(() => s.stop());

  async function recorded(
    name: string,
    input: Parameters<Awaited<ReturnType<typeof postgresWorld>>['start']>[0],
    steer: (play: Upgrade) => Promise<unknown>,
    held = '',
  ): Promise<void> {
    const w = await postgresWorld(s);
    try {
      await query(w.source, SMALL);
      await query(w.target, held);
      await w.startWorker();
      // By a file its path would be in it.
      const play = await w.start({ repoint: { kind: 'command', command: ['true'] }, ...input, name });
      await steer(play);
      await play.ended();
      await save(play, name, { folder: join(w.folder, 'home'), secrets: [s.old.password, s.new.password] });
    } finally {
      await w.close();
    }
  }

  test('to its end', () =>
    recorded('postgres-moved', {}, async (play) => {
      await play.approve('start');
      await play.until(({ gates }) =>
        gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
      );
      await play.approve('cutover');
    }));
  test('with a target that held something, which is tried and copied', () =>
    recorded(
      'postgres-cleaned',
      {
        clean: true,
        gates: { start: 'auto', clean: 'auto', cutover: 'auto' },
        backup: { keep: {}, verify: true },
      },
      async () => undefined,
      'CREATE TABLE held (a int)',
    ));
  test('back after the cutover', () =>
    recorded(
      'postgres-rolled-back',
      { soak: '1h', gates: { start: 'auto', cutover: 'auto' } },
      async (play) => {
        await play.until(({ step }) => step === 'Soak');
        await play.say('rollback', { by: 'ada', acceptLoss: true });
      },
    ));
});

/* The window and one of its stores, which is held by it. */
describe.runIf(process.env['FERRY_RECORD'] && !NO_POSTGRES)('recording providerMove', () => {
  let s: Servers;
  beforeAll(async () => {
    s = await startServers();
  });
  afterAll(() => s.stop());

  async function recorded(name: string, steer: (play: Upgrade) => Promise<unknown>): Promise<void> {
    const w = await windowWorld(['sessions', 'cache', 'orders'], { postgres: s });
    await w.startWorker();
    const play = await w.start({ checklist: ['The commands are ready'] });
    await play.approve('start');
    await play.until(({ gates }) =>
      gates.some((gate) => gate.name === 'checklist' && gate.status === 'open'),
    );
    await play.say('tick', { item: 'The commands are ready', by: 'ada' });
    await play.approve('checklist');
    await steer(play);
    await play.ended();
    const where = { folder: w.folder, secrets: [s.old.password, s.new.password] };
    await save(play, name, where);
    // Those that go back by themselves are recorded elsewhere.
    if (name === 'provider-move')
      for (const [at, store] of w.upgrades().entries()) await save(store, `${name}-store-${at + 1}`, where);
  }

  test('a window, all over', () =>
    recorded('provider-move', async (play) => {
      for (const by of ['ada', 'grace']) await play.approve('cutover', by);
      await play.approve('close');
    }));
  test('a window, back before the switch', () =>
    recorded('provider-move-rolled-back', async (play) => {
      await play.until(({ gates }) =>
        gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
      );
      await play.say('rollback', { by: 'ada' });
    }));
});

/** Without what tells of the machine. @throws where one of the secrets is in it */
async function save(
  play: Pick<Play, 'handle'>,
  name: string,
  { folder, secrets = [] }: { folder?: string; secrets?: string[] } = {},
): Promise<void> {
  const elsewhere = (text: string): string =>
    folder === undefined
      ? text
      : text.replaceAll(join(folder, 'home'), '/somewhere').replaceAll(folder, '/somewhere');
  // The SDK's own historyToJSON needs that one copy of protobufjs is installed, which npm doesn't see to.
  const { events } = History.fromObject(await play.handle.fetchHistory()).toJSON() as { events: unknown[] };
  const lines = events.map((event) =>
    JSON.stringify(event)
      .replaceAll(/"identity":"[^"]*"/g, '"identity":"worker"')
      .replaceAll(new RegExp(`\\d+@${hostname()}[^"]*`, 'g'), 'worker')
      .replaceAll(/"data":"([A-Za-z0-9+/=]+)"/g, (_, data: string) => {
        const text = Buffer.from(data, 'base64').toString('utf8');
        for (const secret of secrets) expect(text.includes(secret)).toBe(false);
        return `"data":"${Buffer.from(elsewhere(text)).toString('base64')}"`;
      }),
  );
  for (const secret of secrets) expect(lines.some((line) => line.includes(secret))).toBe(false);
  writeFileSync(join(FOLDER, `${name}.json`), `{"events":[\n${lines.join(',\n')}\n]}\n`);
}

describe.skipIf(process.env['FERRY_RECORD'])('replay', () => {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));

  beforeAll(quiet);

  test('there are some', () => {
    expect(names.length).toBeGreaterThanOrEqual(23);
  });

  test.for(names)('%s', async (name) => {
    const text = readFileSync(join(FOLDER, name), 'utf8');
    const history = History.fromObject(JSON.parse(text) as Record<string, unknown>);
    const started = history.events[0]?.workflowExecutionStartedEventAttributes;
    const given = started?.input?.payloads?.[0]?.data ?? new Uint8Array();
    const input = JSON.parse(Buffer.from(given).toString('utf8')) as { name: string };
    await Worker.runReplayHistory(
      { workflowBundle: { codePath: BUNDLE } },
      history,
      workflowIdOf(started?.workflowType?.name as Strategy, input.name),
    );
  });

  test.for(names)('%s tells nothing of the machine it was recorded on', (name) => {
    const text = readFileSync(join(FOLDER, name), 'utf8');
    const payloads = [...text.matchAll(/"data":"([A-Za-z0-9+/=]+)"/g)].map(([, data]) =>
      Buffer.from(data ?? '', 'base64').toString('utf8'),
    );
    const legible = [text, ...payloads].join('\n');
    expect(legible).not.toMatch(/\/(tmp|home|root|work|Users)\//);
    expect(legible).not.toMatch(/redis(s)?:\/\/[^/\s"]*:[^/\s"]*@/);
    expect(legible).not.toMatch(/\d+@[a-z]/i);
  });
});
