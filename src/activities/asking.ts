/** Asking and telling one server, for the activities that switch and those that close. */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { resolveEndpoint } from '../platform/secrets.js';
import type { ServerAddress } from '../redis/address.js';
import { withClient } from '../redis/connect.js';
import { fenceStanding } from '../redis/fence.js';
import { highestFormat, type Formats } from '../redis/format.js';
import { dismiss } from '../redis/hands.js';
import { parseInfo } from '../redis/info.js';
import { openConnection } from '../redis/resp.js';
import { dropTracker } from '../redis/tracker-pool.js';
import type { Border } from './border.js';

export function onServer<T>(
  b: Pick<Border<never>, 'hand' | 'signal'>,
  address: ServerAddress,
  use: (client: Redis) => Promise<T>,
): Promise<T> {
  return withClient({ address, name: b.hand, signal: b.signal, commandTimeoutMs: 10_000 }, use);
}

/** The same by a reference, which is read right before; `where` names it in errors. */
export async function atEndpoint<T>(
  b: Pick<Border<never>, 'hand' | 'signal'>,
  { endpoint, where }: { endpoint: RedisEndpoint; where: string },
  use: (client: Redis) => Promise<T>,
): Promise<T> {
  return onServer(b, await resolveEndpoint({ endpoint, where, signal: b.signal }), use);
}

/** Which formats a server reads and writes. */
export async function formatsAt(
  b: Pick<Border<never>, 'hand' | 'signal'>,
  address: ServerAddress,
): Promise<Formats> {
  const connection = await openConnection({ address, name: b.hand, signal: b.signal });
  try {
    return await highestFormat(connection);
  } finally {
    connection.close();
  }
}

/** Where CONFIG isn't permitted no fence of ours can stand. */
export async function fenceStandingOf(
  b: Pick<Border<never>, 'hand' | 'signal'>,
  address: ServerAddress,
): Promise<string> {
  return onServer(b, address, (client) => fenceStanding({ client })).catch((error: unknown) => {
    if (error instanceof FerryError && error.type === 'NotPermitted') return 'none';
    throw error;
  });
}

export async function runIdOf(address: ServerAddress, name: string): Promise<string> {
  return withClient(
    { address, name, commandTimeoutMs: 10_000 },
    async (client) => parseInfo(String(await client.call('INFO', 'server')))['run_id'] ?? '',
  );
}

/** The last to touch the servers: no connection of this upgrade is left, wherever its worker is. */
export async function leave(
  b: Pick<Border<never>, 'hand' | 'signal' | 'workflowId'>,
  addresses: readonly ServerAddress[],
): Promise<void> {
  dropTracker(b.workflowId);
  for (const address of addresses)
    await onServer(b, address, (client) => dismiss({ client, workflowId: b.workflowId }));
}
