/** Backups of a server, and whether there is room for them. */
import { dirname, join } from 'node:path';
import type { Check } from '../contract.js';
import { shownCopy, type Backup, type BackupCopy, type Keep } from '../inputs/backup.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { backupsOf, inBackupFolder, roomAt } from '../platform/backup-folder.js';
import {
  copyBackup as copyInto,
  pruneBackups,
  whyNotReached,
  type Pruned,
} from '../platform/backup-places.js';
import { safeName } from '../platform/home.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { chooseServer, loadBackup, redisServers, type Loaded } from '../platform/throwaway-redis.js';
import { takeBackup, type BackupFacts, type BackupFiles } from '../redis/backup/take.js';
import { refusalOf } from '../redis/describe.js';
import { parseInfo, productIn } from '../redis/info.js';
import { backupChecks, savedOf, type Elsewhere, type Room } from '../redis/preflight/backup.js';
import { atEndpoint } from './asking.js';
import { border, type Border } from './border.js';
import { takeHold } from './holding.js';

export type { BackupFacts } from '../redis/backup/take.js';
export type { Loaded } from '../platform/throwaway-redis.js';
export type { Pruned } from '../platform/backup-places.js';

/** Begins anew each time: there is no going on with half a snapshot. */
export async function backUp(input: {
  endpoint: RedisEndpoint;
  side: 'source' | 'target';
  /** Names the folder; one for each time in an upgrade. */
  label: 'before' | 'after';
  backup: Backup;
  /** Title, for the progress. */
  step: string;
}): Promise<BackupFacts> {
  return border(async (b) => {
    const address = await resolveEndpoint({ endpoint: input.endpoint, where: input.side });
    await takeHold(b, [address]);
    const named = { backup: input.backup, kind: 'backup', label: `-${input.label}` };
    return intoFolder(b, named, (files) =>
      takeBackup({
        address,
        name: b.hand,
        files,
        signal: b.signal,
        onProgress: ({ phase, done, total }) =>
          b.show({
            step: input.step,
            done: phase === 'checking' ? total : done,
            total,
            unit: 'bytes',
            counts: phase === 'checking' ? { bytesChecked: done } : {},
          }),
      }),
    );
  });
}

/** A folder of this run's own, where the input wants backups: whole at the end, or not there. */
export function intoFolder<T>(
  b: Pick<Border<never>, 'workflowId' | 'runId' | 'hand'>,
  { backup, kind, label = '' }: { backup: Backup; kind: string; label?: string },
  work: (files: BackupFiles) => Promise<T>,
): Promise<T> {
  return inBackupFolder({
    path: join(backupsOf(b.workflowId, folderOf(backup)), `${kind}-${b.runId.slice(0, 8)}${label}`),
    hand: orderOf(b),
    work,
  });
}

/** Names the files of an attempt. */
function orderOf({ hand }: Pick<Border<never>, 'hand'>): string {
  return hand.slice(hand.lastIndexOf(':') + 1);
}

export async function preflightBackup(input: { source: RedisEndpoint; backup: Backup }): Promise<Check[]> {
  return border(async (b) => {
    const source = { endpoint: input.source, where: 'source' };
    const { saved, refusal, product } = await atEndpoint(b, source, async (client) => {
      const info = parseInfo(String(await client.call('INFO')));
      const micros = Number(info['server_time_usec'] ?? 0);
      return {
        saved: savedOf(info, micros > 0 ? micros / 1e6 : Date.now() / 1_000),
        product: productIn(info),
        // Not by PSYNC itself: an old server would fork, whatever the arguments.
        refusal: await refusalOf(client, ['REPLCONF', 'ferry', 'ferry']),
      };
    });
    const { room, ...elsewhere } = await placesOf(b, input.backup, product);
    return backupChecks({ saved, plan: input.backup === false ? null : { ...room, refusal }, ...elsewhere });
  });
}

/** What the checklist wants to know of where backups go, and of a server to try one with. */
export async function placesOf(
  { workflowId, signal }: Pick<Border<never>, 'workflowId' | 'signal'>,
  backup: Backup,
  product: string,
): Promise<{ room: Room } & Elsewhere> {
  const folder = backupsOf(workflowId, folderOf(backup));
  const room = { folder, ...(await roomAt(folder)) };
  if (typeof backup !== 'object') return { room };
  const { copies = [], verify = false } = backup;
  const found = verify ? chooseServer(await redisServers(signal), product) : null;
  const places = [];
  for (const copy of copies) {
    const there = 'folder' in copy ? await roomAt(copy.folder) : { free: null, why: null };
    places.push({
      shown: shownCopy(copy),
      free: there.free,
      why: there.why ?? (await whyNotReached(copy, safeName(workflowId))),
    });
  }
  return {
    room,
    ...(places.length > 0 ? { copies: places } : {}),
    ...(found === null
      ? {}
      : {
          loads:
            'why' in found
              ? { by: null, why: found.why }
              : { by: `${found.server.product} ${found.server.version}`, why: null },
        }),
  };
}

function folderOf(backup: Backup): string | null {
  return typeof backup === 'object' ? (backup.folder ?? null) : null;
}

/** By a throwaway server. `why`: there is none for it on the worker. @throws FerryError BackupFailed */
export async function tryBackup({
  folder,
  product,
}: {
  folder: string;
  /** "Redis 7.0.15" */
  product: string;
}): Promise<{ loaded: Loaded | null; why: string | null }> {
  return border(async ({ signal }) => {
    const chosen = chooseServer(await redisServers(signal), product);
    if ('why' in chosen) return { loaded: null, why: chosen.why };
    return { loaded: await loadBackup({ folder, server: chosen.server, signal }), why: null };
  });
}

/** Begins anew each time. */
export async function copyBackup(input: {
  folder: string;
  copy: BackupCopy;
  /** Of all files. */
  bytes: number;
  /** Title, for the progress. */
  step: string;
}): Promise<void> {
  const { folder, copy, bytes, step } = input;
  return border((b) =>
    copyInto(copy, {
      folder,
      hand: orderOf(b),
      signal: b.signal,
      onProgress: (done) => b.show({ step, done, total: bytes, unit: 'bytes', counts: {} }),
    }),
  );
}

/** In every place that the input names. What can't be removed is told, and no failure. */
export async function removeOldBackups({ backup, keep }: { backup: Backup; keep: Keep }): Promise<Pruned> {
  return border(async (b) => {
    const own = dirname(backupsOf(b.workflowId, folderOf(backup)));
    const places = [{ folder: own }, ...(typeof backup === 'object' ? (backup.copies ?? []) : [])];
    const all: Pruned = { removed: [], problems: [] };
    for (const place of places) {
      const found = await pruneBackups({
        place,
        upgrade: safeName(b.workflowId),
        run: b.runId.slice(0, 8),
        keep,
        signal: b.signal,
      });
      all.removed.push(...found.removed.map((name) => `${shownCopy(place)}: ${name}`));
      all.problems.push(...found.problems);
    }
    return all;
  });
}
