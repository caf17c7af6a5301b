/* An upgrade whose payloads are encrypted: what Temporal stores, who can read it, and keys that change under way. */
import { slow } from '../support/slow.js';
import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Client } from '@temporalio/client';
import { queries } from '../../src/contract.js';
import { kill9, seed } from '../faults/support.js';
import { ferry } from '../cli/io.js';
import { sleep, upgradeOf, world, type Upgrade, type World } from '../support/world.js';
import { clientWith, keyIds, keysFile, legible, newKey, start, writeKeys } from './support.js';

vi.setConfig({ testTimeout: 150_000 });

let w: World;
let file: string;
let client: Client;
let upgrade: Upgrade | undefined;
const OLD = newKey('2026-01');
const NEW = newKey('2026-07');

beforeEach(async () => {
  w = await world();
  file = keysFile(w);
  await writeKeys(file, OLD);
  w.env['FERRY_CODEC_KEYS'] = file;
  client = await clientWith(w, file);
});
afterEach(async () => {
  await upgrade?.handle.terminate('the test is over').catch(() => {});
  upgrade = undefined;
  await w.close();
});

/** Everything of an upgrade that Temporal gives to whoever has no key. */
async function stored(of: Upgrade): Promise<Record<string, unknown>> {
  const { workflowService } = w.client.connection;
  const execution = { workflowId: of.id };
  const { taskQueue } = w;
  return {
    history: await of.handle.fetchHistory(),
    description: (await w.client.workflow
      .getHandle(of.id)
      .describe()
      .then(({ raw }) => raw)) as unknown,
    list: await workflowService.listWorkflowExecutions({
      namespace: 'default',
      query: `TaskQueue = '${taskQueue}'`,
    }),
    metadata: await workflowService.queryWorkflow({
      namespace: 'default',
      execution,
      query: { queryType: '__temporal_workflow_metadata' },
    }),
    state: await workflowService.queryWorkflow({
      namespace: 'default',
      execution,
      query: { queryType: 'state' },
    }),
  };
}

/** Words of inputs, messages, failures, steps, checkpoints and details. */
const PLANTED = [
  'planted-contact',
  'planted-follow-up',
  'planted-note',
  'planted-ada',
  'planted-output',
  'planted-refused-gate',
  'OLD_REDIS_URL',
  'Copy every key',
  'Switch the applications over',
  'stopWrites',
  'checkpoint',
  'keysCompared',
  'planHash',
  'FormatRefused',
];

test('Temporal stores no word of it, and whoever has the keys reads and steers it', async () => {
  await w.startWorker();
  await seed(w.redis('source'), 3_000);
  upgrade = await start(w, client, {
    contact: 'planted-contact',
    followUps: ['planted-follow-up'],
    writes: 'stopped',
    stopWrites: { command: `echo planted-output >&2; test -e '${w.folder}/mended'` },
    startWrites: { command: ['true'] },
    rate: 1_000,
  });
  const cli = { env: { TEMPORAL_ADDRESS: w.env['TEMPORAL_ADDRESS'] ?? '', FERRY_CODEC_KEYS: file } };
  await upgrade.until('AwaitingApproval');
  // A refusal is a failure that a worker sends back.
  const refused = await ferry(['approve', w.name, 'planted-refused-gate', '--yes'], cli);
  expect(refused.err).toContain('planted-refused-gate');
  const approved = await ferry(
    ['approve', w.name, 'start', '--yes', '--by', 'planted-ada', '--note', 'planted-note'],
    cli,
  );
  expect(approved).toMatchObject({ code: 0 });
  expect(approved.out).toContain('is approved');
  await upgrade.until((state) => state.step === 'Copy every key');
  // While the copy heartbeats.
  await sleep(1_500);
  const copying = await stored(upgrade);

  await upgrade.until((state) =>
    state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
  );
  await ferry(['approve', w.name, 'cutover', '--yes', '--by', 'planted-ada'], cli);
  const asked = await upgrade.until('NeedsDecision');
  expect(asked.decision?.problem).toContain('planted-output');
  const failed = await stored(upgrade);
  const shown = await ferry(['state', w.name, '--json'], cli);
  expect(JSON.parse(shown.out)).toMatchObject({ contact: 'planted-contact', phase: 'NeedsDecision' });

  await writeFile(`${w.folder}/mended`, '');
  expect(await ferry(['retry', w.name], cli)).toMatchObject({ code: 0 });
  await upgrade.say('tick', { item: 'planted-follow-up', by: 'planted-ada' });
  expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
  const ended = await stored(upgrade);

  const all = { copying, failed, ended };
  for (const [when, places] of Object.entries(all)) {
    for (const [place, message] of Object.entries(places)) {
      const text = legible(message);
      expect(text.length).toBeGreaterThan(200);
      for (const word of PLANTED)
        expect(text.includes(word), `${place}, ${when}: ${around(text, word)}`).toBe(false);
    }
  }
  // It was really looked into: with the keys the words are there, and every place has payloads.
  expect(keyIds(copying['description']).length).toBeGreaterThan(0);
  expect(JSON.stringify(await upgrade.handle.query('__temporal_workflow_metadata'))).toContain(
    'Copy every key',
  );
  for (const place of ['history', 'metadata', 'state']) {
    const ids = keyIds(ended[place]);
    expect([place, [...new Set(ids)]]).toEqual([place, ['2026-01']]);
  }
  // What stays in clear, as docs/encryption.md says.
  const clear = legible(ended['history']);
  for (const word of [
    `upgrade/redis/${w.name}`,
    'FerryPhase',
    'copyKeys',
    'approve',
    'Encoded failure',
    'CommandFailed',
  ])
    expect(clear).toContain(word);

  const without = await ferry(['receipt', w.name], {
    env: { TEMPORAL_ADDRESS: w.env['TEMPORAL_ADDRESS'] ?? '' },
  });
  expect(without.code).toBe(1);
  expect(without.err).toContain(
    'This is encrypted with the key "2026-01", which is not among the keys here (none: FERRY_CODEC_KEYS is not set)',
  );
});

test('a failure that ends it is encrypted, and read with its receipt', async () => {
  await w.startWorker();
  upgrade = await start(w, client, { contact: 'planted-contact' });
  await upgrade.until('AwaitingApproval');
  await upgrade.say('reject', { gate: 'start', by: 'planted-ada', note: 'planted-note' });
  expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack' });
  const text = legible(await upgrade.handle.fetchHistory());
  expect(text).toContain('Encoded failure');
  for (const word of ['planted-', 'rejected']) expect(around(text, word)).toBe('');
});

slow('keys change under way: in the file, by a restart, and by a worker that lacks one', async () => {
  const worker = await w.startWorker();
  let log = '';
  worker.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  await seed(w.redis('source'), 3_000);
  upgrade = await start(w, client);
  await upgrade.until('AwaitingApproval');
  const used = async () => keyIds(await upgrade?.handle.fetchHistory());
  expect(new Set(await used())).toEqual(new Set(['2026-01']));

  // The new one is known everywhere, then encrypts. Nobody is restarted.
  await writeKeys(file, OLD, NEW);
  await sleep(1_100);
  await writeKeys(file, NEW, OLD);
  await sleep(1_100);
  await upgrade.approve('start');
  await upgrade.until((state) =>
    state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
  );
  const ids = await used();
  expect(ids.at(-1)).toBe('2026-07');
  expect(ids).toContain('2026-01');
  expect(log).toBe('');

  const session = {
    env: { TEMPORAL_ADDRESS: w.env['TEMPORAL_ADDRESS'] ?? '', FERRY_CODEC_KEYS: file },
  };
  const listed = await ferry(['codec-keys', '--task-queue', w.taskQueue], session);
  expect(listed.out).toMatch(
    new RegExp(`^2026-07  encrypts  .*${upgrade.id}.*\\n2026-01  decrypts  .*${upgrade.id}`, 'm'),
  );

  // A worker without the old one can't go on, says why, and breaks nothing.
  await kill9(w.worker);
  const lacking = keysFile(w, 'lacking');
  await writeKeys(lacking, NEW);
  const poor = await w.startWorker({ FERRY_CODEC_KEYS: lacking, FERRY_LOG: 'WARN' });
  poor.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  await expect
    .poll(() => log, { timeout: 30_000 })
    .toContain('This is encrypted with the key "2026-01", which is not among the keys here (2026-07)');
  await expect(upgrade.handle.query(queries.state)).rejects.toThrow();

  // The key is added: it goes on by itself.
  await writeKeys(lacking, NEW, OLD);
  await upgrade.until('AwaitingApproval', 60_000);
  await upgrade.approve('cutover');
  expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
  await expect
    .poll(async () => (await ferry(['codec-keys', '--task-queue', w.taskQueue], session)).out, {
      timeout: 60_000,
    })
    .toMatch(/^2026-01  decrypts  no running upgrade$/m);
});

test('an upgrade that was begun in clear goes on encrypted', async () => {
  await w.startWorker({ FERRY_CODEC_KEYS: '' });
  const plain = await w.start();
  await plain.until('AwaitingApproval');
  // Without keys the words are there to be found: what the first test looks for could be seen.
  const clear = legible(await plain.handle.fetchHistory());
  expect(keyIds(await plain.handle.fetchHistory())).toEqual([]);
  for (const word of ['OLD_REDIS_URL', 'Pre-flight checklist']) expect(clear).toContain(word);
  await kill9(w.worker);
  await w.startWorker();
  const same = upgradeOf(client.workflow.getHandle(plain.id), plain.id);
  await same.approve('start');
  await same.approve('cutover');
  expect(await same.ended()).toMatchObject({ outcome: 'Completed', blemishes: [] });
  expect(keyIds(await plain.handle.fetchHistory()).length).toBeGreaterThan(0);
});

test('a worker whose keys can not be read does not start', async () => {
  await expect(w.startWorker({ FERRY_CODEC_KEYS: `${file}.none` })).rejects.toThrow(
    `FERRY_CODEC_KEYS: the file ${file}.none does not exist`,
  );
  await writeFile(file, 'short AAAA\n');
  await expect(w.startWorker()).rejects.toThrow(
    `FERRY_CODEC_KEYS: ${file}, line 1: the key "short" must be 32 bytes in base64`,
  );
});

function around(text: string, what: string): string {
  const at = text.indexOf(what);
  return at < 0 ? '' : text.slice(Math.max(0, at - 300), at + 200);
}
