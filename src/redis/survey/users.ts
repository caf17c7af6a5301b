/** ACL users of both servers, compared where they are read: password hashes go no further than this file. */
import type { Redis } from 'ioredis';
import { askable } from './asking.js';

/** One line of ACL LIST. Holds hashes of passwords: never part of a result. */
export interface AclUser {
  name: string;
  on: boolean;
  /** Takes any password. */
  nopass: boolean;
  hashes: string[];
  everyChannel: boolean;
  /** What else it may, as the server writes it. */
  rules: string;
}

export interface UsersBetween {
  /** Names of the source's users, but `default`. */
  source: string[];
  /** Of those, the ones that the target lacks. */
  lacking: string[];
  /** On both, and not alike there: in what. */
  differ: { name: string; in: ('switched off' | 'passwords' | 'channels' | 'rules')[] }[];
  /** Of the source's users but `default`, those whose rules name a category (`+@read`). */
  byCategory: string[];
}

/** Null where ACL LIST isn't permitted. */
export async function usersOf({ client }: { client: Redis }): Promise<AclUser[] | null> {
  const reply = await askable(client, ['ACL', 'LIST']);
  return Array.isArray(reply) ? (reply as unknown[]).map((line) => parseAclUser(String(line))) : null;
}

/** `user app on #5e88… ~cache:* resetchannels -@all +@read` */
export function parseAclUser(line: string): AclUser {
  const [, name = '', ...words] = line.trim().split(/\s+/);
  const told = new Set(['on', 'off', 'nopass', 'sanitize-payload', 'skip-sanitize-payload', 'resetchannels']);
  return {
    name,
    on: words.includes('on'),
    nopass: words.includes('nopass'),
    hashes: words
      .filter((word) => word.startsWith('#'))
      .map((word) => word.slice(1))
      .toSorted(),
    everyChannel: words.includes('&*') || words.includes('allchannels'),
    rules: words.filter((word) => !/^[#&]/.test(word) && !told.has(word)).join(' '),
  };
}

export function usersBetween({
  source,
  target,
}: {
  source: AclUser[] | null;
  target: AclUser[] | null;
}): UsersBetween | null {
  if (source === null || target === null) return null;
  const named = source.filter(({ name }) => name !== 'default' && !name.startsWith('ferry-'));
  const at = (name: string) => target.find((user) => user.name === name);
  return {
    source: named.map(({ name }) => name).toSorted(),
    lacking: named
      .filter(({ name }) => !at(name))
      .map(({ name }) => name)
      .toSorted(),
    differ: source
      .filter(({ name }) => !name.startsWith('ferry-'))
      .flatMap((user) => {
        const other = at(user.name);
        const what = other ? differences(user, other) : [];
        return what.length > 0 ? [{ name: user.name, in: what }] : [];
      }),
    byCategory: named
      .filter(({ rules }) => /[+-]@(?!all\b)/.test(rules))
      .map(({ name }) => name)
      .toSorted(),
  };
}

function differences(source: AclUser, target: AclUser): UsersBetween['differ'][number]['in'] {
  // A user that takes any password is no obstacle for one who gives one.
  const opens =
    target.nopass || (!source.nopass && source.hashes.every((hash) => target.hashes.includes(hash)));
  return [
    ...(source.on && !target.on ? (['switched off'] as const) : []),
    ...(opens ? [] : (['passwords'] as const)),
    ...(source.everyChannel && !target.everyChannel ? (['channels'] as const) : []),
    ...(source.rules === target.rules ? [] : (['rules'] as const)),
  ];
}
