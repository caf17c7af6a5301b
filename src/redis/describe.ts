/** What a server is, holds and allows, asked without changing anything. */
import type { RedisEndpoint } from '../inputs/refs.js';
import type { ServerAddress } from './address.js';
import { FerryError } from '../errors.js';

/** What the connecting user may do; asked from the server. */
export type Ability =
  | 'pauseWrites'
  | 'tracking'
  | 'dump'
  | 'restore'
  | 'configGet'
  | 'configSet'
  | 'clientList'
  | 'clientKill'
  | 'replicaOf';

/** A connected client; never its arguments. */
export interface ClientFacts {
  id: string;
  address: string;
  name: string;
  database: number;
  command: string;
}

/** How a server can be made to refuse writes; see fence.ts. */
export type FenceKind = 'min-replicas' | 'replica-of-itself';

export interface ServerFacts {
  /** `host:port` as given. */
  shown: string;
  /** `ip:port` of every address the name resolves to, sorted: the identity for locks. */
  resolved: string[];
  product: 'redis' | 'valkey';
  /** The product's own version. */
  version: string;
  /** What it claims as a Redis (Valkey says 7.2.4); decides which commands exist. */
  redisVersion: string;
  runId: string;
  role: 'primary' | 'replica' | 'sentinel';
  /** `host:port` of its primary, when it is a replica. */
  primary?: string;
  mode: 'standalone' | 'cluster' | 'sentinel';
  databases: Record<string, { keys: number; expires: number }>;
  /** How many databases it is configured for; null where CONFIG isn't permitted. */
  databaseCount: number | null;
  /** Bytes. */
  usedMemory: number;
  /** Bytes; 0 is no limit. */
  maxmemory: number;
  maxmemoryPolicy: string;
  evictedKeys: number;
  /** Ordinary clients; our own and replicas are left out. Null where CLIENT LIST isn't permitted. */
  clients: { total: number; byDatabase: Record<string, number>; sample: ClientFacts[] } | null;
  /** Names of connections that Redis Ferry holds, other than the asking one. */
  ferryClients: string[];
  replicas: string[];
  persistence: {
    aof: boolean;
    rdbLastSave: string;
    /** The save points; null: unknown, '': off. */ save: string | null;
    loading: boolean;
  };
  minReplicasToWrite: number | null;
  /** A fence of ours that stands. */
  fenced: FenceKind | null;
  /** The kind of fence that can be set here; null: none. */
  fence: FenceKind | null;
  /** Milliseconds that the server's clock is ahead of the worker's. */
  clockSkewMs: number;
  /** Names; null where it isn't permitted to ask. */
  modules: string[] | null;
  /** Names of function libraries; null where they can't be asked for. */
  functions: string[] | null;
  /** The settings that matter, of CONFIG GET; null where it isn't permitted. */
  settings: Record<string, string> | null;
  /** What seems to host it, in words. */
  hosting: string | null;
  can: Record<Ability, boolean>;
  /** Why not, in the server's words. */
  why: Partial<Record<Ability, string>>;
}

export async function describe(input: {
  address: ServerAddress;
  name: string;
  signal?: AbortSignal;
}): Promise<ServerFacts> {
  throw new FerryError('Unknown', `not written yet: ${input.name}`);
}

/** The shell words that run redis-cli against a server by hand, without printing its password. */
export function breakGlassPrefix(input: { address: ServerAddress; endpoint: RedisEndpoint }): string {
  return `redis-cli -h ${input.address.host}`;
}
