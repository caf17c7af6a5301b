/**
 * The real Heroku CLI, for what only it can: `redis:*`, `data:maintenances:*` and `pg:backups:*` stand on Heroku's data API, which
 * isn't public. Everything else goes through api.ts: that has real status codes, and no secret in an argv.
 *
 * A command's exit code 0 is not believed: without --confirm it means "asked, and nobody answered". Who changes something looks
 * afterwards.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import { capture, lost, type CaptureResult } from '../platform/exec.js';
import { usableCli } from '../platform/provider-cli.js';
import { redact } from '../platform/redact.js';
import { HEROKU } from '../setup/heroku.js';
import type { FoundCli } from '../setup/provider-cli.js';
import { herokuAccount } from './account.js';
import type { Asked } from './api.js';

export interface HerokuCommand extends Asked {
  /** From the command on, such as `['redis:info', 'redis-curly-1', '--app', 'shop', '--json']`. Never a secret: `ps` shows it. */
  args: readonly [string, ...string[]];
  /** Of the command; it may take 3 seconds on a busy machine, and 8 to find that nobody answers. */
  timeout?: string;
  /** It changes something: when it is not known how it ended, it may have done so. */
  changes: boolean;
  /** It changes something, but twice is the same as once: a setting. */
  again?: boolean;
}

export interface HerokuSaid {
  /** As it came: it may hold a password. For a parser. */
  stdout: string;
  /** What it said beside, without secrets. */
  beside: string;
}

/** Maintenances of twenty years are not a megabyte. */
const LIMIT = 1024 * 1024;

/** As often as api.ts does. A command makes several requests, each of which may meet it. */
const TRIES = 4;
const FIRST_PAUSE_MS = 250;

/**
 * Runs one command of the CLI to its end. What only reads is run again where Heroku answered that it is broken: a connection that breaks
 * is tried again by the CLI itself, such an answer isn't.
 *
 * @throws FerryError ToolMissing; CredentialsRefused; NotFound; ProviderRefused; ProviderUnavailable when nothing was done;
 *   OutcomeUnknown when something may have been; the signal's reason when aborted
 */
export async function heroku(command: HerokuCommand): Promise<HerokuSaid> {
  const { args, changes, again = !changes, timeout = '90s', signal } = command;
  for (let at = 1; ; at += 1) {
    const ended = await once({ ...command, timeout });
    if (ended.exitCode === 0) return { stdout: ended.stdout, beside: ended.stderrTail };
    const { exitCode, stderrTail: said } = ended;
    if (at >= TRIES || !again || !ANSWERED_5XX.test(said))
      throw failureOf({ label: labelOf(args), changes, timeout, exitCode, said });
    await sleep(FIRST_PAUSE_MS * 2 ** (at - 1), undefined, { signal });
  }
}

function labelOf(args: HerokuCommand['args']): string {
  return `heroku ${args[0]}`;
}

async function once({
  args,
  timeout,
  changes,
  signal,
}: HerokuCommand & { timeout: string }): Promise<CaptureResult> {
  const { cli } = herokuAccount();
  const { command } = await herokuCli(signal);
  // A HOME of its own, as it writes a credential helper into ~/.gitconfig and reads logins of people from ~/.netrc.
  const home = await mkdtemp(join(tmpdir(), 'ferry-heroku-'));
  try {
    const ended = await capture({
      label: labelOf(args),
      spec: { command: [...command, ...args], timeout },
      name: '',
      step: '',
      env: { ...cli, ...HEROKU.env, HOME: home },
      limit: LIMIT,
      // What changes something is never cut off: it could take effect after an undo has found that there is nothing to undo.
      signal: changes ? undefined : signal,
    });
    signal?.throwIfAborted();
    return ended;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

interface Failed {
  label: string;
  changes: boolean;
  timeout: string;
  /** Null when it was stopped. */
  exitCode: number | null;
  /** Its stderr. */
  said: string;
}

const ANSWERED_5XX = /HTTP Error 5\d\d|Error ID: (?:internal_server_error|service_unavailable)/i;
/** Between it and Heroku something broke: it has tried five times then, also what must not be done twice. */
const BROKE = /ECONNRESET|ECONNREFUSED|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|socket hang up|timed out/i;

/** What a command that did not end with 0 means. Exit codes: 2 is an error of the API, 1 any other, 127 no such command. */
export function failureOf({ label, changes, timeout, exitCode, said }: Failed): FerryError {
  const words = wordsOf(said);
  const text = redact(words === '' ? `exit code ${exitCode}` : words);
  if (exitCode === null)
    return lost({ changes, message: `${label} did not end within ${timeout} and was stopped` });
  if (exitCode === 127 || /^(?:Nonexistent flag|Unexpected argument|Missing required)/.test(words))
    return new FerryError(
      'ToolMissing',
      `this Heroku CLI does not know ${label} as it is used here. Give another version in FERRY_HEROKU_CLI, or take it from PATH`,
    );
  if (/HEROKU_API_KEY is invalid|Error ID: unauthorized/i.test(words))
    return new FerryError(
      'CredentialsRefused',
      `${label}: Heroku says that HEROKU_API_KEY is missing or expired`,
    );
  if (/Error ID: rate_limit/i.test(words))
    return new FerryError(
      'ProviderUnavailable',
      `${label}: Heroku lets this account wait, its limit of requests is reached`,
    );
  if (BROKE.test(words) || ANSWERED_5XX.test(words)) return lost({ changes, message: `${label}: ${text}` });
  if (/Error ID: not_found|Couldn't find that|No Redis instances found/i.test(words))
    return new FerryError('NotFound', `${label}: ${text}`);
  return new FerryError('ProviderRefused', `${label}: ${text}`);
}

/** One line of what it says in a margin of `›`, without its warnings and its progress. */
function wordsOf(said: string): string {
  const lines = said.split('\n').map((line) => line.replace(/^\s*›?\s*/, '').trimEnd());
  const from = lines.findIndex((line) => /^(?:Error|.*!):? /.test(line) && !line.startsWith('Warning:'));
  return (from === -1 ? lines : lines.slice(from))
    .filter((line) => line !== '')
    .join(' ')
    .replaceAll(/\s+/g, ' ')
    .replace(/^Error: /, '')
    .slice(0, 500);
}

/** @throws FerryError ToolMissing, also where the named one, or the one on PATH, is too old */
export function herokuCli(signal?: AbortSignal): Promise<FoundCli> {
  return usableCli(HEROKU, signal);
}
