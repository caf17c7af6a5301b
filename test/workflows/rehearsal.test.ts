/* Rehearsals on real servers: there, back and to the end; what they measured in the plan of the upgrade itself; and rehearsals that fail. */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Plan, Receipt } from '../../src/contract.js';
import { queries } from '../../src/contract.js';
import { Estimates, type RehearsalInput } from '../../src/inputs/rehearsal.js';
import { safeName } from '../../src/platform/home.js';
import { ferry } from '../cli/io.js';
import { quickly, replaceWorker } from '../faults/support.js';
import { customer } from '../heroku/support.js';
import { CLI, herokuWorld } from '../support/heroku-world.js';
import { NO_POSTGRES, query, startServers } from '../support/postgres.js';
import { expectOrdinary, postgresWorld, SMALL } from '../support/postgres-world.js';
import { slow } from '../support/slow.js';
import { upgradeOf, world, type Upgrade, type World } from '../support/world.js';
import { ferryConnections, hook, locks, seed, soon, standing } from './support.js';

let w: World;
let staging: string;
const at = (ms: number): string => new Date(Date.now() + ms).toISOString();
const CHECK = 'The window is long enough';

async function rehearse(
  input: Record<string, unknown> = {},
  more: Partial<RehearsalInput> = {},
): Promise<Upgrade> {
  const id = `upgrade/rehearsal/${w.name}`;
  const whole = {
    name: w.name,
    strategy: 'redisCopy',
    input: {
      name: staging,
      source: { env: 'OLD_REDIS_URL' },
      target: { env: 'NEW_REDIS_URL' },
      writes: 'running',
      watch: '1s',
      repoint: { kind: 'file', path: w.addressFile },
      ...input,
    },
    gates: { start: 'auto' },
    ...more,
  } satisfies RehearsalInput;
  const handle = await w.client.workflow.start('rehearsal', {
    taskQueue: w.taskQueue,
    workflowId: id,
    args: [whole],
  });
  return upgradeOf(handle, id);
}

function estimatesOf({ facts }: Receipt): Estimates {
  return Estimates.parse(facts['estimates']);
}

/** Its own upgrade of the staging target, while it runs. */
const child = (): Upgrade => upgradeOf(w.client.workflow.getHandle(`upgrade/redis/${staging}`), staging);

async function planOf(upgrade: Upgrade): Promise<Plan> {
  const plan = await upgrade.handle.query(queries.plan);
  if (!plan) throw new Error('no plan yet');
  return plan;
}

const checkOf = ({ checks }: { checks: Plan['checks'] }) => checks.find(({ name }) => name === CHECK);

async function nothingLeft(): Promise<void> {
  await soon(async () => (await ferryConnections(w)).length === 0 && (await locks(w)).length === 0);
}

describe('rehearsal', { timeout: 300_000 }, () => {
  beforeEach(async () => {
    w = await world();
    staging = `${w.name}-staging`;
    await w.startWorker();
  });
  afterEach(async () => {
    for (const id of [`upgrade/rehearsal/${w.name}`, `upgrade/redis/${staging}`])
      await w.client.workflow
        .getHandle(id)
        .terminate('the test is over')
        .catch(() => undefined);
    await w.close();
  });

  test('redisCopy there, back and to the end; the upgrade itself is planned with what it took', async () => {
    await seed(w, 'source', 500);
    const { settings } = await standing(w);
    const rehearsed = await rehearse();
    const receipt = await rehearsed.ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, blemishes: [] });
    const rows = receipt.facts['fleet'] as { wave: string; status: string; outcome: string }[];
    expect(rows.map(({ wave, outcome, status }) => [wave, outcome, status])).toEqual([
      ['There and back', 'RolledBack', 'done'],
      ['To the end', 'Completed', 'done'],
    ]);
    const shown = await ferry(['state', `upgrade/rehearsal/${w.name}`], { env: w.env });
    expect(shown.out).toMatch(/There and back {2}1 of 1 done\n/);
    expect(shown.out).not.toContain('not clean');
    expect(await w.redis('target').dbsize()).toBe(500);
    expect((await standing(w)).settings).toEqual(settings);
    const estimates = estimatesOf(receipt);
    expect(estimates).toMatchObject({
      rehearsal: w.name,
      strategy: 'redisCopy',
      of: `upgrade/redis/${staging}`,
      downtime: expect.stringContaining('(writes waited)') as unknown,
    });
    expect(estimates.steps.map(({ title }) => title)).toEqual([
      'Gather information',
      'Pre-flight',
      'Copy every key',
      'Compare both sides',
      'Switch the applications over',
      'Watch for stragglers',
      'Close the way back',
    ]);
    expect(estimates.cutoverMs).toBe(
      estimates.steps.find(({ title }) => title === 'Switch the applications over')?.ms,
    );
    expect(estimates.backMs).toBeGreaterThan(0);
    await nothingLeft();

    // The upgrade itself.
    await w.redis('target').flushall();
    const upgrade = await w.start({
      rehearsed: w.name,
      window: { opensAt: at(0), closesAt: at(3_600_000) },
      gates: { start: { approvers: 1 }, cutover: 'auto' },
    });
    await upgrade.until('AwaitingApproval');
    const plan = await planOf(upgrade);
    for (const title of ['Copy every key', 'Compare both sides', 'Switch the applications over'])
      expect(plan.steps.find((step) => step.title === title)?.notes.join()).toMatch(
        new RegExp(`took .* in the rehearsal "${w.name}" of \\d{4}-`),
      );
    expect(checkOf(plan)).toMatchObject({
      status: 'pass',
      expected: expect.stringMatching(/at least .* for the cutover and .* to go back/) as unknown,
      actual: 'a window of 1 h',
    });
    await upgrade.approve('start');
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', clean: true });
  });

  test('a window that is too short is a failed check, until a longer one is given or it is waived', async () => {
    await seed(w, 'source', 50);
    await (await rehearse({}, { complete: false })).ended();
    const short = { opensAt: at(3_600_000), closesAt: at(3_600_002) };
    const upgrade = await w.start({ rehearsed: w.name, window: short, ifTargetHasKeys: 'replace' });
    const held = await upgrade.until('NeedsDecision');
    expect(held.decision).toMatchObject({ about: 'Pre-flight', waivable: [CHECK] });
    expect(held.decision?.problem).toMatch(/The window is long enough: a window of 2 ms, expected at least/);
    await upgrade.say('adjust', { by: 'ada', window: { opensAt: at(0), closesAt: at(3_600_000) } });
    await upgrade.say('retry', { by: 'ada' });
    const asked = await upgrade.until('AwaitingApproval');
    expect(checkOf(asked)?.status).toBe('pass');
    await upgrade.say('abort', { by: 'ada' });
    await upgrade.ended();
    const again = await w.start({ rehearsed: w.name, window: short, ifTargetHasKeys: 'replace' });
    await again.until('NeedsDecision');
    await again.say('waive', { check: CHECK, by: 'ada' });
    expect(checkOf(await again.until('AwaitingApproval'))?.waivedBy).toBe('ada');
  });

  test('redisSwitchover there, back and to the end; the notice of the real one says what it took', async () => {
    await seed(w, 'source', 500);
    const input = {
      name: staging,
      source: { env: 'OLD_REDIS_URL' },
      target: { env: 'NEW_REDIS_URL' },
      repoint: { kind: 'file', path: w.addressFile },
      soak: '2s',
      measureFor: '1s',
      backup: false,
      canary: false,
    };
    const rehearsed = await rehearse({}, { strategy: 'redisSwitchover', input });
    const receipt = await rehearsed.ended(120_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, blemishes: [] });
    const estimates = estimatesOf(receipt);
    expect(estimates.steps.map(({ title }) => title)).toContain('Soak');
    expect(estimates.backMs).toBeGreaterThan(0);
    expect(await w.redis('target').info('replication')).toContain('role:master');
    await nothingLeft();

    await w.redis('target').flushall();
    const h = await hook();
    try {
      const upgrade = await w.startSwitchover({
        rehearsed: w.name,
        notify: { webhook: h.url },
        notices: ['1h'],
        window: { opensAt: at(600_000), closesAt: at(3_600_000) },
      });
      await soon(async () => h.heard.length > 0, 30_000);
      expect(String(h.heard[0]?.body['text'])).toMatch(/In its rehearsal it took .*, and going back .*\./);
      await upgrade.say('rollback', { by: 'ada' });
      await upgrade.ended();
    } finally {
      await h.close();
    }
  });

  test('an upgrade that fails on the staging target fails its rehearsal, and nothing is measured', async () => {
    await seed(w, 'source', 50);
    const before = await standing(w);
    const rehearsed = await rehearse({
      repoint: { kind: 'command', command: 'test "$FERRY_DIRECTION" = back' },
    });
    const receipt = await rehearsed.ended();
    expect(receipt).toMatchObject({ outcome: 'RolledBack', clean: false });
    expect(receipt.blemishes[0]).toMatch(
      new RegExp(
        `There and back: upgrade/redis/${staging} ended as RolledBack: step "Switch the applications over" failed`,
      ),
    );
    expect(receipt.facts['estimates']).toBeUndefined();
    expect(receipt.steps.find(({ title }) => title === 'To the end')?.status).toBe('planned');
    expect((await standing(w)).settings).toEqual(before.settings);
    const upgrade = await w.start({ rehearsed: w.name });
    const { type, message } = await upgrade.failure();
    expect(type).toBe('InvalidInput');
    expect(message).toContain('no rehearsal of that name has completed');
  });

  test('an upgrade that can not go back waits for a person, who is told, and is not forgotten', async () => {
    await seed(w, 'source', 50);
    const h = await hook();
    try {
      const rehearsed = await rehearse(
        { repoint: { kind: 'command', command: 'exit 3' } },
        { notify: { webhook: h.url } },
      );
      await rehearsed.until(({ fleet }) => fleet?.[0]?.phase === 'NeedsDecision');
      await soon(async () => h.heard.some(({ body }) => String(body['text']).includes('needs decision')));
      await child().say('decide', { choice: 'stop', by: 'ada' });
      const receipt = await rehearsed.ended();
      expect(receipt).toMatchObject({ outcome: 'RolledBack', clean: false });
      expect(receipt.blemishes.join('\n')).toMatch(
        /ended as RollbackFailed.*\n.*left as it is: Switch the applications over: not undone/,
      );
    } finally {
      await h.close();
    }
  });

  test('its worker is killed while the upgrade copies, and while it goes back', async () => {
    await seed(w, 'source', 20_000);
    const rehearsed = await rehearse({ rate: 8_000 });
    await quickly(child(), (state) => state.step === 'Copy every key', 60_000);
    await replaceWorker(w);
    await quickly(child(), (state) => state.phase === 'RollingBack' || state.phase === 'RolledBack', 90_000);
    await replaceWorker(w);
    const receipt = await rehearsed.ended(180_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, blemishes: [] });
    expect(estimatesOf(receipt).backMs).toBeGreaterThan(0);
    expect(await w.redis('target').dbsize()).toBe(20_000);
    await nothingLeft();
  });

  test('going back takes the upgrade of the staging target back', async () => {
    await seed(w, 'source', 20_000);
    const rehearsed = await rehearse({ rate: 2_000 });
    await quickly(child(), (state) => state.step === 'Copy every key', 60_000);
    await rehearsed.say('rollback', { by: 'ada' });
    expect((await rehearsed.ended()).outcome).toBe('RolledBack');
    expect((await child().ended()).outcome).toBe('RolledBack');
    expect(await w.redis('target').dbsize()).toBe(0);
  });

  test('what is, or may be, production is refused; a name that people have used may be waived', async () => {
    await seed(w, 'source', 50);
    const upgrade = await w.start({ name: staging });
    await upgrade.until('AwaitingApproval');
    const refused = await (await rehearse()).failure();
    expect(refused.type).toBe('PreflightFailed');
    expect(refused.message).toContain(`The staging target is free: upgrade/redis/${staging} runs`);
    await upgrade.say('abort', { by: 'ada' });
    await upgrade.ended();
    const rehearsed = await rehearse({}, { complete: false });
    expect((await rehearsed.until('NeedsDecision')).decision).toMatchObject({
      waivable: ['It is a staging target'],
    });
    await rehearsed.say('waive', { check: 'It is a staging target', by: 'ada' });
    const receipt = await rehearsed.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.blemishes).toEqual([expect.stringContaining('was waived by ada')]);
    expect(estimatesOf(receipt).backMs).toBeGreaterThan(0);
  });

  test('an input that is not right is named, by the command and by the workflow', async () => {
    const wrong = await (await rehearse({ writes: 'perhaps' })).failure();
    expect(wrong.type).toBe('InvalidInput');
    expect(wrong.message).toMatch(/`input` is no input of redisCopy: `writes`/);
    const fleet = await (await rehearse({}, { strategy: 'fleetRollout' as never })).failure();
    expect(fleet.message).toMatch(/`strategy`/);
    const said = await ferry(
      [
        'start',
        'rehearsal',
        '-i',
        JSON.stringify({ name: 'x', strategy: 'redisCopy', input: { name: 'y' } }),
      ],
      { env: w.env },
    );
    expect(said.code).toBe(2);
    expect(said.err).toMatch(/`input` is no input of redisCopy: .*`source` is missing/);
  });

  test('what a newer rehearsal did not measure, and what Temporal has forgotten, is read where it is kept', async () => {
    await seed(w, 'source', 50);
    const first = estimatesOf(await (await rehearse({}, { complete: false })).ended());
    const failed = await rehearse({
      repoint: { kind: 'command', command: 'test "$FERRY_DIRECTION" = back' },
    });
    expect((await failed.ended()).outcome).toBe('RolledBack');
    const planned = async (rehearsed: string): Promise<string> => {
      const { facts } = await (await w.start({ rehearsed, dryRun: true })).ended();
      return JSON.stringify((facts['plan'] as Plan).steps);
    };
    const took = `in the rehearsal \\"${w.name}\\" of ${first.at.slice(0, 10)}`;
    expect(await planned(w.name)).toContain(took);
    const home = (name: string) => join(w.env['FERRY_HOME'] ?? '', safeName(`upgrade/rehearsal/${name}`));
    await cp(home(w.name), home(`${w.name}-long-ago`), { recursive: true });
    expect(await planned(`${w.name}-long-ago`)).toContain(took);
  });
});

describe.skipIf(NO_POSTGRES)('rehearsal of postgresMove', { timeout: 300_000 }, () => {
  slow('there, back and to the end', async ({ onTestFinished }) => {
    const s = await startServers();
    onTestFinished(() => s.stop());
    const p = await postgresWorld(s);
    onTestFinished(() => p.close());
    await query(p.source, SMALL);
    await p.startWorker();
    const id = `upgrade/rehearsal/${p.name}`;
    const handle = await p.client.workflow.start('rehearsal', {
      taskQueue: p.taskQueue,
      workflowId: id,
      args: [
        {
          name: p.name,
          strategy: 'postgresMove',
          input: {
            name: `${p.name}-staging`,
            source: { env: 'OLD_DATABASE_URL' },
            target: { env: 'NEW_DATABASE_URL' },
            repoint: { kind: 'file', path: p.addressFile },
            soak: '1s',
          },
          gates: { start: 'auto' },
        },
      ],
    });
    const receipt = await upgradeOf(handle, id).ended();
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, blemishes: [] });
    const { steps, cutoverMs, backMs } = estimatesOf(receipt);
    const of = (title: string): number => steps.find((step) => step.title === title)?.ms ?? Number.NaN;
    // The applications can't write from the moment that the window opens: all of that is the cutover.
    expect(cutoverMs).toBeGreaterThanOrEqual(
      of('Dump the source') + of('Restore into the target') + of('Compare both sides'),
    );
    expect(backMs).toBeGreaterThan(0);
    await expectOrdinary(p.source);
    await expectOrdinary(p.target);
  });
});

describe.skipIf(CLI === null)('rehearsal of herokuInPlace', { timeout: 300_000 }, () => {
  slow('it has no way back: it goes to its end at once, and the estimates say so', async () => {
    const h = await herokuWorld();
    const rehearsed = await h.start('rehearsal', {
      strategy: 'herokuInPlace',
      input: {
        name: `${h.name}-staging`,
        app: 'shop',
        addon: 'redis-curly-1',
        targetVersion: '7.2',
        confirmed: ['schedulerOff', 'writersPaused', 'clientsSpeakTls'],
        snapshot: false,
      },
      gates: { start: 'auto' },
    });
    const receipt = await rehearsed.ended(200_000);
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.warnings.join()).toMatch(
      /It could not go back: after "Run the upgrade": .*can't be taken back/,
    );
    expect(receipt.steps.find(({ title }) => title === 'To the end')?.status).toBe('skipped');
    const estimates = estimatesOf(receipt);
    expect(estimates.backMs).toBeNull();
    expect(estimates.downtime).toContain('applications at rest');
    expect(estimates.cutoverMs).toBeGreaterThan(0);
  });
});

describe.skipIf(CLI === null)('rehearsal of herokuFork', { timeout: 400_000 }, () => {
  slow('there, with the fork gone again, and once more to the end of the old store', async () => {
    const h = await herokuWorld({ trustsSelfSigned: true });
    const redis = customer(h.heroku.redis('redis-curly-1').url);
    await redis.mset({ cart: 'two apples', user: 'ada' });
    redis.disconnect();
    const before = h.apps();
    const rehearsed = await h.start('rehearsal', {
      strategy: 'herokuFork',
      input: {
        name: `${h.name}-staging`,
        app: 'shop',
        addon: 'redis-curly-1',
        targetVersion: '7.2',
        apps: ['shop-canary', 'shop'],
        mode: 'maintenance',
        stuckAfter: '30s',
        keepOldFor: '1s',
      },
      gates: { start: 'auto' },
    });
    const receipt = await rehearsed.ended(380_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', clean: true, blemishes: [] });
    const estimates = estimatesOf(receipt);
    expect(estimates.backMs).toBeGreaterThan(0);
    expect(estimates.cutoverMs).toBeGreaterThan(0);
    // The fork of the first pass, and that of the second, which stays.
    const { created, existing } = h.heroku.billing();
    expect(created).toHaveLength(3);
    const [fork = ''] = existing;
    expect(existing).toEqual([fork]);
    expect(fork).toBe(created[2]);
    const after = customer(h.heroku.redis(fork).url);
    expect(await after.mget('cart', 'user')).toEqual(['two apples', 'ada']);
    after.disconnect();
    for (const [app, was] of Object.entries(before))
      expect(h.apps()[app]).toMatchObject({ maintenance: was.maintenance, formation: was.formation });
  });
});
