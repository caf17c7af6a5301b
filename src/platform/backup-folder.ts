/** The folder of one backup on the worker: whole or not there, and nobody else's to read. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, chmod, constants, mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FerryError } from '../errors.js';
import type { BackupFiles } from '../redis/backup/take.js';
import { fileFailure, syncFolder } from './files.js';
import { pathFor, safeName } from './home.js';
import { redact } from './redact.js';

/** Where the backups of an upgrade are kept: in its own folder, or in one of its name in the folder given. */
export function backupsOf(workflowId: string, folder: string | null): string {
  return folder === null ? pathFor(workflowId) : join(folder, safeName(workflowId));
}

/** Works in a folder beside it, which takes its place at the end and is removed when anything fails. */
export async function inBackupFolder<T>(on: {
  path: string;
  /** Tells attempts apart: one that was believed dead must not remove the files of a later one. */
  hand: string;
  work: (files: BackupFiles) => Promise<T>;
}): Promise<T> {
  const { path, hand, work } = on;
  const part = `${path}.part-${hand}`;
  const parent = dirname(path);
  await failing(path, async () => {
    await mkdir(parent, { recursive: true, mode: 0o700 });
    // Half a backup of an attempt that died.
    for (const name of await readdir(parent))
      if (name.startsWith(`${basename(path)}.part-`))
        await rm(join(parent, name), { recursive: true, force: true });
    await mkdir(part, { mode: 0o700 });
    await chmod(part, 0o700);
  });
  try {
    const result = await work(filesIn(part, path));
    await failing(path, async () => {
      await syncFolder(part);
      await rm(path, { recursive: true, force: true });
      await rename(part, path);
      await syncFolder(parent);
    });
    return result;
  } catch (error) {
    await rm(part, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
}

function filesIn(part: string, folder: string): BackupFiles {
  return {
    folder,
    async receive(name, chunks) {
      const path = join(part, name);
      await failing(path, () => mkdir(dirname(path), { recursive: true, mode: 0o700 }));
      const file = await failing(path, () => open(path, 'wx', 0o600));
      try {
        for await (const chunk of chunks)
          await failing(path, async () => {
            let written = 0;
            while (written < chunk.length)
              written += (await file.write(chunk, written, chunk.length - written)).bytesWritten;
          });
        await failing(path, () => file.sync());
      } finally {
        await file.close();
      }
    },
    at: (name) => join(part, name),
    read: (name) => createReadStream(join(part, name), { highWaterMark: 256 * 1024 }),
    async write(name, text) {
      const path = join(part, name);
      const bytes = Buffer.from(redact(text));
      await failing(path, async () => {
        const file = await open(path, 'wx', 0o600);
        try {
          await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
      });
      return { name, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
    },
  };
}

/** Room for a folder that may not be there yet, in bytes; and why it can't be written, if so. */
export async function roomAt(path: string): Promise<{ free: number | null; why: string | null }> {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      await access(at, constants.W_OK | constants.X_OK);
      return { free: bavail * bsize, why: null };
    } catch (error) {
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!missing || at === dirname(at)) return { free: null, why: fileFailure(at, error).message };
    }
  }
}

async function failing<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof FerryError) throw error;
    throw fileFailure(path, error);
  }
}
