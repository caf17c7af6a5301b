/** A server in trouble: what its own words show, with what to do next. Reads only: nothing is evicted, truncated, promoted or switched off. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Finding } from '../contract.js';
import { pairsOf, parseInfo } from './info.js';
import { forkedIn, isDeaf, wordsOf, type Forked } from './replication/forked.js';

type Info = Record<string, string>;

/** `shown`: what the server is called. Key names are not shown: they may say something of people. */
export async function troubleOn({ client, shown }: { client: Redis; shown: string }): Promise<Finding[]> {
  const text = await lookAgain(client);
  const info = parseInfo(text);
  const slow: unknown = await client.call('SLOWLOG', 'GET', '10').catch(() => []);
  const doctor = String(await client.call('MEMORY', 'DOCTOR').catch(() => ''));
  const config = await client.call('CONFIG', 'GET', 'slowlog-log-slower-than').catch(() => null);
  const limits = Object.fromEntries(pairsOf(config ?? []));
  return [
    // Who hosts it keeps CONFIG to himself, and its log too.
    ...replication(info, { forked: forkedIn(text), hosted: config === null }),
    ...saving(info),
    ...memory(info, doctor),
    ...slowness(slow, limits['slowlog-log-slower-than']),
    ...keys(info),
  ].map((each) => ({ ...each, says: `${shown}: ${each.says}` }));
}

/**
 * INFO. A replica that has just been told whom to follow looks for a moment like one that never will; and one that is turned away tries
 * again and again, and looks for a moment as if it were being sent something.
 */
async function lookAgain(client: Redis): Promise<string> {
  let deaf: string | null = null;
  for (let looks = 1; ; looks += 1) {
    const text = String(await client.call('INFO'));
    const { parted, linked, unheard } = forkedIn(text);
    const { master_sync_read_bytes: read = '0' } = parseInfo(text);
    if (parted || linked || !unheard || Number(read) > 0) return text;
    if (isDeaf(forkedIn(text))) deaf = text;
    if (looks === LOOKS) return deaf ?? text;
    await sleep(500);
  }
}

const LOOKS = 5;

const LINK_DOWN =
  'Look at its log for the reason: refused password (masterauth), a name that does not resolve, TLS that is not trusted, a format that it does not read ("Can\'t handle RDB format version": its primary is newer), or a primary whose output buffer limit it hits. Never REPLICAOF NO ONE as a cure: that makes a second primary.';

function replication(info: Info, { forked, hosted }: { forked: Forked; hosted: boolean }): Finding[] {
  const lines = (names: string[]) =>
    names.filter((name) => info[name] !== undefined).map((name) => `${name}:${info[name]}`);
  if (info['role'] === 'slave' && isDeaf(forked))
    return [
      {
        what: hosted ? 'Fork' : 'Replication',
        says: `it follows ${info['master_host']}:${info['master_port']}, and ${wordsOf(forked)}`,
        evidence: lines(['master_link_status', 'master_sync_in_progress', 'slave_repl_offset']),
        next: !hosted
          ? LINK_DOWN
          : 'A fork that stays so hangs: its leader speaks TLS with a certificate that it does not trust, or does not let it in. It will not pass by itself. Destroy the fork, and make it over the clear port, or of a leader with a certificate that is trusted (`herokuFork` with `forkOverClearPort`).',
        lasting: true,
      },
    ];
  if (info['role'] === 'slave' && info['master_link_status'] !== 'up')
    return [
      {
        what: 'Replication',
        says: `its link to ${info['master_host']}:${info['master_port']} is down`,
        evidence: lines([
          'master_link_status',
          'master_link_down_since_seconds',
          'master_sync_in_progress',
          'slave_repl_offset',
        ]),
        next: LINK_DOWN,
        lasting: Number(info['master_link_down_since_seconds'] ?? 0) > 60,
      },
    ];
  if (info['role'] !== 'master') return [];
  const late = Object.entries(info).filter(([name, value]) => {
    const lag = /lag=(\d+)/.exec(value)?.[1];
    return /^slave\d+$/.test(name) && (!value.includes('state=online') || Number(lag ?? 0) > 10);
  });
  return late.length === 0
    ? []
    : [
        {
          what: 'Replication',
          says: `${late.length} of its replicas are not in step`,
          evidence: late.map(([name, value]) => `${name}:${value}`),
          next: 'Where it is being sent everything, wait. Where that begins anew again and again, raise `client-output-buffer-limit replica` and `repl-backlog-size`.',
          lasting: false,
        },
      ];
}

function saving(info: Info): Finding[] {
  return [
    ...(info['rdb_last_bgsave_status'] === 'err'
      ? [
          {
            what: 'Saving',
            says: 'its last save to disk failed',
            evidence: [
              `rdb_last_bgsave_status:err`,
              `rdb_changes_since_last_save:${info['rdb_changes_since_last_save']}`,
            ],
            next: 'Look at its log: no room on the volume, or no memory for the fork (vm.overcommit_memory). It may refuse writes (MISCONF) until a save succeeds; switching that off would hide it.',
            lasting: true,
          },
        ]
      : []),
    ...(info['aof_last_write_status'] === 'err' || info['aof_last_bgrewrite_status'] === 'err'
      ? [
          {
            what: 'AOF',
            says: 'it could not write its append-only file',
            evidence: [
              `aof_last_write_status:${info['aof_last_write_status']}`,
              `aof_last_bgrewrite_status:${info['aof_last_bgrewrite_status']}`,
            ],
            next: 'Look at the room on its volume first.',
            lasting: true,
          },
        ]
      : []),
    ...(info['loading'] === '1'
      ? [
          {
            what: 'Loading',
            says: 'it is loading its data',
            evidence: [
              `loading_loaded_perc:${info['loading_loaded_perc'] ?? '?'}`,
              `loading_eta_seconds:${info['loading_eta_seconds'] ?? '?'}`,
            ],
            next: 'Wait.',
            lasting: false,
          },
        ]
      : []),
  ];
}

const MB = 1024 * 1024;

function memory(info: Info, doctor: string): Finding[] {
  const [used, most, ratio] = ['used_memory', 'maxmemory', 'mem_fragmentation_ratio'].map((name) =>
    Number(info[name] ?? 0),
  );
  const found: Finding[] = [];
  if (most && used && used > most * 0.9)
    found.push({
      what: 'Memory',
      says: `it uses ${Math.round((used / most) * 100)}% of its maxmemory`,
      evidence: [
        `used_memory_human:${info['used_memory_human']}`,
        `maxmemory_human:${info['maxmemory_human']}`,
        `maxmemory_policy:${info['maxmemory_policy']}`,
      ],
      next: 'Give it more memory, or find what grew (`redis-cli --bigkeys`, `--memkeys`). A policy that evicts deletes keys: choose that only where losing them is meant.',
      lasting: true,
    });
  if (Number(info['evicted_keys'] ?? 0) > 0)
    found.push({
      what: 'Eviction',
      says: 'it has deleted keys to make room',
      evidence: [`evicted_keys:${info['evicted_keys']}`, `maxmemory_policy:${info['maxmemory_policy']}`],
      next: 'Where these keys were meant to stay, raise maxmemory, and restore them from a backup.',
      lasting: true,
    });
  // Below some size the ratio says little: the program itself is larger than its data.
  if (ratio && ratio > 1.5 && used && used > 64 * MB)
    found.push({
      what: 'Fragmentation',
      says: `the system gave it ${ratio} times what it uses`,
      evidence: [
        `mem_fragmentation_ratio:${ratio}`,
        `used_memory_rss_human:${info['used_memory_rss_human']}`,
      ],
      next: 'Where it has jemalloc, `CONFIG SET activedefrag yes` gives memory back while it runs, for some CPU; put it into the values too.',
      lasting: true,
    });
  if (
    doctor !== '' &&
    !/no memory issues|instance is empty|can't do much|nothing to diagnose|Sam,? I detected no/i.test(
      doctor,
    ) &&
    found.length > 0
  )
    found.push({
      what: 'Memory doctor',
      says: 'it has advice of its own',
      evidence: doctor
        .split('\n')
        .map((line) => line.trim())
        .filter(Boolean)
        .slice(0, 8),
      next: 'Read what it says.',
      lasting: false,
    });
  return found;
}

/** Entries of SLOWLOG GET: id, when, microseconds, arguments. Only the command's name is shown. */
function slowness(slow: unknown, threshold: string | undefined): Finding[] {
  const entries = (Array.isArray(slow) ? slow : []).flatMap((entry: unknown) => {
    if (!Array.isArray(entry)) return [];
    const [, at, micros, args] = entry as unknown[];
    const name = Array.isArray(args) ? String(args[0]).toUpperCase() : '?';
    return [
      { at: Number(at), ms: Number(micros) / 1_000, name, args: Array.isArray(args) ? args.length - 1 : 0 },
    ];
  });
  if (entries.length === 0) return [];
  return [
    {
      what: 'Slow commands',
      says: `commands took longer than ${Number(threshold ?? 10_000) / 1_000} ms`,
      evidence: entries
        .toSorted((a, b) => b.ms - a.ms)
        .slice(0, 5)
        .map(
          ({ at, ms, name, args }) =>
            `${name} with ${args} arguments: ${ms} ms at ${new Date(at * 1_000).toISOString()}`,
        ),
      next: 'Find who sends them (`CLIENT LIST`, the application): KEYS, SORT, large ranges and large deletes hold everybody up. Neither switching AOF off nor saves makes them fast, and both lose writes.',
      lasting: false,
    },
  ];
}

function keys(info: Info): Finding[] {
  const held = Object.keys(info).filter((name) => /^db\d+$/.test(name));
  const served = Number(info['total_commands_processed'] ?? 0);
  if (held.length > 0 || info['loading'] === '1') return [];
  return [
    {
      what: 'Keys',
      says: 'it holds no key',
      evidence: [
        `uptime_in_seconds:${info['uptime_in_seconds']}`,
        `aof_enabled:${info['aof_enabled']}`,
        `total_commands_processed:${served}`,
      ],
      next: 'Where it held some: look in its log for "DB loaded from", and at its volume. A version before 7.0 does not see the folder appendonlydir, and a server with AOF on does not read dump.rdb. Before anything else, keep the files as they are (copy them away); then restore the backup.',
      lasting: true,
    },
  ];
}
