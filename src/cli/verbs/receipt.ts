import type { Command } from 'commander';
import { globals, ID, type Cli } from '../cli.js';
import { CliError, EXIT, exitCodeOf } from '../exit.js';

export function receipt(program: Command, cli: Cli): void {
  program
    .command('receipt')
    .description(
      'what an upgrade left behind: who approved what, checks, comparison, write pause, durations; the exit code tells the outcome',
    )
    .argument('<id>', ID)
    .option('--json', 'the whole receipt, for programs')
    .option('--html', 'the page, to be redirected into a file')
    .action(async (id: string, options: { json?: boolean; html?: boolean }, command: Command) => {
      const [{ withSession }, { look, workflowIdFor }, { receiptText }, { receiptHtml }, { shortId }] =
        await Promise.all([
          import('../session.js'),
          import('../upgrade.js'),
          import('../../receipt/text.js'),
          import('../../receipt/html.js'),
          import('../next.js'),
        ]);
      await withSession(cli.io, globals(command), async (session) => {
        const workflowId = await workflowIdFor(session, id);
        const looked = await look(session, workflowId);
        const found = looked.end?.receipt ?? looked.state?.receipt;
        if (!found) {
          const { failure } = looked.end ?? { failure: null };
          throw new CliError(
            failure
              ? `It left no receipt. ${failure.type}: ${failure.message}`
              : 'It has not ended yet, so there is no receipt.',
            {
              next: [
                looked.end ? `ferry recover ${shortId(workflowId)}` : `ferry state ${shortId(workflowId)}`,
              ],
            },
          );
        }
        cli.io.print(
          options.json === true
            ? JSON.stringify(found, null, 2)
            : options.html === true
              ? receiptHtml(found)
              : receiptText(found).trimEnd(),
        );
        cli.exitCode = found.outcome === 'Planned' ? EXIT.done : exitCodeOf(found.outcome);
      });
    });
}
