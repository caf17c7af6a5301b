import type { Command } from 'commander';
import type { Cli } from '../cli.js';
import { CliError } from '../exit.js';

interface HistoryOptions {
  folder?: string;
  target?: string;
  limit: string;
  json?: boolean;
  markdown?: boolean;
}

export function history(program: Command, cli: Cli): void {
  program
    .command('history')
    .description(
      'upgrades that have ended, from the receipts of this machine: when, how, from which version to which, downtime, outcome, who approved',
    )
    .option('--folder <path>', 'of receipts, as `history.folder` of an input names it (default: $FERRY_HOME)')
    .option('--target <name>', 'of this target only')
    .option('--limit <number>', 'how many at most', '50')
    .option('--json', 'for programs')
    .option('--markdown', 'as UPGRADE_HISTORY.md has it')
    .action(async (options: HistoryOptions) => {
      const [{ ferryHome }, { readHistory }, { paragraphOf }, { historyLines }] = await Promise.all([
        import('../../platform/home.js'),
        import('../../receipt/write.js'),
        import('../../receipt/history.js'),
        import('../history.js'),
      ]);
      const folder = options.folder ?? ferryHome();
      const all = await readHistory(folder).catch((error: unknown) => {
        const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
        throw new CliError(`There are no receipts in ${folder} (${code}).`, {
          next: ['Give --folder the folder that `history.folder` of the inputs names.'],
          cause: error,
        });
      });
      const limit = Math.max(1, Number.parseInt(options.limit, 10) || 50);
      const shown = all
        .filter(({ name, workflowId }) => [name, workflowId, undefined].includes(options.target))
        .slice(0, limit);
      if (options.json === true) cli.io.print(JSON.stringify(shown, null, 2));
      else if (shown.length === 0) cli.io.print(`No upgrade has ended by the receipts in ${folder}.`);
      else if (options.markdown === true) cli.io.print(shown.map(paragraphOf).join('\n').trimEnd());
      else cli.io.print(historyLines(shown, cli.io.colours).join('\n'));
    });
}
