/** Files that are whole or not there, also after a crash. */
import { createHash, randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FerryError } from '../errors.js';

export interface AtomicWrite {
  path: string;
  content: string | Uint8Array;
  mode: number;
  /** Kept where the worker may. */
  owner?: { uid: number; gid: number } | undefined;
}

/** Writes beside it, syncs, renames over it, syncs the folder: readers see the old content or the new. */
export async function writeAtomically({ path, content, mode, owner }: AtomicWrite): Promise<void> {
  const temporary = `${path}.ferry-tmp-${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(content);
      // Only root may give a file away; a file of another owner but the right content is better than none.
      if (owner) await file.chown(owner.uid, owner.gid).catch(() => undefined);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

const CAUSES: Record<string, string> = {
  EACCES: 'the worker may not',
  EPERM: 'the worker may not',
  EROFS: 'the disk is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'its folder is a file',
  EISDIR: 'it is a folder',
};

/** FileFailed with the path and the cause in words. */
export function fileFailure(path: string, error: unknown): FerryError {
  if (error instanceof FerryError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  return new FerryError('FileFailed', `${path} can not be written or read: ${CAUSES[code] ?? code}`);
}

/** Used again: a stream makes one for each read, and those of large files are tens of megabytes before they are collected. */
const spare: Buffer[] = [];

/** Of the whole file, in hexadecimal. @throws FerryError FileFailed */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(256 * 1024);
  try {
    const file = await open(path, 'r');
    try {
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, buffer.length);
        if (bytesRead === 0) break;
        hash.update(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileFailure(path, error);
  } finally {
    spare.push(buffer);
  }
  return hash.digest('hex');
}
