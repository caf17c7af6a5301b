import type { Command } from 'commander';
import { globals, type Cli } from '../cli.js';
import { EXIT } from '../exit.js';

export function doctor(program: Command, cli: Cli): void {
  program
    .command('doctor')
    .description('look whether everything an upgrade needs is there, and say what to do about what is not')
    .option('--json', 'for programs')
    .action(async (options: { json?: boolean }, command: Command) => {
      const { examine } = await import('../examine.js');
      const findings = await examine(cli.io, globals(command));
      const { colours } = cli.io;
      const paint = { ok: colours.green, warn: colours.yellow, fail: colours.red };
      if (options.json === true) cli.io.print(JSON.stringify(findings, null, 2));
      else {
        for (const { name, status, found, next } of findings) {
          cli.io.print(`${paint[status](status.padEnd(4))}  ${name.padEnd(18)}  ${found}`);
          if (next !== undefined && status !== 'ok') cli.io.print(`${' '.repeat(26)}${next}`);
        }
      }
      if (findings.some(({ status }) => status === 'fail')) cli.exitCode = EXIT.error;
    });
}
