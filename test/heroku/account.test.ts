import { describe, expect, it } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { herokuAccount } from '../../src/heroku/account.js';
import { redact } from '../../src/platform/redact.js';

const KEY = 'HRKU-planted-0123456789';

function failure(env: NodeJS.ProcessEnv): FerryError {
  try {
    herokuAccount(env);
  } catch (error) {
    if (error instanceof FerryError) return error;
  }
  throw new Error('it took it');
}

describe('herokuAccount', () => {
  it('is heroku.com with nothing but a key', () => {
    expect(herokuAccount({ HEROKU_API_KEY: ` ${KEY}\n` })).toEqual({
      key: KEY,
      api: 'https://api.heroku.com',
      cli: { HEROKU_API_KEY: KEY, HEROKU_HOST: 'heroku.com' },
    });
    expect(redact(`Bearer ${KEY}`)).toBe('Bearer ***');
  });

  it('gives the CLI a whole Heroku of one server, not a half of the real one', () => {
    expect(herokuAccount({ HEROKU_API_KEY: KEY, HEROKU_HOST: 'http://127.0.0.1:5000' })).toEqual({
      key: KEY,
      api: 'http://127.0.0.1:5000',
      cli: {
        HEROKU_API_KEY: KEY,
        HEROKU_HOST: 'http://127.0.0.1:5000',
        HEROKU_DATA_HOST: '127.0.0.1',
        HEROKU_PARTICLEBOARD_URL: 'http://127.0.0.1:5000',
      },
    });
  });

  it.each([
    ['herokudev.com', 'https://api.herokudev.com'],
    ['https://api.staging.herokudev.com', 'https://api.staging.herokudev.com'],
  ])('takes the host %s', (host, api) => {
    expect(herokuAccount({ HEROKU_API_KEY: KEY, HEROKU_HOST: host }).api).toBe(api);
  });

  it.each([
    // The CLI would ask heroku.com instead of these.
    'example.com',
    'https://heroku.example.com',
    'https://api.heroku.com:8443',
    // The CLI finds the text 127.0.0.1 in this one, and takes it.
    'http://127.0.0.1.example.com',
    // In clear.
    'http://api.heroku.com',
    '127.0.0.1',
    'http://127.0.0.1:5000/v3',
    'http://ada@127.0.0.1:5000',
    'https://',
  ])('refuses the host %s', (host) => {
    expect(failure({ HEROKU_API_KEY: KEY, HEROKU_HOST: host })).toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining(`HEROKU_HOST is "${host}"`),
    });
  });

  it.each([
    ['HEROKU_DATA_HOST', 'http://127.0.0.1:5000'],
    ['HEROKU_DATA_HOST', 'data.example.com'],
    ['HEROKU_PARTICLEBOARD_URL', 'https://example.com'],
  ])('refuses %s=%s, which would get the key', (variable, value) => {
    expect(failure({ HEROKU_API_KEY: KEY, [variable]: value }).message).toContain(
      `${variable} is "${value}"`,
    );
  });

  it.each([undefined, '', '  '])('says what is missing without a key (%j)', (key) => {
    expect(failure({ HEROKU_API_KEY: key })).toMatchObject({
      type: 'MissingSecret',
      message: expect.stringContaining('HEROKU_API_KEY is not set'),
    });
  });
});
