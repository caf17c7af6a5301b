/** Releases: each deployment, and each change of config, attachment or add-on, is one. */
import { z } from 'zod';
import { path, requestList, type Asked } from './api.js';

export interface Release {
  version: number;
  /** `succeeded`, `pending`, `failed`. */
  status: string;
  /** Such as "Attach REDIS (@ref:redis-curly-1)". */
  description: string;
  createdAt: string;
}

const Reply = z
  .object({
    version: z.number(),
    status: z.string().default('succeeded'),
    description: z.string(),
    created_at: z.string(),
  })
  .transform(({ created_at, ...rest }): Release => ({ ...rest, createdAt: created_at }));

/** Null before the first one. @throws as `request` */
export async function newestRelease({ app, signal }: Asked & { app: string }): Promise<Release | null> {
  const [newest] = await requestList({
    path: path('apps', app, 'releases'),
    range: 'version ..; order=desc, max=1',
    item: Reply,
    to: `look at the newest release of ${app}`,
    signal,
  });
  return newest ?? null;
}
