/**
 * Runs programs. The only caller of execa.
 *
 * A program sees the variables below, those in `env`, and FERRY_*: not the worker's whole environment, which holds
 * Temporal's key and every other upgrade's URLs. Secrets go to it by environment (or stdin), never by argv.
 */
import type { Readable } from 'node:stream';
import { execa } from 'execa';
import { FerryError } from '../errors.js';
import { milliseconds } from '../inputs/refs.js';
import { redact, rememberSecret } from './redact.js';

/** What a program gets of the worker's environment without being named. Documented for people who write commands. */
export const PASSED_ON: readonly string[] = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'TMPDIR',
  'TZ',
  'LANG',
  'LANGUAGE',
  'TERM',
  'KUBECONFIG',
  'KUBERNETES_SERVICE_HOST',
  'KUBERNETES_SERVICE_PORT',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'ALL_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'all_proxy',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'NODE_EXTRA_CA_CERTS',
  'SSH_AUTH_SOCK',
];

const TAIL = 2_048;
/** Redacted before it is cut to the tail, so that no half of a secret survives at the cut. */
const KEPT = 64 * 1024;
const KILL_AFTER = 2_000;
/** How long a child of the program that has ended may hold its output open. */
const DRAIN = 250;
/** Timers of Node.js don't go beyond 24 days. */
const LONGEST = '20d';

export interface RunInput {
  /** Names the command in errors; the command itself is never shown. */
  label: string;
  /** A list (program and arguments, no shell) or a line for `sh -c`, and how long it may take. */
  spec: { command: string | readonly string[]; timeout: string };
  /** FERRY_NAME. */
  name: string;
  /** FERRY_STEP. */
  step: string;
  /** More variables; may hold secrets. */
  env?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
  /** For stdin, which is empty otherwise. */
  input?: string | Readable | undefined;
  /** Where it runs; default: where the worker does. */
  cwd?: string | undefined;
}

export interface RunResult {
  exitCode: 0;
  seconds: number;
  /** The last 2 kB, without secrets. */
  stdoutTail: string;
  stderrTail: string;
}

export interface CaptureResult {
  /** Null when it was stopped because its time had passed. */
  exitCode: number | null;
  seconds: number;
  /** All of it, as it came. It may hold secrets: it is for a parser, and never shown as it is. */
  stdout: string;
  stdoutTail: string;
  stderrTail: string;
}

/**
 * Anything but exit code 0 is CommandFailed. On abort and on time-out the whole process group ends: SIGTERM, then SIGKILL.
 * @throws FerryError; the signal's reason when aborted
 */
export async function run(input: RunInput): Promise<RunResult> {
  const { exitCode, seconds, stdout, stderr } = await execute(input);
  if (exitCode === null)
    throw failure(input, `did not end within ${input.spec.timeout} and was stopped`, stderr.tail());
  if (exitCode !== 0)
    throw failure(input, `ended with exit code ${exitCode}`, stderr.tail() || stdout.tail());
  return { exitCode: 0, seconds, stdoutTail: stdout.tail(), stderrTail: stderr.tail() };
}

/**
 * Runs a program whose output is read by a parser, whatever its exit code. More than `limit` bytes are CommandFailed: half a
 * document says nothing.
 * @throws FerryError; the signal's reason when aborted
 */
export async function capture(input: RunInput & { limit: number }): Promise<CaptureResult> {
  const { exitCode, seconds, stdout, stderr } = await execute(input, input.limit);
  const all = stdout.all();
  if (all === null && exitCode !== null)
    throw failure(input, `said more than ${Math.round(input.limit / 1_024)} kB`, stderr.tail());
  return { exitCode, seconds, stdout: all ?? '', stdoutTail: stdout.tail(), stderrTail: stderr.tail() };
}

/**
 * Runs a program that may take hours to its end, and hears each line of its stderr as it comes. It ends with this process, whatever ends
 * that. Anything but exit code 0 is CommandFailed.
 * @throws FerryError; the signal's reason when aborted
 */
export async function follow(
  input: Omit<RunInput, 'spec'> & { command: readonly string[]; hear: (line: string) => void },
): Promise<RunResult> {
  const { command, hear } = input;
  const spec = { command: ['/bin/sh', '-c', KEEPER, 'sh', ...command], timeout: LONGEST };
  let rest = '';
  const lines = (chunk: Buffer): void => {
    const all = `${rest}${chunk.toString('utf8')}`.split('\n');
    rest = all.pop() ?? '';
    for (const line of all) hear(line);
  };
  const { exitCode, seconds, stdout, stderr } = await execute({ ...input, spec }, KEPT, lines);
  if (rest !== '') hear(rest);
  if (exitCode !== 0) throw failure({ ...input, spec }, `ended with exit code ${exitCode}`, stderr.tail());
  return { exitCode: 0, seconds, stdoutTail: stdout.tail(), stderrTail: stderr.tail() };
}

export interface Background {
  /** What the first line that matches says. @throws FerryError when it ends, or says nothing of the kind in time */
  said: (pattern: RegExp, withinMs: number) => Promise<RegExpExecArray>;
  /** Resolves once it has ended. */
  ended: Promise<void>;
  stop: () => void;
}

/** Ends the program when stdin closes, as it does with this process, whatever ends that: kill -9 too. */
const KEEPER = 'exec 3<&0; "$@" & p=$!; { cat <&3 >/dev/null; kill $p 2>/dev/null; } & wait $p';

/** Runs a program until it is stopped, or this process is gone. It hears nothing on stdin. */
export function background(on: { label: string; command: readonly string[] }): Background {
  const { label, command } = on;
  const child = execa('/bin/sh', ['-c', KEEPER, 'sh', ...command], {
    env: environment({ name: '', step: '' }),
    extendEnv: false,
    detached: true,
    buffer: false,
    reject: false,
  });
  let text = '';
  let heard: () => void = () => undefined;
  const stderr = keep(child.stderr, KEPT);
  child.stdout.on('data', (chunk: Buffer) => {
    text = `${text}${chunk.toString('utf8')}`.slice(-KEPT);
    heard();
  });
  child.stdout.on('error', () => undefined);
  let over = false;
  const ended = child.then(
    () => void (over = true),
    () => void (over = true),
  );
  return {
    ended,
    stop: () => killGroup(child.pid, 'SIGTERM'),
    async said(pattern, withinMs) {
      const until = performance.now() + withinMs;
      for (;;) {
        const match = pattern.exec(text);
        if (match) return match;
        const left = until - performance.now();
        if (over || left <= 0)
          throw new FerryError(
            'Unreachable',
            redact(
              `${label} ${over ? 'ended' : 'did not begin in time'}: ${stderr.tail().trim() || 'no word'}`,
            ),
          );
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, left);
          heard = () => {
            clearTimeout(timer);
            resolve();
          };
          void ended.then(heard);
        });
      }
    },
  };
}

interface Executed {
  exitCode: number | null;
  seconds: number;
  stdout: Kept;
  stderr: Kept;
}

/** `hear`: what comes on stderr; the program is kept then, by its stdin. */
async function execute(input: RunInput, limit = KEPT, hear?: (chunk: Buffer) => void): Promise<Executed> {
  const { spec, signal } = input;
  signal?.throwIfAborted();
  const env = environment(input);
  const [file, args] =
    typeof spec.command === 'string'
      ? ['/bin/sh', ['-c', spec.command]]
      : [spec.command[0] ?? '', spec.command.slice(1)];
  const timeout = milliseconds(spec.timeout);
  const started = performance.now();
  const child = execa(file, args, {
    env,
    extendEnv: false,
    // Its own process group, so that everything it starts can be ended with it.
    detached: true,
    buffer: false,
    reject: false,
    stripFinalNewline: false,
    ...(input.input !== undefined
      ? { input: input.input }
      : { stdin: hear === undefined ? ('ignore' as const) : ('pipe' as const) }),
    ...(input.cwd === undefined ? {} : { cwd: input.cwd }),
  });
  const stdout = keep(child.stdout, limit);
  const stderr = keep(child.stderr, KEPT);
  if (hear) child.stderr.on('data', hear);
  let ended: 'timeout' | 'abort' | undefined;
  let killer: NodeJS.Timeout | undefined;
  const end = (why: 'timeout' | 'abort'): void => {
    ended ??= why;
    killGroup(child.pid, 'SIGTERM');
    killer ??= setTimeout(() => killGroup(child.pid, 'SIGKILL'), KILL_AFTER);
  };
  const timer = setTimeout(() => end('timeout'), timeout);
  const abort = (): void => end('abort');
  signal?.addEventListener('abort', abort, { once: true });
  let drain: NodeJS.Timeout | undefined;
  // A daemon that it left behind holds the pipes open: the program's own end is what counts.
  child.once('exit', () => {
    if (hear) child.stdin?.end();
    drain = setTimeout(() => {
      child.stdout.destroy();
      child.stderr.destroy();
    }, DRAIN);
  });
  try {
    const result = await child;
    const seconds = rounded(performance.now() - started);
    if (ended !== undefined) killGroup(child.pid, 'SIGKILL');
    if (ended === 'abort') signal?.throwIfAborted();
    if (ended === 'timeout') return { exitCode: null, seconds, stdout, stderr };
    if (result.exitCode === undefined) {
      throw failure(
        input,
        result.signal ? `was ended by ${result.signal}` : `could not be started (${startCode(result)})`,
        stderr.tail(),
      );
    }
    return { exitCode: result.exitCode, seconds, stdout, stderr };
  } finally {
    clearTimeout(timer);
    clearTimeout(killer);
    clearTimeout(drain);
    signal?.removeEventListener('abort', abort);
  }
}

// Never the error's own message, which holds the arguments.
function failure({ label }: RunInput, what: string, tail: string): FerryError {
  return new FerryError('CommandFailed', redact(`${label} ${what}${tail.trim() ? `: ${tail.trim()}` : ''}`));
}

function environment({ env, name, step }: Pick<RunInput, 'env' | 'name' | 'step'>): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [variable, value] of Object.entries(process.env)) {
    if (value !== undefined && (PASSED_ON.includes(variable) || variable.startsWith('LC_')))
      result[variable] = value;
  }
  for (const value of Object.values(env ?? {})) if (/:\/\/[^/]*:[^/]*@/.test(value)) rememberSecret(value);
  return { ...result, FERRY_NAME: name, FERRY_STEP: step, ...env };
}

interface Kept {
  /** The last 2 kB, without secrets. */
  tail: () => string;
  /** As it came; null when there was more than is kept. */
  all: () => string | null;
}

function keep(stream: NodeJS.ReadableStream, limit: number): Kept {
  let kept = Buffer.alloc(0);
  let cut = false;
  stream.on('data', (chunk: Buffer) => {
    kept = Buffer.concat([kept, chunk]);
    if (kept.length > limit * 2) {
      kept = kept.subarray(kept.length - limit);
      cut = true;
    }
  });
  stream.on('error', () => undefined);
  return {
    tail: () => {
      const clean = redact(kept.toString('utf8'));
      return cut || clean.length > TAIL ? `…${clean.slice(-TAIL)}` : clean;
    },
    all: () => (cut || kept.length > limit ? null : kept.toString('utf8')),
  };
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended already.
  }
}

function startCode(result: { cause?: unknown }): string {
  const { cause } = result;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  return code === 'ENOENT' ? 'no such program' : code === 'EACCES' ? 'not executable' : code;
}

function rounded(ms: number): number {
  return Math.round(ms) / 1_000;
}

/** Nobody knows how it ended. `changes`: it changes something, and may have done so. */
export function lost({ changes, message }: { changes: boolean; message: string }): FerryError {
  return changes
    ? new FerryError('OutcomeUnknown', `${message}. It may have been done all the same`)
    : new FerryError('ProviderUnavailable', message);
}
