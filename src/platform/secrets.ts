/**
 * Reads what a secret reference points at.
 *
 * Whoever may start a workflow may name any variable or file of the worker, as they may name any command: the worker's own
 * environment is the boundary. What is read is used and never shown.
 */
import { readFile } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import { configVar } from '../heroku/config-vars.js';
import { shownApp, variable } from '../hokusai/cli.js';
import { placeOf, type RedisEndpoint, type SecretRef, type TlsOptions } from '../inputs/refs.js';
import { podPlace } from '../kubernetes/pod-place.js';
import { secretEntry } from '../kubernetes/secret.js';
import { parseRedisUrl, type ServerAddress } from '../redis/address.js';
import { rememberSecret } from './redact.js';

/**
 * `where` is the field of the input, for the message. Surrounding white space is not part of a secret. A config variable of Heroku is
 * asked for each time: it changes with an attachment.
 *
 * @throws FerryError MissingSecret; for a config variable also what `heroku/api.ts` throws, for others what their clients throw
 */
export async function resolveSecret({
  ref,
  where,
  signal,
}: {
  ref: SecretRef;
  where: string;
  signal?: AbortSignal | undefined;
}): Promise<string> {
  const secret = (await read({ ref, where, signal }))?.trim();
  if (!secret) throw new FerryError('MissingSecret', `${where}: ${emptiness(ref)}`);
  rememberSecret(secret);
  return secret;
}

async function read({
  ref,
  where,
  signal,
}: {
  ref: SecretRef;
  where: string;
  signal: AbortSignal | undefined;
}): Promise<string | null | undefined> {
  if ('env' in ref) return process.env[ref.env];
  if ('file' in ref) return readNamed({ path: ref.file, where });
  if ('herokuConfig' in ref) return configVar({ ...ref.herokuConfig, signal });
  if ('hokusai' in ref) {
    const { key, ...at } = ref.hokusai;
    const { current, before } = await variable({ at, key, signal });
    // An upgrade that points the app elsewhere still means the server that it began with.
    return before ?? current;
  }
  return secretEntry({ ...ref.kubernetesSecret, signal });
}

function emptiness(ref: SecretRef): string {
  if ('env' in ref) return `the environment variable ${ref.env} is not set on the worker`;
  if ('file' in ref) return `the file ${ref.file} is empty`;
  if ('herokuConfig' in ref)
    return `the app ${ref.herokuConfig.app} has no config variable ${ref.herokuConfig.key}`;
  if ('hokusai' in ref) return `${shownApp(ref.hokusai)} has no variable ${ref.hokusai.key}, or an empty one`;
  const { namespace, name, key } = ref.kubernetesSecret;
  return `the Secret ${namespace}/${name} has no entry ${key}, or an empty one`;
}

/** Where a server is, with the password that its reference holds. */
export async function resolveEndpoint({
  endpoint,
  where,
  signal,
}: {
  endpoint: RedisEndpoint;
  where: string;
  signal?: AbortSignal | undefined;
}): Promise<ServerAddress> {
  const given = typeof endpoint === 'string' ? { url: endpoint } : endpoint;
  if ('kubernetesPod' in given) {
    const { password: ref, username, ...pod } = given.kubernetesPod;
    const at = await podPlace({ ...pod, signal });
    const password = ref && (await resolveSecret({ ref, where: `${where}.password`, signal }));
    return withTls({
      address: {
        ...at,
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
        ...(given.tls ? { tls: {} } : {}),
      },
      tls: given.tls,
      where,
    });
  }
  const url = 'url' in given ? given.url : await resolveSecret({ ref: given, where, signal });
  const address = parseUrl({
    url,
    where,
    ...('url' in given ? {} : { kept: placeOf(given) }),
  });
  if (address.password !== undefined) rememberSecret(address.password);
  return withTls({ address, tls: 'tls' in given ? given.tls : undefined, where });
}

async function withTls(on: {
  address: ServerAddress;
  tls: TlsOptions | undefined;
  where: string;
}): Promise<ServerAddress> {
  const { address, tls, where } = on;
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
