import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { redact, rememberSecret } from '../../src/platform/redact.js';
import { resolveEndpoint, resolveSecret } from '../../src/platform/secrets.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ferry-secrets-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true, force: true });
});

async function failure(act: Promise<unknown>): Promise<FerryError> {
  const error = await act.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(FerryError);
  return error as FerryError;
}

describe('references', () => {
  it('reads variables and files, without the newline at the end', async () => {
    vi.stubEnv('FERRY_T', ' from-the-env \n');
    await writeFile(join(dir, 's'), 'from-the-file\n');
    expect(await resolveSecret({ ref: { env: 'FERRY_T' }, where: 'notify' })).toBe('from-the-env');
    expect(await resolveSecret({ ref: { file: join(dir, 's') }, where: 'notify' })).toBe('from-the-file');
  });

  it.each([
    [{ env: 'FERRY_NOT_SET' }, 'source: the environment variable FERRY_NOT_SET is not set on the worker'],
    [{ file: '/nowhere/secret' }, 'source: the file /nowhere/secret does not exist on the worker'],
  ])('names field and place of a missing one: %o', async (ref, message) => {
    expect(await failure(resolveSecret({ ref, where: 'source' }))).toMatchObject({
      type: 'MissingSecret',
      message,
    });
    expect((await failure(resolveEndpoint({ endpoint: ref, where: 'source' }))).message).toBe(message);
  });

  it('takes an empty one for missing', async () => {
    vi.stubEnv('FERRY_T', '');
    await writeFile(join(dir, 'empty'), '\n');
    expect((await failure(resolveSecret({ ref: { env: 'FERRY_T' }, where: 'a' }))).type).toBe(
      'MissingSecret',
    );
    expect(
      (await failure(resolveSecret({ ref: { file: join(dir, 'empty') }, where: 'a' }))).message,
    ).toContain('is empty');
  });
});

describe('endpoints', () => {
  it('resolves each form', async () => {
    vi.stubEnv('FERRY_T', 'rediss://app:p%40ss-1234@redis.example:6380/3');
    await writeFile(join(dir, 'ca'), 'PEM');
    await writeFile(join(dir, 'url'), 'redis://[::1]:7000\n');
    expect(await resolveEndpoint({ endpoint: 'redis://redis.example', where: 'source' })).toEqual({
      host: 'redis.example',
      port: 6379,
    });
    expect(await resolveEndpoint({ endpoint: { file: join(dir, 'url') }, where: 'source' })).toEqual({
      host: '::1',
      port: 7000,
    });
    expect(
      await resolveEndpoint({
        endpoint: { env: 'FERRY_T', tls: { ca: join(dir, 'ca'), serverName: 'x' } },
        where: 'source',
      }),
    ).toEqual({
      host: 'redis.example',
      port: 6380,
      username: 'app',
      password: 'p@ss-1234',
      tls: { ca: 'PEM', serverName: 'x' },
    });
    expect(redact('app:p@ss-1234 and p%40ss-1234')).toBe('app:*** and ***');
  });

  it('names the missing CA', async () => {
    const error = await failure(
      resolveEndpoint({ endpoint: { url: 'rediss://a', tls: { ca: '/nowhere/ca.pem' } }, where: 'target' }),
    );
    expect(error).toMatchObject({
      type: 'MissingSecret',
      message: expect.stringContaining('target.tls.ca: the file /nowhere/ca.pem'),
    });
  });

  it('refuses tls options without TLS', async () => {
    const error = await failure(
      resolveEndpoint({ endpoint: { url: 'redis://a', tls: { insecure: true } }, where: 'target' }),
    );
    expect(error).toMatchObject({ type: 'InvalidInput', message: expect.stringContaining('rediss://') });
  });

  it.each([
    'redis://app:plan/ted#s3cret@host:6379',
    'plan-ted-s3cret',
    'http://u:plan-ted-s3cret@host',
    'redis://:plan%ZZted-s3cret@host',
    'redis://:plan-ted-s3cret@host:99999',
  ])('does not show a malformed one: %s', async (url) => {
    vi.stubEnv('FERRY_T', url);
    const error = await failure(resolveEndpoint({ endpoint: { env: 'FERRY_T' }, where: 'source' }));
    expect(error.type).toBe('InvalidInput');
    expect(error.message).toContain('source: what FERRY_T holds is not a Redis URL');
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error)) + error.stack).not.toMatch(
      /s3cret|plan.?ted/,
    );
    expect(error.cause).toBeUndefined();
  });
});

describe('redact', () => {
  const secret = `Pl4nt'ed "pa$$word"/+=&?`;

  it('removes a secret in every spelling', () => {
    rememberSecret(secret);
    const spellings = [
      secret,
      encodeURIComponent(secret),
      encodeURIComponent(secret).replaceAll('%20', '+'),
      JSON.stringify(secret),
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret).toString('base64url'),
      ...['u:', 'us:', 'use:'].map((user) => Buffer.from(`${user}${secret}`).toString('base64')),
      ...['u:', 'us:', 'use:'].map((user) => Buffer.from(`${user}${secret}@host`).toString('base64url')),
      `redis://app:${encodeURIComponent(secret)}@host:6379/0`,
    ];
    const core = Buffer.from(secret).toString('base64').slice(4, 20);
    for (const spelling of spellings) {
      const clean = redact(`before ${spelling} after`);
      expect(clean).toMatch(/^before .*\*\*\*.* after$/);
      expect(clean).not.toContain('Pl4nt');
      expect(clean).not.toContain('word');
      expect(clean).not.toContain(core);
    }
  });

  it('removes a password in any URL, known or not', () => {
    expect(redact('see rediss://app:never-seen-before@host:6379/0 there')).toBe(
      'see rediss://***@host:6379/0 there',
    );
    expect(redact('https://user:p@ss@host/path')).toBe('https://***@host/path');
  });

  it('removes the password of a URL that was resolved, and of one that is none', async () => {
    vi.stubEnv('FERRY_T', 'https://user:hook-pass-77@hooks.example/x/very-secret-path');
    await resolveSecret({ ref: { env: 'FERRY_T' }, where: 'notify' });
    expect(redact('hook-pass-77')).toBe('***');
    vi.stubEnv('FERRY_T', 'redis://app:odd/pass#88@host');
    await resolveSecret({ ref: { env: 'FERRY_T' }, where: 'source' });
    expect(redact('got odd/pass#88 there')).toBe('got *** there');
  });

  it('leaves text alone, and short secrets do not tear holes into it', () => {
    rememberSecret('a');
    rememberSecret('');
    expect(redact('a banana at 10:30, http://host/path')).toBe('*** banana at 10:30, http://host/path');
  });
});
