/** Where journals and receipts are kept on the worker. */
import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** FERRY_HOME, else ~/.redis-ferry. */
export function ferryHome(): string {
  const given = process.env['FERRY_HOME'];
  return given ? resolve(given) : join(homedir(), '.redis-ferry');
}

/** The folder of one workflow ID. Different IDs have different folders, whatever they hold; it is not created here. */
export function pathFor(workflowId: string): string {
  return join(ferryHome(), safeName(workflowId));
}

/** `upgrade/redis/sessions` → `upgrade+redis+sessions`; everything odd is percent-encoded, and nothing can climb out. */
export function safeName(text: string): string {
  const encoded = Array.from(text)
    .map((char) =>
      char === '/' ? '+' : /[A-Za-z0-9_-]/.test(char) ? char : char === '.' ? '.' : percent(char),
    )
    .join('')
    .replace(/^\./, '%2E');
  // A file name may have 255 bytes, and something is appended to it.
  if (encoded !== '' && encoded.length <= 180) return encoded;
  return `${encoded.slice(0, 140)}~${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
}

function percent(char: string): string {
  return [...Buffer.from(char)]
    .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
    .join('');
}
