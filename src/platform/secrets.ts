/**
 * Reads what a secret reference points at, and removes secrets from text.
 *
 * Whoever may start a workflow may name any variable or file of the worker, as they may name any command: the worker's own
 * environment is the boundary. What is read is used and never shown.
 */
import { readFile } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import type { RedisEndpoint, SecretRef } from '../inputs/refs.js';
import { parseRedisUrl, type ServerAddress } from '../redis/address.js';

/** `where` is the field of the input, for the message. Surrounding white space is not part of a secret. */
export async function resolveSecret({ ref, where }: { ref: SecretRef; where: string }): Promise<string> {
  const secret =
    'env' in ref ? process.env[ref.env]?.trim() : (await readNamed({ path: ref.file, where })).trim();
  if (!secret) {
    throw 'env' in ref
      ? new FerryError(
          'MissingSecret',
          `${where}: the environment variable ${ref.env} is not set on the worker`,
        )
      : new FerryError('MissingSecret', `${where}: the file ${ref.file} is empty`);
  }
  rememberSecret(secret);
  return secret;
}

/** Where a server is, with the password that its reference holds. */
export async function resolveEndpoint({
  endpoint,
  where,
}: {
  endpoint: RedisEndpoint;
  where: string;
}): Promise<ServerAddress> {
  const given = typeof endpoint === 'string' ? { url: endpoint } : endpoint;
  const url = 'url' in given ? given.url : await resolveSecret({ ref: given, where });
  const address = parseUrl({
    url,
    where,
    ...('url' in given ? {} : { kept: 'env' in given ? given.env : given.file }),
  });
  if (address.password !== undefined) rememberSecret(address.password);
  const tls = 'tls' in given ? given.tls : undefined;
  if (!tls) return address;
  if (!address.tls)
    throw new FerryError(
      'InvalidInput',
      `${where}.tls: is of no use with redis://. Begin the URL with rediss://`,
    );
  return {
    ...address,
    tls: {
      ...(tls.serverName === undefined ? {} : { serverName: tls.serverName }),
      ...(tls.insecure === undefined ? {} : { insecure: tls.insecure }),
      ...(tls.ca === undefined ? {} : { ca: await readNamed({ path: tls.ca, where: `${where}.tls.ca` }) }),
    },
  };
}

function parseUrl({ url, where, kept }: { url: string; where: string; kept?: string }): ServerAddress {
  try {
    return parseRedisUrl(url);
  } catch {
    // Neither the URL nor the parser's message, which repeats it.
    const what = kept === undefined ? 'the URL' : `what ${kept} holds`;
    throw new FerryError(
      'InvalidInput',
      `${where}: ${what} is not a Redis URL. It must look like redis://host:6379 or rediss://user:password@host:6380, with special characters of the password percent-encoded`,
    );
  }
}

async function readNamed({ path, where }: { path: string; where: string }): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const why =
      code === 'ENOENT'
        ? 'does not exist'
        : code === 'EACCES'
          ? 'may not be read'
          : `can not be read (${code})`;
    throw new FerryError('MissingSecret', `${where}: the file ${path} ${why} on the worker`);
  }
}

/** Every spelling of every secret that was resolved, longest first. In memory only. */
let spellings: string[] = [];

/** Remembers a secret, so that `redact` removes it. */
export function rememberSecret(secret: string): void {
  if (secret === '' || spellings.includes(secret)) return;
  const parts = new Set<string>([secret]);
  // A URL's password alone is as secret as the URL.
  for (const part of credentialsOf(secret)) parts.add(part);
  const all = new Set(spellings);
  for (const part of parts) for (const spelling of spellingsOf(part)) all.add(spelling);
  spellings = [...all].toSorted((a, b) => b.length - a.length);
}

function credentialsOf(text: string): string[] {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return [];
  try {
    const url = new URL(text);
    return url.password ? [url.password, decodeURIComponent(url.password)] : [];
  } catch {
    // Not a URL after all: what stands between the scheme and the last @ is taken for the credentials.
    const password = /:\/\/[^:/]*:(.*)@/.exec(text)?.[1];
    return password ? [password] : [];
  }
}

function spellingsOf(secret: string): string[] {
  const url = encodeURIComponent(secret);
  const forms = [
    secret,
    url,
    encodeURI(secret),
    url.replaceAll('%20', '+'),
    JSON.stringify(secret).slice(1, -1),
  ];
  // Base64 of a longer text holds the secret at one of three offsets; the first and last characters there depend on the neighbours.
  if (secret.length >= 6) {
    for (const before of [0, 1, 2]) {
      const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
      const whole = bytes.toString('base64').replace(/=+$/, '');
      const inner = whole.slice(before === 0 ? 0 : before + 1, bytes.length % 3 === 0 ? undefined : -1);
      forms.push(inner, inner.replaceAll('+', '-').replaceAll('/', '_'));
    }
  }
  return forms.filter((form) => form !== '');
}

const HIDDEN = '***';

/** Removes every known secret (also URL-encoded and base64) and every password inside a URL. */
export function redact(text: string): string {
  let clean = text;
  for (const spelling of spellings) {
    // A secret of one to three characters would tear holes everywhere; it is removed where it stands alone.
    clean =
      spelling.length > 3
        ? clean.replaceAll(spelling, HIDDEN)
        : clean.replaceAll(new RegExp(`(?<![\\w])${escapeRegExp(spelling)}(?![\\w])`, 'g'), HIDDEN);
  }
  return clean.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@'"]*:[^\s'"]*@/gi, `$1${HIDDEN}@`);
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
