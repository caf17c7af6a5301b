/**
 * Backups of Heroku Postgres, through the CLI: what `pg:backups:capture` makes, `pg:backups:info` shows and `pg:backups:url` gives out. A backup is a
 * dump of pg_dump in its custom format. Its URL is a secret: whoever has it may download all of the database.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { FerryError } from '../errors.js';
import { fileFailure, writeAtomically } from '../platform/files.js';
import { rememberSecret } from '../platform/redact.js';
import { fetchFailure } from '../platform/webhook.js';
import type { Asked } from './api.js';
import { attachmentsOn } from './attachments.js';
import { heroku } from './cli.js';
import { configVar } from './config-vars.js';

export interface BackedUp {
  /** The app by whose config variable the database is found. */
  app: string;
  key: string;
}

export interface Backup {
  /** Such as `b017`. */
  name: string;
  status: 'Pending' | 'Running' | 'Completed' | 'Failed' | 'Canceled';
  /** As the CLI says it: "Finished with 2 warnings" is Completed. */
  said: string;
}

/** The app that pays for the database: its backups are listed there. @throws FerryError NotFound */
export async function payingApp({ app, key, signal }: Asked & BackedUp): Promise<string> {
  const name = key.replace(/_URL$/, '');
  const found = (await attachmentsOn({ app, signal })).find((each) => each.name === name);
  if (found) return found.billingApp;
  // DATABASE_URL may be a copy of another variable's value.
  if ((await configVar({ app, key, signal })) === null)
    throw new FerryError('NotFound', `the app ${app} has no config variable ${key}`);
  return app;
}

const Name = z.string().regex(/^[abcor]+\d+$/);

/** The newest, or the one of that name; null where there is none. @throws as `heroku` */
export async function backupInfo(
  of: Asked & { app: string; name?: string | undefined },
): Promise<Backup | null> {
  const { app, name, signal } = of;
  try {
    const { stdout } = await heroku({
      args: ['pg:backups:info', ...(name === undefined ? [] : [name]), '--app', app],
      changes: false,
      signal,
    });
    return parseInfo(stdout);
  } catch (error) {
    if (error instanceof FerryError && /No backups|Invalid ID/i.test(error.message)) return null;
    throw error;
  }
}

/** @throws FerryError UnexpectedReply */
export function parseInfo(said: string): Backup {
  const name = Name.safeParse(/=== Backup (\S+)/.exec(said)?.[1]);
  const status = /^Status:\s*(.+?)\s*$/m.exec(said)?.[1] ?? '';
  const known = (['Pending', 'Running', 'Completed', 'Failed', 'Canceled'] as const).find(
    (each) => each === status,
  );
  if (!name.success || (known === undefined && !status.startsWith('Finished')))
    throw new FerryError('UnexpectedReply', `heroku pg:backups:info said: ${said.slice(0, 300).trim()}`);
  return { name: name.data, status: known ?? 'Completed', said: status };
}

/** Longer than any backup takes that Heroku advises to take. */
const CAPTURE = '24h';
const LOOK_EVERY = 5_000;

/**
 * A backup that was begun after `before`, which is the newest one's name of when the database was closed to writes: this one's, or another
 * attempt's. Returns when it is complete.
 *
 * @throws FerryError BackupFailed; and as `heroku`
 */
export async function captureBackup(
  on: Asked & BackedUp & { paying: string; before: string | null; every?: number | undefined },
): Promise<Backup> {
  const { app, key, paying, before, every = LOOK_EVERY, signal } = on;
  const newest = () => backupInfo({ app: paying, signal });
  let found = await newest();
  if (found === null || found.name === before) {
    // The CLI waits for its end, and then says whether it failed: what counts is what is there.
    const failure = await heroku({
      args: ['pg:backups:capture', key, '--app', app],
      changes: true,
      timeout: CAPTURE,
      signal,
    }).then(
      () => null,
      (error: unknown) => error,
    );
    found = await newest();
    if (found === null || found.name === before)
      throw failure ?? new FerryError('BackupFailed', `Heroku has made no backup of ${key} of ${app}`);
  }
  for (;;) {
    if (found.status === 'Completed') return found;
    if (found.status === 'Failed' || found.status === 'Canceled')
      throw new FerryError('BackupFailed', `Heroku's backup ${found.name} ended as: ${found.said}`);
    await sleep(every, undefined, { signal });
    found = (await backupInfo({ app: paying, name: found.name, signal })) ?? found;
  }
}

/** Valid for an hour or so. @throws as `heroku` */
export async function backupUrl(of: Asked & { app: string; name: string }): Promise<string> {
  const { app, name, signal } = of;
  const { stdout } = await heroku({ args: ['pg:backups:url', name, '--app', app], changes: false, signal });
  const url = stdout.trim();
  rememberSecret(url);
  if (!/^https?:\/\//.test(url))
    throw new FerryError('UnexpectedReply', 'heroku pg:backups:url did not answer with an address');
  return url;
}

/** Times without a byte more before a person is asked. */
const TRIES = 6;
const PAUSE_MS = 500;
/** Milliseconds without a byte. */
const STALLED = 60_000;

export interface Download extends Asked {
  /** Asked for anew for each connection. */
  url: () => Promise<string>;
  /** Where it goes; beside it stands how far it is, so that another attempt goes on from there. */
  path: string;
  onProgress?: (bytes: number, total: number) => void;
}

/**
 * Goes on where it broke off, also after the death of the worker. It is whole when it has as many bytes as Heroku's store says, and its MD5, where
 * that tells one.
 *
 * @throws FerryError BackupFailed; the signal's reason when aborted
 */
export async function downloadBackup({
  url,
  path,
  onProgress = () => {},
  signal,
}: Download): Promise<number> {
  const [part, mark] = [`${path}.download`, `${path}.etag`];
  for (let tries = 0; ;) {
    signal?.throwIfAborted();
    const from = await sizeOf(part);
    const etag = await readFile(mark, 'utf8').catch(() => '');
    const came = await fetchFrom({
      url: await url(),
      part,
      mark,
      from: etag === '' ? 0 : from,
      etag,
      onProgress,
      signal,
    });
    if (came.total !== null && (await sizeOf(part)) === came.total) {
      await mustHaveSum(part, await readFile(mark, 'utf8').catch(() => ''));
      await rename(part, path);
      await rm(mark, { force: true });
      return came.total;
    }
    tries = (await sizeOf(part)) > from ? 0 : tries + 1;
    if (tries >= TRIES)
      throw new FerryError(
        'BackupFailed',
        `the download of Heroku's backup breaks off again and again: ${came.why}`,
      );
    await sleep(PAUSE_MS * 2 ** tries, undefined, { signal });
  }
}

async function fetchFrom(
  on: Omit<Download, 'url' | 'path'> & {
    url: string;
    part: string;
    mark: string;
    from: number;
    etag: string;
    onProgress: (bytes: number, total: number) => void;
  },
): Promise<{ total: number | null; why: string }> {
  const { url, part, mark, from, etag, onProgress, signal } = on;
  const stalled = new AbortController();
  const stop = (): void => stalled.abort(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  let timer = setTimeout(stop, STALLED);
  try {
    const range = from > 0 ? { range: `bytes=${from}-`, 'if-range': etag } : {};
    const reply = await fetch(url, { headers: range, signal: stalled.signal });
    if (!reply.ok || !reply.body) return { total: null, why: `it answered ${reply.status}` };
    // Asked for at once, and always one ahead: what nobody has asked for is lost with the connection.
    const reader = reply.body.getReader();
    const read = () => {
      const piece = reader.read();
      piece.catch(() => undefined);
      return piece;
    };
    let next = read();
    const goesOn = reply.status === 206;
    const total = goesOn
      ? Number(/\/(\d+)$/.exec(reply.headers.get('content-range') ?? '')?.[1] ?? Number.NaN)
      : Number(reply.headers.get('content-length') ?? Number.NaN);
    if (Number.isNaN(total)) return { total: null, why: 'it does not say how long it is' };
    if (!goesOn) await writeAtomically({ path: mark, content: reply.headers.get('etag') ?? '', mode: 0o600 });
    const file = await open(part, goesOn ? 'a' : 'w', 0o600);
    let bytes = goesOn ? from : 0;
    try {
      for (;;) {
        const { done, value } = await next;
        if (done) break;
        next = read();
        clearTimeout(timer);
        timer = setTimeout(stop, STALLED);
        await file.write(value);
        bytes += value.length;
        onProgress(bytes, total);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    return { total, why: 'it ended early' };
  } catch (error) {
    signal?.throwIfAborted();
    if (
      error instanceof Error &&
      'code' in error &&
      ['ENOSPC', 'EACCES', 'EROFS'].includes(String(error.code))
    )
      throw fileFailure(part, error);
    return { total: null, why: stalled.signal.aborted ? 'nothing came for a minute' : fetchFailure(error) };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

/** An entity tag of a store is the MD5 of what was uploaded in one piece. */
async function mustHaveSum(part: string, etag: string): Promise<void> {
  const expected = /^"([0-9a-f]{32})"$/.exec(etag)?.[1];
  if (expected === undefined) return;
  const hash = createHash('md5');
  await pipeline(createReadStream(part), hash);
  if (hash.digest('hex') === expected) return;
  await rm(part, { force: true });
  throw new FerryError(
    'BackupFailed',
    `what was downloaded of Heroku's backup has another checksum. It was deleted`,
  );
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
