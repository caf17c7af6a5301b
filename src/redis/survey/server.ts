/** What a server has of disk, memory and replication, and signs of somebody who looks after it. */
import type { Redis } from 'ioredis';
import { pairsOf, parseInfo } from '../info.js';
import { askable } from './asking.js';

export interface ServerState {
  /** Bytes. */
  residentMemory: number;
  /** Of the machine, in bytes, as far as the server knows: a container's limit it doesn't. 0: not told. */
  machineMemory: number;
  saving: {
    /** Seconds since 1970 by the server's own clock; 0: never, null: not told. */
    lastSaveAt: number | null;
    /** Seconds since 1970, by the same clock. */
    now: number | null;
    /** `ok` or `err`. */
    lastSave: string;
    /** Writes since then. */
    unsaved: number;
    /** `ok` or `err`; null without AOF. */
    aofWrite: string | null;
    aofRewrite: string | null;
  };
  /** Whether the settings tell another address to replicas than the one that it listens on: `replica-announce-ip`. */
  announces: string | null;
  /** Its configuration file, as it was started; `""` without one. */
  configFile: string;
}

export async function stateOf({ client }: { client: Redis }): Promise<ServerState> {
  const info = parseInfo(String(await client.call('INFO')));
  const announced = await askable(client, ['CONFIG', 'GET', 'replica-announce-ip']);
  const time = await askable(client, ['TIME']);
  const number = (name: string) => Number(info[name] ?? 0) || 0;
  const aof = info['aof_enabled'] === '1';
  return {
    residentMemory: number('used_memory_rss'),
    machineMemory: number('total_system_memory'),
    saving: {
      lastSaveAt: info['rdb_last_save_time'] === undefined ? null : number('rdb_last_save_time'),
      now: Array.isArray(time) ? Number((time as unknown[])[0]) : null,
      lastSave: info['rdb_last_bgsave_status'] ?? 'unknown',
      unsaved: number('rdb_changes_since_last_save'),
      aofWrite: aof ? (info['aof_last_write_status'] ?? 'unknown') : null,
      aofRewrite: aof ? (info['aof_last_bgrewrite_status'] ?? 'unknown') : null,
    },
    announces: pairsOf(announced)[0]?.[1] || null,
    configFile: info['config_file'] ?? '',
  };
}
