/** Puts a receipt beside the others on the worker: JSON for programs, HTML for people. */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Receipt } from '../contract.js';
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

/** `upgrade-redis-sessions-20260301T020011Z-1a2b3c4d`: sorts by target, then by time; the run tells two of one second apart. */
function fileName(receipt: Receipt): string {
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
