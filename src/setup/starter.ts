/** Starts a program of Debian's packages from where they were unpacked, with the libraries that came with it. */
import { chmod, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Folders of libraries below an unpacked root, from there. */
export async function librariesBelow(root: string): Promise<string[]> {
  const folders: string[] = [];
  for (const parent of ['lib', 'usr/lib']) {
    const names = await readdir(join(root, parent)).catch(() => []);
    folders.push(...names.filter((name) => name.endsWith('-linux-gnu')).map((name) => `${parent}/${name}`));
  }
  return folders;
}

/** A line of a starter whose packages were unpacked into `root` beside it. */
export function libraryPath(folders: readonly string[]): string {
  return `export LD_LIBRARY_PATH="${folders.map((folder) => `$here/root/${folder}`).join(':')}"`;
}

/** A script that finds its own place (`$here`), so that it can be tried before it is moved to the cache. */
export async function writeStarter(path: string, lines: readonly string[]): Promise<void> {
  await writeFile(path, ['#!/bin/sh', 'here=$(dirname "$(readlink -f "$0")")', ...lines, ''].join('\n'));
  await chmod(path, 0o755);
}
