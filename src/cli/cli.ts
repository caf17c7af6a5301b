/** What every verb is given, and what verbs share on the command line. Light: it is loaded for `--help` too. */
import type { Command } from 'commander';
import { EXIT, type ExitCode } from './exit.js';
import type { Io } from './io.js';
import type { GlobalOptions } from './session.js';

export interface Cli {
  io: Io;
  /** Set by the verb. */
  exitCode: ExitCode;
}

export function newCli(io: Io): Cli {
  return { io, exitCode: EXIT.done };
}

/** Options given before or after the verb. */
export function globals(command: Command): GlobalOptions {
  return command.optsWithGlobals<GlobalOptions>();
}

export const ID = 'upgrade/redis/NAME, or NAME alone';

/** `--by` and `--note`, for everything that is said to an upgrade. */
export function withSpeaker(command: Command): Command {
  return command
    .option('--by <name>', "who says it (default: $FERRY_BY, else git's user name, else the account's)")
    .option('--note <text>', 'why; goes to the receipt');
}

export interface SpeakerOptions {
  by?: string;
  note?: string;
}
