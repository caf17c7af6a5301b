/*
 * kill -9 of the worker at many moments of the whole upgrade and of the way back, and of a server in the switch. Whatever the
 * moment: it completes or goes back, no acknowledged write is missing, and nothing of ours is left. `npm run sweep` writes the result down.
 */
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { application, sleep, world } from '../support/world.js';
import {
  approveAll,
  at,
  expectWhole,
  fenceStands,
  quickly,
  replaceWorker,
  restart,
  seed,
  slowRepoint,
  writesPaused,
  until,
} from './support.js';
import { expectHeldAndDone, switched } from './held.js';
import { expectSleeperHarmless } from './sleeper.js';

const ROUNDS = Number(process.env['FERRY_ROUNDS'] ?? 3);
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];

function say(what: string, app: ReturnType<typeof application>): void {
  console.log(
    `${what}: ${app.acknowledged.size} acknowledged writes, none missing; the longest waited ${app.longestMs} ms`,
  );
}

const MOMENTS = [
  ...[0, 100, 400].map((ms) => ({ step: 'Copy every key', ms })),
  ...[0, 100].map((ms) => ({ step: 'Compare both sides', ms })),
  ...[0, 300].map((ms) => ({ step: 'Gate: cutover', ms })),
  ...[0, 500].map((ms) => ({ step: 'Watch for stragglers', ms })),
  ...[0, 10].map((ms) => ({ step: 'Close the way back', ms })),
];

for (let round = 1; round <= ROUNDS; round += 1) {
  describe(`round ${round}`, () => {
    for (const { step, ms } of MOMENTS) {
      test(`the worker is killed ${ms} ms into "${step}"`, async () => {
        const w = await world();
        try {
          await w.startWorker();
          await seed(w.redis('source'), 10_000);
          const app = application({ world: w });
          const upgrade = await w.start({
            rate: 'full',
            gates: { start: 'auto', cutover: step.startsWith('Gate') ? { approvers: 1 } : 'auto' },
          });
          await quickly(
            upgrade,
            (state) =>
              state.step === step ||
              state.steps.some(({ title, status }) => title === step && status === 'done'),
            60_000,
          );
          await sleep(ms);
          await replaceWorker(w);
          if (step.startsWith('Gate')) await upgrade.approve('cutover');
          expect(await upgrade.ended(120_000)).toMatchObject({ outcome: 'Completed', blemishes: [] });
          await expectWhole({ w, app, serving: 'target' });
          say(`worker killed ${ms} ms into "${step}"`, app);
        } finally {
          await w.close();
        }
      });
    }

    for (const from of ['paused', 'fenced', 'sealed'] as const) {
      for (const ms of from === 'paused'
        ? [0, 2, 4, 6, 8, 10, 15, 20, 30, 40, 50]
        : [0, 1, 2, 4, 8, 16, 32]) {
        const what = `the worker is killed ${ms} ms after ${from === 'paused' ? 'the pause began' : `the source was ${from}`}`;
        test(`${what} (${round})`, async () => {
          const w = await world();
          try {
            await w.startWorker();
            await seed(w.redis('source'), 5_000);
            const app = application({ world: w });
            const reader = w.redis('source');
            const upgrade = await w.start({ rate: 'full', gates: { start: 'auto', cutover: 'auto' } });
            if (from === 'paused') await writesPaused(reader);
            else await fenceStands(reader, from);
            await sleep(ms);
            await replaceWorker(w);
            expect(await upgrade.ended(120_000)).toMatchObject({ outcome: 'Completed', blemishes: [] });
            await expectWhole({ w, app, serving: 'target' });
            say(what, app);
          } finally {
            await w.close();
          }
        });
      }
    }

    for (const ms of [0, 30, 60, 100, 150, 250, 500, 1_500, 3_000]) {
      test(`the worker is killed ${ms} ms into the way back`, async () => {
        const w = await world({ target: 'r70' });
        try {
          await w.startWorker();
          await writeFile(w.addressFile, `${w.sourceUrl}\n`);
          await seed(w.redis('source'), 5_000);
          const app = application({ world: w });
          const upgrade = await w.start({
            rate: 'full',
            watch: '60s',
            gates: { start: 'auto', cutover: 'auto' },
          });
          await quickly(upgrade, at('Watch for stragglers'), 60_000);
          await until('writes on the target', async () => app.url.includes(`:${w.target.port}`));
          await sleep(500);
          await upgrade.signal('rollback', { by: 'ada' });
          await quickly(upgrade, (state) => state.phase === 'RollingBack');
          await sleep(ms);
          await replaceWorker(w);
          expect(await upgrade.ended(120_000)).toMatchObject({ outcome: 'RolledBack', left: [] });
          await expectWhole({ w, app, serving: 'source' });
          expect(await w.redis('target').dbsize()).toBe(0);
          say(`worker killed ${ms} ms into the way back`, app);
        } finally {
          await w.close();
        }
      });
    }

    for (const [side, ms] of [
      ['source', 0],
      ['source', 500],
      ['target', 0],
      ['target', 500],
    ] as const) {
      test(`the ${side} is killed ${ms} ms behind the seal`, async () => {
        const w = await world({ sourceArgs: DURABLE, targetArgs: DURABLE });
        try {
          await w.startWorker();
          await seed(w.redis('source'), 5_000);
          const app = application({ world: w });
          const upgrade = await w.start({ rate: 'full', repoint: slowRepoint(w, { before: 1 }) });
          await approveAll(upgrade);
          await fenceStands(w.redis('source'));
          await sleep(ms);
          await w[side].kill9();
          // Back when the applications have been told: a source that takes writes before that takes them for itself.
          await sleep(1_500);
          await restart(w, side, { version: side === 'source' ? 'r70' : 'r80', args: DURABLE });
          const receipt = await upgrade.ended(120_000).catch(async () => (await upgrade.state()).decision);
          expect(receipt).toMatchObject({ outcome: 'Completed' });
          await expectWhole({ w, app, serving: 'target' });
          say(`${side} killed ${ms} ms behind the seal`, app);
        } finally {
          await w.close();
        }
      });
    }
  });
}

for (const where of ['in the copy', 'in the switch'] as const) {
  test(`a worker sleeps past its time-out ${where}; another finishes, and the first writes nothing more`, () =>
    expectSleeperHarmless(where));
}

for (const side of ['source', 'target'] as const) {
  test(`the ${side} hangs while it goes back: it holds, and once it answers it goes back with every write`, () =>
    switched((on) =>
      expectHeldAndDone({
        ...on,
        take: () => process.kill(on.w[side].pid, 'SIGSTOP'),
        give: () => process.kill(on.w[side].pid, 'SIGCONT'),
      }),
    ));
}
