/** Settings and users of a server, as a backup keeps them: without passwords. */
import type { Redis } from 'ioredis';
import { messageOf } from '../connect.js';
import { pairsOf } from '../info.js';

/** By name, so that a setting that a later version adds is taken for a secret rather than shown. */
const SECRET = /pass|auth$|secret|token|credential/i;
const SECRETS_BUT = new Set(['tls-auth-clients']);

export interface Kept<T> {
  value: T | null;
  /** Why there is none. */
  why: string | null;
}

/** CONFIG GET *; of a secret only whether it is set. */
export async function settingsToKeep({ client }: { client: Redis }): Promise<Kept<Record<string, string>>> {
  return kept(async () => {
    const pairs = pairsOf(await client.call('CONFIG', 'GET', '*'));
    return Object.fromEntries(
      pairs
        .map(([name, value]) => [name, isSecret(name) ? (value === '' ? 'not set' : 'set') : value] as const)
        .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
  });
}

function isSecret(name: string): boolean {
  return SECRET.test(name) && !SECRETS_BUT.has(name);
}

/** ACL LIST with the hashes of passwords left out, and without users that Redis Ferry made. */
export async function usersToKeep({ client }: { client: Redis }): Promise<Kept<string[]>> {
  return kept(async () => {
    const lines: unknown = await client.call('ACL', 'LIST');
    return (Array.isArray(lines) ? lines.map(String) : [])
      .filter((line) => !line.startsWith('user ferry-replica-'))
      .map((line) =>
        line.replaceAll(/ #[0-9a-f]+/gi, ' #(left out)').replaceAll(/ [<>]\S+/g, ' #(left out)'),
      );
  });
}

async function kept<T>(read: () => Promise<T>): Promise<Kept<T>> {
  try {
    return { value: await read(), why: null };
  } catch (error) {
    const message = messageOf(error);
    // A server that went away is another matter.
    if (!/NOPERM|unknown (sub)?command|not (allowed|permitted|supported)|disabled/i.test(message))
      throw error;
    return {
      value: null,
      why: message.startsWith('NOPERM') ? 'not permitted' : 'the server does not offer it',
    };
  }
}
