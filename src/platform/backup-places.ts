/**
 * The places of backups: folders and buckets alike. In each a backup is a folder `<upgrade>/<backup>`, whose manifest comes last and goes last,
 * so that what has one is whole.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FerryError } from '../errors.js';
import { shownCopy, type BackupCopy, type Keep } from '../inputs/backup.js';
import { MANIFEST, manifestIn, type Manifest } from '../redis/backup/manifest.js';
import type { BackupFile } from '../redis/backup/take.js';
import { inBackupFolder } from './backup-folder.js';
import { withBucket, type OpenBucket } from './bucket.js';
import { fileFailure } from './files.js';

export interface Copying {
  /** Of the backup on the worker. */
  folder: string;
  /** Tells attempts apart. */
  hand: string;
  signal?: AbortSignal | undefined;
  /** Bytes of all files. */
  onProgress?: (done: number) => void;
}

/** All of it is there, as it was written, or not at all. @throws FerryError; the signal's reason when aborted */
export async function copyBackup(copy: BackupCopy, on: Copying): Promise<void> {
  const files = await filesOf(on.folder);
  // The upgrade's, and the backup's own.
  const [upgrade, name] = [basename(dirname(on.folder)), basename(on.folder)];
  if ('folder' in copy && join(copy.folder, upgrade) === dirname(on.folder))
    throw new FerryError(
      'InvalidInput',
      `backup.copies: ${copy.folder} is where the backup itself is. Give another folder`,
    );
  if ('folder' in copy) await intoFolder(join(copy.folder, upgrade, name), files, on);
  else
    await withBucket({ bucket: copy.bucket, where: 'backup.copies', signal: on.signal }, (bucket) =>
      intoBucket(bucket, `${upgrade}/${name}`, files, on),
    );
}

/** The manifest comes last. @throws FerryError where the backup is not there, or not as it was written */
async function filesOf(folder: string): Promise<BackupFile[]> {
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(() => '');
  const manifest = manifestIn(text);
  if (manifest === null)
    throw new FerryError(
      'BackupFailed',
      `the backup ${folder} is not on this worker. All steps of an upgrade need the same disk: run one worker, or give a folder on a disk that all of them share`,
    );
  const own = createHash('sha256').update(text).digest('hex');
  return [...manifest.files, { name: MANIFEST, bytes: Buffer.byteLength(text), sha256: own }];
}

async function intoFolder(
  path: string,
  files: readonly BackupFile[],
  { folder, hand, signal, onProgress = () => {} }: Copying,
): Promise<void> {
  let done = 0;
  async function* chunksOf(name: string): AsyncIterable<Buffer> {
    for await (const chunk of createReadStream(join(folder, name), { highWaterMark: 256 * 1024 })) {
      signal?.throwIfAborted();
      yield chunk as Buffer;
      onProgress((done += (chunk as Buffer).length));
    }
  }
  await inBackupFolder({
    path,
    hand,
    work: async ({ receive, read }) => {
      for (const { name, bytes, sha256 } of files) {
        await receive(name, chunksOf(name));
        const hash = createHash('sha256');
        let length = 0;
        for await (const chunk of read(name)) {
          signal?.throwIfAborted();
          hash.update(chunk);
          length += chunk.length;
        }
        if (length !== bytes || hash.digest('hex') !== sha256)
          throw new FerryError(
            'BackupFailed',
            `${join(path, name)} is not what was taken: it has ${length} of ${bytes} bytes, or another SHA-256`,
          );
      }
    },
  });
}

async function intoBucket(
  bucket: OpenBucket,
  at: string,
  files: readonly BackupFile[],
  { folder, onProgress = () => {} }: Copying,
): Promise<void> {
  // Half a backup of an attempt before has no manifest that says that it is whole.
  await bucket.remove((await bucket.list(`${at}/`)).filter((key) => key === `${at}/${MANIFEST}`));
  let before = 0;
  for (const { name, bytes, sha256 } of files) {
    const path = join(folder, name);
    await bucket.putFile({
      key: `${at}/${name}`,
      path,
      sha256,
      onBytes: (done) => onProgress(before + done),
    });
    before += bytes;
  }
}

/** Whether it can be reached; null: it can. */
export async function whyNotReached(copy: BackupCopy, upgrade: string): Promise<string | null> {
  if ('folder' in copy) return null;
  try {
    await withBucket({ bucket: copy.bucket, where: 'backup.copies' }, ({ list }) => list(`${upgrade}/`));
    return null;
  } catch (error) {
    if (error instanceof FerryError) return error.message;
    throw error;
  }
}

/** One that is there, and whole. */
interface Kept {
  /** Name of its folder. */
  name: string;
  /** Of the run that made it: both backups of an upgrade go together. */
  run: string;
  manifest: Manifest;
}

const NAME =
  /^(?:backup-(?<redis>[0-9a-f]{8})-(?:before|after)|snapshot-(?<keys>[0-9a-f]{8})|postgres-(?<postgres>[0-9a-f]{8})-target-before)$/;

/** Of the run that made it, by the name of its folder; null: it is none of ours. */
function runOf(name: string): string | null {
  const { redis, keys, postgres } = NAME.exec(name)?.groups ?? {};
  return redis ?? keys ?? postgres ?? null;
}

const DAY = 86_400_000;

/**
 * Those of other runs that are too old, but for the newest ones. Pure.
 * `run`: the one that this is for, which stays whatever the clocks say.
 */
export function tooOld(
  kept: readonly Kept[],
  { days, atLeast, run, now }: Keep & { run: string; now: number },
): Kept[] {
  const newest = new Map<string, number>();
  for (const { run: of, manifest } of kept)
    newest.set(of, Math.max(newest.get(of) ?? 0, Date.parse(manifest.takenAt)));
  const runs = [...newest].toSorted(([, a], [, b]) => b - a).map(([of]) => of);
  const staying = new Set([run, ...runs.slice(0, atLeast)]);
  return kept.filter(({ run: of }) => !staying.has(of) && (newest.get(of) ?? now) < now - days * DAY);
}

export interface Pruned {
  /** Names of the backups that were removed. */
  removed: string[];
  /** Why one could not be, in words. */
  problems: string[];
}

/**
 * Removes what is too old of the backups of one upgrade's name, in `place`. Only files that a manifest of ours names go; what else is in
 * such a folder stays, with it. @throws the signal's reason when aborted
 */
export async function pruneBackups(on: {
  place: BackupCopy;
  /** Folder of the upgrade's name in it. */
  upgrade: string;
  run: string;
  keep: Keep;
  signal?: AbortSignal | undefined;
}): Promise<Pruned> {
  const { place, upgrade, run, keep, signal } = on;
  const choose = (kept: readonly Kept[]): Kept[] => tooOld(kept, { ...keep, run, now: Date.now() });
  const pruned: Pruned = { removed: [], problems: [] };
  try {
    if ('folder' in place) {
      const root = join(place.folder, upgrade);
      for (const { name, manifest } of choose(await keptInFolder(root))) {
        signal?.throwIfAborted();
        await removeFolder(join(root, name), manifest);
        pruned.removed.push(name);
      }
    } else
      await withBucket({ bucket: place.bucket, where: 'backup.copies', signal }, async (bucket) => {
        for (const { name, manifest } of choose(await keptInBucket(bucket, upgrade))) {
          await bucket.remove(namesIn(manifest).map((file) => `${upgrade}/${name}/${file}`));
          pruned.removed.push(name);
        }
      });
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof FerryError)) throw error;
    pruned.problems.push(`Old backups in ${shownCopy(place)} could not be removed: ${error.message}`);
  }
  return pruned;
}

/** The manifest goes last: what dies in between is found again. */
function namesIn({ files }: Manifest): string[] {
  return [...files.map(({ name }) => name), MANIFEST];
}

async function keptInFolder(root: string): Promise<Kept[]> {
  const kept: Kept[] = [];
  for (const name of await readdir(root).catch(() => [])) {
    const run = runOf(name);
    if (run === null) continue;
    const manifest = manifestIn(await readFile(join(root, name, MANIFEST), 'utf8').catch(() => ''));
    if (manifest) kept.push({ name, run, manifest });
  }
  return kept;
}

async function removeFolder(path: string, manifest: Manifest): Promise<void> {
  try {
    for (const name of namesIn(manifest)) await rm(join(path, name), { force: true });
    if (manifest.files.some(({ name }) => name.includes('/'))) await rmdir(join(path, 'dump'));
    await rmdir(path);
  } catch (error) {
    // Somebody else's files are in it.
    if (error instanceof Error && 'code' in error && error.code === 'ENOTEMPTY') return;
    throw fileFailure(path, error);
  }
}

async function keptInBucket(bucket: OpenBucket, upgrade: string): Promise<Kept[]> {
  const kept: Kept[] = [];
  for (const key of await bucket.list(`${upgrade}/`)) {
    const [, name = '', file] = key.split('/');
    const run = runOf(name);
    if (run === null || file !== MANIFEST || key !== `${upgrade}/${name}/${MANIFEST}`) continue;
    const manifest = manifestIn(await bucket.get(key));
    if (manifest) kept.push({ name, run, manifest });
  }
  return kept;
}
