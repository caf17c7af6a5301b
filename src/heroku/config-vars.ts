/** Config variables of an app. Their values are secrets, all of them. */
import { z } from 'zod';
import { rememberSecret } from '../platform/redact.js';
import { path, request, type Asked } from './api.js';

/** Null where the app has none of that name. Its value is remembered as a secret. @throws as `request` */
export async function configVar({
  app,
  key,
  signal,
}: Asked & { app: string; key: string }): Promise<string | null> {
  const value = (await all({ app, to: `read ${key} of ${app}`, signal }))[key] ?? null;
  if (value !== null) rememberSecret(value);
  return value;
}

/** Names in order, without values. @throws as `request` */
export async function configVarNames({ app, signal }: Asked & { app: string }): Promise<string[]> {
  return Object.keys(await all({ app, to: `list the config variables of ${app}`, signal })).toSorted();
}

async function all({
  app,
  to,
  signal,
}: Asked & { app: string; to: string }): Promise<Record<string, string | null>> {
  return request({
    path: path('apps', app, 'config-vars'),
    reply: z.record(z.string(), z.string().nullable()),
    to,
    secret: true,
    signal,
  });
}
