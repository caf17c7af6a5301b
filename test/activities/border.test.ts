/* The border with Temporal: what an activity tells of itself, and what Temporal stores of a failure. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { ApplicationFailure } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { border } from '../../src/activities/border.js';
import { FerryError } from '../../src/errors.js';
import { rememberSecret } from '../../src/platform/redact.js';

async function failureOf(work: () => Promise<unknown>): Promise<ApplicationFailure> {
  const error: unknown = await new MockActivityEnvironment()
    .run(() => border(work))
    .catch((thrown: unknown) => thrown);
  if (!(error instanceof ApplicationFailure)) throw new Error(`not an ApplicationFailure: ${String(error)}`);
  return error;
}

describe('border', () => {
  test('a failure of the table keeps its type, and whether a retry helps', async () => {
    const gone = await failureOf(() =>
      Promise.reject(new FerryError('Unreachable', '127.0.0.1:1 refused the connection')),
    );
    expect(gone).toMatchObject({
      type: 'Unreachable',
      nonRetryable: false,
      message: '127.0.0.1:1 refused the connection',
    });
    const wrong = await failureOf(() => Promise.reject(new FerryError('WrongPassword', 'wrong password')));
    expect(wrong).toMatchObject({ type: 'WrongPassword', nonRetryable: true });
  });

  test('what is stored of it holds no secret, no stack and no cause', async () => {
    rememberSecret('redis://:correct-horse@db.example:6379');
    const cause = new Error('AUTH correct-horse');
    const failure = await failureOf(() =>
      Promise.reject(new Error('can not AUTH with correct-horse', { cause })),
    );
    expect(failure.type).toBe('Unknown');
    expect(JSON.stringify([failure.message, failure.stack, failure.cause])).not.toContain('correct-horse');
    expect(failure.stack).toBe('');
    expect(failure.cause).toBeUndefined();
  });

  test('it heartbeats by itself, with the checkpoint and how far it is', async () => {
    const beats: unknown[] = [];
    const environment = new MockActivityEnvironment();
    environment.on('heartbeat', (details: unknown) => beats.push(details));
    await environment.run(() =>
      border<void, { cursor: string }>(async (b) => {
        b.beat({ cursor: '17' });
        b.show({ step: 'Copy every key', done: 10, total: 100, unit: 'keys', counts: { copied: 10 } });
        await new Promise((resolve) => setTimeout(resolve, 1_200));
      }),
    );
    expect(beats.at(-1)).toMatchObject({ checkpoint: { cursor: '17' }, progress: { done: 10, total: 100 } });
  });

  test('an attempt goes on from what the one before it told', async () => {
    const environment = new MockActivityEnvironment({
      attempt: 2,
      heartbeatDetails: { checkpoint: { cursor: '42' } },
    });
    const last = await environment.run(() =>
      border<unknown, { cursor: string }>(async (b) => ({ last: b.last, attempt: b.attempt })),
    );
    expect(last).toEqual({ last: { cursor: '42' }, attempt: 2 });
  });

  test('a cancelled one may hand back what it has', async () => {
    const environment = new MockActivityEnvironment();
    const result = environment.run(() =>
      border(async (b) => {
        await new Promise((resolve) => b.signal.addEventListener('abort', resolve));
        return { done: false };
      }),
    );
    environment.cancel();
    expect(await result).toEqual({ done: false });
  });
});
