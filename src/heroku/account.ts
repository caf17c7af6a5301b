/**
 * Whose Heroku it is, and where: read from the worker's environment, in the way that the Heroku CLI reads it, so that both always
 * speak to the same one.
 */
import { FerryError } from '../errors.js';
import { rememberSecret } from '../platform/redact.js';

export interface HerokuAccount {
  /** HEROKU_API_KEY. Remembered as a secret. */
  key: string;
  /** Scheme, host and port of the Platform API. */
  api: string;
  /** What the CLI gets, the key included. */
  cli: Record<string, string>;
}

/** The only names that the CLI sends the key to. Any other HEROKU_HOST it replaces by heroku.com, with a warning that nobody reads. */
const DOMAINS = ['heroku.com', 'herokai.com', 'herokuspace.com', 'herokudev.com'];
const LOCAL = ['localhost', '127.0.0.1'];

/** @throws FerryError MissingSecret; InvalidInput where a host is not one that the CLI takes as it stands */
export function herokuAccount(env: NodeJS.ProcessEnv = process.env): HerokuAccount {
  const key = env['HEROKU_API_KEY']?.trim();
  if (!key)
    throw new FerryError(
      'MissingSecret',
      'the environment variable HEROKU_API_KEY is not set on the worker. `heroku authorizations:create` makes a key',
    );
  rememberSecret(key);
  const api = apiOf(env['HEROKU_HOST'] || 'heroku.com');
  const local = LOCAL.includes(api.hostname);
  // Unset, the CLI would take these from heroku.com, and so a server for tests would get one half of the requests only.
  const data = env['HEROKU_DATA_HOST'] || (local ? api.hostname : undefined);
  const particleboard = env['HEROKU_PARTICLEBOARD_URL'] || (local ? api.origin : undefined);
  if (data !== undefined && !isTaken(data))
    throw refused('HEROKU_DATA_HOST', data, 'a host name without scheme and port');
  if (particleboard !== undefined) urlOf('HEROKU_PARTICLEBOARD_URL', particleboard);
  return {
    key,
    api: api.origin,
    cli: {
      HEROKU_API_KEY: key,
      HEROKU_HOST: env['HEROKU_HOST'] || 'heroku.com',
      ...(data === undefined ? {} : { HEROKU_DATA_HOST: data }),
      ...(particleboard === undefined ? {} : { HEROKU_PARTICLEBOARD_URL: particleboard }),
    },
  };
}

function apiOf(host: string): URL {
  if (/^https?:\/\//.test(host)) return urlOf('HEROKU_HOST', host);
  if (!isTaken(host) || LOCAL.includes(host)) throw refused('HEROKU_HOST', host, 'such a host name');
  return new URL(`https://api.${host}`);
}

function urlOf(variable: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const plain = url !== null && url.pathname === '/' && url.search === '' && url.username === '';
  if (!plain || !isTaken(url.hostname)) throw refused(variable, text, 'an address without a path');
  // The CLI sees the port as a part of the name then, and takes heroku.com instead.
  if (!LOCAL.includes(url.hostname) && (url.protocol !== 'https:' || url.port !== ''))
    throw refused(variable, text, 'https:// without a port');
  return url;
}

function isTaken(host: string): boolean {
  return LOCAL.includes(host) || DOMAINS.some((domain) => host === domain || host.endsWith(`.${domain}`));
}

function refused(variable: string, value: string, form: string): FerryError {
  return new FerryError(
    'InvalidInput',
    `${variable} is "${value}", which the Heroku CLI does not take as it stands. Give ${form} within ${DOMAINS.join(', ')}, or http://127.0.0.1:PORT for a server of your own`,
  );
}
