/** What a server says of its place in a replication: INFO replication and server, parsed. */
import type { Redis } from 'ioredis';
import { failureOn } from '../connect.js';
import { atLeast, parseInfo } from '../info.js';

export interface Role {
  role: 'primary' | 'replica';
  /** Of this run of the process: a restarted server has another one. */
  runId: string;
  /** Its own; 0 where it speaks TLS only. */
  port: number;
  /** From 6.2 on: CLIENT PAUSE … WRITE, and CLIENT UNPAUSE. */
  pausesWrites: boolean;
  /** Of the stream of changes that it is at the head of, or follows. */
  replId: string;
  /** How far it is in that stream, in bytes. */
  offset: number;
  /** The stream that it followed before it was promoted, and up to where it knows it. */
  replId2: string;
  secondOffset: number;
  /** Of a replica: whom it follows, and how that stands. */
  follows: {
    host: string;
    port: number;
    linkUp: boolean;
    /** Bytes of a full sync that is under way; 0 of 0 without one, or where the primary doesn't say how many there are. */
    received: number;
    total: number;
  } | null;
  /** Of a primary: replicas that are in step, by what they reported last. */
  replicas: { host: string; port: number; online: boolean; offset: number }[];
  /** Bytes of changes that are kept for whoever was away. */
  backlog: { size: number; held: number };
  /** Since it was started: what it sent, and what it was asked for and could not give from its backlog. */
  syncs: { full: number; partial: number; refused: number };
}

/** @throws FerryError */
export async function roleOf({ client }: { client: Redis }): Promise<Role> {
  const texts = await Promise.all(
    ['server', 'replication', 'stats'].map((part) => client.call('INFO', part)),
  ).catch((error: unknown) => {
    throw failureOn(client, error);
  });
  return parseRole(parseInfo(texts.map(String).join('\n')));
}

/** Bytes a second that clients send now: more than what reaches the stream of changes, which isn't counted without a replica. */
export async function inputRate({ client }: { client: Redis }): Promise<number> {
  const info = parseInfo(String(await client.call('INFO', 'stats')));
  return Number(info['instantaneous_input_kbps'] ?? 0) * 1024;
}

export function parseRole(info: Record<string, string>): Role {
  const number = (name: string): number => Number(info[name] ?? 0);
  const replica = info['role'] === 'slave';
  return {
    role: replica ? 'replica' : 'primary',
    runId: info['run_id'] ?? '',
    port: number('tcp_port'),
    pausesWrites: atLeast(info['redis_version'] ?? '', '6.2'),
    replId: info['master_replid'] ?? '',
    // A replica's own offset is what it has applied; master_repl_offset may run ahead of it before 7.0.
    offset: replica ? number('slave_repl_offset') : number('master_repl_offset'),
    replId2: info['master_replid2'] ?? '',
    secondOffset: number('second_repl_offset'),
    follows: replica
      ? {
          host: info['master_host'] ?? '',
          port: number('master_port'),
          linkUp: info['master_link_status'] === 'up',
          received: number('master_sync_read_bytes'),
          total: number('master_sync_total_bytes'),
        }
      : null,
    replicas: Object.entries(info)
      .filter(([name]) => /^slave\d+$/.test(name))
      .map(([, line]) => {
        const facts = Object.fromEntries(line.split(',').map((part) => part.split('='))) as Record<
          string,
          string
        >;
        return {
          host: facts['ip'] ?? '',
          port: Number(facts['port']),
          online: facts['state'] === 'online',
          offset: Number(facts['offset'] ?? 0),
        };
      }),
    backlog: { size: number('repl_backlog_size'), held: number('repl_backlog_histlen') },
    syncs: {
      full: number('sync_full'),
      partial: number('sync_partial_ok'),
      refused: number('sync_partial_err'),
    },
  };
}
