/** Sends a JSON POST. Whether it is tried again is the caller's retry policy. */
import { FerryError } from '../errors.js';
import { milliseconds, placeOf, type WebhookSpec } from '../inputs/refs.js';
import { timeLimit } from './time-limit.js';
import { redact } from './redact.js';
import { resolveSecret } from './secrets.js';

export interface PostInput {
  spec: WebhookSpec;
  /** The field of the input, for messages. */
  where: string;
  body: unknown;
  signal?: AbortSignal | undefined;
}

/** Anything but 2xx is WebhookFailed, a redirection too: fetch would follow it with a GET. */
export async function post({
  spec,
  where,
  body,
  signal,
}: PostInput): Promise<{ status: number; seconds: number }> {
  const { webhook } = spec;
  const url = typeof webhook === 'string' ? webhook : await resolveSecret({ ref: webhook, where, signal });
  const who = `${where}: ${typeof webhook === 'string' ? originOf(url) : `the webhook in ${placeOf(webhook)}`}`;
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    throw new FerryError('InvalidInput', `${who} is not an http:// or https:// address`);
  const started = performance.now();
  const limit = timeLimit({ ms: milliseconds(spec.timeout), signal });
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'redis-ferry' },
      body: JSON.stringify(body),
      redirect: 'manual',
      signal: limit.signal,
    });
    const said = redact(await text(response)).trim();
    if (!response.ok)
      throw new FerryError('WebhookFailed', `${who} answered ${response.status}${said ? `: ${said}` : ''}`);
    return { status: response.status, seconds: Math.round(performance.now() - started) / 1_000 };
  } catch (error) {
    if (error instanceof FerryError) throw error;
    signal?.throwIfAborted();
    throw new FerryError(
      'WebhookFailed',
      limit.passed() ? `${who} did not answer within ${spec.timeout}` : `${who} ${fetchFailure(error)}`,
    );
  } finally {
    limit.clear();
  }
}

/** The first 300 characters; a body that breaks off matters to nobody. */
async function text(response: Response): Promise<string> {
  const said = await response.text().catch(() => '');
  return response.ok ? '' : said.slice(0, 300);
}

/** Why fetch threw, in words and without the address, whose path may be the secret. */
export function fetchFailure(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (code === 'ECONNREFUSED') return 'refuses connections: nothing listens there';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'is not known: the name does not resolve';
  if (/CERT|SELF_SIGNED|ERR_TLS|ERR_SSL|VERIFY/.test(code))
    return `has a certificate that can not be verified (${code})`;
  return `could not be reached${code ? ` (${code})` : ''}`;
}

/** Scheme, host and port: the path of a webhook may be its secret. */
export function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : 'the address';
}
