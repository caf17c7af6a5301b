/** In what keys differ between two sides, and how that is told. */

export type DifferenceKind = 'missing' | 'extra' | 'type' | 'value' | 'ttl';

export interface Difference {
  /** The source database. */
  database: number;
  /** The key's name, unprintable bytes as \xNN. */
  key: string;
  what: DifferenceKind;
}

/** A key's name for people: unprintable bytes and the backslash escaped, at most 200 characters. */
export function printable(key: Buffer): string {
  let text = '';
  for (const byte of key) {
    if (text.length >= 200) return `${text}…`;
    text +=
      byte >= 32 && byte < 127 && byte !== 92
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}
