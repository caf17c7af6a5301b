/** The file that says what a backup is. Whatever has none, or another, is not ours. */
import { z } from 'zod';

export const MANIFEST = 'manifest.json';

const Manifest = z.object({
  takenAt: z.iso.datetime(),
  server: z.object({ product: z.string() }),
  keys: z.object({ databases: z.record(z.string(), z.object({ keys: z.number() })) }),
  files: z
    .array(
      z.object({
        // A name may lead nowhere else.
        name: z.string().regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/),
        bytes: z.number(),
        sha256: z.string(),
      }),
    )
    .min(1),
});
export type Manifest = z.output<typeof Manifest>;

/** Null: it is none of ours. */
export function manifestIn(text: string): Manifest | null {
  try {
    return Manifest.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
