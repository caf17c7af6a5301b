/** Entries of Secrets. */
import { z } from 'zod';
import { getJson } from './kubectl.js';

const Secret = z.object({ data: z.record(z.string(), z.string()).default({}) });

/** The entry's text; null where the Secret has none of that name. @throws FerryError, NotFound where there is no such Secret */
export async function secretEntry(on: {
  namespace: string;
  name: string;
  key: string;
  context?: string | undefined;
  signal?: AbortSignal | undefined;
}): Promise<string | null> {
  const { name, key, ...where } = on;
  const { data } = await getJson({ ...where, what: ['secret', name], schema: Secret });
  const entry = data[key];
  return entry === undefined ? null : Buffer.from(entry, 'base64').toString('utf8');
}
