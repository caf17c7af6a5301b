/** Who is connected to a server, by CLIENT LIST, and how they are sent away. */
import type { Redis } from 'ioredis';
import { failureOn, messageOf } from './connect.js';

/** A connected client; never its arguments. */
export interface ClientFacts {
  id: string;
  /** `ip:port` */
  address: string;
  name: string;
  database: number;
  /** The last command. */
  command: string;
}

interface ListedClient extends ClientFacts {
  flags: string;
  subscriber: boolean;
}

/** CLIENT LIST, parted: ordinary clients, and the names of our own connections but the asking one. */
export async function clientsIn({
  client,
}: {
  client: Redis;
}): Promise<{ ordinary: ListedClient[]; ferry: string[] }> {
  try {
    const own = String(await client.call('CLIENT', 'ID').catch(() => ''));
    const listed = parseClientList(String(await client.call('CLIENT', 'LIST')));
    const others = listed.filter(({ id }) => id !== own);
    return {
      ordinary: others.filter(({ flags, name }) => !isLink(flags) && !isOurs(name)),
      ferry: others.filter(({ name }) => isOurs(name)).map(({ name }) => name),
    };
  } catch (error) {
    throw failureOn(client, error);
  }
}

/** Replicas (S), primaries (M) and slot migrations are links between servers, not clients. */
function isLink(flags: string): boolean {
  return /[SM]/.test(flags);
}

export function isOurs(name: string): boolean {
  return name.startsWith('ferry:');
}

function parseClientList(text: string): ListedClient[] {
  return rowsOf(text).map((fields) => ({
    id: fields['id'] ?? '',
    address: fields['addr'] ?? '',
    name: fields['name'] ?? '',
    database: Number(fields['db'] ?? 0),
    command: fields['cmd'] ?? '',
    flags: fields['flags'] ?? '',
    subscriber: Number(fields['sub'] ?? 0) + Number(fields['psub'] ?? 0) + Number(fields['ssub'] ?? 0) > 0,
  }));
}

/** The fields of each line of CLIENT LIST. */
export function rowsOf(text: string): Record<string, string>[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) =>
      Object.fromEntries(
        line
          .trimEnd()
          .split(' ')
          .map((field) => [field.slice(0, field.indexOf('=')), field.slice(field.indexOf('=') + 1)]),
      ),
    );
}

/** Ordinary clients; replicas and `ferry:` connections are left out. `databases`: only those that have chosen one of these. */
export async function clientsOf({
  client,
  databases,
}: {
  client: Redis;
  databases?: readonly number[] | undefined;
}): Promise<ClientFacts[]> {
  const { ordinary } = await clientsIn({ client });
  return ordinary
    .filter(({ database }) => !databases || databases.includes(database))
    .map(({ id, address, name, database, command }) => ({ id, address, name, database, command }));
}

/**
 * Closes connections of ordinary clients, which then ask anew where their server is. Never replicas, `ferry:` connections or the
 * asking one; subscribers only when asked. Returns how many were closed.
 */
export async function dropClients(input: {
  client: Redis;
  ids: readonly string[];
  subscribers?: boolean | undefined;
}): Promise<number> {
  const { client, ids, subscribers = false } = input;
  // Looked at again: what was an ordinary client may have become a replica (PSYNC) since it was listed.
  const { ordinary } = await clientsIn({ client });
  let dropped = 0;
  for (const { id, subscriber } of ordinary) {
    if (!ids.includes(id) || (subscriber && !subscribers)) continue;
    try {
      dropped += Number(await client.call('CLIENT', 'KILL', 'ID', id, 'SKIPME', 'yes'));
    } catch (error) {
      if (!/no such client/i.test(messageOf(error))) throw failureOn(client, error);
    }
  }
  return dropped;
}
