/** What the command reads and writes, so that tests can stand in for the terminal. */
import { createInterface } from 'node:readline/promises';
import { stripVTControlCharacters } from 'node:util';
import picocolors from 'picocolors';
import type { Colors } from 'picocolors/types.js';

export interface Io {
  /** A line (or lines) to stdout: what was asked for. */
  print(text: string): void;
  /** A line to stderr: what went wrong, and hints. */
  warn(text: string): void;
  /** Raw, for the live view. */
  write(text: string): void;
  env: Record<string, string | undefined>;
  /** Whether stdout is a terminal. */
  tty: boolean;
  /** Whether somebody can be asked. */
  interactive: boolean;
  size(): { columns: number; rows: number };
  colours: Colors;
  /** Asks on the terminal; gives the answer without the line's end. */
  ask(question: string): Promise<string>;
  readStdin(): Promise<string>;
  /** Aborted by Ctrl-C, while something listens to it. */
  interrupted(): AbortSignal;
}

/** The terminal and environment of this process. */
export function processIo(): Io {
  const tty = process.stdout.isTTY === true;
  const noColour = (process.env['NO_COLOR'] ?? '') !== '' || process.env['TERM'] === 'dumb';
  return {
    print: (text) => void process.stdout.write(`${text}\n`),
    warn: (text) => void process.stderr.write(`${text}\n`),
    write: (text) => void process.stdout.write(text),
    env: process.env,
    tty,
    interactive: tty && process.stdin.isTTY === true,
    size: () => ({ columns: process.stdout.columns ?? 100, rows: process.stdout.rows ?? 40 }),
    colours: picocolors.createColors(tty && !noColour),
    ask: async (question) => {
      const lines = createInterface({ input: process.stdin, output: process.stdout });
      try {
        return await lines.question(question);
      } finally {
        lines.close();
      }
    },
    readStdin: async () => {
      let text = '';
      process.stdin.setEncoding('utf8');
      for await (const part of process.stdin) text += String(part);
      return text;
    },
    interrupted: () => {
      const control = new AbortController();
      process.once('SIGINT', () => control.abort());
      return control.signal;
    },
  };
}

/**
 * Takes control characters out of every string: names and notes come from people and servers, and must not be able
 * to move the cursor or recolour what stands beside them.
 */
export function clean<T>(thing: T): T;
export function clean(thing: unknown): unknown {
  if (typeof thing === 'string') return stripVTControlCharacters(thing).replace(CONTROL, '');
  if (Array.isArray(thing)) return thing.map((item: unknown) => clean(item));
  if (typeof thing === 'object' && thing !== null) {
    return Object.fromEntries(Object.entries(thing).map(([key, inner]) => [clean(key), clean(inner)]));
  }
  return thing;
}

// Everything below space but the line feed and tab, DEL, C1, and the marks that turn the direction of writing.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
