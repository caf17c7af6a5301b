/* A terminated workflow undoes nothing: the next start refuses and names what is left, and `recover` undoes it by the journal. */
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { WorkflowFailedError } from '@temporalio/client';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import type { Recovery } from '../../src/workflows/recover.js';
import { application, sleep, world, type Upgrade, type World } from '../support/world.js';
import {
  addressIn,
  approveAll,
  at,
  expectWhole,
  fenceStands,
  kill9,
  quickly,
  seed,
  slowRepoint,
  until,
  type Application,
} from './support.js';
import { cases } from '../support/slow.js';

async function recover(w: World, upgrade: Upgrade, leave?: string[]): Promise<Recovery> {
  return w.client.workflow.execute('recover', {
    taskQueue: w.taskQueue,
    workflowId: `recover/${upgrade.id}`,
    args: [{ workflowId: upgrade.id, by: 'ada', leave }],
  });
}

async function refusedRecovery(act: Promise<unknown>): Promise<string> {
  return act.then(
    () => 'it was done',
    (error: unknown) => (error instanceof WorkflowFailedError ? (error.cause?.message ?? '') : String(error)),
  );
}

interface Case {
  input?: (w: World) => Partial<RedisCopyInput>;
  keys?: number;
  /** The worker dies with it. */
  withWorker?: boolean;
  reach: (upgrade: Upgrade, w: World, app: Application) => Promise<unknown>;
  named: RegExp;
}

async function expectRecovers({
  input,
  keys = 3_000,
  withWorker = false,
  reach,
  named,
}: Case): Promise<void> {
  const w = await world({ target: 'r70' });
  try {
    await w.startWorker();
    await writeFile(w.addressFile, `${w.sourceUrl}/0\n`);
    await seed(w.redis('source'), keys);
    const app = application({ world: w });
    const upgrade = await w.start({ rate: 'full', ...input?.(w) });
    await reach(upgrade, w, app);
    expect(await refusedRecovery(recover(w, upgrade))).toContain('is running');
    if (withWorker) await kill9(w.worker);
    await upgrade.handle.terminate('a mistake');
    if (withWorker) await w.startWorker();
    await sleep(2_500);

    const refused = await (await w.start()).failure();
    expect(refused.type).toBe('PreflightFailed');
    expect(refused.message).toMatch(named);
    expect(refused.message).toContain('ferry recover');

    const first = await recover(w, upgrade);
    expect(first.undone.map(({ title }) => title)).toContain('Copy every key');
    expect((await recover(w, upgrade)).undone).toEqual([]);
    expect(await addressIn(w)).toBe(`${w.sourceUrl}/0\n`);
    await sleep(300);

    // Nothing is left that the next upgrade would mind.
    const next = await w.start({ rate: 'full' });
    await next.until('AwaitingApproval');
    await next.say('abort', { by: 'ada' });
    expect((await next.ended()).outcome).toBe('Aborted');
    await expectWhole({ w, app, serving: 'source' });
    expect(await w.redis('target').dbsize()).toBe(0);
  } finally {
    await w.close();
  }
}

const sealed = (w: World) => fenceStands(w.redis('source'));

describe.concurrent('terminated', { timeout: 120_000 }, () => {
  test('in the middle of the copy', () =>
    expectRecovers({
      keys: 30_000,
      input: () => ({ rate: 8_000 }),
      async reach(upgrade, w) {
        await upgrade.approve('start');
        const reader = w.redis('target');
        await until('a part of the copy', async () => (await reader.dbsize()) > 8_000);
      },
      named: /"Copy every key" was done and never undone/,
    }));

  for (const withWorker of cases([true], [false])) {
    test(`in the switch, with the fence standing${withWorker ? ', and its worker with it' : ''}`, () =>
      expectRecovers({
        withWorker,
        input: (w) => ({ repoint: slowRepoint(w, { before: 3 }) }),
        async reach(upgrade, w) {
          await approveAll(upgrade);
          await sealed(w);
        },
        named: /is fenced/,
      }));
  }

  for (const withWorker of cases([true], [false])) {
    test(`after the switch${withWorker ? ', and its worker with it' : ''}: with every write made since`, () =>
      expectRecovers({
        withWorker,
        input: () => ({ watch: '60s' }),
        async reach(upgrade, w, app) {
          await approveAll(upgrade);
          await quickly(upgrade, at('Watch for stragglers'), 60_000);
          await until('writes on the target', async () => app.url.includes(`:${w.target.port}`));
          await sleep(500);
        },
        named: /is fenced/,
      }));
  }

  test('in the middle of going back, behind the seal of the target: what the source took since is not overwritten', async () => {
    const w = await world({ target: 'r70' });
    try {
      await w.startWorker();
      await writeFile(w.addressFile, `${w.sourceUrl}/0\n`);
      await seed(w.redis('source'), 3_000);
      const app = application({ world: w });
      const upgrade = await w.start({ rate: 'full', watch: '60s' });
      await approveAll(upgrade);
      await quickly(upgrade, at('Watch for stragglers'), 60_000);
      await until('writes on the target', async () => app.url.includes(`:${w.target.port}`));
      await sleep(300);
      await upgrade.say('rollback', { by: 'ada' });
      await until('the application on its old side', async () => app.url.includes(`:${w.source.port}`));
      // Late clients of the target are refused for three seconds now.
      await upgrade.handle.terminate('impatience');
      await kill9(w.worker);
      await w.redis('source').set('seed:1', 'newer');
      await sleep(500);
      await w.startWorker();
      await recover(w, upgrade);
      expect(await w.redis('source').get('seed:1')).toBe('newer');
      await expectWhole({ w, app, serving: 'source' });
      expect(await w.redis('target').dbsize()).toBe(0);
    } finally {
      await w.close();
    }
  });
});
