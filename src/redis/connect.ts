/** Connections to a Redis server, and the sentences that say why one failed. */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { shown, type ServerAddress } from './address.js';

export interface ConnectOptions {
  address: ServerAddress;
  /** CLIENT SETNAME; begins with `ferry:`. */
  name: string;
  database?: number;
  signal?: AbortSignal;
  /** Default 5,000. */
  connectTimeoutMs?: number;
  /** The longest one command may take; default: as long as it takes. */
  commandTimeoutMs?: number;
}

export async function connect(options: ConnectOptions): Promise<Redis> {
  throw new FerryError('Unknown', `not written yet: ${options.name}`);
}

export async function withClient<T>(options: ConnectOptions, use: (client: Redis) => Promise<T>): Promise<T> {
  return use(await connect(options));
}

export function redisFailure(error: unknown, address: Pick<ServerAddress, 'host' | 'port'>): FerryError {
  return new FerryError('Unknown', `${shown(address)}: ${String(error)}`);
}
