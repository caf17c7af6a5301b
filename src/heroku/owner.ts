/** Whose account the key is of. */
import { z } from 'zod';
import { request, type Asked } from './api.js';

/** By e-mail address. @throws FerryError CredentialsRefused, MissingSecret, and as `request` */
export async function accountOwner({ signal }: Asked = {}): Promise<string> {
  const { email } = await request({
    path: '/account',
    reply: z.object({ email: z.string() }),
    to: 'look whose account the key is of',
    signal,
  });
  return email;
}
