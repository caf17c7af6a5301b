import { createServer, type IncomingMessage } from 'node:http';
import { afterEach, beforeAll, afterAll, expect, it, vi, describe } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { Probe, WebhookSpec } from '../../src/inputs/refs.js';
import { notify, slackMessage } from '../../src/platform/notify.js';
import { probeName, runProbe } from '../../src/platform/probe.js';
import { rememberSecret } from '../../src/platform/redact.js';
import { post } from '../../src/platform/webhook.js';
import { freePort } from '../../src/setup/servers.js';

const PLANTED = 'pl4nted-H00k';
const got: { url: string; method: string; body: string; type: string }[] = [];
const server = createServer((request: IncomingMessage, response) => {
  let body = '';
  request.on('data', (chunk) => (body += String(chunk)));
  request.on('end', () => {
    got.push({
      url: request.url ?? '',
      method: request.method ?? '',
      body,
      type: String(request.headers['content-type']),
    });
    const status = Number(/(\d{3})/.exec(request.url ?? '')?.[1] ?? 200);
    if (request.url?.includes('slow')) return;
    response
      .writeHead(status, status === 302 ? { location: '/200' } : {})
      .end(status < 300 ? 'ok' : `refused ${PLANTED}`);
  });
});
let base: string;
beforeAll(async () => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  base = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
afterEach(() => {
  got.length = 0;
  vi.unstubAllEnvs();
});

async function failure(act: Promise<unknown>): Promise<FerryError> {
  const error = await act.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(FerryError);
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(PLANTED);
  return error as FerryError;
}

const spec = (path: string, timeout?: string) =>
  WebhookSpec.parse({ webhook: `${base}${path}`, ...(timeout ? { timeout } : {}) });

describe('a webhook', () => {
  it('gets a JSON POST', async () => {
    expect(await post({ spec: spec('/200/x'), where: 'notify', body: { a: 1 } })).toMatchObject({
      status: 200,
    });
    expect(got).toEqual([{ url: '/200/x', method: 'POST', body: '{"a":1}', type: 'application/json' }]);
  });

  it.each([[500], [404], [302]])('that answers %i has failed', async (status) => {
    rememberSecret(PLANTED);
    const error = await failure(
      post({ spec: spec(`/${status}/path-is-secret`), where: 'stopWrites', body: {} }),
    );
    expect(error.type).toBe('WebhookFailed');
    expect(error.message).toMatch(new RegExp(`^stopWrites: ${base} answered ${status}`));
    expect(error.message).not.toContain('path-is-secret');
    expect(got).toHaveLength(1);
  });

  it('is named by its reference, never by its address', async () => {
    vi.stubEnv('FERRY_HOOK', `${base}/500/${PLANTED}`);
    const error = await failure(
      post({ spec: WebhookSpec.parse({ webhook: { env: 'FERRY_HOOK' } }), where: 'notify', body: {} }),
    );
    expect(error.message).toContain('notify: the webhook in FERRY_HOOK answered 500');
    vi.stubEnv('FERRY_HOOK', PLANTED);
    expect(
      (
        await failure(
          post({ spec: WebhookSpec.parse({ webhook: { env: 'FERRY_HOOK' } }), where: 'notify', body: {} }),
        )
      ).type,
    ).toBe('InvalidInput');
  });

  it('that does not answer, or is not there', async () => {
    expect(
      (await failure(post({ spec: spec('/slow', '200ms'), where: 'notify', body: {} }))).message,
    ).toContain('did not answer within 200ms');
    const gone = WebhookSpec.parse({ webhook: `http://127.0.0.1:${await freePort()}/x` });
    expect((await failure(post({ spec: gone, where: 'notify', body: {} }))).message).toContain(
      'refuses connections',
    );
    await expect(
      post({ spec: spec('/slow'), where: 'notify', body: {}, signal: AbortSignal.timeout(100) }),
    ).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});

describe('a notification', () => {
  const notification = {
    name: 'sessions',
    phase: 'NeedsDecision',
    reason: 'Copy failed: <target> & more',
    toType: 'ferry decide sessions retry',
    breakGlass: ['redis-cli -h old CONFIG SET x 0', 'second'],
    link: 'http://127.0.0.1:8233/x',
    contact: 'Ann, +1 555',
  };

  it('is what Slack takes', async () => {
    await notify({ spec: spec('/200'), notification });
    const message = JSON.parse(got[0]?.body ?? '') as ReturnType<typeof slackMessage>;
    expect(message.text).toBe('sessions: needs decision. Copy failed: &lt;target&gt; &amp; more');
    expect(message.blocks.map(({ type }) => type)).toEqual(['section', 'section', 'section', 'context']);
    const all = JSON.stringify(message.blocks);
    for (const said of [
      'ferry decide sessions retry',
      'redis-cli -h old CONFIG SET x 0',
      '<http://127.0.0.1:8233/x|Open in Temporal>',
      'Ann, +1 555',
    ])
      expect(all).toContain(said);
  });

  it('needs only a name, a phase and a reason, holds no secret and is never too long', () => {
    rememberSecret(PLANTED);
    expect(slackMessage({ name: 'a', phase: 'Running', reason: '' }).blocks).toHaveLength(1);
    const long = slackMessage({
      name: 'a',
      phase: 'Running',
      reason: `${PLANTED} ${'x'.repeat(9_000)}`,
      breakGlass: Array.from({ length: 500 }, () => 'redis-cli PING'),
    });
    expect(JSON.stringify(long)).not.toContain(PLANTED);
    for (const block of long.blocks)
      expect((block['text'] as { text: string }).text.length).toBeLessThan(3_000);
  });
});

const probe = (value: unknown, index = 0) => runProbe({ probe: Probe.parse(value), index, name: 'sessions' });

describe('a probe', () => {
  it('is a command that ends well', async () => {
    expect(await probe({ command: 'echo logged in', name: 'login' })).toMatchObject({
      name: 'login',
      ok: true,
      said: 'logged in',
    });
    expect(await probe({ command: 'echo no >&2; exit 1' }, 2)).toMatchObject({
      name: 'probe 3',
      ok: false,
      said: 'probe 3 ended with exit code 1: no',
    });
  });

  it('is an address that answers with the status', async () => {
    expect(await probe({ http: `${base}/200` })).toMatchObject({
      ok: true,
      said: 'answered 200',
      name: `probe 1 (${base})`,
    });
    expect(await probe({ http: `${base}/302`, status: 302 })).toMatchObject({ ok: true });
    expect(await probe({ http: `${base}/500` })).toMatchObject({
      ok: false,
      said: 'answered 500, expected 200',
    });
    expect(await probe({ http: `${base}/slow`, timeout: '200ms' })).toMatchObject({
      ok: false,
      said: 'did not answer within 200ms',
    });
    expect(await probe({ http: `http://127.0.0.1:${await freePort()}` })).toMatchObject({
      ok: false,
      said: expect.stringContaining('refuses'),
    });
  });

  it('says nothing secret', async () => {
    rememberSecret(PLANTED);
    expect(JSON.stringify(await probe({ command: `echo ${PLANTED}` }))).not.toContain(PLANTED);
    expect(probeName({ probe: Probe.parse({ http: `${base}/secret-path` }), index: 0 })).not.toContain(
      'secret-path',
    );
  });

  it('that can not be tried is no answer', async () => {
    await expect(probe({ command: 'true', env: { A: { env: 'FERRY_NOT_SET' } } })).rejects.toMatchObject({
      type: 'MissingSecret',
    });
    await expect(
      runProbe({
        probe: Probe.parse({ http: `${base}/slow` }),
        index: 0,
        name: 'x',
        signal: AbortSignal.timeout(100),
      }),
    ).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});
