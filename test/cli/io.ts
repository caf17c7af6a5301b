import picocolors from 'picocolors';
import type { Io } from '../../src/cli/io.js';
import { runCli } from '../../src/cli/run.js';

export interface Heard {
  code: number;
  out: string;
  err: string;
}

/** A terminal, or a pipe, that remembers. */
export function fakeIo(
  options: {
    env?: Record<string, string>;
    tty?: boolean;
    answers?: string[];
    stdin?: string;
    signal?: AbortSignal;
  } = {},
): Io & { heard: { out: string; err: string; asked: string[] } } {
  const heard = { out: '', err: '', asked: [] as string[] };
  const answers = [...(options.answers ?? [])];
  return {
    heard,
    print: (text) => void (heard.out += `${text}\n`),
    warn: (text) => void (heard.err += `${text}\n`),
    write: (text) => void (heard.out += text),
    env: { FERRY_BY: 'Ana Lima', ...options.env },
    tty: options.tty ?? false,
    interactive: options.tty ?? false,
    size: () => ({ columns: 100, rows: 40 }),
    colours: picocolors.createColors(false),
    ask: (question) => {
      heard.asked.push(question);
      return Promise.resolve(answers.shift() ?? '');
    },
    readStdin: () => Promise.resolve(options.stdin ?? ''),
    interrupted: () => options.signal ?? new AbortController().signal,
  };
}

export async function ferry(
  words: readonly string[],
  options: Parameters<typeof fakeIo>[0] = {},
): Promise<Heard & { asked: string[] }> {
  const io = fakeIo(options);
  const code = await runCli(words, io);
  return { code, ...io.heard };
}
