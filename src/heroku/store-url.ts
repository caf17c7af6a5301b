/** The config variables of a Key-Value Store, and which of its two ports a URL means. */
import { FerryError } from '../errors.js';
import { rememberSecret } from '../platform/redact.js';
import type { Asked } from './api.js';
import { configVar, configVarNames } from './config-vars.js';

/**
 * Where a store's TLS address is: `REDIS_URL`, but on mini plans, whose REDIS_URL is the clear one, `REDIS_TLS_URL`.
 *
 * @throws as `configVarNames`
 */
export async function tlsKeyOf({ app, as, signal }: Asked & { app: string; as: string }): Promise<string> {
  const names = await configVarNames({ app, signal });
  return names.includes(`${as}_TLS_URL`) ? `${as}_TLS_URL` : `${as}_URL`;
}

/**
 * The URL that a fork is made from, as it is at this moment: a maintenance may have changed it since the last look.
 *
 * @throws FerryError MissingSecret where there is none; UnexpectedReply; and as `configVar`
 */
export async function leaderUrl({
  app,
  as,
  over,
  signal,
}: Asked & { app: string; as: string; over: 'tls' | 'clear' }): Promise<string> {
  const key = await tlsKeyOf({ app, as, signal });
  const url = await configVar({ app, key, signal });
  if (url === null)
    throw new FerryError(
      'MissingSecret',
      `the app ${app} has no config variable ${key}: nothing can be forked`,
    );
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !/^rediss?:$/.test(parsed.protocol))
    throw new FerryError('UnexpectedReply', `${key} of the app ${app} holds no Redis URL`);
  if (over === 'tls' || parsed.protocol === 'redis:') return url;
  const clear = key.endsWith('_TLS_URL')
    ? await configVar({ app, key: `${as}_URL`, signal })
    : clearOf(parsed);
  if (!clear?.startsWith('redis:'))
    throw new FerryError('MissingSecret', `the app ${app} has no address of ${as} without TLS`);
  rememberSecret(clear);
  return clear;
}

/** The clear port is the one before the TLS port: 6479 beside 6480, or whatever two a store has. */
function clearOf(tls: URL): string {
  const clear = new URL(tls.href.replace(/^rediss:/, 'redis:'));
  clear.port = String(Number(tls.port) - 1);
  return clear.href;
}
