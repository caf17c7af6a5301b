/* What `npm start -- --yes` says by itself, to an upgrade on a stage. */
import { Client } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Session } from '../../src/cli/session.js';
import { follow } from '../../src/demo/follow.js';
import { stage, untilCancelled, type Stage } from '../runbook/stage.js';

let s: Stage;
beforeAll(async () => {
  s = await stage();
});
afterAll(() => s.close());

test('a rollback that was not heard is said again', async ({ onTestFinished }) => {
  const play = await s.switchover({}, { soakReplication: () => untilCancelled() });
  let unheard = 0;
  const client = new Client({
    connection: s.client.connection,
    interceptors: {
      workflow: [
        {
          startUpdate: (input, next) => {
            if (input.updateName !== 'rollback' || unheard > 0) return next(input);
            unheard += 1;
            throw new Error('The connection was cut');
          },
        },
      ],
    },
  });
  const news: string[] = [];
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort());
  const follower = follow({
    session: { client, connection: client.connection, taskQueue: 'stage' } as unknown as Session,
    workflowId: play.handle.workflowId,
    by: 'ada',
    yes: true,
    comesBack: true,
    crew: {
      failed: new AbortController().signal,
      join: () => Promise.resolve(false),
      roll: () => '',
      stop: () => Promise.resolve(),
    },
    display: { show: () => undefined, say: () => undefined, end: () => undefined },
    traffic: () => ({ acknowledged: 0, rate: 0, on: '' }),
    processes: () => '',
    news,
    leaving: leaving.signal,
  });
  const looked = await follower.ended;
  expect(looked?.end?.receipt?.outcome).toBe('RolledBack');
  expect(unheard).toBe(1);
  expect(news).toContain('Not heard (The connection was cut); try again');
});
