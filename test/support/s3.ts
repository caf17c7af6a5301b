/* A server that speaks S3 for tests, with a bucket of its own each time, which is asked by the AWS SDK directly. */
import { randomBytes } from 'node:crypto';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { inject } from 'vitest';
import type { Bucket } from '../../src/inputs/bucket.js';
import { startS3 } from '../../src/setup/s3.js';

const FOUND = inject('s3');
/** There is nothing to try without. */
export const NO_S3 = FOUND === null;

/** What a worker logs in by; any will do. */
export const S3_ENV = { S3_ID: 'an-id', S3_SECRET: 'a-very-secret-word' };

export interface Buckets {
  endpoint: string;
  /** A new one, as an input names it. */
  create(prefix?: string): Promise<Bucket>;
  /** One that is not there yet, and what makes it. */
  later(): { bucket: Bucket; make: () => Promise<void> };
  keys(bucket: Bucket): Promise<string[]>;
  text(bucket: Bucket, key: string): Promise<string>;
  put(bucket: Bucket, key: string, text: string): Promise<void>;
  stop(): Promise<void>;
}

export async function startBuckets(): Promise<Buckets> {
  if (FOUND === null) throw new Error('there is no server that speaks S3');
  const server = await startS3({ found: FOUND });
  const client = new S3Client({
    endpoint: server.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: S3_ENV.S3_ID, secretAccessKey: S3_ENV.S3_SECRET },
  });
  const later = () => {
    const bucket = `b${randomBytes(6).toString('hex')}`;
    return {
      bucket: {
        bucket,
        endpoint: server.endpoint,
        credentials: { accessKeyId: { env: 'S3_ID' }, secretAccessKey: { env: 'S3_SECRET' } },
      },
      make: async () => void (await client.send(new CreateBucketCommand({ Bucket: bucket }))),
    };
  };
  return {
    endpoint: server.endpoint,
    later,
    async create(prefix) {
      const { bucket, make } = later();
      await make();
      return { ...bucket, ...(prefix === undefined ? {} : { prefix }) };
    },
    async keys({ bucket }) {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
      return Contents.map(({ Key = '' }) => Key).toSorted();
    },
    async text({ bucket }, key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      return (await Body?.transformToString()) ?? '';
    },
    async put({ bucket }, key, text) {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: text }));
    },
    async stop() {
      client.destroy();
      await server.stop();
    },
  };
}
