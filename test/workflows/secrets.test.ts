/* No secret in a history, a log, an error, a receipt or `ps`, also when things go wrong. */
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { queries } from '../../src/contract.js';
import { freePort } from '../../src/setup/servers.js';
import { sleep, world } from '../support/world.js';
import { hook, seed } from './support.js';

const run = promisify(execFile);

/** Long enough that nothing else spells them by chance, with what shells, URLs and JSON treat as special. */
const PLANTED = {
  redis: `Pl4nted re'dis/+&"pass`,
  wrong: 'Pl4nted-wrong-password',
  path: 'T0KEN-Pl4nted-in-the-path',
  command: 'Pl4nted-env-of-a-command$1',
};

/** As it is, URL-encoded, as a string of JSON, and base64 at each of the three offsets. */
function spellings(secret: string): string[] {
  const base64 = [0, 1, 2].map((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
    return bytes
      .toString('base64')
      .replace(/=+$/, '')
      .slice(before + 1, -1);
  });
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), ...base64];
}

/** Everything that Temporal stores: as it is exported, and behind that each payload as text. */
function legible(value: unknown): string {
  const exported = JSON.stringify(value, (_, inner: unknown) => {
    if (inner instanceof Uint8Array) return Buffer.from(inner).toString('base64');
    if (typeof inner === 'bigint') return String(inner);
    return inner;
  });
  const payloads = [...exported.matchAll(/"data":"([A-Za-z0-9+/=]+)"/g)].map(([, data]) =>
    Buffer.from(data ?? '', 'base64').toString('utf8'),
  );
  return [exported, ...payloads].join('\n');
}

async function files(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const texts = await Promise.all(
    names.filter((name) => name.isFile()).map((name) => readFile(join(name.parentPath, name.name), 'utf8')),
  );
  return texts.join('\n');
}

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
  const processes = new Set<string>();
  let sampling = true;
  try {
    const worker = await w.startWorker();
    worker.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
    const sampler = (async () => {
      while (sampling) {
        // Of every process of this machine; the servers themselves were started with the password by this test, not by the upgrade.
        const { stdout } = await run('ps', ['-eww', '-o', 'ppid=,args=']);
        for (const line of stdout.split('\n'))
          if (!line.includes('redis-server') && !line.includes('--requirepass')) processes.add(line);
        await sleep(60);
      }
    })();
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
    sampling = false;
    await sampler;

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
      ps: [...processes].join('\n'),
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
    sampling = false;
    await w.close();
    await h.close();
  }
});

function around(text: string, what: string): string {
  const at = text.indexOf(what);
  return at < 0 ? '' : text.slice(Math.max(0, at - 200), at + 200);
}
