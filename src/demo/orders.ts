/**
 * What the demo's application writes, and how it is found again. A shop with some tills: till `t` makes the writes 1, 2, 3 …,
 * the next one only when the last one was acknowledged. What a write is follows from its till and number alone, so that the
 * ledger of acknowledged writes needs to hold nothing else, and a write that is sent twice does no harm.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export const TILLS = [1, 2, 3, 4] as const;

export type Write =
  /** A key of its own. */
  | { kind: 'order'; key: string; value: string }
  /** A hash field that holds the latest number: it must never fall back. */
  | { kind: 'latest'; key: string; field: string; value: string }
  /** A counter. A write whose acknowledgement was lost may count twice, so it must be at least what was acknowledged. */
  | { kind: 'count'; key: string };

export function writeOf(till: number, number: number): Write {
  switch (number % 8) {
    case 0:
      return { kind: 'count', key: `shop:sales:${till}` };
    case 1:
    case 5:
      return {
        kind: 'latest',
        key: `shop:customer:${till}-${number % 50}`,
        field: 'last-order',
        value: String(number),
      };
    default:
      return {
        kind: 'order',
        key: `shop:order:${till}-${number}`,
        value: `${number % 7} items, ${(number * 37) % 900} EUR`,
      };
  }
}

export const paths = (folder: string) => ({
  /** The address that the application uses. The upgrade rewrites this file. */
  address: join(folder, 'redis-url'),
  ledger: join(folder, 'acknowledged'),
  status: join(folder, 'status.json'),
});

// All lines are of one length: how many writes were acknowledged can be told from the size of the file.
const LINE = 13;

export function ledgerLine(till: number, number: number): string {
  return `${String(till).padStart(2)} ${String(number).padStart(9)}\n`;
}

/** How many writes the ledger holds. */
export function acknowledged(folder: string): number {
  const { ledger } = paths(folder);
  return Math.floor((statSync(ledger, { throwIfNoEntry: false })?.size ?? 0) / LINE);
}

/** The highest acknowledged number of each till. A till never leaves one out. */
export function readLedger(folder: string): Map<number, number> {
  const { ledger } = paths(folder);
  const highest = new Map<number, number>();
  const text = existsSync(ledger) ? readFileSync(ledger, 'latin1') : '';
  for (let at = 0; at + LINE <= text.length; at += LINE) {
    const till = Number(text.slice(at, at + 2));
    const number = Number(text.slice(at + 3, at + LINE - 1));
    highest.set(till, Math.max(highest.get(till) ?? 0, number));
  }
  return highest;
}
