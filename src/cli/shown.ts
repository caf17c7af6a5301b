/**
 * Which plan a person was last shown, by upgrade: an approval stands for what was seen, not for what it has become
 * since. A convenience on this machine; the workflow is what refuses.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ferryHome } from '../platform/home.js';

const Shown = z.record(z.string(), z.string());

function path(): string {
  return join(ferryHome(), 'plans-shown.json');
}

async function all(): Promise<Record<string, string>> {
  try {
    return Shown.parse(JSON.parse(await readFile(path(), 'utf8')));
  } catch {
    // None yet, or unreadable: nothing was shown.
    return {};
  }
}

/** Hash of the plan last shown for this run; undefined when none was. */
export async function lastShown(runId: string): Promise<string | undefined> {
  return (await all())[runId];
}

/** Remembers it for the latest hundred runs. Never fails: then the next approval shows the plan again. */
export async function remember(runId: string, hash: string): Promise<void> {
  try {
    const { [runId]: _, ...others } = await all();
    const entries = [...Object.entries(others), [runId, hash] as const].slice(-100);
    await mkdir(ferryHome(), { recursive: true, mode: 0o700 });
    const part = `${path()}.${process.pid}.part`;
    await writeFile(part, JSON.stringify(Object.fromEntries(entries)), { mode: 0o600 });
    await rename(part, path());
  } catch {
    // A read-only home.
  }
}
