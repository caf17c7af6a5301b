/* Where a secret could have got to: what Temporal stores, what is in files, what `ps` shows while something runs. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sleep } from './world.js';

const run = promisify(execFile);

/** As it is, URL-encoded, as a string of JSON, and base64 at each of the three offsets. */
export function spellings(secret: string): string[] {
  const base64 = [0, 1, 2].map((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
    return bytes
      .toString('base64')
      .replace(/=+$/, '')
      .slice(before + 1, -1);
  });
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), ...base64];
}

/** Everything that Temporal stores: as it is exported, and behind that each payload as text. */
export function legible(value: unknown): string {
  const exported = JSON.stringify(value, (_, inner: unknown) => {
    if (inner instanceof Uint8Array) return Buffer.from(inner).toString('base64');
    if (typeof inner === 'bigint') return String(inner);
    return inner;
  });
  const payloads = [...exported.matchAll(/"data":"([A-Za-z0-9+/=]+)"/g)].map(([, data]) =>
    Buffer.from(data ?? '', 'base64').toString('utf8'),
  );
  return [exported, ...payloads].join('\n');
}

/** Of all files in a folder, one after the other. */
export async function files(folder: string, wanted: (name: string) => boolean = () => true): Promise<string> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const texts = await Promise.all(
    names
      .filter((name) => name.isFile() && wanted(name.name))
      .map((name) => readFile(join(name.parentPath, name.name), 'utf8')),
  );
  return texts.join('\n');
}

export interface Watched {
  /** Command lines of every process of this machine. */
  lines: string;
  /** The same with the environment of each that this account may look into. */
  environments: string;
}

/** Looks again and again. Ends with what it returns. */
export function watchProcesses(every = 80): () => Promise<Watched> {
  const [lines, environments] = [new Set<string>(), new Set<string>()];
  let watching = true;
  const note = async (into: Set<string>, args: string[]): Promise<void> => {
    const { stdout } = await run('ps', args, { maxBuffer: 64 * 1024 * 1024 });
    for (const line of stdout.split('\n')) into.add(line);
  };
  const ended = (async () => {
    while (watching) {
      await note(lines, ['axww', '-o', 'ppid=,args=']);
      await note(environments, ['axeww', '-o', 'args=']);
      await sleep(every);
    }
  })();
  return async () => {
    watching = false;
    await ended;
    return { lines: [...lines].join('\n'), environments: [...environments].join('\n') };
  };
}
