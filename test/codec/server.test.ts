/* `ferry codec-server` as a process, asked as the Temporal UI and the command `temporal` ask it. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { findTemporal } from '../../src/setup/temporal.js';
import { freePort } from '../../src/setup/servers.js';
import { world, type Upgrade, type World } from '../support/world.js';
import { clientWith, keysFile, legible, newKey, start, writeKeys } from './support.js';

vi.setConfig({ testTimeout: 90_000 });

const run = promisify(execFile);
const MAIN = join(process.env['FERRY_TEST_DIST'] ?? 'dist', 'cli', 'main.js');
const UI = 'http://localhost:8233';

let w: World;
let url: string;
const children: ChildProcess[] = [];
let upgrade: Upgrade | undefined;

beforeEach(async () => {
  w = await world();
  await writeKeys(keysFile(w), newKey('k1'));
  w.env['FERRY_CODEC_KEYS'] = keysFile(w);
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await upgrade?.handle.terminate('the test is over').catch(() => {});
  upgrade = undefined;
  await w.close();
});

async function serve(...options: string[]): Promise<{ child: ChildProcess; said: () => string }> {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const listen = options.includes('--listen') ? [] : ['--listen', `127.0.0.1:${port}`];
  const child = spawn(process.execPath, [MAIN, 'codec-server', ...listen, ...options], {
    env: { PATH: process.env['PATH'] ?? '', HOME: w.folder, ...w.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.push(child);
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await expect.poll(() => said, { timeout: 20_000 }).toMatch(/ready|must|could|can't|not/);
  return { child, said: () => said };
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const Payloads = z.object({
  payloads: z.array(z.object({ metadata: z.record(z.string(), z.string()), data: z.string() })),
});

async function ask(
  way: string,
  body: unknown,
  headers: Record<string, string> = {},
  method = 'POST',
): Promise<{ status: number; headers: Headers; body: unknown }> {
  const response = await fetch(url + way, {
    method,
    headers: { 'content-type': 'application/json', 'x-namespace': 'default', ...headers },
    ...(method === 'POST' ? { body: JSON.stringify(body) } : {}),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) };
}

const clear = {
  payloads: [{ metadata: { encoding: base64('json/plain') }, data: base64('{"gate":"start"}') }],
};

test('the UI: preflight, encode, decode; other pages, and nonsense, are refused', async () => {
  await serve('--origin', `${UI}/namespaces/default`);
  const preflight = await ask(
    '/decode',
    null,
    {
      origin: UI,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-namespace',
    },
    'OPTIONS',
  );
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get('access-control-allow-origin')).toBe(UI);
  expect(preflight.headers.get('access-control-allow-headers')).toMatch(/content-type.*x-namespace/);

  const encoded = await ask('/encode', clear, { origin: UI });
  expect(encoded.headers.get('access-control-allow-origin')).toBe(UI);
  const sealed = Payloads.parse(encoded.body);
  expect(sealed.payloads[0]?.metadata).toEqual({
    encoding: base64('binary/encrypted'),
    'encryption-key-id': base64('k1'),
  });
  expect(JSON.stringify(sealed)).not.toContain(base64('gate').slice(0, 4));
  expect((await ask('/decode', sealed, { origin: UI })).body).toEqual(clear);
  // As it is called where the endpoint has the namespace in its path, and by programs, which have no origin.
  expect((await ask('/default/decode', sealed)).body).toEqual(clear);

  const stranger = await ask('/decode', sealed, { origin: 'http://evil.example' });
  expect(stranger.status).toBe(403);
  expect(stranger.headers.get('access-control-allow-origin')).toBe(null);
  expect(JSON.stringify(stranger.body)).not.toContain(base64('{"gate"').slice(0, 8));
  expect((await ask('/encode', {})).body).toEqual({ payloads: [] });
  expect((await ask('/decode', { payloads: 'x' })).status).toBe(400);
  expect((await ask('/decode', { payloads: [{ data: 'not base64!' }] })).status).toBe(400);
  expect((await ask('/', clear)).status).toBe(404);
  expect((await ask('/decode', null, {}, 'GET')).status).toBe(405);

  // Sealed with a key that it does not have any more.
  await writeKeys(keysFile(w), newKey('k2'));
  await new Promise((wait) => setTimeout(wait, 1_100));
  const missing = await ask('/decode', sealed, { origin: UI });
  expect(missing.status).toBe(422);
  expect(missing.body).toMatchObject({
    message: 'This is encrypted with the key "k1", which is not among the keys here (k2)',
  });
});

test('a token is wanted of everybody', async () => {
  await writeFile(join(w.folder, 'token'), 'planted-token\n');
  const { said } = await serve('--token', join(w.folder, 'token'), '--origin', UI);
  expect((await ask('/decode', clear)).status).toBe(401);
  expect((await ask('/decode', clear, { origin: UI, authorization: 'Bearer planted-tokem' })).status).toBe(
    401,
  );
  expect((await ask('/decode', clear, { authorization: 'Bearer planted-token' })).body).toEqual(clear);
  expect(said()).not.toContain('planted-token');
});

test('what it will not do', async () => {
  const open = await serve('--listen', '0.0.0.0:18081');
  expect(open.said()).toContain('whoever reaches 0.0.0.0:18081 could read everything. Give a --token');
  delete w.env['FERRY_CODEC_KEYS'];
  expect((await serve()).said()).toContain('FERRY_CODEC_KEYS is not set');
  expect((await serve('--origin', 'localhost:8233')).said()).toContain(
    '--origin: "localhost:8233" must look like http://localhost:8233',
  );
});

test('`temporal` shows, queries and approves through it', async () => {
  const found = await findTemporal(() => {});
  const temporal = found.kind === 'binary' ? found.path : 'temporal';
  await w.startWorker();
  await serve();
  upgrade = await start(w, await clientWith(w, keysFile(w)), { contact: 'planted-contact' });
  await upgrade.until('AwaitingApproval');
  const say = async (...words: string[]): Promise<string> => {
    const { stdout } = await run(
      temporal,
      [
        'workflow',
        ...words,
        '--workflow-id',
        upgrade?.id ?? '',
        '--address',
        w.env['TEMPORAL_ADDRESS'] ?? '',
        '--color',
        'never',
      ],
      { env: { PATH: process.env['PATH'] ?? '', HOME: w.folder } },
    );
    return stdout;
  };
  const endpoint = ['--codec-endpoint', url];
  const shown = async (...options: string[]) =>
    legible(JSON.parse(await say('show', '-o', 'json', ...options)));
  expect(await shown()).not.toContain('planted-contact');
  expect(await shown(...endpoint)).toContain('planted-contact');
  expect(await say('query', '--type', 'state', ...endpoint)).toContain('AwaitingApproval');
  const refused = await say(
    'update',
    'execute',
    '--name',
    'approve',
    '--input',
    '{"gate":"cutover","by":"ada"}',
    ...endpoint,
  ).catch((error: unknown) => String(error));
  expect(refused).toContain('is not open yet');
  expect(
    await say(
      'update',
      'execute',
      '--name',
      'approve',
      '--input',
      '{"gate":"start","by":"ada"}',
      ...endpoint,
    ),
  ).toContain('is approved');
  await upgrade.until((state) =>
    state.gates.some(({ name, status }) => name === 'start' && status === 'approved'),
  );
});
