import type { Command } from 'commander';
import { globals, ID, type Cli } from '../cli.js';
import { CliError } from '../exit.js';

export function plan(program: Command, cli: Cli): void {
  program
    .command('plan')
    .description(
      'what it will do, what users will notice, and what may be lost. An approval stands for the plan last shown to you',
    )
    .argument('<id>', ID)
    .option('--json', 'the whole plan, for programs')
    .action(async (id: string, options: { json?: boolean }, command: Command) => {
      const [{ withSession }, { ask, workflowIdFor }, { queries }, { planLines }, { remember }] =
        await Promise.all([
          import('../session.js'),
          import('../upgrade.js'),
          import('../../contract.js'),
          import('../plan-view.js'),
          import('../shown.js'),
        ]);
      await withSession(cli.io, globals(command), async (session) => {
        const workflowId = await workflowIdFor(session, id);
        const { runId } = await session.client.workflow.getHandle(workflowId).describe();
        const told = await ask(session, workflowId, queries.plan);
        if (!told)
          throw new CliError('There is no plan yet: it is still looking at the servers.', {
            next: ['Ask again in a moment.'],
          });
        cli.io.print(
          options.json === true
            ? JSON.stringify(told, null, 2)
            : planLines(told, {
                colours: cli.io.colours,
                columns: cli.io.tty ? cli.io.size().columns : 120,
              }).join('\n'),
        );
        await remember(runId, told.hash);
      });
    });
}
