/** Runs one command line and gives its exit code. */
import { CommanderError } from 'commander';
import { newCli } from './cli.js';
import { CliError, EXIT, type ExitCode } from './exit.js';
import type { Io } from './io.js';
import { buildProgram } from './program.js';

/** `words` is the command line after the program's name. Never throws. */
export async function runCli(words: readonly string[], io: Io): Promise<ExitCode> {
  const cli = newCli(io);
  try {
    await buildProgram(cli).parseAsync([...words], { from: 'user' });
    return cli.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      // It has printed what it has to say. `ferry` alone shows the help, and asks for more.
      return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    }
    const { colours } = io;
    if (error instanceof CliError) {
      io.warn(colours.red(error.message));
      for (const line of error.next) io.warn(line);
      return error.code;
    }
    io.warn(colours.red(error instanceof Error ? error.message : String(error)));
    if (io.env['FERRY_DEBUG'] && error instanceof Error) io.warn(error.stack ?? '');
    return EXIT.error;
  }
}
