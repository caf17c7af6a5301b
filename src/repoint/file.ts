/**
 * A file that holds the address. It is replaced in one piece, and what it held before stays beside it (`….ferry-before`, or
 * `….ferry-none` where there was no file), so that going back restores exactly that.
 */
import { readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FerryError } from '../errors.js';
import { fileFailure, syncFolder, writeAtomically } from '../platform/files.js';
import { rememberSecret } from '../platform/redact.js';
import { quoted } from '../inputs/in-shell.js';
import { urlInShell } from '../redis/break-glass.js';
import { shown } from '../redis/address.js';
import { addressedInShell, urlOf, type ByHandInput, type RepointInput, type SpecOf } from './types.js';

type FileSpec = SpecOf<'file'>;

const BEFORE = '.ferry-before';
const NONE = '.ferry-none';

export async function repointFile({ spec, direction, serving }: RepointInput<FileSpec>): Promise<string> {
  const path = await followed(spec.path);
  try {
    await removeLeftovers(path);
    return direction === 'forward'
      ? await forward(path, rendered({ spec, serving }), shown(serving.address))
      : await back(path);
  } catch (error) {
    throw fileFailure(spec.path, error);
  }
}

function rendered({ spec, serving }: Pick<RepointInput<FileSpec>, 'spec' | 'serving'>): Buffer {
  const url = urlOf(serving);
  rememberSecret(url);
  // A function, since $ in a replacement string is special and may stand in a password.
  return Buffer.from(spec.template.replaceAll('{url}', () => url));
}

async function forward(path: string, content: Buffer, where: string): Promise<string> {
  const [current, before, none] = await Promise.all([
    contentOf(path),
    contentOf(path + BEFORE),
    contentOf(path + NONE),
  ]);
  const saved = before !== null || none !== null;
  if (saved && !same(current, content) && !same(current, before)) {
    throw new FerryError(
      'FileFailed',
      `${path} was changed by somebody since ${path}${before ? BEFORE : NONE} was saved. Look at both, and remove the saved one if it is of no use any more`,
    );
  }
  if (!saved) {
    // Saved before it is replaced: whatever crashes from here on, the old content is there.
    if (current === null)
      await writeAtomically({
        path: path + NONE,
        content: 'There was no file before the upgrade.\n',
        mode: 0o600,
      });
    else await writeAtomically({ path: path + BEFORE, content: current, mode: 0o600 });
  }
  if (same(current, content)) return `${path} names ${where} already`;
  await writeAtomically({ path, content, ...(await rightsOf(path)) });
  return `${path} names ${where}`;
}

async function back(path: string): Promise<string> {
  const [current, before, none] = await Promise.all([
    contentOf(path),
    contentOf(path + BEFORE),
    contentOf(path + NONE),
  ]);
  if (before === null && none === null) return `${path} was not changed`;
  if (before !== null && !same(current, before))
    await writeAtomically({ path, content: before, ...(await rightsOf(path)) });
  if (before === null) await rm(path, { force: true });
  await syncFolder(dirname(path));
  await forget(path);
  return before === null
    ? `${path} is removed, as there was none before`
    : `${path} holds again what it held before`;
}

/** Removes the saved content. */
export async function finishFile(spec: FileSpec): Promise<void> {
  const path = await followed(spec.path);
  try {
    await removeLeftovers(path);
    await forget(path);
  } catch (error) {
    throw fileFailure(spec.path, error);
  }
}

async function forget(path: string): Promise<void> {
  for (const suffix of [BEFORE, NONE]) await rm(path + suffix, { force: true });
  await syncFolder(dirname(path)).catch(() => undefined);
}

/** Of a write that a crash ended; an old one, since another attempt may be at it now. */
async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(`${basename(path)}.ferry-tmp-`)) continue;
    const leftover = await stat(join(folder, name)).catch(() => null);
    if (leftover && Date.now() - leftover.mtimeMs > 60_000) await rm(join(folder, name), { force: true });
  }
}

/** Where a link points: the link itself stays. */
async function followed(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

async function contentOf(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Mode and owner stay; a new file is the worker's alone, since it holds a password. */
async function rightsOf(path: string): Promise<{ mode: number; owner?: { uid: number; gid: number } }> {
  const file = await stat(path).catch(() => null);
  return file ? { mode: file.mode & 0o7777, owner: { uid: file.uid, gid: file.gid } } : { mode: 0o600 };
}

function same(a: Buffer | null, b: Buffer | null): boolean {
  return a !== null && b !== null ? a.equals(b) : a === b;
}

export function describeFile({ path }: FileSpec): string[] {
  return [
    `Write the address of the serving side into ${path} on the worker`,
    `Keep what it holds now in ${path}${BEFORE} until the end`,
  ];
}

export function byHandFile({ spec, direction, endpoint, serving }: ByHandInput<FileSpec>): string[] {
  const path = quoted(spec.path);
  const [before, none] = [quoted(spec.path + BEFORE), quoted(spec.path + NONE)];
  if (direction === 'back') {
    return [
      `if [ -e ${before} ]; then cp ${before} ${path} && rm ${before}; elif [ -e ${none} ]; then rm -f ${path} ${none}; fi`,
    ];
  }
  // Whatever database the reference names, the application gets its own. A new file is its owner's alone.
  const addressed = addressedInShell(serving.database);
  return [`(umask 077; printf '%s\\n' ${urlInShell(endpoint)} | ${addressed} > ${path})`];
}
