/** The file that says what a backup is. Whatever has none, or another, is not ours. */
import { z } from 'zod';

export const MANIFEST = 'manifest.json';

/** What every backup says of itself. */
const Manifest = z.object({
  takenAt: z.iso.datetime(),
  files: z
    .array(
      z.object({
        // A name may lead nowhere else; that of PostgreSQL's has a folder of its own.
        name: z.string().regex(/^(?:dump\/)?[A-Za-z0-9_-][A-Za-z0-9._-]*$/),
        bytes: z.number(),
        sha256: z.string(),
      }),
    )
    .min(1),
});
export type Manifest = z.output<typeof Manifest>;

const RedisManifest = Manifest.extend({
  keys: z.object({ databases: z.record(z.string(), z.object({ keys: z.number() })) }),
});
export type RedisManifest = z.output<typeof RedisManifest>;

/** Null: it is none of ours. */
export function manifestIn(text: string): Manifest | null {
  return parsed(Manifest, text);
}

/** Null: it is none of a server of Redis. */
export function redisManifestIn(text: string): RedisManifest | null {
  return parsed(RedisManifest, text);
}

function parsed<T>(schema: z.ZodType<T>, text: string): T | null {
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
