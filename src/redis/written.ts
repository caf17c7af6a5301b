/** What a server has been told to write, and has written to its disk, since it was started. */
import type { Redis } from 'ioredis';
import { failureOn, messageOf } from './connect.js';
import { parseInfo } from './info.js';

/** Names of the commands that write. Empty where nobody says which they are: none is taken for one then. */
export async function writeCommands({ client }: { client: Redis }): Promise<ReadonlySet<string>> {
  const names = await client.call('ACL', 'CAT', 'write').catch((error: unknown) => {
    if (/NOPERM|unknown command/i.test(messageOf(error))) return [];
    throw failureOn(client, error);
  });
  return new Set(Array.isArray(names) ? names.map((name) => String(name).toLowerCase()) : []);
}

/** Calls of these that did not fail, of `cmdstat_set:calls=3,…`; subcommands stand behind a bar. Loading a file counts as none. */
export function writesIn(info: Record<string, string>, commands: ReadonlySet<string>): number {
  return Object.entries(info).reduce((sum, [name, value]) => {
    const command = /^cmdstat_([^|]+)/.exec(name)?.[1];
    const [calls, failed] = [/\bcalls=(\d+)/, /failed_calls=(\d+)/].map((pattern) =>
      Number(pattern.exec(value)?.[1] ?? 0),
    );
    return command !== undefined && commands.has(command) ? sum + (calls ?? 0) - (failed ?? 0) : sum;
  }, 0);
}

export interface Written {
  /** Commands that wrote. */
  commands: number;
  /** It has written a whole RDB file, or the append-only files anew: in its own format. */
  saved: boolean;
}

/** Since the process was started. @throws FerryError */
export async function writtenSince({ client }: { client: Redis }): Promise<Written> {
  const commands = await writeCommands({ client });
  const [stats, persistence] = await Promise.all(
    ['commandstats', 'persistence'].map(async (part) => parseInfo(String(await client.call('INFO', part)))),
  ).catch((error: unknown) => {
    throw failureOn(client, error);
  });
  const ever = (name: string): boolean => Number(persistence?.[name] ?? -1) >= 0;
  return {
    commands: writesIn(stats ?? {}, commands),
    saved:
      ever('rdb_last_bgsave_time_sec') ||
      persistence?.['rdb_bgsave_in_progress'] === '1' ||
      persistence?.['aof_rewrite_in_progress'] === '1' ||
      ever('aof_last_rewrite_time_sec') ||
      Number(persistence?.['rdb_saves'] ?? 0) > 0,
  };
}
