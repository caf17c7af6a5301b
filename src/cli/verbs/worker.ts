import type { Command } from 'commander';
import { globals, type Cli } from '../cli.js';

export function worker(program: Command, cli: Cli): void {
  program
    .command('worker')
    .description('run a worker here, which does the work of upgrades; ends with Ctrl-C')
    .action(async (_: unknown, command: Command) => {
      void globals(command);
      void cli;
    });
}
