/** A bucket of S3, or of a store that speaks as it does. */
import { z } from 'zod';
import { HttpUrl, SecretRef } from './refs.js';

export const Bucket = z
  .strictObject({
    bucket: z
      .string()
      .regex(
        /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
        'must be the name of a bucket: 3 to 63 of a-z, 0-9, "-" and "."',
      )
      .meta({ description: 'Its name', examples: ['ops-receipts'] }),
    prefix: z
      .string()
      .regex(/^[^/].*[^/]$|^[^/]$/, 'must neither begin nor end with "/"')
      .optional()
      .meta({ description: 'What the keys begin with; "/" is put behind it', examples: ['redis-ferry'] }),
    endpoint: HttpUrl.optional().meta({
      description: 'Where another store than S3 of AWS answers',
      examples: ['https://storage.example.com'],
    }),
    region: z
      .string()
      .min(1)
      .optional()
      .meta({
        description:
          "Its region; default: us-east-1 with an endpoint, else the worker's own (AWS_REGION, its profile)",
        examples: ['eu-central-1'],
      }),
    pathStyle: z.boolean().optional().meta({
      description:
        'The name of the bucket stands in the path, not in the host name; default: true with an endpoint',
    }),
    credentials: z
      .strictObject({
        accessKeyId: SecretRef,
        secretAccessKey: SecretRef,
        sessionToken: SecretRef.optional(),
      })
      .optional()
      .meta({
        description:
          "Where the credentials are kept; default: the AWS SDK's own chain on the worker (environment, profile, web identity, instance)",
      }),
  })
  .meta({ description: 'A bucket of S3, or of a store that is compatible with it' });
export type Bucket = z.output<typeof Bucket>;

/** `s3://ops-receipts/redis-ferry` */
export function shownBucket({ bucket, prefix }: Pick<Bucket, 'bucket' | 'prefix'>): string {
  return `s3://${bucket}${prefix === undefined ? '' : `/${prefix}`}`;
}
