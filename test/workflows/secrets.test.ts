/* No secret in a history, a log, an error, a receipt or `ps`, also when things go wrong. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { queries } from '../../src/contract.js';
import { freePort } from '../../src/setup/servers.js';
import { files, legible, spellings, watchProcesses } from '../support/leaks.js';
import { world } from '../support/world.js';
import { hook, seed } from './support.js';

/** Long enough that nothing else spells them by chance, with what shells, URLs and JSON treat as special. */
const PLANTED = {
  redis: `Pl4nted re'dis/+&"pass`,
  wrong: 'Pl4nted-wrong-password',
  path: 'T0KEN-Pl4nted-in-the-path',
  command: 'Pl4nted-env-of-a-command$1',
};

test('a run with planted passwords, failing here and there', async () => {
  const h = await hook();
  const nobody = await freePort();
  const w = await world({
    password: PLANTED.redis,
    target: 'r70',
    env: {
      TELL_URL: `${h.url}/${PLANTED.path}`,
      DOWN_URL: `http://127.0.0.1:${nobody}/${PLANTED.path}`,
      PROGRAM_SECRET: PLANTED.command,
      FERRY_LOG: 'DEBUG',
    },
  });
  Object.assign(w.env, { WRONG_URL: w.sourceUrl.replace(encodeURIComponent(PLANTED.redis), PLANTED.wrong) });
  let log = '';
  const seen = watchProcesses(60);
  try {
    const worker = await w.startWorker();
    worker.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
    await seed(w, 'source', 500);

    const wrong = await w.start({ source: { env: 'WRONG_URL' }, notify: { webhook: { env: 'TELL_URL' } } });
    const refused = await wrong.failure();
    expect(refused.type).toBe('WrongPassword');

    // It says everything it knows, and fails: once in the middle, and once for the application's test.
    const blabs = `echo "$SECRET $FERRY_URL $FERRY_SOURCE_URL"; printf %s "$SECRET" | base64 >&2; sleep 0.2; test -e '${w.folder}/mended'`;
    h.answers.set('/stop', 500);
    const upgrade = await w.start({
      writes: 'stopped',
      stopWrites: { command: blabs, env: { SECRET: { env: 'PROGRAM_SECRET' } } },
      startWrites: { command: ['true'] },
      repoint: {
        kind: 'command',
        command: `${blabs}; env; true`,
        env: { SECRET: { env: 'PROGRAM_SECRET' } },
      },
      probes: [
        {
          command: `echo "$SECRET"; sleep 0.2; exit 1`,
          env: { SECRET: { env: 'PROGRAM_SECRET' } },
          name: 'blabs',
        },
      ],
      notify: { webhook: { env: 'DOWN_URL' } },
      gates: { start: 'auto', cutover: 'auto' },
      debug: true,
    });
    const first = await upgrade.until('NeedsDecision');
    expect(first.decision?.about).toBe('Stop the application writing');
    const states = [first];
    await writeFile(join(w.folder, 'mended'), '');
    await upgrade.say('retry', { by: 'ada' });
    states.push(await upgrade.until((state) => state.decision?.about === 'Test the application'));
    const plan = await upgrade.handle.query(queries.plan);
    const card = await files(w.env['FERRY_HOME'] ?? '');
    const described = legible((await upgrade.handle.describe()).raw);
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    const receipt = await upgrade.ended();
    expect(receipt.outcome).toBe('RolledBack');
    states.push(await upgrade.state());
    const { lines } = await seen();
    // The servers themselves were started with the password by this test, not by the upgrade.
    const processes = lines
      .split('\n')
      .filter((line) => !line.includes('redis-server') && !line.includes('--requirepass'));

    const places: Record<string, string> = {
      history: legible(await upgrade.handle.fetchHistory()),
      'history of the refused one': legible(await wrong.handle.fetchHistory()),
      refusal: JSON.stringify(refused),
      state: JSON.stringify(states),
      plan: JSON.stringify(plan),
      receipt: JSON.stringify(receipt),
      description: described,
      metadata: JSON.stringify(await upgrade.handle.query('__temporal_workflow_metadata')),
      'journal, card and receipts': `${card}\n${await files(w.env['FERRY_HOME'] ?? '')}`,
      'what the webhook was told': JSON.stringify(h.heard.map(({ body }) => body)),
      'the log of the worker': log,
      ps: processes.join('\n'),
    };
    // Each was really looked into.
    expect(places['history']).toContain('stopWrites ended with exit code 1');
    expect(places['history']).toContain('OLD_REDIS_URL');
    expect(places['journal, card and receipts']).toContain('undo-registered');
    expect(places['the log of the worker']).not.toBe('');
    expect(places['ps']).toContain('sleep 0.2');
    expect(h.heard.length).toBeGreaterThan(0);
    for (const [place, text] of Object.entries(places)) {
      for (const [name, secret] of Object.entries(PLANTED)) {
        for (const spelling of spellings(secret))
          expect(
            text.includes(spelling),
            `${place} holds the planted secret "${name}" as ${spelling}: ${around(text, spelling)}`,
          ).toBe(false);
      }
    }
  } finally {
    await seen();
    await w.close();
    await h.close();
  }
});

function around(text: string, what: string): string {
  const at = text.indexOf(what);
  return at < 0 ? '' : text.slice(Math.max(0, at - 200), at + 200);
}
