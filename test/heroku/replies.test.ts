/* The parsers against what the real CLI, version 11.10.0, said to the emulated Heroku (replies/). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { FerryError } from '../../src/errors.js';
import { failureOf } from '../../src/heroku/cli.js';
import { isVersion, parseStore, versionsIn } from '../../src/heroku/key-value-store.js';
import { parseHistory, parseMaintenance } from '../../src/heroku/maintenances.js';
import { redact } from '../../src/platform/redact.js';

const Reply = z.object({
  args: z.array(z.string()),
  exitCode: z.number(),
  stdout: z.string(),
  stderr: z.string(),
});

async function replyOf(name: string): Promise<z.infer<typeof Reply>> {
  const file = join(import.meta.dirname, 'replies', `${name}.json`);
  return Reply.parse(JSON.parse(await readFile(file, 'utf8')));
}

function thrown(act: () => unknown): FerryError {
  try {
    act();
  } catch (error) {
    if (error instanceof FerryError) return error;
  }
  throw new Error('it did not fail');
}

describe('redis:info', () => {
  it('is read by name, without the password', async () => {
    const { stdout } = await replyOf('redis-info');
    const store = parseStore({ stdout, addon: 'redis-curly-1' });
    expect(store).toMatchObject({
      name: 'redis-curly-1',
      plan: 'Premium 0',
      version: '7.0',
      status: 'available',
      timeout: 300,
      maxmemoryPolicy: 'noeviction',
      keyspaceNotifications: '',
      requiresTls: false,
      persistence: 'AOF',
      highAvailability: 'Available',
      maintenance: 'not required',
    });
    expect(store?.rows['Maintenance window']).toBe('Tuesdays 18:30 to 22:30 UTC');
    expect(JSON.stringify(store)).not.toContain('planted');
    expect(redact('AUTH planted-password-1')).not.toContain('planted');
    // It named two: the second one's name holds the first one's.
    expect(parseStore({ stdout, addon: 'redis-curly-12' })?.plan).toBe('Mini');
    expect(parseStore({ stdout, addon: 'redis-curly' })).toBeNull();
  });

  it('says nothing of what there is not', async () => {
    const { stdout } = await replyOf('redis-info-none');
    expect(parseStore({ stdout, addon: 'nope' })).toBeNull();
  });

  it.each([
    ['7.2.4', '7.2.4'],
    ['Valkey 8.1.4', '8.1.4'],
  ])('takes the version %s', (shown, version) => {
    const stdout = storeSaying({ Version: shown, 'Keyspace Notifications': 'KEA', Timeout: '0 seconds' });
    expect(parseStore({ stdout, addon: 'redis-curly-1' })).toMatchObject({
      version,
      keyspaceNotifications: 'KEA',
      timeout: 0,
      requiresTls: null,
    });
  });

  it.each([
    [
      'no JSON at all',
      'Warning: redis://:planted-5@10.0.0.1:6379 is gone',
      /Warning: redis:\/\/\*\*\*@|Warning: \*\*\*/,
    ],
    ['nothing', '', /said is not understood \(it is no JSON\): nothing$/],
    ['another shape', '[{"info": "none", "resource_url": "redis://:planted-6@10.0.0.1:6379"}]', /0 info/],
    ['a row that is missing', storeSaying({ Maxmemory: null }), /has no "maxmemory"/],
    ['a timeout in words', storeSaying({ Timeout: 'never' }), /has "never" as "timeout"/],
  ])('holds with what it said, redacted: %s', (_, stdout, expected) => {
    const error = thrown(() => parseStore({ stdout, addon: 'redis-curly-1' }));
    expect(error).toMatchObject({ type: 'UnexpectedReply', retryable: false });
    expect(error.message).toMatch(expected);
    expect(error.message).not.toContain('planted');
  });
});

function storeSaying(rows: Record<string, string | null>): string {
  const all = {
    Plan: 'Premium 0',
    Status: 'available',
    Version: '7.2.4',
    Timeout: '300',
    Maxmemory: 'noeviction',
    ...rows,
  };
  const info = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [{ name, values: [value] }],
  );
  return JSON.stringify([{ info, resource_url: 'rediss://:planted-7@10.0.0.1:6380' }]);
}

describe('data:maintenances', () => {
  it('is read as it goes on', async () => {
    expect(parseMaintenance((await replyOf('maintenance-none')).stdout)).toMatchObject({
      status: 'none',
      scheduledFor: null,
      startedAt: null,
      window: 'Tuesdays 18:30 to 22:30 UTC',
    });
    const ready = parseMaintenance((await replyOf('maintenance-ready')).stdout);
    expect(ready).toMatchObject({ status: 'ready', reason: 'customer_request', method: 'failover' });
    expect(Date.parse(ready.requiredBy ?? '')).toBeGreaterThan(Date.parse(ready.scheduledFor ?? ''));
    const completed = parseMaintenance((await replyOf('maintenance-completed')).stdout);
    expect(completed).toMatchObject({ status: 'completed', durationSeconds: 1 });
    expect(Date.parse(completed.completedAt ?? '')).toBeGreaterThan(Date.parse(completed.startedAt ?? ''));
  });

  it('has a history, or says in words that it has none', async () => {
    expect(parseHistory((await replyOf('history')).stdout)).toMatchObject([{ status: 'completed' }]);
    expect(parseHistory((await replyOf('history-none')).stdout)).toEqual([]);
    expect(thrown(() => parseHistory('')).type).toBe('UnexpectedReply');
  });
});

describe('a command that fails', () => {
  const NOT_DONE = 'ProviderUnavailable';
  it.each([
    ['app-unknown', 'NotFound', 'NotFound', "Couldn't find that app. Error ID: not_found"],
    ['addon-unknown', 'NotFound', 'NotFound', "Couldn't find that add on. Error ID: not_found"],
    ['app-forbidden', 'ProviderRefused', 'ProviderRefused', 'You do not have access to the app theirs.'],
    ['run-none', 'ProviderRefused', 'ProviderRefused', 'There is no maintenance for redis-curly-1.'],
    ['schedule-too-late', 'ProviderRefused', 'ProviderRefused', 'The maintenance is required by 2026-12-09'],
    ['upgrade-ambiguous', 'ProviderRefused', 'ProviderRefused', 'Found: redis-curly-1, redis-curly-12'],
    ['no-such-command', 'ToolMissing', 'ToolMissing', 'does not know heroku redis:info'],
    ['no-such-flag', 'ToolMissing', 'ToolMissing', 'does not know heroku redis:info'],
    ['rate-limited', NOT_DONE, NOT_DONE, 'limit of requests is reached'],
    ['key-expired', 'CredentialsRefused', 'CredentialsRefused', 'HEROKU_API_KEY is missing or expired'],
    // What only read was not done; what changes something may have been.
    ['error-500', NOT_DONE, 'OutcomeUnknown', 'Internal server error.'],
    ['error-503', NOT_DONE, 'OutcomeUnknown', 'Heroku is temporarily unavailable.'],
    ['dropped', NOT_DONE, 'OutcomeUnknown', 'socket hang up'],
  ])('is told by what it says: %s', async (name, reading, changing, words) => {
    const { exitCode, stderr } = await replyOf(name);
    const ended = { label: 'heroku redis:info', timeout: '90s', exitCode, said: stderr };
    expect(failureOf({ ...ended, changes: false })).toMatchObject({
      type: reading,
      message: expect.stringContaining(words),
    });
    expect(failureOf({ ...ended, changes: true }).type).toBe(changing);
  });

  it('that had to be stopped may have done it', () => {
    const stopped = { label: 'heroku redis:upgrade', timeout: '90s', exitCode: null, said: '' };
    expect(failureOf({ ...stopped, changes: true })).toMatchObject({
      type: 'OutcomeUnknown',
      message:
        'heroku redis:upgrade did not end within 90s and was stopped. It may have been done all the same',
    });
  });

  it('names the versions that are offered', async () => {
    const { exitCode, stderr } = await replyOf('upgrade-not-offered');
    const { type, message } = failureOf({
      label: 'heroku redis:upgrade',
      changes: true,
      timeout: '90s',
      exitCode,
      said: stderr,
    });
    expect(type).toBe('ProviderRefused');
    expect(versionsIn(message, '9.9')).toEqual(['6.0', '7.0', '7.2', '8.1']);
  });
});

it.each([
  ['7.2', '7.2', true],
  ['7.2.4', '7.2', true],
  ['7.20.1', '7.2', false],
  ['7.2', '7.2.4', false],
])('version %s is the %s asked for: %s', (is, asked, expected) => {
  expect(isVersion(is, asked)).toBe(expected);
});
