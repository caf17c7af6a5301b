import type { Command } from 'commander';
import { globals, type Cli } from '../cli.js';

export function codecKeys(program: Command, cli: Cli): void {
  program
    .command('codec-keys')
    .description(
      'keys that payloads are encrypted with, and how many running upgrades need each; never the keys themselves',
    )
    .option('--json', 'for programs')
    .action(async (options: { json?: boolean }, command: Command) => {
      const [{ withSession }, { keysInUse }, { pad, width }] = await Promise.all([
        import('../session.js'),
        import('../keys-in-use.js'),
        import('../layout.js'),
      ]);
      await withSession(cli.io, globals(command), async (session) => {
        const keys = await keysInUse(cli.io, session);
        if (options.json === true) return cli.io.print(JSON.stringify(keys, null, 2));
        if (keys.length === 0)
          return cli.io.print('There are no keys here, and no running upgrade needs one.');
        const rows = [
          ['KEY', 'HERE', 'NEEDED BY'],
          ...keys.map(({ id, here, upgrades }) => [
            id,
            here,
            upgrades.length === 0 ? 'no running upgrade' : upgrades.join(', '),
          ]),
        ];
        const widths = [0, 1].map((at) => Math.max(...rows.map((row) => width(row[at] ?? ''))));
        for (const row of rows)
          cli.io.print(
            row
              .map((cell, at) => pad(cell, widths[at] ?? 0))
              .join('  ')
              .trimEnd(),
          );
      });
    });
}
