/** Objects in a bucket, by the AWS SDK, which is loaded only where somebody has one. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { FerryError, type FailureType } from '../errors.js';
import { shownBucket, type Bucket } from '../inputs/bucket.js';
import { fileFailure } from './files.js';
import { redact } from './redact.js';
import { resolveSecret } from './secrets.js';

/** An open bucket. Keys are below its prefix. Each call @throws FerryError; the signal's reason when aborted */
export interface OpenBucket {
  /** For messages. */
  shown: string;
  put(key: string, text: string, type: string): Promise<void>;
  /** In parts where it is large. What stands there afterwards is read back, and compared. */
  putFile(on: { key: string; path: string; sha256: string; onBytes?: (done: number) => void }): Promise<void>;
  get(key: string): Promise<string>;
  /** Keys that begin so, with the prefix of the bucket left out. */
  list(start: string): Promise<string[]>;
  remove(keys: readonly string[]): Promise<void>;
}

const CONNECT_MS = 5_000;
/** Without a byte. */
const QUIET_MS = 30_000;
/** Bytes. Two are in memory at once; a store takes 10,000 of them. */
const PART = 16 * 1024 * 1024;
const MOST_PARTS = 10_000;

/** `where`: the field of the input. @throws FerryError; the signal's reason when aborted; what `use` throws */
export async function withBucket<T>(
  on: { bucket: Bucket; where: string; signal?: AbortSignal | undefined },
  use: (bucket: OpenBucket) => Promise<T>,
): Promise<T> {
  const { bucket, where, signal } = on;
  const sdk = await import('@aws-sdk/client-s3');
  const client = new sdk.S3Client({
    ...(bucket.endpoint === undefined ? {} : { endpoint: bucket.endpoint, region: 'us-east-1' }),
    ...(bucket.region === undefined ? {} : { region: bucket.region }),
    forcePathStyle: bucket.pathStyle ?? bucket.endpoint !== undefined,
    ...(bucket.credentials ? { credentials: await credentialsOf(bucket.credentials, where, signal) } : {}),
    requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: QUIET_MS, socketTimeout: QUIET_MS },
    maxAttempts: 2,
    // Other stores know few of its checksums; what counts is read back.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  try {
    return await use(opened({ client, sdk, bucket, signal }));
  } finally {
    client.destroy();
  }
}

async function credentialsOf(
  refs: NonNullable<Bucket['credentials']>,
  where: string,
  signal: AbortSignal | undefined,
) {
  const read = (name: keyof typeof refs) => {
    const ref = refs[name];
    return ref && resolveSecret({ ref, where: `${where}.credentials.${name}`, signal });
  };
  const sessionToken = await read('sessionToken');
  return {
    accessKeyId: (await read('accessKeyId')) ?? '',
    secretAccessKey: (await read('secretAccessKey')) ?? '',
    ...(sessionToken === undefined ? {} : { sessionToken }),
  };
}

function opened(on: {
  client: S3Client;
  sdk: typeof import('@aws-sdk/client-s3');
  bucket: Bucket;
  signal: AbortSignal | undefined;
}): OpenBucket {
  const { client, sdk, bucket, signal } = on;
  const shown = shownBucket(bucket);
  const prefix = bucket.prefix === undefined ? '' : `${bucket.prefix}/`;
  const at = (key: string) => ({ Bucket: bucket.bucket, Key: `${prefix}${key}` });
  const options = signal ? { abortSignal: signal } : {};
  const failing = async <T>(act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      signal?.throwIfAborted();
      throw bucketFailure(shown, error);
    }
  };
  const bodyOf = async (key: string): Promise<Readable> => {
    const { Body } = await client.send(new sdk.GetObjectCommand(at(key)), options);
    if (Body instanceof Readable) return Body;
    throw new FerryError('UnexpectedReply', `${shown}: ${key} came without content`);
  };
  return {
    shown,
    put: (key, text, type) =>
      failing(async () => {
        await client.send(
          new sdk.PutObjectCommand({ ...at(key), Body: Buffer.from(text), ContentType: type }),
          options,
        );
      }),
    putFile: ({ key, path, sha256, onBytes = () => {} }) =>
      failing(async () => {
        const { size } = await stat(path).catch((error: unknown) => {
          throw fileFailure(path, error);
        });
        const { Upload } = await import('@aws-sdk/lib-storage');
        const upload = new Upload({
          client,
          params: { ...at(key), Body: createReadStream(path) },
          queueSize: 2,
          partSize: Math.max(PART, Math.ceil(size / MOST_PARTS)),
        });
        upload.on('httpUploadProgress', ({ loaded }) => onBytes(loaded ?? 0));
        const stop = (): void => void upload.abort().catch(() => undefined);
        signal?.addEventListener('abort', stop, { once: true });
        try {
          await upload.done();
        } finally {
          signal?.removeEventListener('abort', stop);
        }
        const hash = createHash('sha256');
        let bytes = 0;
        for await (const chunk of await bodyOf(key)) {
          hash.update(chunk as Buffer);
          bytes += (chunk as Buffer).length;
          onBytes(size);
        }
        if (bytes !== size || hash.digest('hex') !== sha256)
          throw new FerryError(
            'BackupFailed',
            `${shown}/${key} is not what was written: it has ${bytes} of ${size} bytes, or another SHA-256`,
          );
      }),
    get: (key) =>
      failing(async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of await bodyOf(key)) chunks.push(chunk as Buffer);
        return Buffer.concat(chunks).toString('utf8');
      }),
    list: (start) =>
      failing(async () => {
        const keys: string[] = [];
        const pages = sdk.paginateListObjectsV2(
          { client },
          { Bucket: bucket.bucket, Prefix: `${prefix}${start}` },
          options,
        );
        for await (const { Contents = [] } of pages)
          for (const { Key } of Contents) if (Key !== undefined) keys.push(Key.slice(prefix.length));
        return keys;
      }),
    remove: (keys) =>
      failing(async () => {
        for (const key of keys) await client.send(new sdk.DeleteObjectCommand(at(key)), options);
      }),
  };
}

/** By the name of the error, as S3 documents them. */
const BY_NAME: Readonly<Record<string, FailureType>> = {
  NoSuchBucket: 'NotFound',
  NoSuchKey: 'NotFound',
  NotFound: 'NotFound',
  AccessDenied: 'NotPermitted',
  AllAccessDisabled: 'NotPermitted',
  InvalidAccessKeyId: 'CredentialsRefused',
  SignatureDoesNotMatch: 'CredentialsRefused',
  ExpiredToken: 'CredentialsRefused',
  InvalidToken: 'CredentialsRefused',
  CredentialsProviderError: 'MissingSecret',
  PermanentRedirect: 'InvalidInput',
  AuthorizationHeaderMalformed: 'InvalidInput',
};

function bucketFailure(shown: string, error: unknown): FerryError {
  if (error instanceof FerryError) return error;
  const name = error instanceof Error ? error.name : '';
  const said = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const message = redact(`${shown}: ${[...new Set([name, code, said])].filter(Boolean).join(': ')}`);
  const type = BY_NAME[name];
  if (type === 'InvalidInput' || said.includes('Region is missing'))
    return new FerryError('InvalidInput', `${message}. Give the \`region\` where the bucket is`);
  if (type) return new FerryError(type, message);
  if (/CERT|SSL|TLS|SIGNED/i.test(code)) return new FerryError('TlsFailed', message);
  return new FerryError('Unreachable', message);
}
