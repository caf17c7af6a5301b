/** Values of options as people type them. Each throws what commander shows beside the option. Light: loaded for `--help` too. */
import { InvalidArgumentError } from 'commander';

export function rateOf(text: string): 'yield' | 'full' | number {
  if (text === 'yield' || text === 'full') return text;
  const number = Number(text);
  if (!(number > 0)) throw new InvalidArgumentError('Give yield, full, or a number of keys a second.');
  return number;
}

/** ISO 8601 in UTC. */
export function momentOf(text: string): string {
  const at = Date.parse(text);
  // Without a zone it would mean another moment on another machine.
  if (Number.isNaN(at) || !/(Z|[+-]\d\d:?\d\d)$/i.test(text))
    throw new InvalidArgumentError('Give a date and time with a zone, such as 2026-03-01T02:00:00Z.');
  return new Date(at).toISOString();
}

export function durationOf(text: string): string {
  if (!/^\d+(\.\d+)?\s*(ms|s|m|h|d)$/.test(text.trim()))
    throw new InvalidArgumentError('Give a number and ms, s, m, h or d, such as 500ms or 30m.');
  return text.trim();
}

const BYTES = { '': 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 } as const;

/** Bytes of `4096`, `512kb`, `4mb`. */
export function bytesOf(text: string): number {
  const match = /^(\d+)\s*(kb|mb|gb)?$/i.exec(text.trim());
  if (!match)
    throw new InvalidArgumentError('Give a number of bytes, or one with kb, mb or gb, such as 4mb.');
  return Number(match[1]) * BYTES[(match[2] ?? '').toLowerCase() as keyof typeof BYTES];
}
