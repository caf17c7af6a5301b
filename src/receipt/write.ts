/** Puts a receipt beside the others on the worker: JSON for programs, HTML for people. */
import { appendFile, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Receipt } from '../contract.js';
import { entryOf, markOf, paragraphOf, type HistoryEntry } from './history.js';
import { receiptHtml } from './html.js';

/**
 * Writes both files and gives their paths. The same receipt goes to the same files however often it is written,
 * and a reader never sees half a file.
 */
export async function writeReceipt(options: {
  receipt: Receipt;
  folder: string;
}): Promise<{ json: string; html: string }> {
  const { receipt, folder } = options;
  await mkdir(folder, { recursive: true });
  const base = join(folder, fileName(receipt));
  const files = { json: `${base}.json`, html: `${base}.html` };
  const whole: Receipt = { ...receipt, files };
  await writeWhole(files.json, `${JSON.stringify(whole, null, 2)}\n`);
  await writeWhole(files.html, receiptHtml(whole));
  return files;
}

const TITLE = '# Upgrade history\n';

/** Keeps it with all others. Again: it is there once. */
export async function remember(options: {
  receipt: Receipt;
  folder?: string | undefined;
  markdown?: string | undefined;
}): Promise<void> {
  const { receipt, folder, markdown } = options;
  if (folder !== undefined) await writeReceipt({ receipt, folder });
  if (markdown === undefined) return;
  await mkdir(dirname(markdown), { recursive: true });
  const entry = entryOf(receipt);
  const before = await readFile(markdown, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  });
  if (before.includes(markOf(entry))) return;
  // Added and not rewritten: other workers, and people, write there too.
  await appendFile(markdown, `${before === '' ? TITLE : ''}\n${paragraphOf(entry)}`);
}

/** What a folder of receipts, or of such folders, remembers; the newest first. What is no receipt is left out. */
export async function readHistory(folder: string): Promise<HistoryEntry[]> {
  const names = await readdir(folder, { recursive: true });
  const entries = new Map<string, HistoryEntry>();
  for (const name of names.filter((each) => each.endsWith('.json'))) {
    const receipt = receiptIn(await readFile(join(folder, name), 'utf8'));
    // A plan moved nothing.
    if (receipt && receipt.outcome !== 'Planned') entries.set(receipt.runId, entryOf(receipt));
  }
  return newestFirst(entries.values());
}

export function newestFirst(entries: Iterable<HistoryEntry>): HistoryEntry[] {
  return [...entries].toSorted((a, b) => b.at.localeCompare(a.at));
}

/** The receipts in a folder, the newest first; none where there is no such folder. */
export async function readReceipts(folder: string): Promise<Receipt[]> {
  const names = await readdir(folder).catch(() => []);
  const texts = names
    .filter((name) => name.endsWith('.json'))
    .map((name) => readFile(join(folder, name), 'utf8'));
  const receipts = (await Promise.all(texts)).flatMap((text) => receiptIn(text) ?? []);
  return receipts.toSorted((a, b) => b.endedAt.localeCompare(a.endedAt));
}

/** Null: it is none. */
export function receiptIn(text: string): Receipt | null {
  try {
    const parsed = JSON.parse(text) as Partial<Receipt> | null;
    return parsed?.outcome !== undefined && parsed.runId !== undefined && parsed.facts !== undefined
      ? (parsed as Receipt)
      : null;
  } catch {
    return null;
  }
}

/** `upgrade-redis-sessions-20260301T020011Z-1a2b3c4d`: sorts by target, then by time; the run tells two of one second apart. */
export function fileName(receipt: Receipt): string {
  const started = receipt.startedAt.slice(0, 19).replaceAll(/[-:]/g, '');
  return [receipt.workflowId, `${started}Z`, receipt.runId.slice(0, 8)]
    .map((part) => part.replaceAll(/[^A-Za-z0-9._-]/g, '-').replace(/^\.+/, ''))
    .join('-')
    .slice(0, 200);
}

async function writeWhole(path: string, text: string): Promise<void> {
  const part = `${path}.${process.pid}.part`;
  try {
    const file = await open(part, 'w');
    try {
      await file.writeFile(text);
      // Without it, a power cut may leave a renamed but empty file.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}
