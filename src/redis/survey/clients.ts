/** What the clients of a server are and do now, in counts: what they will live through can be told from it. */
import type { Redis } from 'ioredis';
import { isOurs, rowsOf } from '../clients.js';
import { askable } from './asking.js';

export interface Habits {
  /** Ordinary clients: no replicas, none of ours. */
  total: number;
  /** By library, as clients have named it from 7.2 on (CLIENT SETINFO), the most frequent first; `""`: it didn't say. */
  libraries: { name: string; versions: string[]; clients: number }[];
  /** Whether the server would tell libraries. */
  tellsLibraries: boolean;
  /** Waiting in a blocking command, by command. */
  waiting: Record<string, number>;
  subscribers: number;
  /** Between MULTI and EXEC. */
  inTransaction: number;
  /** Watching keys (WATCH), and not in a transaction yet. */
  watching: number;
  /** With client-side caching (CLIENT TRACKING). */
  tracking: number;
  /** In MONITOR. */
  monitors: number;
  /** Speaking RESP3; null where the server doesn't tell (before 7.0). */
  resp3: number | null;
  /** By the user that they are logged in as; empty before 6.0. */
  users: Record<string, number>;
  /** Names that they gave themselves (CLIENT SETNAME), the first 20. */
  names: string[];
}

/** Null where CLIENT LIST isn't permitted. */
export async function habitsOf({ client }: { client: Redis }): Promise<Habits | null> {
  const own = String(await askable(client, ['CLIENT', 'ID']));
  const list = await askable(client, ['CLIENT', 'LIST']);
  return typeof list === 'string' ? parseHabits(list, own) : null;
}

/** `own`: the ID of the asking connection. */
export function parseHabits(text: string, own: string): Habits {
  const rows = rowsOf(text);
  const clients = rows.filter(
    ({ id, name = '', flags = '' }) =>
      id !== own && !isOurs(name) && (/O/.test(flags) || !/[SM]/.test(flags)),
  );
  const having = (flag: string) => clients.filter(({ flags = '' }) => flags.includes(flag));
  return {
    total: clients.length,
    libraries: librariesOf(clients),
    tellsLibraries: rows.some((row) => 'lib-name' in row),
    waiting: countBy(having('b').map(({ cmd = '' }) => cmd)),
    subscribers: clients.filter((row) => ['sub', 'psub', 'ssub'].some((kind) => Number(row[kind] ?? 0) > 0))
      .length,
    inTransaction: clients.filter(({ multi = '-1' }) => Number(multi) >= 0).length,
    watching: clients.filter(({ watch = '0', multi = '-1' }) => Number(watch) > 0 && Number(multi) < 0)
      .length,
    tracking: having('t').length,
    monitors: having('O').length,
    resp3: rows.some((row) => 'resp' in row) ? clients.filter(({ resp }) => resp === '3').length : null,
    users: countBy(clients.flatMap(({ user }) => (user === undefined ? [] : [user]))),
    names: [...new Set(clients.map(({ name = '' }) => name))].filter(Boolean).toSorted().slice(0, 20),
  };
}

function librariesOf(clients: Record<string, string>[]): Habits['libraries'] {
  const found = new Map<string, { versions: Set<string>; clients: number }>();
  for (const row of clients) {
    const name = row['lib-name'] ?? '';
    const library = found.get(name) ?? { versions: new Set(), clients: 0 };
    library.clients += 1;
    if (row['lib-ver']) library.versions.add(row['lib-ver']);
    found.set(name, library);
  }
  return [...found]
    .map(([name, library]) => ({
      name,
      versions: [...library.versions].toSorted(),
      clients: library.clients,
    }))
    .toSorted((a, b) => b.clients - a.clients || (a.name < b.name ? -1 : 1));
}

function countBy(words: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
