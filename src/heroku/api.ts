/**
 * One request to Heroku's Platform API.
 *
 * What only reads is tried again here. What changes something never is: a reply that got lost says nothing of the effect, and a
 * second POST made a second add-on. It is an OutcomeUnknown then: the verbs look, act, and look again. Nor is it cut off: an abort is heard
 * once it is answered.
 *
 * Source: https://devcenter.heroku.com/articles/platform-api-reference
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { FerryError, type FailureType } from '../errors.js';
import { redact } from '../platform/redact.js';
import { timeLimit } from '../platform/time-limit.js';
import { herokuAccount } from './account.js';

export interface Asked {
  signal?: AbortSignal | undefined;
}

export interface Request<T> extends Asked {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** From the slash on, its parts encoded (`path`). */
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** What a reply must look like. */
  reply: z.ZodType<T>;
  /** What it is for, as an infinitive: "look at the app shop". Stands in every message. */
  to: string;
  /** The reply is a secret: it is shown in no message. */
  secret?: boolean;
}

/** What Heroku said no to, with its own words. */
export class HerokuRefusal extends FerryError {
  /** HTTP status. */
  readonly status: number;
  /** Heroku's name for it, such as `invalid_params`. */
  readonly id: string;
  constructor(type: FailureType, message: string, { status, id }: { status: number; id: string }) {
    super(type, message);
    this.status = status;
    this.id = id;
  }
}

/** Of one try. Creating an add-on has taken 10 seconds. */
const ANSWER_MS = 30_000;
const TRIES = 4;
const FIRST_PAUSE_MS = 250;
/** How long the rate limit is waited for in all; the account's tokens come back at 75 a minute. */
const RATE_LIMIT_MS = 60_000;
const RAW = 500;

/** Parts of a path, encoded and joined by slashes. */
export function path(...parts: string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join('');
}

/**
 * @throws FerryError CredentialsRefused, NotFound, ProviderRefused (a HerokuRefusal each); ProviderUnavailable when nothing was done;
 *   OutcomeUnknown when something may have been; UnexpectedReply; MissingSecret. The signal's reason when aborted
 */
export async function request<T>(asked: Request<T>): Promise<T> {
  return (await whole(asked)).value;
}

/**
 * A list, all of it: Heroku gives 200 at a time. `range` orders it and, with `max`, cuts it: "version ..; order=desc, max=1".
 *
 * @throws as `request`
 */
export async function requestList<T>({
  item,
  range,
  ...asked
}: Omit<Request<T>, 'reply' | 'method' | 'body'> & { item: z.ZodType<T>; range?: string }): Promise<T[]> {
  const all: T[] = [];
  let next: string | null = range ?? null;
  do {
    const { value, nextRange }: Whole<T[]> = await whole({
      ...asked,
      reply: z.array(item),
      headers: { ...asked.headers, ...(next === null ? {} : { range: next }) },
    });
    all.push(...value);
    next = range?.includes('max=') ? null : nextRange;
  } while (next !== null);
  return all;
}

interface Whole<T> {
  value: T;
  nextRange: string | null;
}

async function whole<T>(asked: Request<T>): Promise<Whole<T>> {
  const { reply, to, secret = false } = asked;
  const { status, text, nextRange } = await tried(asked);
  const parsed = reply.safeParse(jsonOf(text));
  if (parsed.success) return { value: parsed.data, nextRange };
  const [issue] = parsed.error.issues;
  const where = issue === undefined ? '' : ` (${[...issue.path, issue.message].join(' ')})`;
  throw new FerryError(
    'UnexpectedReply',
    `asked to ${to}, Heroku answered ${status} with what is not understood${where}${secret ? '' : `: ${shortened(text)}`}`,
  );
}

interface Answer {
  status: number;
  text: string;
  nextRange: string | null;
}

async function tried<T>(asked: Request<T>): Promise<Answer> {
  const { method = 'GET', to, signal } = asked;
  const reads = method === 'GET';
  let limited = 0;
  for (let at = 1; ;) {
    signal?.throwIfAborted();
    const answer = await once(asked);
    if ('response' in answer) {
      const { response, text } = answer;
      if (response.ok)
        return { status: response.status, text, nextRange: response.headers.get('next-range') };
      if (response.status === 429) {
        // Nothing was done: this one waits, whatever it was for.
        const pause = toldToWait(response.headers) ?? FIRST_PAUSE_MS * 2 ** (at + 1);
        limited += pause;
        at += 1;
        if (limited > RATE_LIMIT_MS)
          throw new FerryError(
            'ProviderUnavailable',
            `asked to ${to}, Heroku lets this account wait: its limit of requests is reached, for another ${Math.ceil(pause / 1_000)} s at least`,
          );
        await sleep(pause, undefined, { signal });
        continue;
      }
      if (response.status < 500) throw refusal(to, response.status, text);
    } else if (answer.notSent && !reads)
      throw new FerryError('ProviderUnavailable', `asked to ${to}, Heroku ${answer.why}. Nothing was done`);
    const why = 'response' in answer ? `answered ${answer.response.status}${said(answer.text)}` : answer.why;
    if (!reads)
      throw new FerryError(
        'OutcomeUnknown',
        `asked to ${to}, Heroku ${why}. It may have been done all the same`,
      );
    if (at >= TRIES) throw new FerryError('ProviderUnavailable', `asked to ${to}, Heroku ${why}`);
    await sleep(FIRST_PAUSE_MS * 2 ** (at - 1), undefined, { signal });
    at += 1;
  }
}

type Once = { response: Response; text: string } | { why: string; notSent: boolean };

async function once<T>({ method = 'GET', path, body, headers, signal }: Request<T>): Promise<Once> {
  const { key, api } = herokuAccount();
  // What changes something is never cut off: it could take effect after an undo has found that there is nothing to undo.
  const limit = timeLimit({ ms: ANSWER_MS, signal: method === 'GET' ? signal : undefined });
  try {
    const response = await fetch(`${api}${path}`, {
      method,
      headers: {
        accept: 'application/vnd.heroku+json; version=3',
        authorization: `Bearer ${key}`,
        'user-agent': 'redis-ferry',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // The key goes where it was meant to go, and nowhere else.
      redirect: 'manual',
      signal: limit.signal,
    });
    return { response, text: await response.text() };
  } catch (error) {
    signal?.throwIfAborted();
    if (limit.passed()) return { why: `did not answer within ${ANSWER_MS / 1_000} s`, notSent: false };
    return failed(error);
  } finally {
    limit.clear();
  }
}

/** Before there was a connection, nothing was asked. */
const NEVER_SENT = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH'];

function failed(error: unknown): { why: string; notSent: boolean } {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const notSent = NEVER_SENT.includes(code) || /CERT|SELF_SIGNED|ERR_TLS|ERR_SSL|VERIFY/.test(code);
  return { why: `could not be ${notSent ? 'reached' : 'heard'}${code ? ` (${code})` : ''}`, notSent };
}

/** Milliseconds of `Retry-After`, which is in seconds or a date. */
function toldToWait(headers: Headers): number | undefined {
  const told = headers.get('retry-after');
  if (told === null) return undefined;
  const ms = /^\d+$/.test(told) ? Number(told) * 1_000 : Date.parse(told) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0);
}

const Problem = z.object({ id: z.string().catch(''), message: z.string().catch('') });

function refusal(to: string, status: number, text: string): FerryError {
  const { id } = Problem.catch({ id: '', message: '' }).parse(jsonOf(text));
  if (status === 401)
    return new HerokuRefusal(
      'CredentialsRefused',
      `asked to ${to}, Heroku says that HEROKU_API_KEY is missing or expired`,
      { status, id },
    );
  if (status === 403 && id === 'two_factor')
    return new HerokuRefusal(
      'CredentialsRefused',
      `asked to ${to}, Heroku wants a second factor, which HEROKU_API_KEY can not give. Use a key of \`heroku authorizations:create\``,
      { status, id },
    );
  const type = status === 404 || status === 410 ? 'NotFound' : 'ProviderRefused';
  return new HerokuRefusal(type, `asked to ${to}, Heroku refused: ${wordsOf(text) || `status ${status}`}`, {
    status,
    id,
  });
}

/** Heroku's own message, without secrets. */
function wordsOf(text: string): string {
  const { id, message } = Problem.catch({ id: '', message: '' }).parse(jsonOf(text));
  if (message === '') return shortened(text);
  return shortened(id === '' ? message : `${message} (${id})`);
}

function said(text: string): string {
  const words = wordsOf(text);
  return words === '' ? '' : ` (${words})`;
}

function shortened(text: string): string {
  const clean = redact(text).replaceAll(/\s+/g, ' ').trim();
  return clean.length > RAW ? `${clean.slice(0, RAW)}…` : clean;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * Acts once, and where nobody knows whether it was done, looks. What is not seen then stays unknown: the caller's retry looks first.
 */
export async function actThenLook<T>({
  act,
  look,
}: {
  act: () => Promise<T>;
  /** What there is when it was done; null when it was not, or not yet. */
  look: () => Promise<T | null>;
}): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof FerryError) || error.type !== 'OutcomeUnknown') throw error;
    const seen = await look();
    if (seen === null) throw error;
    return seen;
  }
}

/** What is not there is null instead of a failure. */
export async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof HerokuRefusal && error.type === 'NotFound') return null;
    throw error;
  }
}
