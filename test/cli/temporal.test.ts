/* The same by Temporal's own command, as docs/scripts.md shows it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { findTemporal } from '../../src/setup/temporal.js';
import { upgradeOf, world, type World } from '../support/world.js';

const exec = promisify(execFile);
let w: World;
let temporal: string;

beforeEach(async () => {
  const found = await findTemporal(() => {});
  temporal = found.kind === 'binary' ? found.path : 'temporal';
  w = await world();
  await w.startWorker();
});
afterEach(() => w.close());

const say = async (...args: string[]): Promise<string> =>
  (
    await exec(temporal, [
      'workflow',
      ...args,
      '--address',
      w.env['TEMPORAL_ADDRESS'] ?? '',
      '--color',
      'never',
    ])
  ).stdout;

test('start, query, update and signal', { timeout: 120_000 }, async () => {
  await w.redis('source').set('greeting', 'hello');
  const id = `upgrade/redis/${w.name}`;
  const input = {
    name: w.name,
    source: { env: 'OLD_REDIS_URL' },
    target: { env: 'NEW_REDIS_URL' },
    writes: 'running',
    watch: '1s',
    repoint: { kind: 'file', path: w.addressFile },
  };
  await say(
    'start',
    '--type',
    'redisCopy',
    '--task-queue',
    w.taskQueue,
    '--workflow-id',
    id,
    '--input',
    JSON.stringify(input),
  );
  const upgrade = upgradeOf(w.client.workflow.getHandle(id), id);
  await upgrade.until('AwaitingApproval');

  const answer = z
    .object({ queryResult: z.array(z.object({ phase: z.string() })) })
    .parse(JSON.parse(await say('query', '--workflow-id', id, '--type', 'state', '-o', 'json')));
  expect(answer.queryResult[0]?.phase).toBe('AwaitingApproval');

  const refused = await say(
    'update',
    'execute',
    '--workflow-id',
    id,
    '--name',
    'approve',
    '--input',
    '{"gate":"cutover","by":"ada"}',
  ).catch((error: unknown) => String(error));
  expect(refused).toContain('is not open yet');
  expect(
    await say(
      'update',
      'execute',
      '--workflow-id',
      id,
      '--name',
      'approve',
      '--input',
      '{"gate":"start","by":"ada"}',
    ),
  ).toContain('is approved');

  await upgrade.until((state) =>
    state.gates.some((gate) => gate.name === 'cutover' && gate.status === 'open'),
  );
  await say('signal', '--workflow-id', id, '--name', 'approve', '--input', '{"gate":"cutover","by":"grace"}');
  const receipt = await upgrade.ended();
  expect(receipt.approvals.map(({ gate, by }) => [gate, by])).toEqual([
    ['start', 'ada'],
    ['cutover', 'grace'],
  ]);
  expect(await w.redis('target').get('greeting')).toBe('hello');
  expect(await say('result', '--workflow-id', id)).toContain('COMPLETED');
});
