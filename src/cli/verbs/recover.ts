import type { Command } from 'commander';
import { globals, ID, type Cli } from '../cli.js';
import { CliError } from '../exit.js';

export function recover(program: Command, cli: Cli): void {
  program
    .command('recover')
    .description('undo what a terminated upgrade left behind, from its journal on the worker')
    .argument('<id>', ID)
    .option('--by <name>', "who says it (default: $FERRY_BY, else git's user name, else the account's)")
    .option(
      '--leave <step>',
      'a step that was put right by hand, by its title: nothing is undone for it (repeatable)',
      (title: string, all: string[]) => [...all, title],
      [],
    )
    .action(async (id: string, options: { by?: string; leave: string[] }, command: Command) => {
      const [
        { withSession },
        { workflowIdFor, pollers, endOf },
        { speaker },
        { shortId },
        { clean },
        { factLines },
        { isRecord },
      ] = await Promise.all([
        import('../session.js'),
        import('../upgrade.js'),
        import('../speaker.js'),
        import('../next.js'),
        import('../io.js'),
        import('../../receipt/text.js'),
        import('../../receipt/words.js'),
      ]);
      const by = await speaker(cli.io, options.by);
      await withSession(cli.io, globals(command), async (session) => {
        const workflowId = await workflowIdFor(session, id);
        const description = await session.client.workflow
          .getHandle(workflowId)
          .describe()
          .catch(() => null);
        // Gone from Temporal's history is fine: the journal outlives it.
        if (description?.status.name === 'RUNNING') {
          throw new CliError(`${workflowId} still runs.`, {
            next: [`ferry rollback ${shortId(workflowId)}`],
          });
        }
        if ((await pollers(session)) === 0)
          cli.io.warn(
            `No worker polls task queue "${session.taskQueue}": it begins when one does (\`ferry worker\`).`,
          );
        const recoveryId = `recover/${workflowId}`;
        const handle = await session.client.workflow.start('recover', {
          workflowId: recoveryId,
          taskQueue: session.taskQueue,
          args: [{ workflowId, by, leave: options.leave }],
          workflowIdConflictPolicy: 'USE_EXISTING',
        });
        cli.io.warn(`Recovering as ${recoveryId} …`);
        let result: unknown;
        try {
          result = clean(await handle.result());
        } catch (error) {
          const end = await endOf(session, recoveryId).catch(() => null);
          throw end?.failure
            ? new CliError(`${end.failure.type}: ${end.failure.message}`, { cause: error })
            : error;
        }
        if (typeof result === 'string') cli.io.print(result);
        else if (isRecord(result)) cli.io.print(factLines(result).join('\n'));
        else cli.io.print('Recovered.');
      });
    });
}
