/** Which commands a server knows, which are used there, and what one server knows that the other lacks. */
import type { Redis } from 'ioredis';
import { parseInfo } from '../info.js';
import { askable } from './asking.js';

export interface Command {
  /** In lower case, a subcommand behind its command: `config|get`. */
  name: string;
  write: boolean;
}

export interface CommandsOf {
  /** Calls since the statistics were last reset, by name; null: not told. Before 7.0 without subcommands. */
  calls: Record<string, number> | null;
  /** Every command; null where COMMAND isn't permitted. */
  known: Command[] | null;
}

/** Asks COMMAND and INFO commandstats; whatever isn't permitted is null. */
export async function commandsOf({ client }: { client: Redis }): Promise<CommandsOf> {
  const stats = await askable(client, ['INFO', 'commandstats']);
  const calls = typeof stats === 'string' ? callsOf(parseInfo(stats)) : {};
  const reply = await askable(client, ['COMMAND']);
  const known = reply === null ? [] : parseCommands(reply);
  // A proxy may answer with nothing: that is no knowledge either.
  return {
    calls: Object.keys(calls).length > 0 ? calls : null,
    known: known.length > 0 ? known : null,
  };
}

export function callsOf(info: Record<string, string>): Record<string, number> {
  const calls: Record<string, number> = {};
  for (const [key, value] of Object.entries(info)) {
    const count = key.startsWith('cmdstat_') ? Number(/calls=(\d+)/.exec(value)?.[1] ?? 0) : 0;
    if (count > 0) calls[key.slice('cmdstat_'.length).toLowerCase()] = count;
  }
  return calls;
}

/** From 7.0 on each command brings its subcommands along, as the tenth of its fields. */
export function parseCommands(reply: unknown): Command[] {
  if (!Array.isArray(reply)) return [];
  return (reply as unknown[]).flatMap((entry): Command[] => {
    if (!Array.isArray(entry)) return [];
    const [name, , flags, , , , , , , subcommands] = entry as unknown[];
    if (typeof name !== 'string') return [];
    const write = Array.isArray(flags) && flags.map(String).includes('write');
    return [{ name: name.toLowerCase(), write }, ...parseCommands(subcommands)];
  });
}

export interface CommandsBetween {
  /** Calls on the source, by name; null: not told. */
  calls: Record<string, number> | null;
  /** Used on the source, and not known to the target; the most used first. Null where one of both doesn't tell. */
  lacking: { name: string; calls: number }[] | null;
  /** Writes that the target knows and the source lacks; at most 60 names. Null where one of both doesn't tell. */
  onlyTarget: { total: number; names: string[] } | null;
}

export function commandsBetween({
  source,
  target,
}: {
  source: CommandsOf;
  target: CommandsOf;
}): CommandsBetween {
  const { calls } = source;
  const lacking =
    calls === null || target.known === null
      ? null
      : Object.entries(calls)
          .filter(([name]) => !ASKED_BY_US.has(name) && !knows(target.known ?? [], name))
          .map(([name, count]) => ({ name, calls: count }))
          .toSorted((a, b) => b.calls - a.calls || (a.name < b.name ? -1 : 1));
  const onlyTarget =
    source.known === null || target.known === null
      ? null
      : target.known
          .filter(({ name, write }) => write && !knows(source.known ?? [], name))
          .map(({ name }) => name)
          .toSorted();
  return {
    calls,
    lacking,
    onlyTarget: onlyTarget && { total: onlyTarget.length, names: onlyTarget.slice(0, 60) },
  };
}

/** What pre-flight has just asked the source itself: no sign that anybody uses it. */
const ASKED_BY_US = new Set(['acl', 'acl|list', 'command', 'module', 'module|list', 'time']);

/** Before 7.0 a server lists no subcommands, so that its command answers for them. */
function knows(known: readonly Command[], name: string): boolean {
  if (known.some((command) => command.name === name)) return true;
  const [container = name, sub] = name.split('|');
  return (
    sub !== undefined &&
    known.some((command) => command.name === container) &&
    !known.some((command) => command.name.includes('|'))
  );
}
